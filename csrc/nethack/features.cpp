// As numpy computes them: in float64, rounded to float32 at the end.
#include "features.h"

#include <algorithm>

namespace tedg::nethack {

void write_features(const View& view, float* out) {
  const Tables& tables = view.tables;
  const Scene& scene = view.scene;
  const int64_t* blstats = scene.blstats;
  for (const Scaled& scaled : tables.scaled) {
    const auto value = static_cast<double>(wrap_sub(blstats[scaled.column], scaled.offset));
    *out++ = static_cast<float>(std::clamp(value / static_cast<double>(scaled.scale), -1.0, 1.0));
  }
  const auto beyond = static_cast<int64_t>(tables.logs.size()) - 1;
  for (const int column : tables.log_columns) {
    *out++ = tables.logs[std::clamp<int64_t>(blstats[column], 0, beyond)];
  }
  for (int bit = 0; bit < Status::BITS; ++bit) {
    *out++ = static_cast<float>(scene.conditions >> bit & 1);
  }
  for (int i = 0; i < kMisc; ++i) *out++ = scene.misc[i] != 0;
  *out++ = static_cast<float>(std::clamp(scene.hp_share, 0.0, 1.0));
  *out++ = static_cast<float>(std::min(static_cast<double>(view.memory.still) / 15, 1.0));
  *out++ = static_cast<float>(std::min(static_cast<double>(view.memory.frozen) / 5, 1.0));
  for (const Way& way : view.ways.to) {
    *out++ = way.reachable() ? static_cast<float>(1 / (1.0 + way.steps)) : 0;
  }
  std::fill_n(out, Action::NUM_ACTIONS, 0.0f);
  if (view.last_action >= 0 && view.last_action < Action::NUM_ACTIONS) {
    out[view.last_action] = 1;
  }
}

}  // namespace tedg::nethack
