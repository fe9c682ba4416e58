// What one observation shows, before any memory: the player's own numbers and messages.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "board.h"
#include "constants.h"
#include "messages.h"
#include "tables.h"

namespace tedg::nethack {

// One game's rows of NLE's arrays.
struct RawRow {
  const uint8_t* glyphs;   // int16 [kRows, kColumns], in any alignment
  const int64_t* blstats;  // [kBlstats]
  const uint8_t* message;  // [kMessage]
  const int32_t* misc;     // [kMisc]
};

struct Scene {
  static constexpr int64_t kDying =
      Status::STONE | Status::SLIME | Status::STRNGL | Status::FOODPOIS | Status::TERMILL;
  static constexpr int64_t kWeakWithHunger = 3;

  const int64_t* blstats;
  const int32_t* misc;
  Told told;
  bool prompt;
  bool more;
  int position;
  int64_t level, depth, time, hp, gold, experience, conditions;
  int64_t most_hp;  // at least 1
  double hp_share;

  Scene(const RawRow& raw, Told what_is_told)
      : blstats(raw.blstats),
        misc(raw.misc),
        told(what_is_told),
        prompt(misc[0] != 0 || misc[1] != 0),
        more(misc[2] != 0),
        level(wrap_add(wrap_mul(blstats[Blstats::DNUM], 256), blstats[Blstats::DLEVEL])),
        depth(blstats[Blstats::DEPTH]),
        time(blstats[Blstats::TIME]),
        hp(blstats[Blstats::HP]),
        gold(blstats[Blstats::GOLD]),
        experience(blstats[Blstats::EXP]),
        conditions(blstats[Blstats::CONDITION]),
        most_hp(std::max<int64_t>(blstats[Blstats::HPMAX], 1)),
        hp_share(static_cast<double>(hp) / static_cast<double>(most_hp)) {
    const auto x = static_cast<int>(std::clamp<int64_t>(blstats[Blstats::X], 0, kColumns - 1));
    const auto y = static_cast<int>(std::clamp<int64_t>(blstats[Blstats::Y], 0, kRows - 1));
    position = (y + 1) * kWidth + x + 1;
  }

  bool says(uint64_t which) const { return told.said & which; }
  // Few hit points, as NetHack 3.6.6's pray.c counts: of those beyond 15 a level none count as
  // lost.
  bool near_death() const {
    const int64_t level = blstats[Blstats::XP];
    const int64_t part = level <= 5 ? 5 : level <= 13 ? 6 : level <= 21 ? 7 : level <= 29 ? 8 : 9;
    const int64_t whole = std::min(most_hp, wrap_mul(15, level));
    return hp <= 5 || wrap_mul(hp, part) <= whole;
  }
  // What a god helps against, as far as the status line shows it.
  bool in_trouble() const {
    return near_death() || blstats[Blstats::HUNGER] >= kWeakWithHunger || (conditions & kDying);
  }
  bool asks(uint64_t which) const { return prompt && says(which); }
};

}  // namespace tedg::nethack
