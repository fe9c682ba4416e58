// The scores of GATv2 (Brody, Alon & Yahav 2022, equation 7), and their gradients.
//
// With z = x_src[j] + x_dst[i] + x_edge[e] and s = 1 where z > 0, else the slope, the score of edge
// e = j -> i is sum_d att[d] s[d] z[d]. From g, the gradient of a score, each of the rows gets
// g att s, and att gets g s z. An edge whose g is 0 is skipped, whatever its rows hold.
//
// What belongs to edges (scores, the gradients of x_edge and att) is computed in runs of edges in
// the order of their sources; the rows of targets and sources are gathered as on the general path.
#include "gat_general.cuh"

namespace tedg::gpu {
namespace {

constexpr int64_t kRunEdges = 256;
// Blocks a multiprocessor: chunks of 16-bit numbers are the widest as sums, and must not spill.
template <class T>
constexpr int kRowBlocks = sizeof(T) == 2 ? 3 : kBlocks<T>;

// One head of one sample.
template <bool kAligned, class T>
struct HeadRows {
  using A = acc_t<T>;
  using Wide = WideChunk<T>;
  const T *src, *dst, *att, *edge;  // edge: null without x_edge
  unsigned stride;
  int width;
  A slope;

  TEDG_DEVICE HeadRows(const GatV2Problem<T>& p, int64_t b, int64_t h)
      : src(p.x_src + (b * p.sources * p.heads + h) * p.width),
        dst(p.x_dst + (b * p.targets * p.heads + h) * p.width),
        att(p.att + h * p.width),
        edge(p.x_edge == nullptr ? nullptr : p.x_edge + h * p.width),
        stride(stride_bytes(p)),
        width(static_cast<int>(p.width)),
        slope(p.slope) {}

  TEDG_DEVICE void add(Wide& sum, const T* rows, uint32_t row, int c) const {
    const Chunk<T> chunk = load_chunk(row_of(rows, row, stride), c, width, kAligned);
#pragma unroll
    for (int i = 0; i < Chunk<T>::kSize; ++i) sum.v[i] += widen(chunk.v[i]);
  }
  // Chunk c of att.
  TEDG_DEVICE Wide weights(int c) const {
    Wide chunk{};
    add(chunk, att, 0, c);
    return chunk;
  }
  // Chunk c of z.
  TEDG_DEVICE Wide sum(uint32_t source, uint32_t target, uint32_t id, int c) const {
    Wide z{};
    add(z, src, source, c);
    add(z, dst, target, c);
    if (edge != nullptr) add(z, edge, id, c);
    return z;
  }
  TEDG_DEVICE A factor(A z) const { return z > 0 ? A{1} : slope; }
};

// Edge number k in the order of the sources, with its indices checked.
struct Edge {
  uint32_t source, target, id;

  template <class T>
  TEDG_DEVICE Edge(const GatV2Problem<T>& p, int64_t k) {
    const int edges = static_cast<int>(p.edges), place = checked(p.t_edge[k], edges);
    source = checked(p.col[place], static_cast<int>(p.sources));
    target = checked(p.t_target[k], static_cast<int>(p.targets));
    id = checked(p.edge_id[place], edges);
  }
};

// A block's run of edges [begin, end), of head number `head`; 1 << shift lanes an edge.
struct Run {
  int64_t head, number, begin, end;
  unsigned lane, group, groups;

