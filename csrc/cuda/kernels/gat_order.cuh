// Rows of edges as blocks of both paths of graph attention lay them out in shared memory.
//
// A row's edges lie in pairs: a row of odd degree ends in a slot that stands for no edge. Rows are
// taken in the order of their degrees: those that a warp works on side by side end together. A
// row of kHubPairs pairs or more, a hub, comes first and gets a warp of its own.
#pragma once

#include "gat_chunk.cuh"

namespace tedg::gpu {

constexpr int kBins = 32;  // of the sort by degree; the last is that of the hubs
constexpr int kHubPairs = kBins - 1;

// Hands out shared memory from its start; every piece begins at a multiple of 16 bytes. The host
// has it count what a kernel will take.
class Carver {
 public:
  __host__ __device__ explicit Carver(unsigned char* memory) : memory_(memory) {}
  template <class V>
  __host__ __device__ V* take(int64_t count) {
    V* piece = reinterpret_cast<V*>(memory_ + used_);
    used_ += (static_cast<unsigned>(count * sizeof(V)) + 15u) & ~15u;
    return piece;
  }
  __host__ __device__ int64_t used() const { return used_; }

 private:
  unsigned char* memory_;
  unsigned used_ = 0;
};

// What carve(Carver&) takes of shared memory.
template <class Carve>
int64_t carved_bytes(const Carve& carve) {
  alignas(16) static unsigned char nothing[16];  // counted from, not written to
  Carver carver(nothing);
  carve(carver);
  return carver.used();
}

// Two numbers, or two edges of one row as a gather reads them.
template <class A>
struct alignas(2 * sizeof(A)) Two {
  A of[2];
};
template <class A>
struct alignas(16) EntryPair {
  Two<A> weight;
  uint32_t offset[2];  // where the feature rows begin in a tile, in bytes
};

// One row in the order of the degrees, and its pairs [begin, end).
struct alignas(8) Row {
  uint32_t number;
  uint16_t begin, end;
};

// Rows in the order of their degrees. Shared memory.
struct RowOrder {
  Row* rows;  // [count]; 31 rows of nothing follow, for warps whose lanes have rows of their own
  int* bins;  // [kBins]
  int count;

  __host__ __device__ RowOrder(Carver& carver, int rows)
      : rows(carver.take<Row>(rows + 31)), bins(carver.take<int>(kBins)), count(rows) {}

  TEDG_DEVICE static int bin_of(const Row& row) {
    const int pairs = row.end - row.begin;
    return pairs < kHubPairs ? pairs : kHubPairs;
  }

  // Sorts the rows row_of(0), ..., row_of(count - 1). All threads together. Places within a bin
  // fall as they come: no result depends on them.
  template <class RowOf>
  TEDG_DEVICE void sort(const RowOf& row_of) const {
    if (threadIdx.x < kBins) bins[threadIdx.x] = 0;
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < count; i += blockDim.x) {  // warp loop: degrees
      atomicAdd(&bins[bin_of(row_of(i))], 1);
    }
    if (threadIdx.x < 31) rows[count + threadIdx.x] = {0, 0, 0};
    __syncthreads();
    if (threadIdx.x < kBins) {  // the first warp; lane 0 has the longest rows
      const int lane = threadIdx.x, size = bins[kBins - 1 - lane];
      int end = size;
#pragma unroll 1
      for (int step = 1; step < kBins; step *= 2) {  // warp loop: scan
        const int before = __shfl_sync(kAllLanes, end, lane < step ? lane : lane - step);
        end += lane < step ? 0 : before;
      }
      bins[kBins - 1 - lane] = end - size;
    }
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < count; i += blockDim.x) {  // warp loop: order rows
      const Row row = row_of(i);
      rows[atomicAdd(&bins[bin_of(row)], 1)] = row;
    }
    __syncthreads();
  }
  // After the sort every bin's place is where it ends.
  TEDG_DEVICE int hubs() const { return bins[kBins - 1]; }
};

