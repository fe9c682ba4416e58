// A block's share of a graph of any size, for the general path: a window of its rows.
//
// Row i has the key rowptr[i] + i: it weighs one more than its degree. A window is what begins at
// `keys` keys in a row, so that all windows have about the same work, and a block finds its rows by
// a search. A row of more than kPartEdges edges is taken in parts of that many, each by the
// window that its first edge's key lies in. What a part comes to goes to a slot of scratch memory
// that follows from its key; the parts of a row are added up in order afterwards.
//
// The edges of a part lie in pairs in shared memory, from slot 2 * ((key - first key) / 2) on.
#pragma once

#include <type_traits>

#include "gat_order.cuh"

namespace tedg::gpu {

constexpr unsigned kPartEdges = 256;
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
template <class T>
constexpr int kBlocks = sizeof(T) == 8 ? 2 : 4;  // a multiprocessor, so that nothing spills

// The targets of a graph, or of its transpose, which are the sources.
struct Side {
  const int32_t* rowptr;  // [rows + 1]
  int rows, edges;
};

// A row's edges [begin, end), or a part of them.
struct Part {
  unsigned row, begin, end;
  bool first, whole;  // the first part of its row; the only one

  TEDG_DEVICE unsigned key() const { return begin + row; }
  // At most two parts of rows of several begin at the same kPartEdges keys: one that is the first
  // of its row and one that is not.
  TEDG_DEVICE unsigned slot() const { return 2 * (key() / kPartEdges) + (first ? 1 : 0); }
};

template <class T>
__host__ __device__ Side targets_of(const GraphProblem<T>& p) {
  return {p.rowptr, static_cast<int>(p.targets), static_cast<int>(p.edges)};
}
template <class T>
__host__ __device__ Side sources_of(const GraphProblem<T>& p) {
  return {p.t_rowptr, static_cast<int>(p.sources), static_cast<int>(p.edges)};
}

TEDG_DEVICE Part part_of(const Side& side, unsigned row, unsigned number) {
  const unsigned begin = checked(side.rowptr[row], side.edges + 1);
  const unsigned end = checked(side.rowptr[row + 1], side.edges + 1);
  if (end < begin) __trap();
  const unsigned from = begin + number * kPartEdges;
  return {row, from, end - from > kPartEdges ? from + kPartEdges : end, number == 0,
          end - begin <= kPartEdges};
}

// The first row whose key is at least `key`. All lanes of a warp together.
TEDG_DEVICE int first_row(const Side& side, unsigned key) {
  int low = 0, high = side.rows;  // it is one of [low, high]
#pragma unroll 1
  while (low < high) {  // warp loop: search
    const int step = (high - low + 32) / 33;
    const int at = low + step * (threadIdx.x % 32 + 1) - 1;
    const bool below = at < high && static_cast<unsigned>(side.rowptr[at]) + at < key;
    const int count = __popc(__ballot_sync(kAllLanes, below));
    low += step * count;
    // Of the lane that was the first not to be below, if there was one.
    if (count < 32 && low + step - 1 < high) high = low + step - 1;
  }
  return low;
}

// A window's rows and parts, in shared memory.
struct Window {
  static constexpr uint32_t kSplit = uint32_t{1} << 31;  // in `order`, with a row of several parts

  RowOrder order;
  Two<unsigned>* later;  // [keys / kPartEdges] (row, number) of parts but their rows' first ones
  int* found;            // first row, row after the last, number of later parts
  Side side;
  unsigned keys, first_key;
  int first = 0, rows = 0;

  __host__ __device__ Window(Carver& carver, unsigned keys, const Side& side, unsigned first_key)
      : order(carver, static_cast<int>(keys + keys / kPartEdges)),
        later(carver.take<Two<unsigned>>(keys / kPartEdges)),
        found(carver.take<int>(3)),
        side(side),
        keys(keys),
        first_key(first_key) {}

  // Pairs that the edges of a window take.
  __host__ __device__ static int pairs(unsigned keys) { return (keys + kPartEdges) / 2; }

