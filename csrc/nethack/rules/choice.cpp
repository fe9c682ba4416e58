#include "choice.h"

#include <algorithm>
#include <bit>

namespace tedg::nethack {
namespace {

// One of `count` by a draw in [0, 1).
int pick(int count, double draw) {
  return std::clamp(static_cast<int>(draw * count), 0, count - 1);
}

}  // namespace

Choice choose(const Matcher& matcher, const Instance* instances, int capacity, uint32_t allowed,
              double draw) {
  auto each_allowed = [&](int begin, int end, auto visit) {
    for (int i = begin; i < end; ++i) {
      for (const uint8_t action : instances[i].actions) {
        if (action < Action::NUM_ACTIONS && (allowed >> action & 1)) visit(i, action);
      }
    }
  };
  // Instances lie in the order of their priority; the first group with anything allowed decides.
  for (int begin = 0; begin < capacity && instances[begin].rule < matcher.num_rules();) {
    const double priority = matcher.rule(instances[begin].rule).priority;
    int end = begin, count = 0;
    while (end < capacity && instances[end].rule < matcher.num_rules() &&
           matcher.rule(instances[end].rule).priority == priority) {
      ++end;
    }
    each_allowed(begin, end, [&](int, uint8_t) { ++count; });
    if (count > 0) {
      int left = pick(count, draw);
      Choice choice{-1, -1};
      each_allowed(begin, end, [&](int i, uint8_t action) {
        if (left-- == 0) choice = {action, i};
      });
      return choice;
    }
    begin = end;
  }
  int left = pick(std::popcount(allowed), draw);
  while (left-- > 0) allowed &= allowed - 1;
  return {std::countr_zero(allowed), -1};
}

int uncontested_action(const Matcher& matcher, const Instance* instances, int capacity,
                       uint32_t allowed, double margin) {
  const Rule* best = nullptr;
  uint32_t proposed = 0;
  for (int i = 0; i < capacity && instances[i].rule < matcher.num_rules(); ++i) {
    const Rule& rule = matcher.rule(instances[i].rule);
    if (best && rule.priority < best->priority - margin) break;
    uint32_t own = 0;
    for (const uint8_t action : instances[i].actions) {
      if (action < Action::NUM_ACTIONS) own |= allowed & 1u << action;
    }
    if (own == 0) continue;
    if (!best) best = &rule;
    proposed |= own;
    if (rule.decide || rule.expert != best->expert || !std::has_single_bit(proposed)) {
      return kContested;
    }
  }
  return best ? std::countr_zero(proposed) : kContested;
}

int proposer(const Matcher& matcher, const Instance* instances, int capacity, int64_t action) {
  for (int i = 0; i < capacity && instances[i].rule < matcher.num_rules(); ++i) {
    for (const uint8_t own : instances[i].actions) {
      if (own < Action::NUM_ACTIONS && own == action) return instances[i].rule;
    }
  }
  return matcher.num_rules();
}

}  // namespace tedg::nethack
