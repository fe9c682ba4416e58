// All conditions that the detectors decide, in one fixed order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "view.h"

namespace tedg::nethack {

inline constexpr int kMostConditions = 256;

// One bit for each condition.
struct Found {
  uint64_t words[kMostConditions / 64] = {};
};

Found find_conditions(const View& view);

// The conditions' names, in the order of Found's bits.
std::vector<std::string> condition_names();

}  // namespace tedg::nethack
