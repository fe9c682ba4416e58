// Chains of small layers over a few rows.
#pragma once

#include <algorithm>
#include <vector>

#include "../../cpu/kernels.h"
#include "weights.h"

namespace tedg::nethack {

inline constexpr float kLayerNormEpsilon = 1e-5f;

// A chain of layers, four weights each: weight [inputs, outputs], bias, and LayerNorm's scale and
// shift, both empty without one. ReLU follows every layer, the last one only on request.
class Network {
 public:
  Network(const char* name, const Weights& weights, int64_t inputs, bool relu_last)
      : inputs_(inputs), outputs_(inputs) {
    if (weights.size() % 4 != 0) unfit(name, " must have four weights a layer");
    for (size_t i = 0; i < weights.size(); i += 4) {
      check_matrix(name, weights[i]);
      DenseProblem layer{};
      layer.inputs = outputs_;
      layer.outputs = outputs_ = weights[i].shape[1];
      layer.weight = numbers(name, weights[i], {layer.inputs, outputs_});
      layer.bias = numbers(name, weights[i + 1], {outputs_});
      layer.relu = relu_last || i + 4 < weights.size();
      if (weights[i + 2].size() > 0) {
        layer.scale = numbers(name, weights[i + 2], {outputs_});
        layer.shift = numbers(name, weights[i + 3], {outputs_});
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
  void operator()(const float* x, int64_t stride, float* out, int64_t out_stride, int64_t rows) {
    between_.resize(layers_.size() > 1 ? 2 * rows * widest_ : 0);
    for (size_t i = 0; i < layers_.size(); ++i) {
      DenseProblem layer = layers_[i];
      const bool last = i + 1 == layers_.size();
      layer.x = x;
      layer.x_stride = stride;
      layer.out = last ? out : between_.data() + (i % 2) * rows * widest_;
      layer.out_stride = last ? out_stride : widest_;
      kernels().dense.forward(layer, rows);
      x = layer.out;
      stride = layer.out_stride;
    }
  }

 private:
  int64_t inputs_, outputs_, widest_ = 0;
  std::vector<DenseProblem> layers_;
  std::vector<float> between_;
};

}  // namespace tedg::nethack
