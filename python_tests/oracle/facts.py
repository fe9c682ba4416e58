"""The facts of one observation: kind -> its objects, nearest first, each attribute -> value.

A truth is 0 or 1, a word its place among the attribute's words. The meaning of every attribute
stands in csrc/nethack/facts/vocabulary.h.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from nle import nethack

from oracle.memory import MARKS, Memory
from oracle.paths import GOALS, UNREACHED, Ways
from oracle.scene import DYING, Scene
from oracle.squares import (
    COLUMNS,
    DIAGONAL,
    NEIGHBOURS,
    ROWS,
    WIDTH,
    distance,
    wrap,
)  # fmt: skip
from tedg_fast.nethack.facts.glyphs import ANY_MONSTER, Flag, Terrain
from tedg_fast.nethack.facts.tables import monster_tables
from tedg_fast.nethack.facts.vocabulary import vocabulary

LONGEST_RUN = 30
FARTHEST_WALK = 16  # steps to a monster
_LIMIT = {name: kind.limit for name, kind in vocabulary().kind.items()}
_PROMPTS = ("none", "more", "direction", "eat_item", "eat_here", "attack", "pray", "other")
# What the message line tells -> the Said bits of which any tells it, where the names differ.
_TOLD = {
    "door_gave_way": ("DOOR_OPENED", "DOOR_BROKEN"), "way_occupied": ("IN_THE_WAY",),
}  # fmt: skip
_TABLE = [a.name for a in vocabulary().kind["monster"].attributes if a.table]
_OF_MONSTER = [dict(zip(_TABLE, row)) for row in monster_tables().values.tolist()]
_OF_NOTHING = dict.fromkeys(_TABLE, 0.0)
_UNSAFE = (Terrain.CLOSED_DOOR, Terrain.TRAP, Terrain.PIT)  # not stepped on freely

Object = dict[str, float]


@dataclass
class Facts:
    """`subjects`: kind -> for each object the kind of monster that it is or was; `left_out`: kind
    -> objects beyond its limit; `free`: whether a step is possible in each direction;
    `first_steps`: kind -> for each object the direction of the first step to it, -1 where none is
    known."""

    objects: dict[str, list[Object]] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    free: list[bool] = field(default_factory=list)
    first_steps: dict[str, list[int]] = field(default_factory=dict)


def facts_of(scene: Scene, memory: Memory, ways: Ways) -> Facts:
    facts = Facts(free=free_ways(scene, memory))
    facts.objects["me"] = [_floats(_me(scene, memory))]
    facts.objects["level"] = [_floats(_level(scene, memory, ways))]
    facts.objects["told"] = [_floats({
        told.name: scene.says(*_TOLD.get(told.name, (told.name.upper(),)))
        for told in vocabulary().kind["told"].attributes
    })]  # fmt: skip
    facts.objects["prompt"] = [_floats(_prompt(scene))]
    facts.objects["direction"] = [
        _floats(_direction(scene, memory, way, facts.free[way])) for way in range(8)
    ]
    _list(facts, "monster", scene, ANY_MONSTER, lambda square: _monster(scene, memory, square))
    _walk_to_monsters(facts, scene, ways)
    _list(facts, "item", scene, Flag.ITEM, lambda square: _item(scene, square))
    _list(facts, "corpse", scene, Flag.CORPSE,
          lambda square: {"age": memory.kill_age(square, scene.time)})  # fmt: skip
    for goal in GOALS:
        way = ways.to[goal]
        run = facts.objects["direction"][way.direction]["run"] if way.direction >= 0 else 0
        stuck = way.direction >= 0 and not facts.free[way.direction]
        place = {"steps": way.steps, "straight": way.straight,
                 "overrun": LONGEST_RUN if stuck else max(run - way.straight, 0)}  # fmt: skip
        facts.objects[goal] = [_floats(place)] if way.reachable else []
        facts.first_steps[goal] = [way.direction] if way.reachable else []
    return facts


def _floats(values: dict[str, float]) -> Object:
    return {name: float(value) for name, value in values.items()}


def free_ways(scene: Scene, memory: Memory) -> list[bool]:
    """Directions in which a step is possible now: known ground, nobody and no boulder on it."""
    here = memory.here
    in_frame = here.terrain[scene.position] == Terrain.OPEN_DOOR
    bound = here.marks[scene.position] & MARKS["NO_DIAGONAL"]
    free = []
    for way, square in enumerate(scene.around):
        ground, marks = here.terrain[square], here.marks[square]
        solid = ground < Terrain.COVERED or ground > Terrain.HOLE or ground in _UNSAFE
        occupied = scene.near[way] & (ANY_MONSTER | Flag.BOULDER)
        slant = DIAGONAL[way] and (
            in_frame or bound or ground == Terrain.OPEN_DOOR or marks & MARKS["NO_DIAGONAL"]
        )
        free.append(not (solid or occupied or slant or marks & MARKS["BLOCKED"]))
    return free


def _me(scene: Scene, memory: Memory) -> dict[str, float]:
    stat = scene.blstats
    dungeon = stat[nethack.NLE_BL_DNUM]
    ground = memory.here.terrain[[*scene.around, scene.position]].tolist()
    barred = (Terrain.UNKNOWN, Terrain.WALL, Terrain.LIQUID)
    one, other = memory.trail[:2]
    return {
        "hp": scene.hp,
        "max_hp": scene.most_hp,
        "hp_lost": memory.hurt,
        "unhurt": wrap(scene.time - memory.hurt_at),
        "level": stat[nethack.NLE_BL_XP],
        "experience": scene.experience,
        "experience_gained": memory.experience_gained,
        "armor_class": stat[nethack.NLE_BL_AC],
        "energy": stat[nethack.NLE_BL_ENE],
        "strength": stat[nethack.NLE_BL_STR25],
        "constitution": stat[nethack.NLE_BL_CON],
        "alignment": stat[nethack.NLE_BL_ALIGN],
        "gold": scene.gold,
        "gold_gained": memory.gold_gained,
        "score": stat[nethack.NLE_BL_SCORE],
        "turn": scene.time,
        "steps_left": memory.max_steps - memory.steps,
        "depth": scene.depth,
        "dungeon": dungeon if 0 <= dungeon < 8 else 8,
        "hunger": min(max(stat[nethack.NLE_BL_HUNGER], 0), 6),
        "burden": stat[nethack.NLE_BL_CAP],
        "role": memory.role,
        "speed": monster_tables().speed_of_role[memory.role],
        "blind": scene.conditions & nethack.BL_MASK_BLIND != 0,
        "confused": scene.conditions & nethack.BL_MASK_CONF != 0,
        "stunned": scene.conditions & nethack.BL_MASK_STUN != 0,
        "hallucinating": scene.conditions & nethack.BL_MASK_HALLU != 0,
        "levitating": scene.conditions & (nethack.BL_MASK_LEV | nethack.BL_MASK_FLY) != 0,
        "dying": scene.conditions & DYING != 0,
        "in_trouble": scene.in_trouble,
        "can_pray": memory.prayer,
        "since_prayer": wrap(scene.time - memory.prayed_at),
        "trapped": memory.trapped,
        "engulfed": scene.seen & Flag.ENGULFED != 0,
        "on": ground[8],
        "on_kill": memory.killed_here(scene.position, scene.time)
        and not memory.here.marks[scene.position] & MARKS["STALE"],
        "on_corpse": memory.fresh_corpse(scene.position, scene.time),
        "on_meal": memory.on_meal and not memory.here.marks[scene.position] & MARKS["TASTED"],
        "poison_proof": memory.poison_proof,
        "may_have_food": not memory.no_meal,
        "still": memory.still,
        "idle": memory.frozen,
        "pacing": memory.trail == [one, other, one, other] and one != other,
        "step_failed": memory.failed,
        "exits": sum(terrain not in barred for terrain in ground[:8]),
    }


def _level(scene: Scene, memory: Memory, ways: Ways) -> dict[str, float]:
    return {
        "turns": wrap(scene.time - memory.arrival),
        "unchanged": wrap(scene.time - memory.discovery),
        "known": memory.here.known,
        "searched_here": memory.here.searched[scene.position],
        "searches": memory.here.searches,
        "rounds": ways.rounds,
        "stairs_down_known": ways.down_known,
        "visits": memory.here.visits,
    }


def _prompt(scene: Scene) -> dict[str, float]:
    kind = "more" if scene.more else "none"
    if scene.prompt:
        asked = [p for p in ("attack", "eat_here", "eat_item", "direction", "pray")
                 if scene.says(f"{p.upper()}_PROMPT")]  # fmt: skip
        kind = asked[0] if asked else "other"
    food = scene.offered.bit_count() if scene.prompt else 0
    return {"kind": _PROMPTS.index(kind), "food": food}


def _spared(scene: Scene, memory: Memory, square: int) -> bool:
    """Whether a monster there is of a kind that the game has lately called peaceful."""
    return memory.spares(int(scene.glyphs[square]), scene.time)


def _direction(scene: Scene, memory: Memory, way: int, free: bool) -> dict[str, float]:
    square, flags = scene.around[way], scene.near[way]
    ground, marks = memory.here.terrain[square], memory.here.marks[square]
    aggressive = flags & (Flag.HOSTILE | Flag.UNSEEN) and not _spared(scene, memory, square)
    return {
        "name": way,
        "diagonal": DIAGONAL[way],
        "terrain": ground,
        "free": free,
        "run": _run(scene, memory, way) if free else 0,
        "threats": _threats(scene, square),
        "hostile": bool(aggressive),
        "monster": flags & ANY_MONSTER != 0,
        "locked": way < 4 and ground == Terrain.CLOSED_DOOR and bool(marks & MARKS["LOCKED"]),
        "visited": marks & MARKS["VISITED"] != 0,
        "kill": memory.killed_here(square, scene.time),
        "boulder": flags & Flag.BOULDER != 0,
    }


def _run(scene: Scene, memory: Memory, way: int) -> int:
    """Squares that a long move may cover; the first is known to be free."""
    length, square = 1, scene.around[way]
    while length < LONGEST_RUN:
        square += NEIGHBOURS[way]
        ground, marks = memory.here.terrain[square], memory.here.marks[square]
        door = ground in (Terrain.OPEN_DOOR, Terrain.CLOSED_DOOR)
        if (ground == Terrain.UNKNOWN or ground in _UNSAFE or ground >= Terrain.LIQUID
                or marks & MARKS["BLOCKED"] or scene.flags[square] & ANY_MONSTER
                or (DIAGONAL[way] and door)):  # fmt: skip
            break
        length += 1
    return length


def _threats(scene: Scene, square: int) -> int:
    """Hostile monsters next to a square, which is on the map; the player is none."""
    row, column = divmod(square, WIDTH)
    if not (1 <= row <= ROWS and 1 <= column <= COLUMNS):
        return 0
    return sum(int(scene.others[square + step]) & Flag.HOSTILE != 0 for step in NEIGHBOURS)


def _list(facts: Facts, kind: str, scene: Scene, flags: int,
          describe: Callable[[int], dict[str, float]]) -> None:  # fmt: skip
    """Lists the squares but the player's that show any of these flags, as far as there is room."""
    player = scene.position
    shown = np.flatnonzero(scene.others & flags).tolist() if scene.seen & flags else []
    shown.sort(key=lambda square: (distance(square, player), square))
    kept = shown[: _LIMIT[kind]]
    subjects = monster_tables().subject[scene.glyphs[kept]].tolist()
    facts.left_out[kind], facts.subjects[kind] = len(shown) - len(kept), subjects
    facts.objects[kind], facts.first_steps[kind] = [], []
    for square, subject in zip(kept, subjects):
        away = distance(square, player)
        placed = {
            "distance": away, "adjacent": away == 1, "east": square % WIDTH - player % WIDTH,
            "south": square // WIDTH - player // WIDTH,
        }  # fmt: skip
        known = subject < len(_OF_MONSTER)
        table = {} if kind == "item" else _OF_MONSTER[subject] if known else _OF_NOTHING
        first = NEIGHBOURS.index(square - player) if away == 1 else -1
        facts.first_steps[kind].append(first)
        facts.objects[kind].append(_floats(placed | describe(square)) | table)


