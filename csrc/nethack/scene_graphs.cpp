#include "scene_graphs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "facts/facts.h"

namespace tedg::nethack {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

void refuse_number(const char* what, int64_t got, int64_t limit) {
  refuse(std::string(what) + " " + std::to_string(got) + ", expected less than " +
         std::to_string(limit));
}

float squashed(float value) { return std::copysign(std::log1p(std::abs(value)), value); }

}  // namespace

void SceneGraphs::clear() {
  for (auto* start : {&node_start, &edge_start, &instance_start, &object_start})
    start->assign(1, 0);
  for (auto* numbers : {&source, &target, &role, &node, &actions, &subject}) numbers->clear();
  facts.clear();
  holds.clear();
}

SceneGraphBuilder::SceneGraphBuilder(std::vector<RuleNodes> rules, int num_conditions,
                                     int num_effects, std::vector<int> kind_of_action,
                                     int num_monsters, bool objects)
    : rules_(std::move(rules)),
      num_conditions_(num_conditions),
      num_effects_(num_effects),
      kind_of_action_(std::move(kind_of_action)),
      num_monsters_(num_monsters),
      objects_(objects) {
  if (kind_of_action_.size() != Action::NUM_ACTIONS) refuse("kind_of_action has another length");
  for (const RuleNodes& rule : rules_) {
    for (const int kind : rule.kinds) {
      if (kind != -1 && (kind < Kind::direction || kind >= Kind::COUNT)) {
        refuse("a rule is about no object");
      }
    }
    for (const int condition : rule.conditions) {
      if (condition < 0 || condition >= num_conditions) refuse("a rule has no such condition");
    }
    for (const int effect : rule.effects) {
      if (effect < 0 || effect >= num_effects) refuse("a rule has no such effect");
    }
  }
  for (int kind = Kind::direction; kind < Kind::COUNT; ++kind) {
    const KindInfo& info = vocabulary()[kind];
    column_of_kind_[kind] = static_cast<int>(columns_.size());
    columns_.push_back(info.name);
    for (int i = 0; i < info.own; ++i) {
      const AttributeInfo& attribute = info.attributes[i];
      const int column = static_cast<int>(columns_.size());
      const std::string name = info.name + "." + attribute.name;
      if (kind == Kind::direction && i == Direction::name) continue;
      if (kind > Kind::direction && kind < kFirstPlace &&
          (i == Placed::east || i == Placed::south)) {
        if (i == Placed::south) continue;
        encodings_[kind].push_back({Encoding::kExtent, i, column, 0});
        columns_.insert(columns_.end(), {info.name + ".farther", info.name + ".nearer"});
      } else if (attribute.type == FactType::kWord) {
        encodings_[kind].push_back(
            {Encoding::kWord, i, column, static_cast<int>(attribute.words.size())});
        for (const std::string& word : attribute.words) columns_.push_back(name + "=" + word);
      } else {
        const bool truth = attribute.type == FactType::kTruth;
        encodings_[kind].push_back({truth ? Encoding::kTruth : Encoding::kNumber, i, column, 0});
        columns_.push_back(name);
      }
    }
  }
}

void SceneGraphBuilder::encode(const ObjectRow& object, SceneGraphs& out) const {
  out.facts.resize(out.facts.size() + columns_.size());
  float* facts = out.facts.data() + out.facts.size() - columns_.size();
  facts[column_of_kind_[object.kind]] = 1;
  for (const Encoding& encoding : encodings_[object.kind]) {
    const float value = object.facts[encoding.attribute];
    float* column = facts + encoding.column;
    switch (encoding.how) {
      case Encoding::kNumber: *column = squashed(value); break;
      case Encoding::kTruth: *column = value; break;
      case Encoding::kWord:
        if (value >= 0 && value < static_cast<float>(encoding.words)) {
          column[static_cast<int>(value)] = 1;
        }
        break;
      case Encoding::kExtent: {
        const float east = std::abs(value), south = std::abs(object.facts[encoding.attribute + 1]);
        static_assert(int{Placed::south} == int{Placed::east} + 1);
        column[0] = squashed(std::max(east, south));
        column[1] = squashed(std::min(east, south));
        break;
      }
    }
  }
  out.subject.push_back(std::min<int64_t>(object.subject, num_monsters_));
}

