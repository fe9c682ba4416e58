// Picks, once, the kernels of the best vector level that this machine has.
#include <cstdlib>
#include <cstring>

#include "kernels.h"

namespace tedg {

#define TEDG_DECLARE_LEVEL(name)                        \
  namespace name {                                      \
  extern const GatKernels gat_kernels[kStorageCount];   \
  extern const GatKernels gat_heads_kernels[kStorageCount]; \
  extern const GatV2Kernels gatv2_kernels[kStorageCount]; \
  extern const RouteKernels route_kernels[kStorageCount]; \
  extern const MapKernels map_kernels[kStorageCount];   \
  extern const LossKernels loss_kernels[kStorageCount]; \
  extern const DenseKernels dense_kernels;              \
  extern const EmbeddingKernels embedding_kernels[kStorageCount]; \
  }

TEDG_DECLARE_LEVEL(baseline)
#if defined(__x86_64__)
TEDG_DECLARE_LEVEL(avx2)
TEDG_DECLARE_LEVEL(avx512)
#endif

namespace {

#define TEDG_FILL_LEVEL(name)                                                      \
  {                                                                                \
    table.level = #name;                                                           \
    std::memcpy(table.gat, name::gat_kernels, sizeof(table.gat));                  \
    std::memcpy(table.gat_heads, name::gat_heads_kernels, sizeof(table.gat_heads)); \
    std::memcpy(table.gatv2, name::gatv2_kernels, sizeof(table.gatv2));            \
    std::memcpy(table.route, name::route_kernels, sizeof(table.route));            \
    std::memcpy(table.map, name::map_kernels, sizeof(table.map));                  \
    std::memcpy(table.loss, name::loss_kernels, sizeof(table.loss));               \
    table.dense = name::dense_kernels;                                             \
    std::memcpy(table.embedding, name::embedding_kernels, sizeof(table.embedding)); \
  }

// TEDG_SIMD=baseline|avx2 lowers the level (to test those kernels on a better machine); it never
// raises it past what the machine has.
Kernels choose() {
  Kernels table{};
  TEDG_FILL_LEVEL(baseline)
#if defined(__x86_64__)
  const char* wish = std::getenv("TEDG_SIMD");
  if (wish != nullptr && std::strcmp(wish, "baseline") == 0) return table;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
    TEDG_FILL_LEVEL(avx2)
    if (wish != nullptr && std::strcmp(wish, "avx2") == 0) return table;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      TEDG_FILL_LEVEL(avx512)
    }
  }
#endif
  return table;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels table = choose();
  return table;
}

}  // namespace tedg

// The vector level in use, for tedg_fast.info.
extern "C" __attribute__((visibility("default"))) const char* tedg_vector_level() {
  return tedg::kernels().level;
}
