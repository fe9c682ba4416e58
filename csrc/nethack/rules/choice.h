// Playing by the rules alone: of what applies, the highest priority.
#pragma once

#include "matcher.h"

namespace tedg::nethack {

struct Choice {
  int action;
  int instance;  // place among the instances; -1 where no rule says anything allowed
};

// instances: `capacity` of them, those after the first without a rule are not read. allowed: bits of
// actions, at least one. Equal priorities share `draw`, uniform in [0, 1), evenly, action by action;
// where nothing allowed is proposed, the allowed actions do.
Choice choose(const Matcher& matcher, const Instance* instances, int capacity, uint32_t allowed,
              double draw);

}  // namespace tedg::nethack
