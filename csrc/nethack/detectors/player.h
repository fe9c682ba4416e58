// Conditions about the player's body and progress, read from blstats (detectors/player.py).
#pragma once

#include <limits>

#include "../view.h"

namespace tedg::nethack {

template <class Out>
void find_player(const View& view, Out& out) {
  const Scene& scene = view.scene;
  const Memory& memory = view.memory;

  const double share = scene.hp_share;
  out("hp_good", share >= 0.7);
  out("hp_medium", share >= 0.4 && share < 0.7);
  out("hp_low", share >= 0.2 && share < 0.4);
  out("hp_critical", share < 0.2);

  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  auto between = [&](int column, int64_t least, int64_t most) {
    return scene.blstats[column] >= least && scene.blstats[column] <= most;
  };
  out("hunger_satiated", between(Blstats::HUNGER, 0, 0));
  out("hunger_none", between(Blstats::HUNGER, 1, 1));
  out("hunger_hungry", between(Blstats::HUNGER, 2, 2));
  out("hunger_weak", between(Blstats::HUNGER, 3, 3));
  out("hunger_fainting", between(Blstats::HUNGER, 4, kMost));
  out("burdened", between(Blstats::CAP, 1, kMost));
  out("experience_low", between(Blstats::XP, 0, 2));
  out("experience_medium", between(Blstats::XP, 3, 5));
  out("experience_high", between(Blstats::XP, 6, kMost));
  out("depth_1", between(Blstats::DEPTH, 0, 1));
  out("depth_2", between(Blstats::DEPTH, 2, 2));
  out("depth_3_to_4", between(Blstats::DEPTH, 3, 4));
  out("depth_5_to_9", between(Blstats::DEPTH, 5, 9));
  out("depth_10_plus", between(Blstats::DEPTH, 10, kMost));
  constexpr int64_t kGnomishMines = 2, kSokoban = 4;
  out("in_gnomish_mines", between(Blstats::DNUM, kGnomishMines, kGnomishMines));
  out("in_sokoban", between(Blstats::DNUM, kSokoban, kSokoban));

  auto has = [&](int64_t bits) { return (scene.conditions & bits) != 0; };
  constexpr int64_t kDying = Status::STONE | Status::SLIME | Status::STRNGL | Status::FOODPOIS |
                             Status::TERMILL;
  out("blind", has(Status::BLIND));
  out("confused", has(Status::CONF));
  out("stunned", has(Status::STUN));
  out("hallucinating", has(Status::HALLU));
  out("dying_of_illness", has(kDying));
  out("off_the_ground", has(Status::LEV | Status::FLY));

  out("hp_dropped", memory.hurt > 0);
  out("hp_dropped_badly", wrap_mul(memory.hurt, 4) >= scene.most_hp);
  out("gold_gained", memory.gold_gained > 0);
  out("experience_gained", memory.experience_gained > 0);
}

}  // namespace tedg::nethack
