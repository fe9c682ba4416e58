// The Python module: numpy rows in, numpy rows out, the work itself without the GIL.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bound.h"
#include "constants.h"
#include "grounder.h"
#include "rows.h"
#include "rules/choice.h"

namespace py = pybind11;

namespace tedg::nethack {
namespace {

template <class T>
std::vector<T> list_of(const py::array_t<T, py::array::c_style>& array) {
  return std::vector<T>(array.data(), array.data() + array.size());
}

template <size_t N>
std::array<uint8_t, N> bytes_of(const char* name, const std::string& bytes) {
  if (bytes.size() != N) throw py::value_error(std::string(name) + " has another length");
  std::array<uint8_t, N> result;
  std::copy(bytes.begin(), bytes.end(), result.begin());
  return result;
}

template <class T>
using Dense = py::array_t<T, py::array::c_style>;

// (int32 code [n, 4], kinds) -> its number among the programs.
int add_program(Programs& programs, const Dense<int32_t>& code, std::array<int, 2> kinds) {
  if (code.ndim() != 2 || code.shape(1) != 4) throw py::value_error("code must be int32 [n, 4]");
  std::vector<Instruction> instructions(code.shape(0));
  std::memcpy(instructions.data(), code.data(), sizeof(Instruction) * instructions.size());
  return programs.add(std::move(instructions), kinds);
}

using CompiledCondition = std::tuple<Dense<int32_t>, std::array<int, 2>>;
using CompiledUse = std::tuple<int, std::array<int, 2>>;
using CompiledRule = std::tuple<double, std::array<int, 2>, std::vector<CompiledUse>,
                                std::vector<std::array<int, 3>>, int, bool>;

Matcher make_matcher(const Dense<double>& constants,
                     const std::vector<CompiledCondition>& conditions,
                     const std::vector<CompiledRule>& rules) {
  Programs programs(list_of(constants));
  std::vector<Condition> all_conditions;
  for (const auto& [code, kinds] : conditions) {
    const int program = add_program(programs, code, kinds);
    all_conditions.push_back({program, kinds});
  }
  std::vector<Rule> all_rules;
  for (const auto& [priority, kinds, when, templates, expert, decide] : rules) {
    Rule rule{priority, kinds, {}, {}, expert, decide};
    for (const auto& [condition, variables] : when) rule.when.push_back({condition, variables});
    for (const auto& [kind, variable, action] : templates) {
      rule.templates.push_back({kind, variable, action});
    }
    all_rules.push_back(std::move(rule));
  }
  return Matcher(std::move(programs), std::move(all_conditions), std::move(all_rules));
}

Grounder make_grounder(
    int num_games, const py::array_t<uint32_t, py::array::c_style>& properties,
    const py::array_t<uint8_t, py::array::c_style>& classes, const py::bytes& class_of_terrain,
    uint16_t stone, const py::bytes& keys, int64_t max_steps,
    const std::vector<std::tuple<int, int64_t, int64_t>>& scaled,
    const std::vector<int>& log_columns, const py::array_t<float, py::array::c_style>& logs,
    const Dense<uint16_t>& subject, const Dense<uint8_t>& class_of_object,
    const Dense<double>& monsters, const Dense<uint8_t>& role_of_monster,
    const Dense<double>& speed_of_role, const Dense<double>& poison_proof_from,
    const Dense<double>& constants, const std::vector<CompiledCondition>& conditions,
    const std::vector<CompiledRule>& rules, bool always, double margin, bool masks) {
  Tables tables{.properties = list_of(properties),
                .classes = list_of(classes),
                .class_of_terrain = bytes_of<Terrain::COUNT>("class_of_terrain", class_of_terrain),
                .stone = stone,
                .keys = bytes_of<Action::NUM_ACTIONS>("keys", keys),
                .max_steps = max_steps,
                .subject = list_of(subject),
                .class_of_object = list_of(class_of_object),
                .monsters = list_of(monsters),
                .num_monsters = static_cast<int>(role_of_monster.size()),
                .role_of_monster = list_of(role_of_monster),
                .speed_of_role = list_of(speed_of_role),
                .poison_proof_from = list_of(poison_proof_from),
                .scaled = {},
                .log_columns = log_columns,
                .logs = list_of(logs)};
  const size_t glyphs = 1 << 16;
  if (num_games < 0 || tables.properties.size() != glyphs || tables.classes.size() != glyphs ||
      tables.logs.empty() || tables.subject.size() != glyphs ||
      tables.class_of_object.size() != glyphs || tables.speed_of_role.empty() ||
      tables.poison_proof_from.size() != tables.speed_of_role.size() ||
      tables.monsters.size() != size_t{MonsterTable::COUNT} * tables.num_monsters) {
    throw py::value_error("a table has another size");
  }
  for (const uint32_t properties_of_one : tables.properties) {
    if (properties_of_one >> kTerrainShift >= Terrain::COUNT) {
      throw py::value_error("a glyph has an unknown terrain");
    }
  }
  if (tables.properties[stone] >> kTerrainShift != Terrain::UNKNOWN || tables.classes[stone] != 0) {
    throw py::value_error("the glyph of stone must be blank and of unknown terrain");
  }
  for (const auto& [column, offset, scale] : scaled) {
    if (column < 0 || column >= kBlstats) throw py::value_error("no such blstats column");
    tables.scaled.push_back({column, offset, scale});
  }
  for (const int column : log_columns) {
    if (column < 0 || column >= kBlstats) throw py::value_error("no such blstats column");
  }
  for (const uint8_t role : tables.role_of_monster) {
    if (role >= tables.speed_of_role.size()) throw py::value_error("a monster has no such role");
  }
  return Grounder(num_games, std::move(tables), make_matcher(constants, conditions, rules),
                  {always, margin, masks});
}

void check_game(const Grounder& grounder, int64_t game) {
  if (game < 0 || game >= grounder.num_games()) {
    throw py::index_error("game " + std::to_string(game) + " of " +
                          std::to_string(grounder.num_games()));
  }
}

void ground(Grounder& grounder, const py::object& raw, const py::array& last_action,
            const py::object& out, const std::optional<py::array>& games) {
  if (last_action.ndim() != 1) throw py::value_error("last_action must be int64 [G]");
  const py::ssize_t rows = last_action.shape(0);
  const RawRows raw_rows(raw, rows);
  const Rows<int64_t> action_rows(last_action, "last_action", rows, 1);
  const ObservationRows out_rows(grounder, out, rows);
  std::optional<Rows<int64_t>> game_rows;
  if (games) {
    game_rows.emplace(*games, "games", rows, 1);
    for (py::ssize_t row = 0; row < rows; ++row) check_game(grounder, *(*game_rows)[row]);
  } else if (rows != grounder.num_games()) {
    throw py::value_error("got " + std::to_string(rows) + " rows for " +
                          std::to_string(grounder.num_games()) + " games");
  }
  const py::gil_scoped_release unlocked;
  for (py::ssize_t row = 0; row < rows; ++row) {
    const auto game = static_cast<int>(game_rows ? *(*game_rows)[row] : row);
    grounder.take_in(game, raw_rows[row], *action_rows[row]);
    grounder.write(out_rows[row]);
  }
}

// Playing by the rules: instances [B, ...], action_mask bool [B, A], draws [B] in [0, 1) -> actions
// int64 [B] and the places of the instances that proposed them, -1 where none did.
std::pair<Dense<int64_t>, Dense<int64_t>> choose_rows(const Grounder& grounder,
                                                      const py::array& instances,
                                                      const py::array& action_mask,
                                                      const Dense<double>& draws) {
  const py::ssize_t rows = draws.size();
  const Rows<uint8_t> instance_rows(instances, "instances", rows, kInstances * sizeof(Instance));
  const Rows<bool> mask_rows(action_mask, "action_mask", rows, Action::NUM_ACTIONS);
  Dense<int64_t> actions(rows), winners(rows);
  for (py::ssize_t row = 0; row < rows; ++row) {
    uint32_t allowed = 0;
    for (int a = 0; a < Action::NUM_ACTIONS; ++a) allowed |= uint32_t{mask_rows[row][a]} << a;
    if (allowed == 0) throw py::value_error("a row of action_mask allows nothing");
    const Choice choice =
        choose(grounder.matcher(), reinterpret_cast<const Instance*>(instance_rows[row]),
               kInstances, allowed, draws.data()[row]);
    actions.mutable_data()[row] = choice.action;
    winners.mutable_data()[row] = choice.instance;
  }
  return {actions, winners};
}

// The facts of the observation grounded last: kind -> its objects, each attribute -> value.
py::dict facts_of(const Facts& facts) {
  py::dict all;
  for (int kind = 0; kind < Kind::COUNT; ++kind) {
    const KindInfo& info = vocabulary()[kind];
    py::list objects;
    for (int i = 0; i < facts.count(kind); ++i) {
      py::dict object;
      for (size_t a = 0; a < info.attributes.size(); ++a) {
        object[py::str(info.attributes[a].name)] = facts.value(kind, i, static_cast<int>(a));
      }
      objects.append(object);
    }
    all[py::str(info.name)] = objects;
  }
  return all;
}

py::list describe_vocabulary() {
  py::list kinds;
  for (const KindInfo& kind : vocabulary()) {
    py::list attributes;
    for (const AttributeInfo& attribute : kind.attributes) {
      const char* type = attribute.type == FactType::kNumber  ? "number"
                         : attribute.type == FactType::kTruth ? "truth"
                                                              : "word";
      attributes.append(
          py::dict(py::arg("name") = attribute.name, py::arg("type") = type,
                   py::arg("unit") = attribute.unit, py::arg("meaning") = attribute.meaning,
                   py::arg("words") = attribute.type == FactType::kWord ? py::cast(attribute.words)
                                                                        : py::object(py::none()),
                   py::arg("table") = attribute.table));
    }
    kinds.append(py::dict(py::arg("kind") = kind.name, py::arg("limit") = kind.limit,
                          py::arg("singleton") = kind.singleton,
                          py::arg("positioned") = kind.positioned,
                          py::arg("meaning") = kind.meaning, py::arg("attributes") = attributes));
  }
  return kinds;
}

// Runs a program over facts that are given: objects is kind -> rows of its computed attributes,
// subjects kind -> monster kind of each object (-1: none), monsters the table of monster kinds.
double evaluate(const Dense<int32_t>& code, const Dense<double>& constants,
                std::array<int, 2> kinds, std::array<int, 2> bound,
                const std::map<int, Dense<double>>& objects,
                const std::map<int, std::vector<int>>& subjects, const Dense<double>& monsters) {
  Tables tables{};
  tables.monsters = list_of(monsters);
  tables.num_monsters = static_cast<int>(tables.monsters.size() / MonsterTable::COUNT);
  const auto facts = std::make_unique<Facts>();
  for (int kind = 0; kind < Kind::COUNT; ++kind) {
    const auto rows = objects.find(kind);
    if (rows == objects.end()) continue;
    const auto named = subjects.find(kind);
    facts->assign(tables, kind, rows->second.data(),
                  rows->second.ndim() == 2 ? rows->second.shape(0) : 0,
                  rows->second.ndim() == 2 ? rows->second.shape(1) : 0,
                  named == subjects.end() ? std::vector<int>() : named->second);
  }
  Programs programs(list_of(constants));
  const int program = add_program(programs, code, kinds);
  Slots slots;
  for (int i = 0; i < 2; ++i) {
    if (kinds[i] >= 0) slots[i] = {kinds[i], bound[i]};
  }
  return programs.run(program, *facts, slots);
}

// Runs a program over the facts of the observation that was grounded last.
double value_of(const Grounder& grounder, const Dense<int32_t>& code,
                const Dense<double>& constants, std::array<int, 2> kinds,
                std::array<int, 2> bound) {
  Programs programs(list_of(constants));
  const int program = add_program(programs, code, kinds);
  Slots slots;
  for (int i = 0; i < 2; ++i) {
    if (kinds[i] >= 0) slots[i] = {kinds[i], bound[i]};
  }
  return programs.run(program, grounder.facts(), slots);
}

std::pair<uint64_t, uint32_t> read_message(const Grounder& grounder, const std::string& message) {
  if (message.size() > kMessage) throw py::value_error("a message has at most 256 bytes");
  uint8_t padded[kMessage] = {};
  std::copy(message.begin(), message.end(), padded);
  const Told told = grounder.reader().read(padded);
  return {told.said, told.offered};
}

// "Class.NAME" or "PREFIX_NAME" -> value, to be held against Python's own.
py::dict constants() {
  py::dict all;
#define TEDG_EXPORT_TERRAIN(name, value) all["Terrain." #name] = static_cast<int64_t>(value);
#define TEDG_EXPORT_FLAG(name, value) all["Flag." #name] = static_cast<int64_t>(value);
#define TEDG_EXPORT_SAID(name, value) all["Said." #name] = static_cast<int64_t>(value);
#define TEDG_EXPORT_MARK(name, value) all["memory." #name] = static_cast<int64_t>(value);
#define TEDG_EXPORT_GOAL(name, value) all["Goal." #name] = static_cast<int64_t>(value);
#define TEDG_EXPORT_ACTION(name, value) all["actions." #name] = static_cast<int64_t>(value);
#define TEDG_EXPORT_BLSTAT(name, value) all["nle.NLE_BL_" #name] = static_cast<int64_t>(value);
#define TEDG_EXPORT_STATUS(name, value) all["nle.BL_MASK_" #name] = static_cast<int64_t>(value);
  TEDG_TERRAINS(TEDG_EXPORT_TERRAIN)
  TEDG_FLAGS(TEDG_EXPORT_FLAG)
  TEDG_SAID(TEDG_EXPORT_SAID)
  TEDG_MARKS(TEDG_EXPORT_MARK)
  TEDG_GOALS(TEDG_EXPORT_GOAL)
  TEDG_ACTIONS(TEDG_EXPORT_ACTION)
  TEDG_BLSTATS(TEDG_EXPORT_BLSTAT)
  TEDG_STATUS(TEDG_EXPORT_STATUS)
  return all;
}

}  // namespace
}  // namespace tedg::nethack

