#include "vocabulary.h"

#include <string_view>

namespace tedg::nethack {
namespace {

// What stands in the table's third column where it is no list of words.
constexpr const char* TERRAINS =
    "unknown,covered,floor,corridor,doorway,open_door,closed_door,stairs_up,stairs_down,furniture,"
    "trap,pit,hole,liquid,wall";
constexpr const char* MONSTERS = "";  // NLE's names
constexpr const char* LETTERS = "";   // NLE's monster classes

std::vector<std::string> split(std::string_view words) {
  std::vector<std::string> list;
  while (!words.empty()) {
    const size_t end = std::min(words.find(','), words.size());
    list.emplace_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return list;
}

AttributeInfo number(const char* name, const char* unit, const char* meaning) {
  return {name, FactType::kNumber, unit, meaning, {}, false};
}
AttributeInfo truth(const char* name, const char*, const char* meaning) {
  return {name, FactType::kTruth, "", meaning, {}, false};
}
AttributeInfo truth(const char* name, uint64_t, const char* meaning) {
  return truth(name, "", meaning);
}
AttributeInfo word(const char* name, const char* words, const char* meaning) {
  return {name, FactType::kWord, "", meaning, split(words), false};
}

std::vector<KindInfo> all_kinds() {
  std::vector<KindInfo> kinds;
#define TEDG_NUMBER(name, unit, meaning) number(#name, unit, meaning)
#define TEDG_TRUTH(name, unit, meaning) truth(#name, unit, meaning)
#define TEDG_WORD(name, words, meaning) word(#name, words, meaning)
#define TEDG_INFO(name, type, third, meaning) all.push_back(TEDG_##type(name, third, meaning));
#define TEDG_KIND_INFO(kind, limit, OWN, TABLE, meaning)                             \
  {                                                                                  \
    std::vector<AttributeInfo> all;                                                  \
    OWN(TEDG_INFO)                                                                   \
    const int own = static_cast<int>(all.size());                                    \
    TABLE(TEDG_INFO)                                                                 \
    for (size_t i = own; i < all.size(); ++i) all[i].table = true;                   \
    const bool singleton = Kind::kind < Kind::direction;                             \
    kinds.push_back({#kind, limit, singleton, Kind::kind > Kind::direction, meaning, \
                     std::move(all), own});                                          \
  }
  TEDG_KINDS(TEDG_KIND_INFO)
  return kinds;
}

}  // namespace

const std::vector<KindInfo>& vocabulary() {
  static const std::vector<KindInfo> kinds = all_kinds();
  return kinds;
}

}  // namespace tedg::nethack
