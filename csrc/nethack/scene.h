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
  bool asks(uint64_t which) const { return prompt && says(which); }
};

}  // namespace tedg::nethack
