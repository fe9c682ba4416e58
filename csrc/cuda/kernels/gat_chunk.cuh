// 16 bytes of a row of features: what one lane moves and multiplies at a time.
#pragma once

#include "kernels.h"

namespace tedg::gpu {

template <class T>
struct alignas(16) Chunk {
  static constexpr int kSize = 16 / sizeof(T);
  T v[kSize];
};

template <class T>
__host__ __device__ inline int chunks_of(int64_t width) {
  return static_cast<int>((width + Chunk<T>::kSize - 1) / Chunk<T>::kSize);
}

// The values of a chunk as sums keep them.
template <class T>
struct WideChunk {
  acc_t<T> v[Chunk<T>::kSize];
};

// Chunk number c of a row of `width` values; what lies past the row is 0.
template <class T>
TEDG_DEVICE Chunk<T> load_chunk(const T* row, int c, int width, bool aligned) {
  if (aligned) return reinterpret_cast<const Chunk<T>*>(row)[c];
  Chunk<T> chunk;
#pragma unroll
  for (int i = 0; i < Chunk<T>::kSize; ++i) {
    const int d = c * Chunk<T>::kSize + i;
    narrow(chunk.v[i], 0);
    if (d < width) chunk.v[i] = row[d];
  }
  return chunk;
}

template <class T>
TEDG_DEVICE void store_chunk(T* row, int c, int width, bool aligned,
                             const acc_t<T> (&sum)[Chunk<T>::kSize]) {
  Chunk<T> chunk;
#pragma unroll
  for (int i = 0; i < Chunk<T>::kSize; ++i) narrow(chunk.v[i], sum[i]);
  if (aligned) {
    reinterpret_cast<Chunk<T>*>(row)[c] = chunk;
    return;
  }
#pragma unroll
  for (int i = 0; i < Chunk<T>::kSize; ++i) {
    const int d = c * Chunk<T>::kSize + i;
    if (d < width) row[d] = chunk.v[i];
  }
}

// Of a Chunk or a WideChunk.
template <class A, int kSize, class AnyChunk>
TEDG_DEVICE void add_product(A (&sum)[kSize], A weight, const AnyChunk& chunk) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) sum[i] += weight * widen(chunk.v[i]);
}

template <class T>
TEDG_DEVICE acc_t<T> inner_product(acc_t<T> sum, const Chunk<T>& a, const Chunk<T>& b) {
#pragma unroll
  for (int i = 0; i < Chunk<T>::kSize; ++i) sum += widen(a.v[i]) * widen(b.v[i]);
  return sum;
}

}  // namespace tedg::gpu