// What a lane has of a row: the pairs begin, begin + step, ... below end. A hub's pairs lie with
// all groups of 1 << shift lanes in turn, any other row's with one group.
template <bool kHub>
struct Share {
  unsigned row, begin, end, step;  // begin, end and step in pairs
  int shift;
  bool writes;  // there is such a row, and this lane's group speaks for it

  // Over the groups that share the row: the sum, the largest value. All lanes together.
  template <class A>
  TEDG_DEVICE A sum(A v) const {
    if constexpr (kHub) {
      for (int at = 1 << shift; at < 32; at *= 2) {  // warp loop: sum
        v += __shfl_xor_sync(kAllLanes, v, at);
      }
    }
    return v;
  }
  template <class A>
  TEDG_DEVICE A largest(A v) const {
    if constexpr (kHub) v = group_max(v, 32);
    return v;
  }
};

// Calls f(Share) for all rows: a warp a hub, or 1 << shift lanes a row. All lanes of a warp call f
// together.
template <class F>
TEDG_DEVICE void for_rows(const RowOrder& order, int shift, const F& f) {
  const unsigned group = threadIdx.x % 32 >> shift, groups = 32u >> shift;
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32, hubs = order.hubs();
#pragma unroll 1
  for (int at = warp; at < hubs; at += warps) {  // warp loop: hubs
    const Row row = order.rows[at];
    const unsigned first = row.begin + group;
    f(Share<true>{row.number, first, row.end, groups, shift, group == 0});  // warp loop: hub
  }
  // The last warps, which had no hub, begin.
  const unsigned count = order.count;
  unsigned at = hubs + (warps - 1 - warp) * groups;
#pragma unroll 1
  for (; at < count; at += warps * groups) {  // warp loop: rows
    const Row row = order.rows[at + group];
    const bool exists = at + group < count;
    f(Share<false>{row.number, row.begin, row.end, 1, shift, exists});  // warp loop: row
  }
}

template <bool kBias>
struct Bias {};

// The softmax of every row. index(k) gives the sources of pair k's edges, put(k, v) and get(k)
// keep a pair of numbers, and finish(k, row, weights) takes the result. finish_row(row, lse) takes
// the logarithm of a row's denominator: -inf for a row without edges or of nothing but -inf.
template <class Scores, class Index, class Put, class Get, class Finish, class FinishRow>
TEDG_DEVICE void softmax_rows(const RowOrder& order, const Scores& scores, const Index& index,
                              const Put& put, const Get& get, const Finish& finish,
                              const FinishRow& finish_row) {
  using A = typename Scores::A;
  for_rows(order, 0, [&](const auto& s) {  // warp loop: softmax
    const A to = scores.of_target(s.row);
    A top = -kInfinity<A>;
    scores.with_bias([&]<bool kBias>(Bias<kBias>) {
#pragma unroll 1
      for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: scores
        const auto j = index(k);
        const Two<A> v{scores.template score<kBias>(2 * k, j.of[0], to),
                       scores.template score<kBias>(2 * k + 1, j.of[1], to)};
        put(k, v);
        top = v.of[0] > top ? v.of[0] : top;
        top = v.of[1] > top ? v.of[1] : top;
      }
    });
    top = s.largest(top);
    const A shift = top == -kInfinity<A> ? A{0} : top;
    A total = 0;
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: exponentials
      Two<A> v = get(k);
      v.of[0] = exp_below_0(v.of[0] - shift);
      v.of[1] = exp_below_0(v.of[1] - shift);
      put(k, v);
      total += v.of[0] + v.of[1];
    }
    total = s.sum(total);
    const A scale = total == 0 ? A{0} : reciprocal(total);
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: weights
      const Two<A> v = get(k);
      finish(k, s.row, Two<A>{v.of[0] * scale, v.of[1] * scale});
    }
    if (s.writes) finish_row(s.row, total == 0 ? -kInfinity<A> : shift + log_of(total));
  });
}

}  // namespace tedg::gpu