  // Finds the rows and parts. All threads together.
  TEDG_DEVICE void find() {
    const unsigned warp = threadIdx.x / 32;
    if (threadIdx.x == 0) found[2] = 0;
    if (warp < 2) {
      const int row = first_row(side, first_key + warp * keys);
      if (threadIdx.x % 32 == 0) found[warp] = row;
    }
    __syncthreads();
    first = found[0];
    rows = found[1] - first;
    if (static_cast<unsigned>(rows) > keys) __trap();
#pragma unroll 1
    for (int i = threadIdx.x; i <= rows; i += blockDim.x) {  // warp loop: find parts
      if (first + i == 0) continue;
      const unsigned row = first + i - 1;  // the one before the first may reach into the window
      const Part head = part_of(side, row, 0);
      if (head.whole) continue;
      const unsigned before = head.key() < first_key ? first_key - head.key() : 0;
      unsigned number = (before + kPartEdges - 1) / kPartEdges;
      if (number == 0) number = 1;
      const unsigned end = side.rowptr[row + 1];
#pragma unroll 1
      for (; head.begin + number * kPartEdges < end; ++number) {  // warp loop: later parts
        if (head.key() + number * kPartEdges - first_key >= keys) break;
        const int at = atomicAdd(&found[2], 1);
        if (static_cast<unsigned>(at) >= keys / kPartEdges) __trap();
        later[at] = {{row, number}};
      }
    }
    __syncthreads();
    order.count = rows + found[2];
  }
  TEDG_DEVICE void sort() const {
    order.sort([&](int i) {
      const Part p = part(i);
      if (p.key() - first_key >= keys) __trap();
      const unsigned pair = first_pair(p);
      return Row{p.whole ? i : i | kSplit, static_cast<uint16_t>(pair),
                 static_cast<uint16_t>(pair + (p.end - p.begin + 1) / 2)};
    });
  }
  // What `order` names i, with or without kSplit.
  TEDG_DEVICE Part part(unsigned i) const {
    i &= ~kSplit;
    if (i < static_cast<unsigned>(rows)) return part_of(side, first + i, 0);
    const Two<unsigned> place = later[i - rows];
    return part_of(side, place.of[0], place.of[1]);
  }
  TEDG_DEVICE unsigned row(unsigned i) const { return i & kSplit ? part(i).row : first + i; }
  TEDG_DEVICE unsigned first_pair(const Part& p) const { return (p.key() - first_key) / 2; }
  // The first edge of pair k, which is one of the part's.
  TEDG_DEVICE unsigned edge(const Part& p, unsigned k) const {
    return p.begin + 2 * (k - first_pair(p));
  }
};

// Which samples and heads a launch takes, and in how many windows each.
struct Work {
  int64_t first;     // (sample, head)
  unsigned windows;  // of each
  unsigned keys;     // of a window
  int shift;         // log2 of the lanes that a row of features takes
};

// What one block does: a window of one sample's head.
struct Place {
  int b, h;
  int64_t local;       // number of the head among those of the launch, as scratch memory counts
  unsigned first_key;  // of the window

  template <class T>
  TEDG_DEVICE Place(const GraphProblem<T>& p, const Work& work) : local(blockIdx.x / work.windows) {
    const int64_t head = work.first + local;
    b = static_cast<int>(head / p.heads);
    h = static_cast<int>(head % p.heads);
    first_key = blockIdx.x % work.windows * work.keys;
  }
  // Where row 0 of this head is in [B, rows, H].
  template <class T>
  TEDG_DEVICE int64_t row_0(const GraphProblem<T>& p, int64_t rows) const {
    return b * rows * p.heads + h;
  }
};

// Sums of a part of a row, relative to the part's own softmax.
template <class A>
struct PartSums {
  A lse;            // of the scores
  A product;        // of weight * <grad_out, x>; of grad_score in the transpose
  A slope;          // of weight * the LeakyReLU's slope
  A product_slope;  // of the product of all three
};

// The scratch memory of one (sample, head) for parts of rows.
template <class T>
struct PartMemory {
  using A = acc_t<T>;
  static constexpr int64_t kSums = sizeof(PartSums<A>) / sizeof(A);
  PartSums<A>* sums;  // [slots]
  A* features;        // [slots, chunks of a row]
  int chunks;

