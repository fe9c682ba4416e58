// The losses on the routing and their backward: a warp a sample.
//
// A sample's expert logits are read once into shared memory and scaled to unit vectors u_k there;
// all losses come from c_ij = <u_i, u_j> and alpha. With w_ij the derivative of the losses by c_ij
// (c_ij and c_ji both counted), the gradient is
//   dz_i = (sum_{j != i} w_ij u_j - (sum_{j != i} w_ij c_ij) u_i) / |z_i|.
// A zero vector has u = 0 and 1 / |z| = 0: cosine 0 and gradient 0.
//
// The sums over the batch take two passes: every block over its samples, in order, then one block
// over the blocks.
#include <stdexcept>
#include <string>

#include "kernels.h"

namespace tedg::gpu {
namespace {

constexpr int kWarps = 8;
constexpr int kNamed = 4;  // sums before those of alpha: overlap, |cos|, cos, entropy
constexpr int64_t kMostParts = 1024;

// An odd row length: lanes that read one column of different rows meet no bank conflict.
__host__ __device__ inline int64_t odd(int64_t v) { return v | 1; }

// Rows of the matrix w that backward has at a time: few experts' all, of many experts one.
__host__ __device__ inline int64_t rows_at_once(int64_t experts) {
  return experts <= 8 ? experts : (experts < 64 ? 64 / experts : 1);
}

// Shared memory of one warp, in numbers: unit vectors, 1 / |z|, alpha; and the sums of alpha
// (forward) or some rows of the K x K matrix (backward).
__host__ __device__ inline int64_t forward_numbers(int64_t experts, int64_t actions) {
  return experts * odd(actions) + 3 * experts;
}
__host__ __device__ inline int64_t backward_numbers(int64_t experts, int64_t actions) {
  return experts * odd(actions) + (2 + rows_at_once(experts)) * experts;
}

// Loads one sample: u [K, odd(A)], inverse[K] = 1 / |z_k|, alpha [K]. All lanes together.
template <class T>
TEDG_DEVICE void load_sample(const LossProblem<T>& p, int64_t row, acc_t<T>* u, acc_t<T>* inverse,
                             acc_t<T>* alpha) {
  using A = acc_t<T>;
  const int lane = threadIdx.x % 32;
  const int64_t stride = odd(p.actions);
  const T* z = p.expert_logits + row * p.experts * p.actions;
  for (int64_t k = 0; k < p.experts; ++k) {
    for (int64_t a = lane; a < p.actions; a += 32) u[k * stride + a] = widen(z[k * p.actions + a]);
  }
  for (int64_t k = lane; k < p.experts; k += 32) alpha[k] = widen(p.alpha[row * p.experts + k]);
  __syncwarp();
  const int lanes = 32 / power_of_two(p.experts, 32);  // an expert
  for (int64_t base = 0; base < p.experts; base += 32 / lanes) {
    const int64_t k = base + lane / lanes;
    const int64_t width = k < p.experts ? p.actions : 0;
    A largest = 0;
    for (int64_t a = lane % lanes; a < width; a += lanes) {
      const A size = size_of(u[k * stride + a]);
      largest = size > largest || size != size ? size : largest;
    }
    for (int step = lanes / 2; step > 0; step /= 2) {
      const A other = __shfl_xor_sync(kAllLanes, largest, step);
      largest = other > largest || other != other ? other : largest;
    }
    // Scaled by the largest entry first, so that the squares stay finite.
    const A factor = 1 / (largest < A(1e-37) ? A(1e-37) : largest);
    A square = 0;
    for (int64_t a = lane % lanes; a < width; a += lanes) {
      const A v = u[k * stride + a] * factor;
      square += v * v;
    }
    square = group_sum(square, lanes);
    const A scale = largest == 0 ? A{0} : 1 / root_of(square);
    for (int64_t a = lane % lanes; a < width; a += lanes) {
      u[k * stride + a] = u[k * stride + a] * factor * scale;
    }
    if (k < p.experts && lane % lanes == 0) inverse[k] = factor * scale;
  }
  __syncwarp();
}

// c_ij.
template <class A>
TEDG_DEVICE A cosine(const A* u, int64_t i, int64_t j, int64_t actions) {
  const A* to = u + j * odd(actions);
  A sum = 0;
  for (int64_t a = 0; a < actions; ++a) sum += u[i * odd(actions) + a] * to[a];
  return sum;
}

template <class T>
__global__ void __launch_bounds__(32 * kWarps, 4) forward_kernel(LossProblem<T> p) {
  using A = acc_t<T>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  const int64_t numbers = forward_numbers(p.experts, p.actions);
  A* memory = reinterpret_cast<A*>(shared_memory());
  A* u = memory + warp * numbers;
  A* inverse = u + p.experts * odd(p.actions);
  A* alpha = inverse + p.experts;
  A* alpha_sum = alpha + p.experts;
  for (int64_t k = lane; k < p.experts; k += 32) alpha_sum[k] = 0;
  A sums[kNamed] = {};
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * warps + warp; row < p.batch;
       row += static_cast<int64_t>(gridDim.x) * warps) {
    load_sample(p, row, u, inverse, alpha);
    for (int64_t t = lane; t < p.experts * p.experts; t += 32) {
      const int64_t i = t / p.experts, j = t % p.experts;
      if (i >= j) continue;
      const A c = cosine(u, i, j, p.actions);
      sums[0] += 2 * alpha[i] * alpha[j] * c;
      sums[1] += 2 * size_of(c);
      sums[2] += 2 * c;
    }
    for (int64_t k = lane; k < p.experts; k += 32) {
      const A a = alpha[k];
      if (a > 0) sums[3] -= a * log_of(a);
      alpha_sum[k] += a;
    }
    __syncwarp();  // everyone is done with the sample
  }
  A* block = memory + warps * numbers;  // [warps, kNamed]
  for (int i = 0; i < kNamed; ++i) {
    const A sum = group_sum(sums[i], 32);
    if (lane == 0) block[warp * kNamed + i] = sum;
  }
  __syncthreads();
  A* parts = p.parts + blockIdx.x * (kNamed + p.experts);
  for (int64_t i = threadIdx.x; i < kNamed + p.experts; i += blockDim.x) {
    A sum = 0;
    for (int w = 0; w < warps; ++w) {
      sum += i < kNamed ? block[w * kNamed + i]
                        : memory[w * numbers + numbers - p.experts + (i - kNamed)];
    }
    parts[i] = sum;
  }
}

// One block: the sums over the parts, a warp a sum, then the losses.
template <class T>
__global__ void __launch_bounds__(32 * kWarps, 4) finish_kernel(LossProblem<T> p, int64_t count) {
  using A = acc_t<T>;
  double* sums = reinterpret_cast<double*>(shared_memory());  // [kNamed + K]
  const int64_t width = kNamed + p.experts;
  for (int64_t i = threadIdx.x / 32; i < width; i += blockDim.x / 32) {
    double sum = 0;
    for (int64_t part = threadIdx.x % 32; part < count; part += 32) {
      sum += p.parts[part * width + i];
    }
    sum = group_sum(sum, 32);
    if (threadIdx.x % 32 == 0) sums[i] = sum;
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  const double batch = p.batch > 0 ? static_cast<double>(p.batch) : 1;
  const double experts = static_cast<double>(p.experts);
  *p.loss[0] = static_cast<A>(sums[0] / batch);
  if (!p.all) return;
  const double pairs = p.experts > 1 ? experts * (experts - 1) : 1;
  double balance = 0;
  for (int64_t k = 0; k < p.experts; ++k) {
    const double mean = sums[kNamed + k] / batch;
    p.mean_alpha[k] = static_cast<A>(mean);
    balance += (mean - 1 / experts) * (mean - 1 / experts) / experts;
  }
  *p.loss[1] = static_cast<A>(sums[1] / (batch * experts * experts));
  *p.loss[2] = static_cast<A>(sums[2] / (batch * pairs));
  *p.loss[3] = static_cast<A>(p.batch > 0 ? balance : 0.0);
  *p.loss[4] = static_cast<A>(sums[3] / batch);
}

template <class T>
__global__ void __launch_bounds__(32 * kWarps, 4) backward_kernel(LossProblem<T> p) {
  using A = acc_t<T>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + warp;
  if (row >= p.batch) return;  // a whole warp leaves
  const int64_t count = p.experts, stride = odd(p.actions);
  A* u = reinterpret_cast<A*>(shared_memory()) + warp * backward_numbers(count, p.actions);
  A* inverse = u + count * stride;
  A* alpha = inverse + count;
  A* matrix = alpha + count;  // [rows, K]: w_ij, and at i = j what dz_i has of u_i
  const auto grad_of = [&](int i) { return p.grad[i] == nullptr ? A{0} : *p.grad[i]; };
  const A batch = static_cast<A>(p.batch), experts = static_cast<A>(count);
  const A pairs = count > 1 ? experts * (experts - 1) : A{1};
  const A by_overlap = 2 * grad_of(0) / batch;
  const A by_semantic = 2 * grad_of(1) / (batch * experts * experts);
  const A by_diversity = 2 * grad_of(2) / (batch * pairs);
  const A by_balance = 2 * grad_of(3) / (batch * experts);
  const A by_entropy = grad_of(4) / batch;

  load_sample(p, row, u, inverse, alpha);
  T* out = p.grad_expert_logits + row * count * p.actions;
  const int64_t at_once = rows_at_once(count);
  for (int64_t first = 0; first < count; first += at_once) {
    const int64_t rows = count - first < at_once ? count - first : at_once;
    for (int64_t t = lane; t < rows * count; t += 32) {
      matrix[t] = cosine(u, first + t / count, t % count, p.actions);
    }
    __syncwarp();
    for (int64_t i = first; i < first + rows; ++i) {
      A* coefficient = matrix + (i - first) * count;
      const A a = alpha[i];
      A weighted = 0, own = 0;
      for (int64_t j = lane; j < count; j += 32) {
        if (j == i) continue;
        const A c = coefficient[j];
        const A sign = c > 0 ? A{1} : (c < 0 ? A{-1} : A{0});
        const A w = by_overlap * a * alpha[j] + by_semantic * sign + by_diversity;
        weighted += alpha[j] * c;
        own += w * c;
        coefficient[j] = w;
      }
      weighted = group_sum(weighted, 32);
      own = group_sum(own, 32);
      if (lane != 0) continue;
      coefficient[i] = -own;
      A grad = by_overlap * weighted;
      if (p.all) {
        grad += by_balance * (p.mean_alpha[i] - 1 / experts);
        if (a > 0) grad -= by_entropy * (log_of(a) + 1);
      }
      narrow(p.grad_alpha[row * count + i], grad);
    }
    __syncwarp();
    for (int64_t i = first; i < first + rows; ++i) {
      const A* coefficient = matrix + (i - first) * count;
      for (int64_t a = lane; a < p.actions; a += 32) {
        A sum = 0;
        for (int64_t j = 0; j < count; ++j) sum += coefficient[j] * u[j * stride + a];
        narrow(out[i * p.actions + a], sum * inverse[i]);
      }
    }
    __syncwarp();  // everyone is done with the rows
  }
}

// How many warps with `numbers` numbers of shared memory each go into a block.
template <class A>
int64_t warps_for(int64_t numbers, int64_t experts, int64_t actions) {
  const int64_t fit = (largest_shared_memory() - 1024) / (numbers * sizeof(A));
  if (fit < 1) {
    throw std::runtime_error(
        "expert_logits must have fewer experts or actions for the CUDA "
        "kernel, got K = " +
        std::to_string(experts) + ", A = " + std::to_string(actions));
  }
  return fit < kWarps ? fit : kWarps;
}

}  // namespace

int64_t loss_parts(int64_t batch) {
  const int64_t blocks = divided(batch, kWarps);
  return blocks < 1 ? 1 : (blocks < kMostParts ? blocks : kMostParts);
}

template <class T>
void losses_forward(const LossProblem<T>& p, cudaStream_t stream) {
  using A = acc_t<T>;
  const char* name = p.all ? "routing_losses" : "expert_overlap";
  const int64_t numbers = forward_numbers(p.experts, p.actions);
  const int64_t warps = warps_for<A>(numbers, p.experts, p.actions);
  const int64_t parts = loss_parts(p.batch);
  launch(name, forward_kernel<T>, parts, static_cast<int>(32 * warps),
         static_cast<int64_t>(sizeof(A)) * warps * (numbers + kNamed), stream, p);
  launch(name, finish_kernel<T>, 1, 32 * kWarps,
         static_cast<int64_t>(sizeof(double)) * (kNamed + p.experts), stream, p, parts);
}

template <class T>
void losses_backward(const LossProblem<T>& p, cudaStream_t stream) {
  using A = acc_t<T>;
  const int64_t numbers = backward_numbers(p.experts, p.actions);
  const int64_t warps = warps_for<A>(numbers, p.experts, p.actions);
  launch(p.all ? "routing_losses_backward" : "expert_overlap_backward", backward_kernel<T>,
         divided(p.batch, warps), static_cast<int>(32 * warps),
         static_cast<int64_t>(sizeof(A)) * warps * numbers, stream, p);
}

#define TEDG_INSTANTIATE(T)                                             \
  template void losses_forward<T>(const LossProblem<T>&, cudaStream_t);  \
  template void losses_backward<T>(const LossProblem<T>&, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
