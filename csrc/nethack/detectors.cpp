// Every detector is a template over what is done with its conditions: with a Finder their bits are
// stored, and their names cost nothing; with a Namer only their names are taken. So name and
// meaning stand side by side, as in the Python detectors.
#include "detectors.h"

#include <stdexcept>
#include <string_view>

#include "detectors/messages.h"
#include "detectors/moves.h"
#include "detectors/player.h"
#include "detectors/surroundings.h"
#include "detectors/ways.h"

namespace tedg::nethack {
namespace {

constexpr std::string_view kCompass[8] = {"north",     "east",      "south",     "west",
                                          "northeast", "southeast", "southwest", "northwest"};

class Finder {
 public:
  // Tells whether the condition holds.
  void operator()(const char*, bool holds) { put(holds, 1); }
  // The same for "name_{}" towards the first `ways` directions, as bits.
  void towards(const char*, unsigned bits, int ways = 8) { put(bits, ways); }

  const Found& found() const { return found_; }

 private:
  void put(uint64_t bits, int count) {
    const int word = next_ / 64, bit = next_ % 64;
    found_.words[word] |= bits << bit;
    if (bit + count > 64) found_.words[word + 1] |= bits >> (64 - bit);
    next_ += count;
  }

  Found found_;
  int next_ = 0;
};

class Namer {
 public:
  void operator()(const char* name, bool) { names.emplace_back(name); }
  void towards(const char* name, unsigned, int ways = 8) {
    const std::string_view pattern(name);
    const std::string stem(pattern.substr(0, pattern.find("{}")));
    for (int way = 0; way < ways; ++way) names.push_back(stem + std::string(kCompass[way]));
  }

  std::vector<std::string> names;
};

template <class Out>
void find_all(const View& view, Out& out) {
  find_messages(view, out);
  find_moves(view, out);
  find_player(view, out);
  find_surroundings(view, out);
  find_ways(view, out);
}

}  // namespace

Found find_conditions(const View& view) {
  Finder out;
  find_all(view, out);
  return out.found();
}

std::vector<std::string> condition_names() {
  Tables tables;
  tables.properties.assign(1 << 16, 0);
  tables.classes.assign(1 << 16, 0);
  tables.stone = 0;
  tables.class_of_terrain = {};
  const int64_t blstats[kBlstats] = {};
  const int32_t misc[kMisc] = {};
  const std::vector<uint8_t> glyphs(2 * kSquares, 0);
  const Scene scene({glyphs.data(), blstats, nullptr, misc}, Told{});
  Memory memory(tables);
  memory.update(tables, scene, glyphs.data(), -1);
  const Ways ways{};
  Namer out;
  find_all(View(tables, scene, memory, ways, -1), out);
  if (out.names.size() > kMostConditions) throw std::length_error("raise kMostConditions");
  return out.names;
}

}  // namespace tedg::nethack
