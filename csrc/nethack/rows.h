// numpy arrays as rows, one a game, with their shapes and dtypes checked once.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "grounder.h"

namespace tedg::nethack {

namespace py = pybind11;

// An array as rows: its first dimension may have any stride, the others must lie densely. It does
// not keep the array alive.
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

// The arrays of a RawObservation, by their names.
class RawRows {
 public:
  RawRows(const py::object& raw, py::ssize_t rows)
      : glyphs_(raw.attr("glyphs"), "glyphs", rows, kSquares),
        blstats_(raw.attr("blstats"), "blstats", rows, kBlstats),
        message_(raw.attr("message"), "message", rows, kMessage),
        misc_(raw.attr("misc"), "misc", rows, kMisc) {}

  RawRow operator[](py::ssize_t row) const {
    return {reinterpret_cast<const uint8_t*>(glyphs_[row]), blstats_[row], message_[row],
            misc_[row]};
  }

 private:
  Rows<int16_t> glyphs_;
  Rows<int64_t> blstats_;
  Rows<uint8_t> message_;
  Rows<int32_t> misc_;
};

inline py::ssize_t condition_bytes(const Grounder& grounder) {
  return (grounder.matcher().num_conditions() + 7) / 8;
}

// The arrays of an Observation, by their names; `written`: they are written to.
class ObservationRows {
 public:
  ObservationRows(py::ssize_t condition_bytes, py::ssize_t features, const py::object& all,
                  py::ssize_t rows, bool written)
      : active_bits_(all.attr("active_bits"), "active_bits", rows, condition_bytes, written),
        instances_(all.attr("instances"), "instances", rows, kInstances * sizeof(Instance),
                   written),
        objects_(all.attr("objects"), "objects", rows, kObjects * sizeof(ObjectRow), written),
        features_(all.attr("features"), "features", rows, features, written),
        crop_(all.attr("crop"), "crop", rows, kCrop * kCrop, written),
        action_mask_(all.attr("action_mask"), "action_mask", rows, Action::NUM_ACTIONS, written),
        rule_action_(all.attr("rule_action"), "rule_action", rows, 1, written) {}

  // To be written to by a grounder.
  ObservationRows(const Grounder& grounder, const py::object& out, py::ssize_t rows)
      : ObservationRows(condition_bytes(grounder), grounder.tables().num_features(), out, rows,
                        true) {}

  ObservationRow operator[](py::ssize_t row) const {
    return {active_bits_[row],
            reinterpret_cast<Instance*>(instances_[row]),
            reinterpret_cast<ObjectRow*>(objects_[row]),
            features_[row],
            crop_[row],
            reinterpret_cast<uint8_t*>(action_mask_[row]),
            rule_action_[row]};
  }

 private:
  Rows<uint8_t> active_bits_;
  Rows<uint8_t> instances_;
  Rows<uint8_t> objects_;
  Rows<float> features_;
  Rows<uint8_t> crop_;
  Rows<bool> action_mask_;
  Rows<int8_t> rule_action_;
};

}  // namespace tedg::nethack
