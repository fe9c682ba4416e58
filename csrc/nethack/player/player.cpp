#include "player.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace tedg::nethack {
namespace {

constexpr int64_t kMany = Action::NUM_ACTIONS, kCropSquares = kCrop * kCrop;
constexpr size_t kAlignment = 64;
enum Group {
  kNodes,
  kRounds,
  kScoring,
  kGlyphs,
  kState,
  kReadout,
  kRouter,
  kExperts,
  kGain,
  kCritic,
  kRouting,
  kGroups
};

const std::vector<Weights>& checked(const std::vector<Weights>& groups) {
  if (groups.size() != kGroups) unfit("a policy has ", int{kGroups}, " groups of weights");
  for (const Group one : {kGlyphs, kGain, kRouting}) {
    if (groups[one].size() != 1) unfit("group ", int{one}, " must be one weight");
  }
  check_matrix("glyphs", groups[kGlyphs][0]);
  check_matrix("gain", groups[kGain][0]);
  if (groups[kExperts].size() != 6)
    unfit("experts must be a layer's four weights, weight and bias");
  return groups;
}

}  // namespace

Player::Player(SceneGraphBuilder scenes, const std::vector<Weights>& groups,
               PlayerSettings settings)
    : scenes_(std::move(scenes)),
      settings_(std::move(settings)),
      classes_(checked(groups)[kGlyphs][0].shape[0]),
      glyph_width_(groups[kGlyphs][0].shape[1]),
      experts_(groups[kGain][0].shape[0]),
      manager_(groups[kNodes], groups[kRounds], groups[kScoring], settings_.owner,
               settings_.player_last - settings_.player_first, scenes_.num_conditions(), experts_),
      state_("state", groups[kState], settings_.features + kCropSquares * glyph_width_, true),
      readout_("readout", groups[kReadout], manager_.width(), true),
      router_("router", groups[kRouter], state_.outputs() + readout_.outputs(), false),
      expand_("experts", {groups[kExperts].begin(), groups[kExperts].begin() + 4}, state_.outputs(),
              true),
      critic_("critic", groups[kCritic], state_.outputs() + readout_.outputs(), false) {
  manager_.require(scenes_);
  if (settings_.player_first < 0 || settings_.player_first > settings_.player_last ||
      settings_.player_last > settings_.features) {
    unfit("the player's features must lie in [0, ", settings_.features, ")");
  }
  if (experts_ < 1) unfit("a policy must have an expert");
  if (!router_.empty() && router_.outputs() != experts_) {
    unfit("router must have ", experts_, " outputs");
  }
  if (critic_.outputs() != 1) unfit("critic must have 1 output");
  inner_ = expand_.outputs() / experts_;
  glyphs_ = groups[kGlyphs][0].data;
  expert_weight_ = numbers("experts", groups[kExperts][4], {experts_, inner_, kMany});
  expert_bias_ = numbers("experts", groups[kExperts][5], {experts_, 1, kMany});
  gain_ = numbers("gain", groups[kGain][0], {experts_, 1});
  routing_ = numbers("routing", groups[kRouting][0], {2});
}

