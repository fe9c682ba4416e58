// exp, log and the helpers that row_math.h needs, on vectors of lanes.
//
// The float versions are Cody-Waite reductions with minimax polynomials (Cephes' coefficients),
// within 2 units in the last place; the double ones call the C library lane by lane, since
// doubles serve gradient checks, not speed.
#pragma once

#include "simd.h"

namespace tedg::TEDG_LEVEL {

typedef Lanes<float>::V VecF;
typedef Lanes<double>::V VecD;
typedef Lanes<float>::I MaskF;
typedef Lanes<double>::I MaskD;

TEDG_INLINE VecF select(MaskF m, VecF a, VecF b) { return m ? a : b; }
TEDG_INLINE VecD select(MaskD m, VecD a, VecD b) { return m ? a : b; }

template <class M>
TEDG_INLINE bool any(M mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask(bit_cast<__m512i>(mask), bit_cast<__m512i>(mask)) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256(bit_cast<__m256i>(mask), bit_cast<__m256i>(mask));
#else
  const Lanes<double>::I words = bit_cast<Lanes<double>::I>(mask);
  return (words[0] | words[1]) != 0;
#endif
}

// exp(x); results below the smallest normal number become 0, NaN stays NaN.
TEDG_INLINE VecF exp_of(VecF x) {
  const float kLow = -87.33654f, kHigh = 88.72283f;
  const MaskF tiny = x < kLow;
  const MaskF huge = x > kHigh;
  VecF y = tiny ? splat<float>(kLow) : x;
  y = huge ? splat<float>(kHigh) : y;
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  const VecF shifted = y * 1.44269504f + 12582912.0f;
  const VecF n = shifted - 12582912.0f;
  const VecF r = (y - n * 0.693359375f) - n * -2.12194440e-4f;
  VecF p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  // 2^n in two factors: n reaches 128 at the upper end.
  const MaskF whole = __builtin_convertvector(n, MaskF);
  const MaskF half = whole >> 1;
  const VecF a = bit_cast<VecF>((half + 127) << 23);
  const VecF b = bit_cast<VecF>((whole - half + 127) << 23);
  p = p * a * b;
  p = tiny ? VecF{} : p;
  return huge ? splat<float>(__builtin_inff()) : p;
}
TEDG_INLINE VecD exp_of(VecD x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

// ln(x) for x > 0; inf and NaN stay, subnormal numbers count as the smallest normal one.
TEDG_INLINE VecF log_of(VecF x) {
  const float kSmallest = 1.17549435e-38f;
  const MaskF special = (x != x) | (x == __builtin_inff());
  const VecF y = x < kSmallest ? splat<float>(kSmallest) : x;
  const MaskF bits = bit_cast<MaskF>(y);
  VecF e = __builtin_convertvector(((bits >> 23) & 0xff) - 126, VecF);
  VecF m = bit_cast<VecF>((bits & 0x007fffff) | 0x3f000000);  // [0.5, 1)
  const MaskF low = m < 0.707106781f;
  e = low ? e - 1.0f : e;
  m = (low ? m + m : m) - 1.0f;
  VecF p = 7.0376836292e-2f * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const VecF square = m * m;
  p = p * m * square - 2.12194440e-4f * e - 0.5f * square;
  const VecF result = m + p + 0.693359375f * e;
  return special ? x : result;
}
TEDG_INLINE VecD log_of(VecD x) {
  for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_log(x[i]);
  return x;
}

}  // namespace tedg::TEDG_LEVEL
