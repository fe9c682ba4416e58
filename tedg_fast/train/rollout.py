"""Rollouts: every game plays T steps under the current policy; what the update needs is kept."""

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from tedg_fast.nethack.actions import NUM_ACTIONS
from tedg_fast.nethack.games.episode import Episode
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.nethack.games.vector_env import VectorEnv
from tedg_fast.policy import Player, Policy, Routing, player_of
from tedg_fast.train.advantages import RewardNormaliser


class Rollout:
    """Preallocated storage of T steps of E games; row (t, e) is flattened to t·E + e."""

    def __init__(self, spec, steps: int, num_envs: int, num_experts: int):
        self.steps, self.num_envs = steps, num_envs
        self.observation: Observation = spec.empty(steps, num_envs)
        self.action = np.zeros((steps, num_envs), np.int64)
        self.log_prob = torch.zeros(steps, num_envs)
        self.value = torch.zeros(steps, num_envs)
        self.next_value = torch.zeros(steps, num_envs)
        self.alpha = torch.zeros(steps, num_envs, num_experts)
        self.reward = np.zeros((steps, num_envs), np.float32)
        self.terminated = np.zeros((steps, num_envs), bool)
        self.truncated = np.zeros((steps, num_envs), bool)

    @property
    def done(self) -> np.ndarray:
        """[T, E] bool: the episode ended with this step."""
        return self.terminated | self.truncated


@dataclass
class Played:
    """What happened in one rollout beside the stored transitions, and where its wall time went:
    ``stepping_seconds`` waiting for the games, ``policy_seconds`` in everything else."""

    episodes: list[Episode] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stepping_seconds: float = 0.0
    policy_seconds: float = 0.0


class Collector:
    """Plays the games of a ``VectorEnv`` with a policy.

    While the policy thinks about one group of games, the workers play the others. Between two
    calls of ``collect`` no game is being played.
    """

    def __init__(
        self,
        env: VectorEnv,
        policy: Policy,
        normaliser: RewardNormaliser,
        generator: torch.Generator,
        rollout: Rollout,
    ):
        self.env, self.policy, self.normaliser = env, policy, normaliser
        self.generator, self.rollout = generator, rollout
        self._views = [env.observation[rows] for rows in env.groups]
        self._places = [
            [rollout.observation[t, rows] for rows in env.groups] for t in range(rollout.steps)
        ]
        self._noise = torch.zeros(rollout.steps, env.num_envs, NUM_ACTIONS)
        self._logits = torch.zeros_like(self._noise)
        # The same memory as arrays, of which taking or filling a part costs a tenth.
        self._noise_array = self._noise.numpy()
        stored = (self._logits, rollout.value, rollout.alpha)
        self._stored = tuple(tensor.numpy() for tensor in stored)

    @torch.inference_mode()
    def collect(self, routing: Routing, gamma: float) -> Played:
        """Fill the rollout with the next T steps of every game; ``gamma`` discounts rewards."""
        played, env, steps = Played(), self.env, self.rollout.steps
        began = time.perf_counter()
        player = player_of(self.policy, routing)  # the parameters stay as they are throughout
        # A drawn 0 would become an infinity, before which even masked actions are not safe.
        noise = self._noise.exponential_(generator=self.generator).clamp_min_(2**-25)
        noise.log_().neg_()
        # Observations after which an episode was truncated, and where.
        cuts: list[tuple[int, int, Observation]] = []
        for t in range(steps):
            for group in range(len(env.groups)):
                if t > 0:
                    self._receive(t - 1, group, played, cuts)
                self._send(t, group, player)
        for group in range(len(env.groups)):
            self._receive(steps - 1, group, played, cuts)
        self._finish(player, gamma, cuts)
        played.policy_seconds = time.perf_counter() - began - played.stepping_seconds
        return played

    def _send(self, t: int, group: int, player: Player) -> None:
        """Choose and begin step t of a group."""
        rollout, place, view = self.rollout, (t, self.env.groups[group]), self._views[group]
        self._places[t][group].copy_from(view)
        logits, value, alpha = (part.numpy() for part in player(view))
        # The action of largest logit + Gumbel noise is a draw from the logits' softmax.
        action = rollout.action[place]
        (logits + self._noise_array[place]).argmax(1, out=action)
        self.env.send(group, action)
        for array, part in zip(self._stored, (logits, value, alpha)):
            array[place] = part

    def _receive(
        self, t: int, group: int, played: Played, cuts: list[tuple[int, int, Observation]]
    ) -> None:
        """End step t of a group."""
        rollout, env, rows = self.rollout, self.env, self.env.groups[group]
        began = time.perf_counter()
        step = env.receive(group)
        played.stepping_seconds += time.perf_counter() - began
        rollout.reward[t, rows] = step.reward
        rollout.terminated[t, rows] = step.terminated
        rollout.truncated[t, rows] = step.truncated
        played.episodes += step.episodes
        played.lost += step.lost
        for row in (np.flatnonzero(step.truncated) + rows.start).tolist():
            cuts.append((t, row, env.final_observation[row].copy()))

    def _finish(
        self, player: Player, gamma: float, cuts: list[tuple[int, int, Observation]]
    ) -> None:
        """What takes all steps at once, or each in the order of time."""
        rollout = self.rollout
        log_probs, action = self._logits.log_softmax(-1), torch.from_numpy(rollout.action)
        rollout.log_prob.copy_(log_probs.gather(2, action.unsqueeze(2)).squeeze(2))
        rollout.reward[:] = self.normaliser(rollout.reward, rollout.done, gamma)
        rollout.next_value[:-1] = rollout.value[1:]
        rollout.next_value[-1] = player(self.env.observation).value
        if cuts:
            steps, rows, observations = zip(*cuts)
            last = self.env.spec.empty(len(cuts))
            for number, observation in enumerate(observations):
                last[number] = observation
            rollout.next_value[steps, rows] = player(last).value
