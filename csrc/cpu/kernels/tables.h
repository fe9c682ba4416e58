// The tables that the kernel files of one vector level fill.
#pragma once

#include "../kernels.h"

namespace tedg::TEDG_LEVEL {

extern const GatKernels gat_kernels[kStorageCount];
extern const GatKernels gat_heads_kernels[kStorageCount];
extern const GatV2Kernels gatv2_kernels[kStorageCount];
extern const RouteKernels route_kernels[kStorageCount];
extern const MapKernels map_kernels[kStorageCount];
extern const LossKernels loss_kernels[kStorageCount];
extern const DenseKernels dense_kernels;
extern const EmbeddingKernels embedding_kernels[kStorageCount];

}  // namespace tedg::TEDG_LEVEL
