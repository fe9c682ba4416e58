// Conditions about what the player has been doing (detectors/moves.py).
#pragma once

#include "../view.h"

namespace tedg::nethack {

template <class Out>
void find_moves(const View& view, Out& out) {
  const Scene& scene = view.scene;
  const Memory& memory = view.memory;
  constexpr uint32_t kAnyPrompt = Said::DIRECTION_PROMPT | Said::EAT_ITEM_PROMPT |
                                  Said::EAT_HERE_PROMPT | Said::ATTACK_PROMPT;
  out("prompt_direction", scene.asks(Said::DIRECTION_PROMPT));
  out("prompt_eat_item", scene.asks(Said::EAT_ITEM_PROMPT));
  out("prompt_eat_here", scene.asks(Said::EAT_HERE_PROMPT));
  out("prompt_attack_peaceful", scene.asks(Said::ATTACK_PROMPT));
  out("prompt_other", scene.prompt && !scene.says(kAnyPrompt));
  out("more_pending", scene.more);
  const unsigned offered = scene.told.offered >> Action::FIRST_MOVE & 0xff;
  out.towards("meal_key_{}", scene.prompt ? offered : 0);
  out("meal_at_hand", scene.hungry() && !memory.no_meal);
  constexpr int64_t kFresh = 20;
  const bool fresh = memory.kill >= 0 && wrap_sub(scene.time, memory.killed_at) < kFresh;
  unsigned kill = 0;
  for (int way = 0; fresh && way < 8; ++way) {
    kill |= unsigned{scene.position + neighbour(way) == memory.kill} << way;
  }
  out.towards("kill_{}", kill);
  const bool on_kill = fresh && scene.position == memory.kill;
  out("on_kill", on_kill);
  out("stale_meal_offered",
      scene.asks(Said::EAT_HERE_PROMPT) && scene.says(Said::CORPSE_HERE) && !on_kill);
  out("meal_underfoot", scene.hungry() && scene.says(Said::OBJECT_HERE) &&
                            !scene.says(Said::CORPSE_HERE));
  out("trapped", memory.trapped);
  out("step_failed", memory.failed);
  out("standing_still", memory.still >= 6 && memory.still < 15);
  out("stuck_in_place", memory.still >= 15);
  out("time_frozen", memory.frozen >= 3);
  const int* trail = memory.trail;
  out("pacing", trail[0] == trail[2] && trail[1] == trail[3] && trail[0] != trail[1]);
  const int64_t stay = wrap_sub(scene.time, memory.arrival);
  out("just_arrived", stay < 10);
  out("long_on_level", stay > 400);
  out("nothing_new", wrap_sub(scene.time, memory.discovery) > 100);
  out("searched_here", memory.map.searched(scene.position) >= LevelMap::kSearches);
}

}  // namespace tedg::nethack
