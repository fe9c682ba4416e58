// Graph attention, the general path's backward. Over the targets: the weights as forward computed
// them, <grad_out[i], x[j]> of every edge and the scores' gradients, which go to scratch memory;
// over the sources, which gather grad_out by the weights found there; and edge_bias's gradient.
//
// A part of a long row knows its weights but for a factor, and no gradient, before all parts of the
// row have been seen: another launch finishes them.
#include "gat_general.cuh"

namespace tedg::gpu {

template <class T>
void gat_tile_backward(const GatProblem<T>& p, cudaStream_t stream);

namespace {

constexpr int64_t kBiasEdges = 4096;  // of a block that adds up edge_bias's gradient
constexpr int kMostParts = 16;        // of long rows that begin in one window

// What backward keeps of an edge: the weight that its features had (dropout included), and the
// gradient of its score before the LeakyReLU. Of a part, until it is finished: the weight
// within the part without dropout, with the sign of a score below zero, and <grad_out[i], x[j]>,
// dropout included.
template <class A>
struct alignas(2 * sizeof(A)) EdgeGradient {
  A weight, score;
};

template <class T>
TEDG_DEVICE EdgeGradient<acc_t<T>>* edges_of(const GatProblem<T>& p, const Place& at) {
  return reinterpret_cast<EdgeGradient<acc_t<T>>*>(p.edge) + at.local * p.edges;
}

template <class T>
TEDG_DEVICE void store_score_gradient(const GatProblem<T>& p, const Place& at, unsigned e,
                                      acc_t<T> gradient) {
  if (p.grad_score_edge == nullptr) return;
  const int64_t id = checked(p.edge_id[e], static_cast<int>(p.edges));
  p.grad_score_edge[(at.b * p.edges + id) * p.heads + at.h] = gradient;
}

// product[k] <- <grad_out[i], x[j]> of pair k's edges, 0 where a weight is. At least two lanes take
// a row: one half of them adds up the first edge's products, the other half the second's.
template <bool kAligned, class T>
TEDG_DEVICE void multiply_rows(const Window& window, const EntryPair<acc_t<T>>* entries,
                               const GatProblem<T>& p, const Place& at, int wanted,
                               Two<acc_t<T>>* product) {
  using A = acc_t<T>;
  const int shift = wanted > 1 ? wanted : 1;
  const unsigned stride = stride_bytes(p);
  const int width = static_cast<int>(p.width), chunks = chunks_of<T>(p.width);
  const int lane = threadIdx.x & ((1 << shift) - 1), half = 1 << shift >> 1;
  const T* x = p.x + at.row_0(p, p.sources) * width;
  const T* grad_out = p.grad_out + at.row_0(p, p.targets) * width;
#pragma unroll 1
  for (int c = lane; c - lane < chunks || c == lane; c += 1 << shift) {  // warp loop: columns
    const bool exists = c < chunks;
    for_rows(window.order, shift, [&](const auto& s) {  // warp loop: products
      Chunk<T> g{};
      if (exists) g = load_chunk(row_of(grad_out, window.row(s.row), stride), c, width, kAligned);
      const unsigned most = __shfl_sync(kAllLanes, s.end - s.begin, 0);  // the longest comes first
#pragma unroll 1
      for (unsigned i = 0; i < most; i += s.step) {  // warp loop: pairs
        const unsigned k = s.begin + i;
        EntryPair<A> both{};
        if (exists && k < s.end) both = entries[k];
        Chunk<T> to[2] = {};
#pragma unroll
        for (int u = 0; u < 2; ++u) {
          if (both.weight.of[u] == 0) continue;
          to[u] = load_chunk(row_of(x, both.offset[u] & ~kBelowZero, stride), c, width, kAligned);
        }
        A sum[2] = {inner_product<T>(0, g, to[0]), inner_product<T>(0, g, to[1])};
        const int u = (lane & half) != 0;
        A own = u ? sum[1] : sum[0];
        own += __shfl_xor_sync(kAllLanes, u ? sum[0] : sum[1], half);
#pragma unroll
        for (int step = 8; step > 0; step /= 2) {  // no loop in the machine code, as half is <= 16
          if (step < half) own += __shfl_xor_sync(kAllLanes, own, step);
        }
        if (k >= s.end || (lane & (half - 1)) != 0) continue;
        A& total = product[k].of[u];
        total = c == lane ? own : total + own;
      }
    });
  }
}

// The gradients of the scores, from the weights and products: to scratch memory, grad_score_dst and
// grad_score_edge for whole rows, and for parts what finishing them takes.
template <class T>
TEDG_DEVICE void score_gradients(const Window& window, const EntryPair<acc_t<T>>* entries,
                                 const Two<acc_t<T>>* product, const GatProblem<T>& p,
                                 const Place& at, PartSums<acc_t<T>>* parts) {
  using A = acc_t<T>;
  const int64_t row_0 = at.row_0(p, p.targets);
  EdgeGradient<A>* edges = edges_of(p, at);
  for_rows(window.order, 0, [&](const auto& s) {  // warp loop: gradients
    const Part part = window.part(s.row);
    // What an edge's product is in the end, and dropout's factor: a dropped one has none, whatever
    // its features hold.
    const auto with_dropout = [&](unsigned e, A& value) {
      if (p.dropout_seed == nullptr) return A{1};
      const A factor = kept(p, at, e);
      value = factor == 0 ? A{0} : factor * value;
      return factor;
    };
    A mean = 0;
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: mean
      const unsigned e = window.edge(part, k);
      const Two<A> weight = entries[k].weight;
      Two<A> by_weight = product[k];
#pragma unroll
      for (int u = 0; u < 2; ++u) {
        with_dropout(e + u, by_weight.of[u]);
        if (weight.of[u] != 0) mean += weight.of[u] * by_weight.of[u];
      }
    }
    mean = s.sum(mean);
    PartSums<A> sums{0, mean, 0, 0};
    const int64_t place = row_0 + part.row * p.heads;
    if (part.whole && p.grad_lse != nullptr) mean -= p.grad_lse[place];
    A sum = 0;
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: edges
      const unsigned e = window.edge(part, k);
      const EntryPair<A> both = entries[k];
      const Two<A> products = product[k];
#pragma unroll
      for (int u = 0; u < 2; ++u) {
        if (e + u >= part.end) continue;
        const A weight = both.weight.of[u];
        const bool below = (both.offset[u] & kBelowZero) != 0;
        const A slope = below ? p.slope : A{1};
        A by_weight = products.of[u];
        const A factor = with_dropout(e + u, by_weight);
        if (!(s.row & Window::kSplit)) {
          const A gradient = weight == 0 ? A{0} : weight * (by_weight - mean) * slope;
          sum += gradient;
          edges[e + u] = {weight * factor, gradient};
          store_score_gradient(p, at, e + u, gradient);
        } else {
          sums.slope += weight * slope;
          sums.product_slope += weight == 0 ? A{0} : weight * by_weight * slope;
          edges[e + u] = {below ? -weight : weight, by_weight};
        }
      }
    }
    sum = s.sum(sum);
    sums.slope = s.sum(sums.slope);
    sums.product_slope = s.sum(sums.product_slope);
    if (!s.writes) return;
    if (part.whole) {
      narrow(p.grad_score_dst[place], sum);
    } else {
      PartSums<A>& to = parts[part.slot()];
      to.product = sums.product;
      to.slope = sums.slope;
      to.product_slope = sums.product_slope;
    }
  });
}

