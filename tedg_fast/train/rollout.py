"""Rollouts: the current policy takes T decisions in every game; what the update needs is kept."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.facts.observation import Observation, ObservationSpec
from tedg_fast.nethack.games.episode import Episode
from tedg_fast.nethack.games.shared_state import Decisions
from tedg_fast.nethack.games.step_result import ARRAYS
from tedg_fast.nethack.games.vector_env import VectorEnv
from tedg_fast.policy import Player, Policy, Routing, flat_weights, player_of
from tedg_fast.train.advantages import RewardNormaliser
from tedg_fast.train.stopwatch import Stopwatch


class Rollout:
    """Preallocated storage of T decisions of E games; row (t, e) is flattened to t·E + e.

    Of decision t of game e: ``observation``, ``action`` int64, ``log_prob``, ``value``, ``alpha``
    [T, E, K]; ``reward`` float32, discounted to its beginning; ``length`` int64, the game steps
    that it lasted; ``terminated`` and ``truncated``, its episode ended in it; ``next_value``, V of
    the state that it led to; ``shown`` uint8, the packed conditions right after the action, where
    ``follows``. ``logits`` [T, E, A] (masked) and ``noise`` [T, E, A]: where their sum is largest,
    the action was drawn.
    """

    def __init__(self, spec: ObservationSpec, decisions: int, num_envs: int, num_experts: int):
        shape = decisions, num_envs
        self.observation: Observation = spec.empty(*shape)
        self.noise = torch.zeros(*shape, NUM_ACTIONS)
        self.logits = torch.zeros(*shape, NUM_ACTIONS)
        self.action = np.zeros(shape, np.int64)
        self.value = torch.zeros(shape)
        self.next_value = torch.zeros(shape)
        self.alpha = torch.zeros(*shape, num_experts)
        self.reward = np.zeros(shape, np.float32)
        self.length = np.zeros(shape, np.int64)
        self.terminated = np.zeros(shape, bool)
        self.truncated = np.zeros(shape, bool)
        self.shown = np.zeros_like(self.observation.active_bits)
        self.follows = np.zeros(shape, bool)
        self.log_prob = torch.zeros(shape)

    @classmethod
    def of_workers(cls, played: Decisions) -> "Rollout":
        """One that the workers write; in their memory, but for ``log_prob``."""
        rollout = cls.__new__(cls)
        for name in ("noise", "logits", "value", "next_value", "alpha"):
            setattr(rollout, name, torch.from_numpy(getattr(played, name)))
        for name in ("observation", "action", *ARRAYS):
            setattr(rollout, name, getattr(played, name))
        rollout.log_prob = torch.zeros_like(rollout.value)
        return rollout

    @property
    def decisions(self) -> int:
        """T."""
        return self.action.shape[0]

    @property
    def num_envs(self) -> int:
        """E."""
        return self.action.shape[1]

    @property
    def done(self) -> np.ndarray:
        """[T, E] bool: the episode ended before the next decision."""
        return self.terminated | self.truncated


@dataclass
class Played:
    """What happened in one rollout beside the stored decisions: the ``episodes`` that ended, by
    number, and what was ``lost`` to crashed workers, in words."""

    episodes: list[Episode] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


class Collector:
    """Plays the games of a ``VectorEnv`` with a policy, for one rollout after the other.

    Random numbers are drawn beforehand, so who plays which game when does not change the result.
    Between two calls of ``collect`` no game is being played. ``watch`` counts the time of the
    policy, and that spent waiting for games.
    """

    def __init__(
        self,
        env: VectorEnv,
        policy: Policy,
        normaliser: RewardNormaliser,
        generator: torch.Generator,
        rollout: Rollout,
        watch: Stopwatch,
    ):
        self.env, self.policy, self.normaliser = env, policy, normaliser
        self.generator, self.rollout, self.watch = generator, rollout, watch

    @torch.inference_mode()
    def collect(self, routing: Routing, gamma: float) -> Played:
        """Fill the rollout with the next T decisions of every game; ``gamma`` discounts rewards, a
        game step."""
        rollout = self.rollout
        self.watch.start()
        self.env.discount = gamma
        # A drawn 0 would become an infinity, before which even masked actions are not safe.
        noise = rollout.noise.exponential_(generator=self.generator).clamp_min_(2**-25)
        noise.log_().neg_()
        played = self._play(routing)
        log_probs, action = rollout.logits.log_softmax(-1), torch.from_numpy(rollout.action)
        rollout.log_prob.copy_(log_probs.gather(2, action.unsqueeze(2)).squeeze(2))
        self.watch.lap("policy")
        rollout.reward[:] = self.normaliser(rollout.reward, rollout.length, rollout.done, gamma)
        self.watch.lap("waiting" if self.normaliser.world.size > 1 else "policy")
        return played

    def _play(self, routing: Routing) -> Played:
        """Play, and fill all of the rollout but ``log_prob``."""
        raise NotImplementedError


class WorkerCollector(Collector):
    """The workers play by themselves with the policy, which has a native player
    (``env.rollouts``, whose memory is that of the rollout)."""

    def _play(self, routing: Routing) -> Played:
        rollout, rollouts = self.rollout, self.env.rollouts
        assert rollouts is not None
        rollouts.weights[:] = flat_weights(self.policy, routing)
        self.watch.lap("policy")
        rolled = self.env.rollout()
        self.watch.lap("games")
        self.normaliser.returns[rolled.anew] = 0
        # What a decision led to is what the next one was made upon, unless the episode was cut off.
        goes_on = torch.from_numpy(~rollout.truncated[:-1])
        rollout.next_value[:-1][goes_on] = rollout.value[1:][goes_on]
        return Played(rolled.episodes, rolled.lost)


class CentralCollector(Collector):
    """The policy plays here, for whichever group of games first needs decisions, while all others
    are played by the workers. A group is always one batch, so that the order of the groups does not
    change the result."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        env, rollout = self.env, self.rollout
        self._views = [env.observation[rows] for rows in env.groups]
        self._places = [
            [rollout.observation[t, rows] for rows in env.groups] for t in range(rollout.decisions)
        ]
        # The same memory as arrays, of which taking or filling a part costs a tenth.
        self._noise = rollout.noise.numpy()
        self._stored = tuple(
            tensor.numpy() for tensor in (rollout.logits, rollout.value, rollout.alpha)
        )

    def _play(self, routing: Routing) -> Played:
        played, env = Played(), self.env
        player = player_of(self.policy, routing)  # the parameters stay as they are throughout
        # The last observation of each episode that was truncated, by its decision's place.
        cuts: dict[tuple[int, int], Observation] = {}
        at = [0] * len(env.groups)
        for group in range(len(env.groups)):
            self._send(0, group, player)
        while min(at) < self.rollout.decisions:
            group = self._receive(at, played, cuts)
            if at[group] < self.rollout.decisions:
                self._send(at[group], group, player)
        self._look_ahead(player, cuts)
        played.episodes.sort(key=lambda episode: episode.number)
        return played

    def _send(self, t: int, group: int, player: Player) -> None:
        """Take decision t in the games of a group."""
        rollout, place, view = self.rollout, (t, self.env.groups[group]), self._views[group]
        self._places[t][group].copy_from(view)
        logits, value, alpha = (part.numpy() for part in player(view))
        # The action of largest logit + Gumbel noise is a draw from the logits' softmax.
        action = rollout.action[place]
        (logits + self._noise[place]).argmax(1, out=action)
        self.env.send(group, action)
        for array, part in zip(self._stored, (logits, value, alpha)):
            array[place] = part

    def _receive(
        self, at: list[int], played: Played, cuts: dict[tuple[int, int], Observation]
    ) -> int:
        """Take in what became of the decisions ``at`` of whichever group is ready → the group."""
        env = self.env
        self.watch.lap("policy")
        group, result = env.receive_any()
        self.watch.lap("games")
        t, rows = at[group], env.groups[group]
        for name in ARRAYS:
            getattr(self.rollout, name)[t, rows] = getattr(result, name)
        played.episodes += result.episodes
        played.lost += result.lost
        for row in (np.flatnonzero(result.truncated) + rows.start).tolist():
            cuts[t, row] = env.final_observation[row].copy()
        at[group] += 1
        return group

    def _look_ahead(self, player: Player, cuts: dict[tuple[int, int], Observation]) -> None:
        """The values of the states that the decisions led to."""
        rollout = self.rollout
        rollout.next_value[:-1] = rollout.value[1:]
        rollout.next_value[-1] = player(self.env.observation).value
        if cuts:
            places = sorted(cuts)  # not in the order in which they happened to come
            last = self.env.spec.empty(len(places))
            for number, place in enumerate(places):
                last[number] = cuts[place]
            decisions, rows = zip(*places)
            rollout.next_value[decisions, rows] = player(last).value


def collector_of(
    env: VectorEnv,
    policy: Policy,
    normaliser: RewardNormaliser,
    generator: torch.Generator,
    decisions: int,
    num_experts: int,
    watch: Stopwatch,
) -> Collector:
    """With the policy in the workers, if ``env`` has one there, or here; and a rollout of its own,
    of so many decisions of each game."""
    kind: type[Collector]
    if env.rollouts is not None:
        kind, rollout = WorkerCollector, Rollout.of_workers(env.rollouts.decisions)
    else:
        kind = CentralCollector
        rollout = Rollout(env.spec, decisions, env.num_envs, num_experts)
    return kind(env, policy, normaliser, generator, rollout, watch)
