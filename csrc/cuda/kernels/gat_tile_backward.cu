// Graph attention, the tile path's backward: a block owns one (sample, head) at a time.
//
// The weights are computed as forward did. Each pair of slices, of x and of grad_out, first adds
// its share to <grad_out[i], x[j]> of all edges, two edges of a row a lane, then gives a slice of
// grad_x by walking the transpose; the slices' end gives the scores' gradients. x's next slice is
// on its way during the second walk.
#include "gat_tile.cuh"
#include "gat_tile_launch.cuh"

namespace tedg::gpu {
namespace {

// Two edges of one row: their sources, and their slots in the transpose.
struct alignas(8) EdgePair {
  uint16_t source[2], place[2];
};

template <class T>
struct BackwardMemory {
  using A = acc_t<T>;
  Chunk<T>* x;          // [N + 1] rows, the last one of zeros
  Chunk<T>* grad;       // [M + 1] rows of grad_out
  EdgePair* edge;       // [pairs], source N for a slot without an edge
  uint16_t* target;     // [pairs]
  Two<A>* dscore;       // [pairs]
  EntryPair<A>* entry;  // [pairs of the transpose]: weights, in the end the scores' gradients
  RowOrder targets, sources;
  TileScores<T> scores;

  __host__ __device__ BackwardMemory(Carver& carver, const GatProblem<T>& p, const TileSizes& sizes)
      : x(carver.take<Chunk<T>>(sizes.tile_chunks(sizes.sources))),
        grad(carver.take<Chunk<T>>(sizes.tile_chunks(sizes.targets))),
        edge(carver.take<EdgePair>(sizes.pairs(sizes.targets))),
        target(carver.take<uint16_t>(sizes.pairs(sizes.targets))),
        dscore(carver.take<Two<A>>(sizes.pairs(sizes.targets))),
        entry(carver.take<EntryPair<A>>(sizes.pairs(sizes.sources))),
        targets(carver, sizes.targets),
        sources(carver, sizes.sources),
        scores(carver, p, sizes) {}

