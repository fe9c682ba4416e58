// Grounding of a fixed group of games, one observation of one game at a time: so a game's map stays
// in the nearest cache while everything is read off it. Observation → memory → facts → conditions →
// rules that apply → whether the rules carry on by themselves.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "facts/facts.h"
#include "memory.h"
#include "messages.h"
#include "object_row.h"
#include "paths.h"
#include "rules/matcher.h"
#include "scene.h"
#include "tables.h"
#include "view.h"

namespace tedg::nethack {

inline constexpr int kInstances = 64;  // an observation holds so many instances
inline constexpr int kObjects = 48;    // and objects: those that instances bind, then monsters

// One game's rows of the policy's observation.
struct ObservationRow {
  uint8_t* active_bits;  // [ceil(conditions / 8)], the first condition in the highest bit
  Instance* instances;   // [kInstances], without a rule beyond those that apply
  ObjectRow* objects;    // [kObjects]
  float* features;       // [Tables::num_features()]
  uint8_t* crop;         // [kCrop * kCrop]
  uint8_t* action_mask;  // bool [Action::NUM_ACTIONS]
  int8_t* rule_action;   // what the rules carry out by themselves; kContested: nothing
};

// Where a decision is asked for, and what may be decided.
struct Asking {
  bool always;    // in every state, not only where it is contested
  double margin;  // see uncontested_action
  bool masks;     // whether only sensible actions are allowed, or all
};

// So many states after the last that asked for a decision, one asks in any case.
inline constexpr int kLongestStretch = 512;

// Who decided a step: the rules by themselves, or whoever was asked.
struct Decider {
  enum Value : int { RULES, ASKED, COUNT };
};

class Grounder {
 public:
  Grounder(int num_games, Tables tables, Matcher matcher, Asking asking);

  int num_games() const { return static_cast<int>(games_.size()); }
  const Tables& tables() const { return tables_; }
  const MessageReader& reader() const { return reader_; }
  const Matcher& matcher() const { return matcher_; }

  // Forgets a game: its next observation is the first of a new one.
  void reset(int game);
  // Takes in one observation of a game. Returns what the rules carry out by themselves, or
  // kContested where a decision is asked for: as a game begins, and where `Asking` says so.
  int take_in(int game, const RawRow& raw, int64_t last_action);
  // An action ended the game: it counts, and there is nothing more to take in.
  void end(int game, int64_t last_action) { count(*games_[game], last_action); }

  // A game's steps so far: [Decider][rule], by the strongest rule that proposed what was played,
  // and after all rules the steps that none did.
  const std::vector<int64_t>& decided(int game) const { return games_[game]->decided; }

  // Of the observation taken in last, whose raw row must still be there:
  void write(const ObservationRow& out);       // the policy's view of it,
  void write_conditions(uint8_t* bits) const;  // and of that active_bits alone.
  const Facts& facts() const { return *facts_; }

  // How often something did not fit, over all observations: objects of a kind, and instances.
  int64_t left_out_objects() const { return left_out_objects_; }
  int64_t left_out_instances() const { return left_out_instances_; }

 private:
  struct Game {
    Memory memory;
    Paths paths;
    int rounds = 0;                              // of searching, on this level
    int uncontested = 0;                         // states since the last that asked for a decision
    std::array<Instance, kInstances> instances;  // of the observation taken in last
    int rule_action = -1;                        // and what the rules made of it
    std::vector<int64_t> decided;
    uint8_t message[kMessage] = {};  // the last one, and what it told
    Told told;

    Game(const Tables& tables, int num_rules)
        : memory(tables), decided(Decider::COUNT * (num_rules + 1)) {}
  };

  void count(Game& state, int64_t action);
  void write_objects(const Instance* instances, ObjectRow* out);

  Tables tables_;
  MessageReader reader_;
  Matcher matcher_;
  Asking asking_;
  std::unique_ptr<Facts> facts_ = std::make_unique<Facts>();
  std::vector<std::unique_ptr<Game>> games_;
  // What `write` needs of the observation taken in last.
  const Game* seen_ = nullptr;
  std::optional<Scene> scene_;
  Ways ways_;
  std::optional<View> view_;
  uint32_t allowed_ = 0;
  int64_t left_out_objects_ = 0, left_out_instances_ = 0;
};

}  // namespace tedg::nethack