void SceneGraphBuilder::add(const uint8_t* instances, int most_instances, const uint8_t* objects,
                            int most_objects, const uint8_t* active_bits, SceneGraphs& out) const {
  // Where each object is among the state's objects; -1: nowhere.
  int8_t object_at[Kind::COUNT][kMostObjects];
  std::memset(object_at, -1, sizeof(object_at));
  std::vector<Instance> listed;
  int num_objects = 0;
  for (; objects_ && num_objects < most_objects; ++num_objects) {
    ObjectRow object;
    std::memcpy(&object, objects + num_objects * sizeof(ObjectRow), sizeof(object));
    if (object.kind == ObjectRow::kNone) break;
    if (object.kind < Kind::direction || object.kind >= Kind::COUNT) {
      refuse("objects name kind " + std::to_string(object.kind) + ", expected " +
             std::to_string(Kind::direction) + " to " + std::to_string(Kind::COUNT - 1));
    }
    if (object.place >= kMostObjects) {
      refuse_number("objects name place", object.place, kMostObjects);
    }
    object_at[object.kind][object.place] = static_cast<int8_t>(num_objects);
    encode(object, out);
  }
  int8_t action_at[Action::NUM_ACTIONS];
  std::memset(action_at, -1, sizeof(action_at));
  std::vector<uint8_t> actions;
  for (int i = 0; i < most_instances; ++i) {
    Instance instance;
    std::memcpy(&instance, instances + i * sizeof(Instance), sizeof(instance));
    if (instance.rule == Instance::kNoRule) break;
    if (instance.rule >= rules_.size()) {
      refuse_number("instances name rule", instance.rule, static_cast<int64_t>(rules_.size()));
    }
    for (uint8_t& action : instance.actions) {
      if (action == Instance::kNone) action = Action::NUM_ACTIONS;
      else if (action >= Action::NUM_ACTIONS) {
        refuse_number("instances name action", action, Action::NUM_ACTIONS);
      } else if (action_at[action] < 0) {
        action_at[action] = static_cast<int8_t>(actions.size());
        actions.push_back(action);
      }
      out.actions.push_back(action);
    }
    listed.push_back(instance);
  }
  const int num_instances = static_cast<int>(listed.size());
  const int64_t first_action = 1 + num_instances;
  const int64_t first_object = first_action + static_cast<int64_t>(actions.size());

  out.node.push_back(kPlayerNode);
  for (const Instance& instance : listed) out.node.push_back(instance.rule);
  for (const uint8_t action : actions) {
    out.node.push_back(static_cast<int64_t>(rules_.size()) + kind_of_action_[action]);
  }
  out.node.insert(out.node.end(), num_objects, kObjectNode);

  // Edges by target.
  auto edge = [&](int64_t source, int64_t target, Role::Value role) {
    out.source.push_back(source);
    out.target.push_back(target);
    out.role.push_back(role);
  };
  auto object_of = [&](const Instance& instance, int variable) {
    const int kind = rules_[instance.rule].kinds[variable];
    const int place = instance.objects[variable];
    return kind < 0 || place >= kMostObjects ? -1 : int{object_at[kind][place]};
  };
  for (int condition = 0; condition < num_conditions_; ++condition) {
    out.holds.push_back(static_cast<float>(active_bits[condition / 8] >> (7 - condition % 8) & 1));
  }
  for (int i = 0; i < num_instances; ++i) edge(1 + i, 0, Role::instance_player);
  for (int i = 0; i < num_objects; ++i) edge(first_object + i, 0, Role::object_player);
  for (int i = 0; i < num_instances; ++i) {
    const RuleNodes& rule = rules_[listed[i].rule];
    for (int variable = 0; variable < 2; ++variable) {
      const int object = object_of(listed[i], variable);
      if (object < 0) continue;
      edge(first_object + object, 1 + i,
           variable == 0 ? Role::first_instance : Role::second_instance);
    }
    for (const int condition : rule.conditions) {
      edge(-1 - condition, 1 + i, Role::condition_instance);
    }
    for (const int effect : rule.effects) {
      edge(-1 - num_conditions_ - effect, 1 + i, Role::effect_instance);
    }
    for (const uint8_t action : listed[i].actions) {
      if (action < Action::NUM_ACTIONS) {
        edge(first_action + action_at[action], 1 + i, Role::action_instance);
      }
    }
    edge(0, 1 + i, Role::player_instance);
  }
  for (size_t a = 0; a < actions.size(); ++a) {
    for (int i = 0; i < num_instances; ++i) {
      const auto& own = listed[i].actions;
      if (std::find(std::begin(own), std::end(own), actions[a]) != std::end(own)) {
        edge(1 + i, first_action + static_cast<int64_t>(a), Role::instance_action);
      }
    }
  }
  for (int object = 0; object < num_objects; ++object) {
    for (int i = 0; i < num_instances; ++i) {
      if (object_of(listed[i], 0) == object || object_of(listed[i], 1) == object) {
        edge(1 + i, first_object + object, Role::instance_object);
      }
    }
    edge(0, first_object + object, Role::player_object);
  }
  out.node_start.push_back(static_cast<int64_t>(out.node.size()));
  out.edge_start.push_back(static_cast<int64_t>(out.source.size()));
  out.instance_start.push_back(out.instance_start.back() + num_instances);
  out.object_start.push_back(out.object_start.back() + num_objects);
}

}  // namespace tedg::nethack
