// The architectures that this library has code for, as CMakeLists.txt lists them, with commas.
extern "C" __attribute__((visibility("default"))) const char* tedg_cuda_architectures() {
  return TEDG_CUDA_ARCHITECTURES;
}
