#include "matcher.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace tedg::nethack {
namespace {

[[noreturn]] void refuse(const char* what) {
  throw std::invalid_argument(std::string("the compiled rules have ") + what);
}

uint32_t all_of(const Facts& facts, int kind) {
  const int count = kind < 0 ? 1 : facts.count(kind);
  return count >= 32 ? ~0u : (1u << count) - 1;
}

// The action of a step, or of a long move, in a direction.
int step_action(int direction, bool far) {
  return (far ? Action::FIRST_FAR_MOVE : Action::FIRST_MOVE) + direction;
}

// The direction of a rule's step relative to an object; -1 where there is none.
int way_to(const Facts& facts, Slot object, bool away) {
  if (object.kind == Kind::direction) return object.index;
  if (!away) {
    // Next to it, or along the known way.
    const int direct = facts.place(object.kind, object.index).direction;
    if (direct >= 0 || object.kind >= kFirstPlace) return direct;
  }
  int best = -1, best_gain = 0;
  for (unsigned ways = facts.free(); ways; ways &= ways - 1) {
    const int way = std::countr_zero(ways);
    const int gain = away ? farther(facts, way, object) : -farther(facts, way, object);
    if (gain > best_gain) {
      best = way;
      best_gain = gain;
    }
  }
  return best;
}

}  // namespace

Matcher::Matcher(Programs programs, std::vector<Condition> conditions, std::vector<Rule> rules)
    : programs_(std::move(programs)),
      conditions_(std::move(conditions)),
      rules_(std::move(rules)),
      order_(rules_.size()),
      sets_(conditions_.size()),
      row_of_(conditions_.size(), -1) {
  auto is_object = [](int kind) { return kind >= Kind::direction && kind < Kind::COUNT; };
  if (rules_.size() >= Instance::kNoRule) refuse("too many rules");
  for (size_t i = 0; i < conditions_.size(); ++i) {
    const auto& kinds = conditions_[i].kinds;
    if (kinds[0] < 0 && kinds[1] >= 0) refuse("a condition without its first object");
    for (const int kind : kinds) {
      if (kind != -1 && !is_object(kind)) refuse("a condition about no object");
    }
    if (conditions_[i].arity() == 2) {
      row_of_[i] = static_cast<int>(rows_.size());
      rows_.emplace_back();
    }
  }
  for (const Rule& rule : rules_) {
    if (!std::isfinite(rule.priority)) refuse("a priority that is no finite number");
    if (rule.kinds[0] < 0 && rule.kinds[1] >= 0) refuse("a rule without its first variable");
    for (const int kind : rule.kinds) {
      if (kind != -1 && !is_object(kind)) refuse("a rule about no object");
    }
    if (rule.templates.empty() || rule.templates.size() > Instance::kActions) {
      refuse("a rule with another number of actions");
    }
    for (const Use& use : rule.when) {
      if (use.condition < 0 || use.condition >= num_conditions()) refuse("no such condition");
      const Condition& condition = conditions_[use.condition];
      for (int i = 0; i < condition.arity(); ++i) {
        const int variable = use.variables[i];
        if (variable < 0 || variable > 1 || rule.kinds[variable] != condition.kinds[i]) {
          refuse("a condition about another kind of object");
        }
      }
      if (condition.arity() == 2 && use.variables[0] == use.variables[1]) {
        refuse("a condition about the same object twice");
      }
    }
    for (const Template& action : rule.templates) {
      if (action.kind < 0 || action.kind >= TemplateKind::COUNT) refuse("no such template");
      const bool presses =
          action.kind == TemplateKind::PRESS || action.kind == TemplateKind::ANSWER;
      if (presses ? action.action < 0 || action.action >= Action::NUM_ACTIONS
                  : action.kind != TemplateKind::CHOOSE_FOOD &&
                        (action.variable < 0 || action.variable > 1 ||
                         rule.kinds[action.variable] < 0)) {
        refuse("an action without its object");
      }
      const bool steps = action.kind == TemplateKind::MOVE || action.kind == TemplateKind::RUN;
      if (!presses && action.kind != TemplateKind::CHOOSE_FOOD &&
          steps != (rule.kinds[action.variable] == Kind::direction)) {
        refuse("an action with another kind of object");
      }
    }
  }
  std::iota(order_.begin(), order_.end(), uint16_t{0});
  std::stable_sort(order_.begin(), order_.end(),
                   [&](uint16_t a, uint16_t b) { return rules_[a].priority > rules_[b].priority; });
}

