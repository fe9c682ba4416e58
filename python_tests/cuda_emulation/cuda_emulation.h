// A small emulation of a CUDA device, to run the kernels of csrc/cuda under the host's sanitizers.
//
// Each thread of a block is a fiber; blocks run one after the other, and a fiber runs until it
// must wait for others (to ThreadSanitizer they are threads that only barriers order, and blocks
// that nothing orders). That makes every run the same, and hostile to races: with the ascending
// schedule the first threads are as far ahead as barriers let them be, with the descending one
// the last ones. Shared memory is a fresh heap block of just the size asked for, filled with NaN;
// an asynchronous copy happens when it is waited for, not before.
//
// What a kernel must not do ends the launch with an error: a warp operation by a lane outside
// its own mask, or with a mask that names a lane which never comes, a shuffle from a lane outside
// the mask, a barrier that some threads never reach, a misaligned asynchronous copy, a trap. A
// launch of more threads, blocks or shared memory than a device takes, or than the kernel was
// allowed, fails. The limits are those of an H100 with two multiprocessors.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <string>
#include <vector>

// ---- language ---------------------------------------------------------------------------------

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x = 1, unsigned y = 1) : x(x), y(y) {}
};

namespace emulation {

struct Place {
  dim3 thread, block, block_dim, grid_dim;
};
extern Place here;  // of the thread that runs

enum class WarpOp { kShuffle, kBallot, kSync };

// What this thread gets out of a warp operation: the source lane's value, or the mask of the
// lanes whose value is not 0.
uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int source_lane);
int lane();
void barrier();
void trap();  // never comes back; not said, for ASan would then look at the stack
void copy_later(void* to, const void* from, size_t bytes);
void commit_copies();
void finish_copies(int groups_left);
unsigned char* shared_memory();

constexpr int kMostThreads = 1024, kMultiprocessors = 2;
constexpr size_t kSharedUnasked = 48 * 1024, kMostShared = 227 * 1024;
constexpr size_t kSharedOfMultiprocessor = 228 * 1024, kSharedReserved = 1024;
std::string allow_shared(const void* kernel, size_t bytes);

// Runs the kernel to its end, or to an error, which is what is returned ("" if none).
std::string run(const void* kernel, dim3 blocks, unsigned threads, size_t shared,
                const std::function<void()>& call);
// What the last failed call was about.
extern std::string last_failure;

template <class V>
V shuffle(unsigned mask, V value, int source_lane) {
  static_assert(sizeof(V) <= 8);
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof(V));
  bits = warp_operation(WarpOp::kShuffle, mask, bits, source_lane);
  memcpy(&value, &bits, sizeof(V));
  return value;
}

}  // namespace emulation

inline const dim3& threadIdx = emulation::here.thread;
inline const dim3& blockIdx = emulation::here.block;
inline const dim3& blockDim = emulation::here.block_dim;
inline const dim3& gridDim = emulation::here.grid_dim;

inline void __syncthreads() { emulation::barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  emulation::warp_operation(emulation::WarpOp::kSync, mask, 0, 0);
}
template <class V>
V __shfl_xor_sync(unsigned mask, V value, int step) {
  return emulation::shuffle(mask, value, emulation::lane() ^ step);
}
template <class V>
V __shfl_sync(unsigned mask, V value, int source_lane) {
  return emulation::shuffle(mask, value, source_lane);
}
inline unsigned __ballot_sync(unsigned mask, bool vote) {
  return static_cast<unsigned>(
      emulation::warp_operation(emulation::WarpOp::kBallot, mask, vote, 0));
}
inline bool __any_sync(unsigned mask, bool vote) { return __ballot_sync(mask, vote) != 0; }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __ffs(unsigned v) { return __builtin_ffs(static_cast<int>(v)); }
inline void __trap() { emulation::trap(); }

inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes) {
  emulation::copy_later(to, from, bytes);
}
inline void __pipeline_commit() { emulation::commit_copies(); }
inline void __pipeline_wait_prior(int groups) { emulation::finish_copies(groups); }

inline int atomicAdd(int* to, int v) { return __atomic_fetch_add(to, v, __ATOMIC_RELAXED); }
inline float __expf(float v) { return expf(v); }
inline float __fdividef(float a, float b) { return a / b; }

// ---- 16-bit types -----------------------------------------------------------------------------

struct __nv_bfloat16 {
  uint16_t bits;
};
struct __half {
  uint16_t bits;
};
inline __nv_bfloat16 __ushort_as_bfloat16(uint16_t bits) { return {bits}; }
inline __half __ushort_as_half(uint16_t bits) { return {bits}; }
inline float __bfloat162float(__nv_bfloat16 v) {
  const uint32_t bits = uint32_t{v.bits} << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}
inline __nv_bfloat16 __float2bfloat16_rn(float v) {
  uint32_t bits;
  memcpy(&bits, &v, 4);
  if (v != v) return {static_cast<uint16_t>(bits >> 16 | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}
inline float __half2float(__half v) {
  _Float16 h;
  memcpy(&h, &v, 2);
  return static_cast<float>(h);
}
inline __half __float2half_rn(float v) {
  const _Float16 h = static_cast<_Float16>(v);
  __half out;
  memcpy(&out, &h, 2);
  return out;
}

// ---- runtime ----------------------------------------------------------------------------------

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess, cudaErrorUnknown };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin, cudaDevAttrMultiProcessorCount };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline const char* cudaGetErrorString(cudaError_t) { return emulation::last_failure.c_str(); }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int) {
  *value = name == cudaDevAttrMultiProcessorCount ? emulation::kMultiprocessors
                                                  : static_cast<int>(emulation::kMostShared);
  return cudaSuccess;
}
inline cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int bytes) {
  emulation::last_failure = emulation::allow_shared(kernel, static_cast<size_t>(bytes));
  return emulation::last_failure.empty() ? cudaSuccess : cudaErrorUnknown;
}
// By shared memory and threads alone: registers are not known here.
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel, int threads,
                                                          size_t shared) {
  const size_t by_memory =
      emulation::kSharedOfMultiprocessor / (shared + emulation::kSharedReserved);
  const size_t by_threads = static_cast<size_t>(emulation::kMostThreads / threads);
  *blocks = static_cast<int>(by_memory < by_threads ? by_memory : by_threads);
  return cudaSuccess;
}
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
  emulation::last_failure = emulation::run(
      reinterpret_cast<const void*>(kernel), config->gridDim, config->blockDim.x,
      config->dynamicSmemBytes, [&] { kernel(arguments...); });
  return emulation::last_failure.empty() ? cudaSuccess : cudaErrorUnknown;
}

namespace tedg::gpu {

inline unsigned char* shared_memory() { return emulation::shared_memory(); }

}  // namespace tedg::gpu