  template <class T>
  TEDG_DEVICE Run(const GatV2Problem<T>& p, int shift) {
    const int64_t runs = divided(p.edges, kRunEdges);
    head = blockIdx.x / runs;
    number = blockIdx.x % runs;
    begin = number * kRunEdges;
    end = begin + kRunEdges < p.edges ? begin + kRunEdges : p.edges;
    lane = threadIdx.x & ((1u << shift) - 1);
    group = threadIdx.x >> shift;
    groups = blockDim.x >> shift;
  }
};

template <bool kAligned, class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>) score_edges(GatV2Problem<T> p, int shift) {
  using A = acc_t<T>;
  const Run run(p, shift);
  const int64_t b = run.head / p.heads, h = run.head % p.heads;
  const HeadRows<kAligned, T> rows(p, b, h);
  const int chunks = chunks_of<T>(p.width);
  for (int64_t base = run.begin; base < run.end; base += run.groups) {
    const int64_t k = base + run.group;
    A sum = 0;
    uint32_t id = 0;
    if (k < run.end) {
      const Edge e(p, k);
      id = e.id;
      for (int c = run.lane; c < chunks; c += 1 << shift) {
        const auto z = rows.sum(e.source, e.target, id, c), att = rows.weights(c);
#pragma unroll
        for (int i = 0; i < Chunk<T>::kSize; ++i) sum += att.v[i] * (z.v[i] * rows.factor(z.v[i]));
      }
    }
    sum = group_sum(sum, 1 << shift);
    if (k < run.end && run.lane == 0) p.score[(b * p.edges + id) * p.heads + h] = sum;
  }
}

// att_parts and grad_x_edge from a run of edges; the samples share the latter, so a block takes
// all of them where there is one.
template <bool kAligned, class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    edge_gradients(GatV2Problem<T> p, int shift) {
  using A = acc_t<T>;
  constexpr int kSize = Chunk<T>::kSize;
  A* share = reinterpret_cast<A*>(shared_memory());  // [kThreads, kSize]
  const Run run(p, shift);
  const int64_t h = run.head % p.heads;
  const int64_t first = p.x_edge == nullptr ? run.head / p.heads : 0;
  const int64_t last = p.x_edge == nullptr ? first + 1 : p.batch;
  const int chunks = chunks_of<T>(p.width), width = static_cast<int>(p.width);
  const int64_t runs = divided(p.edges, kRunEdges);
  A* part = p.att_parts + (run.head * runs + run.number) * p.width;
  for (int c = run.lane; c - static_cast<int>(run.lane) < chunks; c += 1 << shift) {
    A by_att[kSize] = {};
    for (int64_t k = run.begin + run.group; c < chunks && k < run.end; k += run.groups) {
      const Edge e(p, k);
      A by_edge[kSize] = {};
      for (int64_t b = first; b < last; ++b) {
        const A g = p.grad[(b * p.edges + e.id) * p.heads + h];
        if (g == 0) continue;
        const HeadRows<kAligned, T> rows(p, b, h);
        const auto z = rows.sum(e.source, e.target, e.id, c), att = rows.weights(c);
#pragma unroll
        for (int i = 0; i < kSize; ++i) {
          const A by = g * rows.factor(z.v[i]);
          by_att[i] += by * z.v[i];
          by_edge[i] += by * att.v[i];
        }
      }
      if (p.x_edge == nullptr) continue;
      T* to = p.grad_x_edge + (e.id * p.heads + h) * p.width;
      store_chunk(to, c, width, kAligned, by_edge);
    }
    for (int i = 0; i < kSize; ++i) share[threadIdx.x * kSize + i] = by_att[i];
    __syncthreads();
    for (int i = threadIdx.x; i < kSize << shift; i += blockDim.x) {
      const int at = (c - static_cast<int>(run.lane)) * kSize + i;
      A sum = 0;
      for (unsigned n = 0; n < run.groups; ++n) sum += share[n * (kSize << shift) + i];
      if (at < width) part[at] = sum;
    }
    __syncthreads();
  }
}

// What the rows of one end of the edges get: chunk c of att s, where s is that of
// z = own row + other row + x_edge.
template <bool kAligned, bool kTargets, class T>
struct ScoreGradients {
  const GatV2Problem<T>& p;
  const Window& window;
  HeadRows<kAligned, T> rows;

