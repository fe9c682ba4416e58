// A block's picture of one (sample, head) in shared memory, for the two kernels of the tile path.
//
// The edges of row i lie in pairs, from slot 2 * ((rowptr[i] + i) / 2) on: a row of odd degree
// ends in a slot that stands for no edge, and E + rows slots suffice for any graph. A slot that
// stands for no edge names a feature row of zeros, so that no loop over edges has to ask.
//
// Rows are taken in the order of their degrees: those that a warp works on side by side end
// together. A row of kHubPairs pairs or more, a hub, comes first and gets a warp of its own.
#pragma once

#include "gat_chunk.cuh"

namespace tedg::gpu {

constexpr int kSliceChunks = 8;  // 128 bytes: eight lanes read one row without a bank conflict
constexpr int kBins = 32;        // of the sort by degree; the last is that of the hubs
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
struct alignas(4) TwoIndices {
  uint16_t of[2];
};

// One row in the order of the degrees, and its pairs [begin, end).
struct alignas(8) Row {
  uint32_t number;
  uint16_t begin, end;
};

// Sizes of a launch as the kernels use them: 32 bits suffice for what fits shared memory.
struct TileSizes {
  int sources, targets, heads, width, relations;
  unsigned edges;
  unsigned stride_bytes;  // from one row of a head's features to the next
  int chunks;  // of a whole row
  int slice;   // chunks of a slice
  int shift;   // log2 of the lanes that a slice's row takes; a tile's rows lie that far apart

  template <class T>
  __host__ __device__ explicit TileSizes(const GatProblem<T>& p)
      : sources(static_cast<int>(p.sources)),
        targets(static_cast<int>(p.targets)),
        heads(static_cast<int>(p.heads)),
        width(static_cast<int>(p.width)),
        relations(static_cast<int>(p.relations)),
        edges(static_cast<unsigned>(p.edges)),
        stride_bytes(heads * width * sizeof(T)),
        chunks(chunks_of<T>(width)),
        slice(chunks < kSliceChunks ? chunks : kSliceChunks),
        shift(slice > 4 ? 3 : (slice > 2 ? 2 : (slice > 1 ? 1 : 0))) {}
  __host__ __device__ int tile_chunks(int rows) const { return (rows + 1) << shift; }
  __host__ __device__ uint32_t offset(int row) const {  // of a tile's row, in bytes
    return static_cast<uint32_t>(row) << (4 + shift);
  }
  __host__ __device__ int pairs(int rows) const { return (edges + rows + 1) / 2; }
};

// The rows of a CSR in the order of their degrees. Shared memory.
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

  // All threads together. Places within a bin fall as they come: no result depends on them.
  TEDG_DEVICE void sort(const int32_t* rowptr, int edges) const {
    if (threadIdx.x < kBins) bins[threadIdx.x] = 0;
    __syncthreads();
#pragma unroll 1
    for (int i = threadIdx.x; i < count; i += blockDim.x) {  // warp loop: degrees
      atomicAdd(&bins[bin_of(row_at(rowptr, i, edges))], 1);
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
      const Row row = row_at(rowptr, i, edges);
      rows[atomicAdd(&bins[bin_of(row)], 1)] = row;
    }
    __syncthreads();
  }
  // After the sort every bin's place is where it ends.
  TEDG_DEVICE int hubs() const { return bins[kBins - 1]; }

 private:
  TEDG_DEVICE static Row row_at(const int32_t* rowptr, int i, int edges) {
    const int begin = checked(rowptr[i], edges + 1), end = checked(rowptr[i + 1], edges + 1);
    if (end < begin) __trap();
    const int first = (begin + i) / 2;
    return {static_cast<uint32_t>(i), static_cast<uint16_t>(first),
            static_cast<uint16_t>(first + (end - begin + 1) / 2)};
  }
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

// Starts copying a slice of each feature row, from chunk `first` on, into a tile. wait_for_copies
// and a barrier must follow before it is read.
template <bool kAligned, class T>
TEDG_DEVICE void copy_slice(Chunk<T>* tile, const T* features, unsigned rows, int first,
                            const TileSizes& sizes) {
  const int c = threadIdx.x & ((1 << sizes.shift) - 1), step = blockDim.x >> sizes.shift;
  if (c < sizes.slice && first + c < sizes.chunks) {
    unsigned row = threadIdx.x >> sizes.shift;
    auto from = reinterpret_cast<const unsigned char*>(features);
    if (kAligned) from += (first + c) * sizeof(Chunk<T>);
    unsigned offset = row * sizes.stride_bytes;
    Chunk<T>* to = tile + threadIdx.x;
#pragma unroll 1
    for (; row < rows; row += step) {  // warp loop: copy
      if constexpr (kAligned) {
        __pipeline_memcpy_async(to, from + offset, 16);
      } else {
        const T* values = reinterpret_cast<const T*>(from + offset);
        *to = load_chunk(values, first + c, sizes.width, false);
      }
      offset += step * sizes.stride_bytes;
      to += blockDim.x;
    }
  }
  __pipeline_commit();
}
TEDG_DEVICE void wait_for_copies() { __pipeline_wait_prior(0); }

// The feature row that slots without an edge name.
template <class T>
TEDG_DEVICE void clear_last_row(Chunk<T>* tile, int rows, const TileSizes& sizes) {
  if (threadIdx.x < 1u << sizes.shift) {
    Chunk<T> zero;
    for (int i = 0; i < Chunk<T>::kSize; ++i) narrow(zero.v[i], 0);
    tile[(rows << sizes.shift) + threadIdx.x] = zero;
  }
}

// Chunk first + c of row i of out <- the sum over the row's entries of weight * chunk c of the
// feature row.
template <bool kAligned, class T>
TEDG_DEVICE void gather_rows(const RowOrder& order, const EntryPair<acc_t<T>>* entries,
                             const Chunk<T>* tile, int first, const TileSizes& sizes, T* out) {
  using A = acc_t<T>;
  const int c = threadIdx.x & ((1 << sizes.shift) - 1);
  const unsigned char* column = reinterpret_cast<const unsigned char*>(tile + c);
  const bool exists = first + c < sizes.chunks;
  auto to = reinterpret_cast<unsigned char*>(out);
  if (kAligned) to += (first + c) * sizeof(Chunk<T>);
  for_rows(order, sizes.shift, [&](const auto& s) {  // warp loop: gathering
    A sum[Chunk<T>::kSize] = {};
    const EntryPair<A>* end = entries + s.end;
#pragma unroll 1
    for (auto pair = entries + s.begin; pair < end; pair += s.step) {  // warp loop: pairs
      const EntryPair<A> both = *pair;
      const auto a = *reinterpret_cast<const Chunk<T>*>(column + both.offset[0]);
      const auto b = *reinterpret_cast<const Chunk<T>*>(column + both.offset[1]);
      add_product(sum, both.weight.of[0], a);
      add_product(sum, both.weight.of[1], b);
    }
#pragma unroll
    for (int i = 0; i < Chunk<T>::kSize; ++i) sum[i] = s.sum(sum[i]);
    if (!s.writes || !exists) return;
    T* row = reinterpret_cast<T*>(to + uint64_t{s.row} * sizes.stride_bytes);
    store_chunk(row, kAligned ? 0 : first + c, sizes.width, kAligned, sum);
  });
}

template <bool kBias>
struct Bias {};

// The scores of one (sample, head), source and relation parts in shared memory.
template <class T>
struct TileScores {
  using A = acc_t<T>;
  A* source;           // [N + 1]; -inf where a source takes no part, and for slots without an edge
  A* bias;             // [R]
  uint16_t* relation;  // [slots], nothing without a bias
  const T* target;     // [M, H], at this head, in device memory
  int heads;
  bool biased;
  A slope;

