#include "grounder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "action_mask.h"
#include "features.h"
#include "view.h"

namespace tedg::nethack {

Grounder::Grounder(int num_games, Tables tables, Matcher matcher)
    : tables_(std::move(tables)), reader_(tables_.keys), matcher_(std::move(matcher)) {
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
  const Ways ways = state.paths.update(tables_, scene, state.memory);
  // What could not be moved may be free by now: boulders with a monster behind them.
  if (ways.rounds > state.rounds) state.memory.map().unmark(Mark::BLOCKED | Mark::TRIED);
  state.rounds = ways.rounds;
  const View view(tables_, scene, state.memory, ways, state.paths.ground(), last_action);
  facts_->fill(view);
  matcher_.evaluate(*facts_);

  const int conditions = matcher_.num_conditions();
  for (int first = 0; first < conditions; first += 8) {
    unsigned bits = 0;
    const int end = std::min(first + 8, conditions);
    for (int i = first; i < end; ++i) bits |= (matcher_.holds(i) ? 0x80u : 0u) >> (i - first);
    out.active_bits[first / 8] = static_cast<uint8_t>(bits);
  }
  const uint32_t offered = scene.prompt ? scene.told.offered : 0;
  const int applying = matcher_.match(*facts_, offered, out.instances, kInstances);
  constexpr Instance kEmpty{Instance::kNoRule, {0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}};
  for (int i = applying; i < kInstances; ++i) out.instances[i] = kEmpty;
  left_out_instances_ += std::max(applying - kInstances, 0);
  for (int kind = 0; kind < Kind::COUNT; ++kind) left_out_objects_ += facts_->left_out(kind);
  write_objects(out.objects);

  write_features(view, out.features);
  state.memory.map().write_crop(tables_, scene.position, out.crop);
  const uint32_t allowed = allowed_actions(view);
  for (int action = 0; action < Action::NUM_ACTIONS; ++action) {
    out.action_mask[action] = allowed >> action & 1;
  }
}

void Grounder::write_objects(ObjectRow* out) const {
  ObjectRow* const end = out + kObjects;
  for (int kind = Kind::monster; kind < Kind::COUNT; ++kind) {
    for (int i = 0; i < facts_->count(kind) && out < end; ++i) {
      const double* own = facts_->own(kind, i);
      const bool placed = kind < kFirstPlace;
      *out++ = {static_cast<int16_t>(kind), static_cast<int16_t>(i),
                static_cast<int16_t>(facts_->place(kind, i).subject),
                static_cast<int16_t>(placed ? own[Placed::east] : 0),
                static_cast<int16_t>(placed ? own[Placed::south] : 0),
                static_cast<int16_t>(own[0])};  // Placed::distance and PlaceFact::steps
    }
  }
  std::fill(out, end, ObjectRow{-1, -1, -1, 0, 0, 0});
}

}  // namespace tedg::nethack
