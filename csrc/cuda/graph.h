// What the ops over graphs share: how rows lie, and scratch memory for some samples at a time.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "support.h"

namespace tedg {

// Sizes and graph of an op's checked arguments.
template <class T, class Arguments>
void set_graph(gpu::GraphProblem<T>& p, const Arguments& a) {
  p.batch = a.batch();
  p.sources = a.sources();
  p.targets = a.targets();
  p.edges = a.edges();
  p.heads = a.heads();
  p.width = a.width();
  p.rowptr = data<int32_t>(a.rowptr);
  p.col = data<int32_t>(a.col);
  p.slope = static_cast<gpu::acc_t<T>>(a.negative_slope);
}

// Whether all rows of `width` values begin at a multiple of 16 bytes, in arrays that do or not.
template <class T>
bool rows_at_16_bytes(int64_t width, std::initializer_list<const T*> arrays) {
  return width * sizeof(T) % 16 == 0 && std::all_of(arrays.begin(), arrays.end(), [](const T* p) {
           return reinterpret_cast<uintptr_t>(p) % 16 == 0;
         });
}

// Samples of which `numbers` numbers a head fit 64 MiB; at least one.
template <class T>
int64_t samples_at_once(const gpu::GraphProblem<T>& p, int64_t numbers) {
  constexpr int64_t kScratchBytes = int64_t{64} << 20;
  const int64_t bytes = p.heads * numbers * static_cast<int64_t>(sizeof(gpu::acc_t<T>));
  return std::max<int64_t>(1, std::min(p.batch, kScratchBytes / std::max<int64_t>(bytes, 1)));
}

// Scratch memory for p.chunk samples.
template <class T>
Tensor new_scratch(const Tensor& like, const gpu::GraphProblem<T>& p, int64_t numbers) {
  return new_tensor(like, {p.chunk, p.heads, numbers}, accumulate_type(like.scalar_type()));
}

}  // namespace tedg
