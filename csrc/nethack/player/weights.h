// The parameters of a policy, as numbers that lie in memory of somebody else.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace tedg::nethack {

// Dense float32 numbers. They may change from one pass to the next; their place may not.
struct Weight {
  const float* data;
  std::vector<int64_t> shape;

  int64_t size() const {
    int64_t product = 1;
    for (const int64_t length : shape) product *= length;
    return product;
  }
};
using Weights = std::vector<Weight>;

template <class... Words>
[[noreturn]] void unfit(const Words&... words) {
  std::ostringstream text;
  (text << ... << words);
  throw std::invalid_argument(text.str());
}

// The numbers of a weight of this shape.
inline const float* numbers(const char* name, const Weight& weight,
                            const std::vector<int64_t>& shape) {
  if (weight.shape != shape) {
    std::ostringstream text;
    for (const int64_t length : shape) text << ' ' << length;
    text << ", got";
    for (const int64_t length : weight.shape) text << ' ' << length;
    unfit(name, " must have shape", text.str());
  }
  return weight.data;
}

inline void check_matrix(const char* name, const Weight& weight) {
  if (weight.shape.size() != 2) unfit(name, " must have two dimensions");
}

}  // namespace tedg::nethack
