// The scheduler of cuda_emulation.h: fibers that hand over to it when they must wait.
//
// This file is compiled without sanitizers, as it switches stacks under their feet.
#include "cuda_emulation.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <map>
#include <memory>
#include <stdexcept>

// There with the sanitizer that has them, else null.
extern "C" {
#define TEDG_WEAK __attribute__((weak))
void __asan_unpoison_memory_region(const volatile void*, size_t) TEDG_WEAK;
void* __tsan_get_current_fiber() TEDG_WEAK;
void* __tsan_create_fiber(unsigned flags) TEDG_WEAK;
void __tsan_destroy_fiber(void* fiber) TEDG_WEAK;
void __tsan_switch_to_fiber(void* fiber, unsigned flags) TEDG_WEAK;
void __tsan_acquire(void* token) TEDG_WEAK;
void __tsan_release(void* token) TEDG_WEAK;
void __tsan_read_range(void* from, unsigned long bytes) TEDG_WEAK;
void __tsan_write_range(void* to, unsigned long bytes) TEDG_WEAK;
}

namespace emulation {

std::string last_failure;
Place here;

namespace {

// AddressSanitizer's frames are large; ThreadSanitizer pays for every page, anew for each block.
const size_t kStackBytes = (__tsan_create_fiber == nullptr ? 256 : 64) * 1024;

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  int group;
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
  std::vector<Copy> copies;  // begun and not waited for
  int groups = 0;            // of copies, committed so far
  void* tsan = nullptr;
  unsigned syncs = 0;  // how often it came to __syncwarp
};

std::vector<std::unique_ptr<Fiber>> fibers;  // reused from launch to launch
unsigned count = 0;                          // of this launch's block
unsigned current = 0;
unsigned waiting = 0, left = 0;              // at the barrier; gone from the kernel
const std::function<void()>* kernel = nullptr;
std::string failure;
unsigned char* shared = nullptr;
bool descending = false;
void* scheduler[5];
std::map<const void*, size_t> allowed;  // shared memory by kernel, where more than the usual
std::vector<void*> old_shared;          // freed at the launch's end: blocks share no memory

// ThreadSanitizer: every fiber is a thread, ordered with others by these tokens alone.
void* main_fiber = nullptr;
unsigned barriers = 0;
char barrier_token[2], launch_token, warp_token[kMostThreads / 32][2];

void acquire(void* token) {
  if (__tsan_acquire != nullptr) __tsan_acquire(token);
}
void release(void* token) {
  if (__tsan_release != nullptr) __tsan_release(token);
}
void switch_to(void* fiber) {
  constexpr unsigned kNoOrder = 1;
  if (__tsan_switch_to_fiber != nullptr) __tsan_switch_to_fiber(fiber, kNoOrder);
}

// The jumps are functions of their own: setjmp and longjmp must not share one.
__attribute__((noinline)) void jump(void** to) { __builtin_longjmp(to, 1); }

__attribute__((noinline)) void leave() {
  if (__builtin_setjmp(fibers[current]->resume) == 0) {
    switch_to(main_fiber);
    jump(scheduler);
  }
}

[[noreturn]] void fail(const std::string& what) {
  failure = what + " (block " + std::to_string(here.block.x) + ", " +
            std::to_string(here.block.y) + ", thread " + std::to_string(current) + ")";
  for (;;) leave();  // never resumed
}

void body() {
  for (;;) {
    (*kernel)();
    if (!fibers[current]->copies.empty()) fail("a thread left with copies it never waited for");
    fibers[current]->state = State::kDone;
    ++left;
    release(&launch_token);
    leave();
  }
}

__attribute__((noinline)) void resume(Fiber& fiber) {
  if (__builtin_setjmp(scheduler) != 0) return;
  switch_to(fiber.tsan);
  if (fiber.begun) jump(fiber.resume);
  fiber.begun = true;
  setcontext(&fiber.start);
}

void prepare(Fiber& fiber) {
  if (__tsan_create_fiber != nullptr) {  // a thread that no one has seen, on a stack of its own
    fiber.tsan = __tsan_create_fiber(0);
    if (fiber.stack != nullptr) munmap(fiber.stack, kStackBytes);
    fiber.stack = nullptr;
    fiber.begun = false;
  }
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
  fiber.groups = 0;
  fiber.syncs = 0;
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
  if (posix_memalign(&memory, 128, shared_bytes > 0 ? shared_bytes : 1) != 0) {
    throw std::runtime_error("no memory for the emulated shared memory");
  }
  memset(memory, 0xff, shared_bytes);
  shared = static_cast<unsigned char*>(memory);
  waiting = left = barriers = 0;
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
      failure = why_stuck() + " (block " + std::to_string(here.block.x) + ", " +
                std::to_string(here.block.y) + ")";
    }
  }
  if (__tsan_destroy_fiber != nullptr) {
    for (unsigned i = 0; i < count; ++i) __tsan_destroy_fiber(fibers[i]->tsan);
  }
  old_shared.push_back(memory);
}

}  // namespace

