// Sums and inner products over the feature rows of a target's (source's) neighbours.
//
// record(k) points at the number of edge k. An edge whose number is 0 is skipped, whatever its row
// holds.
#pragma once

#include "../kernels.h"
#include "../vector_math.h"

namespace tedg::TEDG_LEVEL {

// Rows of features that lie `stride` apart, and which of them each edge takes.
template <class T>
struct Rows {
  const T* data;
  int64_t stride, width;
  const int32_t* index;

  TEDG_INLINE const T* of(int64_t k) const { return data + index[k] * stride; }

  // Fetches `width` numbers of the rows of edges [begin, end).
  TEDG_INLINE void fetch(int64_t begin, int64_t end, int64_t count) const {
    for (int64_t k = begin; k < end; ++k) {
      const char* line = reinterpret_cast<const char*>(of(k));
      const char* last = line + count * static_cast<int64_t>(sizeof(T));
      for (; line < last; line += 64) __builtin_prefetch(line, 0, 2);
    }
  }
};

constexpr int64_t kFetchAhead = 8;  // edges

// Fetches the rows of `heads` heads of the edges that come after [begin, end) in a walk that ends
// at `last`, where features do not stay in a cache anyway.
template <class T>
TEDG_INLINE void fetch_ahead(const GatProblem& p, const Rows<T>& rows, int64_t heads, int64_t begin,
                             int64_t end, int64_t last) {
  if (!p.by_rows) return;
  const auto within = [&](int64_t k) { return k < last ? k : last; };
  rows.fetch(within(begin + kFetchAhead), within(end + kFetchAhead), heads * p.width);
}

// out[0..width) = sum over edges [begin, end) of record(k)[0] * row(k)[0..width), times scale.
template <class T, int kVectors, bool kTail, class Record>
TEDG_INLINE void gather_block(T* out, const Rows<T>& rows, int64_t offset, int64_t begin,
                              int64_t end, int tail, acc_t<T> scale, const Record& record) {
  using A = acc_t<T>;
  vec<A> sum[kVectors] = {};
  for (int64_t k = begin; k < end; ++k) {
    const A w = *record(k);
    if (w == 0) continue;
    const T* row = rows.of(k) + offset;
    for (int v = 0; v < kVectors - kTail; ++v) sum[v] += w * load(row + v * kLanes<A>);
    if constexpr (kTail) {
      sum[kVectors - 1] += w * load(row + (kVectors - 1) * kLanes<A>, tail);
    }
  }
  for (int v = 0; v < kVectors - kTail; ++v) store(out + v * kLanes<A>, sum[v] * scale);
  if constexpr (kTail) {
    store(out + (kVectors - 1) * kLanes<A>, sum[kVectors - 1] * scale, tail);
  }
}

template <class T, class Record>
TEDG_INLINE void gather_rows(T* out, const Rows<T>& rows, int64_t begin, int64_t end,
                             acc_t<T> scale, const Record& record) {
  using A = acc_t<T>;
  const int64_t width = rows.width;
  int64_t d = 0;
  const auto block = [&]<int kVectors, bool kTail>(int tail) {
    gather_block<T, kVectors, kTail>(out + d, rows, d, begin, end, tail, scale, record);
    d += kVectors * kLanes<A>;
  };
  while (width - d >= 8 * kLanes<A>) block.template operator()<8, false>(0);
  if (width - d >= 4 * kLanes<A>) block.template operator()<4, false>(0);
  if (width - d >= 2 * kLanes<A>) block.template operator()<2, false>(0);
  if (width - d >= kLanes<A>) block.template operator()<1, false>(0);
  if (width > d) block.template operator()<1, true>(static_cast<int>(width - d));
}

template <class T>
TEDG_INLINE acc_t<T> dot(const T* a, const T* b, int64_t width) {
  using A = acc_t<T>;
  vec<A> sum = {};
  int64_t d = 0;
  for (; d + kLanes<A> <= width; d += kLanes<A>) sum += load(a + d) * load(b + d);
  if (d < width) {
    const int tail = static_cast<int>(width - d);
    sum += load(a + d, tail) * load(b + d, tail);
  }
  return sum_lanes<A>(sum);
}

// product[k - begin] <- <a, row(k)> for edges [begin, end) whose number is not 0 (else 0); a stays
// in registers.
template <class T, int kVectors, class Record>
TEDG_INLINE void row_dots(const T* a, const Rows<T>& rows, int64_t begin, int64_t end,
                          acc_t<T>* product, const Record& record) {
  using A = acc_t<T>;
  vec<A> own[kVectors];
  for (int v = 0; v < kVectors; ++v) own[v] = load(a + v * kLanes<A>);
  for (int64_t k = begin; k < end; ++k) {
    product[k - begin] = 0;
    if (*record(k) == 0) continue;
    const T* row = rows.of(k);
    vec<A> sum = own[0] * load(row);
    for (int v = 1; v < kVectors; ++v) sum += own[v] * load(row + v * kLanes<A>);
    product[k - begin] = sum_lanes<A>(sum);
  }
}

template <class T, class Record>
TEDG_INLINE void dots(const T* a, const Rows<T>& rows, int64_t begin, int64_t end,
                      acc_t<T>* product, const Record& record) {
  using A = acc_t<T>;
  switch (rows.width / kLanes<A> * (rows.width % kLanes<A> == 0)) {
    case 1: return row_dots<T, 1>(a, rows, begin, end, product, record);
    case 2: return row_dots<T, 2>(a, rows, begin, end, product, record);
    case 4: return row_dots<T, 4>(a, rows, begin, end, product, record);
    case 8: return row_dots<T, 8>(a, rows, begin, end, product, record);
  }
  for (int64_t k = begin; k < end; ++k) {
    product[k - begin] = *record(k) == 0 ? A{0} : dot(a, rows.of(k), rows.width);
  }
}

}  // namespace tedg::TEDG_LEVEL
