"""One seeded game with its screen and what the rules make of it, step by step."""

import numpy as np

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.facts.grounder import MARGIN, Decide, Grounder, by_rule
from tedg_fast.nethack.games.episode import draws_of, episode_seeds
from tedg_fast.nethack.games.game import Game, empty_arrays, empty_observations

_SCREEN_KEYS = ("tty_chars", "tty_colors", "tty_cursor")


class GroundedGame:
    """Game `number` of run seed `seed`: the very game that `tedg-eval` plays under these.

    `observation` [1, ...] is grounded anew after each step; of a game that is over it is the last
    one. `left_out`: objects and rule instances beyond the limits of it. `decide`, `margin`,
    `use_mask` and `prayer` are as of `Grounder`. Not thread-safe; `close` frees the game's files.
    """

    def __init__(
        self,
        rules: Hypergraph,
        seed: int,
        number: int,
        max_steps: int,
        character: str,
        *,
        decide: Decide = "contested",
        margin: float = MARGIN,
        use_mask: bool = True,
        prayer: bool = False,
    ):
        self._draws = draws_of(seed, number, max_steps)
        self._screen = empty_arrays(_SCREEN_KEYS)
        self._raw = empty_observations(1)
        self.game = Game(
            self._raw[0], max_steps=max_steps, character=character, screen=self._screen
        )
        self.grounder = Grounder(
            rules,
            1,
            decide=decide,
            margin=margin,
            use_mask=use_mask,
            prayer=prayer,
            max_steps=max_steps,
        )
        self.observation = self.grounder.spec.empty(1)
        self.game.start(*episode_seeds(seed, number))
        self.grounder.reset(0)
        self._ground(-1)

    @property
    def over(self) -> bool:
        return self.game.terminated or self.game.truncated

    @property
    def draw(self) -> float:
        """What decides at this step between equals, in [0, 1)."""
        return float(self._draws[self.game.length])

    def step(self, action: int) -> None:
        """Plays an action. Must not be called once the game is over."""
        self.game.step(action)
        if self.over:
            self.grounder.end(0, action)
        else:
            self._ground(action)

    @property
    def decided(self) -> dict[str, tuple[int, int]]:
        """Of the steps so far, as `Episode.decided`."""
        return by_rule(self.grounder.rules, self.grounder.decided(0))

    def screen(self) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """The terminal: characters uint8 and colours int8 [24, 80], and the cursor (row,
        column)."""
        row, column = self._screen["tty_cursor"].tolist()
        return self._screen["tty_chars"].copy(), self._screen["tty_colors"].copy(), (row, column)

    def close(self) -> None:
        """Ends the game and removes its files."""
        self.game.close()

    def _ground(self, last_action: int) -> None:
        before = self.grounder.left_out
        self.grounder(self._raw, np.array([last_action]), self.observation)
        objects, instances = np.subtract(self.grounder.left_out, before).tolist()
        self.left_out = objects, instances
