"""Ways against a plain breadth-first search over the same ground, in real games; staged scenes."""

from collections import Counter, deque

import numpy as np
from grounded_games import GroundedGames, play
from nle import nethack
from oracle import Look
from oracle.paths import GOALS, UNREACHED, Ground
from oracle.squares import DIAGONAL, NEIGHBOURS, WIDTH, listed
from staged_scenes import Stage, monster, symbol

from tedg_fast.nethack.actions import COMPASS


def searched_steps(ground: Ground, start: int, goals: int) -> int:
    """Steps from start to the nearest goal, square by square; UNREACHED if there is no way."""
    distance = {start: 0}
    queue = deque([start])
    while queue:
        square = queue.popleft()
        if goals >> square & 1:
            return distance[square]
        if square != start and not ground.passable >> square & 1:
            continue
        for offset, diagonal in zip(NEIGHBOURS, DIAGONAL, strict=True):
            other = square + offset
            passable = ground.passable >> other & 1
            if other in distance or not (passable or goals >> other & 1):
                continue
            slanted = ground.no_slant >> square & 1 or ground.no_slant >> other & 1
            if diagonal and (slanted or not passable):
                continue
            distance[other] = distance[square] + 1
            queue.append(other)
    return UNREACHED


def test_ways_are_the_shortest():
    games, rng = GroundedGames(4, seed=900), np.random.default_rng(1)
    checked = Counter()

    def watch(_: int, look: Look) -> None:
        if rng.random() > 0.5:
            return
        ground, start = look.ways.ground, look.scene.position
        for goal in GOALS:
            way, goals = look.ways.to[goal], look.ways.goals[goal]
            expected = searched_steps(ground, start, goals)
            assert way.steps == expected
            assert (way.direction >= 0) == (0 < expected < UNREACHED)
            if way.direction >= 0:
                after = start + NEIGHBOURS[way.direction]
                if expected > 1:
                    assert searched_steps(ground, after, goals) == expected - 1
                along = start + way.straight * NEIGHBOURS[way.direction]
                assert 1 <= way.straight <= expected
                assert searched_steps(ground, along, goals) == expected - way.straight
                checked[goal] += 1

    play(games, 400, rng, watch)
    games.close()
    often = set(GOALS) - {"meal", "fresh_corpse", "side_stairs"}  # rare so soon
    assert all(checked[goal] >= 5 for goal in often), checked


def test_a_door_is_not_passed_diagonally():
    stage = Stage()
    stage.raw.glyphs[:] = symbol("dark part of a room")
    stage.begin()
    stage.put("east", symbol("floor of a room"))
    stage.put("northeast", symbol("open door"))
    assert stage.show(-1).ways.to["frontier"].direction == COMPASS.index("east")


def test_a_floating_eye_is_walked_around():
    stage = Stage()
    stage.raw.glyphs[:] = symbol("dark part of a room")
    stage.begin()
    stage.put("east", monster("floating eye"))
    assert not stage.facts(-1)["frontier"]


def test_a_door_that_leads_nowhere_is_searched():
    stage = Stage()
    stage.room(["-+---", "|@..|", "|...|", "-----"])
    stage.show(-1)
    stage.walk("north")
    stage.show("north")
    assert stage.facts()["search_spot"] == [{"steps": 0, "straight": 0, "overrun": 0}]


def searched_room(rows: list[str], message: str = "") -> np.ndarray:
    """Where to search in a room, [rows, columns] of 0 or 1, once its dead ends are."""
    stage = Stage()
    stage.room(rows)
    stage.say(message)
    for turn in range(4):  # the rounds begin once nothing is left to explore
        stage.stat(nethack.NLE_BL_TIME, 100 + turn)
        look = stage.show(-1 if turn == 0 else "wait")
    spots = np.zeros((len(rows), len(rows[0])), int)
    for square in listed(look.ways.goals["search_spot"]):
        spots[square // WIDTH - 6, square % WIDTH - 11] = 1
    return spots


def test_search_spots_reach_every_wall_and_are_few():
    """Each wall square lies next to one of them."""
    bare = "|........|"
    spots = searched_room(["----------", bare, bare, "|...@....|", bare, bare, "----------"])
    reached, wall = np.zeros_like(spots), np.ones_like(spots)
    for y, x in np.argwhere(spots):
        reached[y - 1 : y + 2, x - 1 : x + 2] = 1
    wall[1:-1, 1:-1] = 0
    wall[[0, 0, -1, -1], [0, -1, 0, -1]] = 0  # no door is in a corner
    assert (reached >= wall).all()
    assert 4 <= spots.sum() <= 12


def test_nobody_searches_among_things_lying_about():
    """A shop's mimics look like them, and its one door is known."""
    bare, things = "|........|", "|%.......|"
    rows = ["----------", bare, bare, "|...@....|", bare, bare, "----------"]
    shop = [*rows[:4], things, *rows[5:]]
    everywhere, spots = searched_room(rows), searched_room(shop, "Welcome to Akalapi's store!")
    beside = np.zeros_like(spots)
    beside[4, :3] = 1
    assert (everywhere & beside).any() and not (spots & beside).any()
    assert np.array_equal(spots, everywhere & ~beside)


def test_stairs_may_lie_under_what_nobody_stood_on():
    spots = searched_room(["-----", "|@..|", "|..%|", "-----"])
    assert np.argwhere(spots).tolist() == [[2, 3]]


def test_a_corridor_does_not_go_on_diagonally_through_a_door():
    """Its end is searched: the square before the door is hidden."""
    stage = Stage()
    stage.room(["   +", "@## "])
    stage.show(-1)
    for _ in range(2):
        stage.walk("east")
        look = stage.show("east")
    assert not look.ways.to["frontier"].reachable
    assert look.ways.to["search_spot"].steps == 0


def test_wares_are_walked_round():
    """What is picked up in a shop keeps the player there."""
    stage = Stage()
    stage.room(["-------", "|@....|", "|.$$$.|", "|.....|", "-------"])
    assert stage.facts(-1)["gold"]
    stage.say("Welcome to Akalapi's store!")
    assert not stage.facts()["gold"]


def test_a_trap_before_a_door_is_no_hindrance():
    stage = Stage()
    stage.room(["-----", "|...|", "|@..|", "--+--"])
    stage.show(-1)
    stage.put("east", symbol("dart trap"))
    assert stage.show("wait").ways.to["frontier"].reachable


def test_gold_behind_what_does_not_move_is_no_goal():
    stage = Stage()
    stage.room(["-----", "|@$.|", "-----"])
    assert stage.facts(-1)["gold"][0]["steps"] == 1
    stage.say("You try to move the boulder, but in vain.")
    assert not stage.facts("east")["gold"]


def test_a_way_goes_straight_until_it_turns_and_a_run_would_overshoot():
    stage = Stage()
    stage.room(["---------", "|@......|", "|.......|", "|......>|", "---------"])
    (way,) = stage.facts(-1)["stairs_down"]
    assert way == {"steps": 6, "straight": 4, "overrun": 2}
