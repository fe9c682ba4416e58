// sparsemax of rows, its derivative, and the Fenchel-Young loss of rows.
//
// The loss is summed in two passes: every block over its rows, in order, then one warp over the
// blocks.
#include <stdexcept>
#include <string>

#include "row_map.cuh"

namespace tedg::gpu {
namespace {

constexpr int kWarps = 4;
constexpr int64_t kMostParts = 1024;

// The memory of this warp, `arrays` numbers an entry of its rows, where rows do not fit registers.
template <class A>
TEDG_DEVICE A* memory_of_warp(int arrays, int64_t count) {
  return reinterpret_cast<A*>(shared_memory()) + (threadIdx.x / 32) * arrays * count;
}

TEDG_DEVICE int64_t first_row(const RowLayout& layout) {
  return (static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32) *
         layout.rows_a_warp;
}

template <class T, int kSize>
__global__ void __launch_bounds__(32 * kWarps, 6)
    sparsemax_kernel(const T* x, T* out, int64_t rows, int64_t count, RowLayout layout) {
  using A = acc_t<T>;
  const Place at(layout, first_row(layout), rows);
  Entries<A, kSize> z(memory_of_warp<A>(1, count), threadIdx.x % 32, count);
  fill_row(z, at, layout.lanes, count, -kInfinity<A>,
           [&](int64_t k) { return widen(x[at.row * count + k]); });
  const A top = subtract_top(z, layout.lanes);
  map_row(true, z, top, layout.lanes, count);
  each_entry(z, at, layout.lanes, count,
             [&](int64_t k, A w) { narrow(out[at.row * count + k], w); });
}

// A row of any length, read twice: map_row_backward without a place for its entries.
template <class T>
TEDG_DEVICE void long_row_backward(const Place& at, const T* grad, const T* out, T* grad_x,
                                   int64_t count) {
  using A = acc_t<T>;
  const int64_t first = at.row * count, end = at.active ? count : 0;
  A sum = 0, size = 0;
  for (int64_t k = at.lane; k < end; k += 32) {
    const bool inside = widen(out[first + k]) != 0;
    sum += inside ? widen(grad[first + k]) : A{0};
    size += inside ? A{1} : A{0};
  }
  sum = group_sum(sum, 32);
  size = group_sum(size, 32);
  const A mean = sum / (size == 0 ? A{1} : size);
  for (int64_t k = at.lane; k < end; k += 32) {
    const bool inside = widen(out[first + k]) != 0;
    narrow(grad_x[first + k], inside ? widen(grad[first + k]) - mean : A{0});
  }
}

template <class T, int kSize>
__global__ void __launch_bounds__(32 * kWarps, 6)
    sparsemax_backward_kernel(const T* grad, const T* out, T* grad_x, int64_t rows, int64_t count,
                              RowLayout layout) {
  using A = acc_t<T>;
  const Place at(layout, first_row(layout), rows);
  if constexpr (kSize == 0) {
    long_row_backward(at, grad, out, grad_x, count);
  } else {
    Entries<A, kSize> alpha(nullptr, 0, 0), g(nullptr, 0, 0);
    fill_row(alpha, at, layout.lanes, count, A{0},
             [&](int64_t k) { return widen(out[at.row * count + k]); });
    fill_row(g, at, layout.lanes, count, A{0},
             [&](int64_t k) { return widen(grad[at.row * count + k]); });
    map_row_backward(true, g, alpha, layout.lanes);
    each_entry(g, at, layout.lanes, count,
               [&](int64_t k, A v) { narrow(grad_x[at.row * count + k], v); });
  }
}

// parts[block] <- the sum of its rows' losses; residual <- map(scores) - target.
template <class T, int kSize>
__global__ void __launch_bounds__(32 * kWarps, 6)
    loss_kernel(bool sparse, const T* scores, const T* target, T* residual, acc_t<T>* parts,
                int64_t rows, int64_t count, RowLayout layout) {
  using A = acc_t<T>;
  const int warps = blockDim.x / 32;
  A* sums = reinterpret_cast<A*>(shared_memory()) + warps * 2 * (kSize == 0 ? count : 0);
  A* memory = memory_of_warp<A>(2, kSize == 0 ? count : 0);
  A loss = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * warps * layout.rows_a_warp;
  for (int64_t base = first_row(layout); base < rows; base += step) {
    const Place at(layout, base, rows);
    Entries<A, kSize> z(memory, threadIdx.x % 32, count);
    Entries<A, kSize> p(memory + count, threadIdx.x % 32, count);
    fill_row(z, at, layout.lanes, count, -kInfinity<A>,
             [&](int64_t k) { return widen(scores[at.row * count + k]); });
    const A top = subtract_top(z, layout.lanes);
    A total = 0;
    for (int j = 0; j < z.size(); ++j) {
      p[j] = z[j];
      total += sparse ? A{0} : exp_of(z[j]);
    }
    total = group_sum(total, layout.lanes);
    map_row(sparse, p, top, layout.lanes, count);
    if (!sparse && at.active && at.lane == 0) loss += log_of(total);
    for (int j = 0; j < p.size(); ++j) {
      const int64_t k = at.lane + static_cast<int64_t>(j) * layout.lanes;
      if (!at.active || k >= count) continue;
      const A q = widen(target[at.row * count + k]);
      const A weight = p[j], score = z[j], gap = weight - q;
      // A masked choice (score -inf) that the target leaves at 0 adds nothing, not 0 * inf.
      if (sparse) {
        loss += (gap == 0 ? A{0} : gap * score) - (weight * weight - q * q) / 2;
      } else {
        loss += (q > 0 ? q * log_of(q) : A{0}) - (q == 0 ? A{0} : q * score);
      }
      narrow(residual[at.row * count + k], gap);
    }
  }
  loss = group_sum(loss, 32);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = loss;
  __syncthreads();
  if (threadIdx.x == 0) {
    A sum = 0;
    for (int warp = 0; warp < warps; ++warp) sum += sums[warp];
    parts[blockIdx.x] = sum;
  }
}

// One warp: loss <- the sum of the parts over the number of rows.
template <class A>
__global__ void __launch_bounds__(32)
    mean_kernel(const A* parts, int64_t count, int64_t rows, A* loss) {
  A sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += 32) sum += parts[i];
  sum = group_sum(sum, 32);
  if (threadIdx.x == 0) *loss = rows > 0 ? sum / static_cast<A>(rows) : A{0};
}

template <class T>
__global__ void __launch_bounds__(256)
    scale_kernel(const acc_t<T>* grad, const T* in, T* out, int64_t rows, int64_t entries) {
  const acc_t<T> factor = *grad / static_cast<acc_t<T>>(rows);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < entries;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    narrow(out[i], widen(in[i]) * factor);
  }
}

