// The vocabulary of facts: the one definition of every kind of object and of every attribute that a
// rule may name. The documentation page, the checker and the compiler of rule files read it through
// module.cpp; facts.cpp fills it in.
//
// Attributes are numbers, truths or words; all are stored as doubles (a truth as 0 or 1, a word as
// its place in the list of its words). Attributes marked TABLE are not computed: they come from
// NLE's own table of monster kinds (tedg_fast/nethack/facts/tables.py).
#pragma once

#include <string>
#include <vector>

#include "../constants.h"

namespace tedg::nethack {

enum class FactType { kNumber, kTruth, kWord };

// F(name, type, unit or words, meaning)
#define TEDG_ME(F)                                                                                  \
  F(hp, NUMBER, "points", "Hit points left.")                                                       \
  F(max_hp, NUMBER, "points", "Hit points when unhurt; at least 1.")                                \
  F(hp_lost, NUMBER, "points", "Hit points lost in the last step.")                                 \
  F(unhurt, NUMBER, "turns", "Game turns since a step last cost hit points on this level.")         \
  F(level, NUMBER, "levels", "Experience level.")                                                   \
  F(experience, NUMBER, "points", "Experience points.")                                             \
  F(experience_gained, NUMBER, "points", "Experience points gained in the last step.")              \
  F(armor_class, NUMBER, "points", "Armour class: lower is harder to hit.")                         \
  F(energy, NUMBER, "points", "Magical energy.")                                                    \
  F(strength, NUMBER, "points", "Strength, 3 to 25.")                                               \
  F(constitution, NUMBER, "points", "Constitution, 3 to 25.")                                       \
  F(alignment, NUMBER, "", "Alignment: -1 chaotic, 0 neutral, 1 lawful.")                           \
  F(gold, NUMBER, "pieces", "Gold carried.")                                                        \
  F(gold_gained, NUMBER, "pieces", "Gold gained in the last step.")                                 \
  F(score, NUMBER, "points", "The score that the game shows.")                                      \
  F(turn, NUMBER, "turns", "The game's turn counter.")                                              \
  F(steps_left, NUMBER, "steps", "Steps until the game is cut off (--max-steps).")                  \
  F(depth, NUMBER, "levels", "Depth below the surface; the first level is 1.")                      \
  F(dungeon, WORD, "main,gehennom,mines,quest,sokoban,ludios,vlad,planes,other",                    \
    "The branch of the dungeon.")                                                                   \
  F(hunger, WORD, "satiated,not_hungry,hungry,weak,fainting,fainted,starved", "The status line's word.") \
  F(burden, NUMBER, "steps", "0 unburdened, 1 burdened, 2 stressed, up to 5.")                      \
  F(role, WORD,                                                                                     \
    "archeologist,barbarian,caveman,healer,knight,monk,priest,rogue,ranger,samurai,tourist,"        \
    "valkyrie,wizard,other",                                                                        \
    "The player's role, read off the map when the game begins.")                                    \
  F(speed, NUMBER, "", "Speed by role: 15 for archeologists, monks and samurai, otherwise 12.")     \
  F(blind, TRUTH, "", "Blind.")                                                                     \
  F(confused, TRUTH, "", "Confused.")                                                               \
  F(stunned, TRUTH, "", "Stunned.")                                                                 \
  F(hallucinating, TRUTH, "", "Hallucinating.")                                                     \
  F(levitating, TRUTH, "", "Levitating or flying.")                                                 \
  F(dying, TRUTH, "", "Turning to stone or slime, strangled, poisoned by food or terminally ill.")  \
  F(in_trouble, TRUTH, "", "Dying, weak with hunger, or with at most 5 or about a sixth of the hit points: a god helps.") \
  F(can_pray, TRUTH, "", "The task has an action to pray with (--prayer).")                         \
  F(since_prayer, NUMBER, "turns", "Game turns since the last prayer; more than 10000 before the first.") \
  F(trapped, TRUTH, "", "Something may hold the player on this square: a trap, a pit, a web.")      \
  F(engulfed, TRUTH, "", "Inside of a monster.")                                                    \
  F(on, WORD, TERRAINS, "What the player stands on, as far as it is known.")                        \
  F(on_kill, TRUTH, "", "A monster that the player killed less than 30 turns ago fell here, where no older corpse lay.")       \
  F(on_corpse, TRUTH, "", "A fresh corpse of the player's own kill lies here, wise to eat and not tried.") \
  F(on_meal, TRUTH, "", "Food that keeps was seen on this square and not tried.")                   \
  F(poison_proof, TRUTH, "", "Resists poison: by role and level, as far as that tells.")            \
  F(may_have_food, TRUTH, "", "Not known to carry nothing that could be chosen at a prompt.")       \
  F(still, NUMBER, "steps", "Steps since the position changed.")                                    \
  F(idle, NUMBER, "steps", "Steps since the game's clock moved.")                                   \
  F(pacing, TRUTH, "", "The last four steps went to and fro between two squares.")                  \
  F(step_failed, TRUTH, "", "The last step neither moved the player nor took time.")                \
  F(exits, NUMBER, "squares", "Neighbouring squares that are neither rock, wall, unseen nor liquid.")

#define TEDG_LEVEL(F)                                                                               \
  F(turns, NUMBER, "turns", "Game turns since the player arrived on this level.")                   \
  F(unchanged, NUMBER, "turns", "Game turns since a new square of this level was seen.")            \
  F(known, NUMBER, "squares", "Squares of this level that are known.")                              \
  F(searched_here, NUMBER, "turns", "Turns spent searching on the player's square, at most 255.")   \
  F(searches, NUMBER, "turns", "Turns spent searching on this level.")                              \
  F(rounds, NUMBER, "", "How often every place worth searching was searched through.")              \
  F(stairs_down_known, TRUTH, "", "A way down is known that is not known to leave this branch.")    \
  F(visits, NUMBER, "", "How often the player has come to this level, as far as remembered.")

// Each stands for bits of Said: what the message line tells (messages.cpp has the words).
#define TEDG_TOLD(F)                                                                                \
  F(door_locked, TRUTH, Said::DOOR_LOCKED, "A door is locked.")                                     \
  F(door_gave_way, TRUTH, Said::DOOR_OPENED | Said::DOOR_BROKEN, "A door opened or broke.")         \
  F(door_resists, TRUTH, Said::DOOR_RESISTS, "A door is stuck, or withstood a kick.")               \
  F(no_diagonal, TRUTH, Said::NO_DIAGONAL, "A diagonal step was refused.")                          \
  F(boulder_stuck, TRUTH, Said::BOULDER_STUCK, "A boulder would not move.")                         \
  F(way_occupied, TRUTH, Said::IN_THE_WAY, "A monster stands in the way and was not attacked.")     \
  F(killed, TRUTH, Said::KILLED, "A monster was killed.")                                           \
  F(hit_me, TRUTH, Said::HIT_ME, "A monster's attack hit.")                                         \
  F(missed_me, TRUTH, Said::MISSED_ME, "A monster's attack missed.")                                \
  F(i_hit, TRUTH, Said::I_HIT, "The player's attack hit.")                                          \
  F(i_missed, TRUTH, Said::I_MISSED, "The player's attack missed.")                                 \
  F(object_here, TRUTH, Said::OBJECT_HERE, "Something lies on this square.")                        \
  F(corpse_here, TRUTH, Said::CORPSE_HERE, "A corpse lies on this square.")                         \
  F(trapped, TRUTH, Said::TRAPPED, "A trap, pit or web holds the player.")                          \
  F(shop, TRUTH, Said::SHOP, "A shopkeeper speaks, or a price is named.")                           \
  F(found, TRUTH, Said::FOUND, "A search found something hidden.")                                  \
  F(deadly_food, TRUTH, Said::DEADLY_FOOD, "The message names something that kills who eats it.")   \
  F(risky_food, TRUTH, Said::RISKY_FOOD, "The message names something unwise to eat.")              \
  F(poisonous_food, TRUTH, Said::POISONOUS_FOOD, "The message names poisonous flesh.")              \
  F(pain, TRUTH, Said::PAIN, "The player hurt himself, by kicking a wall for instance.")            \
  F(noise, TRUTH, Said::NOISE, "A noise was heard.")                                                \
  F(overfull, TRUTH, Said::OVERFULL, "Eating on would choke the player.")                           \
  F(guard, TRUTH, Said::GUARD, "A vault's guard speaks.")

#define TEDG_PROMPT(F)                                                                              \
  F(kind, WORD, "none,more,direction,eat_item,eat_here,attack,pray,other",                          \
    "What the game waits for; at a prompt it reads the next key as an answer.")                     \
  F(food, NUMBER, "letters", "Letters an eating prompt offers that an action's key can answer.")

#define TEDG_DIRECTION(F)                                                                           \
  F(name, WORD, "north,east,south,west,northeast,southeast,southwest,northwest", "Its name.")       \
  F(diagonal, TRUTH, "", "Not one of the four straight ones.")                                      \
  F(terrain, WORD, TERRAINS, "What is remembered of the neighbouring square's ground.")             \
  F(free, TRUTH, "", "A step there is possible: known ground without a trap, nobody and no boulder on it.")        \
  F(run, NUMBER, "squares", "Free squares in a row that way, at most 30: how far a long move may go.") \
  F(threats, NUMBER, "monsters", "Hostile monsters next to the neighbouring square.")               \
  F(hostile, TRUTH, "", "A hostile or unseen monster is there that the game has not called peaceful.") \
  F(monster, TRUTH, "", "Any monster is there, or was last seen there.")                            \
  F(locked, TRUTH, "", "A door that is known to be locked is there.")                               \
  F(visited, TRUTH, "", "The player has been there.")                                               \
  F(kill, TRUTH, "", "A monster that the player killed less than 30 turns ago fell there.")         \
  F(boulder, TRUTH, "", "A boulder is there.")

#define TEDG_PLACED(F)                                                                              \
  F(distance, NUMBER, "squares", "Moves of a king to it, walls aside.")                             \
  F(adjacent, TRUTH, "", "On a neighbouring square.")                                               \
  F(east, NUMBER, "squares", "How far east of the player, negative to the west.")                   \
  F(south, NUMBER, "squares", "How far south of the player, negative to the north.")

#define TEDG_MONSTER(F)                                                                             \
  TEDG_PLACED(F)                                                                                    \
  F(aligned, TRUTH, "", "In one of the eight directions from the player, at any distance.")         \
  F(hostile, TRUTH, "", "Neither pet nor known to be peaceful nor of a kind that minds its business.") \
  F(peaceful, TRUTH, "", "Of a kind that the game has just called peaceful, or a keeper.")          \
  F(pet, TRUTH, "", "Tame.")                                                                        \
  F(keeper, TRUTH, "", "Shopkeeper, priest, guard or watchman: peaceful until angered.")            \
  F(unseen, TRUTH, "", "Remembered or sensed, not seen; its kind is unknown.")                      \
  F(steps, NUMBER, "steps", "Steps of the shortest walk to it; 255 where none of at most 16 is known.")

#define TEDG_MONSTER_TABLE(F)                                                                       \
  F(name, WORD, MONSTERS, "The kind's name in NetHack.")                                            \
  F(letter, WORD, LETTERS, "The kind's class: the letter that NetHack shows it by.")                \
  F(level, NUMBER, "levels", "The kind's base level.")                                              \
  F(speed, NUMBER, "", "12 is one move a turn.")                                                    \
  F(armor_class, NUMBER, "points", "Armour class: lower is harder to hit.")                         \
  F(difficulty, NUMBER, "", "NetHack's own measure of how dangerous the kind is.")                  \
  F(attacks, NUMBER, "", "Active attacks a move.")                                                  \
  F(damage, NUMBER, "points", "The most that its active attacks do in one move.")                   \
  F(passive_damage, NUMBER, "points", "The most that hitting it costs the attacker, level aside.")  \
  F(passive, TRUTH, "", "Hitting it may harm the attacker.")                                        \
  F(paralyzes, TRUTH, "", "Hitting it, or being hit by it, may paralyse.")                          \
  F(ranged, TRUTH, "", "May attack from afar: by breath, spit, gaze, magic, or a weapon that it throws or shoots.")        \
  F(explodes, TRUTH, "", "Blows up, when it attacks or when it dies.")                              \
  F(engulfs, TRUTH, "", "Swallows its victim.")                                                     \
  F(sticks, TRUTH, "", "Holds on to its victim.")                                                   \
  F(steals, TRUTH, "", "Steals gold or things.")                                                    \
  F(stones, TRUTH, "", "Its touch or bite turns to stone.")                                         \
  F(poisonous, TRUTH, "", "Its flesh is poisonous.")                                                \
  F(unwise_to_eat, TRUTH, "", "Eating its flesh does harm, poison aside: stoning, slime, acid, stunning, a curse.") \
  F(nutrition, NUMBER, "", "What its corpse feeds.")                                                \
  F(size, NUMBER, "", "0 tiny, 1 small, 2 medium, 3 large, 4 huge, 7 gigantic.")                    \
  F(flies, TRUTH, "", "Flies.")                                                                     \
  F(mindless, TRUTH, "", "Without a mind.")                                                         \
  F(human, TRUTH, "", "Human.")                                                                     \
  F(elf, TRUTH, "", "An elf.")                                                                      \
  F(dwarf, TRUTH, "", "A dwarf.")                                                                   \
  F(gnome, TRUTH, "", "A gnome.")                                                                   \
  F(orc, TRUTH, "", "An orc.")                                                                      \
  F(undead, TRUTH, "", "Undead.")                                                                   \
  F(domestic, TRUTH, "", "A kind that people keep: dogs, cats, horses.")

#define TEDG_ITEM(F)                                                                                \
  TEDG_PLACED(F)                                                                                    \
  F(class, WORD,                                                                                    \
    "other,weapon,armor,ring,amulet,tool,food,potion,scroll,spellbook,wand,coins,gem,rock,ball,chain,venom", \
    "NetHack's class of objects.")                                                                  \
  F(keeps, TRUTH, "", "Food that keeps: no corpse, egg or tin.")                                    \
  F(magic, TRUTH, "", "Scroll, potion, wand, ring, amulet or spellbook.")

#define TEDG_CORPSE(F)                                                                              \
  TEDG_PLACED(F)                                                                                    \
  F(age, NUMBER, "turns", "Game turns since the player killed a monster there; 1000 if it did not.")

// A kind of place: the nearest by a walk over known ground, there only if it can be walked to.
#define TEDG_PLACE(F)                                                                               \
  F(steps, NUMBER, "steps", "Steps of the shortest walk to it, 0 on it.")                           \
  F(straight, NUMBER, "steps", "How many of them go in the first step's direction before the way turns.") \
  F(overrun, NUMBER, "squares", "How far a long move in that direction may go past where the way turns; 30 where it cannot begin.")

// K(kind, limit, attributes, table attributes, meaning)
#define TEDG_KINDS(K)                                                                               \
  K(me, 1, TEDG_ME, TEDG_NONE, "The player.")                                                       \
  K(level, 1, TEDG_LEVEL, TEDG_NONE, "The dungeon level, as far as it is known.")                   \
  K(told, 1, TEDG_TOLD, TEDG_NONE, "What the message line tells.")                                  \
  K(prompt, 1, TEDG_PROMPT, TEDG_NONE, "The question that the game asks, if any.")                  \
  K(direction, 8, TEDG_DIRECTION, TEDG_NONE, "The eight ways to step.")                             \
  K(monster, 24, TEDG_MONSTER, TEDG_MONSTER_TABLE, "Monsters in sight, remembered or sensed.")      \
  K(item, 16, TEDG_ITEM, TEDG_NONE, "Things lying about.")                                          \
  K(corpse, 8, TEDG_CORPSE, TEDG_MONSTER_TABLE, "Corpses lying about.")                             \
  K(stairs_down, 1, TEDG_PLACE, TEDG_NONE,                                                          \
    "The nearest way down: stairs, ladder, hole or trap door not known to leave this branch.")      \
  K(frontier, 1, TEDG_PLACE, TEDG_NONE, "The nearest unvisited square beside unseen ones.")         \
  K(gold, 1, TEDG_PLACE, TEDG_NONE, "The nearest gold.")                                            \
  K(search_spot, 1, TEDG_PLACE, TEDG_NONE,                                                          \
    "The nearest place worth searching, locked door, or thing nobody stood on, where nothing is left to explore.") \
  K(meal, 1, TEDG_PLACE, TEDG_NONE, "The nearest food that keeps and was not tried.")               \
  K(stairs_up, 1, TEDG_PLACE, TEDG_NONE, "The nearest stairs or ladder up.")                        \
  K(fresh_corpse, 1, TEDG_PLACE, TEDG_NONE,                                                         \
    "The nearest corpse of the player's own kill of the last 30 turns that is wise to eat.")        \
  K(side_stairs, 1, TEDG_PLACE, TEDG_NONE,                                                          \
    "The nearest way down that is known to lead to another branch, the Gnomish Mines for instance.")

#define TEDG_NONE(F)
#define TEDG_ATTRIBUTE(name, ...) name,
#define TEDG_KIND_ENUM(kind, ...) kind,
// clang-format off
struct Kind { enum Value : int { TEDG_KINDS(TEDG_KIND_ENUM) COUNT }; };
struct Me { enum Value : int { TEDG_ME(TEDG_ATTRIBUTE) COUNT }; };
struct Level { enum Value : int { TEDG_LEVEL(TEDG_ATTRIBUTE) COUNT }; };
struct ToldFact { enum Value : int { TEDG_TOLD(TEDG_ATTRIBUTE) COUNT }; };
struct Prompt { enum Value : int { TEDG_PROMPT(TEDG_ATTRIBUTE) COUNT }; };
struct Direction { enum Value : int { TEDG_DIRECTION(TEDG_ATTRIBUTE) COUNT }; };
struct Placed { enum Value : int { TEDG_PLACED(TEDG_ATTRIBUTE) COUNT }; };
struct Monster { enum Value : int { TEDG_MONSTER(TEDG_ATTRIBUTE) COUNT }; };
struct Item { enum Value : int { TEDG_PLACED(TEDG_ATTRIBUTE) class_, keeps, magic, COUNT }; };
struct Corpse { enum Value : int { TEDG_CORPSE(TEDG_ATTRIBUTE) COUNT }; };
struct PlaceFact { enum Value : int { TEDG_PLACE(TEDG_ATTRIBUTE) COUNT }; };
struct MonsterTable { enum Value : int { TEDG_MONSTER_TABLE(TEDG_ATTRIBUTE) COUNT }; };
// clang-format on
#undef TEDG_ATTRIBUTE
#undef TEDG_KIND_ENUM

// From here on the kinds of places, as in Goal.
inline constexpr int kFirstPlace = Kind::stairs_down;

struct AttributeInfo {
  std::string name;
  FactType type;
  std::string unit;
  std::string meaning;
  std::vector<std::string> words;  // of a word; empty where NLE's tables have them
  bool table;                      // from NLE's table of monster kinds
};

struct KindInfo {
  std::string name;
  int limit;        // most objects of this kind; the nearest are kept
  bool singleton;   // always exactly one
  bool positioned;  // has a place on the map
  std::string meaning;
  std::vector<AttributeInfo> attributes;
  int own;  // so many attributes are computed, the others come from the table
};

// All kinds, in the order of Kind.
const std::vector<KindInfo>& vocabulary();

}  // namespace tedg::nethack
