"""Real games played side by side under one Grounder, for tests of what it makes of them."""

from collections.abc import Callable, Sequence

import numpy as np
from nle import nethack

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.action_mask import allowed_actions
from tedg_fast.nethack.actions import DOWN, EAT, FIRST_FAR_MOVE, FIRST_MOVE
from tedg_fast.nethack.detectors import View
from tedg_fast.nethack.games.game import Game
from tedg_fast.nethack.facts.glyphs import Terrain
from tedg_fast.nethack.grounding import OBSERVATION_KEYS, Grounder, RawObservation
from tedg_fast.nethack.paths import Goal


def empty_raw(games: int) -> RawObservation:
    """Zeroed NLE arrays of so many games."""
    arrays = {}
    for key in OBSERVATION_KEYS:
        described = nethack.OBSERVATION_DESC[key]
        arrays[key] = np.zeros((games, *described["shape"]), dtype=described["dtype"])
    return RawObservation(**arrays)


class GroundedGames:
    """`games` games with seeds from `seed` on; a finished game is followed by the next.

    Game i is played by characters[i % len(characters)].
    """

    def __init__(
        self,
        games: int,
        seed: int,
        max_steps: int = 2000,
        characters: Sequence[str] = ("mon-hum-neu-mal",),
    ):
        self.raw = empty_raw(games)
        self.games = [
            Game(self.raw[i], max_steps=max_steps, character=characters[i % len(characters)])
            for i in range(games)
        ]
        self.grounder = Grounder(load_hypergraph(), games)
        self.last_action = np.full(games, -1)
        self.new = np.ones(games, dtype=bool)  # the present observation begins a game
        self.cut = np.zeros(games, dtype=bool)  # because the one before was truncated
        self.next_seed = seed
        for index in range(games):
            self._start(index)

    def _start(self, index: int) -> None:
        self.games[index].start(self.next_seed, self.next_seed + 1)
        self.next_seed += 2
        self.last_action[index] = -1
        self.new[index] = True
        self.grounder.reset(index)

    def look(self) -> View:
        """Grounds the present observations; once per step."""
        return self.grounder.look(self.raw, self.last_action)

    def step(self, actions: np.ndarray) -> None:
        """Plays one action in every game; finished games are replaced by new ones."""
        self.new[:] = False
        for index, game in enumerate(self.games):
            game.step(int(actions[index]))
            self.last_action[index] = actions[index]
            self.cut[index] = game.truncated
            if game.terminated or game.truncated:
                self._start(index)

    def close(self) -> None:
        """Ends all games."""
        for game in self.games:
            game.close()


def diving_actions(view: View, allowed: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Actions that get around: allowed ones at random, often along the way to stairs or frontier.

    allowed: bool [G, 23].
    """
    actions = np.argmax(rng.random(allowed.shape) * allowed, axis=1)
    rows = np.arange(len(actions))
    for goal in (Goal.GOLD, Goal.SEARCH_SPOT, Goal.FRONTIER, Goal.STAIRS_DOWN):
        direction = view.ways.direction[:, goal]
        long = rng.random(len(actions)) < 0.3
        wanted = direction + np.where(long, FIRST_FAR_MOVE, FIRST_MOVE)
        follow = (direction >= 0) & (rng.random(len(actions)) < 0.6) & ~view.scene.prompt
        follow &= allowed[rows, np.maximum(wanted, 0)]
        actions = np.where(follow, wanted, actions)
    down = (view.here == Terrain.STAIRS_DOWN) & allowed[:, DOWN] & ~view.scene.prompt
    hungry = (view.scene.blstats[:, nethack.NLE_BL_HUNGER] >= 2) & allowed[:, EAT]
    actions = np.where(hungry & (rng.random(len(actions)) < 0.3), EAT, actions)
    return np.where(down, DOWN, actions)


def play(
    games: GroundedGames, steps: int, rng: np.random.Generator, watch: Callable[[View], None]
) -> None:
    """Plays `steps` steps of every game with `diving_actions`, showing each view to `watch`."""
    for _ in range(steps):
        view = games.look()
        watch(view)
        games.step(diving_actions(view, allowed_actions(view), rng))
