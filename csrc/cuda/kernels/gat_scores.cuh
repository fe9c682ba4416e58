// The scores of the general path and the weights they give, and which of those dropout keeps.
#pragma once

#include "gat_window.cuh"

namespace tedg::gpu {

// Marks the source of an edge whose score the LeakyReLU multiplies with its slope.
constexpr uint32_t kBelowZero = uint32_t{1} << 31;

// First word of Philox4x32-10 (Salmon et al. 2011) at counter (edge, head, sample, 0).
TEDG_DEVICE uint32_t philox(uint32_t edge, uint32_t head, uint32_t sample, uint64_t seed) {
  uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  uint32_t c[4] = {edge, head, sample, 0};
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * c[0], b = uint64_t{0xCD9E8D57u} * c[2];
    c[0] = static_cast<uint32_t>(b >> 32) ^ c[1] ^ key[0];
    c[1] = static_cast<uint32_t>(b);
    c[2] = static_cast<uint32_t>(a >> 32) ^ c[3] ^ key[1];
    c[3] = static_cast<uint32_t>(a);
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return c[0];
}

// What dropout multiplies the weight of an edge with: 0, or 1 / (1 - p).
template <class T>
TEDG_DEVICE acc_t<T> kept(const GatProblem<T>& p, const Place& at, unsigned edge) {
  const uint32_t word = philox(edge, at.h, at.b, static_cast<uint64_t>(*p.dropout_seed));
  return word >= p.dropout_least ? p.dropout_scale : acc_t<T>{0};
}

// The biases of the relations at a block's head: in shared memory, unless there are too many.
template <class T>
struct RelationBias {
  static constexpr int64_t kMostStaged = 256;
  T* staged;
  const T* values;
  int stride;

  __host__ __device__ RelationBias(Carver& carver, const GatProblem<T>& p)
      : staged(carver.take<T>(p.relations <= kMostStaged ? p.relations : 0)),
        values(staged),
        stride(1) {}
  // All threads; a barrier must follow.
  TEDG_DEVICE void stage(const GatProblem<T>& p, const Place& at) {
    if (p.relations > kMostStaged) {
      values = p.edge_bias + at.h;
      stride = static_cast<int>(p.heads);
      return;
    }
#pragma unroll 1
    for (int r = threadIdx.x; r < p.relations; r += blockDim.x) {  // warp loop: stage bias
      staged[r] = p.edge_bias[r * p.heads + at.h];
    }
  }
  TEDG_DEVICE acc_t<T> of(int r) const { return widen(values[r * stride]); }
};

// The scores of a window, as softmax_rows takes them: they are in its entries already.
template <class A_>
struct StagedScores {
  using A = A_;
  TEDG_DEVICE A of_target(unsigned) const { return 0; }
  template <bool kBias>
  TEDG_DEVICE A score(unsigned, A staged, A) const {
    return staged;
  }
  template <class F>
  TEDG_DEVICE void with_bias(const F& f) const {
    f(Bias<false>{});
  }
};

// entries <- the scores of the window's edges, -inf where a source takes no part, and their
// sources, with kBelowZero where backward has to know. All threads; a barrier must follow. Each
// index is checked here, once.
template <bool kForBackward, class T>
TEDG_DEVICE void stage_scores(const Window& window, const GatProblem<T>& p, const Place& at,
                              const RelationBias<T>& bias, EntryPair<acc_t<T>>* entries) {
  using A = acc_t<T>;
  const int heads = static_cast<int>(p.heads);
  const int sources = static_cast<int>(p.sources), relations = static_cast<int>(p.relations);
  const T* source = p.score_src + at.row_0(p, p.sources);
  const T* target = p.score_dst + at.row_0(p, p.targets);
  const A* own =
      p.score_edge == nullptr ? nullptr : p.score_edge + at.b * p.score_edge_stride + at.h;
  const bool* mask = p.node_mask == nullptr ? nullptr : p.node_mask + at.b * p.sources;
  for_rows(window.order, 0, [&](const auto& s) {  // warp loop: staging
    const Part part = window.part(s.row);
    const A to = widen(target[static_cast<int64_t>(part.row) * heads]);
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: edges
      EntryPair<A> both;
#pragma unroll
      for (int u = 0; u < 2; ++u) {
        const unsigned e = window.edge(part, k) + u;
        both.weight.of[u] = -kInfinity<A>;
        both.offset[u] = 0;
        if (u == 1 && e >= part.end) continue;
        const int j = checked(p.col[e], sources);
        A score = widen(source[static_cast<int64_t>(j) * heads]);
        bool absent = score == -kInfinity<A> || (mask != nullptr && !mask[j]);
        score += to;
        if (p.edge_bias != nullptr) score += bias.of(checked(p.relation[e], relations));
        if (own != nullptr) {
          const int id = checked(p.edge_id[e], window.side.edges);
          const A extra = own[static_cast<int64_t>(id) * heads];
          absent = absent || extra == -kInfinity<A>;
          score += extra;
        }
        both.offset[u] = static_cast<uint32_t>(j);
        if (kForBackward && !(score > 0)) both.offset[u] |= kBelowZero;
        if (!absent) both.weight.of[u] = score > 0 ? score : score * p.slope;
      }
      entries[k] = both;
    }
  });
}

