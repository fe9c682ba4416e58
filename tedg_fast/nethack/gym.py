"""The games as a gymnasium ``VectorEnv``, registered as "tedg_fast/NetHack-v0".

env = gymnasium.make_vec("tedg_fast/NetHack-v0", num_envs=32)
"""

from dataclasses import fields
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from tedg_fast.hypergraph import Hypergraph, load_hypergraph
from tedg_fast.machine import cores
from tedg_fast.nethack.actions import num_actions
from tedg_fast.nethack.facts.grounder import MARGIN, Decide
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.nethack.games.vector_env import VectorEnv

NAME = "tedg_fast/NetHack-v0"


class NetHackVectorEnv(gymnasium.vector.VectorEnv):
    """``num_envs`` games in ``num_workers`` processes (one a core if not given).

    ``rules`` (a hypergraph, or the path of a rule file; the packaged ones if not given) ground the
    observations, dicts of arrays as in ``Observation``. A game that ends is followed by the next
    in the same step. Every game step is a step here; what the rules would carry out by themselves
    is the observation's ``rule_action``, -1 where they leave a choice (``decide`` and ``margin`` as
    in ``tedg_fast.nethack.facts.grounder``). With ``prayer`` there is a 24th action, to pray.

    ``info["episodes"]`` are those that ended; ``info["final_obs"]`` is the last observation of each
    game that was cut off, where ``info["_final_obs"]`` says so: a game that is over shows nothing
    that a value could be learned of.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}

    def __init__(
        self,
        num_envs: int = 32,
        *,
        rules: Hypergraph | str | None = None,
        max_steps: int = 2000,
        character: str = "mon-hum-neu-mal",
        prayer: bool = False,
        mask: bool = True,
        decide: Decide = "contested",
        margin: float = MARGIN,
        num_workers: int | None = None,
    ):
        self.num_envs = num_envs
        self.rules = rules if isinstance(rules, Hypergraph) else load_hypergraph(rules)
        self._settings: dict[str, Any] = {
            "num_workers": min(num_workers or cores(), num_envs), "max_steps": max_steps,
            "character": character, "prayer": prayer, "use_mask": mask,
            "decide": decide, "margin": margin, "every_step": True,
        }  # fmt: skip
        self._games = self._opened(0)
        parts = self._games.spec.fields().items()
        self.single_observation_space = spaces.Dict(
            {name: _space(shape, dtype) for name, (shape, dtype) in parts}
        )
        self.single_action_space = spaces.Discrete(num_actions(prayer))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin the first games of ``seed``, a number; a random one if not given."""
        super().reset(seed=seed)
        self.close_extras()
        self._games = self._opened(int(self.np_random.integers(1 << 32)) if seed is None else seed)
        self._games.start()
        return as_dict(self._games.observation), {}

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        """Play one action in every game. Raises gymnasium's ResetNeeded before a ``reset``."""
        if self._games.episode[0] < 0:
            raise gymnasium.error.ResetNeeded("no games yet: call reset() before step()")
        result = self._games.step(np.asarray(actions))
        info: dict[str, Any] = {"episodes": result.episodes}
        if result.truncated.any():
            info |= {
                "final_obs": as_dict(self._games.final_observation),
                "_final_obs": result.truncated,
            }
        reward = result.reward.astype(np.float64)
        observation = as_dict(self._games.observation)
        return observation, reward, result.terminated, result.truncated, info

    def close_extras(self, **_: Any) -> None:
        """End the worker processes."""
        if hasattr(self, "_games"):  # it may not have come to that
            self._games.close()

    def _opened(self, seed: int) -> VectorEnv:
        return VectorEnv(self.rules, num_envs=self.num_envs, run_seed=seed, **self._settings)


def as_dict(observation: Observation) -> dict[str, np.ndarray]:
    """A copy by name, as gymnasium has it."""
    return {part.name: getattr(observation, part.name).copy() for part in fields(Observation)}


def _space(shape: tuple[int, ...], dtype: np.dtype) -> spaces.Box:
    if dtype.kind == "f":
        return spaces.Box(-np.inf, np.inf, shape, dtype.type)
    if dtype.kind == "b":
        return spaces.Box(0, 1, shape, np.bool_)  # type: ignore[arg-type]  # it takes them
    limits = np.iinfo(dtype)
    return spaces.Box(limits.min, limits.max, shape, dtype.type)


gymnasium.register(NAME, vector_entry_point=NetHackVectorEnv)  # type: ignore[arg-type]
