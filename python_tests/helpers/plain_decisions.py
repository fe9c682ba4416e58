"""Decisions as their definition reads, one game and one step at a time: what workers must match."""

from dataclasses import dataclass

import numpy as np

from tedg_fast.hypergraph import ACTIONS, Hypergraph
from tedg_fast.nethack.facts.grounder import Grounder
from tedg_fast.nethack.facts.observation import NO_RULE, Observation, instances_of
from tedg_fast.nethack.games.episode import episode_seeds
from tedg_fast.nethack.games.game import Game, empty_observations

LONGEST_STRETCH = 512


def rule_action(rules: Hypergraph, observation: Observation, margin: float) -> int:
    """What the rules carry out by themselves in a single observation, -1 where it is contested."""
    proposals = []
    for rule, _, actions in instances_of(observation).tolist():
        allowed = {int(a) for a in actions if a < len(ACTIONS) and observation.action_mask[a]}
        if rule != NO_RULE and allowed:
            proposals.append((rules.operators[rule], allowed))
    best = max((rule.priority or 0.0 for rule, _ in proposals), default=0.0)
    candidates = [each for each in proposals if (each[0].priority or 0.0) >= best - margin]
    actions = set().union(*(allowed for _, allowed in candidates))
    experts = {rule.expert for rule, _ in candidates}
    asked = any(rule.decide for rule, _ in candidates)
    return actions.pop() if len(actions) == 1 and len(experts) == 1 and not asked else -1


@dataclass
class Outcome:
    """As a row of StepResult; `last` is the last observation where the episode was truncated."""

    reward: float
    length: int
    terminated: bool
    truncated: bool
    follows: bool
    shown: np.ndarray
    last: Observation | None


class PlainGame:
    """One environment that plays the episodes `number`, `number + stride`, … of a run."""

    def __init__(
        self, rules: Hypergraph, run_seed: int, number: int, stride: int, max_steps: int,
        margin: float, discount: float,
    ):  # fmt: skip
        self.rules, self.run_seed, self.stride = rules, run_seed, stride
        self.margin, self.discount = margin, discount
        self.raw = empty_observations(1)
        self.game = Game(self.raw[0], max_steps=max_steps, character="mon-hum-neu-mal")
        self.grounder = Grounder(rules, 1, margin=margin, max_steps=max_steps)
        self.observation = self.grounder.spec.empty(1)
        self._begin(number)

    def _begin(self, number: int) -> None:
        self.number = number
        self.game.start(*episode_seeds(self.run_seed, number))
        self.grounder.reset(0)
        self.grounder(self.raw, np.array([-1]), self.observation)
        self.unasked = 0

    def decide(self, action: int) -> Outcome:
        """Play an action and on to the next decision."""
        rewards, shown, last = [], np.zeros_like(self.observation.active_bits[0]), None
        follows = False
        while True:
            rewards.append(self.game.step(action))
            if self.game.terminated:
                break
            self.grounder(self.raw, np.array([action], np.int64), self.observation)
            if len(rewards) == 1:
                follows, shown = True, self.observation.active_bits[0].copy()
            self.unasked += 1
            action = rule_action(self.rules, self.observation[0], self.margin)
            if self.unasked == LONGEST_STRETCH:
                action = -1
            if action < 0:
                self.unasked = 0
            if self.game.truncated:
                last = self.observation[0].copy()
                break
            if action < 0:
                break
        outcome = Outcome(
            sum(self.discount**i * reward for i, reward in enumerate(rewards)),
            len(rewards), self.game.terminated, self.game.truncated, follows, shown, last,
        )  # fmt: skip
        if self.game.terminated or self.game.truncated:
            self._begin(self.number + self.stride)
        return outcome
