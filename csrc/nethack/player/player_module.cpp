// The player for Python: observations as numpy rows in, logits, values and weights out.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "actor.h"

namespace tedg::nethack {
namespace {

using Numbers = py::array_t<float, py::array::c_style>;

// The weights of all groups, by their shapes, as they lie one after the other in `numbers`.
std::vector<Weights> weights_of(const std::vector<std::vector<std::vector<int64_t>>>& shapes,
                                const py::array& numbers) {
  const bool dense = py::isinstance<Numbers>(numbers) && numbers.ndim() == 1;
  if (!dense) throw py::value_error("weights must be dense float32 numbers in one dimension");
  const auto* data = static_cast<const float*>(numbers.data());
  const float* end = data + numbers.size();
  std::vector<Weights> groups;
  for (const auto& group : shapes) {
    Weights weights;
    for (const auto& shape : group) {
      Weight weight{data, shape};
      for (const int64_t length : shape) {
        if (length < 0) throw py::value_error("a weight has a negative length");
      }
      if (weight.size() > end - data) throw py::value_error("there are too few weights");
      data += weight.size();
      weights.push_back(std::move(weight));
    }
    groups.push_back(std::move(weights));
  }
  if (data != end) throw py::value_error("there are more weights than their shapes tell of");
  return groups;
}

std::tuple<Numbers, Numbers, Numbers> play(Player& player, const py::object& observation) {
  const py::ssize_t rows = py::len(observation.attr("crop")), actions = Action::NUM_ACTIONS;
  const ObservationRows all(condition_bytes(player), player.features(), observation, rows, false);
  std::vector<ObservationRow> seen;
  for (py::ssize_t row = 0; row < rows; ++row) seen.push_back(all[row]);
  Numbers logits({rows, actions}), value(rows), alpha({rows, py::ssize_t{player.experts()}});
  float *to_logits = logits.mutable_data(), *to_value = value.mutable_data();
  float* to_alpha = alpha.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    player(seen, to_logits, to_value, to_alpha);
  }
  return {logits, value, alpha};
}

}  // namespace

void bind_player(py::module_& module) {
  py::class_<Player>(module, "Player")
      .def(py::init([](const SceneGraphBuilder& scenes,
                       const std::vector<std::vector<std::vector<int64_t>>>& shapes,
                       const py::array& weights, std::vector<int> owner, int64_t features,
                       std::pair<int64_t, int64_t> player_features, float advice_weight,
                       bool direct) {
             return Player(scenes, weights_of(shapes, weights),
                           {std::move(owner), features, player_features.first,
                            player_features.second, advice_weight, direct});
           }),
           py::kw_only(), py::arg("scenes"), py::arg("shapes"), py::arg("weights"),
           py::arg("owner"), py::arg("features"), py::arg("player_features"),
           py::arg("advice_weight"), py::arg("direct"), py::keep_alive<1, 4>())
      .def("__call__", &play, py::arg("observation"),
           "Logits [B, A] (masked), value [B] and alpha [B, K] of an observation [B, ...].");
  py::class_<Actor>(module, "Actor")
      .def(py::init<Player&, const py::object&, const py::object&, const py::object&>(),
           py::keep_alive<1, 2>(), py::keep_alive<1, 3>(), py::keep_alive<1, 4>(),
           py::keep_alive<1, 5>(), py::arg("player"), py::arg("observation"), py::arg("last"),
           py::arg("rollout"))
      .def("act", &Actor::act)
      .def("judge", &Actor::judge)
      .def("judge_last", &Actor::judge_last);
}

}  // namespace tedg::nethack
