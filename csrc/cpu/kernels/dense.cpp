// Layers of a small network over a few rows: products, ReLU and LayerNorm while the rows are in
// the cache.
#include "../vector_math.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

constexpr int kWidth = kLanes<float>;

// A tile of kTileRows x kTileVectors sums stays in registers.
#if defined(__AVX512F__)
constexpr int kTileRows = 6, kTileVectors = 4;
#else
constexpr int kTileRows = 4, kTileVectors = 2;
#endif

// Columns [column, column + kVectors * lanes), of which the last vector may be cut, of kRows rows.
template <int kRows, int kVectors>
TEDG_INLINE void tile(const DenseProblem& p, int64_t row, int64_t column) {
  const int64_t left = p.outputs - column;
  vec<float> sums[kRows][kVectors];
  for (int v = 0; v < kVectors; ++v) {
    const vec<float> bias = load_some(p.bias + column + v * kWidth, left - v * kWidth);
    for (int r = 0; r < kRows; ++r) sums[r][v] = bias;
  }
  const float* x = p.x + row * p.x_stride;
  const float* weight = p.weight + column;
  for (int64_t i = 0; i < p.inputs; ++i, weight += p.outputs) {
    vec<float> w[kVectors];
    for (int v = 0; v + 1 < kVectors; ++v) w[v] = load(weight + v * kWidth);
    w[kVectors - 1] = load_some(weight + (kVectors - 1) * kWidth, left - (kVectors - 1) * kWidth);
    for (int r = 0; r < kRows; ++r) {
      const float xr = x[r * p.x_stride + i];
      for (int v = 0; v < kVectors; ++v) sums[r][v] += xr * w[v];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* out = p.out + (row + r) * p.out_stride + column;
    for (int v = 0; v < kVectors; ++v) {
      const vec<float> sum = sums[r][v];
      const vec<float> kept = p.relu ? select(sum < 0.0f, vec<float>{}, sum) : sum;  // NaN stays
      store_some(out + v * kWidth, kept, left - v * kWidth);
    }
  }
}

template <int kRows>
void columns(const DenseProblem& p, int64_t row) {
  int64_t column = 0;
  for (; p.outputs - column > (kTileVectors - 1) * kWidth; column += kTileVectors * kWidth) {
    tile<kRows, kTileVectors>(p, row, column);
  }
  for (; column < p.outputs; column += kWidth) tile<kRows, 1>(p, row, column);
}

// LayerNorm (Ba et al. 2016, eq. 3-4) of one row in place.
void normalise(const DenseProblem& p, float* row) {
  const int64_t count = p.outputs;
  vec<float> sum = {}, spread = {};
  for (int64_t i = 0; i < count; i += kWidth) sum += load_some(row + i, count - i);
  const float mean = sum_lanes<float>(sum) / count;
  for (int64_t i = 0; i < count; i += kWidth) {
    const vec<float> far = first_lanes<float>(load_some(row + i, count - i) - mean, count - i, 0);
    spread += far * far;
  }
  const float scale = 1 / __builtin_sqrtf(sum_lanes<float>(spread) / count + p.epsilon);
  for (int64_t i = 0; i < count; i += kWidth) {
    const vec<float> unit = (load_some(row + i, count - i) - mean) * scale;
    const vec<float> out =
        unit * load_some(p.scale + i, count - i) + load_some(p.shift + i, count - i);
    store_some(row + i, out, count - i);
  }
}

void forward(const DenseProblem& p, int64_t rows) {
  int64_t row = 0;
  for (; row + kTileRows <= rows; row += kTileRows) columns<kTileRows>(p, row);
  for (; row < rows; ++row) columns<1>(p, row);
  if (p.scale == nullptr) return;
  for (row = 0; row < rows; ++row) normalise(p, p.out + row * p.out_stride);
}

void log1p(const float* x, int64_t count, float* out) {
  for (int64_t i = 0; i < count; i += kWidth) {
    // Sums of what cannot be negative: where 1 + x rounds to 1, x itself is as good as nothing.
    store_some(out + i, log_of(1.0f + load_some(x + i, count - i)), count - i);
  }
}

}  // namespace

const DenseKernels dense_kernels = {forward, log1p};

}  // namespace tedg::TEDG_LEVEL