void Matcher::evaluate(const Facts& facts) {
  for (int i = 0; i < num_conditions(); ++i) {
    const Condition& condition = conditions_[i];
    const Comparison& comparison = programs_.comparison(condition.program);
    if (comparison.test != Comparison::kNone) {
      sets_[i] = compare(comparison, facts);
    } else if (condition.kinds[0] < 0) {
      sets_[i] = run(condition, facts);
    } else if (condition.kinds[1] < 0) {
      sets_[i] = run_for_each(condition, facts);
    } else {
      sets_[i] = run_for_pairs(condition, facts, rows_[row_of_[i]]);
    }
  }
}

uint32_t Matcher::compare(const Comparison& comparison, const Facts& facts) const {
  const int count = facts.count(comparison.kind);
  uint32_t set = 0;
  for (int i = 0; i < count; ++i) {
    set |= uint32_t{comparison.holds(facts.value(comparison.kind, i, comparison.attribute))} << i;
  }
  return set;
}

uint32_t Matcher::run(const Condition& condition, const Facts& facts) const {
  Slots slots;
  return programs_.run(condition.program, facts, slots) != 0;
}

uint32_t Matcher::run_for_each(const Condition& condition, const Facts& facts) const {
  Slots slots;
  slots[0].kind = condition.kinds[0];
  const int count = facts.count(condition.kinds[0]);
  uint32_t set = 0;
  for (slots[0].index = 0; slots[0].index < count; ++slots[0].index) {
    set |= uint32_t{programs_.run(condition.program, facts, slots) != 0} << slots[0].index;
  }
  return set;
}

// The first objects that have a second one; of each, these go to `seconds`.
uint32_t Matcher::run_for_pairs(const Condition& condition, const Facts& facts,
                                Row& seconds) const {
  Slots slots;
  slots[0].kind = condition.kinds[0];
  slots[1].kind = condition.kinds[1];
  const int count = facts.count(condition.kinds[0]), others = facts.count(condition.kinds[1]);
  const bool same_kind = condition.kinds[0] == condition.kinds[1];
  uint32_t set = 0;
  for (slots[0].index = 0; slots[0].index < count; ++slots[0].index) {
    uint32_t found = 0;
    for (slots[1].index = 0; slots[1].index < others; ++slots[1].index) {
      // An object has no relation to itself.
      if (same_kind && slots[1].index == slots[0].index) continue;
      found |= uint32_t{programs_.run(condition.program, facts, slots) != 0} << slots[1].index;
    }
    seconds[slots[0].index] = found;
    set |= uint32_t{found != 0} << slots[0].index;
  }
  return set;
}

bool Matcher::holds(int condition) const { return sets_[condition] != 0; }

bool Matcher::holds(int condition, std::array<int, 2> objects) const {
  switch (conditions_[condition].arity()) {
    case 0: return sets_[condition] != 0;
    case 1: return sets_[condition] >> objects[0] & 1;
    default:
      return (sets_[condition] >> objects[0] & 1) &&
             (rows_[row_of_[condition]][objects[0]] >> objects[1] & 1);
  }
}

