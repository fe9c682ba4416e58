// Kernels with one planted fault each, and the sound one beside it, for the tests of the
// emulation: planted_faults NAME runs one and prints its result.
#include <stdio.h>

#include <stdexcept>

#include "../../csrc/cuda/kernels/device.cuh"

using namespace tedg::gpu;

namespace {

constexpr int kThreads = 64;
constexpr unsigned kHalf = kThreads / 2;

// out[i] = in[i + ahead]; ahead = 1 reads past the end.
__global__ void read_ahead(const float* in, float* out, int ahead) {
  out[threadIdx.x] = in[threadIdx.x + ahead];
}

// The block's values in reverse, by way of shared memory.
__global__ void reverse(const float* in, float* out, bool with_barrier) {
  float* values = reinterpret_cast<float*>(shared_memory());
  values[threadIdx.x] = in[threadIdx.x];
  if (with_barrier) __syncthreads();
  out[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

// The sum over the first 16 lanes of each warp.
__global__ void sum(const float* in, float* out, unsigned mask) {
  if (threadIdx.x % 32 >= 16) return;
  float v = in[threadIdx.x];
  for (int step = 8; step > 0; step /= 2) v += __shfl_xor_sync(mask, v, step);
  out[threadIdx.x] = v;
}

// A barrier that one thread never reaches.
__global__ void diverged_barrier(const float* in, float* out) {
  if (threadIdx.x == 3) return;
  __syncthreads();
  out[threadIdx.x] = in[threadIdx.x];
}

// The same within each warp.
__global__ void reverse_warp(const float* in, float* out, bool with_barrier) {
  float* values = reinterpret_cast<float*>(shared_memory());
  values[threadIdx.x] = in[threadIdx.x];
  if (with_barrier) __syncwarp();
  out[threadIdx.x] = values[threadIdx.x ^ 31];
}

// Reads what it copied, with or without waiting for the copy.
__global__ void copy(const float* in, float* out, bool wait) {
  float* values = reinterpret_cast<float*>(shared_memory());
  __pipeline_memcpy_async(values + threadIdx.x, in + threadIdx.x, sizeof(float));
  __pipeline_commit();
  if (wait) __pipeline_wait_prior(0);
  out[threadIdx.x] = values[threadIdx.x];
}

// Two groups of copies, of which it waits for so many that `left` may be under way.
__global__ void two_groups(const float* in, float* out, int left) {
  float* values = reinterpret_cast<float*>(shared_memory());
  for (int i = 0; i < 2; ++i) {
    __pipeline_memcpy_async(values + threadIdx.x, in + threadIdx.x, sizeof(float));
    __pipeline_commit();
  }
  __pipeline_wait_prior(left);
  out[threadIdx.x] = values[threadIdx.x];
}

__global__ void misaligned_copy(const float* in, float* out, int ahead) {
  __pipeline_memcpy_async(shared_memory(), in + ahead, 16);
  __pipeline_commit();
  __pipeline_wait_prior(0);
  out[threadIdx.x] = in[threadIdx.x];
}

// Two blocks, to memory of their own or to the same.
__global__ void two_blocks(const float* in, float* out, bool apart) {
  const unsigned at = apart ? blockIdx.x * kHalf + threadIdx.x : threadIdx.x;
  if (threadIdx.x < kHalf) out[at] = in[at];
}

__global__ void pick(const float* in, float* out, int i) {
  out[threadIdx.x] = in[checked(i, kThreads)];
}

}  // namespace

extern "C" void tedg_emulation_schedule(int order);

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string name = argv[1];
  tedg_emulation_schedule(argv[2][0] == '1');
  std::vector<float> in(kThreads), out(kThreads, -1);
  for (int i = 0; i < kThreads; ++i) in[i] = static_cast<float>(i);
  int64_t shared = kThreads * sizeof(float), blocks = 1;
  int threads = kThreads;
  const auto start = [&](auto kernel, auto option) {
    launch("planted", kernel, blocks, threads, shared, nullptr, in.data(), out.data(), option);
  };
  try {
    if (name == "read") start(read_ahead, 0);
    else if (name == "read_out_of_bounds") start(read_ahead, 1);
    else if (name == "barrier") start(reverse, true);
    else if (name == "missing_barrier") start(reverse, false);
    else if (name == "warp_barrier") start(reverse_warp, true);
    else if (name == "missing_warp_barrier") start(reverse_warp, false);
    else if (name == "mask") start(sum, 0xffffu);
    else if (name == "mask_too_wide") start(sum, 0xffffffffu);
    else if (name == "mask_too_narrow") start(sum, 0xffu);
    else if (name == "copy") start(copy, true);
    else if (name == "copy_not_waited_for") start(copy, false);
    else if (name == "two_groups") start(two_groups, 0);
    else if (name == "group_not_waited_for") start(two_groups, 1);
    else if (name == "misaligned_copy") start(misaligned_copy, 1);
    else if (name == "own_output" || name == "shared_output") {
      blocks = 2;
      start(two_blocks, name == "own_output");
    } else if (name == "too_many_threads") {
      threads = 2048;
      start(read_ahead, 0);
    } else if (name == "too_many_blocks") {
      blocks = int64_t{1} << 31;
      start(read_ahead, 0);
    } else if (name == "index_out_of_range") start(pick, -1);
    else if (name == "too_much_shared_memory") {
      shared = 228 * 1024;  // more than largest_shared_memory()
      start(read_ahead, 0);
    } else if (name == "diverged_barrier") {
      launch("planted", diverged_barrier, 1, kThreads, shared, nullptr, in.data(), out.data());
    } else return 2;
  } catch (const std::runtime_error& error) {
    printf("%s\n", error.what());
    return 1;
  }
  double total = 0;
  for (int i = 0; i < kThreads; ++i) total += out[i] * (i + 1);
  printf("%.0f\n", total);
}
