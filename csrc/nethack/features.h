// The float features of an observation (features.py).
#pragma once

#include "view.h"

namespace tedg::nethack {

// Fills out [tables.num_features()].
void write_features(const View& view, float* out);

}  // namespace tedg::nethack
