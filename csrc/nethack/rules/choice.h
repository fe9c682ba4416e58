// Playing by the rules alone, and where they leave nothing to decide.
#pragma once

#include "matcher.h"

namespace tedg::nethack {

struct Choice {
  int action;
  int instance;  // place among the instances; -1 where no rule says anything allowed
};

// instances: `capacity` of them, those after the first without a rule are not read. allowed: bits
// of actions, at least one. Equal priorities share `draw`, uniform in [0, 1), evenly, action by
// action; where nothing allowed is proposed, the allowed actions do.
Choice choose(const Matcher& matcher, const Instance* instances, int capacity, uint32_t allowed,
              double draw);

inline constexpr int kContested = -1;

// The only action of all candidates: the instances with something allowed whose priority is at most
// `margin` below the highest of such. kContested where their actions are several, their experts are
// several, one of their rules asks for a decision, or there is no candidate.
int uncontested_action(const Matcher& matcher, const Instance* instances, int capacity,
                       uint32_t allowed, double margin);

// The rule of the first instance that proposes an action, and so of the strongest that do; the
// number of rules where none does.
int proposer(const Matcher& matcher, const Instance* instances, int capacity, int64_t action);

}  // namespace tedg::nethack
