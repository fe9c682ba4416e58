#include "program.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace tedg::nethack {
namespace {

int distance_to(int east, int south) { return std::max(std::abs(east), std::abs(south)); }

// Squares or steps to an object; 0 where there is none.
double distance_of(const Facts& facts, Slot object) {
  if (object.index < 0 || object.index >= facts.count(object.kind)) return 0;
  return facts.own(object.kind, object.index)[0];  // Placed::distance and PlaceFact::steps
}

double distance(const Facts& facts, Slot one, Slot other) {
  const bool both = one.index >= 0 && other.index >= 0 && one.index < facts.count(one.kind) &&
                    other.index < facts.count(other.kind);
  if (!both || one.kind >= kFirstPlace || other.kind >= kFirstPlace) {
    return std::max(distance_of(facts, one), distance_of(facts, other));
  }
  const double* a = facts.own(one.kind, one.index);
  const double* b = facts.own(other.kind, other.index);
  return std::max(std::abs(a[Placed::east] - b[Placed::east]),
                  std::abs(a[Placed::south] - b[Placed::south]));
}

class Machine {
 public:
  Machine(const double* constants, const Facts& facts, Slots& slots)
      : constants_(constants), facts_(facts), slots_(slots) {}

  double* run(const Instruction* at, const Instruction* end, double* top) {
    for (; at < end; ++at) {
      const Instruction& i = *at;
      switch (i.operation) {
          // clang-format off
        case Operation::CONST: *top++ = constants_[i.a]; break;
        case Operation::FACT:
          *top++ = facts_.value(slots_[i.a].kind, slots_[i.a].index, i.b);
          break;
        case Operation::ONLY: *top++ = facts_.own(i.a, 0)[i.b]; break;
        case Operation::ADD: --top; top[-1] += top[0]; break;
        case Operation::SUB: --top; top[-1] -= top[0]; break;
        case Operation::MUL: --top; top[-1] *= top[0]; break;
        case Operation::DIV: --top; top[-1] = top[0] == 0 ? 0 : top[-1] / top[0]; break;
        case Operation::NEG: top[-1] = -top[-1]; break;
        case Operation::ABS: top[-1] = std::abs(top[-1]); break;
        case Operation::MIN: --top; top[-1] = std::min(top[-1], top[0]); break;
        case Operation::MAX: --top; top[-1] = std::max(top[-1], top[0]); break;
        case Operation::LT: --top; top[-1] = top[-1] < top[0]; break;
        case Operation::LE: --top; top[-1] = top[-1] <= top[0]; break;
        case Operation::EQ: --top; top[-1] = top[-1] == top[0]; break;
        case Operation::NE: --top; top[-1] = top[-1] != top[0]; break;
        case Operation::AND: --top; top[-1] = top[-1] != 0 && top[0] != 0; break;
        case Operation::OR: --top; top[-1] = top[-1] != 0 || top[0] != 0; break;
        case Operation::NOT: top[-1] = top[-1] == 0; break;
        case Operation::IN:
          top[-1] = std::find(constants_ + i.a, constants_ + i.a + i.b, top[-1]) !=
                    constants_ + i.a + i.b;
          break;
        case Operation::AWAY: *top++ = farther(facts_, slots_[i.a].index, slots_[i.b]) > 0; break;
        case Operation::TOWARD: *top++ = farther(facts_, slots_[i.a].index, slots_[i.b]) < 0; break;
        case Operation::DISTANCE: *top++ = distance(facts_, slots_[i.a], slots_[i.b]); break;
        default: top = aggregate(i, at + 1, top); at += i.c; break;
          // clang-format on
      }
    }
    return top;
  }

 private:
  double* aggregate(const Instruction& i, const Instruction* body, double* top) {
    const int count = facts_.count(i.b);
    Slot& slot = slots_[i.a];
    slot.kind = i.b;
    double result = 0;
    bool found = false;
    for (slot.index = 0; slot.index < count; ++slot.index) {
      run(body, body + i.c, top);
      if (top[0] == 0) continue;
      switch (i.operation) {
        case Operation::COUNT: ++result; break;
        case Operation::TOTAL: result += top[1]; break;
        case Operation::MOST: result = found ? std::max(result, top[1]) : top[1]; break;
        case Operation::ANY: *top = 1; return top + 1;
        default: return top;  // NEAREST: the slot stays
      }
      found = true;
    }
    slot.index = -1;
    if (i.operation == Operation::NEAREST) return top;
    *top = result;
    return top + 1;
  }

