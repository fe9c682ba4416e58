"""Real games played side by side, for tests of what the grounding makes of them."""

from collections.abc import Callable, Sequence

import numpy as np
from nle import nethack
from oracle import Look, Oracle

from tedg_fast.nethack.actions import DOWN, EAT, FIRST_FAR_MOVE, FIRST_MOVE, num_actions
from tedg_fast.nethack.facts.glyphs import Terrain
from tedg_fast.nethack.games.game import Game, empty_observations

# Where to go, and how much more gladly than elsewhere, the last first.
_AIMS = ("gold", "search_spot", "frontier", "stairs_down")


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
        prayer: bool = False,
    ):
        self.raw = empty_observations(games)
        self.all_actions = np.arange(num_actions(prayer))
        self.games = [
            Game(self.raw[i], max_steps=max_steps, character=characters[i % len(characters)])
            for i in range(games)
        ]
        self.oracles = [Oracle(prayer) for _ in range(games)]
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
        self.oracles[index].reset()

    def look(self, index: int) -> Look:
        """What the oracle says of a game's present observation; once per step."""
        return self.oracles[index].look(self.raw[index], int(self.last_action[index]))

    def step(self, actions: Sequence[int]) -> None:
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


def diving_action(look: Look, allowed: np.ndarray, rng: np.random.Generator) -> int:
    """An action that gets around: an allowed one (bool [24]) at random, often along the way to
    stairs or frontier."""
    scene, here = look.scene, look.memory.here.terrain[look.scene.position]
    action = int(rng.choice(np.flatnonzero(allowed)))
    for goal in _AIMS:
        direction = look.ways.to[goal].direction
        wanted = direction + (FIRST_FAR_MOVE if rng.random() < 0.3 else FIRST_MOVE)
        if direction >= 0 and rng.random() < 0.6 and not scene.prompt and allowed[wanted]:
            action = wanted
    hungry = scene.blstats[nethack.NLE_BL_HUNGER] >= 2
    if hungry and allowed[EAT] and rng.random() < 0.3:
        action = EAT
    if here == Terrain.STAIRS_DOWN and allowed[DOWN] and not scene.prompt:
        action = DOWN
    return action


def play(
    games: GroundedGames, steps: int, rng: np.random.Generator, watch: Callable[[int, Look], None]
) -> None:
    """Plays `steps` steps of every game with `diving_action`, showing each look to `watch` (the
    game's place first); each fourth game is left to chance."""
    for _ in range(steps):
        actions = []
        for index in range(len(games.games)):
            look = games.look(index)
            watch(index, look)
            by_chance = index % 4 == 3
            actions.append(rng.choice(games.all_actions) if by_chance
                           else diving_action(look, look.action_mask(), rng))  # fmt: skip
        games.step(actions)
