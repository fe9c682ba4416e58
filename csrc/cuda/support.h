// What the CUDA ops share: the current stream and device, typed pointers, dispatch on the dtype.
// Nothing here or in the ops waits for the device.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include "../ops/checks.h"
#include "../ops/tensors.h"
#include "kernels/kernels.h"

// The tests also register these ops for CPU tensors, over an emulated device.
#ifndef TEDG_DISPATCH_KEY
#define TEDG_DISPATCH_KEY CUDA
#endif
#define TEDG_LIBRARY_IMPL(key) STABLE_TORCH_LIBRARY_IMPL(tedg, key, m)

namespace tedg {

// Makes a device the current one for as long as it lives; it creates no context on another one.
using torch::stable::accelerator::DeviceGuard;

inline cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

template <class T>
const T* data(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}
template <class T>
const T* data_or_null(const OptionalTensor& tensor) {
  return tensor.has_value() ? data<T>(*tensor) : nullptr;
}
template <class T>
T* mutable_data(Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_data_ptr());
}

template <class T>
constexpr ScalarType kTypeOf = ScalarType::Undefined;
template <>
inline constexpr ScalarType kTypeOf<float> = ScalarType::Float;
template <>
inline constexpr ScalarType kTypeOf<double> = ScalarType::Double;
template <>
inline constexpr ScalarType kTypeOf<__nv_bfloat16> = ScalarType::BFloat16;
template <>
inline constexpr ScalarType kTypeOf<__half> = ScalarType::Half;

// Calls f with a value of the C++ type that a dtype is stored as.
template <class F>
void for_storage(ScalarType type, const F& f) {
#define TEDG_STORED_AS(T) \
  if (type == kTypeOf<T>) return f(T{});
  TEDG_FOR_STORAGE(TEDG_STORED_AS)
#undef TEDG_STORED_AS
  refuse("there is no CUDA kernel for ", dtype_text(type));
}

}  // namespace tedg
