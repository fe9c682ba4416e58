// What the CPU ops share: storage indices, threads, scratch memory.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "../ops/checks.h"
#include "../ops/tensors.h"
#include "kernels.h"

namespace tedg {

inline Storage storage_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return kFloat32;
    case ScalarType::Double: return kFloat64;
    case ScalarType::BFloat16: return kBFloat16;
    case ScalarType::Half: return kFloat16;
    default: refuse("tensor of ", dtype_text(tensor.scalar_type()), " where floats are expected");
  }
}

inline size_t accumulate_bytes(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Double ? 8 : 4;
}

inline const void* data_or_null(const OptionalTensor& tensor) {
  return tensor.has_value() ? tensor->const_data_ptr() : nullptr;
}

// Reads and writes a tensor of one number, float32 or float64.
inline double read_scalar(const Tensor& scalar) {
  const void* p = scalar.const_data_ptr();
  return scalar.scalar_type() == ScalarType::Double ? *static_cast<const double*>(p)
                                                    : *static_cast<const float*>(p);
}
inline void write_scalar(const Tensor& scalar, double value) {
  void* p = scalar.mutable_data_ptr();
  if (scalar.scalar_type() == ScalarType::Double) {
    *static_cast<double*>(p) = value;
  } else {
    *static_cast<float*>(p) = static_cast<float>(value);
  }
}

// A new output that the caller fills. A large one is fresh memory from the system, and touching
// it in pages of 4 KiB costs more than computing what goes into it: ask for large pages.
inline Tensor new_output(const Tensor& like, std::initializer_list<int64_t> shape,
                         ScalarType type) {
  const Tensor out = new_tensor(like, shape, type);
#if defined(MADV_HUGEPAGE)
  constexpr uintptr_t kPage = uintptr_t{2} << 20;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(out.mutable_data_ptr());
  const uintptr_t end = begin + out.numel() * out.element_size();
  const uintptr_t first = (begin + kPage - 1) / kPage * kPage;
  const uintptr_t last = end / kPage * kPage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
  return out;
}

// Calls f(begin, end) on parts of [0, count) in parallel; `work` is the cost of one of them in
// about nanoseconds, so that small problems stay on this thread.
template <class F>
void parallel(int64_t count, double work, const F& f) {
  constexpr double kWorthAThread = 20000;
  const int64_t grain = static_cast<int64_t>(kWorthAThread / std::max(work, 1.0)) + 1;
  if (count > 0) torch::stable::parallel_for(0, count, grain, f);
}

// What forward and backward of route share.
inline RouteProblem route_problem(int64_t experts, int64_t actions, bool sparse, double temperature,
                                  const void* scores, const void* expert_logits,
                                  const void* action_mask) {
  RouteProblem problem{};
  problem.experts = experts;
  problem.actions = actions;
  problem.sparse = sparse;
  problem.temperature = temperature;
  problem.scores = scores;
  problem.expert_logits = expert_logits;
  problem.action_mask = static_cast<const bool*>(action_mask);
  return problem;
}

// Memory for one thread's part of the work, aligned for vectors.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : memory_(bytes + kAlignment) {
    void* p = memory_.data();
    size_t space = memory_.size();
    aligned_ = std::align(kAlignment, bytes, p, space);
  }
  void* get() const { return aligned_; }

 private:
  static constexpr size_t kAlignment = 64;
  std::vector<char> memory_;
  void* aligned_;
};

// Adds up `count` sums over rows: f(begin, end, sums, scratch) is called for every block of
// kBlockRows of them, with `scratch_bytes` of memory. Blocks are the same for any number of threads
// and are added in order, so that the sums are.
template <int64_t kBlockRows, class F>
std::vector<double> sum_blocks(int64_t rows, int64_t count, double row_work, size_t scratch_bytes,
                               const F& f) {
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  std::vector<double> partial(blocks * count);
  parallel(blocks, kBlockRows * row_work, [&](int64_t begin, int64_t end) {
    Scratch scratch(scratch_bytes);
    for (int64_t block = begin; block < end; ++block) {
      f(block * kBlockRows, std::min(rows, (block + 1) * kBlockRows),
        partial.data() + block * count, scratch.get());
    }
  });
  std::vector<double> sums(count);
  for (size_t i = 0; i < partial.size(); ++i) sums[i % count] += partial[i];
  return sums;
}

}  // namespace tedg