  TEDG_DEVICE A& weight(unsigned place) const { return entry[place / 2].weight.of[place % 2]; }
  TEDG_DEVICE void set_entry(unsigned place, A weight, uint32_t offset) const {
    entry[place / 2].weight.of[place % 2] = weight;
    entry[place / 2].offset[place % 2] = offset;
  }
};

// Where edge number e of a row lies.
TEDG_DEVICE unsigned slot_of(unsigned e, unsigned row, const int32_t* rowptr) {
  return e + row - ((rowptr[row] + row) & 1);
}

// All threads; a barrier must follow. Indices that a broken graph holds end the launch here,
// before anything is read with them.
template <class T>
TEDG_DEVICE void lay_out(const BackwardMemory<T>& memory, const GatProblem<T>& p,
                         const TileSizes& sizes) {
  const uint32_t zeros = sizes.offset(sizes.targets);
  const int pairs = sizes.pairs(sizes.targets), t_pairs = sizes.pairs(sizes.sources);
#pragma unroll 1
  for (int k = threadIdx.x; k < pairs; k += blockDim.x) {  // warp loop: clear
    memory.edge[k] = {};
    for (uint16_t& j : memory.edge[k].source) j = static_cast<uint16_t>(sizes.sources);
    memory.target[k] = 0;
    memory.dscore[k] = {};
    if (p.edge_bias != nullptr) {  // a slot without an edge must name a relation, too
      for (int u = 0; u < 2; ++u) memory.scores.relation[2 * k + u] = 0;  // only: bias
    }
  }
#pragma unroll 1
  for (int k = threadIdx.x; k < t_pairs; k += blockDim.x) {  // warp loop: clear transpose
    memory.entry[k] = {{}, {zeros, zeros}};
  }
  clear_last_row(memory.x, sizes.sources, sizes);
  clear_last_row(memory.grad, sizes.targets, sizes);
  memory.targets.sort([&](int i) { return row_at(p.rowptr, i, sizes.edges); });
  memory.sources.sort([&](int j) { return row_at(p.t_rowptr, j, sizes.edges); });
#pragma unroll 1
  for (unsigned k = threadIdx.x; k < sizes.edges; k += blockDim.x) {  // warp loop: place edges
    const unsigned e = checked(p.t_edge[k], sizes.edges);
    const unsigned i = checked(p.t_target[k], sizes.targets);
    const unsigned j = checked(p.col[e], sizes.sources);
    const unsigned slot = slot_of(e, i, p.rowptr);
    EdgePair& pair = memory.edge[slot / 2];
    pair.source[slot % 2] = static_cast<uint16_t>(j);
    pair.place[slot % 2] = static_cast<uint16_t>(slot_of(k, j, p.t_rowptr));
    if (slot % 2 == 0) memory.target[slot / 2] = static_cast<uint16_t>(i);
    if (p.edge_bias != nullptr) {
      const int r = checked(p.relation[e], sizes.relations);    // only: bias
      memory.scores.relation[slot] = static_cast<uint16_t>(r);  // only: bias
    }
  }
}

// dscore += <grad_out[i], x[j]> over a slice of `count` chunks, for all edges.
template <class T>
TEDG_DEVICE void add_products(const BackwardMemory<T>& memory, const TileSizes& sizes, int count) {
  using A = acc_t<T>;
  const int pairs = sizes.pairs(sizes.targets), shift = sizes.shift;
  if (count == kSliceChunks) {
#pragma unroll 1
    for (int k = threadIdx.x; k < pairs; k += blockDim.x) {  // warp loop: products
      const EdgePair edge = memory.edge[k];
      const Chunk<T>* first = memory.x + edge.source[0] * kSliceChunks;
      const Chunk<T>* second = memory.x + edge.source[1] * kSliceChunks;
      const Chunk<T>* to = memory.grad + memory.target[k] * kSliceChunks;
      Two<A> sum = memory.dscore[k];
#pragma unroll
      for (int step = 0; step < kSliceChunks; ++step) {
        const int c = (threadIdx.x ^ step) % kSliceChunks;  // eight lanes, all banks
        const Chunk<T> g = to[c];
        sum.of[0] = inner_product<T>(sum.of[0], g, first[c]);
        sum.of[1] = inner_product<T>(sum.of[1], g, second[c]);
      }
      memory.dscore[k] = sum;
    }
    return;
  }
#pragma unroll 1
  for (int k = threadIdx.x; k < pairs; k += blockDim.x) {  // warp loop: products of a part
    const EdgePair edge = memory.edge[k];
    const Chunk<T>* to = memory.grad + (memory.target[k] << shift);
    Two<A> sum = memory.dscore[k];
#pragma unroll 1
    for (int c = 0; c < count; ++c) {  // warp loop: chunks of a part
      const Chunk<T> g = to[c];
      sum.of[0] = inner_product<T>(sum.of[0], g, memory.x[(edge.source[0] << shift) + c]);
      sum.of[1] = inner_product<T>(sum.of[1], g, memory.x[(edge.source[1] << shift) + c]);
    }
    memory.dscore[k] = sum;
  }
}

// dscore holds <grad_out[i], x[j]>: weights in `entry` <- the derivatives by the scores before the
// LeakyReLU, grad_target <- their sums over the rows. With a bias, dscore <- them as well.
template <class T>
TEDG_DEVICE void score_gradients(const BackwardMemory<T>& memory, const acc_t<T>* grad_lse,
                                 T* grad_target, uint16_t none) {
  using A = acc_t<T>;
  const TileScores<T>& scores = memory.scores;
  for_rows(memory.targets, 0, [&](const auto& s) {  // warp loop: targets
    A mean = 0;
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: mean
      const EdgePair edge = memory.edge[k];
      const Two<A> d = memory.dscore[k];
#pragma unroll
      for (int u = 0; u < 2; ++u) {
        const A weight = edge.source[u] == none ? A{0} : memory.weight(edge.place[u]);
        if (weight != 0) mean += weight * d.of[u];
      }
    }
    mean = s.sum(mean);
    const unsigned at = s.row * scores.heads;
    if (grad_lse != nullptr) mean -= grad_lse[at];
    const A to = scores.of_target(s.row);
    A sum = 0;
    scores.with_bias([&]<bool kBias>(Bias<kBias>) {
#pragma unroll 1
      for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: gradients
        const EdgePair edge = memory.edge[k];
        Two<A> d = memory.dscore[k];
#pragma unroll
        for (int u = 0; u < 2; ++u) {
          if (edge.source[u] == none) continue;
          A& weight = memory.weight(edge.place[u]);
          const A score = scores.template sum<kBias>(2 * k + u, scores.source[edge.source[u]], to);
          const A by_score = weight * (d.of[u] - mean) * (score > 0 ? A{1} : scores.slope);
          d.of[u] = weight != 0 ? by_score : A{0};
          weight = d.of[u];
          sum += d.of[u];
        }
        if (kBias) memory.dscore[k] = d;
      }
    });
    sum = s.sum(sum);
    if (s.writes) narrow(grad_target[at], sum);
  });
}

// grad_source <- the sums of the scores' gradients over the edges that leave each source.
template <class T>
TEDG_DEVICE void source_gradients(const BackwardMemory<T>& memory, T* grad_source) {
  for_rows(memory.sources, 0, [&](const auto& s) {  // warp loop: sources
    acc_t<T> sum = 0;
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: pairs
      const Two<acc_t<T>> gradient = memory.entry[k].weight;
      sum += gradient.of[0] + gradient.of[1];
    }
    sum = s.sum(sum);
    if (s.writes) narrow(grad_source[s.row * memory.scores.heads], sum);
  });
}