void Player::operator()(const std::vector<ObservationRow>& observations, float* logits,
                        float* value, float* alpha) {
  const auto rows = static_cast<int64_t>(observations.size());
  const int64_t claims = experts_ * kMany, inputs = state_.inputs();
  const int64_t hidden = state_.outputs(), both = hidden + readout_.outputs();
  graphs_.clear();
  own_.clear();
  input_.resize(rows * inputs);
  masks_.resize(rows * kMany);
  for (int64_t row = 0; row < rows; ++row) {
    const ObservationRow& seen = observations[row];
    scenes_.add(reinterpret_cast<const uint8_t*>(seen.instances), kInstances,
                reinterpret_cast<const uint8_t*>(seen.objects), kObjects, seen.active_bits,
                graphs_);
    own_.push_back(seen.features + settings_.player_first);
    // Features, then the embeddings of the crop's glyph classes.
    float* to = std::copy_n(seen.features, settings_.features, &input_[row * inputs]);
    for (int64_t i = 0; i < kCropSquares; ++i) {
      if (seen.crop[i] >= classes_) {
        unfit("crop holds glyph class ", int{seen.crop[i]}, ", expected less than ", classes_);
      }
      to = std::copy_n(glyphs_ + seen.crop[i] * glyph_width_, glyph_width_, to);
    }
    std::copy_n(seen.action_mask, kMany, &masks_[row * kMany]);
  }
  players_.resize(rows * manager_.width());
  mass_.resize(rows * claims);
  hidden_.resize(rows * both);
  scores_.assign(rows * experts_, 0);
  manager_(graphs_, own_, players_.data(), mass_.data());
  state_(input_.data(), inputs, hidden_.data(), both, rows);
  readout_(players_.data(), manager_.width(), hidden_.data() + hidden, both, rows);
  if (!router_.empty()) router_(hidden_.data(), both, scores_.data(), experts_, rows);
  critic_(hidden_.data(), both, value, 1, rows);

  const DenseKernels& kernel = kernels().dense;
  loudness_.assign(rows * experts_, 0);  // of each expert's rules
  for (int64_t i = 0; i < rows * experts_; ++i) {
    for (int64_t a = 0; a < kMany; ++a) loudness_[i] += mass_[i * kMany + a];
  }
  kernel.log1p(loudness_.data(), rows * experts_, loudness_.data());
  for (int64_t i = 0; i < rows * experts_; ++i) {
    scores_[i] += settings_.advice_weight * loudness_[i];
  }
  // What the rules propose: mass becomes gain · log(1 + mass) / max(loudness, 1).
  kernel.log1p(mass_.data(), rows * claims, mass_.data());
  for (int64_t i = 0; i < rows * experts_; ++i) {
    const float factor = gain_[i % experts_] / std::max(loudness_[i], 1.0f);
    for (int64_t a = i * kMany; a < (i + 1) * kMany; ++a) mass_[a] *= factor;
  }
  expanded_.resize(rows * expand_.outputs());
  expert_logits_.resize(rows * claims);
  expand_(hidden_.data(), both, expanded_.data(), expand_.outputs(), rows);
  for (int64_t k = 0; k < experts_; ++k) {
    DenseProblem layer{};
    layer.inputs = inner_;
    layer.outputs = kMany;
    layer.x = expanded_.data() + k * inner_;
    layer.x_stride = expand_.outputs();
    layer.weight = expert_weight_ + k * inner_ * kMany;
    layer.bias = expert_bias_ + k * kMany;
    layer.out = expert_logits_.data() + k * kMany;
    layer.out_stride = claims;
    kernel.forward(layer, rows);
  }
  if (!settings_.direct) {
    for (int64_t i = 0; i < rows * claims; ++i) expert_logits_[i] += mass_[i];
  }

  RouteProblem problem{};
  problem.experts = experts_;
  problem.actions = kMany;
  problem.sparse = routing_[0] != 0;
  problem.temperature = routing_[1];
  problem.scores = scores_.data();
  problem.expert_logits = expert_logits_.data();
  problem.action_mask = reinterpret_cast<const bool*>(masks_.data());
  problem.alpha = alpha;
  problem.logits = logits;
  const RouteKernels& route = kernels().route[kFloat32];
  const size_t bytes = route.scratch(problem) * sizeof(float);
  scratch_.resize(bytes + kAlignment);
  void* aligned = scratch_.data();
  size_t space = scratch_.size();
  route.forward(problem, 0, rows, std::align(kAlignment, bytes, aligned, space));
  if (settings_.direct) {
    for (int64_t i = 0; i < rows * experts_; ++i) {
      for (int64_t a = 0; a < kMany; ++a) {
        logits[i / experts_ * kMany + a] += mass_[i * kMany + a];
      }
    }
  }
}

}  // namespace tedg::nethack
