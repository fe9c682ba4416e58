// Making and packing tensors, for both back ends.
#pragma once

#include "checks.h"

namespace tedg {

inline Tensor packed(const Tensor& tensor) {
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

inline OptionalTensor packed(const OptionalTensor& tensor) {
  return tensor.has_value() ? OptionalTensor(packed(*tensor)) : std::nullopt;
}

inline Tensor new_tensor(const Tensor& like, std::initializer_list<int64_t> shape,
                         ScalarType type) {
  return torch::stable::new_empty(like, shape, type);
}

}  // namespace tedg