// parts[r] <- the sum over the edges of relation r: a warp a relation.
template <class T>
TEDG_DEVICE void relation_sums(const BackwardMemory<T>& memory, const TileSizes& sizes,
                               acc_t<T>* parts) {
  const unsigned slots = 2 * sizes.pairs(sizes.targets);
  const int warps = blockDim.x / 32;
#pragma unroll 1
  for (int r = threadIdx.x / 32; r < sizes.relations; r += warps) {  // warp loop: relations
    acc_t<T> sum = 0;
#pragma unroll 1
    for (unsigned slot = threadIdx.x % 32; slot < slots; slot += 32) {  // warp loop: slots
      const bool edge = memory.edge[slot / 2].source[slot % 2] != sizes.sources;
      if (edge && memory.scores.relation[slot] == r) sum += memory.dscore[slot / 2].of[slot % 2];
    }
    sum = group_sum(sum, 32);
    if (threadIdx.x % 32 == 0) parts[r] = sum;
  }
}

template <class T, bool kAligned>
__global__ void __launch_bounds__(kBackwardThreads<T>, 1) tile_backward(GatProblem<T> p) {
  using A = acc_t<T>;
  const TileSizes sizes(p);
  Carver carver(shared_memory());
  BackwardMemory<T> memory(carver, p, sizes);
  const uint16_t none = static_cast<uint16_t>(sizes.sources);
  const int h = blockIdx.x;
  bool laid_out = false;
#pragma unroll 1
  for (int b = blockIdx.y; b < p.batch; b += gridDim.y) {  // warp loop: tiles
    const int source = b * sizes.sources * sizes.heads + h;
    const int target = b * sizes.targets * sizes.heads + h;  // of row 0 of this head
    const T* x = p.x + static_cast<int64_t>(source) * sizes.width;
    const T* grad_out = p.grad_out + static_cast<int64_t>(target) * sizes.width;
    const auto copy_x = [&](int first) {
      copy_slice<kAligned>(memory.x, x, sizes.sources, first, sizes);  // warp loop: x
    };
    const auto copy_grad = [&](int first) {
      copy_slice<kAligned>(memory.grad, grad_out, sizes.targets, first, sizes);  // warp loop: grad
    };
    __syncthreads();  // everyone is done with the tile before
    copy_x(0);        // warp loop: first
    copy_grad(0);     // warp loop: first
    memory.scores.stage(p, sizes, b, h);
    if (!laid_out) lay_out(memory, p, sizes);
    laid_out = true;
    __syncthreads();
    softmax_rows(
        memory.targets, memory.scores,
        [&](unsigned k) {
          const EdgePair edge = memory.edge[k];
          return TwoIndices{edge.source[0], edge.source[1]};
        },
        [&](unsigned k, Two<A> v) { memory.dscore[k] = v; },
        [&](unsigned k) { return memory.dscore[k]; },
        [&](unsigned k, unsigned i, Two<A> weight) {
          memory.dscore[k] = {};
          const EdgePair edge = memory.edge[k];
#pragma unroll
          for (int u = 0; u < 2; ++u) {
            if (edge.source[u] == none) continue;
            // An edge of weight 0 adds nothing, whatever its features hold.
            memory.set_entry(edge.place[u], weight.of[u],
                             sizes.offset(weight.of[u] == 0 ? sizes.targets : i));
          }
        },
        [](unsigned, A) {});
#pragma unroll 1
    for (int first = 0; first < sizes.chunks; first += sizes.slice) {  // warp loop: slices
      const int next = first + sizes.slice;
      wait_for_copies();
      __syncthreads();
      add_products(memory, sizes, next <= sizes.chunks ? sizes.slice : sizes.chunks - first);
      if (next < sizes.chunks) {
        __syncthreads();  // everyone is done with x's slice
        copy_x(next);     // warp loop: next
      }
      gather_rows<kAligned>(memory.sources, memory.entry, memory.grad, first, sizes,
                            p.grad_x + static_cast<int64_t>(source) * sizes.width);
      if (next >= sizes.chunks) continue;
      __syncthreads();  // and with grad_out's
      copy_grad(next);  // warp loop: next
    }
    __syncthreads();
    score_gradients(memory, p.grad_lse == nullptr ? nullptr : p.grad_lse + target,
                    p.grad_score_dst + target, none);
    __syncthreads();
    source_gradients(memory, p.grad_score_src + source);
    if (p.edge_bias != nullptr) {
      const int64_t part = static_cast<int64_t>(b) * sizes.heads + h;
      relation_sums(memory, sizes, p.bias_parts + part * sizes.relations);
    }
  }
}

}  // namespace

template <class T>
bool gat_backward_fits_tile(const GatProblem<T>& p) {
  return suits_tiles(p) && bytes_of<BackwardMemory<T>>(p) <= largest_shared_memory();
}

template <class T>
void gat_tile_backward(const GatProblem<T>& p, cudaStream_t stream) {
  launch_tiles("gat_attention_backward",
               p.aligned ? tile_backward<T, true> : tile_backward<T, false>, p,
               bytes_of<BackwardMemory<T>>(p), kBackwardThreads<T>, stream);
}

#define TEDG_INSTANTIATE(T)                                      \
  template bool gat_backward_fits_tile<T>(const GatProblem<T>&); \
  template void gat_tile_backward<T>(const GatProblem<T>&, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