// A window of targets and the scores of its edges, in shared memory.
template <class T>
struct ScoredWindow {
  Window window;
  EntryPair<acc_t<T>>* entries;
  RelationBias<T> bias;

  __host__ __device__ ScoredWindow(Carver& carver, const GatProblem<T>& p, unsigned keys,
                                   unsigned first_key)
      : window(carver, keys, targets_of(p), first_key),
        entries(carver.take<EntryPair<acc_t<T>>>(Window::pairs(keys))),
        bias(carver, p) {}

  // All threads together.
  template <bool kForBackward>
  TEDG_DEVICE void fill(const GatProblem<T>& p, const Place& at) {
    bias.stage(p, at);
    window.find();
    window.sort();
    stage_scores<kForBackward>(window, p, at, bias, entries);
    __syncthreads();
  }
};

// Scores in `entries` <- the softmax of each row, or of each part by itself; finish(k, weights) may
// change them. The logarithm of the denominator goes to `lse` for whole rows and to `parts` for
// parts, where these are given.
template <class T, class Finish>
TEDG_DEVICE void softmax_window(const Window& window, const GatProblem<T>& p, const Place& at,
                                EntryPair<acc_t<T>>* entries, acc_t<T>* lse,
                                PartSums<acc_t<T>>* parts, const Finish& finish) {
  using A = acc_t<T>;
  softmax_rows(
      window.order, StagedScores<A>{}, [&](unsigned k) { return entries[k].weight; },
      [&](unsigned k, Two<A> v) { entries[k].weight = v; },
      [&](unsigned k) { return entries[k].weight; },
      [&](unsigned k, unsigned row, Two<A> v) { entries[k].weight = finish(k, row, v); },
      [&](unsigned row, A value) {
        if (row & Window::kSplit) {
          if (parts != nullptr) parts[window.part(row).slot()].lse = value;
        } else if (lse != nullptr) {
          lse[at.row_0(p, p.targets) + (window.first + row) * p.heads] = value;
        }
      });
}

// The parts of a row of several, and how their softmaxes make up the row's. A warp together.
template <class A>
struct RowOfParts {
  const PartSums<A>* sums;
  unsigned key;    // of the row
  unsigned count;  // parts
  A lse;

  TEDG_DEVICE RowOfParts(const Side& side, unsigned row, const PartSums<A>* sums) : sums(sums) {
    const unsigned begin = side.rowptr[row], end = side.rowptr[row + 1];
    key = begin + row;
    count = (end - begin + kPartEdges - 1) / kPartEdges;
    lse = 0;
  }
  TEDG_DEVICE unsigned slot(unsigned number) const {
    return 2 * (key / kPartEdges + number) + (number == 0 ? 1 : 0);
  }
  TEDG_DEVICE const PartSums<A>& of(unsigned number) const { return sums[slot(number)]; }
  TEDG_DEVICE void find_lse() {
    A top = -kInfinity<A>, total = 0;
    for (unsigned i = threadIdx.x % 32; i < count; i += 32) {
      top = of(i).lse > top ? of(i).lse : top;
    }
    top = group_max(top, 32);
    const A shift = top == -kInfinity<A> ? A{0} : top;
    for (unsigned i = threadIdx.x % 32; i < count; i += 32) total += exp_of(of(i).lse - shift);
    total = group_sum(total, 32);
    top_ = shift;
    scale_ = total == 0 ? A{0} : 1 / total;
    lse = total == 0 ? -kInfinity<A> : shift + log_of(total);
  }
  // What the weights of a part are to be multiplied with; after find_lse.
  TEDG_DEVICE A factor(unsigned number) const { return exp_of(of(number).lse - top_) * scale_; }
  // The sum of f(part's sums, factor) over the parts, in order, on all lanes.
  template <class F>
  TEDG_DEVICE A sum(const F& f) const {
    A sum = 0;
    for (unsigned i = threadIdx.x % 32; i < count; i += 32) sum += f(of(i), i);
    return group_sum(sum, 32);
  }

 private:
  A top_ = 0, scale_ = 0;
};

}  // namespace tedg::gpu