namespace tedg::nethack {
void bind_scene_graphs(pybind11::module_& module);  // scene_graphs_module.cpp
void bind_player(pybind11::module_& module);        // player/player_module.cpp
}  // namespace tedg::nethack

PYBIND11_MODULE(_native_grounding, module) {
  using tedg::nethack::Grounder;
  module.doc() =
      "The compiled part of tedg_fast.nethack.facts.grounder, which is the interface to use.";
  module.def("vocabulary", &tedg::nethack::describe_vocabulary,
             "Every kind of object and its attributes, in the order of their numbers.");
  module.def("evaluate", &tedg::nethack::evaluate, py::arg("code"), py::arg("constants"),
             py::arg("kinds"), py::arg("bound"), py::arg("objects"), py::arg("subjects"),
             py::arg("monsters"), "The value of a program over given facts.");
  module.def("constants", &tedg::nethack::constants,
             "The numbers that the compiled code shares with Python's: name -> value.");
  tedg::nethack::bind_scene_graphs(module);
  tedg::nethack::bind_player(module);
  py::class_<Grounder>(module, "Grounder")
      .def(py::init(&tedg::nethack::make_grounder), py::kw_only(), py::arg("num_games"),
           py::arg("properties"), py::arg("classes"), py::arg("class_of_terrain"), py::arg("stone"),
           py::arg("keys"), py::arg("max_steps"), py::arg("scaled"), py::arg("log_columns"),
           py::arg("logs"), py::arg("subject"), py::arg("class_of_object"), py::arg("monsters"),
           py::arg("role_of_monster"), py::arg("speed_of_role"), py::arg("poison_proof_from"),
           py::arg("constants"), py::arg("conditions"), py::arg("rules"), py::arg("always"),
           py::arg("margin"), py::arg("masks"))
      .def("reset",
           [](Grounder& grounder, int64_t game) {
             tedg::nethack::check_game(grounder, game);
             grounder.reset(static_cast<int>(game));
           })
      .def("end",
           [](Grounder& grounder, int64_t game, int64_t last_action) {
             tedg::nethack::check_game(grounder, game);
             grounder.end(static_cast<int>(game), last_action);
           })
      .def(
          "decided",
          [](const Grounder& grounder, int64_t game) {
            tedg::nethack::check_game(grounder, game);
            const auto& decided = grounder.decided(static_cast<int>(game));
            const py::ssize_t rows = tedg::nethack::Decider::COUNT;
            const auto columns = static_cast<py::ssize_t>(decided.size()) / rows;
            return py::array_t<int64_t>({rows, columns}, decided.data());
          },
          "A game's steps by who decided: int64 [2, rules + 1].")
      .def("ground", &tedg::nethack::ground)
      .def("choose", &tedg::nethack::choose_rows)
      .def(
          "facts",
          [](const Grounder& grounder) { return tedg::nethack::facts_of(grounder.facts()); },
          "The facts of the observation that was grounded last.")
      .def(
          "holds",
          [](const Grounder& grounder, int condition, std::array<int, 2> objects) {
            if (condition < 0 || condition >= grounder.matcher().num_conditions() ||
                std::min(objects[0], objects[1]) < 0 ||
                std::max(objects[0], objects[1]) >= tedg::nethack::kMostObjects) {
              throw py::index_error("no such condition or object");
            }
            return grounder.matcher().holds(condition, objects);
          },
          "Whether a condition held of these objects in the observation grounded last.")
      .def("value", &tedg::nethack::value_of,
           "The value of a program over the facts of the observation grounded last.")
      .def_property_readonly("left_out",
                             [](const Grounder& grounder) {
                               return std::pair(grounder.left_out_objects(),
                                                grounder.left_out_instances());
                             })
      .def("read_message", &tedg::nethack::read_message,
           "What a message of at most 256 bytes tells: (Said bits, bits of offered actions).");
  using tedg::nethack::Bound;
  py::class_<Bound>(module, "Bound")
      .def(py::init<Grounder&, const py::object&, const py::object&, const py::object&,
                    const py::array&>(),
           py::keep_alive<1, 2>(), py::keep_alive<1, 3>(), py::keep_alive<1, 4>(),
           py::keep_alive<1, 5>(), py::keep_alive<1, 6>())
      .def("take_in", &Bound::take_in)
      .def("write", &Bound::write)
      .def("write_last", &Bound::write_last)
      .def("write_shown", &Bound::write_shown);
}
