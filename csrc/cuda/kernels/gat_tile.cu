// Graph attention, the tile path: a block owns one (sample, head) and reads all that belongs to
// it once. Slice by slice of 128 bytes, the features go into shared memory, and every gather
// along an edge happens there.
//
// Forward: while the first slice is on its way, all weights are computed into shared memory; then
// each slice gives a slice of out.
// Backward: each pair of slices, of x and of grad_out, first adds its share to
// <grad_out[i], x[j]> of all edges (an edge a lane), then gives a slice of grad_x by walking the
// transpose; the slices' end gives the scores' gradients. x's next slice is on its way during the
// second walk.
#include "gat_tile.cuh"

namespace tedg::gpu {
namespace {

constexpr int kForwardThreads = 512;  // two blocks a multiprocessor: one copies, one computes
// One block a multiprocessor, with the registers that let nothing spill.
template <class T>
constexpr int kBackwardThreads = sizeof(T) == 8 ? 512 : 768;
constexpr int64_t kTilesToFill = 64;  // fewer tiles than this leave most multiprocessors idle

template <class T>
int slice_chunks(const GatProblem<T>& p) {
  const int chunks = chunks_of<T>(p.width);
  return chunks < kSliceChunks ? chunks : kSliceChunks;
}

template <class T>
int64_t forward_bytes(const GatProblem<T>& p) {
  using A = acc_t<T>;
  return carved<Chunk<T>>(p.sources * slice_chunks(p)) + carved<A>(p.edges) +
         carved<A>(p.sources) + carved<uint16_t>(p.edges) + carved<uint16_t>(p.targets + 1);
}

template <class T>
int64_t backward_bytes(const GatProblem<T>& p) {
  using A = acc_t<T>;
  return carved<Chunk<T>>(p.sources * slice_chunks(p)) +
         carved<Chunk<T>>(p.targets * slice_chunks(p)) + 2 * carved<A>(p.edges) +
         carved<A>(p.sources) + 3 * carved<uint16_t>(p.edges) +
         carved<uint16_t>(p.targets + 1) + carved<uint16_t>(p.sources + 1);
}

// No more warps than there are rows for.
int threads_for(int64_t rows, int group, int limit) {
  const int64_t warps = divided(rows * group, 32);
  return static_cast<int>(warps < 1 ? 32 : (warps * 32 < limit ? warps * 32 : limit));
}

template <class T>
__global__ void __launch_bounds__(kForwardThreads, sizeof(T) == 8 ? 1 : 2)
    tile_forward(GatProblem<T> p) {
  using A = acc_t<T>;
  const int64_t b = blockIdx.x / p.heads, h = blockIdx.x % p.heads;
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const int chunks = chunks_of<T>(p.width);
  const int slice = chunks < kSliceChunks ? chunks : kSliceChunks;
  Carver carver(shared_memory());
  Chunk<T>* tile = carver.take<Chunk<T>>(p.sources * slice);
  A* weight = carver.take<A>(p.edges);
  A* source_score = carver.take<A>(p.sources);
  uint16_t* col = carver.take<uint16_t>(p.edges);
  uint16_t* rowptr = carver.take<uint16_t>(p.targets + 1);

  const int64_t stride = p.heads * p.width;
  const T* x = p.x + (b * p.sources * p.heads + h) * p.width;
  T* out = p.out + (b * p.targets * p.heads + h) * p.width;
  copy_slice(tile, x, p.sources, stride, 0, slice, p.width, p.aligned);
  const Scores<T, uint16_t> scores = scores_of(p, b, h, col, source_score);
  copy_source_scores(source_score, scores);
  copy_indices(col, p.col, p.edges, p.sources);
  copy_indices(rowptr, p.rowptr, p.targets + 1, p.edges + 1);
  __syncthreads();
  A* lse = p.lse + b * p.targets * p.heads + h;
  const int targets = static_cast<int>(p.targets);
  for_rows(targets, p.edges, rowptr, kScoreLanes, warp, warps,
           [&](const Share& s) { softmax_row(s, scores, weight, lse); });

  const int group = power_of_two(slice, kSliceChunks);
  for (int first = 0; first < chunks; first += slice) {
    const int count = chunks - first < slice ? chunks - first : slice;
    wait_for_copies();
    __syncthreads();
    for_rows(targets, p.edges, rowptr, group, warp, warps, [&](const Share& s) {
      gather_row<T>(
          s, group, count,
          [&](int e, A& w) {
            w = weight[e];
            return col[e];
          },
          [&](int j, int c) { return tile[j * count + c]; },
          [&](int i, int c, const A(&sum)[Chunk<T>::kSize]) {
            store_chunk(out + i * stride, first + c, p.width, p.aligned, sum);
          });
    });
    const int next = first + slice;
    if (next >= chunks) break;
    __syncthreads();  // everyone is done with the slice
    copy_slice(tile, x, p.sources, stride, next, chunks - next < slice ? chunks - next : slice,
               p.width, p.aligned);
  }
}

template <class T>
__global__ void __launch_bounds__(kBackwardThreads<T>, 1) tile_backward(GatProblem<T> p) {
  using A = acc_t<T>;
  const int64_t b = blockIdx.x / p.heads, h = blockIdx.x % p.heads;
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const int chunks = chunks_of<T>(p.width);
  const int slice = chunks < kSliceChunks ? chunks : kSliceChunks;
  Carver carver(shared_memory());
  Chunk<T>* x_tile = carver.take<Chunk<T>>(p.sources * slice);
  Chunk<T>* grad_tile = carver.take<Chunk<T>>(p.targets * slice);
  A* weight = carver.take<A>(p.edges);
  A* dscore = carver.take<A>(p.edges);
  A* source_score = carver.take<A>(p.sources);
  uint16_t* col = carver.take<uint16_t>(p.edges);
  uint16_t* target = carver.take<uint16_t>(p.edges);
  uint16_t* t_edge = carver.take<uint16_t>(p.edges);
  uint16_t* rowptr = carver.take<uint16_t>(p.targets + 1);
  uint16_t* t_rowptr = carver.take<uint16_t>(p.sources + 1);

  const int64_t stride = p.heads * p.width;
  const int64_t x_at = (b * p.sources * p.heads + h) * p.width;
  const T* grad_out = p.grad_out + (b * p.targets * p.heads + h) * p.width;
  const auto copy_x = [&](int first) {
    copy_slice(x_tile, p.x + x_at, p.sources, stride, first,
               chunks - first < slice ? chunks - first : slice, p.width, p.aligned);
  };
  const auto copy_grad = [&](int first) {
    copy_slice(grad_tile, grad_out, p.targets, stride, first,
               chunks - first < slice ? chunks - first : slice, p.width, p.aligned);
  };
  copy_x(0);
  copy_grad(0);
  const Scores<T, uint16_t> scores = scores_of(p, b, h, col, source_score);
  copy_source_scores(source_score, scores);
  copy_indices(col, p.col, p.edges, p.sources);
  copy_indices(t_edge, p.t_edge, p.edges, p.edges);
  copy_indices(rowptr, p.rowptr, p.targets + 1, p.edges + 1);
  copy_indices(t_rowptr, p.t_rowptr, p.sources + 1, p.edges + 1);
  // A broken rowptr may leave edges without a row: they have weight 0.
  for (int64_t e = threadIdx.x; e < p.edges; e += blockDim.x) {
    weight[e] = 0;
    dscore[e] = 0;
    target[e] = 0;
  }
  __syncthreads();
  const int targets = static_cast<int>(p.targets), sources = static_cast<int>(p.sources);
  const A* lse = p.lse + b * p.targets * p.heads + h;
  for_rows(targets, p.edges, rowptr, kScoreLanes, warp, warps, [&](const Share& s) {
    const Weights<T, uint16_t> weights(scores, lse, s);
    A factor;
    for (int e = s.begin + s.lane; e < s.end; e += s.lanes) {
      weight[e] = weights.weight_of(e, factor);
      target[e] = static_cast<uint16_t>(s.row);
    }
  });

  const int group = power_of_two(slice, kSliceChunks);
  for (int first = 0; first < chunks; first += slice) {
    const int count = chunks - first < slice ? chunks - first : slice;
    wait_for_copies();
    __syncthreads();
    for (int64_t e = threadIdx.x; e < p.edges; e += blockDim.x) {
      if (weight[e] == 0) continue;
      const Chunk<T>* from = x_tile + static_cast<int>(col[e]) * count;
      const Chunk<T>* to = grad_tile + static_cast<int>(target[e]) * count;
      A sum = dscore[e];
      int c = threadIdx.x % count;  // eight lanes, eight banks
#pragma unroll 4
      for (int step = 0; step < count; ++step) {
        const Chunk<T> f = from[c], g = to[c];
        for (int i = 0; i < Chunk<T>::kSize; ++i) sum += widen(f.v[i]) * widen(g.v[i]);
        c = c + 1 < count ? c + 1 : 0;
      }
      dscore[e] = sum;
    }
    __syncthreads();  // everyone is done with x's slice
    const int next = first + slice;
    if (next < chunks) copy_x(next);
    for_rows(sources, p.edges, t_rowptr, group, warp, warps, [&](const Share& s) {
      gather_row<T>(
          s, group, count,
          [&](int k, A& w) {
            const int e = t_edge[k];
            w = weight[e];
            return target[e];
          },
          [&](int i, int c) { return grad_tile[i * count + c]; },
          [&](int j, int c, const A(&sum)[Chunk<T>::kSize]) {
            store_chunk(p.grad_x + x_at + j * stride, first + c, p.width, p.aligned, sum);
          });
    });
    if (next >= chunks) break;
    __syncthreads();  // and with grad_out's
    copy_grad(next);
  }

  const A* grad_lse =
      p.grad_lse == nullptr ? nullptr : p.grad_lse + b * p.targets * p.heads + h;
  T* grad_target = p.grad_score_dst + b * p.targets * p.heads + h;
  for_rows(targets, p.edges, rowptr, kScoreLanes, warp, warps, [&](const Share& s) {
    score_gradients(s, scores, weight, dscore, grad_lse, grad_target);
  });
  __syncthreads();
  T* grad_source = p.grad_score_src + b * p.sources * p.heads + h;
  for_rows(sources, p.edges, t_rowptr, kScoreLanes, warp, warps, [&](const Share& s) {
    source_gradient(s, t_edge, p.edges, dscore, p.heads, grad_source);
  });
  if (p.edge_bias != nullptr) {
    relation_sums(p.relation, p.edges, p.relations, dscore,
                  p.bias_parts + blockIdx.x * p.relations, warp, warps);
  }
}

template <class T>
bool fits_tile(const GatProblem<T>& p, int64_t bytes) {
  constexpr int64_t kMost = 65535;
  return p.batch * p.heads >= kTilesToFill && p.sources <= kMost && p.targets <= kMost &&
         p.edges <= kMost && bytes <= largest_shared_memory();
}

}  // namespace

template <class T>
bool gat_forward_fits_tile(const GatProblem<T>& p) {
  return fits_tile(p, forward_bytes(p));
}
template <class T>
bool gat_backward_fits_tile(const GatProblem<T>& p) {
  return fits_tile(p, backward_bytes(p));
}

template <class T>
void gat_tile_forward(const GatProblem<T>& p, cudaStream_t stream) {
  launch("gat_attention", tile_forward<T>, p.batch * p.heads,
         threads_for(p.targets, kSliceChunks, kForwardThreads), forward_bytes(p), stream, p);
}
template <class T>
void gat_tile_backward(const GatProblem<T>& p, cudaStream_t stream) {
  const int64_t rows = p.sources > p.targets ? p.sources : p.targets;
  launch("gat_attention_backward", tile_backward<T>, p.batch * p.heads,
         threads_for(rows, kSliceChunks, kBackwardThreads<T>), backward_bytes(p), stream, p);
}

#define TEDG_INSTANTIATE(T)                                             \
  template bool gat_forward_fits_tile<T>(const GatProblem<T>&);         \
  template bool gat_backward_fits_tile<T>(const GatProblem<T>&);        \
  template void gat_tile_forward<T>(const GatProblem<T>&, cudaStream_t); \
  template void gat_tile_backward<T>(const GatProblem<T>&, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
