// A block's picture of one (sample, head) in shared memory: slices of the features, 128 bytes a
// row at most, the weights, and the graph in 16-bit indices.
#pragma once

#include "gat_rows.cuh"

namespace tedg::gpu {

constexpr int kSliceChunks = 8;  // 128 bytes: eight lanes read one row without a bank conflict

// Hands out shared memory from its start; every piece begins at a multiple of 16 bytes.
class Carver {
 public:
  TEDG_DEVICE explicit Carver(unsigned char* memory) : next_(memory) {}
  template <class V>
  TEDG_DEVICE V* take(int64_t count) {
    V* piece = reinterpret_cast<V*>(next_);
    next_ += (count * sizeof(V) + 15) / 16 * 16;
    return piece;
  }

 private:
  unsigned char* next_;
};
template <class V>
int64_t carved(int64_t count) {
  return (count * static_cast<int64_t>(sizeof(V)) + 15) / 16 * 16;
}

template <class T>
__host__ __device__ inline int chunks_of(int64_t width) {
  return static_cast<int>((width + Chunk<T>::kSize - 1) / Chunk<T>::kSize);
}

// Starts copying chunks [first, first + chunks) of `rows` rows of features into a tile
// [rows][chunks]. wait_for_copies and a barrier must follow before it is read.
template <class T>
TEDG_DEVICE void copy_slice(Chunk<T>* tile, const T* features, int64_t rows, int64_t stride,
                            int first, int chunks, int64_t width, bool aligned) {
  for (int64_t i = threadIdx.x; i < rows * chunks; i += blockDim.x) {
    const int64_t row = i / chunks;
    const int c = static_cast<int>(i - row * chunks);
    const T* from = features + row * stride;
    if (aligned) {
      __pipeline_memcpy_async(tile + i, from + static_cast<int64_t>(first + c) * Chunk<T>::kSize,
                              sizeof(Chunk<T>));
    } else {
      tile[i] = load_chunk(from, first + c, width, false);
    }
  }
  __pipeline_commit();
}
TEDG_DEVICE void wait_for_copies() { __pipeline_wait_prior(0); }

// values[0..count) as 16-bit numbers, each below `size`.
TEDG_DEVICE void copy_indices(uint16_t* to, const int32_t* from, int64_t count, int64_t size) {
  for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
    to[i] = static_cast<uint16_t>(checked(from[i], size));
  }
}

template <class T>
TEDG_DEVICE void copy_source_scores(acc_t<T>* to, const Scores<T, uint16_t>& scores) {
  for (int64_t j = threadIdx.x; j < scores.sources; j += blockDim.x) {
    to[j] = scores.source_score(static_cast<int>(j));
  }
}

}  // namespace tedg::gpu
