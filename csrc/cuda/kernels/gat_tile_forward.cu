// Graph attention, the tile path's forward: a block owns one (sample, head) at a time and reads
// all that belongs to it once. Slice by slice of 128 bytes, the features go into shared memory, and
// every gather along an edge happens there. While the first slice is on its way, the weights are
// computed, once. The graph is laid out once a block, which then takes tile after tile.
#include "gat_tile.cuh"
#include "gat_tile_launch.cuh"

namespace tedg::gpu {
namespace {

template <class T>
struct ForwardMemory {
  Chunk<T>* tile;              // [N + 1] rows, the last one of zeros
  EntryPair<acc_t<T>>* entry;  // [pairs]
  TwoIndices* source;          // [pairs], N for a slot without an edge
  RowOrder order;
  TileScores<T> scores;

  __host__ __device__ ForwardMemory(Carver& carver, const GatProblem<T>& p, const TileSizes& sizes)
      : tile(carver.take<Chunk<T>>(sizes.tile_chunks(sizes.sources))),
        entry(carver.take<EntryPair<acc_t<T>>>(sizes.pairs(sizes.targets))),
        source(carver.take<TwoIndices>(sizes.pairs(sizes.targets))),
        order(carver, sizes.targets),
        scores(carver, p, sizes) {}
};

// All threads; a barrier must follow. Indices that a broken graph holds end the launch here,
// before anything is read with them.
template <class T>
TEDG_DEVICE void lay_out(const ForwardMemory<T>& memory, const GatProblem<T>& p,
                         const TileSizes& sizes) {
  clear_last_row(memory.tile, sizes.sources, sizes);
  memory.order.sort([&](int i) { return row_at(p.rowptr, i, sizes.edges); });
  for_rows(memory.order, 0, [&](const auto& s) {  // warp loop: layout
    const unsigned begin = p.rowptr[s.row], end = p.rowptr[s.row + 1];
#pragma unroll 1
    for (unsigned k = s.begin; k < s.end; k += s.step) {  // warp loop: place edges
      const unsigned e = begin + 2 * (k - (begin + s.row) / 2);
      const int none = sizes.sources;
      const int first = checked(p.col[e], none);
      const int second = e + 1 < end ? checked(p.col[e + 1], none) : none;
      memory.source[k] = {static_cast<uint16_t>(first), static_cast<uint16_t>(second)};
      if (p.edge_bias != nullptr) {
        const int by_first = checked(p.relation[e], sizes.relations);          // only: bias
        const int by_second =                                                  // only: bias
            e + 1 < end ? checked(p.relation[e + 1], sizes.relations) : 0;     // only: bias
        memory.scores.relation[2 * k] = static_cast<uint16_t>(by_first);       // only: bias
        memory.scores.relation[2 * k + 1] = static_cast<uint16_t>(by_second);  // only: bias
      }
    }
  });
}

template <class T, bool kAligned>
__global__ void __launch_bounds__(kForwardThreads<T>, 1) tile_forward(GatProblem<T> p) {
  using A = acc_t<T>;
  const TileSizes sizes(p);
  Carver carver(shared_memory());
  ForwardMemory<T> memory(carver, p, sizes);
  const auto copy = [&](const T* x, int first) {
    copy_slice<kAligned>(memory.tile, x, sizes.sources, first, sizes);
  };
  const int h = blockIdx.x;
  bool laid_out = false;
#pragma unroll 1
  for (int b = blockIdx.y; b < p.batch; b += gridDim.y) {    // warp loop: tiles
    const int target = b * sizes.targets * sizes.heads + h;  // of row 0 of this head
    const int source = b * sizes.sources * sizes.heads + h;
    const T* x = p.x + static_cast<int64_t>(source) * sizes.width;
    __syncthreads();  // everyone is done with the tile before
    copy(x, 0);       // warp loop: first
    memory.scores.stage(p, sizes, b, h);
    if (!laid_out) lay_out(memory, p, sizes);
    laid_out = true;
    __syncthreads();
    softmax_rows(
        memory.order, memory.scores, [&](unsigned k) { return memory.source[k]; },
        [&](unsigned k, Two<A> v) { memory.entry[k].weight = v; },
        [&](unsigned k) { return memory.entry[k].weight; },
        [&](unsigned k, unsigned, Two<A> weight) {
          // An edge of weight 0 adds nothing, whatever its features hold.
          const TwoIndices j = memory.source[k];
          memory.entry[k] = {weight,
                             {sizes.offset(weight.of[0] == 0 ? sizes.sources : j.of[0]),
                              sizes.offset(weight.of[1] == 0 ? sizes.sources : j.of[1])}};
        },
        [&](unsigned i, A lse) { p.lse[target + i * sizes.heads] = lse; });
#pragma unroll 1
    for (int first = 0; first < sizes.chunks; first += sizes.slice) {  // warp loop: slices
      wait_for_copies();
      __syncthreads();
      gather_rows<kAligned>(memory.order, memory.entry, memory.tile, first, sizes,
                            p.out + static_cast<int64_t>(target) * sizes.width);
      if (first + sizes.slice >= sizes.chunks) continue;
      __syncthreads();               // everyone is done with the slice
      copy(x, first + sizes.slice);  // warp loop: next
    }
  }
}

}  // namespace

template <class T>
bool gat_forward_fits_tile(const GatProblem<T>& p) {
  return suits_tiles(p) && bytes_of<ForwardMemory<T>>(p) <= largest_shared_memory();
}

template <class T>
void gat_tile_forward(const GatProblem<T>& p, cudaStream_t stream) {
  launch_tiles("gat_attention", p.aligned ? tile_forward<T, true> : tile_forward<T, false>, p,
               bytes_of<ForwardMemory<T>>(p), kForwardThreads<T>, stream);
}

#define TEDG_INSTANTIATE(T)                                     \
  template bool gat_forward_fits_tile<T>(const GatProblem<T>&); \
  template void gat_tile_forward<T>(const GatProblem<T>&, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
