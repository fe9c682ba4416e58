// route and its backward.
//
// A warp has one to 8 rows. Their weights are mapped in registers and laid into shared memory;
// then, row by row, the lanes share the actions, so that the experts' logits are read once and in
// order. All sums have a fixed order.
#include <stdexcept>
#include <string>

#include "row_map.cuh"

namespace tedg::gpu {
namespace {

constexpr int kWarps = 4;

template <class T>
TEDG_DEVICE bool allowed(const RouteProblem<T>& p, int64_t row, int64_t a) {
  return p.action_mask == nullptr || p.action_mask[row * p.actions + a];
}

template <class T, int kSize>
TEDG_DEVICE void map_scores(const RouteProblem<T>& p, const RowLayout& layout, const Place& at,
                            Entries<acc_t<T>, kSize>& z) {
  using A = acc_t<T>;
  fill_row(z, at, layout.lanes, p.experts, -kInfinity<A>,
           [&](int64_t k) { return widen(p.scores[at.row * p.experts + k]) / p.temperature; });
  const A top = subtract_top(z, layout.lanes);
  map_row(p.sparse, z, top, layout.lanes, p.experts);
}

template <class T, int kSize>
__global__ void __launch_bounds__(32 * kWarps, 6)
    forward_kernel(RouteProblem<T> p, RowLayout layout) {
  using A = acc_t<T>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t base =
      (static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + warp) * layout.rows_a_warp;
  A* weight = reinterpret_cast<A*>(shared_memory()) + warp * layout.rows_a_warp * p.experts;
  const Place at(layout, base, p.batch);
  Entries<A, kSize> z(weight, lane, p.experts);
  map_scores<T>(p, layout, at, z);
  each_entry(z, at, layout.lanes, p.experts, [&](int64_t k, A w) {
    weight[at.slot * p.experts + k] = w;
    narrow(p.alpha[at.row * p.experts + k], w);
  });
  __syncwarp();
  for (int slot = 0; slot < layout.rows_a_warp && base + slot < p.batch; ++slot) {
    const int64_t row = base + slot;
    const T* experts = p.expert_logits + row * p.experts * p.actions;
    for (int64_t a = lane; a < p.actions; a += 32) {
      A sum = 0;
#pragma unroll 4
      for (int64_t k = 0; k < p.experts; ++k) {
        sum += weight[slot * p.experts + k] * widen(experts[k * p.actions + a]);
      }
      T& out = p.logits[row * p.actions + a];
      allowed(p, row, a) ? narrow(out, sum) : set_lowest(out);
    }
  }
}

template <class T, int kSize>
__global__ void __launch_bounds__(32 * kWarps, 6)
    backward_kernel(RouteProblem<T> p, RowLayout layout) {
  using A = acc_t<T>;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t base =
      (static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + warp) * layout.rows_a_warp;
  A* weight = reinterpret_cast<A*>(shared_memory()) + 2 * warp * layout.rows_a_warp * p.experts;
  A* grad = weight + layout.rows_a_warp * p.experts;
  const Place at(layout, base, p.batch);
  Entries<A, kSize> alpha(weight, lane, p.experts);
  map_scores<T>(p, layout, at, alpha);
  each_entry(alpha, at, layout.lanes, p.experts,
             [&](int64_t k, A w) { weight[at.slot * p.experts + k] = w; });
  __syncwarp();
  for (int slot = 0; slot < layout.rows_a_warp && base + slot < p.batch; ++slot) {
    const int64_t row = base + slot;
    const T* experts = p.expert_logits + row * p.experts * p.actions;
    T* grad_experts = p.grad_expert_logits + row * p.experts * p.actions;
    for (int64_t k = 0; k < p.experts; ++k) {
      const A w = weight[slot * p.experts + k];
      A dot = 0;
      for (int64_t a = lane; a < p.actions; a += 32) {
        A g = 0;
        if (p.grad_logits != nullptr && allowed(p, row, a)) {
          g = widen(p.grad_logits[row * p.actions + a]);
          dot += g * widen(experts[k * p.actions + a]);
        }
        narrow(grad_experts[k * p.actions + a], w * g);
      }
      dot = group_sum(dot, 32);
      if (lane == 0) grad[slot * p.experts + k] = dot;
    }
  }
  __syncwarp();
  Entries<A, kSize> g(grad, lane, p.experts);
  fill_row(g, at, layout.lanes, p.experts, A{0}, [&](int64_t k) {
    const A by_logits = grad[at.slot * p.experts + k];
    return p.grad_alpha == nullptr ? by_logits
                                   : by_logits + widen(p.grad_alpha[at.row * p.experts + k]);
  });
  map_row_backward(p.sparse, g, alpha, layout.lanes);
  each_entry(g, at, layout.lanes, p.experts, [&](int64_t k, A v) {
    narrow(p.grad_scores[at.row * p.experts + k], v / p.temperature);
  });
}

// Launches kernel<T, kSize> with `arrays` numbers of shared memory an expert.
template <class T, class Kernel>
void launch_rows(const char* name, Kernel kernel, const RouteProblem<T>& p, int arrays,
                 cudaStream_t stream) {
  const RowLayout layout = row_layout(p.batch, p.experts);
  const int64_t bytes_a_warp =
      arrays * layout.rows_a_warp * p.experts * static_cast<int64_t>(sizeof(acc_t<T>));
  const int64_t fit = largest_shared_memory() / bytes_a_warp;
  if (fit < 1) {
    throw std::runtime_error("router_logits must have fewer experts for the CUDA kernel, got " +
                             std::to_string(p.experts));
  }
  const int64_t warps = fit < kWarps ? fit : kWarps;
  launch(name, kernel, divided(p.batch, warps * layout.rows_a_warp), static_cast<int>(32 * warps),
         warps * bytes_a_warp, stream, p, layout);
}

}  // namespace

template <class T>
void route_forward(const RouteProblem<T>& p, cudaStream_t stream) {
  for_row_size(p.experts, [&]<int kSize>(Size<kSize>) {
    launch_rows("route", forward_kernel<T, kSize>, p, 1, stream);
  });
}

template <class T>
void route_backward(const RouteProblem<T>& p, cudaStream_t stream) {
  for_row_size(p.experts, [&]<int kSize>(Size<kSize>) {
    launch_rows("route_backward", backward_kernel<T, kSize>, p, 2, stream);
  });
}

#define TEDG_INSTANTIATE(T)                                              \
  template void route_forward<T>(const RouteProblem<T>&, cudaStream_t);  \
  template void route_backward<T>(const RouteProblem<T>&, cudaStream_t);
TEDG_FOR_STORAGE(TEDG_INSTANTIATE)

}  // namespace tedg::gpu
