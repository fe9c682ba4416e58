"""The same seeded games for every agent, each played to its end.

A game is a function of its number: NLE's seeds and the draws that choose among the agent's
actions both come from (run seed, number). So all agents meet the same games and the same luck, and
what comes out depends neither on how many games are played at once nor on their order (a network's
rounding may, for it depends on the batch). Stopping when enough games have ended would favour
short ones; here exactly the first n count.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tedg_fast.errors import Stopped
from tedg_fast.evaluate.agents import Agent
from tedg_fast.evaluate.contexts import contexts_of
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.nethack.games.episode import Episode, draws_of
from tedg_fast.nethack.games.vector_env import VectorEnv
from tedg_fast.nethack.games.worker_process import WorkerError
from tedg_fast.runs.model import grounder_of

_DECISIONS_A_DEAL = 100
"""So many in each game, and games not begun yet are dealt out anew to who will need them first."""


@dataclass(frozen=True)
class Games:
    """Which games: ``episodes`` of them, numbered from 0 under ``seed``, of at most ``max_steps``
    steps each."""

    episodes: int
    seed: int
    max_steps: int
    character: str
    prayer: bool = False


@dataclass(frozen=True)
class Trace:
    """What the router did at each of S decisions, game after game in their order.

    ``contexts`` bool [S, len(CONTEXTS)] (which situations it was in), ``leading`` uint8 [S] (the
    expert with the largest α), ``usage`` [K] (mean α).
    """

    contexts: np.ndarray
    leading: np.ndarray
    usage: np.ndarray


@dataclass(frozen=True)
class Played:
    """``episodes`` by their numbers; one that is missing was lost with its worker, as ``lost``
    says; ``trace`` is None for an agent without experts; ``left_out`` counts objects and rule
    instances beyond the limits of an observation. Where
    a ``stop`` or a failure came before the end, these are the games before all that were not
    finished."""

    episodes: dict[int, Episode]
    lost: list[str]
    trace: Trace | None
    left_out: tuple[int, int] = (0, 0)
    stop: Stopped | WorkerError | None = None


def play(
    agent: Agent,
    games: Games,
    *,
    num_envs: int,
    num_workers: int,
    on_episode: Callable[[], None] = lambda: None,
) -> Played:
    """Play all ``games`` with ``agent``, ``num_envs`` at a time in ``num_workers`` processes.

    ``on_episode`` is called for each game that has ended. If playing is stopped or cannot go on,
    the result holds the reason and the games up to the first one that had not ended.
    """
    num_envs = min(num_envs, games.episodes)
    played = Played({}, [], None)
    record = _Record(games.episodes)
    number = np.full(num_envs, -1)
    try:
        with VectorEnv(
            agent.rules,
            num_envs=num_envs,
            num_workers=min(num_workers, num_envs),
            run_seed=games.seed,
            max_steps=games.max_steps,
            character=games.character,
            prayer=games.prayer,
            use_mask=agent.use_mask,
            decide=agent.asked.decide,
            margin=agent.asked.margin,
            limit=games.episodes,
            grounder=grounder_of(agent.rules),
        ) as env:
            _play(agent, games, env, number, record, played, on_episode)
    except (Stopped, WorkerError) as stop:
        # Those that ended although an earlier one did not are the short ones among many.
        first = next(n for n in range(games.episodes + 1) if n not in played.episodes)
        ended = {n: episode for n, episode in played.episodes.items() if n < first}
        record.episodes = first
        played = replace(played, episodes=ended, stop=stop)
    return replace(played, trace=record.trace(), left_out=record.left_out)


def _play(
    agent: Agent, games: Games, env: VectorEnv, number: np.ndarray, record: "_Record",
    played: Played, on_episode: Callable[[], None],
) -> None:  # fmt: skip
    """Play all games; ``number`` [E] is kept at what each environment plays, and at the number of
    games where it plays no more."""
    env.start()
    draws = np.empty((env.num_envs, games.max_steps))

    def ask(group: int) -> bool:
        """Have the agent decide in a group's games, unless all are over."""
        rows = env.groups[group]
        now = np.where(env.idle, games.episodes, env.episode)
        for row in range(rows.start, rows.stop):
            if number[row] != now[row] < games.episodes:
                draws[row] = draws_of(games.seed, now[row], games.max_steps)
        number[rows] = now[rows]
        if env.idle[rows].all():
            return False
        observation = env.observation[rows]
        # Of a game that is over the last draw, which decides nothing.
        step = np.minimum(env.played[rows], games.max_steps - 1)
        choice = agent(observation, np.take_along_axis(draws[rows], step[:, None], 1)[:, 0])
        if choice.alpha is not None:
            record.add(number[rows], observation, choice.alpha)
        env.send(group, np.where(env.idle[rows], 0, choice.actions))
        return True

    while not env.idle.all():
        left = {group: _DECISIONS_A_DEAL for group in range(len(env.groups)) if ask(group)}
        while left:
            group, result = env.receive_any()
            record.left_out = env.left_out
            played.lost.extend(result.lost)
            for episode in result.episodes:
                played.episodes[episode.number] = episode
                on_episode()
            left[group] -= 1
            if left[group] == 0 or not ask(group):
                del left[group]
        env.deal()


class _Record:
    """Collects what a ``Trace`` needs, in the order in which it is played."""

    def __init__(self, episodes: int):
        self.episodes = episodes
        self.left_out = (0, 0)
        self.number: list[np.ndarray] = []
        self.contexts: list[np.ndarray] = []
        self.leading: list[np.ndarray] = []
        self.alpha: list[np.ndarray] = []

    def add(self, number: np.ndarray, observation: Observation, alpha: np.ndarray) -> None:
        """A decision in each of some games; what is no wanted one does not count."""
        wanted = number < self.episodes
        self.number.append(number[wanted])
        self.contexts.append(contexts_of(observation)[wanted])
        self.leading.append(alpha[wanted].argmax(1).astype(np.uint8))
        self.alpha.append(alpha[wanted])

    def trace(self) -> Trace | None:
        """All decisions by game, and in the order of play within a game."""
        if not self.number:
            return None
        number = np.concatenate(self.number)
        order = number.argsort(kind="stable")
        order = order[number[order] < self.episodes]
        if not len(order):
            return None
        contexts, leading = np.concatenate(self.contexts), np.concatenate(self.leading)
        usage = np.concatenate(self.alpha)[order].mean(0, dtype=np.float64)
        return Trace(contexts[order], leading[order], usage)
