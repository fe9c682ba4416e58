// Which attention weights dropout keeps: a function of the seed and of the weight's place alone,
// so that backward, and any other device, finds the same ones again.
//
// The bits are the first word of Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3") at counter (edge, head, sample, 0), with the seed as key; a weight stays where
// word / 2^32 >= p. Edges are numbered in the graph's row order.
#pragma once

#include "../kernels.h"
#include "../vector_math.h"

namespace tedg::TEDG_LEVEL {

typedef uint64_t Word64 __attribute__((vector_size(TEDG_VECTOR_BYTES)));

// The 64-bit products of the even lanes of a with m.
TEDG_INLINE Word64 multiply_even(Word64 a, uint32_t m) {
#if defined(__AVX512F__)
  return bit_cast<Word64>(
      _mm512_mul_epu32(bit_cast<__m512i>(a), _mm512_set1_epi32(static_cast<int>(m))));
#elif defined(__AVX2__)
  return bit_cast<Word64>(
      _mm256_mul_epu32(bit_cast<__m256i>(a), _mm256_set1_epi32(static_cast<int>(m))));
#elif defined(__SSE2__)
  return bit_cast<Word64>(_mm_mul_epu32(bit_cast<__m128i>(a), _mm_set1_epi32(static_cast<int>(m))));
#else
  return (a & 0xffffffffu) * uint64_t{m};
#endif
}

TEDG_INLINE void multiply(Word32 a, uint32_t m, Word32& high, Word32& low) {
  const Word64 even = multiply_even(bit_cast<Word64>(a), m);
  const Word64 odd = multiply_even(bit_cast<Word64>(a) >> 32, m);
  low = bit_cast<Word32>((even & 0xffffffffu) | (odd << 32));
  high = bit_cast<Word32>((even >> 32) | (odd & ~uint64_t{0xffffffffu}));
}

TEDG_INLINE Word32 philox(Word32 edge, uint32_t head, uint32_t sample, uint64_t seed) {
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  Word32 c0 = edge, c1 = Word32{} + head, c2 = Word32{} + sample, c3 = {};
  for (int round = 0; round < 10; ++round) {
    Word32 high0, low0, high1, low1;
    multiply(c0, 0xD2511F53u, high0, low0);
    multiply(c2, 0xCD9E8D57u, high1, low1);
    c0 = high1 ^ c1 ^ key0;
    c1 = low1;
    c2 = high0 ^ c3 ^ key1;
    c3 = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return c0;
}

// What dropout makes of a weight of 1 that stays.
template <class A>
TEDG_INLINE A grown_by(const GatProblem& p) {
  return p.dropout < 1 ? static_cast<A>(1 / (1 - p.dropout)) : A{0};
}

// factor[k] <- grown_by(p) where edge first + k of sample b, head h stays, else 0; k < count.
template <class A>
void keep_factors(const GatProblem& p, int64_t b, int64_t h, int64_t first, int64_t count,
                  A* factor) {
  constexpr int kWords = kLanes<float>;
  const A scale = grown_by<A>(p);
  // The least word that stays, and it is at most 2^32.
  const double most = p.dropout * 0x1p32;
  uint64_t least = static_cast<uint64_t>(most);
  least += static_cast<double>(least) < most;
  Word32 lane;
  for (int i = 0; i < kWords; ++i) lane[i] = i;
  for (int64_t k = 0; k < count; k += kWords) {
    const Word32 word = philox(lane + static_cast<uint32_t>(first + k), static_cast<uint32_t>(h),
                               static_cast<uint32_t>(b), p.seed);
    for (int i = 0; i < kWords && k + i < count; ++i) {
      factor[k + i] = word[i] >= least ? scale : A{0};
    }
  }
}

}  // namespace tedg::TEDG_LEVEL