int lane() { return static_cast<int>(current % 32); }
unsigned char* shared_memory() { return shared; }

uint64_t warp_operation(WarpOp op, unsigned mask, uint64_t value, int source_lane) {
  const unsigned warp = current / 32;
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
  // Of the warp operations only __syncwarp orders memory.
  void* token = &warp_token[warp][fiber.syncs % 2];
  if (op == WarpOp::kSync) {
    ++fiber.syncs;
    release(token);
  }
  if (!complete_warp(warp * 32, mask)) leave();
  if (op == WarpOp::kSync) acquire(token);
  return fiber.result;
}

void barrier() {
  fibers[current]->state = State::kAtBarrier;
  void* token = &barrier_token[barriers % 2];
  release(token);
  if (++waiting < count) {
    leave();
  } else {
    waiting = 0;
    ++barriers;
    for (unsigned i = 0; i < count; ++i) fibers[i]->state = State::kReady;
  }
  acquire(token);
}

void trap() {
  fail("trap: an index is out of range");
}

void copy_later(void* to, const void* from, size_t bytes) {
  if ((bytes != 4 && bytes != 8 && bytes != 16) ||
      (reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % bytes != 0) {
    fail("a misaligned asynchronous copy");
  }
  if (__tsan_read_range != nullptr) {
    __tsan_read_range(const_cast<void*>(from), bytes);
    __tsan_write_range(to, bytes);
  }
  memset(to, 0xff, bytes);  // what is read too early is NaN
  fibers[current]->copies.push_back({to, from, bytes, fibers[current]->groups});
}
void commit_copies() { ++fibers[current]->groups; }
void finish_copies(int groups_left) {
  Fiber& fiber = *fibers[current];
  std::vector<Copy> later;
  for (const Copy& copy : fiber.copies) {
    if (copy.group >= fiber.groups - groups_left) {
      later.push_back(copy);
      continue;
    }
    if (__tsan_write_range != nullptr) __tsan_write_range(copy.to, copy.bytes);
    memcpy(copy.to, copy.from, copy.bytes);
  }
  fiber.copies.swap(later);
}

std::string allow_shared(const void* function, size_t bytes) {
  if (bytes > kMostShared) return "more shared memory allowed than there is";
  allowed[function] = bytes;
  return "";
}

std::string run(const void* function, dim3 blocks, unsigned threads, size_t shared_bytes,
                const std::function<void()>& f) {
  const auto found = allowed.find(function);
  if (threads == 0 || threads > kMostThreads) return "a bad number of threads";
  if (blocks.y > 65535) return "too many blocks";
  if (shared_bytes > (found == allowed.end() ? kSharedUnasked : found->second)) {
    return "more shared memory than the kernel is allowed";
  }
  if (__tsan_get_current_fiber != nullptr) main_fiber = __tsan_get_current_fiber();
  while (fibers.size() < threads) fibers.push_back(std::make_unique<Fiber>());
  count = threads;
  kernel = &f;
  failure.clear();
  here = Place{};
  here.block_dim.x = threads;
  here.grid_dim = blocks;
  for (unsigned y = 0; y < blocks.y && failure.empty(); ++y) {
    for (unsigned x = 0; x < blocks.x && failure.empty(); ++x) {
      here.block = dim3(x, y);
      run_block(shared_bytes);
    }
  }
  acquire(&launch_token);
  for (void* memory : old_shared) free(memory);
  old_shared.clear();
  if (!failure.empty()) abandon();
  return failure;
}

}  // namespace emulation

// 0: ascending, 1: descending order of the threads.
extern "C" __attribute__((visibility("default"))) void tedg_emulation_schedule(int order) {
  emulation::descending = order != 0;
}
