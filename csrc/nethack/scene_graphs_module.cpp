// Scene graphs for Python: an observation's numpy arrays in, arrays for tensors out.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "grounder.h"
#include "scene_graphs.h"

namespace py = pybind11;

namespace tedg::nethack {
namespace {

using Bytes = py::array_t<uint8_t, py::array::c_style>;
// Kinds of the variables, conditions, effects.
using CompiledNodes = std::tuple<std::array<int, 2>, std::vector<int>, std::vector<int>>;

// A vector's numbers as an array that owns them.
template <class T>
py::array_t<T> array_of(std::vector<T>&& numbers, std::vector<py::ssize_t> shape) {
  auto* kept = new std::vector<T>(std::move(numbers));
  const py::capsule owner(kept, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<T>(std::move(shape), kept->data(), owner);
}

template <class T>
py::array_t<T> array_of(std::vector<T>&& numbers) {
  const auto count = static_cast<py::ssize_t>(numbers.size());
  return array_of(std::move(numbers), {count});
}

Bytes bytes_of(const py::array& array, const char* name, py::ssize_t rows, py::ssize_t width) {
  if (!py::isinstance<py::array_t<uint8_t>>(array)) {
    throw py::value_error(std::string(name) + " must have dtype uint8, got " +
                          std::string(py::str(array.dtype())));
  }
  py::ssize_t dense = 1;
  for (py::ssize_t d = 1; d < array.ndim(); ++d) dense *= array.shape(d);
  if (array.ndim() < 1 || array.shape(0) != rows || dense != width) {
    throw py::value_error(std::string(name) + " must have " + std::to_string(rows) + " rows of " +
                          std::to_string(width) + " bytes, as ObservationSpec describes them");
  }
  return Bytes::ensure(array);
}

SceneGraphBuilder make_builder(const std::vector<CompiledNodes>& rules, int num_conditions,
                               int num_effects, std::vector<int> kind_of_action, int num_monsters,
                               bool objects) {
  std::vector<SceneGraphBuilder::RuleNodes> nodes;
  for (const auto& [kinds, conditions, effects] : rules) {
    nodes.push_back({kinds, conditions, effects});
  }
  return {std::move(nodes),          num_conditions, num_effects,
          std::move(kind_of_action), num_monsters,   objects};
}

py::dict build(const SceneGraphBuilder& builder, const py::array& instances,
               const py::array& objects, const py::array& active_bits) {
  const py::ssize_t rows = active_bits.ndim() > 0 ? active_bits.shape(0) : 0;
  const Bytes instance_rows = bytes_of(instances, "instances", rows, kInstances * sizeof(Instance));
  const Bytes object_rows = bytes_of(objects, "objects", rows, kObjects * sizeof(ObjectRow));
  const Bytes bits_rows =
      bytes_of(active_bits, "active_bits", rows, (builder.num_conditions() + 7) / 8);
  SceneGraphs graphs;
  {
    const uint8_t* instance = instance_rows.data();
    const uint8_t* object = object_rows.data();
    const uint8_t* bits = bits_rows.data();
    const py::gil_scoped_release unlocked;
    for (py::ssize_t row = 0; row < rows; ++row) {
      builder.add(instance + row * kInstances * sizeof(Instance), kInstances,
                  object + row * kObjects * sizeof(ObjectRow), kObjects,
                  bits + row * ((builder.num_conditions() + 7) / 8), graphs);
    }
  }
  const auto columns = static_cast<py::ssize_t>(builder.columns().size());
  const py::ssize_t num_instances = graphs.instance_start.back();
  const py::ssize_t num_objects = graphs.object_start.back();
  return py::dict(
      py::arg("node_start") = array_of(std::move(graphs.node_start)),
      py::arg("edge_start") = array_of(std::move(graphs.edge_start)),
      py::arg("source") = array_of(std::move(graphs.source)),
      py::arg("target") = array_of(std::move(graphs.target)),
      py::arg("role") = array_of(std::move(graphs.role)),
      py::arg("node") = array_of(std::move(graphs.node)),
      py::arg("instance_start") = array_of(std::move(graphs.instance_start)),
      py::arg("actions") = array_of(std::move(graphs.actions), {num_instances, Instance::kActions}),
      py::arg("object_start") = array_of(std::move(graphs.object_start)),
      py::arg("facts") = array_of(std::move(graphs.facts), {num_objects, columns}),
      py::arg("subject") = array_of(std::move(graphs.subject)),
      py::arg("holds") = array_of(std::move(graphs.holds), {rows, builder.num_conditions()}));
}

}  // namespace

void bind_scene_graphs(py::module_& module) {
  std::vector<std::string> roles;
#define TEDG_ROLE_NAME(name) roles.push_back(#name);
  TEDG_ROLES(TEDG_ROLE_NAME)
#undef TEDG_ROLE_NAME
  module.attr("roles") = py::tuple(py::cast(roles));
  module.attr("player_node") = kPlayerNode;
  module.attr("object_node") = kObjectNode;
  py::class_<SceneGraphBuilder>(module, "SceneGraphBuilder")
      .def(py::init(&make_builder), py::kw_only(), py::arg("rules"), py::arg("num_conditions"),
           py::arg("num_effects"), py::arg("kind_of_action"), py::arg("num_monsters"),
           py::arg("objects"))
      .def("__call__", &build, py::arg("instances"), py::arg("objects"), py::arg("active_bits"))
      .def_property_readonly("columns", &SceneGraphBuilder::columns,
                             "What the columns of an object's facts are.");
}

}  // namespace tedg::nethack
