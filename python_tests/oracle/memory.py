"""What is remembered of one game: the levels it has been to, the player's moves and failures."""

from dataclasses import dataclass, field

import numpy as np
from nle import nethack

from oracle.ground import Ground
from oracle.scene import Scene
from oracle.squares import (
    AREA,
    DIAGONAL,
    NEIGHBOURS,
    NUMBERS,
    PADDING,
    WIDTH,
    distance,
    set_of,
    wrap,
)  # fmt: skip
from tedg_fast.nethack.actions import DOWN, EAT, FIRST_FAR_MOVE, FIRST_MOVE, SEARCH, UP
from tedg_fast.nethack.facts.glyphs import ANY_MONSTER, PROPERTIES_OF_GLYPH, Flag, Terrain
from tedg_fast.nethack.facts.tables import ROLES, monster_tables
from tedg_fast.nethack.facts.vocabulary import vocabulary

MARKS = {n.removeprefix("memory."): bit for n, bit in NUMBERS.items() if n.startswith("memory.")}
MOST_LEVELS = 12
FRESH = 30  # turns for which a corpse is fresh
KILLS = 8
ASKED = 4  # kinds of monster called peaceful that are remembered
PEACEFUL_TURNS = 200
SHUNNED = 8  # squares with something to be walked round
WARY = 150  # turns for which what was out of sight is walked round
LONG_AGO = 1000
NEVER_PRAYED = 10_000  # turns before the game begins
FARTHEST_RUN = 48
SHOP = 10  # columns; no shop is wider
STAIRS = (Terrain.STAIRS_UP, Terrain.STAIRS_DOWN)
FRAMES = (Terrain.CLOSED_DOOR, Terrain.OPEN_DOOR)
_STONE = nethack.GLYPH_CMAP_OFF
_TABLE = [a.name for a in vocabulary().kind["monster"].attributes if a.table]
_UNWISE, _POISONOUS = (
    monster_tables().values[:, _TABLE.index(name)] != 0 for name in ("unwise_to_eat", "poisonous")
)


@dataclass
class Level:
    """One level; arrays [AREA] over the padded map, uint8 but for the glyphs shown last."""

    glyphs: np.ndarray = field(default_factory=lambda: np.full(AREA, _STONE, np.uint16))
    terrain: np.ndarray = field(default_factory=lambda: np.zeros(AREA, np.uint8))
    told: int | None = None  # the square of whose terrain the last message told
    marks: np.ndarray = field(default_factory=lambda: np.zeros(AREA, np.uint8))
    searched: np.ndarray = field(default_factory=lambda: np.zeros(AREA, np.uint8))
    searches: int = 0
    visits: int = 0

    @property
    def known(self) -> int:
        """How many squares' terrain is known; the padding, all wall, is not counted."""
        return max(int(np.count_nonzero(self.terrain)) - PADDING, 0)

    @property
    def walkable(self) -> int:
        """The set of squares whose ground one can stand on, doors and traps included."""
        return set_of((self.terrain != Terrain.UNKNOWN) & (self.terrain < Terrain.LIQUID))

    def marked(self, name: str) -> int:
        """The set of squares with a mark."""
        return set_of(self.marks & MARKS[name] != 0)

    def on(self, *terrains: int) -> int:
        """The set of squares with one of these terrains."""
        return sum(set_of(self.terrain == terrain) for terrain in terrains)


@dataclass
class Kill:
    """Where the player killed a monster, when, and whose corpse has been seen there since."""

    square: int
    time: int
    corpse: int | None = None


class Ring:
    """The last few of something, each in a place of its own: the oldest gives way."""

    def __init__(self, size: int):
        self.places: list = [None] * size
        self.next = 0

    def __iter__(self):
        return (thing for thing in self.places if thing is not None)

    def put(self, thing, same) -> None:
        """In the first place for which `same(what is there)`, or else in the next."""
        for i, there in enumerate(self.places):
            if there is not None and same(there):
                self.places[i] = thing
                return
        self.places[self.next] = thing
        self.next = (self.next + 1) % len(self.places)

    def clear(self) -> None:
        """Empties the places; which is next stays."""
        self.places = [None] * len(self.places)


