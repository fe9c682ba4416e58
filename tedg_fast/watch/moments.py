"""One game, step by step, with everything that the agent's choice came from."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tedg_fast.evaluate.agents import ByTheRules, Setting, Trained, choose
from tedg_fast.hypergraph import ACTIONS, Hypergraph, expert_name
from tedg_fast.nethack.facts.observation import CONTESTED, objects_of
from tedg_fast.nethack.facts.vocabulary import vocabulary
from tedg_fast.policy import Manager, PolicyInput
from tedg_fast.policy.inputs import scenes_of
from tedg_fast.policy.scenes import ROLES
from tedg_fast.rules.game import GroundedGame
from tedg_fast.rules.situation import Instance, Situation


@dataclass(frozen=True)
class Applied:
    """One instance of a rule: the names of its objects ("newt, 1 east"), the actions that it
    proposes, and whether the step is its: of those that propose what is played the one of highest
    priority, the first of equals."""

    objects: tuple[str, ...]
    actions: tuple[int, ...]
    won: bool


@dataclass(frozen=True)
class Rule:
    """An operator that applies: its place among the operators, what it applies to, nearest first,
    and its weight: the attention that the player pays its instances, out of all that it pays, or
    without a network e^priority as a share of all. `sources` are the names of what it attends to,
    with their weights (mean of heads and instances, strongest first): its conditions and effects,
    its objects, "the player", and actions; without a network conditions and effects, all alike."""

    number: int
    weight: float
    sources: tuple[tuple[str, float], ...]
    instances: tuple[Applied, ...]


@dataclass(frozen=True)
class Moment:
    """The agent before a step; ``chars`` uint8 and ``colours`` int8 [24, 80] are the terminal's.

    ``action`` is the one that will be played, ``probabilities`` [24] are what it was drawn from;
    where the agent is not ``asked``, because the rules leave no choice, what it would have made of
    the moment. ``alpha`` [K] is empty for the rules alone, as is ``value`` 0; ``conditions`` are
    the numbers of those that hold, ``rules`` those that apply, the weightiest first; ``objects``
    the names of what is on the map, monsters first; ``decided`` is as of ``Episode``, of the steps
    before. ``ending`` is empty while the game runs; after its end the screen is the last one and
    there is no action.
    """

    step: int
    chars: np.ndarray
    colours: np.ndarray
    cursor: tuple[int, int]
    score: int
    depth: int
    action: int | None
    asked: bool
    probabilities: np.ndarray
    value: float
    alpha: np.ndarray
    conditions: tuple[int, ...]
    rules: tuple[Rule, ...]
    objects: tuple[str, ...]
    decided: dict[str, tuple[int, int]]
    ending: str

    @property
    def times_decided(self) -> Counter[str]:
        """How many of the steps before each rule decided, alone or where the agent was asked."""
        return Counter({rule: sum(counts) for rule, counts in self.decided.items()})

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
        how = f"{self.probabilities[self.action]:.0%}" if self.asked else "the rules carry on"
        words += f", {ACTIONS[self.action]} ({how})"
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
    """What an agent makes of a moment: as in `Moment`; of each instance [I] its weight, and what it
    attends to: pairs of a name and a weight."""

    action: int
    probabilities: np.ndarray
    value: float
    alpha: np.ndarray
    weight: np.ndarray
    sources: list[list[tuple[str, float]]]


class _Network:
    """The thoughts of a trained policy."""

    def __init__(self, agent: Trained, rules: Hypergraph):
        self.agent, self.rules = agent, rules
        self.hears_rules = isinstance(agent.policy.manager, Manager)

    @torch.inference_mode()
    def __call__(self, game: GroundedGame, situation: Situation) -> _Thought:
        policy: Any = self.agent.policy
        sources: list[list[tuple[str, float]]]
        inputs = policy.inputs(game.observation)
        output = policy(inputs, self.agent.routing)
        probabilities = output.logits.double().softmax(1).numpy()
        alpha = output.alpha[0].numpy()
        weight, sources = np.zeros(0), []
        if self.hears_rules:
            weight, sources = self._attention(inputs, situation)
        return _Thought(
            action=int(choose(probabilities, np.array([game.draw]))[0]),
            probabilities=probabilities[0],
            value=output.value.item(),
            alpha=alpha,
            weight=weight,
            sources=sources,
        )

    def _attention(
        self, inputs: PolicyInput, situation: Situation
    ) -> tuple[np.ndarray, list[list[tuple[str, float]]]]:
        """What the player pays each instance [I], and what each instance pays to what."""
        scenes = scenes_of(inputs)
        graph, names = scenes.graph, self._names(inputs, situation)
        manager: Any = self.agent.policy.manager
        attention = manager.edge_attention(inputs).mean(1)
        weight = np.zeros(len(scenes.actions))
        sources: list[list[tuple[str, float]]] = [[] for _ in weight]
        ends = (graph.source, graph.target, graph.relation)
        edges = zip(*(part.tolist() for part in ends if part is not None), strict=True)
        for (source, target, role), paid in zip(edges, attention.tolist(), strict=True):
            if ROLES[role] == "instance_player":
                weight[source - 1] = paid
            elif ROLES[role].endswith("_instance"):
                sources[target - 1].append((names[source], paid))
        return weight, sources

    def _names(self, inputs: PolicyInput, situation: Situation) -> dict[int, str]:
        """Of what an instance may hear, by its number in the scene's graph."""
        scenes, rules = scenes_of(inputs), self.rules
        shared = [one.name for one in rules.conditions] + [one.name for one in rules.effects]
        names = {-1 - number: name for number, name in enumerate(shared)} | {0: "the player"}
        first = 1 + len(scenes.actions)
        proposed = scenes.actions.flatten().tolist()
        actions = [action for action in dict.fromkeys(proposed) if action < len(ACTIONS)]
        names |= {first + place: ACTIONS[action] for place, action in enumerate(actions)}
        kinds = vocabulary().kinds
        for node, thing in zip(scenes.object_nodes.tolist(), objects_of(situation.observation)[0]):
            names[node] = situation.things.name(kinds[thing["kind"]].name, int(thing["place"]))
        return names


