#include "manager.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace tedg {
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

void check_starts(const char* name, const int64_t* start, int64_t count, int64_t total) {
  bool rising = start[0] == 0 && start[count] == total;
  for (int64_t i = 0; i < count; ++i) rising &= start[i] <= start[i + 1];
  if (!rising) refuse(name, " must rise from 0 to ", total);
}

void check_range(const char* name, const int64_t* values, int64_t count, int64_t low,
                 int64_t high) {
  for (int64_t i = 0; i < count; ++i) {
    if (values[i] < low || values[i] >= high) {
      refuse(name, " must lie in [", low, ", ", high, "), got ", values[i]);
    }
  }
}

}  // namespace

Scenes::Scenes(const TensorList& arrays) {
  if (arrays.size() != 12) refuse("scenes must be twelve tensors, got ", arrays.size());
  check_dim("node_start", arrays[0], 1, "[B + 1]");
  states = arrays[0].size(0) - 1;
  if (states < 0) refuse("node_start must have at least one entry");
  check_dim("source", arrays[2], 1, "[E]");
  check_dim("node", arrays[5], 1, "[N]");
  check_dim("actions", arrays[8], 2, "[I, 4]");
  check_dim("facts", arrays[9], 2, "[J, columns]");
  check_dim("holds", arrays[11], 2, "[B, C]");
  edges = arrays[2].size(0);
  nodes = arrays[5].size(0);
  instances = arrays[8].size(0);
  objects = arrays[9].size(0);
  columns = arrays[9].size(1);
  conditions = arrays[11].size(1);
  node_start = integers("node_start", arrays[0], {states + 1});
  edge_start = integers("edge_start", arrays[1], {states + 1});
  source = integers("source", arrays[2], {edges});
  target = integers("target", arrays[3], {edges});
  role = integers("role", arrays[4], {edges});
  node = integers("node", arrays[5], {nodes});
  instance_start = integers("instance_start", arrays[6], {states + 1});
  object_start = integers("object_start", arrays[7], {states + 1});
  actions = integers("actions", arrays[8], {instances, kActions});
  facts = floats("facts", arrays[9], {objects, columns});
  subject = integers("subject", arrays[10], {objects});
  holds = floats("holds", arrays[11], {states, conditions});
  check_starts("node_start", node_start, states, nodes);
  check_starts("edge_start", edge_start, states, edges);
  check_starts("instance_start", instance_start, states, instances);
  check_starts("object_start", object_start, states, objects);
  for (int64_t b = 0; b < states; ++b) {
    const int64_t size = node_start[b + 1] - node_start[b];
    const int64_t listed = instance_start[b + 1] - instance_start[b];
    if (size < 1 + listed + object_start[b + 1] - object_start[b]) {
      refuse("node_start must give state ", b, " a player, its instances and its objects");
    }
    check_range("target", target + edge_start[b], edge_start[b + 1] - edge_start[b], 0, size);
    check_range("source", source + edge_start[b], edge_start[b + 1] - edge_start[b],
                std::numeric_limits<int32_t>::min(), size);
  }
}

