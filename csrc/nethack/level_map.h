// The current level's map of one game: what is shown, what is remembered of it, and the marks that
// the player's own steps left (kept from observation to
// observation).
//
// Only squares whose glyph changed are looked at. Everything that is derived from a square (boards,
// counts, the crop's class) is brought up to date where the square changes, so that the rest of the
// grounding asks boards instead of searching maps.
#pragma once

#include <cstdint>

#include "board.h"
#include "tables.h"

namespace tedg::nethack {

class LevelMap {
 public:
  // Sets of squares by remembered terrain; false on the padding, except for kWall.
  // clang-format off
  enum Kind {
    kUnknown, kWalkable, kClosed, kFrame, kDown, kUp, kCorridor, kDoor, kWall, kTrap, kCovered,
    kKinds
  };
  // clang-format on
  // By what is shown there now; the player's own square is not left out.
  enum Sight { kGold, kShunned, kHostile, kMeal, kMonster, kItem, kCorpse, kSights };
  // By mark; the padding may be marked, too.
  enum MarkKind { kVisited, kBlocked, kNoDiagonal, kLocked, kTasted, kBranch, kStale, kMarkKinds };

  // Forgets everything: a new level, of which nothing has been seen.
  void clear(const Tables& tables);
  // Takes in the shown glyphs, int16 [kRows, kColumns].
  void see(const Tables& tables, const uint8_t* glyphs);
  // Says what lies at a square until the square is seen again.
  void set_told_terrain(const Tables& tables, int square, uint8_t terrain);
  // Says what lies at a square until the square is seen to be something else.
  void remember(const Tables& tables, int square, uint8_t terrain);
  void mark(int square, uint8_t bits);
  // Takes a mark away everywhere.
  void unmark(uint8_t bits);
  void count_search(int square);

  uint16_t glyph(int square) const;  // kEdgeGlyph on the padding
  uint8_t terrain(int square) const { return terrain_[square]; }
  uint8_t marks(int square) const { return marks_[square]; }
  uint8_t searched(int square) const { return searched_[square]; }
  const Board& of(Kind kind) const { return kinds_[kind]; }
  const Board& of(Sight sight) const { return sights_[sight]; }
  const Board& of(MarkKind mark) const { return marked_[mark]; }
  const Board& much_searched() const { return much_searched_; }  // at least kLeastSearches turns
  int known() const { return known_; }                           // squares with known terrain
  int64_t searches() const { return searches_; }  // turns spent searching on this level
  // Flags of all shown squares but one, which is the player's.
  uint32_t seen_without(const Tables& tables, int square) const;
  // Writes the classes of the kCrop x kCrop squares around one that is no padding.
  void write_crop(const Tables& tables, int square, uint8_t* crop) const;

  static constexpr int kSearches = 12;  // turns at a dead end, in each round
  static constexpr int kLeastSearches = 8;

 private:
  void show(const Tables& tables, int square, uint16_t glyph);
  void set_terrain(int square, uint8_t terrain);
  void set_class(const Tables& tables, int square);

  static constexpr int kReach = kCrop / 2;
  static constexpr int kClassWidth = kColumns + 2 * kReach;
  static constexpr int class_index(int square) {
    return (square / kWidth - 1 + kReach) * kClassWidth + square % kWidth - 1 + kReach;
  }

  alignas(64) uint16_t glyphs_[kSquares];
  uint8_t terrain_[kArea];
  uint8_t marks_[kArea];
  uint8_t searched_[kArea];
  uint8_t classes_[(kRows + 2 * kReach) * kClassWidth];  // the crop, with its margin
  Board kinds_[kKinds];
  Board sights_[kSights];
  Board marked_[kMarkKinds];
  Board much_searched_;
  uint16_t showing_[kTerrainShift];  // [bit]: how many squares show that Flag
  uint32_t seen_;                    // bits of the Flags that any square shows
  int known_;
  int64_t searches_;
  int told_;  // the square of which was told last, or 0
};

}  // namespace tedg::nethack
