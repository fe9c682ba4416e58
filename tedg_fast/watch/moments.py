"""One game, step by step, with everything that the agent's choice came from."""

from dataclasses import dataclass

import numpy as np
import torch

from tedg_fast.evaluate.agents import ByTheRules, Trained, choose
from tedg_fast.hypergraph import ACTIONS, Hypergraph
from tedg_fast.hypergraph.schema import NODE_OPERATOR
from tedg_fast.policy import Manager, StateInput
from tedg_fast.rules.game import GroundedGame
from tedg_fast.rules.situation import Instance, Situation
from tedg_fast.train.health import expert_name


@dataclass(frozen=True)
class Applied:
    """One instance of a rule: the names of its objects ("newt, 1 east"), the actions that it
    proposes, and whether it is the strongest of those that proposed what is played."""

    objects: tuple[str, ...]
    actions: tuple[int, ...]
    won: bool


@dataclass(frozen=True)
class Rule:
    """An operator that applies: its place among the operators, what it applies to, nearest first,
    and its weight: the attention that h_logic pays it, or without a network e^priority, each as a
    share of all. `sources` are the names of what it attends to, with their weights (mean of heads,
    strongest first); without a network its conditions and effects, all alike."""

    number: int
    weight: float
    sources: tuple[tuple[str, float], ...]
    instances: tuple[Applied, ...]


@dataclass(frozen=True)
class Moment:
    """The agent before a step; ``chars`` uint8 and ``colours`` int8 [24, 80] are the terminal's.

    ``action`` is the one that will be played, ``probabilities`` [23] are what it was drawn from;
    ``alpha`` [K], empty for the rules alone, as is ``value`` 0; ``conditions`` are the numbers of
    those that hold, ``rules`` those that apply, the weightiest first; ``objects`` the names of what
    is on the map, monsters first. ``ending`` is empty while the game runs; after its end the screen
    is the last one and there is no action.
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
    objects: tuple[str, ...]
    ending: str

    @property
    def winner(self) -> tuple[Rule, Applied] | None:
        """The instance that proposed the action, if one did."""
        for rule in self.rules:
            for applied in rule.instances:
                if applied.won:
                    return rule, applied
        return None

    def line(self, hypergraph: Hypergraph) -> str:
        """The moment in one line."""
        words = f"step {self.step}: score {self.score}, level {self.depth}"
        if self.action is None:
            return f"{words}, game over ({self.ending})"
        words += f", {ACTIONS[self.action]} ({self.probabilities[self.action]:.0%})"
        if len(self.alpha):
            leader = int(self.alpha.argmax())
            words += f", {expert_name(leader)} leads ({self.alpha[leader]:.0%})"
            words += f", value {self.value:.2f}"
        if self.winner:
            rule, applied = self.winner
            about = f" ({'; '.join(applied.objects)})" if applied.objects else ""
            words += f", rule {hypergraph.operators[rule.number].name}{about}"
        return words


@dataclass(frozen=True)
class _Thought:
    """What an agent makes of a moment: as in `Moment`; of each rule [O] its weight, and how much
    each of its instances adds to the actions that it proposes."""

    action: int
    probabilities: np.ndarray
    value: float
    alpha: np.ndarray
    weight: np.ndarray
    strength: np.ndarray


class _Network:
    """The thoughts of a trained policy."""

    def __init__(self, agent: Trained):
        self.agent = agent
        manager = agent.policy.manager
        self.attention: np.ndarray | None = None
        operators = agent.rules.num_operators
        self.weight = self.strength = np.zeros(operators)
        self.owner = np.zeros(operators, np.int64)
        with torch.inference_mode():
            self.rules = manager.rules()
            if isinstance(manager, Manager):
                self.weight = self.rules.operators[:, -1].numpy()
                self.strength = self.rules.strength.numpy()
                self.owner = manager.proposals.owner.numpy()
                self.attention = manager.edge_attention().mean(1).numpy()

    @torch.inference_mode()
    def __call__(self, game: GroundedGame, situation: Situation) -> _Thought:
        policy, observation = self.agent.policy, game.observation
        logic = policy.manager(self.rules, policy.active(observation))
        output = policy(StateInput.of(observation), logic, self.agent.routing)
        probabilities = output.logits.double().softmax(1).numpy()
        alpha = output.alpha[0].numpy()
        return _Thought(
            action=int(choose(probabilities, np.array([game.draw]))[0]),
            probabilities=probabilities[0],
            value=output.value.item(),
            alpha=alpha,
            weight=self.weight,
            strength=self.strength * alpha[self.owner],
        )


class _RulesAlone:
    """Without a network: the highest priority decides, a draw among equals."""

    attention = None

    def __init__(self, agent: ByTheRules):
        self.weight = np.exp(agent.rules.operator_priority.astype(float))

    def __call__(self, game: GroundedGame, situation: Situation) -> _Thought:
        choice = situation.choice(np.array([game.draw]))
        actions = [action for _, action in choice.ties]
        counts = np.bincount(actions, minlength=len(ACTIONS)) if actions else situation.allowed
        probabilities = np.asarray(counts, float) / np.sum(counts)
        return _Thought(
            choice.action, probabilities, 0.0, np.zeros(0), self.weight, self.weight
        )


class WatchedGame:
    """Game ``number`` of run seed ``seed``: the very game that ``tedg-eval`` plays under these."""

    def __init__(
        self,
        agent: Trained | ByTheRules,
        seed: int,
        number: int,
        max_steps: int,
        character: str,
    ):
        self.agent, self.hypergraph = agent, agent.rules
        self._think = _Network(agent) if isinstance(agent, Trained) else _RulesAlone(agent)
        self._sources = _sources(self.hypergraph, self._think.attention)
        self._game = GroundedGame(
            agent.rules, seed, number, max_steps, character, use_mask=agent.use_mask
        )
        self.moment = self._look()

    def advance(self) -> bool:
        """Play the moment's action; False, and nothing happens, once the game is over."""
        action = self.moment.action
        if action is None:
            return False
        self._game.step(action)
        self.moment = self._over() if self._game.over else self._look()
        return True

    def close(self) -> None:
        """End the game and remove its files."""
        self._game.close()

    def _look(self) -> Moment:
        situation = Situation(self.hypergraph, self._game.grounder, self._game.observation)
        thought = self._think(self._game, situation)
        count = self.hypergraph.num_conditions
        holds = np.unpackbits(self._game.observation.active_bits[0], count=count)
        things = situation.things
        return Moment(
            **self._shown(),
            action=thought.action,
            probabilities=thought.probabilities,
            value=thought.value,
            alpha=thought.alpha,
            conditions=tuple(holds.nonzero()[0].tolist()),
            rules=self._applying(situation, thought),
            objects=tuple(things.name(*place) for place in things.positioned()),
            ending="",
        )

    def _applying(self, situation: Situation, thought: _Thought) -> tuple[Rule, ...]:
        """Rules by their share of all weight; the share that is missing to 1 is no rule's."""
        if self._hears_no_rules:
            return ()
        instances: dict[int, list[Instance]] = {}
        for instance in situation.instances:
            instances.setdefault(instance.rule, []).append(instance)
        total = 1 + sum(thought.weight[number] for number in instances)
        winner = _strongest(situation.instances, thought)
        rules = [
            Rule(
                number,
                float(thought.weight[number] / total),
                self._sources[number],
                tuple(
                    Applied(self._names(situation, one), one.actions, one is winner)
                    for one in own
                ),
            )
            for number, own in instances.items()
        ]
        return tuple(sorted(rules, key=lambda rule: -rule.weight))

    @property
    def _hears_no_rules(self) -> bool:
        """Whether it is a network without the graph, which hears no rules."""
        return isinstance(self._think, _Network) and self._think.attention is None

    def _names(self, situation: Situation, instance: Instance) -> tuple[str, ...]:
        kinds = self.hypergraph.operators[instance.rule].variables
        return tuple(situation.things.name(*pair) for pair in zip(kinds, instance.objects))

    def _over(self) -> Moment:
        shown = self._shown()
        if self._game.game.terminated:  # the screen shows tombstones and lists by now
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
            objects=(),
            ending=self._game.game.ending,
        )

    def _shown(self) -> dict:
        """What a moment takes from the game."""
        chars, colours, cursor = self._game.screen()
        game = self._game.game
        return {
            "step": game.length,
            "chars": chars,
            "colours": colours,
            "cursor": cursor,
            "score": game.true_score,
            "depth": game.depth,
        }


