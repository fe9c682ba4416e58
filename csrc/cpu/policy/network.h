// Chains of small layers over the few rows of a rollout's step.
#pragma once

#include <algorithm>
#include <vector>

#include "../support.h"

namespace tedg {

using TensorList = std::vector<Tensor>;

inline constexpr float kLayerNormEpsilon = 1e-5f;

inline const float* floats(const char* name, const Tensor& tensor,
                           std::initializer_list<int64_t> shape) {
  check_tensor(name, tensor, shape, ScalarType::Float, tensor);
  if (!tensor.is_contiguous()) refuse(name, " must be contiguous");
  return static_cast<const float*>(tensor.const_data_ptr());
}

inline const int64_t* integers(const char* name, const Tensor& tensor,
                               std::initializer_list<int64_t> shape) {
  check_tensor(name, tensor, shape, ScalarType::Long, tensor);
  if (!tensor.is_contiguous()) refuse(name, " must be contiguous");
  return static_cast<const int64_t*>(tensor.const_data_ptr());
}

// A chain of layers, four tensors each: weight [inputs, outputs], bias, and LayerNorm's scale and
// shift, both empty without one. ReLU follows every layer, the last one only on request.
class Network {
 public:
  Network(const char* name, const TensorList& tensors, int64_t inputs, bool relu_last)
      : inputs_(inputs), outputs_(inputs) {
    if (tensors.size() % 4 != 0) refuse(name, " must have four tensors a layer");
    for (size_t i = 0; i < tensors.size(); i += 4) {
      const Tensor& weight = tensors[i];
      check_dim(name, weight, 2, "[inputs, outputs]");
      DenseProblem layer{};
      layer.inputs = outputs_;
      layer.outputs = outputs_ = weight.size(1);
      layer.weight = floats(name, weight, {layer.inputs, outputs_});
      layer.bias = floats(name, tensors[i + 1], {outputs_});
      layer.relu = relu_last || i + 4 < tensors.size();
      if (tensors[i + 2].numel() > 0) {
        layer.scale = floats(name, tensors[i + 2], {outputs_});
        layer.shift = floats(name, tensors[i + 3], {outputs_});
        layer.epsilon = kLayerNormEpsilon;
      }
      layers_.push_back(layer);
    }
    for (const DenseProblem& layer : layers_) widest_ = std::max(widest_, layer.outputs);
  }

  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return outputs_; }
  bool empty() const { return layers_.empty(); }

  // Rows of x, `stride` apart, to rows of out.
  void operator()(const float* x, int64_t stride, float* out, int64_t out_stride,
                  int64_t rows) const {
    std::vector<float> between(layers_.size() > 1 ? 2 * rows * widest_ : 0);
    for (size_t i = 0; i < layers_.size(); ++i) {
      DenseProblem layer = layers_[i];
      const bool last = i + 1 == layers_.size();
      layer.x = x;
      layer.x_stride = stride;
      layer.out = last ? out : between.data() + (i % 2) * rows * widest_;
      layer.out_stride = last ? out_stride : widest_;
      kernels().dense.forward(layer, rows);
      x = layer.out;
      stride = layer.out_stride;
    }
  }

 private:
  int64_t inputs_, outputs_, widest_ = 0;
  std::vector<DenseProblem> layers_;
};

}  // namespace tedg
