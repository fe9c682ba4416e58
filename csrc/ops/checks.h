// Checks of the arguments of torch.ops.tedg.*, for both back ends. All run before any memory is
// read. Each error names the argument, what it was and what was expected.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cmath>
#include <initializer_list>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

namespace tedg {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using OptionalTensor = std::optional<Tensor>;

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw std::runtime_error(text.str());
}

template <class Sizes>
std::string shape_text(const Sizes& sizes) {
  std::ostringstream text;
  const char* separator = "[";
  for (const int64_t size : sizes) {
    text << separator << size;
    separator = ", ";
  }
  text << (*separator == '[' ? "[]" : "]");
  return text.str();
}

inline const char* dtype_text(ScalarType type) {
  switch (type) {
    case ScalarType::Float: return "float32";
    case ScalarType::Double: return "float64";
    case ScalarType::BFloat16: return "bfloat16";
    case ScalarType::Half: return "float16";
    case ScalarType::Int: return "int32";
    case ScalarType::Long: return "int64";
    case ScalarType::Byte: return "uint8";
    case ScalarType::Bool: return "bool";
    default: return "another dtype";
  }
}

// Whether the memory that the tensor's shape and strides reach is there: a storage can be resized
// under a tensor.
inline void check_storage(const char* name, const Tensor& tensor) {
  int64_t last = tensor.storage_offset();
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return;
    last += (sizes[i] - 1) * strides[i];
  }
  const int64_t wanted = (last + 1) * static_cast<int64_t>(tensor.element_size());
  int64_t bytes = 0;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_storage_size(tensor.get(), &bytes));
  if (bytes < wanted) {
    refuse(name, " must have its memory, but its storage was freed or cut to ", bytes, " of ",
           wanted, " bytes");
  }
}

inline void check_given(const char* name, const Tensor& tensor) {
  if (!tensor.defined()) refuse(name, " must be a tensor, got None");
  check_storage(name, tensor);
}

inline void check_dim(const char* name, const Tensor& tensor, int64_t dim, const char* shape) {
  check_given(name, tensor);
  if (tensor.dim() != dim) {
    refuse(name, " must have shape ", shape, ", got ", shape_text(tensor.sizes()));
  }
}

inline void check_dtype(const char* name, const Tensor& tensor, ScalarType type) {
  if (tensor.scalar_type() != type) {
    refuse(name, " must have dtype ", dtype_text(type), ", got ", dtype_text(tensor.scalar_type()));
  }
}

inline void check_floating(const char* name, const Tensor& tensor) {
  check_given(name, tensor);
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
    case ScalarType::Double:
    case ScalarType::BFloat16:
    case ScalarType::Half: return;
    default:
      refuse(name, " must be float32, bfloat16, float16 or float64, got ",
             dtype_text(tensor.scalar_type()));
  }
}

inline void check_tensor(const char* name, const Tensor& tensor,
                         std::initializer_list<int64_t> shape, ScalarType type,
                         const Tensor& like) {
  check_given(name, tensor);
  const auto sizes = tensor.sizes();
  bool same = sizes.size() == shape.size();
  for (size_t i = 0; same && i < sizes.size(); ++i) same = sizes[i] == shape.begin()[i];
  if (!same) refuse(name, " must have shape ", shape_text(shape), ", got ", shape_text(sizes));
  check_dtype(name, tensor, type);
  if (tensor.is_cuda() != like.is_cuda() || tensor.get_device_index() != like.get_device_index()) {
    refuse(name, " must be on the same device as the other arguments");
  }
}

inline void check_optional(const char* name, const OptionalTensor& tensor,
                           std::initializer_list<int64_t> shape, ScalarType type,
                           const Tensor& like) {
  if (tensor.has_value()) check_tensor(name, *tensor, shape, type, like);
}

// The dtype that sums, lse and losses have.
inline ScalarType accumulate_type(ScalarType type) {
  return type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// router weights or scores [B, K >= 1] with expert_logits [B, K, A].
inline void check_experts(const char* name, const Tensor& scores, const Tensor& expert_logits) {
  check_floating(name, scores);
  check_dim(name, scores, 2, "[B, K] with K >= 1");
  if (scores.size(1) < 1) {
    refuse(name, " must have shape [B, K] with K >= 1, got ", shape_text(scores.sizes()));
  }
  if (scores.size(1) >= int64_t{1} << 24) {  // what a float can count
    refuse(name, " must have fewer than 2**24 experts, got ", scores.size(1));
  }
  check_dim("expert_logits", expert_logits, 3, "[B, K, A]");
  check_tensor("expert_logits", expert_logits,
               {scores.size(0), scores.size(1), expert_logits.size(2)}, scores.scalar_type(),
               scores);
}

inline void check_rows(const char* name, const Tensor& scores) {
  check_floating(name, scores);
  check_dim(name, scores, 2, "[rows, K] with K >= 1");
  if (scores.size(1) < 1) {
    refuse(name, " must have shape [rows, K] with K >= 1, got ", shape_text(scores.sizes()));
  }
}

// The share of the weights that is dropped, and the seed that says which.
inline void check_dropout(double p, const OptionalTensor& seed, const Tensor& like) {
  if (!(p >= 0 && p <= 1)) refuse("dropout_p must be a number in [0, 1], got ", p);
  if (p > 0 && !seed.has_value()) {
    refuse("dropout_seed must be a tensor for dropout_p > 0, got None");
  }
  check_optional("dropout_seed", seed, {}, ScalarType::Long, like);
}

inline void check_slope(double negative_slope) {
  if (!std::isfinite(negative_slope)) {
    refuse("negative_slope must be a finite number, got ", negative_slope);
  }
}

inline void check_temperature(double temperature) {
  if (!(temperature > 0) || std::isinf(temperature)) {
    refuse("temperature must be a positive finite number, got ", temperature);
  }
}

}  // namespace tedg
