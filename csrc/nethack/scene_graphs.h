// What is there in a state as a graph, for the policy's graph network: the player, the rules that
// apply, the actions that carry them out and the objects that they are about.
//
// Nodes of one state, in this order: the player; an instance each; an action each that any of them
// proposes, the first named first; the objects. Conditions and effects are nodes that all states
// share: they only send. Instances that want the same action, or that are about the same object,
// hear of each other through that node in two rounds; a pair of edges for every pair of instances
// would tell the same at many times the cost. That a condition holds, of whatever, is a number that
// the player's node begins with: dozens hold at once, and an edge for each would be half of all.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "constants.h"
#include "object_row.h"
#include "rules/matcher.h"

namespace tedg::nethack {

// R(name): an edge's role, source first.
#define TEDG_ROLES(R)                                                                            \
  R(instance_player) R(object_player)                                                            \
  R(first_instance) R(second_instance) /* the object that is a rule's first, second variable */  \
  R(condition_instance) R(effect_instance) R(action_instance) R(player_instance)                 \
  R(instance_action) R(instance_object) R(player_object)
struct Role {
#define TEDG_ROLE(name) name,
  enum Value : int { TEDG_ROLES(TEDG_ROLE) COUNT };
#undef TEDG_ROLE
};

// What a node of its own is, beside those that are numbered: see SceneGraphs::node.
inline constexpr int64_t kPlayerNode = -1, kObjectNode = -2;

// The graphs of several states, one after the other.
struct SceneGraphs {
  std::vector<int64_t> node_start{0}, edge_start{0};        // [B + 1]
  std::vector<int64_t> instance_start{0}, object_start{0};  // [B + 1]
  // Of each edge, within its own state; a source of -1 - s is the shared node s: the conditions,
  // then the effects.
  std::vector<int64_t> source, target, role;
  // Of each node: its rule's number; for an action the number of rules plus its kind.
  std::vector<int64_t> node;
  std::vector<int64_t> actions;  // [instances, Instance::kActions]; Action::NUM_ACTIONS: fewer
  std::vector<float> facts;      // [objects, columns]
  std::vector<int64_t> subject;  // of each object its kind of monster, or num_monsters
  std::vector<float> holds;      // [B, num_conditions], 0 or 1

  // No states; the memory stays.
  void clear();
};

class SceneGraphBuilder {
 public:
  struct RuleNodes {
    std::array<int, 2> kinds;              // of its variables; -1: fewer
    std::vector<int> conditions, effects;  // without repetition
  };

  // kind_of_action [NUM_ACTIONS]: of nodes for actions. Without `objects` there are no such nodes.
  // Throws std::invalid_argument for numbers that do not fit together.
  SceneGraphBuilder(std::vector<RuleNodes> rules, int num_conditions, int num_effects,
                    std::vector<int> kind_of_action, int num_monsters, bool objects);

  // A name for each column of the objects' facts, "monster.steps" or "item.class=food".
  const std::vector<std::string>& columns() const { return columns_; }
  int num_conditions() const { return num_conditions_; }
  int num_shared() const { return num_conditions_ + num_effects_; }
  int num_rules() const { return static_cast<int>(rules_.size()); }
  int num_action_kinds() const {
    return 1 + *std::max_element(kind_of_action_.begin(), kind_of_action_.end());
  }
  int num_monsters() const { return num_monsters_; }
  bool objects() const { return objects_; }

  // Adds a state; the arrays are an observation's, in any alignment. Throws std::invalid_argument
  // for rules, actions and objects that there are not.
  void add(const uint8_t* instances, int most_instances, const uint8_t* objects, int most_objects,
           const uint8_t* active_bits, SceneGraphs& out) const;

 private:
  // How an attribute becomes columns: the number squashed to sign(x) log(1 + |x|), a truth as it
  // is, a word one-hot. East and south become the larger and the smaller of their sizes, so that
  // all eight ways to turn and mirror the map give the same; names of directions are left out
  // likewise.
  struct Encoding {
    enum How { kNumber, kTruth, kWord, kExtent } how;
    int attribute, column, words;
  };

  void encode(const ObjectRow& object, SceneGraphs& out) const;

  std::vector<RuleNodes> rules_;
  int num_conditions_, num_effects_;
  std::vector<int> kind_of_action_;
  int num_monsters_;
  bool objects_;
  std::vector<std::string> columns_;
  std::array<std::vector<Encoding>, Kind::COUNT> encodings_;
  std::array<int, Kind::COUNT> column_of_kind_{};
};

}  // namespace tedg::nethack
