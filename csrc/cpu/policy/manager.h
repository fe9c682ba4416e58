// The Manager's pass without gradients (tedg_fast/policy/manager.py): scene graphs to what the
// rules that apply say.
#pragma once

#include <vector>

#include "network.h"

namespace tedg {

// The arrays of tedg_fast/policy/scenes.py's Scenes, all checked against each other.
struct Scenes {
  // node_start, edge_start, source, target, role, node, instance_start, object_start, actions,
  // facts, subject, holds.
  explicit Scenes(const TensorList& arrays);

  int64_t states, nodes, edges, instances, objects, columns, conditions;
  const int64_t *node_start, *edge_start, *source, *target, *role, *node;
  const int64_t *instance_start, *object_start, *actions, *subject;
  const float *facts, *holds;
  static constexpr int64_t kActions = 4;  // an instance proposes at most so many
};

class Manager {
 public:
  // nodes: the rows of rules and kinds of actions [R + A, width], of monster kinds [M + 1, width],
  // the objects' layer [columns, width], its LayerNorm's scale and shift (the last four empty
  // without objects), and the player's layer, four tensors. rounds: of each round the projection
  // and its scores [width, width + 2 heads], the relations' bias [relations, heads], LayerNorm's
  // scale and shift, and what the projection makes of the shared nodes [shared, width + 2 heads].
  // scoring: priority [R], score's weight [width], and the expert that each rule belongs to [R].
  Manager(const TensorList& nodes, const TensorList& rounds, const TensorList& scoring,
          int64_t experts, int64_t actions);

  int64_t width() const { return width_; }

  // players [states, width] <- the players' nodes after two rounds; mass [states, experts, actions]
  // <- the summed strengths of the instances that propose an action. features [states, *]: the
  // player's own begin at column `first` and end before `last`.
  void operator()(const Scenes& scenes, const float* features, int64_t num_features, int64_t first,
                  int64_t last, float* players, float* mass) const;

 private:
  struct Round {
    const float *weight, *bias, *scale, *shift, *shared;
  };

  void encode(const Scenes& scenes, const float* features, int64_t num_features, int64_t first,
              int64_t last, std::vector<float>& x) const;
  void attend(const Round& round, const Scenes& scenes, std::vector<float>& x) const;

  int64_t width_, heads_, relations_, shared_, rules_, numbered_, monsters_, columns_;
  int64_t experts_, actions_;
  const float *numbered_rows_, *monster_rows_, *object_weight_, *object_scale_, *object_shift_;
  TensorList player_;
  std::vector<Round> rounds_;
  std::vector<float> zeros_;
  const float *priority_, *score_;
  const int64_t* owner_;
};

}  // namespace tedg
