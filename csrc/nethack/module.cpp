// The Python module: numpy rows in, numpy rows out, the work itself without the GIL.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "constants.h"
#include "detectors.h"
#include "grounder.h"

namespace py = pybind11;

namespace tedg::nethack {
namespace {

// An array as rows: its first dimension may have any stride, the others must lie densely.
template <class T>
class Rows {
 public:
  Rows(const py::array& array, const char* name, py::ssize_t rows, py::ssize_t width,
       bool written = false) {
    if (!py::isinstance<py::array_t<T>>(array)) fail(name, "another dtype");
    if (array.ndim() < 1 || array.shape(0) != rows) fail(name, "another number of rows");
    py::ssize_t dense = 1;
    for (py::ssize_t d = array.ndim() - 1; d >= 1; --d) {
      // The strides of an array without elements mean nothing.
      if (rows > 0 && array.shape(d) != 1 && array.strides(d) != dense * py::ssize_t{sizeof(T)}) {
        fail(name, "gaps within its rows");
      }
      dense *= array.shape(d);
    }
    if (dense != width) fail(name, "rows of " + std::to_string(dense) + " elements");
    if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) fail(name, "no alignment");
    if (written && !array.writeable()) fail(name, "read-only memory");
    data_ = static_cast<const uint8_t*>(array.data());
    stride_ = array.strides(0);
  }

  T* operator[](py::ssize_t row) const {
    return reinterpret_cast<T*>(const_cast<uint8_t*>(data_) + row * stride_);
  }

 private:
  [[noreturn]] static void fail(const std::string& name, const std::string& what) {
    throw py::value_error(name + " has " + what + ", expected " + type_name() +
                          " rows as RawObservation and ObservationSpec describe them");
  }
  static std::string type_name() { return py::str(py::dtype::of<T>()); }

  const uint8_t* data_;
  py::ssize_t stride_;
};

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

Grounder make_grounder(int num_games, const py::array_t<uint32_t, py::array::c_style>& properties,
                       const py::array_t<uint8_t, py::array::c_style>& classes,
                       const py::bytes& class_of_terrain, uint16_t stone, const py::bytes& keys,
                       const std::vector<std::tuple<int, int64_t, int64_t>>& scaled,
                       const std::vector<int>& log_columns,
                       const py::array_t<float, py::array::c_style>& logs,
                       const std::vector<std::string>& conditions) {
  Tables tables{.properties = list_of(properties),
                .classes = list_of(classes),
                .class_of_terrain = bytes_of<Terrain::COUNT>("class_of_terrain", class_of_terrain),
                .stone = stone,
                .keys = bytes_of<Action::NUM_ACTIONS>("keys", keys),
                .scaled = {},
                .log_columns = log_columns,
                .logs = list_of(logs)};
  const size_t glyphs = 1 << 16;
  if (num_games < 0 || tables.properties.size() != glyphs || tables.classes.size() != glyphs ||
      tables.logs.empty()) {
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
  const std::vector<std::string> names = condition_names();
  std::vector<int> places;
  for (const std::string& condition : conditions) {
    const auto found = std::find(names.begin(), names.end(), condition);
    if (found == names.end()) {
      throw py::value_error("no compiled detector for " + condition +
                            ": add it in csrc/nethack/detectors");
    }
    places.push_back(static_cast<int>(found - names.begin()));
  }
  return Grounder(num_games, std::move(tables), places);
}

void check_game(const Grounder& grounder, int64_t game) {
  if (game < 0 || game >= grounder.num_games()) {
    throw py::index_error("game " + std::to_string(game) + " of " +
                          std::to_string(grounder.num_games()));
  }
}

void ground(Grounder& grounder, const py::array& glyphs, const py::array& blstats,
            const py::array& message, const py::array& misc, const py::array& last_action,
            const py::array& active_bits, const py::array& features, const py::array& crop,
            const py::array& action_mask, const std::optional<py::array>& games) {
  if (last_action.ndim() != 1) throw py::value_error("last_action must be int64 [G]");
  const py::ssize_t rows = last_action.shape(0);
  const Rows<int16_t> glyph_rows(glyphs, "glyphs", rows, kSquares);
  const Rows<int64_t> blstats_rows(blstats, "blstats", rows, kBlstats);
  const Rows<uint8_t> message_rows(message, "message", rows, kMessage);
  const Rows<int32_t> misc_rows(misc, "misc", rows, kMisc);
  const Rows<int64_t> action_rows(last_action, "last_action", rows, 1);
  const Rows<uint8_t> bits_rows(active_bits, "active_bits", rows,
                                (grounder.num_conditions() + 7) / 8, true);
  const Rows<float> feature_rows(features, "features", rows, grounder.tables().num_features(),
                                 true);
  const Rows<uint8_t> crop_rows(crop, "crop", rows, kCrop * kCrop, true);
  const Rows<bool> mask_rows(action_mask, "action_mask", rows, Action::NUM_ACTIONS, true);
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
    grounder.ground(game,
                    {reinterpret_cast<const uint8_t*>(glyph_rows[row]), blstats_rows[row],
                     message_rows[row], misc_rows[row]},
                    *action_rows[row],
                    {bits_rows[row], feature_rows[row], crop_rows[row],
                     reinterpret_cast<uint8_t*>(mask_rows[row])});
  }
}

std::pair<uint32_t, uint32_t> read_message(const Grounder& grounder, const std::string& message) {
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

PYBIND11_MODULE(_native_grounding, module) {
  using tedg::nethack::Grounder;
  module.doc() = "The compiled part of native_grounding.py, which is the interface to use.";
  module.def("condition_names", &tedg::nethack::condition_names,
             "Names of all conditions that the compiled detectors decide.");
  module.def("constants", &tedg::nethack::constants,
             "The numbers that the compiled code shares with Python's: name -> value.");
  py::class_<Grounder>(module, "Grounder")
      .def(py::init(&tedg::nethack::make_grounder), py::kw_only(), py::arg("num_games"),
           py::arg("properties"), py::arg("classes"), py::arg("class_of_terrain"),
           py::arg("stone"), py::arg("keys"), py::arg("scaled"), py::arg("log_columns"),
           py::arg("logs"), py::arg("conditions"))
      .def("reset",
           [](Grounder& grounder, int64_t game) {
             tedg::nethack::check_game(grounder, game);
             grounder.reset(static_cast<int>(game));
           })
      .def("ground", &tedg::nethack::ground)
      .def("read_message", &tedg::nethack::read_message,
           "What a message of at most 256 bytes tells: (Said bits, bits of offered actions).");
}
