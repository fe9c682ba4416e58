// The scheduler of cuda_emulation.h: fibers that hand over to it when they must wait.
//
// This file is compiled without sanitizers, as it switches stacks under their feet.
#include "cuda_emulation.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <memory>
#include <stdexcept>

extern "C" void __asan_unpoison_memory_region(const volatile void*, size_t) __attribute__((weak));

namespace emulation {
namespace {

constexpr size_t kStackBytes = 256 * 1024;

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

struct Fiber {
  ucontext_t start;
  void* resume[5];  // where it left off, for __builtin_longjmp
  bool begun = false;
  void* stack = nullptr;
  State state = State::kDone;
  WarpOp op{};
  unsigned mask = 0;
  uint64_t value = 0, result = 0;
  int source = 0;
  std::vector<Copy> copies;
};

std::vector<std::unique_ptr<Fiber>> fibers;  // reused from launch to launch
unsigned count = 0;                          // of this launch's block
unsigned current = 0;
unsigned waiting = 0, left = 0;              // at the barrier; gone from the kernel
Place here;
const std::function<void()>* kernel = nullptr;
std::string failure;
unsigned char* shared = nullptr;
bool descending = false;
void* scheduler[5];

// The jumps are functions of their own: setjmp and longjmp must not share one.
__attribute__((noinline)) void jump(void** to) { __builtin_longjmp(to, 1); }

__attribute__((noinline)) void leave() {
  if (__builtin_setjmp(fibers[current]->resume) == 0) jump(scheduler);
}

[[noreturn]] void fail(const std::string& what) {
  failure = what + " (block " + std::to_string(here.block.x) + ", thread " +
            std::to_string(current) + ")";
  for (;;) leave();  // never resumed
}

void body() {
  for (;;) {
    (*kernel)();
    if (!fibers[current]->copies.empty()) fail("a thread left with copies it never waited for");
    fibers[current]->state = State::kDone;
    ++left;
    leave();
  }
}

__attribute__((noinline)) void resume(Fiber& fiber) {
  if (__builtin_setjmp(scheduler) != 0) return;
  if (fiber.begun) jump(fiber.resume);
  fiber.begun = true;
  setcontext(&fiber.start);
}

void prepare(Fiber& fiber) {
  if (fiber.stack == nullptr) {
    fiber.stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                       -1, 0);
    if (fiber.stack == MAP_FAILED) throw std::runtime_error("no memory for the emulated threads");
  }
  if (!fiber.begun) {
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack;
    fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, body, 0);
  }
  fiber.state = State::kReady;
  fiber.copies.clear();
}

// After an error the fibers are abandoned in the middle of the kernel.
void abandon() {
  for (auto& fiber : fibers) {
    fiber->begun = false;
    if (__asan_unpoison_memory_region != nullptr) {
      __asan_unpoison_memory_region(fiber->stack, kStackBytes);
    }
  }
}

// If all lanes that the mask names have come to the same operation: gives each its result.
bool complete_warp(unsigned first, unsigned mask) {
  uint64_t votes = 0;
  for (unsigned l = 0; l < 32; ++l) {
    if ((mask >> l & 1) == 0) continue;
    if (first + l >= count) return false;
    const Fiber& fiber = *fibers[first + l];
    if (fiber.state != State::kInWarp || fiber.mask != mask ||
        fiber.op != fibers[current]->op) {
      return false;
    }
    votes |= uint64_t{fiber.value != 0} << l;
  }
  for (unsigned l = 0; l < 32; ++l) {
    if ((mask >> l & 1) == 0) continue;
    Fiber& fiber = *fibers[first + l];
    fiber.result = fiber.op == WarpOp::kShuffle ? fibers[first + fiber.source]->value : votes;
    fiber.state = State::kReady;
  }
  return true;
}

std::string why_stuck() {
  for (unsigned i = 0; i < count; ++i) {
    if (fibers[i]->state == State::kInWarp) {
      return "thread " + std::to_string(i) +
             " waits in a warp operation for lanes of its mask that never come";
    }
  }
  return "some threads wait at a barrier that others never reach";
}

void run_block(size_t shared_bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 16, shared_bytes > 0 ? shared_bytes : 1) != 0) {
    throw std::runtime_error("no memory for the emulated shared memory");
  }
  memset(memory, 0xff, shared_bytes);
  shared = static_cast<unsigned char*>(memory);
  waiting = left = 0;
  for (unsigned i = 0; i < count; ++i) prepare(*fibers[i]);
  while (failure.empty() && left < count) {
    bool moved = false;
    for (unsigned i = 0; i < count && failure.empty(); ++i) {
      current = descending ? count - 1 - i : i;
      here.thread.x = current;
      if (fibers[current]->state == State::kReady) {
        moved = true;
        resume(*fibers[current]);
      }
    }
    if (!moved && failure.empty()) {
      failure = why_stuck() + " (block " + std::to_string(here.block.x) + ")";
    }
  }
  free(memory);
}

}  // namespace

const Place& place() { return here; }
int lane() { return static_cast<int>(current % 32); }
unsigned char* shared_memory() { return shared; }

uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int source_lane) {
  Fiber& fiber = *fibers[current];
  if ((mask >> lane() & 1) == 0) fail("a lane that its own mask does not name");
  if (op == WarpOp::kShuffle &&
      (source_lane < 0 || source_lane >= 32 || (mask >> source_lane & 1) == 0)) {
    fail("a shuffle from a lane that the mask does not name");
  }
  fiber.op = op;
  fiber.mask = mask;
  fiber.value = value;
  fiber.source = source_lane;
  fiber.state = State::kInWarp;
  if (!complete_warp(current / 32 * 32, mask)) leave();
  return fiber.result;
}

void barrier() {
  fibers[current]->state = State::kAtBarrier;
  if (++waiting < count) {
    leave();
    return;
  }
  waiting = 0;
  for (unsigned i = 0; i < count; ++i) fibers[i]->state = State::kReady;
}

void trap() {
  fail("trap: an index is out of range");
}

void copy_later(void* to, const void* from, size_t bytes) {
  fibers[current]->copies.push_back({to, from, bytes});
}
void finish_copies() {
  for (const Copy& copy : fibers[current]->copies) memcpy(copy.to, copy.from, copy.bytes);
  fibers[current]->copies.clear();
}

std::string run(unsigned blocks, unsigned threads, size_t shared_bytes,
                const std::function<void()>& f) {
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  count = threads;
  kernel = &f;
  failure.clear();
  here = Place{{0, 0, 0}, {0, 0, 0}, {threads, 1, 1}, {blocks, 1, 1}};
  for (unsigned block = 0; block < blocks && failure.empty(); ++block) {
    here.block.x = block;
    run_block(shared_bytes);
  }
  if (!failure.empty()) abandon();
  return failure;
}

}  // namespace emulation

namespace tedg::gpu {
void launch_failed(const char* name, const std::string& error) {
  throw std::runtime_error("CUDA error in " + std::string(name) + ": " + error);
}
}  // namespace tedg::gpu

// 0: ascending, 1: descending order of the threads.
extern "C" __attribute__((visibility("default"))) void tedg_emulation_schedule(int order) {
  emulation::descending = order != 0;
}
