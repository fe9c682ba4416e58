// The gradient of embeddings: rows of a small table, looked up often.
#include "../simd.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

uint8_t largest(const uint8_t* index, int64_t count) {
  uint8_t top = 0;
  for (int64_t i = 0; i < count; ++i) top = index[i] > top ? index[i] : top;
  return top;
}

template <class T>
int64_t embedding_scratch(const EmbeddingProblem& p) {
  return 2 * p.classes * p.width;
}

// sum += row; embeddings are narrow, so in fours.
template <class T>
TEDG_INLINE void add_row(const T* row, int64_t width, acc_t<T>* sum) {
  using A = acc_t<T>;
  typedef A Four __attribute__((vector_size(4 * sizeof(A))));
  int64_t i = 0;
  for (; i + 4 <= width; i += 4) {
    Four values;
    if constexpr (sizeof(T) == sizeof(A)) {
      values = load_bytes<Four>(row + i);
    } else {
      values = Four{widen(row[i]), widen(row[i + 1]), widen(row[i + 2]), widen(row[i + 3])};
    }
    values += load_bytes<Four>(sum + i);
    __builtin_memcpy(sum + i, &values, sizeof(Four));
  }
  for (; i < width; ++i) sum[i] += widen(row[i]);
}

// Neighbours are often alike: two sums in turn, so that one addition need not wait for the last.
template <class T>
void embedding_backward(const EmbeddingProblem& p, int64_t begin, int64_t end, double* sums,
                        void* scratch) {
  using A = acc_t<T>;
  const int64_t half = p.classes * p.width;
  A* table = static_cast<A*>(scratch);
  __builtin_memset(table, 0, 2 * half * sizeof(A));
  for (int64_t r = begin; r < end; ++r) {
    const uint8_t* index = p.index + r * p.count;
    const T* grad = static_cast<const T*>(p.grad) + r * p.stride + p.features;
    for (int64_t i = 0; i < p.count; ++i, grad += p.width) {
      add_row(grad, p.width, table + (i & 1) * half + index[i] * p.width);
    }
  }
  for (int64_t i = 0; i < half; ++i) sums[i] += table[i] + table[half + i];
}

template <class T>
constexpr EmbeddingKernels embedding_table() {
  return {largest, embedding_scratch<T>, embedding_backward<T>};
}

}  // namespace

const EmbeddingKernels embedding_kernels[kStorageCount] = {
    embedding_table<float>(), embedding_table<double>(), embedding_table<bf16>(),
    embedding_table<f16>()};

}  // namespace tedg::TEDG_LEVEL
