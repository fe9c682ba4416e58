// sparsemax of rows, its derivative, and the Fenchel-Young loss of rows. Blocks of as many rows
// as a vector has lanes are turned so that a lane holds a row; row_math.h does the rest.
#include "rows.h"
#include "tables.h"

namespace tedg::TEDG_LEVEL {
namespace {

int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
int64_t scratch(int64_t count) {
  return 3 * count * kLanes<acc_t<T>>;
}

template <class T>
void sparsemax(const void* x, void* out, int64_t count, int64_t begin, int64_t end,
               void* scratch) {
  using A = acc_t<T>;
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

template <class T>
double loss(bool sparse, const void* scores, const void* target, void* residual, int64_t count,
            int64_t begin, int64_t end, void* scratch) {
  const T* z = static_cast<const T*>(scores);
  const T* q = static_cast<const T*>(target);
  T* r = static_cast<T*>(residual);
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
