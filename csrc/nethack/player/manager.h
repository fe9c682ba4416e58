// The Manager's pass without gradients (tedg_fast/policy/manager.py): scene graphs to what the
// rules that apply say.
#pragma once

#include <vector>

#include "../scene_graphs.h"
#include "network.h"

namespace tedg::nethack {

class Manager {
 public:
  // nodes: the rows of rules and kinds of actions [R + A, width], of monster kinds [M + 1, width],
  // the objects' layer [columns, width], its LayerNorm's scale and shift (the last four empty
  // without objects), and the player's layer, four weights. rounds: of each round the projection
  // and its scores [width, width + 2 heads], the relations' bias [relations, heads], LayerNorm's
  // scale and shift, and what the projection makes of the shared nodes [shared, width + 2 heads].
  // scoring: priority [R] and score's weight [width]; owner: the expert of each rule.
  Manager(const Weights& nodes, const Weights& rounds, const Weights& scoring,
          std::vector<int> owner, int64_t features, int64_t conditions, int64_t experts);

  int64_t width() const { return width_; }
  // Throws std::invalid_argument if graphs of this builder would not fit the weights.
  void require(const SceneGraphBuilder& scenes) const;

  // players [states, width] <- the players' nodes after two rounds; mass [states, experts, actions]
  // <- the summed strengths of the instances that propose an action. features: each state's own
  // of the player.
  void operator()(const SceneGraphs& scenes, const std::vector<const float*>& features,
                  float* players, float* mass);

 private:
  struct Round {
    const float *weight, *bias, *scale, *shift, *shared;
  };

  void encode(const SceneGraphs& scenes, const std::vector<const float*>& features);
  void attend(const Round& round, const SceneGraphs& scenes);

  int64_t width_, heads_, rules_, numbered_, monsters_, columns_, shared_;
  int64_t features_, conditions_, experts_;
  const float *numbered_rows_, *monster_rows_, *object_weight_, *object_scale_, *object_shift_;
  Network player_;
  std::vector<Round> rounds_;
  std::vector<float> zeros_;
  const float *priority_, *score_;
  std::vector<int> owner_;
  // Kept from one pass to the next for their memory alone.
  std::vector<float> x_, told_, players_, objects_, sent_, strength_, most_, sum_, heard_;
};

}  // namespace tedg::nethack
