#include "level_map.h"

#include <array>
#include <bit>

namespace tedg::nethack {
namespace {

constexpr std::array<uint16_t, Terrain::COUNT> kinds_of_terrain() {
  std::array<uint16_t, Terrain::COUNT> kinds{};
  for (int t = 0; t < Terrain::COUNT; ++t) {
    unsigned bits = 0;
    if (t == Terrain::UNKNOWN) bits |= 1u << LevelMap::kUnknown;
    if (t != Terrain::UNKNOWN && t < Terrain::LIQUID) bits |= 1u << LevelMap::kWalkable;
    if (t == Terrain::CLOSED_DOOR) bits |= 1u << LevelMap::kClosed;
    if (t == Terrain::CLOSED_DOOR || t == Terrain::OPEN_DOOR) bits |= 1u << LevelMap::kFrame;
    if (t == Terrain::STAIRS_DOWN || t == Terrain::HOLE) bits |= 1u << LevelMap::kDown;
    if (t == Terrain::STAIRS_UP) bits |= 1u << LevelMap::kUp;
    if (t == Terrain::CORRIDOR) bits |= 1u << LevelMap::kCorridor;
    if (t == Terrain::DOORWAY || t == Terrain::OPEN_DOOR) bits |= 1u << LevelMap::kDoor;
    if (t == Terrain::WALL) bits |= 1u << LevelMap::kWall;
    if (t == Terrain::COVERED) bits |= 1u << LevelMap::kCovered;
    if (t == Terrain::TRAP || t == Terrain::PIT) bits |= 1u << LevelMap::kTrap;
    kinds[t] = static_cast<uint16_t>(bits);
  }
  return kinds;
}

constexpr auto kKindsOfTerrain = kinds_of_terrain();
constexpr uint32_t kSightFlags[LevelMap::kSights] = {
    Flag::GOLD, Flag::SHUNNED, Flag::HOSTILE, Flag::MEAL, kAnyMonster, Flag::ITEM, Flag::CORPSE};
constexpr uint32_t kAnySight = kSightFlags[0] | kSightFlags[1] | kSightFlags[3] | kSightFlags[4] |
                               kSightFlags[5] | kSightFlags[6];
constexpr uint8_t kMarkBits[LevelMap::kMarkKinds] = {
    Mark::VISITED, Mark::BLOCKED, Mark::NO_DIAGONAL, Mark::LOCKED,
    Mark::TASTED,  Mark::BRANCH,  Mark::STALE};

}  // namespace

void LevelMap::clear(const Tables& tables) {
  std::fill_n(glyphs_, kSquares, tables.stone);
  std::memset(marks_, 0, sizeof(marks_));
  std::memset(searched_, 0, sizeof(searched_));
  std::memset(terrain_, Terrain::WALL, sizeof(terrain_));
  std::memset(classes_, tables.classes[kEdgeGlyph], sizeof(classes_));
  for (int y = 0; y < kRows; ++y) {
    std::memset(terrain_ + (y + 1) * kWidth + 1, Terrain::UNKNOWN, kColumns);
    std::memset(classes_ + (y + kReach) * kClassWidth + kReach,
                tables.class_of_terrain[Terrain::UNKNOWN], kColumns);
  }
  for (Board& board : kinds_) board.clear();
  for (Board& board : sights_) board.clear();
  for (Board& board : marked_) board.clear();
  much_searched_.clear();
  kinds_[kWall][0] = kinds_[kWall][kWidth - 1] = kMapRows | 1u | 1u << (kRows + 1);
  for (int column = 1; column <= kColumns; ++column) {
    kinds_[kUnknown][column] = kMapRows;
    kinds_[kWall][column] = 1u | 1u << (kRows + 1);
  }
  const uint32_t stone = tables.properties[tables.stone];
  for (int bit = 0; bit < kTerrainShift; ++bit) showing_[bit] = (stone >> bit & 1) * kSquares;
  seen_ = stone & kFlagBits;
  known_ = told_ = 0;
  searches_ = 0;
}

void LevelMap::see(const Tables& tables, const uint8_t* glyphs) {
  constexpr int kBlock = 32;
  for (int begin = 0; begin < kSquares; begin += kBlock) {
    const int count = begin + kBlock <= kSquares ? kBlock : kSquares - begin;
    if (std::memcmp(glyphs_ + begin, glyphs + 2 * begin, 2 * count) == 0) continue;
    for (int i = begin; i < begin + count; ++i) {
      uint16_t now;
      std::memcpy(&now, glyphs + 2 * i, 2);
      if (now != glyphs_[i]) show(tables, (i / kColumns + 1) * kWidth + i % kColumns + 1, now);
    }
  }
  // What was told has held until now; what is shown there counts again.
  if (told_ != 0) show(tables, told_, glyph(told_));
  told_ = 0;
}

// Takes in the glyph that a square shows, whether or not it is the one it showed before.
void LevelMap::show(const Tables& tables, int square, uint16_t glyph) {
  const Place at = place_of(square);
  uint16_t& shown = glyphs_[(at.row - 1) * kColumns + at.column - 1];
  const uint32_t old_flags = tables.properties[shown] & kFlagBits;
  const uint32_t properties = tables.properties[glyph];
  shown = glyph;
  const uint32_t changed = old_flags ^ (properties & kFlagBits);
  for (uint32_t bits = changed; bits; bits &= bits - 1) {
    const int bit = std::countr_zero(bits);
    showing_[bit] += (properties >> bit & 1) ? 1 : -1;
    const uint32_t mask = 1u << bit;
    seen_ = showing_[bit] ? seen_ | mask : seen_ & ~mask;
  }
  if (changed & kAnySight) {
    for (int sight = 0; sight < kSights; ++sight) {
      const bool before = old_flags & kSightFlags[sight];
      const bool now = properties & kSightFlags[sight];
      if (before != now) sights_[sight].flip(at);
    }
  }
  const auto terrain = static_cast<uint8_t>(properties >> kTerrainShift);
  if (terrain > Terrain::COVERED || terrain > terrain_[square]) set_terrain(square, terrain);
  set_class(tables, square);
}

void LevelMap::set_terrain(int square, uint8_t terrain) {
  const uint8_t before = terrain_[square];
  if (before == terrain) return;
  terrain_[square] = terrain;
  const Place at = place_of(square);
  for (unsigned bits = kKindsOfTerrain[before] ^ kKindsOfTerrain[terrain]; bits; bits &= bits - 1) {
    kinds_[std::countr_zero(bits)].flip(at);
  }
  known_ += (terrain != Terrain::UNKNOWN) - (before != Terrain::UNKNOWN);
}

void LevelMap::set_class(const Tables& tables, int square) {
  const uint8_t shown = tables.classes[glyph(square)];
  const uint8_t blank = 0;
  classes_[class_index(square)] =
      shown == blank ? tables.class_of_terrain[terrain_[square]] : shown;
}

void LevelMap::set_told_terrain(const Tables& tables, int square, uint8_t terrain) {
  set_terrain(square, terrain);
  set_class(tables, square);
  told_ = square;
}

void LevelMap::remember(const Tables& tables, int square, uint8_t terrain) {
  set_terrain(square, terrain);
  set_class(tables, square);
}

void LevelMap::mark(int square, uint8_t bits) {
  const unsigned added = bits & ~marks_[square];
  if (added == 0) return;
  marks_[square] |= static_cast<uint8_t>(added);
  for (int kind = 0; kind < kMarkKinds; ++kind) {
    if (added & kMarkBits[kind]) marked_[kind].flip(place_of(square));
  }
}

void LevelMap::unmark(uint8_t bits) {
  for (uint8_t& marks : marks_) marks &= static_cast<uint8_t>(~bits);
  for (int kind = 0; kind < kMarkKinds; ++kind) {
    if (bits & kMarkBits[kind]) marked_[kind].clear();
  }
}

void LevelMap::count_search(int square) {
  ++searches_;
  if (searched_[square] == 255) return;
  if (++searched_[square] == kLeastSearches) much_searched_.flip(place_of(square));
}

uint16_t LevelMap::glyph(int square) const {
  const auto y = static_cast<unsigned>(square / kWidth - 1);
  const auto x = static_cast<unsigned>(square % kWidth - 1);
  return y < kRows && x < kColumns ? glyphs_[y * kColumns + x] : kEdgeGlyph;
}

uint32_t LevelMap::seen_without(const Tables& tables, int square) const {
  uint32_t seen = seen_;
  for (uint32_t bits = tables.properties[glyph(square)] & kFlagBits; bits; bits &= bits - 1) {
    const int bit = std::countr_zero(bits);
    if (showing_[bit] == 1) seen &= ~(1u << bit);
  }
  return seen;
}

void LevelMap::write_crop(const Tables& tables, int square, uint8_t* crop) const {
  const uint8_t* corner = classes_ + class_index(square) - kReach * (kClassWidth + 1);
  for (int row = 0; row < kCrop; ++row) {
    std::memcpy(crop + row * kCrop, corner + row * kClassWidth, kCrop);
  }
  // Of the player's own square, what lies under him.
  crop[kReach * kCrop + kReach] = tables.class_of_terrain[terrain_[square]];
}

}  // namespace tedg::nethack
