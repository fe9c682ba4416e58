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
  write_objects(out.instances, out.objects);

  write_features(view, out.features);
  state.memory.map().write_crop(tables_, scene.position, out.crop);
  const uint32_t allowed = allowed_actions(view);
  for (int action = 0; action < Action::NUM_ACTIONS; ++action) {
    out.action_mask[action] = allowed >> action & 1;
  }
}

// What instances bind, in their order, then the monsters that none does, nearest first.
void Grounder::write_objects(const Instance* instances, ObjectRow* out) {
  uint32_t listed[Kind::COUNT] = {};
  ObjectRow* const end = out + kObjects;
  // An observation is bytes to Python, which need not lie where floats may.
  auto write = [&](const ObjectRow& row) { std::memcpy(static_cast<void*>(out++), &row, sizeof(row)); };
  auto add = [&](int kind, int place) {
    if (listed[kind] >> place & 1) return;
    listed[kind] |= 1u << place;
    if (out == end) {
      ++left_out_objects_;
      return;
    }
    ObjectRow row{static_cast<uint8_t>(kind), static_cast<uint8_t>(place),
                  facts_->place(kind, place).subject, {}};
    const double* own = facts_->own(kind, place);
    for (int i = 0; i < facts_->width(kind); ++i) row.facts[i] = static_cast<float>(own[i]);
    write(row);
  };
  for (int i = 0; i < kInstances && instances[i].rule != Instance::kNoRule; ++i) {
    const auto& kinds = matcher_.rule(instances[i].rule).kinds;
    for (int variable = 0; variable < 2; ++variable) {
      if (kinds[variable] >= 0) add(kinds[variable], instances[i].objects[variable]);
    }
  }
  for (int i = 0; i < facts_->count(Kind::monster); ++i) add(Kind::monster, i);
  while (out < end) write({ObjectRow::kNone, 0, ObjectRow::kNoSubject, {}});
}

}  // namespace tedg::nethack
