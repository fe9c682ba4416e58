// Expressions over facts as small programs (tedg_fast/hypergraph/expressions.py compiles them).
//
// An instruction is four int32: an operation and its arguments a, b, c. A program leaves one value
// on a stack of doubles; truths are 0 and 1. Nothing here can fail at run time: `check` refuses
// every program that would read outside of its tables or that has another effect on the stack.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "../facts/facts.h"

namespace tedg::nethack {

// O(name, number, values taken off the stack, values put onto it)
#define TEDG_OPERATIONS(O)                                                                      \
  O(CONST, 0, 0, 1)    /* constants[a] */                                                       \
  O(FACT, 1, 0, 1)     /* attribute b of the object in slot a; 0 if there is none */            \
  O(ONLY, 2, 0, 1)     /* attribute b of the only object of kind a */                           \
  O(ADD, 3, 2, 1) O(SUB, 4, 2, 1) O(MUL, 5, 2, 1)                                               \
  O(DIV, 6, 2, 1)      /* 0 where the divisor is 0 */                                           \
  O(NEG, 7, 1, 1) O(ABS, 8, 1, 1) O(MIN, 9, 2, 1) O(MAX, 10, 2, 1)                              \
  O(LT, 11, 2, 1) O(LE, 12, 2, 1) O(EQ, 13, 2, 1) O(NE, 14, 2, 1)                               \
  O(AND, 15, 2, 1) O(OR, 16, 2, 1) O(NOT, 17, 1, 1)                                             \
  O(IN, 18, 1, 1)      /* whether the value is one of constants[a, a + b) */                    \
  O(AWAY, 19, 0, 1)    /* whether a step in slot a's direction leads farther from slot b */     \
  O(TOWARD, 20, 0, 1)  /* likewise nearer */                                                    \
  O(DISTANCE, 21, 0, 1)                                                                         \
  /* Slot a runs over the objects of kind b; the next c instructions are the body. */           \
  O(COUNT, 22, 0, 1)   /* of how many the body holds */                                         \
  O(ANY, 23, 0, 1)     /* whether it holds of one */                                            \
  O(TOTAL, 24, 0, 1)   /* the body leaves a truth, then a number: their sum where it holds */   \
  O(MOST, 25, 0, 1)    /* likewise the largest; 0 where it never holds */                       \
  O(NEAREST, 26, 0, 0) /* slot a is then the first of which the body holds, or none */          \
  O(OPERATIONS, 27, 0, 0)

struct Operation {
#define TEDG_OPERATION(name, number, takes, leaves) name = number,
  enum Value : int32_t { TEDG_OPERATIONS(TEDG_OPERATION) };
#undef TEDG_OPERATION
};

struct Instruction {
  int32_t operation, a, b, c;
};

inline constexpr int kSlots = 4;  // two variables, two nested aggregates
inline constexpr int kDeepestStack = 24;
inline constexpr int kMostInstructions = 512;  // of a program

// An object by its kind and its place among those of the kind; index -1 is none.
struct Slot {
  int kind = 0;
  int index = -1;
};
using Slots = std::array<Slot, kSlots>;

// A program that compares one attribute with a constant, as most conditions do: it needs no
// machine.
struct Comparison {
  enum Test : uint8_t { kNone, kLess, kAtMost, kEqual, kNotEqual, kMore, kAtLeast };
  Test test = kNone;  // kNone: another program
  bool single;        // of the only object of `kind`, not of the object in slot 0
  int kind;
  int attribute;
  double constant;

  bool holds(double value) const {
    switch (test) {
      case kLess: return value < constant;
      case kAtMost: return value <= constant;
      case kEqual: return value == constant;
      case kNotEqual: return value != constant;
      case kMore: return value > constant;
      default: return value >= constant;
    }
  }
};

class Programs {
 public:
  // constants: shared by all programs.
  explicit Programs(std::vector<double> constants) : constants_(std::move(constants)) {}

  // Keeps a program whose slots 0 and 1 hold objects of the given kinds (-1: unused) and returns
  // its number. Throws std::invalid_argument for one that `run` could not run safely.
  int add(std::vector<Instruction> code, std::array<int, 2> kinds);

  // The value of a program for the given objects. What aggregates leave in slots 2 and 3 does not
  // matter.
  double run(int program, const Facts& facts, Slots& slots) const;

  const Comparison& comparison(int program) const { return comparisons_[program]; }

 private:
  const std::vector<double> constants_;
  std::vector<std::vector<Instruction>> codes_;
  std::vector<Comparison> comparisons_;
};

// How far a step from the player in a direction leads away from an object: positive farther.
int farther(const Facts& facts, int direction, Slot object);

}  // namespace tedg::nethack