  const double* constants_;
  const Facts& facts_;
  Slots& slots_;
};

struct Shape {
  int takes, leaves;
};
constexpr Shape kShapes[] = {
#define TEDG_SHAPE(name, number, takes, leaves) {takes, leaves},
    TEDG_OPERATIONS(TEDG_SHAPE)
#undef TEDG_SHAPE
};

// Follows a program without running it; throws for what `run` could not do safely.
class Checker {
 public:
  Checker(const std::vector<Instruction>& code, int constants, std::array<int, 2> kinds)
      : code_(code), constants_(constants) {
    for (int i = 0; i < 2; ++i) kinds_[i] = kinds[i];
  }

  void check() {
    if (code_.empty() || code_.size() > kMostInstructions) fail(0, "another length");
    if (block(0, static_cast<int>(code_.size()), 0) != 1) fail(0, "no single result");
  }

 private:
  [[noreturn]] static void fail(int at, const char* what) {
    throw std::invalid_argument("a program has " + std::string(what) + " at instruction " +
                                std::to_string(at));
  }

  bool attribute(int kind, int number) const {
    return number >= 0 && number < static_cast<int>(vocabulary()[kind].attributes.size());
  }
  int slot(int at, int number) const {
    if (number < 0 || number >= kSlots || kinds_[number] < 0) fail(at, "an empty slot");
    return kinds_[number];
  }

  // Depth of the stack after code_[begin, end).
  int block(int begin, int end, int depth) {
    for (int at = begin; at < end; ++at) {
      const Instruction& i = code_[at];
      if (i.operation < 0 || i.operation >= Operation::OPERATIONS) fail(at, "no such operation");
      const Shape shape = kShapes[i.operation];
      if (depth < shape.takes) fail(at, "too little on the stack");
      switch (i.operation) {
        case Operation::CONST:
          if (i.a < 0 || i.a >= constants_) fail(at, "no such constant");
          break;
        case Operation::IN:
          if (i.a < 0 || i.b < 0 || i.a > constants_ || i.b > constants_ - i.a) {
            fail(at, "no such constants");
          }
          break;
        case Operation::FACT:
          if (!attribute(slot(at, i.a), i.b)) fail(at, "no such attribute");
          break;
        case Operation::ONLY:
          if (i.a < 0 || i.a >= Kind::direction || !attribute(i.a, i.b)) {
            fail(at, "no such attribute");
          }
          break;
        case Operation::AWAY:
        case Operation::TOWARD:
          if (slot(at, i.a) != Kind::direction || slot(at, i.b) <= Kind::direction) {
            fail(at, "a relation between other kinds");
          }
          break;
        case Operation::DISTANCE:
          if (slot(at, i.a) <= Kind::direction || slot(at, i.b) <= Kind::direction) {
            fail(at, "a distance between other kinds");
          }
          break;
        case Operation::COUNT:
        case Operation::ANY:
        case Operation::TOTAL:
        case Operation::MOST:
        case Operation::NEAREST: {
          if (i.a < 2 || i.a >= kSlots || i.b < Kind::direction || i.b >= Kind::COUNT || i.c < 1 ||
              i.c > end - at - 1) {
            fail(at, "an aggregate out of bounds");
          }
          if (running_[i.a]) fail(at, "an aggregate in another's slot");
          const int before = kinds_[i.a];
          kinds_[i.a] = i.b;
          running_[i.a] = true;
          const int results =
              i.operation == Operation::TOTAL || i.operation == Operation::MOST ? 2 : 1;
          if (block(at + 1, at + 1 + i.c, depth) != depth + results) {
            fail(at, "an aggregate with another body");
          }
          running_[i.a] = false;
          if (i.operation != Operation::NEAREST) kinds_[i.a] = before;
          at += i.c;
          break;
        }
        default: break;
      }
      depth += shape.leaves - shape.takes;
      if (depth > kDeepestStack - 4) fail(at, "too deep a stack");
    }
    return depth;
  }

