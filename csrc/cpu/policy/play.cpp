// CPU: one pass of the policy (tedg_fast/policy) without gradients, for the few rows of a rollout's
// step. Operator by operator the dispatch would take several times as long as the arithmetic.
#include <algorithm>
#include <cstring>

#include "manager.h"
#include "network.h"

namespace tedg {
namespace {

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
    const Tensor& features_in, const Tensor& crop_in, const Tensor& mask_in,
    const TensorList& scenes_in, const TensorList& nodes, const TensorList& rounds,
    const TensorList& scoring, const Tensor& glyphs, const TensorList& state,
    const TensorList& readout, const TensorList& router, const TensorList& experts,
    const Tensor& proposal_gain, const TensorList& critic, int64_t player_first,
    int64_t player_last, double advice_weight, bool direct, bool sparse, double temperature) {
  check_temperature(temperature);
  check_dim("features", features_in, 2, "[B, F]");
  const int64_t rows = features_in.size(0), num_features = features_in.size(1);
  const Tensor& like = features_in;
  check_tensor("features", features_in, {rows, num_features}, ScalarType::Float, like);
  if (player_first < 0 || player_first > player_last || player_last > num_features) {
    refuse("the player's features must lie in [0, ", num_features, ")");
  }
  check_dim("crop", crop_in, 2, "[B, squares]");
  const int64_t squares = crop_in.size(1);
  check_tensor("crop", crop_in, {rows, squares}, ScalarType::Byte, like);
  check_dim("action_mask", mask_in, 2, "[B, A]");
  const int64_t actions = mask_in.size(1);
  check_tensor("action_mask", mask_in, {rows, actions}, ScalarType::Bool, like);
  check_dim("proposal_gain", proposal_gain, 2, "[K, 1]");
  const int64_t count = proposal_gain.size(0);
  const float* gain = floats("proposal_gain", proposal_gain, {count, 1});
  check_dim("glyphs", glyphs, 2, "[classes, width]");
  const int64_t glyph_width = glyphs.size(1);
  const float* embedding = floats("glyphs", glyphs, {glyphs.size(0), glyph_width});

  const Scenes scenes(scenes_in);
  if (scenes.states != rows) refuse("scenes must be of ", rows, " states, got ", scenes.states);
  const Manager manager(nodes, rounds, scoring, count, actions);
  const Network encode("state", state, num_features + squares * glyph_width, true);
  const Network read("readout", readout, manager.width(), true);
  const int64_t hidden = encode.outputs(), both = hidden + read.outputs();
  const Network score("router", router, both, false);
  if (!score.empty() && score.outputs() != count) refuse("router must have ", count, " outputs");
  const Network judge("critic", critic, both, false);
  if (judge.outputs() != 1) refuse("critic must have 1 output");
  if (experts.size() != 6) refuse("experts must be a layer's four tensors, weight and bias");
  const Network expand("experts", {experts.begin(), experts.begin() + 4}, hidden, true);
  const int64_t inner = expand.outputs() / std::max<int64_t>(count, 1);
  const float* expert_weight = floats("experts", experts[4], {count, inner, actions});
  const float* expert_bias = floats("experts", experts[5], {count, 1, actions});

  const Tensor features = packed(features_in), crop = packed(crop_in), mask = packed(mask_in);
  Tensor logits = new_tensor(like, {rows, actions}, ScalarType::Float);
  Tensor value = new_tensor(like, {rows}, ScalarType::Float);
  Tensor alpha = new_tensor(like, {rows, count}, ScalarType::Float);

  const int64_t claims = count * actions;
  std::vector<float> input(rows * encode.inputs()), players(rows * manager.width());
  std::vector<float> mass(rows * claims), h(rows * both), scores(rows * count);
  std::vector<float> expanded(rows * expand.outputs()), expert_logits(mass.size());
  const auto* feature_rows = static_cast<const float*>(features.const_data_ptr());
  const auto* crop_rows = static_cast<const uint8_t*>(crop.const_data_ptr());
  for (int64_t row = 0; row < rows; ++row) {
    fill_state(feature_rows + row * num_features, num_features, crop_rows + row * squares, squares,
               embedding, glyphs.size(0), glyph_width, &input[row * encode.inputs()]);
  }
  manager(scenes, feature_rows, num_features, player_first, player_last, players.data(),
          mass.data());
  encode(input.data(), encode.inputs(), h.data(), both, rows);
  read(players.data(), manager.width(), h.data() + hidden, both, rows);
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
  // What the rules propose: mass becomes gain · log(1 + mass) / max(loudness, 1).
  kernel.log1p(mass.data(), mass.size(), mass.data());
  for (int64_t i = 0; i < rows * count; ++i) {
    const float factor = gain[i % count] / std::max(loudness[i], 1.0f);
    for (int64_t a = i * actions; a < (i + 1) * actions; ++a) mass[a] *= factor;
  }
  expand(h.data(), both, expanded.data(), expand.outputs(), rows);
  for (int64_t k = 0; k < count; ++k) {
    DenseProblem layer{};
    layer.inputs = inner;
    layer.outputs = actions;
    layer.x = expanded.data() + k * inner;
    layer.x_stride = expand.outputs();
    layer.weight = expert_weight + k * inner * actions;
    layer.bias = expert_bias + k * actions;
    layer.out = expert_logits.data() + k * actions;
    layer.out_stride = claims;
    kernel.forward(layer, rows);
  }
  if (!direct) {
    for (size_t i = 0; i < mass.size(); ++i) expert_logits[i] += mass[i];
  }

  RouteProblem problem = route_problem(count, actions, sparse, temperature, scores.data(),
                                       expert_logits.data(), mask.const_data_ptr());
  problem.alpha = alpha.mutable_data_ptr();
  problem.logits = logits.mutable_data_ptr();
  const RouteKernels& route = kernels().route[kFloat32];
  Scratch scratch(route.scratch(problem) * sizeof(float));
  route.forward(problem, 0, rows, scratch.get());
  if (direct) {
    auto* out = static_cast<float*>(logits.mutable_data_ptr());
    for (int64_t i = 0; i < rows * count; ++i) {
      for (int64_t a = 0; a < actions; ++a) {
        out[i / count * actions + a] += mass[i * actions + a];
      }
    }
  }
  return {logits, value, alpha};
}

}  // namespace
}  // namespace tedg

STABLE_TORCH_LIBRARY_IMPL(tedg, CPU, m) { m.impl("play_policy", TORCH_BOX(&tedg::play_policy)); }
