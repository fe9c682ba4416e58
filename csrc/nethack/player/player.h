// One pass of the policy (tedg_fast/policy) without gradients, for one state or a few. Operator by
// operator PyTorch's dispatch would take many times as long as the arithmetic.
#pragma once

#include <vector>

#include "../grounder.h"
#include "../scene_graphs.h"
#include "manager.h"
#include "network.h"

namespace tedg::nethack {

// What is fixed about a policy beside the sizes of its weights.
struct PlayerSettings {
  std::vector<int> owner;             // [R], the expert of each rule
  int64_t features;                   // of an observation
  int64_t player_first, player_last;  // those of them that the player's node begins with
  float advice_weight;
  bool direct;  // whether proposals pass the router
};

class Player {
 public:
  // groups: nodes, rounds, scoring (see Manager); glyphs [classes, width]; the chains state,
  // readout, router (empty: none); experts, a chain of one layer, then weight [K, inner, A] and
  // bias [K, 1, A]; gain [K, 1]; the chain critic; routing [2]: whether it is sparse, and the
  // temperature. Throws std::invalid_argument for what does not fit together.
  Player(SceneGraphBuilder scenes, const std::vector<Weights>& groups, PlayerSettings settings);

  const SceneGraphBuilder& scenes() const { return scenes_; }
  int64_t features() const { return settings_.features; }
  int64_t experts() const { return experts_; }

  // Of each of the observations its logits [rows, A] (masked), value [rows], weights of the experts
  // [rows, K]. Throws std::invalid_argument for an observation of other rules.
  void operator()(const std::vector<ObservationRow>& observations, float* logits, float* value,
                  float* alpha);

 private:
  SceneGraphBuilder scenes_;
  PlayerSettings settings_;
  int64_t classes_, glyph_width_, experts_, inner_;
  Manager manager_;
  Network state_, readout_, router_, expand_, critic_;
  const float *glyphs_, *expert_weight_, *expert_bias_, *gain_, *routing_;
  // Kept from one pass to the next for their memory alone.
  SceneGraphs graphs_;
  std::vector<const float*> own_;
  std::vector<float> input_, players_, mass_, hidden_, scores_, loudness_, expanded_,
      expert_logits_;
  std::vector<uint8_t> masks_;
  std::vector<char> scratch_;
};

}  // namespace tedg::nethack
