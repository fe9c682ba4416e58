"""PPO on NetHack as one writes it without this package's machinery, after CleanRL's ``ppo.py``.

One file, top to bottom: gymnasium's ``AsyncVectorEnv`` of ``NetHackScore-v0`` over shared memory,
the grounding in one process for all games at once, eager PyTorch with its own number of threads,
minibatches of random rows. The network and the loss are ``plain_policy.py``'s.
"""

import time
from dataclasses import fields

import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from plain_policy import PlainPolicy, Rows
from raw_nle import make_game

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import OBSERVATION_KEYS, Observation, RawObservation
from tedg_fast.policy import Policy
from tedg_fast.runs.config import TrainConfig
from tedg_fast.train.advantages import RewardNormaliser, generalised_advantages


class PlainGames:
    """Games in a process each, and what the policy sees of them."""

    def __init__(self, hypergraph: Hypergraph, num_envs: int):
        self.envs = AsyncVectorEnv([make_game] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
        self.num_envs = num_envs
        self.grounder = Grounder(hypergraph, num_envs)

    def reset(self) -> Observation:
        observation, _ = self.envs.reset()
        for game in range(self.num_envs):
            self.grounder.reset(game)
        return self._see(observation, np.full(self.num_envs, -1))

    def step(self, action: np.ndarray):
        """→ what is seen next, rewards and episode ends, [E] each."""
        observation, reward, terminated, truncated, _ = self.envs.step(action)
        done = terminated | truncated
        for game in np.flatnonzero(done):
            self.grounder.reset(int(game))
        seen = self._see(observation, np.where(done, -1, action))
        return seen, reward.astype(np.float32), done

    def _see(self, observation: dict, last_action: np.ndarray) -> Observation:
        raw = RawObservation(**{key: observation[key] for key in OBSERVATION_KEYS})
        out: Observation = self.grounder.spec.empty(self.num_envs)
        self.grounder(raw, last_action, out)
        return out

    def close(self) -> None:
        self.envs.close()


def train(hypergraph: Hypergraph, policy: Policy, config: TrainConfig, steps: int):
    """Environment steps a second of so many steps at least, counted from the games' reset on."""
    ppo, num_envs = config.ppo, config.num_envs
    settings = config.settings_at(0)
    plain = PlainPolicy(policy)
    games = PlainGames(hypergraph, num_envs)
    optimizer = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate, eps=1e-5)
    normaliser = RewardNormaliser(num_envs, ppo.reward_clip)
    played = 0
    began = time.perf_counter()
    seen = games.reset()
    while played < steps:
        kept, actions, log_probs, values, rewards, dones = [], [], [], [], [], []
        for _ in range(ppo.rollout_decisions):
            with torch.no_grad():
                output, _ = plain(policy.inputs(seen), None, settings)
            distribution = torch.distributions.Categorical(logits=output.logits)
            action = distribution.sample()
            kept.append(seen)
            actions.append(action)
            log_probs.append(distribution.log_prob(action))
            values.append(output.value)
            seen, reward, done = games.step(action.numpy())
            rewards.append(reward)
            dones.append(done)
        played += ppo.rollout_decisions * num_envs
        with torch.no_grad():
            values.append(plain(policy.inputs(seen), None, settings)[0].value)

        done, value = torch.from_numpy(np.stack(dones)), torch.stack(values)
        follows = ~done
        follows[-1] = False
        each = np.ones((len(dones), num_envs), np.int64)  # a decision is a step
        reward = normaliser(np.stack(rewards), each, np.stack(dones), settings.gamma)
        advantage = generalised_advantages(
            torch.from_numpy(reward), torch.from_numpy(each), value[:-1], value[1:], done,
            torch.zeros_like(done), gamma=settings.gamma, gae_lambda=ppo.gae_lambda,
        )  # fmt: skip
        rows = flat_rows(
            policy, _stacked(kept), _shown(policy, kept), follows, torch.stack(actions),
            torch.stack(log_probs), advantage, advantage + value[:-1],
        )  # fmt: skip
        for _ in range(ppo.epochs):
            for chosen in torch.randperm(len(rows.action)).split(ppo.minibatch_size):
                loss = plain.loss(rows.take(chosen), settings, ppo)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), ppo.max_grad_norm)
                optimizer.step()
    speed = played / (time.perf_counter() - began)
    games.close()
    return speed


def _stacked(observations: list[Observation]) -> Observation:
    """[T, E, ...] of T observations [E, ...]."""
    parts = {
        field.name: np.stack([getattr(one, field.name) for one in observations])
        for field in fields(Observation)
    }
    return Observation(**parts)


def _shown(policy: Policy, observations: list[Observation]) -> torch.Tensor:
    """The effects that the observation after each step shows [T, E, F]; after the last step those
    of the first."""
    bits = np.stack([one.active_bits for one in observations])
    shown = policy.effects.shown(torch.from_numpy(bits).flatten(0, 1))
    return shown.unflatten(0, bits.shape[:2]).roll(-1, 0)


def flat_rows(
    policy: Policy,
    observation: Observation,
    shown: torch.Tensor,
    follows: torch.Tensor,
    action: torch.Tensor,
    log_prob: torch.Tensor,
    advantage: torch.Tensor,
    returns: torch.Tensor,
) -> Rows:
    """A rollout, every part [T, E, ...], as rows; advantages are normalised here."""
    advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    parts = (action, log_prob, advantage, returns)
    return Rows(
        policy.inputs(observation.flat()),
        *(part.flatten() for part in parts),
        shown.flatten(0, 1),
        follows.flatten(),
    )
