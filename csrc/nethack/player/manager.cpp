#include "manager.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace tedg::nethack {
namespace {

constexpr float kNegativeSlope = 0.2f;

// LayerNorm (Ba et al. 2016, eq. 3-4) and ReLU of one row in place.
enum class Order { kReluFirst, kNormFirst };
void norm_relu(float* row, int64_t width, const float* scale, const float* shift, Order order) {
  float sum = 0, spread = 0;
  for (int64_t i = 0; i < width; ++i) {
    if (order == Order::kReluFirst) row[i] = row[i] < 0 ? 0 : row[i];  // NaN stays
    sum += row[i];
  }
  const float mean = sum / width;
  for (int64_t i = 0; i < width; ++i) spread += (row[i] - mean) * (row[i] - mean);
  const float factor = 1 / std::sqrt(spread / width + kLayerNormEpsilon);
  for (int64_t i = 0; i < width; ++i) {
    row[i] = (row[i] - mean) * factor * scale[i] + shift[i];
    if (order == Order::kNormFirst) row[i] = row[i] < 0 ? 0 : row[i];
  }
}

}  // namespace

Manager::Manager(const Weights& nodes, const Weights& rounds, const Weights& scoring,
                 std::vector<int> owner, int64_t features, int64_t conditions, int64_t experts)
    : monsters_(0),
      columns_(0),
      shared_(0),
      features_(features),
      conditions_(conditions),
      experts_(experts),
      player_("player", {nodes.begin() + std::min<size_t>(nodes.size(), 5), nodes.end()},
              features + conditions, true),
      owner_(std::move(owner)) {
  if (nodes.size() != 9) unfit("nodes must be nine weights, got ", nodes.size());
  if (rounds.size() != 10)
    unfit("rounds must be five weights for each of two, got ", rounds.size());
  if (scoring.size() != 2) unfit("scoring must be priority and weight");
  check_matrix("nodes", nodes[0]);
  numbered_ = nodes[0].shape[0];
  width_ = nodes[0].shape[1];
  numbered_rows_ = numbers("nodes", nodes[0], {numbered_, width_});
  if (nodes[1].size() > 0) {
    check_matrix("monsters", nodes[1]);
    check_matrix("objects", nodes[2]);
    monsters_ = nodes[1].shape[0];
    columns_ = nodes[2].shape[0];
    monster_rows_ = numbers("monsters", nodes[1], {monsters_, width_});
    object_weight_ = numbers("objects", nodes[2], {columns_, width_});
    object_scale_ = numbers("objects", nodes[3], {width_});
    object_shift_ = numbers("objects", nodes[4], {width_});
  }
  if (player_.outputs() != width_) unfit("player must have ", width_, " outputs");
  for (size_t i = 0; i < rounds.size(); i += 5) {
    check_matrix("rounds", rounds[i + 1]);
    check_matrix("rounds", rounds[i + 4]);
    heads_ = rounds[i + 1].shape[1];
    if (heads_ < 1 || width_ % heads_ != 0) unfit("width must be a multiple of the heads");
    const int64_t projected = width_ + 2 * heads_;
    shared_ = rounds[i + 4].shape[0];
    rounds_.push_back({numbers("rounds", rounds[i], {width_, projected}),
                       numbers("rounds", rounds[i + 1], {Role::COUNT, heads_}),
                       numbers("rounds", rounds[i + 2], {width_}),
                       numbers("rounds", rounds[i + 3], {width_}),
                       numbers("rounds", rounds[i + 4], {shared_, projected})});
  }
  zeros_.resize(width_ + 2 * heads_);
  rules_ = static_cast<int64_t>(owner_.size());
  if (rules_ > numbered_) unfit("nodes must have a row for each rule");
  priority_ = numbers("priority", scoring[0], {rules_});
  score_ = numbers("score", scoring[1], {width_});
  for (const int expert : owner_) {
    if (expert < 0 || expert >= experts) unfit("owner must lie in [0, ", experts, ")");
  }
}

void Manager::require(const SceneGraphBuilder& scenes) const {
  const auto columns = static_cast<int64_t>(scenes.columns().size());
  if (scenes.num_conditions() != conditions_ || scenes.num_shared() != shared_ ||
      scenes.num_rules() != rules_ || rules_ + scenes.num_action_kinds() != numbered_) {
    unfit("nodes and rounds must be of the scenes' rules, conditions, effects and actions");
  }
  if (scenes.objects() && (columns != columns_ || scenes.num_monsters() + 1 != monsters_)) {
    unfit("objects must be of the scenes' ", columns, " columns and ", scenes.num_monsters(),
          " kinds of monsters");
  }
}

