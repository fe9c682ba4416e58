#include "paths.h"

#include <algorithm>
#include <bit>

namespace tedg::nethack {
namespace {

constexpr int kMostRounds = 20;
constexpr int kStages = 4;        // of the search, see search_spots
constexpr int kEdgeSearches = 8;  // turns at each place of a room's edge, in each round

struct Goals {
  Board of[Goal::COUNT];
};

// Ground and goals (but for the search spots) out of what is known of the level. What is shown on
// the player's own square is the player.
TEDG_VECTOR_CLONES void read_map(const Memory& memory, Place player, Ground& ground, Goals& goals) {
  const LevelMap& map = memory.map();
  const uint32_t* unknown = map.of(LevelMap::kUnknown).words;
  const uint32_t* walkable = map.of(LevelMap::kWalkable).words;
  const uint32_t* traps = map.of(LevelMap::kTrap).words;
  const uint32_t* closed = map.of(LevelMap::kClosed).words;
  const uint32_t* frame = map.of(LevelMap::kFrame).words;
  const uint32_t* down = map.of(LevelMap::kDown).words;
  const uint32_t* up = map.of(LevelMap::kUp).words;
  const uint32_t* branch = map.of(LevelMap::kBranch).words;
  const uint32_t* locked = map.of(LevelMap::kLocked).words;
  const uint32_t* blocked = map.of(LevelMap::kBlocked).words;
  const uint32_t* no_diagonal = map.of(LevelMap::kNoDiagonal).words;
  const uint32_t* visited = map.of(LevelMap::kVisited).words;
  const uint32_t* tasted = map.of(LevelMap::kTasted).words;
  const uint32_t* items = map.of(LevelMap::kItem).words;
  Board gold_shown = map.of(LevelMap::kGold);
  Board meals_shown = map.of(LevelMap::kMeal);
  Board shunned_shown = map.of(LevelMap::kShunned);
  gold_shown[player.column] &= ~player.bit();
  meals_shown[player.column] &= ~player.bit();
  for (const Event& seen : memory.shunned) {
    if (seen.square < 0 || wrap_sub(memory.time, seen.time) > Memory::kWary) continue;
    const Place place = place_of(seen.square);
    shunned_shown[place.column] |= place.bit();
  }
  if (memory.sparing()) {
    const Board& monsters = map.of(LevelMap::kMonster);
    for (int column = 1; column <= kColumns; ++column) {
      for (uint32_t bits = monsters[column] & kMapRows; bits; bits &= bits - 1) {
        const int square = std::countr_zero(bits) * kWidth + column;
        if (memory.spares(map.glyph(square), memory.time)) shunned_shown[column] |= bits & -bits;
      }
    }
  }
  shunned_shown[player.column] &= ~player.bit();
  for (int i = Board::kFirst; i < Board::kEnd; ++i) {
    const uint32_t shut = closed[i] & locked[i];
    // Traps and wares are walked round where a row of three squares beside them allows that: what
    // is picked up in a shop keeps the player there.
    const uint32_t w = walkable[i - 1], m = walkable[i], e = walkable[i + 1];
    const uint32_t above = w << 1 & m << 1 & e << 1, below = w >> 1 & m >> 1 & e >> 1;
    const uint32_t left = w << 1 & w & w >> 1, right = e << 1 & e & e >> 1;
    const uint32_t no_slant = frame[i] | no_diagonal[i];
    // Before a door there is no way round.
    const uint32_t before_door = frame[i - 1] | frame[i] << 1 | frame[i] >> 1 | frame[i + 1];
    const uint32_t avoided = (traps[i] | (tasted[i] & items[i])) & ~before_door &
                             ((w & e & (above | below)) | (m << 1 & m >> 1 & (left | right)));
    const uint32_t passable = m & ~(shut | blocked[i] | shunned_shown.words[i] | avoided);
    const uint32_t across = unknown[i - 1] | unknown[i] | unknown[i + 1];
    const uint32_t near_unknown = across | across << 1 | across >> 1;
    ground.passable.words[i] = passable;
    ground.no_slant.words[i] = no_slant;
    ground.upright.words[i] = passable & ~no_slant;
    goals.of[Goal::STAIRS_DOWN].words[i] = down[i] & ~branch[i];
    goals.of[Goal::STAIRS_UP].words[i] = up[i];
    goals.of[Goal::SIDE_STAIRS].words[i] = down[i] & branch[i];
    goals.of[Goal::FRESH_CORPSE].words[i] = 0;
    goals.of[Goal::FRONTIER].words[i] = passable & near_unknown & ~visited[i];
    goals.of[Goal::GOLD].words[i] = passable & gold_shown.words[i];
    goals.of[Goal::SEARCH_SPOT].words[i] = 0;
    goals.of[Goal::MEAL].words[i] = passable & meals_shown.words[i] & ~tasted[i];
  }
  for (Board& board : goals.of) board.clear_margins();
}

TEDG_VECTOR_CLONES bool differ(const Board& one, const Board& other) {
  uint32_t different = 0;
  for (int i = Board::kFirst; i < Board::kEnd; ++i) different |= one.words[i] ^ other.words[i];
  return different != 0;
}

// Corpses of the player's own recent kills that are wise to eat.
void mark_corpses(const Tables& tables, const Scene& scene, const Memory& memory,
                  const Board& passable, Board& goals) {
  for (const Event& kill : memory.kills) {
    if (kill.square < 0 || memory.fresh_corpse(tables, kill.square, scene.time) < 0) continue;
    const Place at = place_of(kill.square);
    if (passable.has(at)) goals[at.column] |= at.bit();
  }
}

// One step of growth in all eight directions, over any ground.
TEDG_VECTOR_CLONES Board grown(const Board& from) {
  Board to;
  to.clear();
  for (int i = Board::kFirst; i < Board::kEnd; ++i) {
    const uint32_t across = from.words[i - 1] | from.words[i] | from.words[i + 1];
    to.words[i] = across | across << 1 | across >> 1;
  }
  return to;
}

// Squares within reach of parts of the map that are blank and wide enough to hold a room.
Board near_void(const LevelMap& map) {
  constexpr int kApart = 3, kReach = 8;
  Board known;
  known.clear();
  for (int column = 1; column <= kColumns; ++column) {
    known[column] = kMapRows & ~map.of(LevelMap::kUnknown)[column];
  }
  for (int i = 0; i < kApart; ++i) known = grown(known);
  Board blank;
  blank.clear();
  // Nothing ever lies in the outermost squares.
  constexpr uint32_t kInner = kMapRows & ~(7u | 7u << (kRows - 1));
  for (int column = 4; column <= kColumns - 3; ++column) blank[column] = kInner & ~known[column];
  for (int i = 0; i < kReach; ++i) blank = grown(blank);
  return blank;
}

}  // namespace

Field::Field() : within_(std::make_unique_for_overwrite<Board[]>(kLongest + 1)) {
  within_[0].clear();
}

void Field::renew(const Board& goals, bool new_ground) {
  if (!new_ground && !differ(goals, within_[0])) return;
  within_[0] = goals;
  filled_ = 0;
  complete_ = !any(goals);
}

bool Field::grow(const Ground& ground) {
  if (filled_ == kLongest || !flood(within_[filled_], ground, within_[filled_ + 1])) {
    complete_ = true;
    return false;
  }
  ++filled_;
  return true;
}

Way Field::way_from(Place at, unsigned legal, const Ground& ground) {
  if (within_[0].has(at)) return {-1, 0, 0};
  auto reached = [&](int step) { return around(within_[step], at) & legal; };
  unsigned first = reached(filled_);
  int step = filled_;
  if (first) {
    // Of the steps at which the neighbourhood is reached, the earliest.
    int least = 0;
    while (least < step) {
      const int middle = (least + step) / 2;
      reached(middle) ? step = middle : least = middle + 1;
    }
    first = reached(step);
  } else {
    while (!first) {
      if (complete_ || !grow(ground)) return {-1, kUnreached, 0};
      first = reached(filled_);
    }
    step = filled_;
  }
  const int direction = std::countr_zero(first);
  return {direction, step + 1, straight_from(at, direction, step + 1, ground)};
}

int Field::straight_from(Place at, int direction, int steps, const Ground& ground) const {
  const bool slanted = kDiagonals >> direction & 1;
  int straight = 0;
  while (straight < steps) {
    at.column += kStepColumn[direction];
    at.row += kStepRow[direction];
    if (!within_[steps - straight - 1].has(at)) break;
    ++straight;
    if (slanted && ground.no_slant.has(at)) break;
  }
  return straight;
}

Paths::Paths() {
  ground_.passable.clear();
  ground_.upright.clear();
  ground_.no_slant.clear();
}

Ways Paths::update(const Tables& tables, const Scene& scene, const Memory& memory) {
  if (memory.time == memory.arrival) {
    round_ = 0;
  }
  const LevelMap& map = memory.map();
  const Place at = place_of(scene.position);
  Ground ground = ground_;
  Goals goals;
  read_map(memory, at, ground, goals);
  mark_corpses(tables, scene, memory, ground.passable, goals.of[Goal::FRESH_CORPSE]);
  const bool new_ground =
      differ(ground.passable, ground_.passable) || differ(ground.no_slant, ground_.no_slant);
  if (new_ground) ground_ = ground;

  const bool no_slant_here = ground_.no_slant.has(at);
  const unsigned no_slants = no_slant_here ? kDiagonals : around(ground_.no_slant, at);
  const unsigned legal = 0xff & ~(no_slants & kDiagonals);
  Ways ways;
  auto find = [&](int goal) {
    fields_[goal].renew(goals.of[goal], new_ground);
    ways.to[goal] = fields_[goal].way_from(at, legal, ground_);
  };
  for (int goal = 0; goal < Goal::COUNT; ++goal) {
    if (goal != Goal::SEARCH_SPOT) find(goal);
  }
  // Where nothing is left to explore: what is left to search, in this round or the next ones.
  const bool explored = !ways[Goal::FRONTIER].reachable();
  const int begun = round_;
  for (const int last = std::min(begun + kStages, kMostRounds);; ++round_) {
    if (explored) goals.of[Goal::SEARCH_SPOT] = search_spots(map, ground);
    find(Goal::SEARCH_SPOT);
    if (!explored || ways[Goal::SEARCH_SPOT].reachable()) break;
    if (round_ == last) {  // all ways there are barred, perhaps for now only
      round_ = begun;
      break;
    }
  }
  ways.down_known = any(goals.of[Goal::STAIRS_DOWN]);
  ways.rounds = round_;
  return ways;
}

// At first what stairs may lie under, then dead ends, then the edges of rooms that look onto large
// blank parts of the map, then all edges; and locked doors to kick.
Board Paths::search_spots(const LevelMap& map, const Ground& ground) const {
  const Board& passable = ground.passable;
  const Board& upright = ground.upright;
  const Board& corridor = map.of(LevelMap::kCorridor);
  const Board& door = map.of(LevelMap::kDoor);
  const Board& visited = map.of(LevelMap::kVisited);
  const Board& wall = map.of(LevelMap::kWall);
  const Board& closed = map.of(LevelMap::kClosed);
  const Board& locked = map.of(LevelMap::kLocked);
  const Board& items = map.of(LevelMap::kItem);
  const Board& covered = map.of(LevelMap::kCovered);
  const Board& tasted = map.of(LevelMap::kTasted);
  constexpr uint32_t kThirdRows = 0x00492492;  // rows 1, 4, 7, ...
  const int enough = std::min(LevelMap::kSearches * round_, 255);
  const int enough_at_edge = std::min(kEdgeSearches * (round_ - 1), 255);
  Board spots;
  spots.clear();
  Board promising;
  if (round_ == 2) promising = near_void(map);
  for (int column = 1; column <= kColumns; ++column) {
    const uint32_t p = passable[column], west = passable[column - 1], east = passable[column + 1];
    const uint32_t north = p << 1, south = p >> 1;
    // No door is a corridor's diagonal neighbour.
    const uint32_t w = upright[column - 1], e = upright[column + 1];
    uint32_t once = 0, twice = 0;  // neighbours to step to: at least one, at least two
    for (const uint32_t one : {north, south, west, east, w << 1, w >> 1, e << 1, e >> 1}) {
      twice |= once & one;
      once |= one;
    }
    const uint32_t two_sides = (north & south) | (west & east) | ((north | south) & (west | east));
    // A corridor goes on where two of its neighbours do not touch each other; at a bend they do.
    const uint32_t above = north | w << 1 | e << 1, below = south | w >> 1 | e >> 1;
    const uint32_t left = west | w << 1 | w >> 1, right = east | e << 1 | e >> 1;
    const uint32_t through = (above & below) | (left & right);
    // A door with a way on one side only seldom leads nowhere.
    const uint32_t dead_end = (corridor[column] & ~through) | (door[column] & ~(twice & two_sides));
    uint32_t found = round_ > 0 ? p & visited[column] & dead_end : 0, edges = 0;
    if (round_ > 1) {
      // From there every square of a room's walls is within reach of a search.
      const uint32_t beside = wall[column - 1] | wall[column + 1];
      const uint32_t along = wall[column] << 1 | wall[column] >> 1;
      const uint32_t edge =
          (column % 3 == 1 ? along : 0) | (beside & kThirdRows) | (along & beside);
      const uint32_t wanted = round_ > 2 ? ~0u : promising[column];
      // Not among things lying about: a shop's mimics look like them, and its one door is known.
      const uint32_t things = items[column - 1] | items[column] | items[column + 1];
      edges = p & ~things & ~(corridor[column] | door[column] | closed[column]) & edge & wanted &
              ~found;
      found |= edges;
    }
    for (uint32_t worn = found & map.much_searched()[column]; worn; worn &= worn - 1) {
      const int square = std::countr_zero(worn) * kWidth + column;
      const uint32_t bit = worn & -worn;
      if (map.searched(square) >= (edges & bit ? enough_at_edge : enough)) found &= ~bit;
    }
    // An object hides what it lies on from all but those who stand there.
    const uint32_t hiding = p & covered[column] & ~(visited[column] | tasted[column]);
    spots[column] = found | hiding | (closed[column] & locked[column]);
  }
  return spots;
}

}  // namespace tedg::nethack
