// What Python computes once and hands over: glyph meanings and the features' tables.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "constants.h"
#include "facts/vocabulary.h"

namespace tedg::nethack {

struct Scaled {
  int column;
  int64_t offset;
  int64_t scale;
};

struct Tables {
  std::vector<uint32_t> properties;  // [65536]: Flag bits, the Terrain above them
  std::vector<uint8_t> classes;      // [65536]: crop class of a glyph; 0 is blank
  std::array<uint8_t, Terrain::COUNT> class_of_terrain;
  uint16_t stone;  // the glyph of what has not been seen; unknown terrain, a blank class
  std::array<uint8_t, Action::NUM_ACTIONS> keys;  // 0: the task has no such action
  int64_t max_steps;                              // after which a game is cut off
  std::vector<uint16_t> subject;         // [65536]: kind of monster shown, or whose corpse; 0xffff
  std::vector<uint8_t> class_of_object;  // [65536]: place among the words of item.class
  std::vector<double> monsters;          // [num_monsters, MonsterTable::COUNT]
  int num_monsters = 0;
  std::vector<uint8_t> role_of_monster;  // [num_monsters]: place among the words of me.role
  std::vector<double> speed_of_role;
  std::vector<double> poison_proof_from;  // [role]: experience level
  std::vector<Scaled> scaled;
  std::vector<int> log_columns;
  std::vector<float> logs;  // [i]: the feature of value i; the last entry stands for all beyond

  bool has_prayer() const { return keys[Action::PRAY] != 0; }
  // Bits of the actions that the task has.
  uint32_t actions() const {
    uint32_t bits = 0;
    for (int action = 0; action < Action::NUM_ACTIONS; ++action) {
      bits |= static_cast<uint32_t>(keys[action] != 0) << action;
    }
    return bits;
  }

  const double* monster(int kind) const { return monsters.data() + kind * MonsterTable::COUNT; }

  int num_features() const {
    constexpr int kStanding = 3;
    return static_cast<int>(scaled.size() + log_columns.size()) + Status::BITS + kMisc + kStanding +
           Goal::COUNT + Action::NUM_ACTIONS;
  }
};

// numpy's integers wrap around; C++'s signed ones must not overflow.
inline int64_t wrap_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
inline int64_t wrap_sub(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
inline int64_t wrap_mul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

}  // namespace tedg::nethack
