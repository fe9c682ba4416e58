// One value on the device: conversions to and from the storage types, and the functions that
// csrc/ops/row_math.h needs on a plain number.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace tedg::device {

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

__device__ __forceinline__ float widen(float v) { return v; }
__device__ __forceinline__ double widen(double v) { return v; }
__device__ __forceinline__ float widen(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ __forceinline__ float widen(__half v) { return __half2float(v); }

__device__ __forceinline__ void narrow(float& to, float v) { to = v; }
__device__ __forceinline__ void narrow(double& to, double v) { to = v; }
__device__ __forceinline__ void narrow(__nv_bfloat16& to, float v) { to = __float2bfloat16_rn(v); }
__device__ __forceinline__ void narrow(__half& to, float v) { to = __float2half_rn(v); }

// The lowest finite value of a storage type.
__device__ __forceinline__ void set_lowest(float& to) { to = -3.402823466e+38f; }
__device__ __forceinline__ void set_lowest(double& to) { to = -1.7976931348623157e+308; }
__device__ __forceinline__ void set_lowest(__nv_bfloat16& to) {
  to = __ushort_as_bfloat16(0xff7f);
}
__device__ __forceinline__ void set_lowest(__half& to) { to = __ushort_as_half(0xfbff); }

template <class A>
__device__ __forceinline__ A select(bool mask, A a, A b) {
  return mask ? a : b;
}
__device__ __forceinline__ bool any(bool mask) { return mask; }
__device__ __forceinline__ float exp_of(float v) { return expf(v); }
__device__ __forceinline__ double exp_of(double v) { return exp(v); }

// The sum over a warp, on every lane, in a fixed order.
template <class A>
__device__ __forceinline__ A warp_sum(A v) {
  for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
  return v;
}

}  // namespace tedg::device