  __host__ __device__ TileScores(Carver& carver, const GatProblem<T>& p, const TileSizes& sizes)
      : source(carver.take<A>(sizes.sources + 1)),
        bias(carver.take<A>(sizes.relations)),
        relation(carver.take<uint16_t>(
            p.edge_bias == nullptr ? 0 : 2 * sizes.pairs(sizes.targets))),
        target(nullptr),
        heads(sizes.heads),
        biased(p.edge_bias != nullptr),
        slope(p.slope) {}

  // Reads the parts that belong to sample b and head h. All threads; a barrier must follow.
  TEDG_DEVICE void stage(const GatProblem<T>& p, const TileSizes& sizes, int b, int h) {
    const T* from = p.score_src + b * sizes.sources * heads + h;
    const bool* mask = p.node_mask == nullptr ? nullptr : p.node_mask + b * sizes.sources;
#pragma unroll 1
    for (int j = threadIdx.x; j <= sizes.sources; j += blockDim.x) {  // warp loop: stage scores
      const bool absent = j == sizes.sources || (mask != nullptr && !mask[j]);
      source[j] = absent ? -kInfinity<A> : widen(from[j * heads]);
    }
    if (biased) {
#pragma unroll 1
      for (int r = threadIdx.x; r < sizes.relations; r += blockDim.x) {  // warp loop: stage bias
        bias[r] = widen(p.edge_bias[r * heads + h]);
      }
    }
    target = p.score_dst + b * sizes.targets * heads + h;
  }
  TEDG_DEVICE A of_target(unsigned i) const { return widen(target[i * heads]); }
  // The score of a slot's edge before the LeakyReLU.
  template <bool kBias>
  TEDG_DEVICE A sum(unsigned slot, A from, A to) const {
    return kBias ? from + to + bias[relation[slot]] : from + to;
  }
  // And after it: -inf where the source takes no part.
  template <bool kBias>
  TEDG_DEVICE A score(unsigned slot, unsigned j, A to) const {
    const A from = source[j], value = sum<kBias>(slot, from, to), scaled = value * slope;
    return from == -kInfinity<A> ? from : (value > 0 ? value : scaled);
  }
  // Calls f with whether there is a bias, as a constant.
  template <class F>
  TEDG_DEVICE void with_bias(const F& f) const {
    if (biased) {
      f(Bias<true>{});  // warp loop: bias
    } else {
      f(Bias<false>{});
    }
  }
};

// The softmax of every row. index(k) gives the sources of pair k's edges, put(k, v) and get(k)
// keep a pair of numbers, and finish(k, row, weights) takes the result. lse, if not null, <- the
// logarithm of the denominators: -inf for a row without edges or of nothing but -inf.
template <class T, class Index, class Put, class Get, class Finish>
TEDG_DEVICE void softmax_rows(const RowOrder& order, const TileScores<T>& scores,
                              acc_t<T>* lse, const Index& index, const Put& put,
                              const Get& get, const Finish& finish) {
  using A = acc_t<T>;
  for_rows(order, 0, [&](const auto& s) {  // warp loop: softmax
    const A to = scores.of_target(s.row);
    A top = -kInfinity<A>;
    scores.with_bias([&]<bool kBias>(Bias<kBias>) {
#pragma unroll 1
      for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: scores
        const TwoIndices j = index(k);
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
    if (lse != nullptr && s.writes) {
      lse[s.row * scores.heads] = total == 0 ? -kInfinity<A> : shift + log_of(total);
    }
  });
}

}  // namespace tedg::gpu
