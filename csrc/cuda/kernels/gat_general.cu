// Graph attention, the general path: graphs of any size, and batches too small to fill the device
// with tiles. The weights of a number of samples at a time go through scratch memory [chunk, H,
// E]; features are read from device memory, where the second-level cache serves the gathers.
// Also the weights alone, and the sum of edge_bias's gradient over the samples.
#include "gat_rows.cuh"

namespace tedg::gpu {

template <class T>
void gat_tile_forward(const GatProblem<T>& p, cudaStream_t stream);
template <class T>
void gat_tile_backward(const GatProblem<T>& p, cudaStream_t stream);

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
template <class T>
constexpr int kBlocks = sizeof(T) == 8 ? 2 : 3;  // a multiprocessor, so that nothing spills

// A part of the work: some blocks of rows of one of the heads [first, first + heads) of the
// batch; `local` counts heads from `first`, as the scratch memory does.
struct Part {
  int64_t b, h, local;
  int warp, warps;
};

template <class T>
TEDG_DEVICE Part part_of(const GatProblem<T>& p, int64_t first, int64_t blocks_a_head) {
  const int64_t local = blockIdx.x / blocks_a_head;
  const int64_t block = blockIdx.x % blocks_a_head;
  const int64_t head = first + local;
  return {head / p.heads, head % p.heads, local,
          static_cast<int>(block * kWarps + threadIdx.x / 32),
          static_cast<int>(blocks_a_head * kWarps)};
}

int64_t blocks_for(int64_t rows, int group) {
  const int64_t blocks = divided(rows * group, kThreads);
  return blocks < 1 ? 1 : blocks;
}

template <class T>
int group_of(const GatProblem<T>& p) {
  const int chunks = chunks_of<T>(p.width);
  return power_of_two(chunks, 32);
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    softmax_kernel(GatProblem<T> p, int64_t first, int64_t blocks_a_head) {
  const Part part = part_of(p, first, blocks_a_head);
  const Scores<T, int32_t> scores =
      scores_of<T, int32_t>(p, part.b, part.h, p.col, nullptr);
  acc_t<T>* weight = p.weight + part.local * p.edges;
  acc_t<T>* lse = p.lse + part.b * p.targets * p.heads + part.h;
  for_rows(static_cast<int>(p.targets), p.edges, p.rowptr, kScoreLanes, part.warp, part.warps,
           [&](const Share& s) {
             softmax_row(s, scores, lse, [&](int e, acc_t<T> w) { weight[e] = w; });
           });
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    out_kernel(GatProblem<T> p, int64_t first, int64_t blocks_a_head, int group) {
  using A = acc_t<T>;
  const Part part = part_of(p, first, blocks_a_head);
  const A* weight = p.weight + part.local * p.edges;
  const int64_t stride = p.heads * p.width;
  const T* x = p.x + (part.b * p.sources * p.heads + part.h) * p.width;
  T* out = p.out + (part.b * p.targets * p.heads + part.h) * p.width;
  const int chunks = chunks_of<T>(p.width);
  const auto edge = [&](int e, A& w) {
    w = weight[e];
    return checked(p.col[e], p.sources);
  };
  for_rows(static_cast<int>(p.targets), p.edges, p.rowptr, group, part.warp, part.warps,
           [&](const Share& s) {
             for (int at = 0; at < chunks; at += group) {
               gather_row<T>(
                   s, group, chunks - at, edge,
                   [&](int j, int c) {
                     return load_chunk(x + j * stride, at + c, p.width, p.aligned);
                   },
                   [&](int i, int c, const A(&sum)[Chunk<T>::kSize]) {
                     store_chunk(out + i * stride, at + c, p.width, p.aligned, sum);
                   });
             }
           });
}

// dscore[e] <- <grad_out[i], x[j]> for the edges of a row; a group of lanes an edge.
template <class T>
TEDG_DEVICE void edge_products(const Share& s, int group, int chunks, const GatProblem<T>& p,
                               const T* x, const T* grad_out, const acc_t<T>* weight,
                               acc_t<T>* dscore) {
  using A = acc_t<T>;
  const int64_t stride = p.heads * p.width;
  for (int e = s.begin + s.lane / group; __any_sync(kAllLanes, e < s.end);
       e += s.lanes / group) {
    A sum = 0;
    if (e < s.end && weight[e] != 0) {
      const T* from = x + checked(p.col[e], p.sources) * stride;
      const T* to = grad_out + s.row * stride;
      for (int c = s.lane % group; c < chunks; c += group) {
        const Chunk<T> f = load_chunk(from, c, p.width, p.aligned);
        const Chunk<T> g = load_chunk(to, c, p.width, p.aligned);
        for (int i = 0; i < Chunk<T>::kSize; ++i) sum += widen(f.v[i]) * widen(g.v[i]);
      }
    }
    sum = group_sum(sum, group);
    if (e < s.end && s.lane % group == 0) dscore[e] = sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    targets_kernel(GatProblem<T> p, int64_t first, int64_t blocks_a_head, int group) {
  using A = acc_t<T>;
  const Part part = part_of(p, first, blocks_a_head);
  A* weight = p.weight + part.local * p.edges;
  A* dscore = p.dscore + part.local * p.edges;
  const int64_t at = part.b * p.targets * p.heads + part.h;
  const Scores<T, int32_t> scores =
      scores_of<T, int32_t>(p, part.b, part.h, p.col, nullptr);
  const T* x = p.x + (part.b * p.sources * p.heads + part.h) * p.width;
  const T* grad_out = p.grad_out + at * p.width;
  const A* grad_lse = p.grad_lse == nullptr ? nullptr : p.grad_lse + at;
  for_rows(static_cast<int>(p.targets), p.edges, p.rowptr, group, part.warp, part.warps,
           [&](const Share& s) {
             softmax_row(s, scores, static_cast<A*>(nullptr), [&](int e, A w) { weight[e] = w; });
             __syncwarp();
             edge_products(s, group, chunks_of<T>(p.width), p, x, grad_out, weight, dscore);
             __syncwarp();
             score_gradients(s, scores, weight, dscore, grad_lse, p.grad_score_dst + at);
           });
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    sources_kernel(GatProblem<T> p, int64_t first, int64_t blocks_a_head, int group) {
  using A = acc_t<T>;
  const Part part = part_of(p, first, blocks_a_head);
  const A* weight = p.weight + part.local * p.edges;
  const A* dscore = p.dscore + part.local * p.edges;
  const int64_t stride = p.heads * p.width;
  const T* grad_out = p.grad_out + (part.b * p.targets * p.heads + part.h) * p.width;
  const int64_t at = part.b * p.sources * p.heads + part.h;
  const int chunks = chunks_of<T>(p.width);
  const auto edge = [&](int k, A& w) {
    w = weight[checked(p.t_edge[k], p.edges)];
    return checked(p.t_target[k], p.targets);
  };
  for_rows(static_cast<int>(p.sources), p.edges, p.t_rowptr, group, part.warp, part.warps,
           [&](const Share& s) {
             source_gradient(s, p.t_edge, p.edges, dscore, p.heads, p.grad_score_src + at);
             for (int from = 0; from < chunks; from += group) {
               gather_row<T>(
                   s, group, chunks - from, edge,
                   [&](int i, int c) {
                     return load_chunk(grad_out + i * stride, from + c, p.width, p.aligned);
                   },
                   [&](int j, int c, const A(&sum)[Chunk<T>::kSize]) {
                     store_chunk(p.grad_x + at * p.width + j * stride, from + c, p.width,
                                 p.aligned, sum);
                   });
             }
           });
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    relations_kernel(GatProblem<T> p, int64_t first) {
  relation_sums(p.relation, p.edges, p.relations, p.dscore + blockIdx.x * p.edges,
                p.bias_parts + (first + blockIdx.x) * p.relations, threadIdx.x / 32, kWarps);
}

// grad_edge_bias[r, h] <- the sum over the samples; a warp a number.
template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>) bias_kernel(GatProblem<T> p) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (at >= p.relations * p.heads) return;  // a whole warp leaves
  const int64_t r = at / p.heads, h = at % p.heads;
  acc_t<T> sum = 0;
  for (int64_t b = threadIdx.x % 32; b < p.batch; b += 32) {
    sum += p.bias_parts[(b * p.heads + h) * p.relations + r];
  }
  sum = group_sum(sum, 32);
  if (threadIdx.x % 32 == 0) narrow(p.grad_edge_bias[at], sum);
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks<T>)
    weights_kernel(GatProblem<T> p, int64_t blocks_a_head, const int32_t* edge_id, T* out) {
  const Part part = part_of(p, 0, blocks_a_head);
  const Scores<T, int32_t> scores =
      scores_of<T, int32_t>(p, part.b, part.h, p.col, nullptr);
  T* to = out + part.b * p.edges * p.heads + part.h;
  for_rows(static_cast<int>(p.targets), p.edges, p.rowptr, kScoreLanes, part.warp, part.warps,
           [&](const Share& s) {
             softmax_row(s, scores, static_cast<acc_t<T>*>(nullptr), [&](int e, acc_t<T> w) {
               narrow(to[checked(edge_id[e], p.edges) * p.heads], w);
             });
           });
}

// Calls f(first head, number of heads) for the chunks of samples that the scratch has room for.
template <class T, class F>
void for_chunks(const GatProblem<T>& p, const F& f) {
  for (int64_t b = 0; b < p.batch; b += p.chunk) {
    const int64_t samples = p.batch - b < p.chunk ? p.batch - b : p.chunk;
    f(b * p.heads, samples * p.heads);
  }
}

}  // namespace

template <class T>
void gat_forward(const GatProblem<T>& p, cudaStream_t stream) {
  if (p.chunk == 0) return gat_tile_forward(p, stream);
  const int group = group_of(p);
  const int64_t by_score = blocks_for(p.targets, kScoreLanes);
  const int64_t by_feature = blocks_for(p.targets, group);
  for_chunks(p, [&](int64_t first, int64_t heads) {
    launch("gat_attention", softmax_kernel<T>, heads * by_score, kThreads, 0, stream, p, first,
           by_score);
    if (p.width == 0) return;
    launch("gat_attention", out_kernel<T>, heads * by_feature, kThreads, 0, stream, p, first,
           by_feature, group);
  });
}

template <class T>
void gat_backward(const GatProblem<T>& p, cudaStream_t stream) {
  const char* name = "gat_attention_backward";
  if (p.chunk == 0) {
    gat_tile_backward(p, stream);
  } else {
    const int group = group_of(p);
    const int64_t by_target = blocks_for(p.targets, group);
    const int64_t by_source = blocks_for(p.sources, group);
    for_chunks(p, [&](int64_t first, int64_t heads) {
      launch(name, targets_kernel<T>, heads * by_target, kThreads, 0, stream, p, first,
             by_target, group);
      launch(name, sources_kernel<T>, heads * by_source, kThreads, 0, stream, p, first,
             by_source, group);
      if (p.edge_bias == nullptr) return;
      launch(name, relations_kernel<T>, heads, kThreads, 0, stream, p, first);
    });
  }
  if (p.edge_bias == nullptr) return;
  launch(name, bias_kernel<T>, divided(p.relations * p.heads, kWarps), kThreads, 0, stream, p);
}

template <class T>
void gat_weights(const GatProblem<T>& p, const int32_t* edge_id, T* out, cudaStream_t stream) {
  const int64_t blocks = blocks_for(p.targets, kScoreLanes);
  launch("gat_attention_weights", weights_kernel<T>, p.batch * p.heads * blocks, kThreads, 0,
         stream, p, blocks, edge_id, out);
}

#define TEDG_INSTANTIATE(T)                                         \
  template void gat_forward<T>(const GatProblem<T>&, cudaStream_t);  \
  template void gat_backward<T>(const GatProblem<T>&, cudaStream_t); \
  template void gat_weights<T>(const GatProblem<T>&, const int32_t*, T*, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
