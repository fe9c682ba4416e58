// Which rules apply to an observation, to which objects, and which actions carry them out.
//
// A condition is a truth about no, one or two objects. It is evaluated once for all of them; the
// result is a set of bits, so that finding a rule's bindings is intersecting sets.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "program.h"

namespace tedg::nethack {

// S(name, number): how a rule's action is found (tedg_fast/hypergraph/schema.py).
#define TEDG_TEMPLATES(S)                                                                       \
  S(MOVE_TOWARD, 0) S(RUN_TOWARD, 1) S(MOVE_AWAY, 2) S(RUN_AWAY, 3) S(MOVE, 4) S(RUN, 5)        \
  S(PRESS, 6)       /* an action, unless the game waits for an answer */                        \
  S(CHOOSE_FOOD, 7) /* a letter that an eating prompt offers */                                 \
  S(ANSWER, 8)      /* an action, whatever the game waits for */                                \
  S(COUNT, 9)
struct TemplateKind {
#define TEDG_TEMPLATE(name, number) name = number,
  enum Value : int { TEDG_TEMPLATES(TEDG_TEMPLATE) };
#undef TEDG_TEMPLATE
};

struct Template {
  int kind;
  int variable;  // of the rule; -1 where it needs none
  int action;    // of PRESS and ANSWER; otherwise -1
};

struct Condition {
  int program;
  std::array<int, 2> kinds;  // of its objects; -1: fewer
  int arity() const { return (kinds[0] >= 0) + (kinds[1] >= 0); }
};

// A rule's use of a condition: which of the rule's variables its objects are.
struct Use {
  int condition;
  std::array<int, 2> variables;
};

struct Rule {
  double priority;
  std::array<int, 2> kinds;  // of its variables; -1: fewer
  std::vector<Use> when;
  std::vector<Template> templates;
  int expert;   // who is responsible for it
  bool decide;  // whether a decision is asked for when it is a candidate
};

// A rule that applies, to which objects, and the actions that carry it out. By default none.
struct Instance {
  static constexpr int kActions = 4;
  static constexpr uint8_t kNone = 0xff;
  static constexpr uint16_t kNoRule = 0xffff;
  uint16_t rule = kNoRule;
  uint8_t objects[2] = {kNone, kNone};  // places among the objects of their kinds; kNone: fewer
  uint8_t actions[kActions] = {kNone, kNone, kNone, kNone};  // distinct; kNone: fewer
};
static_assert(sizeof(Instance) == 8);

class Matcher {
 public:
  // Throws std::invalid_argument for numbers that do not fit together.
  Matcher(Programs programs, std::vector<Condition> conditions, std::vector<Rule> rules);

  int num_conditions() const { return static_cast<int>(conditions_.size()); }
  int num_rules() const { return static_cast<int>(rules_.size()); }
  const Rule& rule(int number) const { return rules_[number]; }

  // Evaluates all conditions. Valid until the next call.
  void evaluate(const Facts& facts);
  // Whether a condition holds, of some objects where it is about objects.
  bool holds(int condition) const;
  // Whether it holds of these objects.
  bool holds(int condition, std::array<int, 2> objects) const;

  // Writes what applies to out [capacity], the rules of higher priority first and, of a rule,
  // nearer objects first; returns how many there are, which may be more than were written.
  int match(const Facts& facts, uint32_t offered, Instance* out, int capacity) const;

 private:
  using Row = std::array<uint32_t, kMostObjects>;

  uint32_t compare(const Comparison& comparison, const Facts& facts) const;
  uint32_t run(const Condition& condition, const Facts& facts) const;
  uint32_t run_for_each(const Condition& condition, const Facts& facts) const;
  uint32_t run_for_pairs(const Condition& condition, const Facts& facts, Row& seconds) const;
  bool actions_of(const Rule& rule, const Facts& facts, uint32_t offered, Instance& instance) const;

  Programs programs_;
  std::vector<Condition> conditions_;
  std::vector<Rule> rules_;
  std::vector<uint16_t> order_;  // rules by priority
  std::vector<uint32_t> sets_;   // [condition]: 0 or 1; objects; first objects of pairs
  std::vector<int> row_of_;      // [condition]: its rows_ of pairs, or -1
  std::vector<Row> rows_;        // [pair condition][first object]: second objects
};

}  // namespace tedg::nethack
