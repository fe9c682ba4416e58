// The arithmetic of the routing maps. (On CUDA a row is spread over the lanes of a warp instead:
// csrc/cuda/kernels/row_map.cuh has the same formulas with sums over lanes.)
//
// V holds one number of as many rows as a vector has lanes. It offers arithmetic, comparison
// (giving a mask), and the functions select, any, exp_of and log_of.
//
// Sources: softmax and its derivative are textbook; sparsemax is Martins & Astudillo 2016,
// equations 1 to 3 and 8, its threshold found by Michelot's projection (1986), which needs no sort:
// drop what lies below the threshold of the rest until nothing more falls. It is exact, since
// the last threshold is computed from the support alone.
#pragma once

#define TEDG_ROW_FUNCTION inline __attribute__((always_inline))

namespace tedg::TEDG_LEVEL {

// Largest of z[0..count); NaN if any is NaN.
template <class V>
TEDG_ROW_FUNCTION V row_max(const V* z, long count) {
  V top = z[0];
  for (long k = 1; k < count; ++k) top = select((z[k] > top) | (z[k] != z[k]), z[k], top);
  return top;
}

// z <- softmax(z). A row of nothing but -inf, or with a NaN, becomes NaN.
template <class V>
TEDG_ROW_FUNCTION void softmax_row(V* z, long count) {
  const V top = row_max(z, count);
  V total = V{};
  for (long k = 0; k < count; ++k) {
    z[k] = exp_of(z[k] - top);
    total = total + z[k];
  }
  const V scale = (V{} + 1) / total;
  for (long k = 0; k < count; ++k) z[k] = z[k] * scale;
}

// z <- sparsemax(z). A row of nothing but -inf, or with a NaN, becomes NaN.
template <class V>
TEDG_ROW_FUNCTION void sparsemax_row(V* z, long count) {
  const V top = row_max(z, count);
  for (long k = 0; k < count; ++k) z[k] = z[k] - top;
  // The largest entry is now 0 and the threshold at least -1: entries below that never count,
  // so the sums stay exact for scores of any size. A top that is not finite makes it NaN.
  V threshold = (top - top) - 1;
  for (long round = 0; round < count; ++round) {
    V sum = V{};
    V size = V{};
    for (long k = 0; k < count; ++k) {
      const auto inside = z[k] > threshold;
      sum = sum + select(inside, z[k], V{});
      size = size + select(inside, V{} + 1, V{});
    }
    const V next = (sum - 1) / size;
    const auto grows = next > threshold;
    if (!any(grows)) break;
    threshold = select(grows, next, threshold);
  }
  for (long k = 0; k < count; ++k) {
    const V weight = z[k] - threshold;
    z[k] = select(weight < V{}, V{}, weight);  // NaN compares false and stays
  }
}

// grad <- J(alpha)^T grad, J the derivative of softmax at the weights alpha. Where a weight is 0
// the gradient is, whatever came in.
template <class V>
TEDG_ROW_FUNCTION void softmax_row_backward(V* grad, const V* alpha, long count) {
  V mean = V{};
  for (long k = 0; k < count; ++k) {
    grad[k] = select(alpha[k] == V{}, V{}, grad[k]);
    mean = mean + alpha[k] * grad[k];
  }
  for (long k = 0; k < count; ++k) grad[k] = alpha[k] * (grad[k] - mean);
}

// The same for sparsemax: subtract the mean over the support, drop the rest.
template <class V>
TEDG_ROW_FUNCTION void sparsemax_row_backward(V* grad, const V* alpha, long count) {
  V sum = V{};
  V size = V{};
  for (long k = 0; k < count; ++k) {
    const auto inside = alpha[k] != V{};
    sum = sum + select(inside, grad[k], V{});
    size = size + select(inside, V{} + 1, V{});
  }
  const V mean = sum / select(size == V{}, V{} + 1, size);
  for (long k = 0; k < count; ++k) grad[k] = select(alpha[k] != V{}, grad[k] - mean, V{});
}

template <bool kSparse, class V>
TEDG_ROW_FUNCTION void map_row(V* z, long count) {
  if constexpr (kSparse) {
    sparsemax_row(z, count);
  } else {
    softmax_row(z, count);
  }
}

template <bool kSparse, class V>
TEDG_ROW_FUNCTION void map_row_backward(V* grad, const V* alpha, long count) {
  if constexpr (kSparse) {
    sparsemax_row_backward(grad, alpha, count);
  } else {
    softmax_row_backward(grad, alpha, count);
  }
}

}  // namespace tedg::TEDG_LEVEL
