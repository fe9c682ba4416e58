"""PPO on NetHack as one writes it without this package's machinery, after CleanRL's ``ppo.py``.

One file, top to bottom: gymnasium's ``AsyncVectorEnv`` of ``NetHackScore-v0`` over shared memory,
the grounding in one process for all games at once, eager PyTorch with its own number of threads,
minibatches of random rows. The network and the loss are ``plain_policy.py``'s.
"""

import time

import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from plain_policy import Applying, PlainPolicy, Rows
from raw_nle import make_game
from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import OBSERVATION_KEYS, Observation, RawObservation
from tedg_fast.policy import Policy, StateInput
from tedg_fast.train.advantages import RewardNormaliser, generalised_advantages
from tedg_fast.train.config import TrainConfig


class PlainGames:
    """Games in a process each, and what the policy sees of them."""

    def __init__(self, hypergraph: Hypergraph, num_envs: int):
        self.envs = AsyncVectorEnv(
            [make_game] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP
        )
        self.num_envs = num_envs
        self.grounder = Grounder(hypergraph, num_envs)
        self.num_conditions = hypergraph.num_conditions

    def reset(self) -> tuple[StateInput, Applying]:
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

    def _see(self, observation: dict, last_action: np.ndarray) -> tuple[StateInput, Applying]:
        raw = RawObservation(**{key: observation[key] for key in OBSERVATION_KEYS})
        out: Observation = self.grounder.spec.empty(self.num_envs)
        self.grounder(raw, last_action, out)
        holds = np.unpackbits(out.active_bits, axis=1, count=self.num_conditions).astype(bool)
        return StateInput.of(out), Applying(*map(torch.from_numpy, (holds, out.instances)))

    def close(self) -> None:
        self.envs.close()


def train(hypergraph: Hypergraph, policy: Policy, config: TrainConfig, steps: int, shared: bool):
    """Environment steps a second of so many steps at least, counted from the games' reset on."""
    ppo, num_envs = config.ppo, config.num_envs
    settings = config.settings_at(0)
    plain = PlainPolicy(policy, shared=shared)
    games = PlainGames(hypergraph, num_envs)
    optimizer = torch.optim.Adam(policy.parameters(), lr=settings.learning_rate, eps=1e-5)
    normaliser = RewardNormaliser(num_envs, ppo.reward_clip)
    played = 0
    began = time.perf_counter()
    state, applying = games.reset()
    while played < steps:
        states, rules, actions, log_probs, values, rewards, dones = [], [], [], [], [], [], []
        for _ in range(ppo.rollout_decisions):
            with torch.no_grad():
                output, _ = plain(state, applying, None, settings)
            distribution = torch.distributions.Categorical(logits=output.logits)
            action = distribution.sample()
            states.append(state)
            rules.append(applying)
            actions.append(action)
            log_probs.append(distribution.log_prob(action))
            values.append(output.value)
            (state, applying), reward, done = games.step(action.numpy())
            rewards.append(reward)
            dones.append(done)
        played += ppo.rollout_decisions * num_envs
        with torch.no_grad():
            values.append(plain(state, applying, None, settings)[0].value)

        done, value = torch.from_numpy(np.stack(dones)), torch.stack(values)
        reward = normaliser(np.stack(rewards), np.stack(dones), settings.gamma)
        advantage = generalised_advantages(
            torch.from_numpy(reward), value[:-1], value[1:], done, torch.zeros_like(done),
            gamma=settings.gamma, gae_lambda=ppo.gae_lambda,
        )  # fmt: skip
        rows = flat_rows(
            policy, StateInput(*map(torch.stack, zip(*states))),
            Applying(*map(torch.stack, zip(*rules))), torch.stack(actions),
            torch.stack(log_probs), advantage, advantage + value[:-1], done,
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


def flat_rows(
    policy: Policy,
    state: StateInput,
    applying: Applying,
    action: torch.Tensor,
    log_prob: torch.Tensor,
    advantage: torch.Tensor,
    returns: torch.Tensor,
    done: torch.Tensor,
) -> Rows:
    """A rollout, every part [T, E, ...], as rows; advantages are normalised here."""
    advantage = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
    follows = ~done
    follows[-1] = False
    shown = policy.effects.shown(applying.holds.roll(-1, 0).flatten(0, 1))
    parts = (action, log_prob, advantage, returns)
    return Rows(
        StateInput(*(field.flatten(0, 1) for field in state)),
        Applying(*(field.flatten(0, 1) for field in applying)),
        *(part.flatten() for part in parts),
        shown,
        follows.flatten(),
    )
