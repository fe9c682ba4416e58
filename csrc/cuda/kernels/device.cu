// Errors and limits of the current device, for the launchers of the kernels.
#include "device.cuh"

#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

namespace tedg::gpu {

void check_cuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw std::runtime_error(std::string("CUDA error in ") + what + ": " + cudaGetErrorString(error));
}

namespace {

int current_device() {
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

int attribute(cudaDeviceAttr name) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, name, current_device()), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

int64_t largest_shared_memory() { return attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin); }

int multiprocessors() { return attribute(cudaDevAttrMultiProcessorCount); }

void allow_shared_memory(const void* kernel, const char* name) {
  static std::mutex mutex;
  static std::set<std::pair<int, const void*>> allowed;
  const std::pair<int, const void*> key(current_device(), kernel);
  const std::lock_guard<std::mutex> lock(mutex);
  if (allowed.count(key) != 0) return;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                  static_cast<int>(largest_shared_memory())),
             name);
  allowed.insert(key);
}

void check_grid(const char* name, const Grid& grid) {
  constexpr int64_t kMostX = 2147483647, kMostY = 65535;
  if (grid.x <= kMostX && grid.y <= kMostY) return;
  throw std::runtime_error(std::string(name) + " would take " + std::to_string(grid.x) + " x " +
                           std::to_string(grid.y) + " blocks, a launch takes at most " +
                           std::to_string(kMostX) + " x " + std::to_string(kMostY) +
                           ": give it a smaller batch");
}

}  // namespace tedg::gpu