Manager::Manager(const TensorList& nodes, const TensorList& rounds, const TensorList& scoring,
                 int64_t experts, int64_t actions)
    : experts_(experts), actions_(actions) {
  if (nodes.size() != 9) refuse("nodes must be nine tensors, got ", nodes.size());
  if (rounds.size() != 10)
    refuse("rounds must be five tensors for each of two, got ", rounds.size());
  if (scoring.size() != 3) refuse("scoring must be priority, weight and owner");
  check_dim("nodes", nodes[0], 2, "[numbered, width]");
  numbered_ = nodes[0].size(0);
  width_ = nodes[0].size(1);
  numbered_rows_ = floats("nodes", nodes[0], {numbered_, width_});
  monsters_ = columns_ = 0;
  if (nodes[1].numel() > 0) {
    check_dim("monsters", nodes[1], 2, "[kinds, width]");
    check_dim("objects", nodes[2], 2, "[columns, width]");
    monsters_ = nodes[1].size(0);
    columns_ = nodes[2].size(0);
    monster_rows_ = floats("monsters", nodes[1], {monsters_, width_});
    object_weight_ = floats("objects", nodes[2], {columns_, width_});
    object_scale_ = floats("objects", nodes[3], {width_});
    object_shift_ = floats("objects", nodes[4], {width_});
  }
  player_ = {nodes.begin() + 5, nodes.end()};
  for (size_t i = 0; i < rounds.size(); i += 5) {
    check_dim("rounds", rounds[i], 2, "[width, width + 2 heads]");
    check_dim("rounds", rounds[i + 1], 2, "[relations, heads]");
    check_dim("rounds", rounds[i + 4], 2, "[shared, width + 2 heads]");
    relations_ = rounds[i + 1].size(0);
    heads_ = rounds[i + 1].size(1);
    shared_ = rounds[i + 4].size(0);
    if (heads_ < 1 || width_ % heads_ != 0) refuse("width must be a multiple of the heads");
    const int64_t projected = width_ + 2 * heads_;
    rounds_.push_back({floats("rounds", rounds[i], {width_, projected}),
                       floats("rounds", rounds[i + 1], {relations_, heads_}),
                       floats("rounds", rounds[i + 2], {width_}),
                       floats("rounds", rounds[i + 3], {width_}),
                       floats("rounds", rounds[i + 4], {shared_, projected})});
  }
  zeros_.resize(width_ + 2 * heads_);
  check_dim("priority", scoring[0], 1, "[rules]");
  rules_ = scoring[0].size(0);
  if (rules_ > numbered_) refuse("nodes must have a row for each rule");
  priority_ = floats("priority", scoring[0], {rules_});
  score_ = floats("score", scoring[1], {width_});
  owner_ = integers("owner", scoring[2], {rules_});
  check_range("owner", owner_, rules_, 0, experts);
}

void Manager::encode(const Scenes& s, const float* features, int64_t num_features, int64_t first,
                     int64_t last, std::vector<float>& x) const {
  const int64_t own = last - first;
  const Network player("player", player_, own + s.conditions, true);
  if (player.outputs() != width_) refuse("player must have ", width_, " outputs");
  std::vector<float> told(s.states * player.inputs()), players(s.states * width_);
  for (int64_t b = 0; b < s.states; ++b) {
    float* row = &told[b * player.inputs()];
    std::memcpy(row, features + b * num_features + first, own * sizeof(float));
    std::memcpy(row + own, s.holds + b * s.conditions, s.conditions * sizeof(float));
  }
  player(told.data(), player.inputs(), players.data(), width_, s.states);

  std::vector<float> objects(s.objects * width_);
  if (s.objects > 0) {
    if (s.columns != columns_) refuse("facts must have ", columns_, " columns, got ", s.columns);
    check_range("subject", s.subject, s.objects, 0, monsters_);
    DenseProblem layer{};
    layer.inputs = columns_;
    layer.outputs = layer.out_stride = width_;
    layer.x = s.facts;
    layer.x_stride = columns_;
    layer.weight = object_weight_;
    layer.bias = zeros_.data();
    layer.out = objects.data();
    kernels().dense.forward(layer, s.objects);
    for (int64_t j = 0; j < s.objects; ++j) {
      float* row = &objects[j * width_];
      const float* kind = monster_rows_ + s.subject[j] * width_;
      for (int64_t i = 0; i < width_; ++i) row[i] += kind[i];
      norm_relu(row, width_, object_scale_, object_shift_, Order::kReluFirst);
    }
  }

  x.resize(s.nodes * width_);
  for (int64_t b = 0; b < s.states; ++b) {
    const int64_t begin = s.node_start[b], end = s.node_start[b + 1];
    const int64_t objects_begin = end - (s.object_start[b + 1] - s.object_start[b]);
    std::memcpy(&x[begin * width_], &players[b * width_], width_ * sizeof(float));
    check_range("node", s.node + begin + 1, objects_begin - begin - 1, 0, numbered_);
    for (int64_t n = begin + 1; n < objects_begin; ++n) {
      std::memcpy(&x[n * width_], numbered_rows_ + s.node[n] * width_, width_ * sizeof(float));
    }
    if (objects_begin < end) {
      std::memcpy(&x[objects_begin * width_], &objects[s.object_start[b] * width_],
                  (end - objects_begin) * width_ * sizeof(float));
    }
  }
}

