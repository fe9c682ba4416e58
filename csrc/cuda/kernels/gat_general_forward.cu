// Graph attention, the general path's forward, and the weights alone: graphs of any size, and
// batches too small to fill the device with tiles. Blocks take windows of rows (gat_window.cuh);
// features are read from device memory, where the second-level cache serves the gathers.
#include "gat_general.cuh"

namespace tedg::gpu {

template <class T>
void gat_tile_forward(const GatProblem<T>& p, cudaStream_t stream);

namespace {

template <class T>
int64_t scored_bytes(const GatProblem<T>& p, unsigned keys) {
  return carved_bytes([&](Carver& carver) { ScoredWindow<T>(carver, p, keys, 0); });
}

template <class T, bool kAligned>
__global__ void __launch_bounds__(kThreads, kBlocks<T>) window_forward(GatProblem<T> p, Work work) {
  using A = acc_t<T>;
  const Place at(p, work);
  Carver carver(shared_memory());
  ScoredWindow<T> scored(carver, p, work.keys, at.first_key);
  scored.template fill<false>(p, at);
  const Window& window = scored.window;
  auto* entries = scored.entries;
  const PartMemory<T> parts(p, at.local);
  softmax_window(window, p, at, entries, p.lse, parts.sums,
                 [&](unsigned k, unsigned row, Two<A> weight) {
                   if (p.dropout_seed == nullptr) return weight;
                   const unsigned e = window.edge(window.part(row), k);
                   for (int u = 0; u < 2; ++u) weight.of[u] *= kept(p, at, e + u);
                   return weight;
                 });
  __syncthreads();
  const NamedRows<kAligned, T> x(p, p.x + at.row_0(p, p.sources) * p.width);
  gather_rows<kAligned>(window, entries, p, x, work.shift, p.out + at.row_0(p, p.targets) * p.width,
                        parts);
}

// First the parts' softmaxes, for rows of several; when they are there (`last`), all weights.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    window_weights(GatProblem<T> p, Work work, bool last, T* out) {
  using A = acc_t<T>;
  const Place at(p, work);
  Carver carver(shared_memory());
  ScoredWindow<T> scored(carver, p, work.keys, at.first_key);
  scored.template fill<false>(p, at);
  const Window& window = scored.window;
  auto* entries = scored.entries;
  const PartMemory<T> parts(p, at.local);
  softmax_window(window, p, at, entries, static_cast<A*>(nullptr), last ? nullptr : parts.sums,
                 [](unsigned, unsigned, Two<A> weight) { return weight; });
  if (!last) return;
  __syncthreads();
  T* to = out + at.b * p.edges * p.heads + at.h;
  const int warps = blockDim.x / 32;
  for (int i = threadIdx.x / 32; i < window.order.count; i += warps) {
    const Part part = window.part(i);
    A factor = 1;
    if (!part.whole) {
      RowOfParts<A> row(window.side, part.row, parts.sums);
      row.find_lse();
      factor = row.factor((part.begin - window.side.rowptr[part.row]) / kPartEdges);
    }
    for (unsigned e = part.begin + threadIdx.x % 32; e < part.end; e += 32) {
      const unsigned slot = 2 * window.first_pair(part) + (e - part.begin);
      A weight = factor * entries[slot / 2].weight.of[slot % 2];
      if (p.dropout_seed != nullptr) weight *= kept(p, at, e);
      narrow(to[int64_t{checked(p.edge_id[e], window.side.edges)} * p.heads], weight);
    }
  }
}

}  // namespace

template <class T>
void gat_forward(const GatProblem<T>& p, cudaStream_t stream) {
  if (p.chunk == 0) return gat_tile_forward(p, stream);
  const char* name = "gat_attention";
  check_stride(name, p);
  const auto kernel = p.aligned ? window_forward<T, true> : window_forward<T, false>;
  for_chunks(p, [&](int64_t first, int64_t heads) {
    const Work work = work_of(p, first, p.targets);
    launch(name, kernel, heads * work.windows, kThreads, scored_bytes(p, work.keys), stream, p,
           work);
    add_parts<T, true>(name, p, first, heads, targets_of(p), p.out, p.lse, stream);
  });
}

template <class T>
void gat_weights(const GatProblem<T>& p, T* out, cudaStream_t stream) {
  for_chunks(p, [&](int64_t first, int64_t heads) {
    const Work work = work_of(p, first, p.targets);
    for (const bool last : {false, true}) {
      if (!last && !may_have_parts(targets_of(p))) continue;
      launch("gat_attention_weights", window_weights<T>, heads * work.windows, kThreads,
             scored_bytes(p, work.keys), stream, p, work, last, out);
    }
  });
}

#define TEDG_INSTANTIATE(T)                                        \
  template void gat_forward<T>(const GatProblem<T>&, cudaStream_t); \
  template void gat_weights<T>(const GatProblem<T>&, T*, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
