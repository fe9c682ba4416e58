// The numbers that the C++ and the Python grounding share. Each list names the Python class, module
// or prefix that defines them; python_tests/nethack/test_facts_and_oracle.py holds them equal.
#pragma once

#include <cstdint>

// tedg_fast/nethack/facts/glyphs.py
#define TEDG_TERRAINS(E)                                                                     \
  E(UNKNOWN, 0) E(COVERED, 1) E(FLOOR, 2) E(CORRIDOR, 3) E(DOORWAY, 4) E(OPEN_DOOR, 5)       \
  E(CLOSED_DOOR, 6) E(STAIRS_UP, 7) E(STAIRS_DOWN, 8) E(FURNITURE, 9) E(TRAP, 10) E(PIT, 11) \
  E(HOLE, 12) E(LIQUID, 13) E(WALL, 14) E(COUNT, 15)

#define TEDG_FLAGS(E)                                                                        \
  E(HOSTILE, 1u << 0) E(PET, 1u << 1) E(KEEPER, 1u << 2) E(UNTOUCHABLE, 1u << 3)             \
  E(COCKATRICE, 1u << 4) E(PASSIVE, 1u << 5) E(WEAK, 1u << 6) E(STRONG, 1u << 7)             \
  E(FAST, 1u << 8) E(SLOW, 1u << 9) E(EXPLODER, 1u << 10) E(THIEF, 1u << 11)                 \
  E(UNSEEN, 1u << 12) E(GOLD, 1u << 13) E(FOOD, 1u << 14) E(MAGIC_ITEM, 1u << 15)            \
  E(BOULDER, 1u << 16) E(SOLID, 1u << 17) E(LAVA_OR_WATER, 1u << 18) E(ENGULFED, 1u << 19)   \
  E(OPEN_DOOR, 1u << 20) E(WALKABLE, 1u << 21) E(EDGE, 1u << 22) E(STICKY, 1u << 23)         \
  E(MEAL, 1u << 24) E(ITEM, 1u << 25) E(CORPSE, 1u << 26) E(SHUNNED, 1u << 27)

// what the message line says (messages.cpp)
#define TEDG_SAID(E)                                                                         \
  E(DIRECTION_PROMPT, 1u << 0) E(EAT_ITEM_PROMPT, 1u << 1) E(EAT_HERE_PROMPT, 1u << 2)       \
  E(ATTACK_PROMPT, 1u << 3) E(DOOR_LOCKED, 1u << 4) E(DOOR_OPENED, 1u << 5)                  \
  E(DOOR_RESISTS, 1u << 6) E(DOOR_BROKEN, 1u << 7) E(NO_DIAGONAL, 1u << 8)                   \
  E(BOULDER_STUCK, 1u << 9) E(IN_THE_WAY, 1u << 10) E(KILLED, 1u << 11) E(HIT_ME, 1u << 12)  \
  E(MISSED_ME, 1u << 13) E(I_HIT, 1u << 14) E(I_MISSED, 1u << 15) E(OBJECT_HERE, 1u << 16)   \
  E(CORPSE_HERE, 1u << 17) E(TRAPPED, 1u << 18) E(SHOP, 1u << 19) E(FOUND, 1u << 20)         \
  E(STAIRS_DOWN_HERE, 1u << 21) E(STAIRS_UP_HERE, 1u << 22) E(DEADLY_FOOD, 1u << 23)         \
  E(RISKY_FOOD, 1u << 24) E(PAIN, 1u << 25) E(NOISE, 1u << 26) E(OVERFULL, 1u << 27)  \
  E(GUARD, 1u << 28) E(UNDEAD_KILLED, 1u << 29) E(POISONOUS_FOOD, 1u << 30)                  \
  E(NO_FOOD, 1u << 31) E(PRAY_PROMPT, uint64_t{1} << 32)

