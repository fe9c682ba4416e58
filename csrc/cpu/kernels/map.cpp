// sparsemax of rows, its derivative, and the Fenchel-Young loss of rows. Blocks of as many short
// rows as a vector has lanes are turned so that a lane holds a row; row_math.h does the rest. Long
// rows are taken one by one (long_rows.h).
#include "long_rows.h"
#include "rows.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
int64_t scratch(int64_t count) {
  using A = acc_t<T>;
  return count >= kLongRow ? kCandidateRoom<A> : 3 * count * kLanes<A>;
}

template <class T>
void sparsemax(const void* x, void* out, int64_t count, int64_t begin, int64_t end, void* scratch) {
  using A = acc_t<T>;
  if (count >= kLongRow) {
    for (int64_t row = begin; row < end; ++row) {
      sparsemax_long(static_cast<const T*>(x) + row * count, static_cast<T*>(out) + row * count,
                     count, static_cast<double*>(scratch));
    }
    return;
  }
  vec<A>* z = static_cast<vec<A>*>(scratch);
  for (int64_t row = begin; row < end; row += kLanes<A>) {
    const int64_t rows = min_of(kLanes<A>, end - row);
    load_rows(static_cast<const T*>(x) + row * count, count, rows, count, z);
    sparsemax_row(z, count);
    store_rows(static_cast<T*>(out) + row * count, count, rows, count, z);
  }
}

template <class T>
void sparsemax_backward(const void* grad, const void* out, void* grad_x, int64_t count,
                        int64_t begin, int64_t end, void* scratch) {
  using A = acc_t<T>;
  if (count >= kLongRow) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row * count;
      sparsemax_long_backward(static_cast<const T*>(grad) + at, static_cast<const T*>(out) + at,
                              static_cast<T*>(grad_x) + at, count);
    }
    return;
  }
  vec<A>* g = static_cast<vec<A>*>(scratch);
  vec<A>* alpha = g + count;
  for (int64_t row = begin; row < end; row += kLanes<A>) {
    const int64_t rows = min_of(kLanes<A>, end - row);
    load_rows(static_cast<const T*>(grad) + row * count, count, rows, count, g);
    load_rows(static_cast<const T*>(out) + row * count, count, rows, count, alpha);
    sparsemax_row_backward(g, alpha, count);
    store_rows(static_cast<T*>(grad_x) + row * count, count, rows, count, g);
  }
}

// The loss of each lane's row; q and p = map(z) in, p - q left in p. z is relative to its top.
template <bool kSparse, class V>
TEDG_INLINE V row_loss(const V* z, V* p, const V* q, int64_t count, V log_total) {
  V loss = kSparse ? V{} : log_total;
  for (int64_t k = 0; k < count; ++k) {
    // A masked choice (z = -inf) that the target leaves at 0 adds nothing, not 0 * inf.
    if constexpr (kSparse) {
      const V gap = p[k] - q[k];
      const V linear = select(gap == V{}, V{}, gap * z[k]);
      loss = loss + linear - (p[k] * p[k] - q[k] * q[k]) / 2;
      p[k] = gap;
    } else {
      const V safe = select(q[k] > V{}, q[k], V{} + 1);
      const V linear = select(q[k] == V{}, V{}, q[k] * z[k]);
      loss = loss + q[k] * log_of(safe) - linear;
      p[k] = p[k] - q[k];
    }
  }
  return loss;
}

template <class T, bool kSparse>
double loss_rows(const T* scores, const T* target, T* residual, int64_t count, int64_t begin,
                 int64_t end, vec<acc_t<T>>* z) {
  using A = acc_t<T>;
  using V = vec<A>;
  V* p = z + count;
  V* q = p + count;
  double total = 0;
  for (int64_t row = begin; row < end; row += kLanes<A>) {
    const int64_t rows = min_of(kLanes<A>, end - row);
    load_rows(scores + row * count, count, rows, count, z);
    load_rows(target + row * count, count, rows, count, q);
    const V top = row_max(z, count);
    V sum = V{};
    for (int64_t k = 0; k < count; ++k) {
      z[k] = z[k] - top;
      p[k] = z[k];
      if constexpr (!kSparse) sum = sum + exp_of(z[k]);
    }
    map_row<kSparse>(p, count);
    const V losses = row_loss<kSparse>(z, p, q, count, kSparse ? sum : log_of(sum));
    store_rows(residual + row * count, count, rows, count, p);
    for (int64_t i = 0; i < rows; ++i) total += losses[i];
  }
  return total;
}

// The same of one long row.
template <class T, bool kSparse>
double long_loss(const T* scores, const T* target, T* residual, int64_t count, double* candidates) {
  const LongRow row = long_row(scores, count, candidates);
  VecD total = {};
  if constexpr (!kSparse) {
    each_wide(scores, count, -__builtin_inf(),
              [&](int64_t, VecD v, int64_t) { total += exp_of(v - row.top); });
  }
  const double sum = sum_lanes<double>(total);
  VecD loss = {};
  each_wide(scores, count, -__builtin_inf(), [&](int64_t k, VecD v, int64_t n) {
    VecD z = v - row.top, q = {}, p;
    for (int i = 0; i < kLanes<double> && i < n; ++i) q[i] = widen(target[k + i]);
    if constexpr (kSparse) {
      p = long_weight(row, v);
    } else {
      p = exp_of(z) / sum;
    }
    loss += row_loss<kSparse>(&z, &p, &q, 1, VecD{});
    store_wide(residual + k, p, n);
  });
  return sum_lanes<double>(loss) + (kSparse ? 0.0 : __builtin_log(sum));
}

template <class T>
double loss(bool sparse, const void* scores, const void* target, void* residual, int64_t count,
            int64_t begin, int64_t end, void* scratch) {
  const T* z = static_cast<const T*>(scores);
  const T* q = static_cast<const T*>(target);
  T* r = static_cast<T*>(residual);
  if (count >= kLongRow) {
    double total = 0;
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row * count;
      double* room = static_cast<double*>(scratch);
      total += sparse ? long_loss<T, true>(z + at, q + at, r + at, count, room)
                      : long_loss<T, false>(z + at, q + at, r + at, count, room);
    }
    return total;
  }
  vec<acc_t<T>>* room = static_cast<vec<acc_t<T>>*>(scratch);
  return sparse ? loss_rows<T, true>(z, q, r, count, begin, end, room)
                : loss_rows<T, false>(z, q, r, count, begin, end, room);
}

template <class T>
void scale(const void* in, void* out, double factor, int64_t begin, int64_t end) {
  using A = acc_t<T>;
  const T* from = static_cast<const T*>(in);
  T* to = static_cast<T*>(out);
  for (int64_t i = begin; i < end; i += kLanes<A>) {
    store_some(to + i, load_some(from + i, end - i) * static_cast<A>(factor), end - i);
  }
}

template <class T>
constexpr MapKernels table() {
  return {scratch<T>, sparsemax<T>, sparsemax_backward<T>, loss<T>, scale<T>};
}

}  // namespace

const MapKernels map_kernels[kStorageCount] = {table<float>(), table<double>(), table<bf16>(),
                                               table<f16>()};

}  // namespace tedg::TEDG_LEVEL
