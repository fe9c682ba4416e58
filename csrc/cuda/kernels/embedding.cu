// concat_embedding and the gradient of its table.
//
// Backward sums, for every class, the gradients of the places that named it. A block takes a run of
// places and up to 32 columns of the table; each of its warps adds up its places in order into
// its own copy of the sums, a lane a column. The copies, then the runs, are added up in order.
#include "kernels.h"

namespace tedg::gpu {
namespace {

constexpr int kForwardThreads = 128;
constexpr int kMostWarps = 8;
constexpr int kColumns = 32;
constexpr int64_t kMostRuns = 256, kRunPlaces = 256;  // a run has at least so many places
constexpr int64_t kMostRows = 65536;                  // of blocks; they go on to others

template <class T>
__global__ void __launch_bounds__(kForwardThreads) forward_kernel(EmbeddingProblem<T> p) {
  const int features = static_cast<int>(p.features), width = static_cast<int>(p.width);
  const int classes = static_cast<int>(p.classes), stride = static_cast<int>(p.stride());
  for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    T* out = p.out + row * stride;
    const uint8_t* index = p.index + row * p.count;
    for (int i = threadIdx.x; i < stride; i += kForwardThreads) {
      if (i < features) {
        out[i] = p.beside[row * features + i];
      } else {
        const int place = (i - features) / width, column = (i - features) % width;
        out[i] = p.table[int64_t{checked(index[place], classes)} * width + column];
      }
    }
  }
}

// parts [named * width, runs] <- the sums over each run of places.
template <class T>
__global__ void __launch_bounds__(32 * kMostWarps) run_kernel(EmbeddingProblem<T> p) {
  using A = acc_t<T>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const int named = static_cast<int>(p.named()), size = named * kColumns;
  A* sums = reinterpret_cast<A*>(shared_memory());  // [warps, named, kColumns]
  for (int i = threadIdx.x; i < warps * size; i += blockDim.x) sums[i] = 0;
  __syncthreads();
  const int64_t places = p.rows * p.count, a_run = divided(places, gridDim.x);
  const int64_t begin = blockIdx.x * a_run;
  const int64_t end = begin + a_run < places ? begin + a_run : places;
  const int64_t column = int64_t{blockIdx.y} * kColumns + lane;
  for (int64_t at = begin + warp; at < end; at += warps) {
    const int64_t row = at / p.count, place = at % p.count;
    const int index = checked(p.index[at], named);
    if (column >= p.width) continue;
    sums[warp * size + index * kColumns + lane] +=
        widen(p.grad[row * p.stride() + p.features + place * p.width + column]);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    const int64_t to = int64_t{blockIdx.y} * kColumns + i % kColumns;
    if (to >= p.width) continue;
    A sum = 0;
    for (int w = 0; w < warps; ++w) sum += sums[w * size + i];
    p.parts[(i / kColumns * p.width + to) * gridDim.x + blockIdx.x] = sum;
  }
}

// grad_table <- the sums over the runs, a warp a number; classes that no index can name get 0.
template <class T>
__global__ void __launch_bounds__(32 * kMostWarps)
    table_kernel(EmbeddingProblem<T> p, int64_t runs) {
  const int64_t at = int64_t{blockIdx.x} * kMostWarps + threadIdx.x / 32;
  if (at >= p.classes * p.width) return;  // a whole warp leaves
  acc_t<T> sum = 0;
  if (at < p.named() * p.width) {
    for (int64_t run = threadIdx.x % 32; run < runs; run += 32) sum += p.parts[at * runs + run];
  }
  sum = group_sum(sum, 32);
  if (threadIdx.x % 32 == 0) narrow(p.grad_table[at], sum);
}

}  // namespace

template <class T>
int64_t EmbeddingProblem<T>::runs() const {
  const int64_t runs = divided(rows * count, kRunPlaces);
  return runs < 1 ? 1 : (runs < kMostRuns ? runs : kMostRuns);
}

template <class T>
void concat_embedding(const EmbeddingProblem<T>& p, cudaStream_t stream) {
  launch("concat_embedding", forward_kernel<T>, p.rows < kMostRows ? p.rows : kMostRows,
         kForwardThreads, 0, stream, p);
}

template <class T>
void concat_embedding_backward(const EmbeddingProblem<T>& p, cudaStream_t stream) {
  const char* name = "concat_embedding_backward";
  const int64_t bytes = p.named() * kColumns * static_cast<int64_t>(sizeof(acc_t<T>));
  const int64_t fit = bytes > 0 ? largest_shared_memory() / bytes : kMostWarps;
  const int warps = static_cast<int>(fit < kMostWarps ? fit : kMostWarps);
  launch(name, run_kernel<T>, Grid{p.runs(), divided(p.width, kColumns)}, 32 * warps, warps * bytes,
         stream, p);
  launch(name, table_kernel<T>, divided(p.classes * p.width, kMostWarps), 32 * kMostWarps, 0,
         stream, p, p.runs());
}

#define TEDG_INSTANTIATE(T)                                                             \
  template int64_t EmbeddingProblem<T>::runs() const;                                   \
  template void concat_embedding<T>(const EmbeddingProblem<T>&, cudaStream_t);          \
  template void concat_embedding_backward<T>(const EmbeddingProblem<T>&, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