  const std::vector<Instruction>& code_;
  int constants_;
  std::array<int, kSlots> kinds_{-1, -1, -1, -1};
  std::array<bool, kSlots> running_{};  // an aggregate around this place runs over it
};

// The same test of the other side, and the opposite one.
Comparison::Test mirrored(Comparison::Test test) {
  using enum Comparison::Test;
  constexpr Comparison::Test kMirrored[] = {kNone,     kMore, kAtLeast, kEqual,
                                            kNotEqual, kLess, kAtMost};
  return kMirrored[test];
}
Comparison::Test opposite(Comparison::Test test) {
  using enum Comparison::Test;
  constexpr Comparison::Test kOpposite[] = {kNone,  kAtLeast, kMore, kNotEqual,
                                            kEqual, kAtMost,  kLess};
  return kOpposite[test];
}

// Recognises "attribute", "not attribute", "attribute < constant" and the like. Facts are never
// NaN.
Comparison comparison_of(const std::vector<Instruction>& code, std::array<int, 2> kinds,
                         const std::vector<double>& constants) {
  auto loads = [](const Instruction& i) {
    return i.operation == Operation::ONLY || (i.operation == Operation::FACT && i.a == 0);
  };
  auto reading = [&](const Instruction& i, Comparison::Test test, double constant) {
    const bool single = i.operation == Operation::ONLY;
    return Comparison{test, single, single ? i.a : kinds[0], i.b, constant};
  };
  Comparison found{};
  const bool negated = code.size() > 1 && code.back().operation == Operation::NOT;
  const size_t size = code.size() - negated;
  if (size == 1 && loads(code[0])) {
    found = reading(code[0], Comparison::kNotEqual, 0);
  } else if (size == 3) {
    Comparison::Test test = code[2].operation == Operation::LT   ? Comparison::kLess
                            : code[2].operation == Operation::LE ? Comparison::kAtMost
                            : code[2].operation == Operation::EQ ? Comparison::kEqual
                            : code[2].operation == Operation::NE ? Comparison::kNotEqual
                                                                 : Comparison::kNone;
    if (test != Comparison::kNone && loads(code[0]) && code[1].operation == Operation::CONST) {
      found = reading(code[0], test, constants[code[1].a]);
    } else if (test != Comparison::kNone && code[0].operation == Operation::CONST &&
               loads(code[1])) {
      found = reading(code[1], mirrored(test), constants[code[0].a]);
    }
  }
  // Of an object there must be one to compare, of the only object of its kind none.
  if (found.single != (kinds[0] < 0) || kinds[1] >= 0) found.test = Comparison::kNone;
  if (negated) found.test = opposite(found.test);
  return found;
}

}  // namespace

int farther(const Facts& facts, int direction, Slot object) {
  if (direction < 0 || direction >= 8) return 0;
  if (object.index < 0 || object.index >= facts.count(object.kind)) return 0;
  if (object.kind >= kFirstPlace) {  // known by the way to it only
    const int first = facts.place(object.kind, object.index).direction;
    return first < 0 ? 1 : first == direction ? -1 : 0;
  }
  const double* values = facts.own(object.kind, object.index);
  const int east = static_cast<int>(values[Placed::east]);
  const int south = static_cast<int>(values[Placed::south]);
  return distance_to(east - kStepColumn[direction], south - kStepRow[direction]) -
         distance_to(east, south);
}

int Programs::add(std::vector<Instruction> code, std::array<int, 2> kinds) {
  for (const int kind : kinds) {
    if (kind < -1 || kind >= Kind::COUNT) throw std::invalid_argument("no such kind of object");
  }
  Checker(code, static_cast<int>(constants_.size()), kinds).check();
  comparisons_.push_back(comparison_of(code, kinds, constants_));
  codes_.push_back(std::move(code));
  return static_cast<int>(codes_.size()) - 1;
}

double Programs::run(int program, const Facts& facts, Slots& slots) const {
  double stack[kDeepestStack];
  const std::vector<Instruction>& code = codes_[program];
  Machine(constants_.data(), facts, slots).run(code.data(), code.data() + code.size(), stack);
  return stack[0];
}

}  // namespace tedg::nethack
