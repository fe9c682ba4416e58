// The facts of one observation: every object of every kind with the values of its attributes.
#pragma once

#include <array>
#include <cstdint>

#include "../view.h"
#include "vocabulary.h"

namespace tedg::nethack {

inline constexpr int kMostObjects = 32;  // of a kind: an object is a bit of a 32-bit set

// Where an object is, for what is not an attribute: a way to a place starts in a direction.
struct ObjectPlace {
  int16_t square;    // 0 where it has none
  int8_t direction;  // of the first step (places, neighbours); -1 where there is none
  uint16_t subject;  // number of the monster kind or object class; 0xffff where unknown
};

class Facts {
 public:
  Facts();

  // Takes in one observation.
  void fill(const View& view);

  // Takes over objects of a kind that come from elsewhere: values [count, width], and of each the
  // kind of monster (-1: none). Throws std::invalid_argument for other sizes than the vocabulary's.
  void assign(const Tables& tables, int kind, const double* values, int64_t count, int64_t width,
              const std::vector<int>& subjects);

  int count(int kind) const { return count_[kind]; }
  // Objects beyond a kind's limit, left out of the last observation.
  int left_out(int kind) const { return left_out_[kind]; }
  const double* own(int kind, int index) const { return values_[kind] + index * width_[kind]; }
  // How many attributes of a kind are computed.
  int width(int kind) const { return width_[kind]; }
  const ObjectPlace& place(int kind, int index) const { return places_[kind][index]; }
  // The value of an attribute by its number; 0 where there is no such object.
  double value(int kind, int index, int attribute) const {
    if (index < 0 || index >= count_[kind]) return 0;
    if (attribute < width_[kind]) return own(kind, index)[attribute];
    const uint16_t subject = places_[kind][index].subject;
    if (subject >= tables_->num_monsters) return 0;
    return tables_->monsters[subject * MonsterTable::COUNT + attribute - width_[kind]];
  }
  unsigned free() const { return free_; }  // directions that can be stepped to, as bits

 private:
  double* add(int kind, ObjectPlace place);
  void fill_me(const View& view);
  void fill_level(const View& view);
  void fill_prompt(const View& view);
  void fill_directions(const View& view);
  void fill_monsters(const View& view);
  void fill_items(const View& view);
  void fill_places(const View& view);
  void find_free(const View& view);
  template <class Fill>
  void list(const View& view, int kind, const Board& shown, Fill fill);

  static constexpr int kWidest = 48;
  const Tables* tables_ = nullptr;
  unsigned free_ = 0;
  std::array<int, Kind::COUNT> count_{}, left_out_{}, width_{}, limit_{};
  double values_[Kind::COUNT][kMostObjects * kWidest];
  ObjectPlace places_[Kind::COUNT][kMostObjects];
};

}  // namespace tedg::nethack
