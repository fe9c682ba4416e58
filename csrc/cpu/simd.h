// Vector arithmetic for the kernels, on the compiler's own vector types.
//
// Every file under kernels/ is compiled once per vector level (baseline, avx2, avx512) with
// TEDG_LEVEL naming the level, and everything here lives in a namespace of that name. No standard
// C++ header is included: an inline function of the library that was compiled for AVX-512 could
// otherwise be the copy the linker keeps for all levels, and kill an older machine.
#pragma once

#include <stdint.h>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__AVX512F__)
#define TEDG_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define TEDG_VECTOR_BYTES 32
#else
#define TEDG_VECTOR_BYTES 16
#endif

#define TEDG_INLINE inline __attribute__((always_inline))

namespace tedg::TEDG_LEVEL {

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

// What sums over values stored as T are kept in.
template <class T>
struct AccumulateIn {
  using type = float;
};
template <>
struct AccumulateIn<double> {
  using type = double;
};
template <class T>
using acc_t = typename AccumulateIn<T>::type;

template <class A>
struct Lanes;
template <>
struct Lanes<float> {
  using Integer = int32_t;
  typedef float V __attribute__((vector_size(TEDG_VECTOR_BYTES)));
  typedef int32_t I __attribute__((vector_size(TEDG_VECTOR_BYTES)));
};
template <>
struct Lanes<double> {
  using Integer = int64_t;
  typedef double V __attribute__((vector_size(TEDG_VECTOR_BYTES)));
  typedef int64_t I __attribute__((vector_size(TEDG_VECTOR_BYTES)));
};
template <class A>
using vec = typename Lanes<A>::V;
template <class A>
constexpr int kLanes = TEDG_VECTOR_BYTES / sizeof(A);

typedef uint16_t Half16 __attribute__((vector_size(TEDG_VECTOR_BYTES / 2)));
typedef uint32_t Word32 __attribute__((vector_size(TEDG_VECTOR_BYTES)));
typedef uint8_t Byte8 __attribute__((vector_size(TEDG_VECTOR_BYTES / 4)));

template <class To, class From>
TEDG_INLINE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

template <class A>
TEDG_INLINE vec<A> splat(A value) {
  return value - vec<A>{};  // not "+": -0.0 must stay -0.0
}

// ---- one value -----------------------------------------------------------------------------

TEDG_INLINE float widen(float v) { return v; }
TEDG_INLINE double widen(double v) { return v; }
TEDG_INLINE float widen(bf16 v) { return bit_cast<float>(uint32_t{v.bits} << 16); }
TEDG_INLINE float widen(f16 v) {
  const uint32_t sign = uint32_t{v.bits & 0x8000u} << 16;
  const uint32_t rest = v.bits & 0x7fffu;
  if (rest >= 0x7c00u) return bit_cast<float>(sign | 0x7f800000u | ((rest & 0x3ffu) << 13));
  // Shifted into place the exponent is 112 too small; the product also mends subnormals.
  return bit_cast<float>(sign | bit_cast<uint32_t>(bit_cast<float>(rest << 13) * 0x1p112f));
}

// All narrowing rounds to nearest, ties to even.
template <class T, class A>
TEDG_INLINE T narrow(A v);
template <>
TEDG_INLINE float narrow<float, float>(float v) {
  return v;
}
template <>
TEDG_INLINE double narrow<double, double>(double v) {
  return v;
}
template <>
TEDG_INLINE bf16 narrow<bf16, float>(float v) {
  const uint32_t bits = bit_cast<uint32_t>(v);
  if (v != v) return bf16{static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return bf16{static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
template <>
TEDG_INLINE f16 narrow<f16, float>(float v) {
  const uint32_t bits = bit_cast<uint32_t>(v);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  uint32_t rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return f16{static_cast<uint16_t>(sign | 0x7e00u)};
  if (rest >= 0x477ff000u) return f16{static_cast<uint16_t>(sign | 0x7c00u)};
  if (rest < 0x38800000u) {  // subnormal in f16: let the addition round at bit 2^-24
    rest = bit_cast<uint32_t>(bit_cast<float>(rest) + 0.5f) - bit_cast<uint32_t>(0.5f);
    return f16{static_cast<uint16_t>(sign | rest)};
  }
  rest += 0xfffu + ((rest >> 13) & 1u) - (112u << 23);
  return f16{static_cast<uint16_t>(sign | (rest >> 13))};
}

// ---- a vector: load and store kLanes values, or the first n of them -------------------------

template <class P>
TEDG_INLINE P load_bytes(const void* p) {
  P v;
  __builtin_memcpy(&v, p, sizeof(P));
  return v;
}

TEDG_INLINE vec<float> load(const float* p) { return load_bytes<vec<float>>(p); }
TEDG_INLINE vec<double> load(const double* p) { return load_bytes<vec<double>>(p); }
TEDG_INLINE vec<float> load(const bf16* p) {
#if defined(__AVX512F__)
  // Each word straight to the upper half of its lane: one instruction where widening takes two.
  typedef uint32_t Lane16 __attribute__((vector_size(64)));
  const Lane16 number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const __m512i words = _mm512_castsi256_si512(load_bytes<__m256i>(p));
  return bit_cast<vec<float>>(
      _mm512_maskz_permutexvar_epi16(0xaaaaaaaau, bit_cast<__m512i>(number << 16), words));
#else
  return bit_cast<vec<float>>(__builtin_convertvector(load_bytes<Half16>(p), Word32) << 16);
#endif
}
TEDG_INLINE vec<float> load(const f16* p) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(load_bytes<__m256i>(p));
#elif defined(__AVX2__)
  return _mm256_cvtph_ps(load_bytes<__m128i>(p));
#else
  vec<float> v;
  for (int i = 0; i < kLanes<float>; ++i) v[i] = widen(p[i]);
  return v;
#endif
}

TEDG_INLINE void store(float* p, vec<float> v) { __builtin_memcpy(p, &v, sizeof(v)); }
TEDG_INLINE void store(double* p, vec<double> v) { __builtin_memcpy(p, &v, sizeof(v)); }
TEDG_INLINE void store(bf16* p, vec<float> v) {
  const Word32 bits = bit_cast<Word32>(v);
  const Word32 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Word32 quiet = (bits >> 16) | 0x40u;
  const Half16 out = __builtin_convertvector(v != v ? quiet : rounded, Half16);
  __builtin_memcpy(p, &out, sizeof(out));
}
TEDG_INLINE void store(f16* p, vec<float> v) {
#if defined(__AVX512F__)
  const __m256i out = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __builtin_memcpy(p, &out, sizeof(out));
#elif defined(__AVX2__)
  const __m128i out = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __builtin_memcpy(p, &out, sizeof(out));
#else
  for (int i = 0; i < kLanes<float>; ++i) p[i] = narrow<f16, float>(v[i]);
#endif
}

// The first n (0 <= n < kLanes) values; the other lanes are 0.
template <class T>
TEDG_INLINE vec<acc_t<T>> load(const T* p, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 2) {
    const __m256i raw = _mm256_maskz_loadu_epi16((1u << n) - 1, p);
    return load(reinterpret_cast<const T*>(&raw));
  } else if constexpr (sizeof(T) == 4) {
    return _mm512_maskz_loadu_ps((1u << n) - 1, p);
  } else {
    return _mm512_maskz_loadu_pd((1u << n) - 1, p);
  }
#else
  vec<acc_t<T>> v = {};
  for (int i = 0; i < n; ++i) v[i] = widen(p[i]);
  return v;
#endif
}
template <class T>
TEDG_INLINE void store(T* p, vec<acc_t<T>> v, int n) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 2) {
    T raw[kLanes<float>];
    store(raw, v);
    _mm256_mask_storeu_epi16(p, (1u << n) - 1, load_bytes<__m256i>(raw));
  } else if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(p, (1u << n) - 1, v);
  } else {
    _mm512_mask_storeu_pd(p, (1u << n) - 1, v);
  }
