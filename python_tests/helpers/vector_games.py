"""Small VectorEnvs on real games, random play in them, and exact comparison of what comes out."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.games.episode import Episode
from tedg_fast.nethack.games.step_result import StepResult
from tedg_fast.nethack.games.vector_env import VectorEnv


def make_env(**changes: Any) -> VectorEnv:
    """Five environments on two workers, episodes of 60 steps, each a decision, unless changed."""
    settings = dict(num_envs=5, num_workers=2, run_seed=7, max_steps=60, decide="always")
    return VectorEnv(load_hypergraph(), **(settings | changes))


def allowed_actions(env: VectorEnv, rng: np.random.Generator) -> np.ndarray:
    """An action for each environment, uniform over the allowed ones."""
    mask = env.observation.action_mask
    return np.argmax(rng.random(mask.shape) * mask, axis=1)


def numbers_to_come(env: VectorEnv) -> tuple[int, list[int]]:
    """Of the episodes that are to follow: from which on, and lower ones."""
    env.deal()
    return env.next_episode, env.unbegun


def play(env: VectorEnv, steps: int, rng: np.random.Generator) -> list:
    """Everything that comes out of `steps` steps with random allowed actions."""
    stream = [env.observation.copy()]
    for _ in range(steps):
        result = env.step(allowed_actions(env, rng))
        assert result.lost == []
        stream += [result, env.observation.copy()]
        stream.append(env.final_observation[result.truncated])
    return [*stream, env.games(), numbers_to_come(env)]


def undivided(episode: Episode) -> Episode:
    """The same with how many steps went to each rule, whether or not anybody was asked."""
    return replace(episode, decided={rule: sum(steps) for rule, steps in episode.decided.items()})


def whoever_decided(result: StepResult) -> StepResult:
    """The same, its episodes undivided."""
    return replace(result, episodes=[undivided(episode) for episode in result.episodes])


def assert_same(one: Any, other: Any) -> None:
    """Equal to the last bit, through dataclasses, lists and arrays."""
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other):
            assert_same(mine, theirs)
    else:
        assert one == other
