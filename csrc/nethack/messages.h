// What the game's message line says, as bits: phrases found without regular expressions.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "constants.h"

namespace tedg::nethack {

struct Told {
  uint64_t said = 0;     // Said bits
  uint32_t offered = 0;  // bits of the actions whose keys an eating prompt lists
};

// Finds all phrases in one pass over the text: the first two bytes of every place in it decide
// whether any phrase can begin there. Immutable once built.
class MessageReader {
 public:
  explicit MessageReader(const std::array<uint8_t, Action::NUM_ACTIONS>& keys);

  // message: kMessage bytes, of which those before the first NUL count.
  Told read(const uint8_t* message) const;

 private:
  // What must follow (or not precede) a phrase's words.
  enum class Then : uint8_t {
    kNothing,
    kNotAtEmpty,   // not "at empty"
    kExclamation,  // "!", perhaps after " you"
    kEndOfMiss,    // "!" or ".", perhaps after " you"; and "You " does not precede
    kWay,          // 1 to 40 characters, then " way"
    kCorpse,       // 0 to 60 characters, then "corpse"
    kOutside,      // 1 to 20 characters, then " outside"
  };
  struct Phrase {
    std::string words;
    uint64_t said;
    Then then;
  };

  void add(uint64_t said, std::string_view pattern, Then then = Then::kNothing);
  bool goes_on(Then then, std::string_view text, size_t begin, size_t end) const;
  uint32_t offered(std::string_view text) const;

  std::array<uint8_t, Action::NUM_ACTIONS> keys_;
  std::vector<Phrase> phrases_;        // sorted by their words
  std::array<uint16_t, 257> first_{};  // [b]: the first phrase whose first byte is >= b
  std::array<std::array<uint64_t, 4>, 256> second_{};  // bits of the bytes that follow a first one
};

}  // namespace tedg::nethack
