#include "grounder.h"

#include <bit>
#include <cstring>
#include <utility>

#include "action_mask.h"
#include "detectors.h"
#include "features.h"
#include "view.h"

namespace tedg::nethack {

Grounder::Grounder(int num_games, Tables tables, const std::vector<int>& conditions)
    : tables_(std::move(tables)),
      reader_(tables_.keys),
      num_conditions_(static_cast<int>(conditions.size())),
      bit_of_condition_(kMostConditions, -1) {
  for (int i = 0; i < num_conditions_; ++i) bit_of_condition_[conditions[i]] = i;
  for (int game = 0; game < num_games; ++game) {
    games_.push_back(std::make_unique<Game>(tables_));
  }
}

void Grounder::reset(int game) { games_[game]->memory.fresh = true; }

void Grounder::ground(int game, const RawRow& raw, int64_t last_action,
                      const ObservationRow& out) {
  Game& state = *games_[game];
  if (std::memcmp(state.message, raw.message, kMessage) != 0) {
    std::memcpy(state.message, raw.message, kMessage);
    state.told = reader_.read(raw.message);
  }
  const Scene scene(raw, state.told);
  state.memory.update(tables_, scene, raw.glyphs, last_action);
  const Ways ways = state.paths.update(scene, state.memory);
  const View view(tables_, scene, state.memory, ways, last_action);

  std::memset(out.active_bits, 0, (num_conditions_ + 7) / 8);
  const Found found = find_conditions(view);
  for (int word = 0; word < kMostConditions / 64; ++word) {
    for (uint64_t bits = found.words[word]; bits; bits &= bits - 1) {
      const int bit = bit_of_condition_[64 * word + std::countr_zero(bits)];
      if (bit >= 0) out.active_bits[bit / 8] |= 0x80 >> (bit % 8);
    }
  }
  write_features(view, out.features);
  state.memory.map.write_crop(tables_, scene.position, out.crop);
  const uint32_t allowed = allowed_actions(view);
  for (int action = 0; action < Action::NUM_ACTIONS; ++action) {
    out.action_mask[action] = allowed >> action & 1;
  }
}

}  // namespace tedg::nethack