def _strongest(instances: list[Instance], thought: _Thought) -> Instance | None:
    """Of those that propose the action the one that adds most to it; the first of equals."""
    proposing = [instance for instance in instances if thought.action in instance.actions]
    return max(
        proposing,
        key=lambda instance: thought.strength[instance.rule] / len(instance.actions),
        default=None,
    )


def _sources(
    hypergraph: Hypergraph, attention: np.ndarray | None
) -> list[tuple[tuple[str, float], ...]]:
    """For each operator the names at the other ends of its edges, with the attention they get
    (``edge_attention``'s, or even shares)."""
    names = [part.name for part in hypergraph.conditions + hypergraph.operators]
    names += [effect.name for effect in hypergraph.effects]
    (sources, targets), _ = hypergraph.edges()
    inwards = hypergraph.node_type[targets] == NODE_OPERATOR
    edges: list[list[tuple[str, float]]] = [[] for _ in hypergraph.operators]
    for number, (source, target) in enumerate(zip(sources[inwards], targets[inwards])):
        weight = 0.0 if attention is None else float(attention[number])
        edges[target - hypergraph.num_conditions].append((names[source], weight))
    if attention is None:
        edges = [[(name, 1 / len(own)) for name, _ in own] for own in edges]
    return [tuple(sorted(own, key=lambda pair: -pair[1])) for own in edges]
