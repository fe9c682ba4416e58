// An object as an observation carries it to the policy.
#pragma once

#include <algorithm>
#include <cstdint>

#include "facts/vocabulary.h"

namespace tedg::nethack {

// The most attributes that are computed of any kind of object.
inline constexpr int kObjectFacts =
    std::max({int{Direction::COUNT}, int{Monster::COUNT}, int{Item::COUNT}, int{Corpse::COUNT},
              int{PlaceFact::COUNT}});

struct ObjectRow {
  static constexpr uint8_t kNone = 0xff;
  static constexpr uint16_t kNoSubject = 0xffff;
  uint8_t kind;               // place in the vocabulary; kNone: there is none
  uint8_t place;              // among the objects of its kind
  uint16_t subject;           // kind of monster, or whose corpse; kNoSubject where unknown
  float facts[kObjectFacts];  // the kind's computed attributes in their order, then zeros
};
static_assert(sizeof(ObjectRow) == 4 + sizeof(float) * kObjectFacts);

}  // namespace tedg::nethack
