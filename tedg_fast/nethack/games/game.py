"""One NetHack game: `NetHackScore-v0`'s rules on NLE's inner interface, made replayable.

The gymnasium class is left out on purpose: it copies every array at each step and builds
dictionaries, which costs as much time as the game itself. Here NLE writes straight into the
caller's arrays. What a step does and pays is the same, and tested against the class.

Two things differ from it. Episodes are cut by our own count (NLE's inner cap looks like a
death), and the wall clock is kept out of the game, so that seeds and actions determine it.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping

import numpy as np
from nle import nethack
from nle.env.base import SKIP_EXCEPTIONS

from tedg_fast.nethack.actions import KEYS
from tedg_fast.nethack.facts.observation import OBSERVATION_KEYS, RawObservation
from tedg_fast.nethack.games.nle_library import correct_library, killer

_SPACE, _ESCAPE = 32, 27
_FROZEN_TIME_PENALTY = -0.01
# Places in NLE's `internal` and `program_state` arrays (include/nletypes.h, win/rl/winrl.cc).
_IN_QUESTION, _IN_TEXT_LINE, _WAITS_FOR_SPACE = 1, 2, 3
_IN_MOVE_LOOP = 3
_MAX_OPENINGS = 10
_MAX_OPENING_KEYS = 1000
_FILES = ("nhdat", "perm", "record", "logfile", "xlogfile", "save")

_ENDINGS = {
    nethack.ESCAPED: "escaped",
    nethack.ASCENDED: "ascended",
    nethack.QUIT: "quit",
    nethack.PANICKED: "panicked",
    nethack.TRICKED: "panicked",
}


def empty_arrays(keys: Iterable[str], *leading: int) -> dict[str, np.ndarray]:
    """Zeroed arrays for NLE to write to, by its names, with these leading dimensions."""
    described = ((key, nethack.OBSERVATION_DESC[key].values()) for key in keys)
    return {key: np.zeros((*leading, *shape), dtype) for key, (shape, dtype) in described}


def empty_observations(games: int) -> RawObservation:
    """Zeroed observations of so many games, whose rows `Game` takes."""
    return RawObservation(**empty_arrays(OBSERVATION_KEYS, games))


class Game:
    """One game after another in one NLE instance. Not thread-safe; `close` frees its files.

    Parameters
    ----------
    observation : C-contiguous arrays without the leading dimension: glyphs int16 [21, 79],
        blstats int64 [27], message uint8 [256], misc int32 [3]. They hold the game's observation
        after `start` and after every `step`; once the game is over their content means nothing.
    max_steps : steps after which an episode is truncated.
    character : NLE's character string, such as "mon-hum-neu-mal".
    screen : further arrays for NLE to write to, by its names and in its shapes and dtypes (such as
        tty_chars uint8 [24, 80]), for showing the game.

    Attributes of the running or just finished episode: `length` (steps), `reward` (sum),
    `true_score`, `depth` (deepest level so far), `terminated`, `truncated`.
    """

    def __init__(
        self,
        observation: RawObservation,
        *,
        max_steps: int,
        character: str,
        screen: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._max_steps = max_steps
        self._buffers = {key: getattr(observation, key) for key in OBSERVATION_KEYS}
        self._blstats, self._message = observation.blstats, observation.message
        self._internal = np.zeros(nethack.INTERNAL_SHAPE, np.int32)
        self._program_state = np.zeros(nethack.PROGRAM_STATE_SHAPE, np.int32)
        self._screen = dict(screen or {})
        self._character = character
        self._open()
        self.terminated = True
        self.truncated = False

    def _open(self) -> None:
        """Make NLE's instance, and a temporary folder for its files."""
        for attempt in range(_MAX_OPENINGS):
            os.makedirs(tempfile.gettempdir(), exist_ok=True)
            try:
                self._nethack = nethack.Nethack(
                    observation_keys=OBSERVATION_KEYS,
                    playername=f"Agent-{self._character}",
                    ttyrec=None,
                    fix_moon_phase=True,
                )
                break
            except FileNotFoundError:  # taken while they were made
                if attempt == _MAX_OPENINGS - 1:
                    raise
        # Called directly: the wrapper's step also gathers observations that nobody looks at.
        self._engine = self._nethack._pynethack
        self._engine.set_buffers(
            **self._buffers,
            **self._screen,
            internal=self._internal,
            program_state=self._program_state,
        )

    def _files_are_there(self) -> bool:
        """False where something, like a daily cleaning of /tmp, took files without which no game
        can begin."""
        folder = self._nethack._vardir
        return all(os.path.exists(os.path.join(folder, name)) for name in _FILES)

    def start(self, core_seed: int, display_seed: int) -> None:
        """Begin a new game, whatever became of the one before."""
        while True:
            if not self._files_are_there():
                self.close()
                self._open()
            # NLE forgets its seeds after each reset.
            self._nethack.set_initial_seeds(core_seed, display_seed, False)
            try:
                self._nethack.reset()
                break
            except RuntimeError:
                if self._files_are_there():  # else they were taken since the look
                    raise
        self.length = 0
        self.reward = 0.0
        self.terminated = self.truncated = False
        for _ in range(_MAX_OPENING_KEYS):
            if self._program_state[_IN_MOVE_LOOP]:
                break
            # A request for a line of text ("call it:") swallows spaces for ever.
            self._press(_ESCAPE if self._internal[_IN_TEXT_LINE] else _SPACE)
        else:
            raise RuntimeError(
                f"NetHack with seeds ({core_seed}, {display_seed}) did not begin within "
                f"{_MAX_OPENING_KEYS} keys"
            )
        correct_library(self._nethack.dlpath)
        self._time = self._blstats.item(nethack.NLE_BL_TIME)
        self.true_score = self._blstats.item(nethack.NLE_BL_SCORE)
        self.depth = self._blstats.item(nethack.NLE_BL_DEPTH)

    def step(self, action: int) -> float:
        """Play action number `action` (0 to 23; the last is prayer) and return its reward.

        The reward is the score's difference, less 0.01 if game time stood still. Must not be
        called once `terminated` or `truncated` is set.
        """
        done = self._press(KEYS[action]) or self._answer_prompts()
        blstats = self._blstats
        time = blstats.item(nethack.NLE_BL_TIME)
        reward = _FROZEN_TIME_PENALTY if time == self._time else 0.0
        self._time = time
        if self._engine.in_normal_game():  # afterwards blstats are zero
            score = blstats.item(nethack.NLE_BL_SCORE)
            reward += score - self.true_score
            self.true_score = score
            self.depth = max(self.depth, blstats.item(nethack.NLE_BL_DEPTH))
        self.length += 1
        self.reward += reward
        self.terminated = done
        self.truncated = not done and self.length >= self._max_steps
        return reward

    def _press(self, key: int) -> bool:
        """Give NetHack a key; returns whether the game is over."""
        self._engine.step(key)
        return self._engine.done()

    def _answer_prompts(self) -> bool:
        """Leave every prompt no action of ours can answer; returns whether the game is over.

        Questions that eat, kick, attack and pray ask stay open: the next action answers them.
        """
        done = False
        while not done:
            if self._internal.item(_WAITS_FOR_SPACE):
                done = self._press(_SPACE)
            elif self._internal.item(_IN_TEXT_LINE):
                done = self._press(_ESCAPE)
            elif self._internal.item(_IN_QUESTION):
                message = self._message.tobytes()
                if not any(words in message for words in SKIP_EXCEPTIONS):
                    done = self._press(_ESCAPE)
                break
            else:
                break
        return done

    @property
    def ending(self) -> str:
        """How the finished episode ended, one of `episode.ENDINGS`."""
        if self.truncated:
            return "truncated"
        return _ENDINGS.get(self._nethack.how_done(), "death")

    @property
    def killer(self) -> str:
        """What killed the player, in the game's words; empty if the episode ended otherwise."""
        return killer(self._nethack.dlpath) if self.ending == "death" else ""

    @property
    def last_observation_score(self) -> int:
        """The score of the last observation: 0 once NLE has zeroed it."""
        return 0 if self.terminated else self.true_score

    def observation_digest(self) -> bytes:
        """16 bytes over the current raw observation; all zero if the game is over."""
        if self.terminated:
            return bytes(16)
        digest = hashlib.blake2b(digest_size=16)
        for array in self._buffers.values():
            digest.update(array)
        return digest.digest()

    def close(self) -> None:
        """End the game and remove its temporary files, unless something has taken them away; the
        object is of no use afterwards."""
        with contextlib.suppress(OSError):
            self._nethack.close()