  TEDG_DEVICE auto operator()(unsigned row, int c) const {
    const uint32_t own = window.row(row);
    const WideChunk<T> att = rows.weights(c);
    return [this, row, c, own, att](uint32_t other, acc_t<T> grad, unsigned k, int u) {
      WideChunk<T> chunk{};
      if (grad == 0) return chunk;
      uint32_t id = 0;
      if (rows.edge != nullptr) {
        const unsigned place = window.edge(window.part(row), k) + u;
        id = checked(p.edge_id[kTargets ? place : p.t_edge[place]], static_cast<int>(p.edges));
      }
      chunk = rows.sum(kTargets ? other : own, kTargets ? own : other, id, c);
#pragma unroll
      for (int i = 0; i < Chunk<T>::kSize; ++i) chunk.v[i] = att.v[i] * rows.factor(chunk.v[i]);
      return chunk;
    };
  }
};

template <bool kAligned, bool kTargets, class T>
__global__ void __launch_bounds__(kThreads, kRowBlocks<T>)
    row_gradients(GatV2Problem<T> p, Work work) {
  using A = acc_t<T>;
  const Place at(p, work);
  Carver carver(shared_memory());
  Window window(carver, work.keys, kTargets ? targets_of(p) : sources_of(p), at.first_key);
  auto* entries = carver.take<EntryPair<A>>(Window::pairs(work.keys));
  window.find();
  window.sort();
  const int edges = static_cast<int>(p.edges);
  const int others = static_cast<int>(kTargets ? p.sources : p.targets);
  const A* grad = p.grad + at.row_0(p, p.edges);
  for_rows(window.order, 0, [&](const auto& s) {  // warp loop: staging
    const Part part = window.part(s.row);
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: edges
      EntryPair<A> both{};
      for (int u = 0; u < 2; ++u) {
        const unsigned place = window.edge(part, k) + u;
        if (place >= part.end) continue;
        const int e = kTargets ? static_cast<int>(place) : checked(p.t_edge[place], edges);
        const int64_t id = checked(p.edge_id[e], edges);
        both.weight.of[u] = grad[id * p.heads];
        both.offset[u] =
            static_cast<uint32_t>(checked(kTargets ? p.col[place] : p.t_target[place], others));
      }
      entries[k] = both;
    }
  });
  __syncthreads();
  const ScoreGradients<kAligned, kTargets, T> features{p, window,
                                                       HeadRows<kAligned, T>(p, at.b, at.h)};
  T* out = kTargets ? p.grad_x_dst + at.row_0(p, p.targets) * p.width
                    : p.grad_x_src + at.row_0(p, p.sources) * p.width;
  gather_rows<kAligned>(window, entries, p, features, work.shift, out, PartMemory<T>(p, at.local));
}

template <bool kTargets, class T>
void gather_gradients(const GatV2Problem<T>& p, int64_t first, int64_t heads, cudaStream_t stream) {
  const char* name = "gatv2_scores_backward";
  const Side side = kTargets ? targets_of(p) : sources_of(p);
  const Work work = work_of(p, first, side.rows);
  const int64_t bytes = carved_bytes([&](Carver& carver) {
    Window(carver, work.keys, side, 0);
    carver.take<EntryPair<acc_t<T>>>(Window::pairs(work.keys));
  });
  launch(name, p.aligned ? row_gradients<true, kTargets, T> : row_gradients<false, kTargets, T>,
         heads * work.windows, kThreads, bytes, stream, p, work);
  add_parts<T, false>(name, p, first, heads, side, kTargets ? p.grad_x_dst : p.grad_x_src,
                      static_cast<acc_t<T>*>(nullptr), stream);
}

// Samples whose edges are added up apart: all share x_edge's gradient, where there is one.
template <class T>
int64_t samples_apart(const GatV2Problem<T>& p) {
  return p.x_edge == nullptr ? p.batch : 1;
}

}  // namespace

template <class T>
int64_t gatv2_att_parts(const GatV2Problem<T>& p) {
  return samples_apart(p) * divided(p.edges, kRunEdges);
}

template <class T>
void gatv2_scores(const GatV2Problem<T>& p, cudaStream_t stream) {
  const char* name = "gatv2_scores";
  check_stride(name, p);
  launch(name, p.aligned ? score_edges<true, T> : score_edges<false, T>,
         p.batch * p.heads * divided(p.edges, kRunEdges), kThreads, 0, stream, p,
         work_of(p, 0, 0).shift);
}

template <class T>
void gatv2_scores_backward(const GatV2Problem<T>& p, cudaStream_t stream) {
  const char* name = "gatv2_scores_backward";
  check_stride(name, p);
  for_chunks(p, [&](int64_t first, int64_t heads) {
    gather_gradients<true>(p, first, heads, stream);
    gather_gradients<false>(p, first, heads, stream);
  });
  const int64_t runs = divided(p.edges, kRunEdges);
  launch(name, p.aligned ? edge_gradients<true, T> : edge_gradients<false, T>,
         samples_apart(p) * p.heads * runs, kThreads, kThreads * int64_t{sizeof(WideChunk<T>)},
         stream, p, work_of(p, 0, 0).shift);
  launch(name, add_runs<T>, divided(p.heads * p.width, kWarps), kThreads, 0, stream, p.att_parts,
         p.grad_att, samples_apart(p), p.heads, runs, p.width, 1, p.width);
}

#define TEDG_INSTANTIATE(T)                                             \
  template int64_t gatv2_att_parts<T>(const GatV2Problem<T>&);           \
  template void gatv2_scores<T>(const GatV2Problem<T>&, cudaStream_t);   \
  template void gatv2_scores_backward<T>(const GatV2Problem<T>&, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