void Manager::encode(const SceneGraphs& s, const std::vector<const float*>& features) {
  const auto states = static_cast<int64_t>(features.size());
  const int64_t count = s.object_start.back();
  told_.resize(states * player_.inputs());
  players_.resize(states * width_);
  for (int64_t b = 0; b < states; ++b) {
    float* row = &told_[b * player_.inputs()];
    std::copy_n(features[b], features_, row);
    std::copy_n(&s.holds[b * conditions_], conditions_, row + features_);
  }
  player_(told_.data(), player_.inputs(), players_.data(), width_, states);

  objects_.resize(count * width_);
  if (count > 0) {
    DenseProblem layer{};
    layer.inputs = layer.x_stride = columns_;
    layer.outputs = layer.out_stride = width_;
    layer.x = s.facts.data();
    layer.weight = object_weight_;
    layer.bias = zeros_.data();
    layer.out = objects_.data();
    kernels().dense.forward(layer, count);
    for (int64_t j = 0; j < count; ++j) {
      float* row = &objects_[j * width_];
      const float* kind = monster_rows_ + s.subject[j] * width_;
      for (int64_t i = 0; i < width_; ++i) row[i] += kind[i];
      norm_relu(row, width_, object_scale_, object_shift_, Order::kReluFirst);
    }
  }

  x_.resize(s.node_start.back() * width_);
  for (int64_t b = 0; b < states; ++b) {
    const int64_t begin = s.node_start[b], end = s.node_start[b + 1];
    const int64_t objects_begin = end - (s.object_start[b + 1] - s.object_start[b]);
    std::copy_n(&players_[b * width_], width_, &x_[begin * width_]);
    for (int64_t n = begin + 1; n < objects_begin; ++n) {
      std::copy_n(numbered_rows_ + s.node[n] * width_, width_, &x_[n * width_]);
    }
    std::copy_n(objects_.data() + s.object_start[b] * width_, (end - objects_begin) * width_,
                x_.data() + objects_begin * width_);
  }
}

// x' = x + relu(LayerNorm(attention)) for every node (GraphAttention in policy/attention.py).
void Manager::attend(const Round& round, const SceneGraphs& s) {
  const int64_t projected = width_ + 2 * heads_, size = width_ / heads_;
  sent_.resize(s.node_start.back() * projected);
  DenseProblem layer{};
  layer.inputs = layer.x_stride = width_;
  layer.outputs = layer.out_stride = projected;
  layer.x = x_.data();
  layer.weight = round.weight;
  layer.bias = zeros_.data();
  layer.out = sent_.data();
  kernels().dense.forward(layer, s.node_start.back());

  for (size_t b = 0; b + 1 < s.node_start.size(); ++b) {
    const int64_t first = s.node_start[b], nodes = s.node_start[b + 1] - first;
    const int64_t begin = s.edge_start[b], edges = s.edge_start[b + 1] - begin;
    const float* own = &sent_[first * projected];
    auto sender = [&](int64_t edge) {
      const int64_t source = s.source[begin + edge];
      return source >= 0 ? own + source * projected : round.shared + (-1 - source) * projected;
    };
    strength_.resize(edges * heads_);
    most_.assign(nodes * heads_, -std::numeric_limits<float>::infinity());
    sum_.assign(nodes * heads_, 0);
    heard_.assign(nodes * width_, 0);
    for (int64_t e = 0; e < edges; ++e) {
      const int64_t target = s.target[begin + e];
      const float* from = sender(e) + width_;
      const float* to = own + target * projected + width_ + heads_;
      const float* bias = round.bias + s.role[begin + e] * heads_;
      for (int64_t h = 0; h < heads_; ++h) {
        const float raw = from[h] + to[h] + bias[h];
        const float value = raw < 0 ? kNegativeSlope * raw : raw;
        strength_[e * heads_ + h] = value;
        float& top = most_[target * heads_ + h];
        top = std::max(top, value);
      }
    }
    for (int64_t e = 0; e < edges; ++e) {
      const int64_t target = s.target[begin + e];
      const float* from = sender(e);
      for (int64_t h = 0; h < heads_; ++h) {
        const int64_t place = target * heads_ + h;
        const float weight = std::exp(strength_[e * heads_ + h] - most_[place]);
        sum_[place] += weight;
        float* out = &heard_[target * width_ + h * size];
        for (int64_t d = 0; d < size; ++d) out[d] += weight * from[h * size + d];
      }
    }
    for (int64_t n = 0; n < nodes; ++n) {
      float* row = &heard_[n * width_];
      for (int64_t h = 0; h < heads_; ++h) {
        const float total = sum_[n * heads_ + h];
        const float factor = total > 0 ? 1 / total : 0;  // who hears nobody hears zeros
        for (int64_t d = h * size; d < (h + 1) * size; ++d) row[d] *= factor;
      }
      norm_relu(row, width_, round.scale, round.shift, Order::kNormFirst);
      float* node = &x_[(first + n) * width_];
      for (int64_t i = 0; i < width_; ++i) node[i] += row[i];
    }
  }
}

void Manager::operator()(const SceneGraphs& s, const std::vector<const float*>& features,
                         float* players, float* mass) {
  constexpr int64_t kMany = Action::NUM_ACTIONS;
  const auto states = static_cast<int64_t>(features.size());
  encode(s, features);
  for (const Round& round : rounds_) attend(round, s);

  std::fill_n(mass, states * experts_ * kMany, 0.0f);
  for (int64_t b = 0; b < states; ++b) {
    const int64_t node = s.node_start[b];
    std::copy_n(&x_[node * width_], width_, players + b * width_);
    float* mine = mass + b * experts_ * kMany;
    for (int64_t i = s.instance_start[b]; i < s.instance_start[b + 1]; ++i) {
      const int64_t place = node + 1 + i - s.instance_start[b], rule = s.node[place];
      float learned = 0;
      for (int64_t d = 0; d < width_; ++d) learned += x_[place * width_ + d] * score_[d];
      const int64_t* listed = &s.actions[i * Instance::kActions];
      int64_t count = 0;
      for (int a = 0; a < Instance::kActions; ++a) count += listed[a] < kMany;
      const float share = std::exp(priority_[rule] + learned) / static_cast<float>(count);
      for (int a = 0; a < Instance::kActions; ++a) {
        if (listed[a] < kMany) mine[owner_[rule] * kMany + listed[a]] += share;
      }
    }
  }
}

}  // namespace tedg::nethack