int Matcher::match(const Facts& facts, uint32_t offered, Instance* out, int capacity) const {
  int found = 0;
  for (const uint16_t number : order_) {
    const Rule& rule = rules_[number];
    uint32_t sets[2] = {all_of(facts, rule.kinds[0]), all_of(facts, rule.kinds[1])};
    bool possible = true;
    bool paired = false;
    for (const Use& use : rule.when) {
      const uint32_t set = sets_[use.condition];
      if (set == 0) {
        possible = false;
        break;
      }
      const int arity = conditions_[use.condition].arity();
      if (arity >= 1) sets[use.variables[0]] &= set;
      paired |= arity == 2;
    }
    if (!possible || sets[0] == 0 || sets[1] == 0) continue;
    for (uint32_t firsts = sets[0]; firsts; firsts &= firsts - 1) {
      const int first = std::countr_zero(firsts);
      uint32_t seconds = sets[1];
      if (paired) {
        for (const Use& use : rule.when) {
          if (conditions_[use.condition].arity() != 2) continue;
          const Row& row = rows_[row_of_[use.condition]];
          if (use.variables[0] == 0) {
            seconds &= row[first];
          } else {
            for (uint32_t bits = seconds; bits; bits &= bits - 1) {
              const int second = std::countr_zero(bits);
              if (!(row[second] >> first & 1)) seconds &= ~(1u << second);
            }
          }
        }
      }
      if (rule.kinds[0] >= 0 && rule.kinds[0] == rule.kinds[1]) seconds &= ~(1u << first);
      for (; seconds; seconds &= seconds - 1) {
        Instance instance{
            number,
            {rule.kinds[0] < 0 ? Instance::kNone : static_cast<uint8_t>(first),
             rule.kinds[1] < 0 ? Instance::kNone : static_cast<uint8_t>(std::countr_zero(seconds))},
            {Instance::kNone, Instance::kNone, Instance::kNone, Instance::kNone}};
        if (!actions_of(rule, facts, offered, instance)) continue;
        if (found < capacity) out[found] = instance;
        ++found;
      }
    }
  }
  return found;
}

bool Matcher::actions_of(const Rule& rule, const Facts& facts, uint32_t offered,
                         Instance& instance) const {
  enum { kNoPrompt = 0, kDirectionPrompt = 2 };
  const int prompt = static_cast<int>(facts.own(Kind::prompt, 0)[Prompt::kind]);
  int count = 0;
  for (const Template& action : rule.templates) {
    int found = -1;
    const Slot object = action.variable < 0
                            ? Slot{}
                            : Slot{rule.kinds[action.variable], instance.objects[action.variable]};
    switch (action.kind) {
      case TemplateKind::MOVE_TOWARD:
      case TemplateKind::RUN_TOWARD:
      case TemplateKind::MOVE_AWAY:
      case TemplateKind::RUN_AWAY:
      case TemplateKind::MOVE:
      case TemplateKind::RUN: {
        // A direction's key answers the question for one; at other prompts it would be misread.
        if (prompt != kNoPrompt && prompt != kDirectionPrompt) break;
        const bool away =
            action.kind == TemplateKind::MOVE_AWAY || action.kind == TemplateKind::RUN_AWAY;
        const bool far = action.kind == TemplateKind::RUN_TOWARD ||
                         action.kind == TemplateKind::RUN_AWAY || action.kind == TemplateKind::RUN;
        if (far && prompt != kNoPrompt) break;
        const int way = way_to(facts, object, away);
        if (way >= 0) found = step_action(way, far);
        break;
      }
      case TemplateKind::PRESS:
        if (prompt == kNoPrompt) found = action.action;
        break;
      case TemplateKind::CHOOSE_FOOD:
        if (offered != 0) found = std::countr_zero(offered);
        break;
      case TemplateKind::ANSWER: found = action.action; break;
      default: break;
    }
    if (found < 0) continue;
    const auto chosen = static_cast<uint8_t>(found);
    if (std::find(instance.actions, instance.actions + count, chosen) == instance.actions + count) {
      instance.actions[count++] = chosen;
    }
  }
  return count > 0;
}

}  // namespace tedg::nethack
