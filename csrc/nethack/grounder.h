// Grounding of a fixed group of games (grounding.py), one observation of one game at a time: so a
// game's map stays in the nearest cache while everything is read off it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "memory.h"
#include "messages.h"
#include "paths.h"
#include "scene.h"
#include "tables.h"

namespace tedg::nethack {

// One game's rows of the policy's observation.
struct ObservationRow {
  uint8_t* active_bits;  // [ceil(conditions / 8)], the first condition in the highest bit
  float* features;       // [Tables::num_features()]
  uint8_t* crop;         // [kCrop * kCrop]
  uint8_t* action_mask;  // bool [Action::NUM_ACTIONS]
};

class Grounder {
 public:
  // conditions: of each condition of the hypergraph, its place in condition_names().
  Grounder(int num_games, Tables tables, const std::vector<int>& conditions);

  int num_games() const { return static_cast<int>(games_.size()); }
  int num_conditions() const { return num_conditions_; }
  const Tables& tables() const { return tables_; }
  const MessageReader& reader() const { return reader_; }

  // Forgets a game: its next observation is the first of a new one.
  void reset(int game);
  // Takes in one observation of a game and writes the policy's view of it.
  void ground(int game, const RawRow& raw, int64_t last_action, const ObservationRow& out);

 private:
  struct Game {
    Memory memory;
    Paths paths;
    uint8_t message[kMessage] = {};  // the last one, and what it told
    Told told;

    explicit Game(const Tables& tables) : memory(tables) {}
  };

  Tables tables_;
  MessageReader reader_;
  int num_conditions_;
  std::vector<int> bit_of_condition_;  // [place in condition_names()]: bit in active_bits, or -1
  std::vector<std::unique_ptr<Game>> games_;
};

}  // namespace tedg::nethack
