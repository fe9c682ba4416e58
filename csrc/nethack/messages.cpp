#include "messages.h"

#include <algorithm>
#include <bitset>
#include <cstring>

namespace tedg::nethack {
namespace {

// "{a|b}" in a pattern stands for either.
std::vector<std::string> expand(std::string_view pattern) {
  const size_t open = pattern.find('{');
  if (open == std::string_view::npos) return {std::string(pattern)};
  const size_t close = pattern.find('}', open);
  std::vector<std::string> result;
  for (size_t begin = open + 1; begin <= close;) {
    const size_t end = std::min(close, pattern.find('|', begin));
    for (const std::string& rest : expand(pattern.substr(close + 1))) {
      std::string one(pattern.substr(0, open));
      result.push_back(one.append(pattern.substr(begin, end - begin)).append(rest));
    }
    begin = end + 1;
  }
  return result;
}

// least to most characters, none of them a newline, then `words`.
bool after_gap(std::string_view text, size_t least, size_t most, std::string_view words) {
  for (size_t gap = 0; gap <= most && gap < text.size(); ++gap) {
    if (gap >= least && text.substr(gap).starts_with(words)) return true;
    if (text[gap] == '\n') return false;
  }
  return false;
}

}  // namespace

MessageReader::MessageReader(const std::array<uint8_t, Action::NUM_ACTIONS>& keys) : keys_(keys) {
  add(Said::DIRECTION_PROMPT, "In what direction?");
  add(Said::EAT_ITEM_PROMPT, "What do you want to eat?");
  add(Said::EAT_HERE_PROMPT, "eat {it|one}?");
  add(Said::EAT_HERE_PROMPT, "{Continue|Stop} eating");
  add(Said::ATTACK_PROMPT, "Really attack");
  add(Said::PRAY_PROMPT, "want to pray?");
  add(Said::DOOR_LOCKED, "{D|d}oor is locked");
  add(Said::DOOR_OPENED, "door opens");
  add(Said::DOOR_RESISTS, "{door resists|door is stuck|WHAMM|Thump|THUD}");
  add(Said::DOOR_BROKEN, "{door crashes open|door shatters|door breaks|kick the door}");
  add(Said::NO_DIAGONAL, "can't move diagonally");
  add(Said::NO_DIAGONAL, "{carrying too much to get through|tight squeeze}");
  add(Said::BOULDER_STUCK, "{boulder, but in vain|cannot move past}");
  add(Said::BOULDER_STUCK, "{T|t}here is a boulder in your way");
  add(Said::IN_THE_WAY, "{in the way|blocks your path|want to swap places}");
  add(Said::IN_THE_WAY, "move out of ", Then::kWay);
  add(Said::KILLED, "You {kill|destroy} ");
  add(Said::KILLED, "is {killed|destroyed}");
  add(Said::UNDEAD_KILLED, "{zombie|mummy}!");
  add(Said::HIT_ME, "{bites|hits|stings|touches you|claws|kicks|butts|burns|zaps|stabs}",
      Then::kExclamation);
  add(Said::MISSED_ME, "misses", Then::kEndOfMiss);
  add(Said::I_HIT, "You {hit|strike|kick|bite|claw|punch|slap|jab} ", Then::kNotAtEmpty);
  add(Said::I_MISSED, "{You miss|Your kick misses|clumsy kick}");
  add(Said::OBJECT_HERE, "You {see|feel} here");
  add(Said::OBJECT_HERE, "{several|many} objects here");
  add(Said::CORPSE_HERE, "{see|feel} here ", Then::kCorpse);
  add(Said::CORPSE_HERE, "{corpse|corpses} here; eat");
  add(Said::TRAPPED, "You {fall into|land on|are still in|crawl to|are stuck|cannot pull}");
  add(Said::TRAPPED, "in {a|the} {|spiked |bear }{pit|trap|web}");
  add(Said::TRAPPED, "{bear trap|trapdoor|trap door|cannot escape|held by|stuck to}");
  add(Said::SHOP, "{for sale|Welcome to |Welcome again to |zorkmid|shopkeeper}");
  add(Said::SHOP, "leave the ", Then::kOutside);
  add(Said::FOUND, "You find ");
  add(Said::STAIRS_DOWN_HERE, "{staircase|ladder} down here");
  add(Said::STAIRS_UP_HERE, "{staircase|ladder} up here");
  add(Said::DEADLY_FOOD, "{cockatrice|chickatrice|Medusa|green slime} {corpse|egg}");
  add(Said::RISKY_FOOD,
      "{jelly|mold|acid blob|gremlin|werejackal|wererat|werewolf|bat|dog|cat|kitten|human"
      "|elf|leprechaun|nymph|stalker|mimic|zombie|mummy} corpse");
  add(Said::POISONOUS_FOOD,
      "{kobold|kobold lord|kobold shaman|homunculus|quasit|bee|soldier ant|centipede|scorpion"
      "|snake|cobra|moccasin|viper|spider|rabid rat} corpse");
  add(Said::PAIN, "{Ouch!|That hurts|Your leg}");
  add(Said::NOISE, "You hear ");
  add(Said::OVERFULL, "{hard time getting all of it down|stuffed|choke}");

  add(Said::NO_FOOD, "have anything to eat");
  add(Said::GUARD, "{follow me|Follow me|Hello stranger|I don't know you}");

  std::sort(phrases_.begin(), phrases_.end(),
            [](const Phrase& a, const Phrase& b) { return a.words < b.words; });
  size_t next = 0;
  for (size_t first = 0; first <= 256; ++first) {
    while (next < phrases_.size() && static_cast<uint8_t>(phrases_[next].words[0]) < first) ++next;
    first_[first] = static_cast<uint16_t>(next);
  }
  for (const Phrase& phrase : phrases_) {
    const auto second = static_cast<uint8_t>(phrase.words[1]);
    second_[static_cast<uint8_t>(phrase.words[0])][second >> 6] |= uint64_t{1} << (second & 63);
  }
}

void MessageReader::add(uint64_t said, std::string_view pattern, Then then) {
  for (std::string& words : expand(pattern)) phrases_.push_back({std::move(words), said, then});
}

Told MessageReader::read(const uint8_t* message) const {
  const void* nul = std::memchr(message, 0, kMessage);
  const size_t length = nul ? static_cast<const uint8_t*>(nul) - message : size_t{kMessage};
  const std::string_view text(reinterpret_cast<const char*>(message), length);
  Told told;
  for (size_t i = 0; i + 1 < length; ++i) {
    const uint8_t second = message[i + 1];
    if (!(second_[message[i]][second >> 6] >> (second & 63) & 1)) continue;
    for (size_t k = first_[message[i]]; k < first_[message[i] + 1]; ++k) {
      const Phrase& phrase = phrases_[k];
      if (text.compare(i, phrase.words.size(), phrase.words) == 0 &&
          goes_on(phrase.then, text, i, i + phrase.words.size())) {
        told.said |= phrase.said;
      }
    }
  }
  if (told.said & Said::EAT_ITEM_PROMPT) told.offered = offered(text);
  return told;
}

// Whether text[begin, end), a phrase's words, stands where it must.
bool MessageReader::goes_on(Then then, std::string_view text, size_t begin, size_t end) const {
  std::string_view rest = text.substr(end);
  switch (then) {
    case Then::kNothing: return true;
    case Then::kNotAtEmpty: return !rest.starts_with("at empty");
    case Then::kWay: return after_gap(rest, 1, 40, " way");
    case Then::kCorpse: return after_gap(rest, 0, 60, "corpse");
    case Then::kOutside: return after_gap(rest, 1, 20, " outside");
    case Then::kExclamation:
    case Then::kEndOfMiss: break;
  }
  if (then == Then::kEndOfMiss && text.substr(0, begin).ends_with("You ")) return false;
  if (rest.starts_with(" you")) rest.remove_prefix(4);
  return rest.starts_with('!') || (then == Then::kEndOfMiss && rest.starts_with('.'));
}

// The actions whose keys are among the letters in "[abc or ?*]", where "a-c" is a range.
uint32_t MessageReader::offered(std::string_view text) const {
  const size_t open = text.find('[');
  if (open == std::string_view::npos) return 0;
  const size_t close = text.find(']', open);
  if (close == std::string_view::npos) return 0;
  std::string_view letters = text.substr(open + 1, close - open - 1);
  if (letters.ends_with(" or ?*")) letters.remove_suffix(6);
  std::bitset<256> listed;
  for (size_t i = 0; i < letters.size();) {
    const bool range = i + 2 < letters.size() && letters[i + 1] == '-';
    const unsigned low = static_cast<uint8_t>(letters[i]);
    const unsigned high = range ? static_cast<uint8_t>(letters[i + 2]) : low;
    for (unsigned letter = low; letter <= high; ++letter) listed.set(letter);
    i += range ? 3 : 1;
  }
  uint32_t bits = 0;
  for (int action = 0; action < Action::PRAY; ++action) {  // whose key is no letter
    bits |= static_cast<uint32_t>(listed[keys_[action]]) << action;
  }
  return bits;
}

}  // namespace tedg::nethack
