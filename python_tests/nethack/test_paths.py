"""Ways against a plain breadth-first search over the same map, in real games."""

from collections import deque

import numpy as np
from grounded_games import GroundedGames, play
from nle import nethack
from staged_scenes import Stage, monster, symbol, thing

from tedg_fast.nethack.actions import COMPASS, IS_DIAGONAL
from tedg_fast.nethack.detectors import View
from tedg_fast.nethack.paths import UNREACHED, Goal
from tedg_fast.nethack.scene import NEIGHBOURS, WIDTH

_PASSABLE, _NO_SLANT = 1, 2


def searched_steps(code: np.ndarray, start: int, goal_bit: int) -> int:
    """Steps from start to the nearest goal, square by square; UNREACHED if there is no way."""
    distance = {start: 0}
    queue = deque([start])
    while queue:
        square = queue.popleft()
        if code[square] & goal_bit:
            return distance[square]
        if square != start and not code[square] & _PASSABLE:
            continue
        for offset, diagonal in zip(NEIGHBOURS, IS_DIAGONAL, strict=True):
            other = square + int(offset)
            if other in distance or not code[other] & (_PASSABLE | goal_bit):
                continue
            slanted = code[square] & _NO_SLANT or code[other] & _NO_SLANT
            if diagonal and (slanted or not code[other] & _PASSABLE):
                continue
            distance[other] = distance[square] + 1
            queue.append(other)
    return UNREACHED


def test_ways_are_the_shortest():
    games, rng = GroundedGames(4, seed=900), np.random.default_rng(1)
    checked = np.zeros(Goal.COUNT, dtype=int)
    paths = games.grounder._paths

    def watch(view: View) -> None:
        game = int(rng.integers(4))
        for goal in range(Goal.COUNT):
            if goal == Goal.SEARCH_SPOT and not paths.explored[game]:
                continue
            start = int(view.scene.position[game])
            expected = searched_steps(paths.code[game], start, 4 << goal)
            assert view.ways.steps[game, goal] == expected
            direction = view.ways.direction[game, goal]
            assert (direction >= 0) == (0 < expected < UNREACHED)
            if direction >= 0:
                after = start + int(NEIGHBOURS[direction])
                if expected > 1:
                    rest = searched_steps(paths.code[game], after, 4 << goal)
                    assert rest == expected - 1
                checked[goal] += 1

    play(games, 400, rng, watch)
    games.close()
    assert (np.delete(checked, Goal.MEAL) >= 5).all(), checked  # nobody is hungry so soon


def test_a_door_is_not_passed_diagonally():
    stage = Stage()
    stage.raw.glyphs[:] = symbol("dark part of a room")
    stage.grounder.reset(0)
    stage.put("east", symbol("floor of a room"))
    stage.put("northeast", symbol("open door"))
    view = stage.show(-1)
    assert view.ways.direction[0, Goal.FRONTIER] == COMPASS.index("east")


def test_a_floating_eye_is_walked_around():
    stage = Stage()
    stage.raw.glyphs[:] = symbol("dark part of a room")
    stage.grounder.reset(0)
    stage.put("east", monster("floating eye"))
    assert stage.show(-1).ways.steps[0, Goal.FRONTIER] == UNREACHED


def room(stage: Stage, rows: list[str]) -> None:
    """A level of nothing but these rows, the player's own square marked by "@"."""
    glyphs = {
        " ": symbol("dark part of a room"), ".": symbol("floor of a room"), "#": symbol("corridor"),
        "-": symbol("wall"), "|": symbol("wall"), "+": symbol("open door"),
        "%": thing("food ration"), "$": thing("gold piece"), "@": symbol("floor of a room"),
    }  # fmt: skip
    stage.raw.glyphs[:] = symbol("dark part of a room")
    for y, row in enumerate(rows):
        for x, letter in enumerate(row):
            stage.raw.glyphs[0, 5 + y, 10 + x] = glyphs[letter]
            if letter == "@":
                stage.stat(nethack.NLE_BL_X, 10 + x)
                stage.stat(nethack.NLE_BL_Y, 5 + y)
    stage.grounder.reset(0)


def test_a_door_that_leads_nowhere_is_searched():
    stage = Stage()
    room(stage, ["-+---", "|@..|", "|...|", "-----"])
    stage.show(-1)
    stage.walk("north")
    stage.show("north")
    assert stage.show().ways.steps[0, Goal.SEARCH_SPOT] == 0


def test_search_spots_reach_every_wall_and_are_few():
    """Also where something lies on the floor; each wall square next to one of them."""
    stage = Stage()
    rows = ["----------", *["|........|"] * 3, "|%.......|", "|........|", "----------"]
    rows[3] = "|...@....|"
    room(stage, rows)
    for turn in range(4):  # the rounds begin once nothing is left to explore
        stage.stat(nethack.NLE_BL_TIME, 100 + turn)
        stage.show(-1 if turn == 0 else "wait")
    code = stage.grounder._paths.code[0].reshape(-1, WIDTH)[6:13, 11:21]
    spots = code >> (2 + Goal.SEARCH_SPOT) & 1
    reached = np.zeros_like(spots)
    for y, x in np.argwhere(spots):
        reached[y - 1 : y + 2, x - 1 : x + 2] = 1
    wall = np.ones_like(spots)
    wall[1:-1, 1:-1] = 0
    wall[[0, 0, -1, -1], [0, -1, 0, -1]] = 0  # no door is in a corner
    assert (reached >= wall).all()
    assert 4 <= spots.sum() <= 12


def test_gold_behind_what_does_not_move_is_no_goal():
    stage = Stage()
    room(stage, ["-----", "|@$.|", "-----"])
    assert stage.show(-1).ways.steps[0, Goal.GOLD] == 1
    stage.say("You try to move the boulder, but in vain.")
    assert stage.show("east").ways.steps[0, Goal.GOLD] == UNREACHED