// Warps a block and its shared memory, for `arrays` numbers an entry of rows in shared memory.
struct Blocks {
  int64_t warps, shared;
};
template <class A>
Blocks blocks_for(int64_t count, int arrays) {
  if (count <= kRegisterRow || arrays == 0) return {kWarps, 0};
  const int64_t bytes = arrays * count * static_cast<int64_t>(sizeof(A));
  const int64_t fit = (largest_shared_memory() - 1024) / bytes;
  if (fit < 1) {
    throw std::runtime_error("rows must be shorter for the CUDA kernel, got K = " +
                             std::to_string(count));
  }
  const int64_t warps = fit < kWarps ? fit : kWarps;
  return {warps, warps * bytes};
}

}  // namespace

template <class T>
void sparsemax(const T* x, T* out, int64_t rows, int64_t count, cudaStream_t stream) {
  const RowLayout layout = row_layout(rows, count);
  const Blocks blocks = blocks_for<acc_t<T>>(count, 1);
  for_row_size(count, [&]<int kSize>(Size<kSize>) {
    launch("sparsemax", sparsemax_kernel<T, kSize>,
           divided(rows, blocks.warps * layout.rows_a_warp), static_cast<int>(32 * blocks.warps),
           blocks.shared, stream, x, out, rows, count, layout);
  });
}

template <class T>
void sparsemax_backward(const T* grad, const T* out, T* grad_x, int64_t rows, int64_t count,
                        cudaStream_t stream) {
  const RowLayout layout = row_layout(rows, count);
  const Blocks blocks = blocks_for<acc_t<T>>(count, 0);
  for_row_size(count, [&]<int kSize>(Size<kSize>) {
    launch("sparsemax_backward", sparsemax_backward_kernel<T, kSize>,
           divided(rows, blocks.warps * layout.rows_a_warp), static_cast<int>(32 * blocks.warps),
           blocks.shared, stream, grad, out, grad_x, rows, count, layout);
  });
}

int64_t map_loss_parts(int64_t rows) {
  const int64_t blocks = divided(rows, kWarps);
  return blocks < 1 ? 1 : (blocks < kMostParts ? blocks : kMostParts);
}

template <class T>
void fenchel_young_loss(bool sparse, const T* scores, const T* target, T* residual, acc_t<T>* parts,
                        acc_t<T>* loss, int64_t rows, int64_t count, cudaStream_t stream) {
  using A = acc_t<T>;
  const RowLayout layout = row_layout(rows, count);
  const Blocks blocks = blocks_for<A>(count, 2);
  const int64_t shared = blocks.shared + kWarps * static_cast<int64_t>(sizeof(A));
  for_row_size(count, [&]<int kSize>(Size<kSize>) {
    launch("fenchel_young_loss", loss_kernel<T, kSize>, map_loss_parts(rows),
           static_cast<int>(32 * blocks.warps), shared, stream, sparse, scores, target, residual,
           parts, rows, count, layout);
  });
  launch("fenchel_young_loss", mean_kernel<A>, 1, 32, 0, stream, static_cast<const A*>(parts),
         map_loss_parts(rows), rows, loss);
}

template <class T>
void fenchel_young_loss_backward(const acc_t<T>* grad, const T* residual, T* out, int64_t rows,
                                 int64_t count, cudaStream_t stream) {
  const int64_t blocks = divided(rows * count, 256);
  launch("fenchel_young_loss_backward", scale_kernel<T>, blocks < 65536 ? blocks : 65536, 256, 0,
         stream, grad, residual, out, rows, rows * count);
}

#define TEDG_INSTANTIATE(T)                                                                   \
  template void sparsemax<T>(const T*, T*, int64_t, int64_t, cudaStream_t);                   \
  template void sparsemax_backward<T>(const T*, const T*, T*, int64_t, int64_t, cudaStream_t); \
  template void fenchel_young_loss<T>(bool, const T*, const T*, T*, acc_t<T>*, acc_t<T>*,     \
                                      int64_t, int64_t, cudaStream_t);                        \
  template void fenchel_young_loss_backward<T>(const acc_t<T>*, const T*, T*, int64_t, int64_t, \
                                               cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
