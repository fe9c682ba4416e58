"""One game, step by step, with everything that the agent's choice came from."""

from dataclasses import dataclass

import numpy as np
import torch
from nle import nethack

from tedg_fast.evaluate.agents import Trained
from tedg_fast.evaluate.agents import choose
from tedg_fast.hypergraph import ACTIONS, Hypergraph
from tedg_fast.hypergraph.schema import NODE_OPERATOR
from tedg_fast.nethack.games.episode import draws_of, episode_seeds
from tedg_fast.nethack.games.game import Game
from tedg_fast.nethack.facts.observation import OBSERVATION_KEYS, RawObservation
from tedg_fast.policy import Manager, StateInput
from tedg_fast.train.health import expert_name
from tedg_fast.train.model import grounder_of

SCREEN_KEYS = ("tty_chars", "tty_colors", "tty_cursor")


@dataclass(frozen=True)
class Rule:
    """An operator that applies: its place among the operators, and the attention that h_logic
    pays it; ``sources`` are the names of what it attends to, with their weights (mean of heads,
    strongest first)."""

    number: int
    attention: float
    sources: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Moment:
    """The agent before a step; ``chars`` uint8 and ``colours`` int8 [24, 80] are the terminal's.

    ``action`` is the one that will be played, ``probabilities`` [23] are what it was drawn from;
    ``alpha`` [K]; ``conditions`` are the numbers of those that hold, ``rules`` those that apply,
    most attended first. ``ending`` is empty while the game runs; after its end the screen is the
    last one and there is no action.
    """

    step: int
    chars: np.ndarray
    colours: np.ndarray
    cursor: tuple[int, int]
    score: int
    depth: int
    action: int | None
    probabilities: np.ndarray
    value: float
    alpha: np.ndarray
    conditions: tuple[int, ...]
    rules: tuple[Rule, ...]
    ending: str

    def line(self, hypergraph: Hypergraph) -> str:
        """The moment in one line."""
        place = f"step {self.step}: score {self.score}, level {self.depth}"
        if self.action is None:
            return f"{place}, game over ({self.ending})"
        leader = int(self.alpha.argmax())
        words = (
            f"{place}, {ACTIONS[self.action]} ({self.probabilities[self.action]:.0%}), "
            f"{expert_name(leader)} leads ({self.alpha[leader]:.0%}), value {self.value:.2f}"
        )
        if self.rules:
            words += f", rule {hypergraph.operators[self.rules[0].number].name}"
        return words


class WatchedGame:
    """Game ``number`` of run seed ``seed``: the very game that ``tedg-eval`` plays under these."""

    def __init__(self, agent: Trained, seed: int, number: int, max_steps: int, character: str):
        self.agent, self.hypergraph = agent, agent.rules
        self._draws = draws_of(seed, number, max_steps)
        self._screen = _empty(SCREEN_KEYS)
        self._raw = RawObservation(**_empty(OBSERVATION_KEYS))
        self._game = Game(
            self._raw, max_steps=max_steps, character=character, screen=self._screen
        )
        self._grounder = grounder_of(self.hypergraph)(self.hypergraph, 1)
        self._observation = self._grounder.spec.empty(1)
        manager = agent.policy.manager
        with torch.inference_mode():
            self._rules = manager.rules()
            if isinstance(manager, Manager):
                self._weight = self._rules.operators[:, -1].numpy()
                self._attention = manager.edge_attention().mean(1).numpy()
        self._edges = _edges_by_operator(self.hypergraph)
        self._game.start(*episode_seeds(seed, number))
        self._grounder.reset(0)
        self.moment = self._look(-1)

    def advance(self) -> bool:
        """Play the moment's action; False, and nothing happens, once the game is over."""
        action = self.moment.action
        if action is None:
            return False
        self._game.step(action)
        over = self._game.terminated or self._game.truncated
        self.moment = self._over() if over else self._look(action)
        return True

    def close(self) -> None:
        """End the game and remove its files."""
        self._game.close()

    @torch.inference_mode()
    def _look(self, last_action: int) -> Moment:
        raw = RawObservation(**{key: getattr(self._raw, key)[None] for key in OBSERVATION_KEYS})
        self._grounder(raw, np.array([last_action]), self._observation)
        if not self.agent.use_mask:
            self._observation.action_mask[:] = True
        policy = self.agent.policy
        active = policy.unpack(self._observation.active_bits)
        logic = policy.manager(self._rules, active)
        output = policy(StateInput.of(self._observation), logic, self.agent.routing)
        probabilities = output.logits.double().softmax(1).numpy()
        holds, applies = np.split(active[0].bool().numpy(), [self.hypergraph.num_conditions])
        return Moment(
            **self._shown(),
            action=int(choose(probabilities, self._draws[[self._game.length]])[0]),
            probabilities=probabilities[0],
            value=output.value.item(),
            alpha=output.alpha[0].numpy(),
            conditions=tuple(holds.nonzero()[0].tolist()),
            rules=self._applying(applies.nonzero()[0]),
            ending="",
        )

    def _applying(self, applies: np.ndarray) -> tuple[Rule, ...]:
        """Rules by their share in h_logic; the share that is missing to 1 is no rule's."""
        if not len(applies):
            return ()
        total = 1 + self._weight[applies].sum()
        rules = [
            Rule(int(o), float(self._weight[o] / total), self._sources(int(o))) for o in applies
        ]
        return tuple(sorted(rules, key=lambda rule: -rule.attention))

    def _sources(self, operator: int) -> tuple[tuple[str, float], ...]:
        pairs = [(name, float(self._attention[edge])) for edge, name in self._edges[operator]]
        return tuple(sorted(pairs, key=lambda pair: -pair[1]))

    def _over(self) -> Moment:
        shown = self._shown()
        if self._game.terminated:  # the screen shows tombstones and lists by now
            last = self.moment
            shown |= {"chars": last.chars, "colours": last.colours, "cursor": last.cursor}
        return Moment(
            **shown,
            action=None,
            probabilities=np.zeros(len(ACTIONS)),
            value=0.0,
            alpha=np.zeros_like(self.moment.alpha),
            conditions=(),
            rules=(),
            ending=self._game.ending,
        )

    def _shown(self) -> dict:
        """What a moment takes from the game."""
        row, column = self._screen["tty_cursor"].tolist()
        return {
            "step": self._game.length,
            "chars": self._screen["tty_chars"].copy(),
            "colours": self._screen["tty_colors"].copy(),
            "cursor": (row, column),
            "score": self._game.true_score,
            "depth": self._game.depth,
        }


def _empty(keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    described = (nethack.OBSERVATION_DESC[key].values() for key in keys)
    return {key: np.zeros(shape, dtype) for key, (shape, dtype) in zip(keys, described)}


def _edges_by_operator(hypergraph: Hypergraph) -> list[list[tuple[int, str]]]:
    """For each operator its edges, as ``edge_attention`` numbers them, and the names at their
    other ends."""
    names = [part.name for part in hypergraph.conditions + hypergraph.operators]
    names += [effect.name for effect in hypergraph.effects]
    (sources, targets), _ = hypergraph.edges()
    inwards = hypergraph.node_type[targets] == NODE_OPERATOR
    edges: list[list[tuple[int, str]]] = [[] for _ in hypergraph.operators]
    for number, (source, target) in enumerate(zip(sources[inwards], targets[inwards])):
        edges[target - hypergraph.num_conditions].append((number, names[source]))
    return edges
