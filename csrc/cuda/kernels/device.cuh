// What the kernels share: storage types, warp sums, launching.
//
// Without nvcc the same files are compiled by the host's compiler over a small emulation of the
// device (python_tests/cuda_emulation), so nothing else of CUDA is used than what that offers:
// grids of blocks of threads, dynamic shared memory, barriers, warp shuffles and votes, integer
// atomics, and asynchronous copies into shared memory.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__CUDACC__) || !defined(TEDG_CUDA_EMULATION)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#else
#include "cuda_emulation.h"
#endif

// X(T) for every storage type; tests may ask for fewer.
#ifndef TEDG_FOR_STORAGE
#define TEDG_FOR_STORAGE(X) X(float) X(double) X(__nv_bfloat16) X(__half)
#endif

namespace tedg::gpu {

template <class T>
struct AccumulateIn {
  using type = float;
};
template <>
struct AccumulateIn<double> {
  using type = double;
};
template <class T>
using acc_t = typename AccumulateIn<T>::type;

// Throws if `error` is one; `what` names the kernel. The error is not left behind for the next
// launch to be blamed for.
void check_cuda(cudaError_t error, const char* what);

// The shared memory that a block of the current device may ask for.
int64_t largest_shared_memory();
int multiprocessors();  // of the current device

// Lets launches of a kernel on the current device ask for all of its shared memory. It is the same
// once and for all, so that threads that launch at the same time do not take it from each other.
void allow_shared_memory(const void* kernel, const char* name);

// How many blocks a launch has, in one dimension or in two.
struct Grid {
  int64_t x;
  int64_t y = 1;
};
// Throws if there are more than a launch takes.
void check_grid(const char* name, const Grid& grid);

}  // namespace tedg::gpu

#if defined(__CUDACC__) || defined(TEDG_CUDA_EMULATION)

#if defined(__CUDACC__)
#include <cuda_pipeline_primitives.h>
#endif

#define TEDG_DEVICE __device__ __forceinline__

namespace tedg::gpu {

constexpr unsigned kAllLanes = 0xffffffffu;

TEDG_DEVICE float widen(float v) { return v; }
TEDG_DEVICE double widen(double v) { return v; }
TEDG_DEVICE float widen(__nv_bfloat16 v) { return __bfloat162float(v); }
TEDG_DEVICE float widen(__half v) { return __half2float(v); }

TEDG_DEVICE void narrow(float& to, float v) { to = v; }
TEDG_DEVICE void narrow(double& to, double v) { to = v; }
TEDG_DEVICE void narrow(__nv_bfloat16& to, float v) { to = __float2bfloat16_rn(v); }
TEDG_DEVICE void narrow(__half& to, float v) { to = __float2half_rn(v); }

// The lowest finite value of a storage type.
TEDG_DEVICE void set_lowest(float& to) { to = -3.402823466e+38f; }
TEDG_DEVICE void set_lowest(double& to) { to = -1.7976931348623157e+308; }
TEDG_DEVICE void set_lowest(__nv_bfloat16& to) { to = __ushort_as_bfloat16(0xff7f); }
TEDG_DEVICE void set_lowest(__half& to) { to = __ushort_as_half(0xfbff); }

template <class A>
constexpr A kInfinity = static_cast<A>(__builtin_huge_val());

TEDG_DEVICE float exp_of(float v) { return expf(v); }
TEDG_DEVICE double exp_of(double v) { return exp(v); }
// Of v <= 0, with an absolute error below 1e-7.
TEDG_DEVICE float exp_below_0(float v) { return __expf(v); }
TEDG_DEVICE double exp_below_0(double v) { return exp(v); }
// 1 / v within two units in the last place, for a v that is neither huge nor denormal.
TEDG_DEVICE float reciprocal(float v) { return __fdividef(1.0f, v); }
TEDG_DEVICE double reciprocal(double v) { return 1 / v; }
TEDG_DEVICE float log_of(float v) { return logf(v); }
TEDG_DEVICE double log_of(double v) { return log(v); }
TEDG_DEVICE float root_of(float v) { return sqrtf(v); }
TEDG_DEVICE double root_of(double v) { return sqrt(v); }
TEDG_DEVICE float size_of(float v) { return fabsf(v); }
TEDG_DEVICE double size_of(double v) { return fabs(v); }

// The sum over each aligned group of `lanes` lanes (a power of two), on all of its lanes. All
// lanes of the warp take part; the order of the additions is fixed.
template <class A>
TEDG_DEVICE A group_sum(A v, int lanes) {
  for (int step = lanes / 2; step > 0; step /= 2) {  // warp loop: sum
    v += __shfl_xor_sync(kAllLanes, v, step);
  }
  return v;
}
// The same for the largest value; NaN counts as the smallest.
template <class A>
TEDG_DEVICE A group_max(A v, int lanes) {
  for (int step = lanes / 2; step > 0; step /= 2) {  // warp loop: largest
    const A other = __shfl_xor_sync(kAllLanes, v, step);
    v = other > v || v != v ? other : v;
  }
  return v;
}

// An index that a caller gave: reading outside a tensor ends the launch with an error instead.
TEDG_DEVICE int checked(int32_t index, int size) {
  if (static_cast<uint32_t>(index) >= static_cast<uint32_t>(size)) __trap();
  return index;
}

// The smallest power of two that is at least v, for v in [1, limit].
inline __host__ __device__ int power_of_two(int64_t v, int limit) {
  int p = 1;
  while (p < v && p < limit) p *= 2;
  return p;
}

inline __host__ __device__ int64_t divided(int64_t a, int64_t b) { return (a + b - 1) / b; }

#if defined(__CUDACC__)
TEDG_DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(128) unsigned char memory[];
  return memory;
}
#endif

constexpr int64_t kSharedUnasked = 48 * 1024;  // a launch may have so much without being allowed

// How many blocks of a kernel one multiprocessor holds at once.
template <class... Parameters>
int blocks_at_once(const char* name, void (*kernel)(Parameters...), int threads, int64_t shared) {
  if (shared > kSharedUnasked) allow_shared_memory(reinterpret_cast<const void*>(kernel), name);
  int blocks = 0;
  check_cuda(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads,
                                                           static_cast<size_t>(shared)),
             name);
  return blocks;
}

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), Grid grid, int threads, int64_t shared,
            cudaStream_t stream, const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  check_grid(name, grid);
  if (shared > kSharedUnasked) allow_shared_memory(reinterpret_cast<const void*>(kernel), name);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<size_t>(shared);
  config.stream = stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), name);
}
template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), int64_t blocks, int threads,
            int64_t shared, cudaStream_t stream, const Arguments&... arguments) {
  launch(name, kernel, Grid{blocks}, threads, shared, stream, arguments...);
}

}  // namespace tedg::gpu

#endif