// what is remembered of a square (memory.cpp)
#define TEDG_MARKS(E)                                                                        \
  E(VISITED, 1) E(BLOCKED, 2) E(NO_DIAGONAL, 4) E(LOCKED, 8) E(TRIED, 16) E(TASTED, 32)  \
  E(BRANCH, 64) E(STALE, 128)

// what can be walked to (paths.cpp)
#define TEDG_GOALS(E)                                                                        \
  E(STAIRS_DOWN, 0) E(FRONTIER, 1) E(GOLD, 2) E(SEARCH_SPOT, 3) E(MEAL, 4)        \
  E(STAIRS_UP, 5) E(FRESH_CORPSE, 6) E(SIDE_STAIRS, 7) E(COUNT, 8)

// tedg_fast/nethack/actions.py
#define TEDG_ACTIONS(E)                                                                      \
  E(MORE, 0) E(FIRST_MOVE, 1) E(FIRST_FAR_MOVE, 9) E(UP, 17) E(DOWN, 18) E(WAIT, 19)         \
  E(KICK, 20) E(EAT, 21) E(SEARCH, 22) E(PRAY, 23) E(YES, 8) E(NO, 6) E(NUM_ACTIONS, 24)

// nle.nethack.NLE_BL_...
#define TEDG_BLSTATS(E)                                                                      \
  E(X, 0) E(Y, 1) E(STR25, 2) E(CON, 5) E(SCORE, 9) E(HP, 10) E(HPMAX, 11) E(DEPTH, 12)      \
  E(GOLD, 13) E(ENE, 14) E(AC, 16) E(XP, 18) E(EXP, 19)                                      \
  E(TIME, 20) E(HUNGER, 21) E(CAP, 22) E(DNUM, 23) E(DLEVEL, 24) E(CONDITION, 25) E(ALIGN, 26)

// nle.nethack.BL_MASK_...
#define TEDG_STATUS(E)                                                                       \
  E(STONE, 1) E(SLIME, 2) E(STRNGL, 4) E(FOODPOIS, 8) E(TERMILL, 16) E(BLIND, 32)            \
  E(STUN, 128) E(CONF, 256) E(HALLU, 512) E(LEV, 1024) E(FLY, 2048) E(BITS, 13)

namespace tedg::nethack {

#define TEDG_ENUMERATOR(name, value) name = value,
// clang-format off
struct Terrain { enum Value : uint8_t { TEDG_TERRAINS(TEDG_ENUMERATOR) }; };
struct Flag { enum Value : uint32_t { TEDG_FLAGS(TEDG_ENUMERATOR) }; };
struct Said { enum Value : uint64_t { TEDG_SAID(TEDG_ENUMERATOR) }; };
struct Mark { enum Value : uint8_t { TEDG_MARKS(TEDG_ENUMERATOR) }; };
struct Goal { enum Value : int { TEDG_GOALS(TEDG_ENUMERATOR) }; };
struct Action { enum Value : int { TEDG_ACTIONS(TEDG_ENUMERATOR) }; };
struct Blstats { enum Value : int { TEDG_BLSTATS(TEDG_ENUMERATOR) }; };
struct Status { enum Value : int64_t { TEDG_STATUS(TEDG_ENUMERATOR) }; };
// clang-format on
#undef TEDG_ENUMERATOR

inline constexpr int kTerrainShift = 28;
inline constexpr uint32_t kFlagBits = (1u << kTerrainShift) - 1;
inline constexpr uint16_t kEdgeGlyph = 0xffff;
inline constexpr uint32_t kAnyMonster = Flag::HOSTILE | Flag::PET | Flag::KEEPER | Flag::UNSEEN;

inline constexpr int kBlstats = 27;
inline constexpr int kMessage = 256;
inline constexpr int kMisc = 3;
inline constexpr int kCrop = 9;
inline constexpr int kUnreached = 255;
inline constexpr int kTrail = 4;  // positions that pacing is told by

}  // namespace tedg::nethack