#else
  for (int i = 0; i < n; ++i) p[i] = narrow<T, acc_t<T>>(v[i]);
#endif
}

// Loads n <= kLanes values; full vectors take the short way.
template <class T>
TEDG_INLINE vec<acc_t<T>> load_some(const T* p, int64_t n) {
  return n >= kLanes<acc_t<T>> ? load(p) : load(p, static_cast<int>(n));
}
template <class T>
TEDG_INLINE void store_some(T* p, vec<acc_t<T>> v, int64_t n) {
  if (n >= kLanes<acc_t<T>>) {
    store(p, v);
  } else {
    store(p, v, static_cast<int>(n));
  }
}

// ---- past the caches ------------------------------------------------------------------------

TEDG_INLINE bool can_stream(const void* to, int64_t bytes) {
  return (reinterpret_cast<uintptr_t>(to) | static_cast<uintptr_t>(bytes)) % TEDG_VECTOR_BYTES == 0;
}

// Copies bytes without fetching the target's lines first or keeping them in the caches, where
// can_stream(to, bytes). Other threads see them after end_stream().
TEDG_INLINE void stream(void* to, const void* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += TEDG_VECTOR_BYTES) {
    char* target = static_cast<char*>(to) + at;
    const char* source = static_cast<const char*>(from) + at;
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(target), load_bytes<__m512i>(source));
#elif defined(__AVX2__)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(target), load_bytes<__m256i>(source));
#elif defined(__SSE2__)
    _mm_stream_si128(reinterpret_cast<__m128i*>(target), load_bytes<__m128i>(source));
#else
    __builtin_memcpy(target, source, TEDG_VECTOR_BYTES);
#endif
  }
}
TEDG_INLINE void end_stream() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// ---- across lanes ---------------------------------------------------------------------------

template <class A>
TEDG_INLINE A sum_lanes(vec<A> v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(A) == 4) return _mm512_reduce_add_ps(v);
#endif
  A parts[kLanes<A>];
  __builtin_memcpy(parts, &v, sizeof(v));
  for (int half = kLanes<A> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
  }
  return parts[0];
}

// NaN lanes count as the smallest.
template <class A>
TEDG_INLINE A max_lanes(vec<A> v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(A) == 4) return _mm512_reduce_max_ps(v);
#endif
  A parts[kLanes<A>];
  __builtin_memcpy(parts, &v, sizeof(v));
  for (int half = kLanes<A> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      parts[i] = parts[i + half] > parts[i] ? parts[i + half] : parts[i];
    }
  }
  return parts[0];
}

// Lanes 0..n of v, the others replaced.
template <class A>
TEDG_INLINE vec<A> first_lanes(vec<A> v, int64_t n, A other) {
  using I = typename Lanes<A>::Integer;
  typename Lanes<A>::I lane;
  for (int i = 0; i < kLanes<A>; ++i) lane[i] = static_cast<I>(i);
  return lane < static_cast<I>(n < kLanes<A> ? n : kLanes<A>) ? v : splat<A>(other);
}

}  // namespace tedg::TEDG_LEVEL