// x' = x + relu(LayerNorm(attention)) for every node (GraphAttention in policy/attention.py).
void Manager::attend(const Round& round, const Scenes& s, std::vector<float>& x) const {
  const int64_t projected = width_ + 2 * heads_, size = width_ / heads_;
  std::vector<float> sent(s.nodes * projected);
  DenseProblem layer{};
  layer.inputs = layer.x_stride = width_;
  layer.outputs = layer.out_stride = projected;
  layer.x = x.data();
  layer.weight = round.weight;
  layer.bias = zeros_.data();
  layer.out = sent.data();
  kernels().dense.forward(layer, s.nodes);

  std::vector<float> score, most, sum, heard;
  for (int64_t b = 0; b < s.states; ++b) {
    const int64_t first = s.node_start[b], nodes = s.node_start[b + 1] - first;
    const int64_t begin = s.edge_start[b], edges = s.edge_start[b + 1] - begin;
    const float* own = &sent[first * projected];
    auto sender = [&](int64_t edge) {
      const int64_t source = s.source[begin + edge];
      return source >= 0 ? own + source * projected : round.shared + (-1 - source) * projected;
    };
    score.resize(edges * heads_);
    most.assign(nodes * heads_, -std::numeric_limits<float>::infinity());
    sum.assign(nodes * heads_, 0);
    heard.assign(nodes * width_, 0);
    for (int64_t e = 0; e < edges; ++e) {
      const int64_t target = s.target[begin + e];
      const float* from = sender(e) + width_;
      const float* to = own + target * projected + width_ + heads_;
      const float* bias = round.bias + s.role[begin + e] * heads_;
      for (int64_t h = 0; h < heads_; ++h) {
        const float raw = from[h] + to[h] + bias[h];
        const float value = raw < 0 ? kNegativeSlope * raw : raw;
        score[e * heads_ + h] = value;
        float& top = most[target * heads_ + h];
        top = std::max(top, value);
      }
    }
    for (int64_t e = 0; e < edges; ++e) {
      const int64_t target = s.target[begin + e];
      const float* from = sender(e);
      for (int64_t h = 0; h < heads_; ++h) {
        const int64_t place = target * heads_ + h;
        const float weight = std::exp(score[e * heads_ + h] - most[place]);
        sum[place] += weight;
        float* out = &heard[target * width_ + h * size];
        for (int64_t d = 0; d < size; ++d) out[d] += weight * from[h * size + d];
      }
    }
    for (int64_t n = 0; n < nodes; ++n) {
      float* row = &heard[n * width_];
      for (int64_t h = 0; h < heads_; ++h) {
        const float total = sum[n * heads_ + h];
        const float factor = total > 0 ? 1 / total : 0;  // who hears nobody hears zeros
        for (int64_t d = h * size; d < (h + 1) * size; ++d) row[d] *= factor;
      }
      norm_relu(row, width_, round.scale, round.shift, Order::kNormFirst);
      float* node = &x[(first + n) * width_];
      for (int64_t i = 0; i < width_; ++i) node[i] += row[i];
    }
  }
}

void Manager::operator()(const Scenes& s, const float* features, int64_t num_features,
                         int64_t first, int64_t last, float* players, float* mass) const {
  check_range("role", s.role, s.edges, 0, relations_);
  check_range("source", s.source, s.edges, -shared_, std::numeric_limits<int64_t>::max());
  check_range("actions", s.actions, s.instances * Scenes::kActions, 0, actions_ + 1);
  std::vector<float> x;
  encode(s, features, num_features, first, last, x);
  for (const Round& round : rounds_) attend(round, s, x);

  std::memset(mass, 0, s.states * experts_ * actions_ * sizeof(float));
  for (int64_t b = 0; b < s.states; ++b) {
    const int64_t node = s.node_start[b];
    std::memcpy(players + b * width_, &x[node * width_], width_ * sizeof(float));
    float* mine = mass + b * experts_ * actions_;
    for (int64_t i = s.instance_start[b]; i < s.instance_start[b + 1]; ++i) {
      const int64_t place = node + 1 + i - s.instance_start[b], rule = s.node[place];
      if (rule >= rules_) refuse("node must name a rule for each instance, got ", rule);
      float learned = 0;
      for (int64_t d = 0; d < width_; ++d) learned += x[place * width_ + d] * score_[d];
      const int64_t* listed = s.actions + i * Scenes::kActions;
      int64_t count = 0;
      for (int64_t a = 0; a < Scenes::kActions; ++a) count += listed[a] < actions_;
      const float share = std::exp(priority_[rule] + learned) / static_cast<float>(count);
      for (int64_t a = 0; a < Scenes::kActions; ++a) {
        if (listed[a] < actions_) mine[owner_[rule] * actions_ + listed[a]] += share;
      }
    }
  }
}

}  // namespace tedg