template <class T, bool kAligned>
__global__ void __launch_bounds__(kThreads, kBlocks<T>) window_targets(GatProblem<T> p, Work work) {
  using A = acc_t<T>;
  const Place at(p, work);
  Carver carver(shared_memory());
  ScoredWindow<T> scored(carver, p, work.keys, at.first_key);
  auto* product = carver.take<Two<A>>(Window::pairs(work.keys));
  scored.template fill<true>(p, at);
  const Window& window = scored.window;
  auto* entries = scored.entries;
  const PartMemory<T> parts(p, at.local);
  softmax_window(window, p, at, entries, static_cast<A*>(nullptr), parts.sums,
                 [](unsigned, unsigned, Two<A> weight) { return weight; });
  __syncthreads();
  multiply_rows<kAligned>(window, entries, p, at, work.shift, product);
  __syncthreads();
  score_gradients(window, entries, product, p, at, parts.sums);
}

// Finishes the parts that begin in a window, a warp a part.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>) finish_targets(GatProblem<T> p, Work work) {
  using A = acc_t<T>;
  const Place at(p, work);
  Carver carver(shared_memory());
  Window window(carver, work.keys, targets_of(p), at.first_key);
  int* found = carver.take<int>(kMostParts + 1);  // how many, and which
  if (threadIdx.x == 0) found[0] = 0;
  window.find();
  for (int i = threadIdx.x; i < window.order.count; i += blockDim.x) {
    if (window.part(i).whole) continue;
    const int place = atomicAdd(&found[0], 1);
    if (place >= kMostParts) __trap();
    found[1 + place] = i;
  }
  __syncthreads();
  const PartMemory<T> parts(p, at.local);
  EdgeGradient<A>* edges = edges_of(p, at);
  for (int i = threadIdx.x / 32; i < found[0]; i += kWarps) {
    const Part part = window.part(found[1 + i]);
    const int64_t place = at.row_0(p, p.targets) + part.row * p.heads;
    RowOfParts<A> row(window.side, part.row, parts.sums);
    row.find_lse();
    // A part of no weight says nothing, whatever its sums hold.
    const auto total = [&](A PartSums<A>::* member) {
      return row.sum([&](const PartSums<A>& sums, unsigned n) {
        const A factor = row.factor(n);
        return factor == 0 ? A{0} : factor * (sums.*member);
      });
    };
    A mean = total(&PartSums<A>::product);
    if (p.grad_lse != nullptr) mean -= p.grad_lse[place];
    const A slope = total(&PartSums<A>::slope), product = total(&PartSums<A>::product_slope);
    if (part.first && threadIdx.x % 32 == 0) {
      narrow(p.grad_score_dst[place], product - mean * slope);
    }
    const A factor = row.factor((part.begin - window.side.rowptr[part.row]) / kPartEdges);
    for (unsigned e = part.begin + threadIdx.x % 32; e < part.end; e += 32) {
      const EdgeGradient<A> edge = edges[e];
      const A by_slope = signbit(edge.weight) ? p.slope : A{1};
      const A weight = size_of(edge.weight) * factor;
      const A gradient = weight == 0 ? A{0} : weight * (edge.score - mean) * by_slope;
      edges[e] = {p.dropout_seed == nullptr ? weight : weight * kept(p, at, e), gradient};
      store_score_gradient(p, at, e, gradient);
    }
  }
}