def _monster(scene: Scene, memory: Memory, square: int) -> dict[str, float]:
    flags = int(scene.flags[square])
    east = square % WIDTH - scene.position % WIDTH
    south = square // WIDTH - scene.position // WIDTH
    called_peaceful = _spared(scene, memory, square)
    return {
        "aligned": east == 0 or south == 0 or abs(east) == abs(south),
        "hostile": flags & (Flag.HOSTILE | Flag.UNSEEN) != 0 and not called_peaceful,
        "peaceful": called_peaceful or flags & Flag.KEEPER != 0,
        "pet": flags & Flag.PET != 0,
        "keeper": flags & Flag.KEEPER != 0,
        "unseen": flags & Flag.UNSEEN != 0,
    }


def _walk_to_monsters(facts: Facts, scene: Scene, ways: Ways) -> None:
    """Adds the steps of the shortest walk to each monster, and the first of them."""
    around = ways.ground.around(scene.position, FARTHEST_WALK) if facts.objects["monster"] else []
    for i, monster in enumerate(facts.objects["monster"]):
        square = scene.position + int(monster["east"]) + int(monster["south"]) * WIDTH
        walk = ways.ground.walk_back(around, square)
        monster["steps"] = float(UNREACHED if walk is None else len(walk))
        if walk and not monster["adjacent"]:
            facts.first_steps["monster"][i] = NEIGHBOURS.index(walk[-1] - scene.position)


def _item(scene: Scene, square: int) -> dict[str, float]:
    flags = int(scene.flags[square])
    return {
        "class": monster_tables().class_of_object[scene.glyphs[square]],
        "keeps": flags & Flag.MEAL != 0,
        "magic": flags & Flag.MAGIC_ITEM != 0,
    }
