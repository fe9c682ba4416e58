// A block's picture of one (sample, head) in shared memory, for the two kernels of the tile path.
//
// Row i begins at slot 2 * ((rowptr[i] + i) / 2): E + rows slots suffice for any graph. A slot that
// stands for no edge names a feature row of zeros, so that no loop over edges has to ask.
#pragma once

#include "gat_order.cuh"

namespace tedg::gpu {

constexpr int kSliceChunks = 8;  // 128 bytes: eight lanes read one row without a bank conflict
struct alignas(4) TwoIndices {
  uint16_t of[2];
};

// Sizes of a launch as the kernels use them: 32 bits suffice for what fits shared memory.
struct TileSizes {
  int sources, targets, heads, width, relations;
  unsigned edges;
  unsigned stride_bytes;  // from one row of a head's features to the next
  int chunks;             // of a whole row
  int slice;              // chunks of a slice
  int shift;  // log2 of the lanes that a slice's row takes; a tile's rows lie that far apart

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

// Row i of a graph that is laid out whole.
TEDG_DEVICE Row row_at(const int32_t* rowptr, int i, int edges) {
  const int begin = checked(rowptr[i], edges + 1), end = checked(rowptr[i + 1], edges + 1);
  if (end < begin) __trap();
  const int first = (begin + i) / 2;
  return {static_cast<uint32_t>(i), static_cast<uint16_t>(first),
          static_cast<uint16_t>(first + (end - begin + 1) / 2)};
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
        relation(
            carver.take<uint16_t>(p.edge_bias == nullptr ? 0 : 2 * sizes.pairs(sizes.targets))),
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

}  // namespace tedg::gpu