// grad_x and grad_score_src, from what the targets' kernels left of every edge.
template <class T, bool kAligned>
__global__ void __launch_bounds__(kThreads, kBlocks<T>) window_sources(GatProblem<T> p, Work work) {
  using A = acc_t<T>;
  const Place at(p, work);
  Carver carver(shared_memory());
  Window window(carver, work.keys, sources_of(p), at.first_key);
  auto* entries = carver.take<EntryPair<A>>(Window::pairs(work.keys));
  const PartMemory<T> parts(p, at.local);
  window.find();
  window.sort();
  const int64_t row_0 = at.row_0(p, p.sources);
  const EdgeGradient<A>* edges = edges_of(p, at);
  const int count = static_cast<int>(p.edges), targets = static_cast<int>(p.targets);
  for_rows(window.order, 0, [&](const auto& s) {  // warp loop: staging
    const Part part = window.part(s.row);
    A sum = 0;
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: edges
      EntryPair<A> both{};
#pragma unroll
      for (int u = 0; u < 2; ++u) {
        const unsigned place = window.edge(part, k) + u;
        if (place >= part.end) continue;
        const EdgeGradient<A> edge = edges[checked(p.t_edge[place], count)];
        both.weight.of[u] = edge.weight;
        both.offset[u] = static_cast<uint32_t>(checked(p.t_target[place], targets));
        sum += edge.score;
      }
      entries[k] = both;
    }
    sum = s.sum(sum);
    if (!s.writes) return;
    if (part.whole) {
      narrow(p.grad_score_src[row_0 + part.row * p.heads], sum);
    } else {
      parts.sums[part.slot()].product = sum;
    }
  });
  __syncthreads();
  const NamedRows<kAligned, T> grad_out(p, p.grad_out + at.row_0(p, p.targets) * p.width);
  gather_rows<kAligned>(window, entries, p, grad_out, work.shift, p.grad_x + row_0 * p.width,
                        parts);
}

