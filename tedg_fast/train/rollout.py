"""Rollouts: every game plays T steps under the current policy; what the update needs is kept."""

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tedg_fast.nethack.episode import Episode
from tedg_fast.nethack.observation import Observation
from tedg_fast.nethack.vector_env import VectorEnv
from tedg_fast.policy import Policy, PolicyOutput, Routing, Rules, StateInput
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
    """What happened in one rollout beside the stored transitions."""

    episodes: list[Episode] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stepping_seconds: float = 0.0
    policy_seconds: float = 0.0


class Collector:
    """Plays the games of a ``VectorEnv`` with a policy."""

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

    @torch.no_grad()
    def collect(self, routing: Routing) -> Played:
        """Fill the rollout with the next T steps of every game."""
        played, rollout, env = Played(), self.rollout, self.env
        rules = self.policy.manager.rules()  # the parameters stay as they are throughout
        for t in range(rollout.steps):
            began = time.perf_counter()
            rollout.observation[t].copy_from(env.observation)
            output = self._evaluate(env.observation, rules, routing)
            log_probs = output.logits.log_softmax(-1)
            action = sample(log_probs, self.generator)
            rollout.action[t] = action.numpy()
            rollout.log_prob[t] = log_probs.gather(1, action[:, None]).squeeze(1)
            rollout.value[t] = output.value
            rollout.alpha[t] = output.alpha
            if t > 0:
                self._set_next_value(t - 1, output.value)
            acted = time.perf_counter()

            step = env.step(rollout.action[t])
            rollout.terminated[t], rollout.truncated[t] = step.terminated, step.truncated
            done = step.terminated | step.truncated
            rollout.reward[t] = self.normaliser(step.reward, done)
            played.episodes += step.episodes
            played.lost += step.lost
            played.policy_seconds += acted - began
            played.stepping_seconds += time.perf_counter() - acted
            if step.truncated.any():
                cut = np.flatnonzero(step.truncated)
                last = self._evaluate(env.final_observation[cut], rules, routing)
                rollout.next_value[t, torch.from_numpy(cut)] = last.value
        after = self._evaluate(env.observation, rules, routing)
        self._set_next_value(rollout.steps - 1, after.value)
        return played

    def _set_next_value(self, t: int, value: Tensor) -> None:
        """Values of the observations that followed step t; truncated rows have theirs already."""
        follows = torch.from_numpy(~self.rollout.truncated[t])
        self.rollout.next_value[t][follows] = value[follows]

    def _evaluate(
        self, observation: Observation, rules: Rules, routing: Routing
    ) -> PolicyOutput:
        logic = self.policy.manager(rules, self.policy.unpack(observation.active_bits))
        state = StateInput.of(observation, self.policy.device)
        output = self.policy(state, logic, routing)
        return PolicyOutput(*(part.cpu() for part in output))


def sample(log_probs: Tensor, generator: torch.Generator) -> Tensor:
    """One index a row, drawn from ``log_probs`` [B, A] (normalised) → [B] int64."""
    return torch.multinomial(log_probs.exp(), 1, generator=generator).squeeze(1)
