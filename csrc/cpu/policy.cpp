// CPU: one pass of the policy (tedg_fast/policy) without gradients, for the few rows of a rollout's
// step. Operator by operator the dispatch would take several times as long as the arithmetic.
#include <algorithm>
#include <cstring>

#include "support.h"

namespace tedg {
namespace {

using TensorList = std::vector<Tensor>;

constexpr float kLayerNormEpsilon = 1e-5f;

const float* floats(const char* name, const Tensor& tensor, std::initializer_list<int64_t> shape,
                    const Tensor& like) {
  check_tensor(name, tensor, shape, ScalarType::Float, like);
  if (!tensor.is_contiguous()) refuse(name, " must be contiguous");
  return static_cast<const float*>(tensor.const_data_ptr());
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
      layer.weight = floats(name, weight, {layer.inputs, outputs_}, weight);
      layer.bias = floats(name, tensors[i + 1], {outputs_}, weight);
      layer.relu = relu_last || i + 4 < tensors.size();
      if (tensors[i + 2].numel() > 0) {
        layer.scale = floats(name, tensors[i + 2], {outputs_}, weight);
        layer.shift = floats(name, tensors[i + 3], {outputs_}, weight);
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

// What the Manager makes of the rules (tedg_fast/policy/gat.py, Rules), and whose they are.
struct RuleTables {
  RuleTables(const TensorList& tables, const Tensor& owner_in, int64_t experts, int64_t num_actions)
      : actions(num_actions), claims_width(experts * num_actions) {
    if (tables.size() != 3) refuse("rules must be facts, operators and strength");
    check_dim("facts", tables[0], 2, "[C, width]");
    conditions = tables[0].size(0);
    width = tables[0].size(1);
    check_dim("operators", tables[1], 2, "[O, width + 1]");
    operators = tables[1].size(0);
    facts = floats("facts", tables[0], {conditions, width}, tables[0]);
    heard = floats("operators", tables[1], {operators, width + 1}, tables[0]);
    strength = floats("strength", tables[2], {operators}, tables[0]);
    check_tensor("owner", owner_in, {operators}, ScalarType::Long, tables[0]);
    if (!owner_in.is_contiguous()) refuse("owner must be contiguous");
    owner = static_cast<const int64_t*>(owner_in.const_data_ptr());
    for (int64_t o = 0; o < operators; ++o) {
      if (owner[o] < 0 || owner[o] >= experts) refuse("owner must lie in [0, experts)");
    }
  }

  int64_t actions, claims_width, conditions, operators, width;
  const float *facts, *heard, *strength;
  const int64_t* owner;
};

// One sample's rules: out [2 width] <- pooled operators and facts; mass [K * A] <- what the instances
// that apply add to their experts' actions.
class Reader {
 public:
  static constexpr int64_t kInstance = 8;  // bytes: rule, two objects, four actions

  explicit Reader(const RuleTables& tables)
      : tables_(tables), holds_(tables.conditions), applies_(tables.operators),
        found_(tables.operators) {}

  void operator()(const uint8_t* active_bits, const uint8_t* instances, int64_t count, float* out,
                  float* mass) {
    const RuleTables& t = tables_;
    int64_t holding = 0, applying = 0;
    for (int64_t c = 0; c < t.conditions; ++c) {
      if (active_bits[c / 8] >> (7 - c % 8) & 1) holds_[holding++] = static_cast<int32_t>(c);
    }
    std::memset(mass, 0, t.claims_width * sizeof(float));
    for (const uint8_t* at = instances; at < instances + count * kInstance; at += kInstance) {
      const int64_t rule = at[0] | at[1] << 8;
      if (rule == kNoRule) continue;
      if (rule >= t.operators) refuse("instances name rule ", rule, ", expected less than ", t.operators);
      if (!found_[rule]) {
        found_[rule] = true;
        applies_[applying++] = static_cast<int32_t>(rule);
      }
      int listed = 0;
      for (int i = 4; i < kInstance; ++i) listed += at[i] != kNothing;
      const float share = t.strength[rule] / static_cast<float>(listed);
      for (int i = 4; i < kInstance; ++i) {
        if (at[i] == kNothing) continue;
        if (at[i] >= t.actions) refuse("instances name action ", int{at[i]});
        mass[t.owner[rule] * t.actions + at[i]] += share;
      }
    }
    // In the rules' order, so that sums do not depend on the instances'.
    std::sort(applies_.begin(), applies_.begin() + applying);
    for (int64_t i = 0; i < applying; ++i) found_[applies_[i]] = false;
    const DenseKernels& kernel = kernels().dense;
    // One more column, their summed weight, for which the sums of the facts make room.
    kernel.sum_rows(t.heard, t.width + 1, applies_.data(), applying, out);
    const float weight = 1 + out[t.width];
    kernel.sum_rows(t.facts, t.width, holds_.data(), holding, out + t.width);
    for (int64_t i = 0; i < t.width; ++i) {
      out[i] /= weight;
      out[t.width + i] /= static_cast<float>(std::max<int64_t>(holding, 1));
    }
  }

 private:
  static constexpr int64_t kNoRule = 0xffff;
  static constexpr uint8_t kNothing = 0xff;

  const RuleTables& tables_;
  std::vector<int32_t> holds_, applies_;
  std::vector<char> found_;
};

// Features, then the embeddings of the crop's glyph classes.
void fill_state(const float* features, int64_t num_features, const uint8_t* crop, int64_t squares,
                const float* glyphs, int64_t classes, int64_t width, float* out) {
  std::memcpy(out, features, num_features * sizeof(float));
  out += num_features;
  for (int64_t i = 0; i < squares; ++i, out += width) {
    if (crop[i] >= classes) {
      refuse("crop holds glyph class ", int{crop[i]}, ", expected less than ", classes);
    }
    std::memcpy(out, glyphs + crop[i] * width, width * sizeof(float));
  }
}

std::tuple<Tensor, Tensor, Tensor> play_policy(
    const Tensor& active_bits_in, const Tensor& instances_in, const Tensor& features_in,
    const Tensor& crop_in, const Tensor& mask_in, const TensorList& rules, const Tensor& owner,
    const Tensor& glyphs, const TensorList& state, const TensorList& readout,
    const TensorList& router, const TensorList& experts, const Tensor& proposal_gain,
    const TensorList& critic, double advice_weight, bool sparse, double temperature) {
  check_temperature(temperature);
  check_dim("features", features_in, 2, "[B, F]");
  const int64_t rows = features_in.size(0);
  const Tensor& like = features_in;
  check_tensor("features", features_in, {rows, features_in.size(1)}, ScalarType::Float, like);
  check_dim("crop", crop_in, 2, "[B, squares]");
  check_tensor("crop", crop_in, {rows, crop_in.size(1)}, ScalarType::Byte, like);
  check_dim("action_mask", mask_in, 2, "[B, A]");
  const int64_t actions = mask_in.size(1);
  check_tensor("action_mask", mask_in, {rows, actions}, ScalarType::Bool, like);
  check_dim("proposal_gain", proposal_gain, 2, "[K, 1]");
  const int64_t count = proposal_gain.size(0);
  const float* gain = floats("proposal_gain", proposal_gain, {count, 1}, like);
  check_dim("glyphs", glyphs, 2, "[classes, width]");
  const int64_t glyph_width = glyphs.size(1);
  const float* embedding = floats("glyphs", glyphs, {glyphs.size(0), glyph_width}, like);

  const RuleTables tables(rules, owner, count, actions);
  const int64_t bytes = (tables.conditions + 7) / 8;
  check_tensor("active_bits", active_bits_in, {rows, bytes}, ScalarType::Byte, like);
  check_dim("instances", instances_in, 3, "[B, I, 8]");
  const int64_t places = instances_in.size(1);
  check_tensor("instances", instances_in, {rows, places, Reader::kInstance}, ScalarType::Byte,
               like);
  const int64_t num_features = features_in.size(1), squares = crop_in.size(1);
  const Network encode("state", state, num_features + squares * glyph_width, true);
  const Network read("readout", readout, 2 * tables.width, true);
  const int64_t hidden = encode.outputs(), both = hidden + read.outputs();
  const Network score("router", router, both, false);
  if (!score.empty() && score.outputs() != count) refuse("router must have ", count, " outputs");
  const Network judge("critic", critic, both, false);
  if (judge.outputs() != 1) refuse("critic must have 1 output");
  if (experts.size() != 6) refuse("experts must be a layer's four tensors, weight and bias");
  const Network expand("experts", {experts.begin(), experts.begin() + 4}, hidden, true);
  const int64_t inner = expand.outputs() / std::max<int64_t>(count, 1);
  const float* expert_weight = floats("experts", experts[4], {count, inner, actions}, like);
  const float* expert_bias = floats("experts", experts[5], {count, 1, actions}, like);

  const Tensor active_bits = packed(active_bits_in), instances = packed(instances_in);
  const Tensor features = packed(features_in);
  const Tensor crop = packed(crop_in), mask = packed(mask_in);
  Tensor logits = new_tensor(like, {rows, actions}, ScalarType::Float);
  Tensor value = new_tensor(like, {rows}, ScalarType::Float);
  Tensor alpha = new_tensor(like, {rows, count}, ScalarType::Float);

  std::vector<float> input(rows * encode.inputs()), logic(rows * 2 * tables.width);
  std::vector<float> mass(rows * tables.claims_width), h(rows * both), scores(rows * count);
  std::vector<float> expanded(rows * expand.outputs()), expert_logits(mass.size());
  Reader reader(tables);
  for (int64_t row = 0; row < rows; ++row) {
    fill_state(static_cast<const float*>(features.const_data_ptr()) + row * num_features,
               num_features, static_cast<const uint8_t*>(crop.const_data_ptr()) + row * squares,
               squares, embedding, glyphs.size(0), glyph_width, &input[row * encode.inputs()]);
    reader(static_cast<const uint8_t*>(active_bits.const_data_ptr()) + row * bytes,
           static_cast<const uint8_t*>(instances.const_data_ptr()) + row * places * Reader::kInstance,
           places, &logic[row * 2 * tables.width], &mass[row * tables.claims_width]);
  }
  encode(input.data(), encode.inputs(), h.data(), both, rows);
  read(logic.data(), 2 * tables.width, h.data() + hidden, both, rows);
  score(h.data(), both, scores.data(), count, rows);
  judge(h.data(), both, static_cast<float*>(value.mutable_data_ptr()), 1, rows);

  const DenseKernels& kernel = kernels().dense;
  std::vector<float> loudness(rows * count);  // of each expert's rules
  for (int64_t i = 0; i < rows * count; ++i) {
    for (int64_t a = 0; a < actions; ++a) loudness[i] += mass[i * actions + a];
  }
  kernel.log1p(loudness.data(), rows * count, loudness.data());
  const auto weight = static_cast<float>(advice_weight);
  for (int64_t i = 0; i < rows * count; ++i) scores[i] += weight * loudness[i];
  expand(h.data(), both, expanded.data(), expand.outputs(), rows);
  kernel.log1p(mass.data(), mass.size(), mass.data());
  for (int64_t k = 0; k < count; ++k) {
    DenseProblem layer{};
    layer.inputs = inner;
    layer.outputs = actions;
    layer.x = expanded.data() + k * inner;
    layer.x_stride = expand.outputs();
    layer.weight = expert_weight + k * inner * actions;
    layer.bias = expert_bias + k * actions;
    layer.out = expert_logits.data() + k * actions;
    layer.out_stride = count * actions;
    kernel.forward(layer, rows);
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t expert = row * count + k, at = expert * actions;
      const float factor = gain[k] / std::max(loudness[expert], 1.0f);
      for (int64_t a = at; a < at + actions; ++a) expert_logits[a] += factor * mass[a];
    }
  }

  RouteProblem problem = route_problem(count, actions, sparse, temperature, scores.data(),
                                       expert_logits.data(), mask.const_data_ptr());
  problem.alpha = alpha.mutable_data_ptr();
  problem.logits = logits.mutable_data_ptr();
  const RouteKernels& route = kernels().route[kFloat32];
  Scratch scratch(route.scratch(problem) * sizeof(float));
  route.forward(problem, 0, rows, scratch.get());
  return {logits, value, alpha};
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) { m.impl("play_policy", TORCH_BOX(&tedg::play_policy)); }