class Memory:
    """One game's. `update` takes in an observation and the action that led to it."""

    def __init__(self, prayer: bool = False, max_steps: int = 1_000_000_000) -> None:
        self.max_steps = max_steps
        self.steps = 0  # observations since the game began
        self.prayer = prayer  # whether there is an action to pray with
        self.fresh = True  # the next observation is the first of a new game
        self.levels: dict[int, Level] = {}  # the one left longest ago first

    def update(self, scene: Scene, last_action: int) -> None:
        self.steps = 0 if self.fresh else self.steps + 1
        if self.fresh:
            self._begin(scene)
        new_level = self.fresh or scene.level != self.level
        moved = new_level or scene.position != self.position
        implied = self._arrival_terrain(scene, last_action) if new_level else 0
        branched = not self.fresh and new_level and scene.level >> 8 != self.level >> 8
        if branched and self.here.terrain[self.position] in STAIRS:
            self._mark(self.position, "BRANCH")
        if moved:
            self._note_meal(scene, new_level)
        if new_level:
            self._enter(scene)
        ways = {DOWN: (Terrain.STAIRS_DOWN, Terrain.HOLE), UP: (Terrain.STAIRS_UP,)}
        if not new_level and scene.time == self.time and not scene.prompt:
            if self.here.terrain[self.position] in ways.get(last_action, ()):
                self.here.terrain[self.position] = Terrain.FLOOR  # they are not what they seemed
        self._see(scene, new_level, implied)
        if branched and self.here.terrain[scene.position] in STAIRS:
            self._mark(scene.position, "BRANCH")
        self._judge_step(scene, last_action, moved)
        self._note_kill(scene, last_action, moved)
        self._note_corpses(scene)
        self._note_shunned(scene)
        self._walk(scene, last_action, moved and not new_level)
        self._count(scene, last_action, moved, new_level)
        level = scene.blstats[nethack.NLE_BL_XP]
        self.poison_proof = level >= monster_tables().poison_proof_from[self.role]
        if moved and not new_level:
            self._note_sprung(scene)
        self._note_wares(scene)
        if not new_level and last_action == EAT:
            self._mark(scene.position, "TASTED")
        if scene.asks("EAT_ITEM_PROMPT"):
            self.no_meal = scene.offered == 0
        if scene.says("NO_FOOD"):
            self.no_meal = True
        self.fresh = False

    def _mark(self, square: int, *names: str) -> None:
        for name in names:
            self.here.marks[square] |= MARKS[name]

    def _begin(self, scene: Scene) -> None:
        self.levels.clear()
        self.prompt = self.praying = self.no_meal = self.on_meal = False
        self.prayed_at = -NEVER_PRAYED
        self.position = 0
        self.hp, self.gold = scene.hp, scene.gold
        self.experience, self.time = scene.experience, scene.time
        monster = int(monster_tables().subject[scene.glyphs[scene.position]])
        roles = monster_tables().role
        self.role = int(roles[monster]) if monster < len(roles) else len(ROLES) - 1

    def _arrival_terrain(self, scene: Scene, last_action: int) -> int:
        """Terrain that the way of arrival puts under the player, 0 where nothing is implied."""
        if self.fresh:  # a game begins on the up stairs of level 1
            return Terrain.STAIRS_UP if scene.depth == 1 and scene.time <= 1 else 0
        left = self.here.terrain[self.position]
        if last_action == UP and left == Terrain.STAIRS_UP and scene.depth == wrap(self.depth - 1):
            return Terrain.STAIRS_DOWN
        if (last_action == DOWN and left == Terrain.STAIRS_DOWN
                and scene.depth == wrap(self.depth + 1)):  # fmt: skip
            return Terrain.STAIRS_UP
        return 0

    def _enter(self, scene: Scene) -> None:
        """Turns to the level's map, and forgets moves on the one just left."""
        self.here = self.levels.pop(scene.level, None) or Level()
        if len(self.levels) == MOST_LEVELS:
            del self.levels[next(iter(self.levels))]
        self.levels[scene.level] = self.here
        self.here.visits += 1
        self.still = self.frozen = 0
        self.trapped = False
        self.asked = Ring(ASKED)  # (glyph of a monster, turn until which it counts as peaceful)
        self.kills = Ring(KILLS)
        self.shunned = Ring(SHUNNED)  # (square, turn at which something was seen there, its glyph)
        self.trail = [-1] * 4  # positions, the newest first
        self.arrival = self.hurt_at = scene.time
        self.known = self.here.known

    def _see(self, scene: Scene, new_level: bool, implied: int) -> None:
        here = self.here
        # What is remembered of a square stays until it shows something else.
        changed = scene.glyphs != here.glyphs
        if here.told is not None:
            changed[here.told] = True
        better = changed & ((scene.shown > Terrain.COVERED) | (scene.shown > here.terrain))
        here.terrain = np.where(better, scene.shown, here.terrain)
        here.glyphs, here.told = scene.glyphs, None
        if scene.says("STAIRS_DOWN_HERE"):
            implied = Terrain.STAIRS_DOWN
        if scene.says("STAIRS_UP_HERE"):
            implied = Terrain.STAIRS_UP
        if implied and not scene.prompt:
            here.terrain[scene.position] = implied
            here.told = scene.position
        if new_level or here.known > self.known:
            self.discovery = scene.time
        self.known = here.known

    def _judge_step(self, scene: Scene, last_action: int, moved: bool) -> None:
        """Learns from a step that did not move the player: locked door, boulder, unseen block."""
        self.failed = False
        if not FIRST_MOVE <= last_action < FIRST_FAR_MOVE + 8:
            return
        near, aim = last_action < FIRST_FAR_MOVE, (last_action - FIRST_MOVE) % 8
        target = scene.position + NEIGHBOURS[aim]
        if near and scene.asks("ATTACK_PROMPT"):
            glyph = int(scene.glyphs[target])
            until = wrap(scene.time + PEACEFUL_TURNS)
            self.asked.put((glyph, until), lambda known: known[0] == glyph)
        if self.prompt or moved or scene.prompt or scene.more:
            return
        self.failed = scene.time == self.time
        explained = scene.says("DOOR_LOCKED", "NO_DIAGONAL", "BOULDER_STUCK", "IN_THE_WAY",
                               "DOOR_RESISTS")  # fmt: skip
        expected = self.here.terrain[target] in (Terrain.UNKNOWN, Terrain.WALL) or bool(
            scene.flags[target] & ANY_MONSTER
        )
        puzzling = self.failed and not explained and not expected
        again = puzzling and self.here.marks[target] & MARKS["TRIED"]
        if scene.says("DOOR_LOCKED"):
            self._mark(target, "LOCKED")
        if scene.says("BOULDER_STUCK") or (again and not DIAGONAL[aim]):
            self._mark(target, "BLOCKED")
        if scene.says("NO_DIAGONAL") or (again and DIAGONAL[aim]):
            self._mark(target, "NO_DIAGONAL")
        if puzzling:
            self._mark(target, "TRIED")
        if scene.says("NO_DIAGONAL") and self.here.terrain[scene.position] <= Terrain.COVERED:
            self._mark(scene.position, "NO_DIAGONAL")

    def _note_kill(self, scene: Scene, last_action: int, moved: bool) -> None:
        """Remembers where a blow has just killed a monster: its corpse would be fresh."""
        blow = FIRST_MOVE <= last_action < FIRST_FAR_MOVE and not moved and not self.prompt
        # The corpses of the undead are old from the start.
        if blow and scene.says("KILLED") and not scene.says("UNDEAD_KILLED"):
            fallen = scene.position + NEIGHBOURS[last_action - FIRST_MOVE]
            self.kills.put(Kill(fallen, scene.time), lambda kill: False)

    def _note_corpses(self, scene: Scene) -> None:
        """Remembers which kills left a corpse, and where corpses lie that no recent kill explains:
        what falls there later must not be taken for all that is there to eat."""
        for kill in self.kills:
            if kill.square != scene.position:
                if scene.flags[kill.square] & Flag.CORPSE:
                    kill.corpse = int(monster_tables().subject[scene.glyphs[kill.square]])
                elif not scene.flags[kill.square] & ANY_MONSTER:
                    kill.corpse = None
        for square in np.flatnonzero(scene.flags & Flag.CORPSE).tolist():
            if not self.killed_here(square, scene.time):
                self._mark(square, "STALE")

    def fresh_corpse(self, square: int, now: int) -> bool:
        """Whether a fresh corpse of the player's own kill lies there, wise to eat and not tried."""
        if self.here.marks[square] & (MARKS["STALE"] | MARKS["TASTED"]):
            return False
        return any(
            kill.square == square and wrap(now - kill.time) < FRESH
            and kill.corpse is not None and kill.corpse < len(_UNWISE)
            and not _UNWISE[kill.corpse] and (self.poison_proof or not _POISONOUS[kill.corpse])
            for kill in self.kills
        )  # fmt: skip

    def _note_shunned(self, scene: Scene) -> None:
        """Remembers where monsters to be walked round are: out of sight they are not shown. Who
        stands next to the square sees that they are gone."""

        def spared(square: int) -> bool:
            return self.spares(int(scene.glyphs[square]), scene.time)

        places = self.shunned.places
        for i, seen in enumerate(places):
            if seen is not None and distance(seen[0], scene.position) <= 1:
                if not (scene.flags[seen[0]] & Flag.SHUNNED or spared(seen[0])):
                    places[i] = None
        shown = scene.flags & (ANY_MONSTER | Flag.SHUNNED) != 0
        for place in np.flatnonzero(shown.reshape(-1, WIDTH).T).tolist():  # by columns
            column, row = divmod(place, AREA // WIDTH)
            square = row * WIDTH + column
            glyph, flags = int(scene.glyphs[square]), scene.flags[square]
            peaceful = flags & Flag.KEEPER != 0 or spared(square)
            if square == scene.position or not (peaceful or flags & Flag.SHUNNED):
                continue
            # Who is peaceful moves about: of a kind, the one seen last counts.
            self.shunned.put(
                (square, scene.time, glyph),
                lambda seen: seen[2] == glyph if peaceful else seen[0] == square,
            )

    def spares(self, glyph: int, now: int) -> bool:
        """Whether monsters that show this glyph count as peaceful."""
        return any(kind == glyph and until >= now for kind, until in self.asked)

    def kill_age(self, square: int, now: int) -> int:
        """Turns since the player killed a monster on a square."""
        ages = [wrap(now - kill.time) for kill in self.kills if kill.square == square]
        return max(min([LONG_AGO, *ages]), 0)

    def killed_here(self, square: int, now: int) -> bool:
        return self.kill_age(square, now) < FRESH

    def _walk(self, scene: Scene, last_action: int, moved: bool) -> None:
        """Marks the squares that the last move passed. A long move runs along a straight line, or
        round the bends of a corridor: then a shortest way is the one taken, or nearly."""
        self._mark(scene.position, "VISITED")
        if not (moved and FIRST_FAR_MOVE <= last_action < FIRST_FAR_MOVE + 8):
            return
        start, step = self.position, NEIGHBOURS[last_action - FIRST_FAR_MOVE]
        length = distance(start, scene.position)
        if start + length * step == scene.position:
            passed = [start + along * step for along in range(length)]
        else:
            ground = Ground(self.here.walkable, self.here.on(*FRAMES))
            around = ground.around(start, FARTHEST_RUN)
            passed = [start + step, *(ground.walk_back(around, scene.position) or [])]
        for square in passed:
            self._mark(square, "VISITED")

    def _note_meal(self, scene: Scene, new_level: bool) -> None:
        """Remembers whether food that keeps was last seen on the square that was moved to. What was
        left untouched on the square before is of no use."""
        if self.fresh or new_level:
            shown = False
        else:
            shown = PROPERTIES_OF_GLYPH[self.here.glyphs[scene.position]] & Flag.MEAL != 0
        if not self.fresh and self.on_meal:
            self._mark(self.position, "TASTED")
        self.on_meal = shown and not self.here.marks[scene.position] & MARKS["TASTED"]

    def _note_wares(self, scene: Scene) -> None:
        """What lies in a shop is not to be had: marks what lies around a keeper, or around the
        player where a shop is spoken of, as tried."""
        others = scene.flags.copy()
        others[scene.position] = 0
        middles = np.flatnonzero(others & Flag.KEEPER).tolist()
        if scene.says("SHOP"):
            middles.append(scene.position)
            self._mark(scene.position, "TASTED")
        for square in np.flatnonzero(scene.flags & Flag.ITEM).tolist():
            if any(abs(square % WIDTH - middle % WIDTH) <= SHOP for middle in middles):
                self._mark(square, "TASTED")

    def _note_sprung(self, scene: Scene) -> None:
        """A step that hurt although no enemy is near met a trap, which what fell out of it may
        cover."""
        culprit = any(flags & (Flag.HOSTILE | Flag.UNSEEN) for flags in scene.near)
        if self.hurt > 0 and not scene.says("HIT_ME") and not culprit:
            if self.here.terrain[scene.position] <= Terrain.CORRIDOR:
                self.here.terrain[scene.position] = Terrain.TRAP

    def _count(self, scene: Scene, last_action: int, moved: bool, new_level: bool) -> None:
        passed = wrap(scene.time - self.time)
        if last_action == SEARCH and passed > 0 and not moved and not self.prompt:
            self.here.searches += 1
            self.here.searched[scene.position] += self.here.searched[scene.position] < 255
        self.hurt = max(wrap(self.hp - scene.hp), 0)
        if self.hurt > 0:
            self.hurt_at = scene.time
            self.asked.clear()  # another of that kind may be hostile
        self.gold_gained = wrap(scene.gold - self.gold)
        self.experience_gained = wrap(scene.experience - self.experience)
        # Falling into a pit always hurts; so a painless step shows that nothing holds the player.
        held = scene.says("TRAPPED") or self.hurt > 0
        in_pit = self.here.terrain[scene.position] == Terrain.PIT
        self.trapped = bool(held or (in_pit if moved else self.trapped))
        self.still = 0 if moved else self.still + 1
        if self.praying and passed > 0:
            self.prayed_at = scene.time
        self.frozen = 0 if passed != 0 or new_level else self.frozen + 1
        self.trail = [scene.position, *self.trail[:3]]
        self.level, self.depth, self.position = scene.level, scene.depth, scene.position
        self.time, self.hp, self.gold = scene.time, scene.hp, scene.gold
        self.experience, self.prompt = scene.experience, scene.prompt
        self.praying = scene.asks("PRAY_PROMPT")
