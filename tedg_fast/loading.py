"""A trained agent in a program of one's own: ``tedg_fast.load``."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tedg_fast.evaluate.agents import Agent, find_agent
from tedg_fast.hypergraph import Hypergraph
from tedg_fast.nethack.facts.observation import CONTESTED, Observation
from tedg_fast.nethack.gym import NetHackVectorEnv


class LoadedAgent:
    """Plays as ``tedg-eval`` has it play; ``seed`` decides what is left to chance."""

    def __init__(self, agent: Agent, seed: int = 0):
        self.agent = agent
        self._draws = np.random.default_rng(seed)

    def act(self, observation: Mapping[str, np.ndarray]) -> np.ndarray:
        """An action, int64 [B], for each of the B games of an observation of its environment: what
        the rules carry out by themselves, and the agent's choice where they leave one."""
        rows = Observation(**{name: np.ascontiguousarray(a) for name, a in observation.items()})
        chosen = self.agent(rows, self._draws.random(len(rows.action_mask))).actions
        return np.where(rows.rule_action == CONTESTED, chosen, rows.rule_action)

    def environment(self, num_envs: int = 32, **settings: Any) -> NetHackVectorEnv:
        """Games like those that it was trained in; ``settings`` as of ``NetHackVectorEnv``.

        Raises ValueError for an agent of V3's hypergraph.
        """
        rules = self.agent.rules
        if not isinstance(rules, Hypergraph):
            raise ValueError(
                f"{self.agent.name} plays by V3's hypergraph, which gymnasium's games are not "
                "grounded by: play it with tedg-eval"
            )
        own = {**self.agent.games._asdict(), **self.agent.asked._asdict()}
        own["mask"] = self.agent.use_mask
        return NetHackVectorEnv(num_envs, rules=rules, **own | settings)


def load(run: str, *, greedy: bool = False, seed: int = 0) -> LoadedAgent:
    """The agent of a checkpoint, run folder or rule file (.toml), or "rules" or "random".

    Raises ``CheckpointError`` and the like, subclasses of ValueError that say what is wrong.
    """
    return LoadedAgent(find_agent(str(run), None, greedy=greedy), seed)
