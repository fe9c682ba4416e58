#include "grounder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "action_mask.h"
#include "features.h"
#include "rules/choice.h"

namespace tedg::nethack {

Grounder::Grounder(int num_games, Tables tables, Matcher matcher, Asking asking)
    : tables_(std::move(tables)),
      reader_(tables_.keys),
      matcher_(std::move(matcher)),
      asking_(asking) {
  for (int game = 0; game < num_games; ++game) {
    games_.push_back(std::make_unique<Game>(tables_, matcher_.num_rules()));
  }
}

void Grounder::reset(int game) { games_[game]->memory.fresh = true; }

int Grounder::take_in(int game, const RawRow& raw, int64_t last_action) {
  Game& state = *games_[game];
  const bool begins = state.memory.fresh;
  if (begins) {
    std::fill(state.decided.begin(), state.decided.end(), 0);
  } else {
    count(state, last_action);
  }
  if (std::memcmp(state.message, raw.message, kMessage) != 0) {
    std::memcpy(state.message, raw.message, kMessage);
    state.told = reader_.read(raw.message);
  }
  const Scene& scene = scene_.emplace(raw, state.told);
  state.memory.update(tables_, scene, raw.glyphs, last_action);
  ways_ = state.paths.update(tables_, scene, state.memory);
  // What could not be moved may be free by now: boulders with a monster behind them.
  if (ways_.rounds > state.rounds) state.memory.map().unmark(Mark::BLOCKED | Mark::TRIED);
  state.rounds = ways_.rounds;
  const View& view =
      view_.emplace(tables_, scene, state.memory, ways_, state.paths.ground(), last_action);
  facts_->fill(view);
  matcher_.evaluate(*facts_);
  seen_ = &state;

  const uint32_t offered = scene.prompt ? scene.told.offered : 0;
  const int applying = matcher_.match(*facts_, offered, state.instances.data(), kInstances);
  if (applying < kInstances) {
    std::fill(state.instances.begin() + applying, state.instances.end(), Instance{});
  }
  left_out_instances_ += std::max(applying - kInstances, 0);
  for (int kind = 0; kind < Kind::COUNT; ++kind) left_out_objects_ += facts_->left_out(kind);
  allowed_ = asking_.masks ? allowed_actions(view) : tables_.actions();

  const bool asks = asking_.always || begins || ++state.uncontested >= kLongestStretch;
  state.rule_action = asks ? kContested
                           : uncontested_action(matcher_, state.instances.data(), kInstances,
                                                allowed_, asking_.margin);
  if (state.rule_action == kContested) state.uncontested = 0;
  return state.rule_action;
}

void Grounder::count(Game& state, int64_t action) {
  const int decider = action == state.rule_action ? Decider::RULES : Decider::ASKED;
  const int rule = proposer(matcher_, state.instances.data(), kInstances, action);
  ++state.decided[decider * (matcher_.num_rules() + 1) + rule];
}

void Grounder::write(const ObservationRow& out) {
  write_conditions(out.active_bits);
  std::copy(seen_->instances.begin(), seen_->instances.end(), out.instances);
  write_objects(seen_->instances.data(), out.objects);
  write_features(*view_, out.features);
  seen_->memory.map().write_crop(tables_, scene_->position, out.crop);
  for (int action = 0; action < Action::NUM_ACTIONS; ++action) {
    out.action_mask[action] = allowed_ >> action & 1;
  }
  *out.rule_action = static_cast<int8_t>(seen_->rule_action);
}

void Grounder::write_conditions(uint8_t* out) const {
  const int conditions = matcher_.num_conditions();
  for (int first = 0; first < conditions; first += 8) {
    unsigned bits = 0;
    const int end = std::min(first + 8, conditions);
    for (int i = first; i < end; ++i) bits |= (matcher_.holds(i) ? 0x80u : 0u) >> (i - first);
    out[first / 8] = static_cast<uint8_t>(bits);
  }
}

// What instances bind, in their order, then the monsters that none does, nearest first.
void Grounder::write_objects(const Instance* instances, ObjectRow* out) {
  uint32_t listed[Kind::COUNT] = {};
  ObjectRow* const end = out + kObjects;
  // An observation is bytes to Python, which need not lie where floats may.
  auto write = [&](const ObjectRow& row) {
    std::memcpy(static_cast<void*>(out++), &row, sizeof(row));
  };
  auto add = [&](int kind, int place) {
    if (listed[kind] >> place & 1) return;
    listed[kind] |= 1u << place;
    if (out == end) {
      ++left_out_objects_;
      return;
    }
    ObjectRow row{static_cast<uint8_t>(kind),
                  static_cast<uint8_t>(place),
                  facts_->place(kind, place).subject,
                  {}};
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
