// Launching the kernels of the general path, and adding up the parts of long rows, which forward
// does over the targets and backward over the sources.
#pragma once

#include <stdexcept>
#include <string>

#include "gat_scores.cuh"

namespace tedg::gpu {

constexpr int kMostHubs = 8;  // rows of several parts that begin in one window

template <class T>
unsigned keys_of(const GraphProblem<T>& p) {
  const int64_t rows = p.sources > p.targets ? p.sources : p.targets;
  // Small windows where large ones would leave multiprocessors idle.
  return divided(p.edges + rows, 1024) * p.batch * p.heads < 2 * multiprocessors() ? 256 : 1024;
}

template <class T>
void check_stride(const char* name, const GraphProblem<T>& p) {
  if (p.heads * p.width <= int64_t{0xffffffff} / int64_t{sizeof(T)}) return;
  throw std::runtime_error(std::string(name) + " takes at most 4 GiB of features a node, got " +
                           std::to_string(p.heads) + " heads of width " + std::to_string(p.width));
}

template <class T>
Work work_of(const GraphProblem<T>& p, int64_t first, int64_t rows) {
  Work work{};
  work.first = first;
  work.keys = keys_of(p);
  work.windows = static_cast<unsigned>(divided(p.edges + rows, work.keys));
  const int lanes = power_of_two(chunks_of<T>(p.width), 32);
  while (1 << work.shift < lanes) ++work.shift;
  return work;
}

// Calls f(first head, number of heads) for the chunks of samples that the scratch has room for.
template <class T, class F>
void for_chunks(const GraphProblem<T>& p, const F& f) {
  for (int64_t b = 0; b < p.batch; b += p.chunk) {
    const int64_t samples = p.batch - b < p.chunk ? p.batch - b : p.chunk;
    f(b * p.heads, samples * p.heads);
  }
}

// Whether a row of a window of `side` has several parts at all, as far as the host can tell.
inline bool may_have_parts(const Side& side) { return side.edges > static_cast<int>(kPartEdges); }

// out [B, rows, H, D] <- the sums over the parts, for the rows of several: forward's, weighted as
// their softmaxes make up the row's, or backward's, as they are. number [B, rows, H] <- the row's
// lse, or the sum of the parts' products, where it is given.
template <class T, bool kForward, class Number>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    add_parts_kernel(GraphProblem<T> p, Work work, Side side, T* out, Number* number) {
  using A = acc_t<T>;
  const Place at(p, work);
  Carver carver(shared_memory());
  Window window(carver, work.keys, side, at.first_key);
  int* hubs = carver.take<int>(kMostHubs + 1);  // how many, and which
  A* share = carver.take<A>(kThreads);
  if (threadIdx.x == 0) hubs[0] = 0;
  window.find();
  for (int i = threadIdx.x; i < window.rows; i += blockDim.x) {
    if (part_of(side, window.first + i, 0).whole) continue;
    const int place = atomicAdd(&hubs[0], 1);
    if (place >= kMostHubs) __trap();
    hubs[1 + place] = window.first + i;
  }
  __syncthreads();
  const PartMemory<T> parts(p, at.local);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const unsigned width = static_cast<unsigned>(p.width);
  for (int i = 0; i < hubs[0]; ++i) {
    const int64_t place = at.row_0(p, side.rows) + int64_t{hubs[1 + i]} * p.heads;
    RowOfParts<A> row(side, hubs[1 + i], parts.sums);
    if (kForward) {
      row.find_lse();
      if (threadIdx.x == 0) narrow(number[place], row.lse);
    } else if (number != nullptr) {
      const A sum = row.sum([](const PartSums<A>& s, unsigned) { return s.product; });
      if (threadIdx.x == 0) narrow(number[place], sum);
    }
    for (unsigned base = 0; base < width; base += 32) {
      A sum = 0;
      for (unsigned n = warp; n < row.count && base + lane < width; n += kWarps) {
        const A factor = kForward ? row.factor(n) : A{1};
        if (factor != 0) sum += factor * parts.chunk(row.slot(n), 0)[base + lane];
      }
      share[threadIdx.x] = sum;
      __syncthreads();
      if (warp == 0 && base + lane < width) {
        for (int w = 1; w < kWarps; ++w) sum += share[32 * w + lane];
        narrow(out[place * p.width + base + lane], sum);
      }
      __syncthreads();
    }
  }
}

template <class T, bool kForward, class Number>
void add_parts(const char* name, const GraphProblem<T>& p, int64_t first, int64_t heads,
               const Side& side, T* out, Number* number, cudaStream_t stream) {
  if (!may_have_parts(side)) return;
  const Work work = work_of(p, first, side.rows);
  const int64_t bytes = carved_bytes([&](Carver& carver) {
    Window(carver, work.keys, side, 0);
    carver.take<int>(kMostHubs + 1);
    carver.take<acc_t<T>>(kThreads);
  });
  launch(name, add_parts_kernel<T, kForward, Number>, heads * work.windows, kThreads, bytes, stream,
         p, work, side, out, number);
}

// parts [outer, heads, runs, count]: out <- the sums over `outer` and `runs`, a warp a number;
// number i of head h goes to out[i * step + h * head_step].
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    add_runs(const acc_t<T>* parts, T* out, int64_t outer, int64_t heads, int64_t runs,
             int64_t count, int64_t step, int64_t head_step) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (at >= count * heads) return;  // a whole warp leaves
  const int64_t i = at / heads, h = at % heads;
  acc_t<T> sum = 0;
  for (int64_t n = threadIdx.x % 32; n < outer * runs; n += 32) {
    sum += parts[((n / runs * heads + h) * runs + n % runs) * count + i];
  }
  sum = group_sum(sum, 32);
  if (threadIdx.x % 32 == 0) narrow(out[i * step + h * head_step], sum);
}

}  // namespace tedg::gpu
