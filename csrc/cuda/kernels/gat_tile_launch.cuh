// Launching the kernels of the tile path: which problems suit it, and how many threads and blocks.
#pragma once

#include "gat_tile.cuh"

namespace tedg::gpu {

template <class T>
constexpr int kForwardThreads = sizeof(T) == 8 ? 512 : 1024;
template <class T>
constexpr int kBackwardThreads = sizeof(T) == 8 ? 512 : 768;
constexpr int64_t kMost32 = int64_t{1} << 31;
constexpr int64_t kTilesToFill = 64;  // fewer tiles than this leave most multiprocessors idle

// The shared memory that Memory<T> takes.
template <class Memory, class T>
int64_t bytes_of(const GatProblem<T>& p) {
  return carved_bytes([&](Carver& carver) { Memory(carver, p, TileSizes(p)); });
}

// Whether the scores are of nodes and relations alone, and there are enough tiles, of rows and
// edges that 16 bits count and features that 32 do.
template <class T>
bool suits_tiles(const GatProblem<T>& p) {
  const int64_t rows = p.sources > p.targets ? p.sources : p.targets;
  return p.score_edge == nullptr && p.dropout_seed == nullptr &&
         p.batch * p.heads >= kTilesToFill && p.edges + rows < 65535 && p.relations < 65535 &&
         (rows + p.relations) * p.heads * (p.width + 1) <= kMost32 / int64_t{sizeof(T)} &&
         p.batch * p.heads * (rows + 1) <= kMost32;
}

// A block takes samples of one head in turn: there are no more blocks than the device holds at
// once. Two smaller blocks a multiprocessor are better than one of all its threads: one copies
// while the other computes.
template <class T>
void launch_tiles(const char* name, void (*kernel)(GatProblem<T>), const GatProblem<T>& p,
                  int64_t shared, int most_threads, cudaStream_t stream) {
  const int64_t rows = p.sources > p.targets ? p.sources : p.targets;
  int threads = most_threads;
  const int64_t useful = divided(rows * kSliceChunks, 32) * 32;
  if (useful < threads) threads = useful < 64 ? 64 : static_cast<int>(useful);
  if (threads > most_threads / 2 && blocks_at_once(name, kernel, most_threads / 2, shared) > 1) {
    threads = most_threads / 2;
  }
  const int64_t at_once =
      int64_t{blocks_at_once(name, kernel, threads, shared)} * multiprocessors();
  // At least one: a launch that the device cannot take must fail, not be left out.
  const int64_t samples = at_once > p.heads ? divided(at_once, p.heads) : 1;
  launch(name, kernel, Grid{p.heads, p.batch < samples ? p.batch : samples}, threads, shared,
         stream, p);
}

}  // namespace tedg::gpu
