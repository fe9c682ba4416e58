// Conditions that the message line tells (detectors/messages.py).
#pragma once

#include "../view.h"

namespace tedg::nethack {

template <class Out>
void find_messages(const View& view, Out& out) {
  const Scene& scene = view.scene;
  out("told_door_locked", scene.says(Said::DOOR_LOCKED));
  out("told_door_resists", scene.says(Said::DOOR_RESISTS));
  out("told_door_gave_way", scene.says(Said::DOOR_OPENED | Said::DOOR_BROKEN));
  out("told_no_diagonal", scene.says(Said::NO_DIAGONAL));
  out("told_boulder_stuck", scene.says(Said::BOULDER_STUCK));
  out("told_way_occupied", scene.says(Said::IN_THE_WAY));
  out("told_killed", scene.says(Said::KILLED));
  out("told_hit_me", scene.says(Said::HIT_ME));
  out("told_missed_me", scene.says(Said::MISSED_ME));
  out("told_i_hit", scene.says(Said::I_HIT));
  out("told_i_missed", scene.says(Said::I_MISSED));
  out("told_object_here", scene.says(Said::OBJECT_HERE));
  out("told_corpse_here", scene.says(Said::CORPSE_HERE));
  out("told_shop", scene.says(Said::SHOP));
  out("told_found", scene.says(Said::FOUND));
  out("told_deadly_food", scene.says(Said::DEADLY_FOOD));
  out("told_risky_food", scene.says(Said::RISKY_FOOD));
  out("told_pain", scene.says(Said::PAIN));
  out("told_noise", scene.says(Said::NOISE));
  out("told_overfull", scene.says(Said::OVERFULL));
}

}  // namespace tedg::nethack