class _RulesAlone:
    """Without a network: the highest priority decides, a draw among equals."""

    hears_rules = True

    def __init__(self, agent: ByTheRules):
        self.rules = agent.rules
        self.weight = np.exp(agent.rules.operator_priority.astype(float))

    def __call__(self, game: GroundedGame, situation: Situation) -> _Thought:
        choice = situation.choice(np.array([game.draw]))
        actions = [action for _, action in choice.ties]
        counts = np.bincount(actions, minlength=len(ACTIONS)) if actions else situation.allowed
        probabilities = np.asarray(counts, float) / np.sum(counts)
        applying = [instance.rule for instance in situation.instances]
        times = np.bincount(applying, minlength=len(self.weight))[applying]
        total = 1 + self.weight[list(set(applying))].sum()  # a rule counts once
        return _Thought(
            choice.action, probabilities, 0.0, np.zeros(0),
            self.weight[applying] / times / total, [self._sources(rule) for rule in applying],
        )  # fmt: skip

    def _sources(self, rule: int) -> list[tuple[str, float]]:
        operator = self.rules.operators[rule]
        numbers = dict.fromkeys(use.condition for use in operator.conditions)
        names = [self.rules.conditions[number].name for number in numbers] + [*operator.effects]
        return [(name, 1 / len(names)) for name in names]


class WatchedGame:
    """Game ``number`` of run seed ``seed``: the very game that ``tedg-eval`` plays under these."""

    def __init__(
        self,
        agent: Trained | ByTheRules,
        seed: int,
        number: int,
        games: Setting,
    ):
        assert isinstance(agent.rules, Hypergraph)  # V3's are refused
        self.agent, self.hypergraph = agent, agent.rules
        self._think = (
            _Network(agent, agent.rules) if isinstance(agent, Trained) else _RulesAlone(agent)
        )
        self._game = GroundedGame(
            agent.rules, seed, number, games.max_steps, games.character,
            prayer=games.prayer, use_mask=agent.use_mask,
            **agent.asked._asdict(),
        )  # fmt: skip
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
        by_rules = int(self._game.observation.rule_action[0])
        if by_rules != CONTESTED:
            thought = replace(thought, action=by_rules)
        count = self.hypergraph.num_conditions
        holds = np.unpackbits(self._game.observation.active_bits[0], count=count)
        things = situation.things
        return Moment(
            **self._shown(),
            action=thought.action,
            asked=by_rules == CONTESTED,
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
        if not self._think.hears_rules:
            return ()
        places: dict[int, list[int]] = {}
        for place, instance in enumerate(situation.instances):
            places.setdefault(instance.rule, []).append(place)
        proposing = (
            place for place, one in enumerate(situation.instances) if thought.action in one.actions
        )
        winner = next(proposing, None)
        rules = [
            Rule(
                number,
                float(thought.weight[own].sum()),
                _means([thought.sources[place] for place in own]),
                tuple(
                    Applied(
                        self._names(situation, situation.instances[place]),
                        situation.instances[place].actions,
                        place == winner,
                    )
                    for place in own
                ),
            )
            for number, own in places.items()
        ]
        return tuple(sorted(rules, key=lambda rule: -rule.weight))

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
            asked=False,
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
            "decided": self._game.decided,
        }


def _means(sources: list[list[tuple[str, float]]]) -> tuple[tuple[str, float], ...]:
    """Of several instances' sources the mean weight of each name, strongest first."""
    sums: dict[str, float] = {}
    for name, weight in (pair for own in sources for pair in own):
        sums[name] = sums.get(name, 0.0) + weight / len(sources)
    return tuple(sorted(sums.items(), key=lambda pair: -pair[1]))