// A run of edges: the sums of their scores' gradients by relation, a warp a relation.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    add_relations(GatProblem<T> p, int64_t first, int64_t runs) {
  const int64_t local = blockIdx.x / runs, run = blockIdx.x % runs;
  const auto* edges = reinterpret_cast<const EdgeGradient<acc_t<T>>*>(p.edge) + local * p.edges;
  const int64_t begin = run * kBiasEdges;
  const int64_t end = begin + kBiasEdges < p.edges ? begin + kBiasEdges : p.edges;
  acc_t<T>* to = p.bias_parts + ((first + local) * runs + run) * p.relations;
  for (int r = threadIdx.x / 32; r < p.relations; r += kWarps) {
    acc_t<T> sum = 0;
#pragma unroll 4
    for (int64_t e = begin + threadIdx.x % 32; e < end; e += 32) {
      if (p.relation[e] == r) sum += edges[e].score;
    }
    sum = group_sum(sum, 32);
    if (threadIdx.x % 32 == 0) to[r] = sum;
  }
}

template <class T>
void general_backward(const GatProblem<T>& p, int64_t first, int64_t heads, cudaStream_t stream) {
  using A = acc_t<T>;
  const char* name = "gat_attention_backward";
  check_stride(name, p);
  const Side targets = targets_of(p), sources = sources_of(p);
  Work work = work_of(p, first, p.targets);
  launch(name, p.aligned ? window_targets<T, true> : window_targets<T, false>, heads * work.windows,
         kThreads, carved_bytes([&](Carver& carver) {
           ScoredWindow<T>(carver, p, work.keys, 0);
           carver.take<Two<A>>(Window::pairs(work.keys));
         }),
         stream, p, work);
  if (may_have_parts(targets)) {
    launch(name, finish_targets<T>, heads * work.windows, kThreads,
           carved_bytes([&](Carver& carver) {
             Window(carver, work.keys, targets, 0);
             carver.take<int>(kMostParts + 1);
           }),
           stream, p, work);
  }
  work = work_of(p, first, p.sources);
  launch(name, p.aligned ? window_sources<T, true> : window_sources<T, false>, heads * work.windows,
         kThreads, carved_bytes([&](Carver& carver) {
           Window(carver, work.keys, sources, 0);
           carver.take<EntryPair<A>>(Window::pairs(work.keys));
         }),
         stream, p, work);
  add_parts<T, false>(name, p, first, heads, sources, p.grad_x, p.grad_score_src, stream);
  if (p.edge_bias == nullptr) return;
  const int64_t runs = gat_bias_parts(p);
  launch(name, add_relations<T>, heads * runs, kThreads, 0, stream, p, first, runs);
}

}  // namespace

template <class T>
int64_t gat_part_numbers(const GraphProblem<T>& p) {
  return PartMemory<T>::numbers(p);
}

template <class T>
int64_t gat_bias_parts(const GatProblem<T>& p) {
  return p.chunk == 0 || p.edges == 0 ? 1 : divided(p.edges, kBiasEdges);
}

template <class T>
void gat_backward(const GatProblem<T>& p, cudaStream_t stream) {
  if (p.chunk == 0) {
    gat_tile_backward(p, stream);
  } else {
    for_chunks(p, [&](int64_t first, int64_t heads) { general_backward(p, first, heads, stream); });
  }
  if (p.edge_bias == nullptr) return;
  launch("gat_attention_backward", add_runs<T>, divided(p.relations * p.heads, kWarps), kThreads, 0,
         stream, p.bias_parts, p.grad_edge_bias, p.batch, p.heads, gat_bias_parts(p), p.relations,
         p.heads, 1);
}

#define TEDG_INSTANTIATE(T)                                          \
  template int64_t gat_part_numbers<T>(const GraphProblem<T>&);       \
  template int64_t gat_bias_parts<T>(const GatProblem<T>&);           \
  template void gat_backward<T>(const GatProblem<T>&, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