  TEDG_DEVICE PartMemory(const GraphProblem<T>& p, int64_t local) : chunks(chunks_of<T>(p.width)) {
    A* memory = p.part + local * numbers(p);
    sums = reinterpret_cast<PartSums<A>*>(memory);
    features = memory + slots(p) * kSums;
  }
  __host__ __device__ static int64_t slots(const GraphProblem<T>& p) {
    const int64_t rows = p.sources > p.targets ? p.sources : p.targets;
    return 2 * ((p.edges + rows + kPartEdges - 1) / kPartEdges);
  }
  __host__ __device__ static int64_t numbers(const GraphProblem<T>& p) {
    return slots(p) * (kSums + int64_t{chunks_of<T>(p.width)} * Chunk<T>::kSize);
  }
  TEDG_DEVICE A* chunk(unsigned slot, int c) const {
    return features + (static_cast<int64_t>(slot) * chunks + c) * Chunk<T>::kSize;
  }
};

// Rows of features lie so many bytes apart; check_stride has seen that 32 bits count them.
template <class T>
TEDG_DEVICE unsigned stride_bytes(const GraphProblem<T>& p) {
  return static_cast<unsigned>(p.heads * p.width * sizeof(T));
}
template <class T>
TEDG_DEVICE T* row_of(T* rows, uint32_t number, unsigned stride) {
  using Byte = std::conditional_t<std::is_const_v<T>, const unsigned char, unsigned char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(rows) + uint64_t{number} * stride);
}

// Features as gather_rows takes them: rows that entries name, read where a weight is not 0.
template <bool kAligned, class T>
struct NamedRows {
  const T* rows;
  unsigned stride;
  int width;

  TEDG_DEVICE NamedRows(const GraphProblem<T>& p, const T* rows)
      : rows(rows), stride(stride_bytes(p)), width(static_cast<int>(p.width)) {}
  TEDG_DEVICE auto operator()(unsigned, int c) const {
    return [*this, c](uint32_t row, acc_t<T> weight, unsigned, int) {
      Chunk<T> chunk{};
      if (weight != 0) chunk = load_chunk(row_of(rows, row, stride), c, width, kAligned);
      return chunk;
    };
  }
};

// Chunk c of each row of `out` <- the sum over its entries of weight * chunk c of an edge's
// features; for part of a row the sum goes to scratch memory. features(row, c) gives a function of
// (what the entry names, its weight, its pair and place in the pair), zeros where the weight is 0.
template <bool kAligned, class T, class Features>
TEDG_DEVICE void gather_rows(const Window& window, const EntryPair<acc_t<T>>* entries,
                             const GraphProblem<T>& p, const Features& features, int shift, T* out,
                             const PartMemory<T>& parts) {
  using A = acc_t<T>;
  const unsigned stride = stride_bytes(p);
  const int lane = threadIdx.x & ((1 << shift) - 1), width = static_cast<int>(p.width);
#pragma unroll 1
  for (int c = lane; c - lane < parts.chunks; c += 1 << shift) {  // warp loop: columns
    const bool exists = c < parts.chunks;
    for_rows(window.order, shift, [&](const auto& s) {  // warp loop: gathering
      A sum[Chunk<T>::kSize] = {};
      const auto feature = features(s.row, exists ? c : 0);
      const unsigned end = exists ? s.end : s.begin;
#pragma unroll 1
      for (unsigned k = s.begin; k < end; k += s.step) {  // warp loop: pairs
        const EntryPair<A> both = entries[k];
        const auto a = feature(both.offset[0], both.weight.of[0], k, 0);
        const auto b = feature(both.offset[1], both.weight.of[1], k, 1);
        add_product(sum, both.weight.of[0], a);
        add_product(sum, both.weight.of[1], b);
      }
#pragma unroll
      for (int i = 0; i < Chunk<T>::kSize; ++i) sum[i] = s.sum(sum[i]);
      if (!s.writes || !exists) return;
      if (s.row & Window::kSplit) {
        A* to = parts.chunk(window.part(s.row).slot(), c);
#pragma unroll
        for (int i = 0; i < Chunk<T>::kSize; ++i) to[i] = sum[i];
      } else {
        store_chunk(row_of(out, window.first + s.row, stride), c, width, kAligned, sum);
      }
    });
  }
}

}  // namespace tedg::gpu
