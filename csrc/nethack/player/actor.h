// A player bound to the arrays of games and of a rollout, for taking one game's decisions without
// handing over and checking arrays at each.
#pragma once

#include <algorithm>
#include <vector>

#include "../rows.h"
#include "player.h"

namespace tedg::nethack {

inline py::ssize_t condition_bytes(const Player& player) {
  return (player.scenes().num_conditions() + 7) / 8;
}

class Actor {
 public:
  // observation, last: rows are games. Of `rollout` every array has a row for each decision: its
  // observation, noise and logits float32 [A], value, next_value float32, alpha float32 [K],
  // action int64. The caller keeps all of them, and the player, alive.
  Actor(Player& player, const py::object& observation, const py::object& last,
        const py::object& rollout)
      : player_(player),
        games_(rows_of(observation)),
        decisions_(rows_of(rollout.attr("observation"))),
        observation_(condition_bytes(player), player.features(), observation, games_, false),
        last_(condition_bytes(player), player.features(), last, games_, false),
        kept_(condition_bytes(player), player.features(), rollout.attr("observation"), decisions_,
              true),
        noise_(rollout.attr("noise"), "noise", decisions_, Action::NUM_ACTIONS),
        logits_(rollout.attr("logits"), "logits", decisions_, Action::NUM_ACTIONS, true),
        value_(rollout.attr("value"), "value", decisions_, 1, true),
        next_value_(rollout.attr("next_value"), "next_value", decisions_, 1, true),
        alpha_(rollout.attr("alpha"), "alpha", decisions_, player.experts(), true),
        action_(rollout.attr("action"), "action", decisions_, 1, true),
        spare_(Action::NUM_ACTIONS + player.experts()) {}

  // Decides in a game, keeps all that is to be known of it in row `decision` of the rollout, and
  // returns the action: that of the largest logit + noise.
  int64_t act(int64_t game, int64_t decision) {
    check(game, decision);
    const ObservationRow to = kept_[decision];
    copy(observation_[game], to);
    float* logits = logits_[decision];
    one_[0] = to;
    player_(one_, logits, value_[decision], alpha_[decision]);
    const float* noise = noise_[decision];
    int64_t best = 0;
    for (int64_t a = 1; a < Action::NUM_ACTIONS; ++a) {
      const float leading = logits[best] + noise[best], other = logits[a] + noise[a];
      if (other > leading) best = a;
    }
    return *action_[decision] = best;
  }

  // The value of a game's observation, or of the last one of an episode that was cut, becomes what
  // followed a decision.
  void judge(int64_t game, int64_t decision) { judge_row(observation_, game, decision); }
  void judge_last(int64_t game, int64_t decision) { judge_row(last_, game, decision); }

 private:
  static py::ssize_t rows_of(const py::object& observation) {
    return py::len(observation.attr("crop"));
  }

  void check(int64_t game, int64_t decision) const {
    if (game < 0 || game >= games_) throw py::index_error("no such game");
    if (decision < 0 || decision >= decisions_) throw py::index_error("no such decision");
  }

  void judge_row(const ObservationRows& rows, int64_t game, int64_t decision) {
    check(game, decision);
    one_[0] = rows[game];
    player_(one_, spare_.data(), next_value_[decision], spare_.data() + Action::NUM_ACTIONS);
  }

  void copy(const ObservationRow& from, const ObservationRow& to) const {
    std::copy_n(from.active_bits, condition_bytes(player_), to.active_bits);
    std::copy_n(from.instances, kInstances, to.instances);
    std::copy_n(from.objects, kObjects, to.objects);
    std::copy_n(from.features, player_.features(), to.features);
    std::copy_n(from.crop, kCrop * kCrop, to.crop);
    std::copy_n(from.action_mask, Action::NUM_ACTIONS, to.action_mask);
    *to.rule_action = *from.rule_action;
  }

  Player& player_;
  py::ssize_t games_, decisions_;
  ObservationRows observation_, last_, kept_;
  Rows<float> noise_, logits_, value_, next_value_, alpha_;
  Rows<int64_t> action_;
  std::vector<ObservationRow> one_ = std::vector<ObservationRow>(1);
  std::vector<float> spare_;  // logits and weights that nobody asked for
};

}  // namespace tedg::nethack
