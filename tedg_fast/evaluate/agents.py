"""Who can be evaluated: trained policies, the rules alone, and chance."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tedg_fast.hypergraph import Hypergraph, load_hypergraph
from tedg_fast.legacy import is_v3_hypergraph
from tedg_fast.legacy.policy import V3_ROUTING, V3Policy
from tedg_fast.nethack.facts.grounder import MARGIN, Decide, Grounder
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.policy import Player, Policy, Routing, player_of
from tedg_fast.runs.checkpoint import CheckpointError
from tedg_fast.runs.checkpoint_schema import Mismatch, require_like
from tedg_fast.runs.config import from_dict
from tedg_fast.runs.model import Rules, build_policy, load_rules
from tedg_fast.runs.source import Source, find_checkpoint, named
from tedg_fast.runs.v3_source import V3Source

BUILT_IN = ("random", "random-allowed", "rules")
RULE_FILE = ".toml"
"""How the path of an agent ends that is rules alone."""


class Setting(NamedTuple):
    """What a game is like: how long at most, whose, and whether there is prayer."""

    max_steps: int = 2000
    character: str = "mon-hum-neu-mal"
    prayer: bool = False

    def overridden(self, max_steps: int | None, character: str | None, prayer: bool) -> "Setting":
        """These, but for what is given, and with prayer where either says so."""
        given: dict[str, Any] = {"max_steps": max_steps, "character": character}
        given = {name: value for name, value in given.items() if value is not None}
        return self._replace(**given, prayer=self.prayer or prayer)

    def but(self, other: "Setting") -> list[str]:
        """In words, what is otherwise than in ``other``."""
        named = self._asdict().items()
        return [f"{name} {value}" for name, value in named if value != getattr(other, name)]


class Asking(NamedTuple):
    """When an agent is asked: ``decide`` and ``margin`` as of ``TrainConfig``."""

    decide: Decide = "always"
    margin: float = MARGIN


class Choice(NamedTuple):
    """What an agent does: ``actions`` [B] int64; ``alpha`` [B, K] float32, the weights of its
    experts, None if it has none."""

    actions: np.ndarray
    alpha: np.ndarray | None = None


@dataclass(frozen=True)
class Agent:
    """Turns observations into actions.

    ``rules`` ground the observations it is to be given; with ``use_mask`` their action mask forbids
    what certainly does nothing. ``origin`` says where the agent comes from, for the record;
    ``games`` is what its games were in training, ``by`` in words what it plays by. Where it is not
    asked the rules that do not disagree are carried out.
    """

    name: str
    rules: Rules
    use_mask: bool
    origin: dict[str, Any]
    games: Setting = field(default=Setting(), kw_only=True)
    asked: Asking = field(default=Asking(), kw_only=True)
    by: str = field(default="", kw_only=True)

    def played_by(self, games: Setting) -> list[str]:
        """What is to be said of this agent when it plays ``games``."""
        others = games.but(self.games)
        unlike = f"; unlike in its training with {', '.join(others)}" if others else ""
        return [f"{self.name} plays {self.by}{unlike}"]

    def __call__(self, observation: Observation, draws: np.ndarray) -> Choice:
        """The choice for each of the B games of ``observation`` [B, ...]; ``draws`` [B] float64,
        uniform in [0, 1), decide what is left to chance."""
        raise NotImplementedError


class Chance(Agent):
    """Uniform over the actions that the mask allows: all of them without ``use_mask``."""

    def __call__(self, observation: Observation, draws: np.ndarray) -> Choice:
        return Choice(choose(observation.action_mask.astype(np.float64), draws))


@dataclass(frozen=True)
class ByTheRules(Agent):
    """Plays what the rule of the highest priority proposes, at random among equals; nothing is
    learned."""

    rules: Hypergraph
    _grounder: Grounder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_grounder", Grounder(self.rules, 0))

    def __call__(self, observation: Observation, draws: np.ndarray) -> Choice:
        return Choice(self._grounder.choose(observation, draws)[0])


@dataclass(frozen=True)
class Trained(Agent):
    """A policy as it plays in training."""

    policy: Policy | V3Policy
    routing: Routing
    greedy: bool
    _player: Player = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        with torch.inference_mode():
            object.__setattr__(self, "_player", player_of(self.policy, self.routing))

    @torch.inference_mode()
    def __call__(self, observation: Observation, draws: np.ndarray) -> Choice:
        play = self._player(observation)
        if self.greedy:
            return Choice(play.logits.argmax(1).numpy(), play.alpha.numpy())
        probabilities = play.logits.double().softmax(1).numpy()
        return Choice(choose(probabilities, draws), play.alpha.numpy())


def choose(probabilities: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Inverse transform sampling: actions int64 [B] of ``probabilities`` [B, A] (rows need not sum
    to 1) for ``draws`` [B] in [0, 1). An action of probability 0 is never chosen."""
    below = probabilities.cumsum(1)
    return (below <= draws[:, None] * below[:, -1:]).sum(1)


def find_agents(names: Sequence[str], hypergraph: str | None, *, greedy: bool) -> list[Agent]:
    """The agents called ``names``: each one of ``BUILT_IN``, a rule file's path, which ends in
    ``RULE_FILE``, or a checkpoint's.

    ``greedy`` agents take the most probable action instead of drawing one. ``hypergraph`` is the
    path of rules to use in place of those kept in a checkpoint; a rule file as an agent plays by
    itself alone. Agents without a network play the games of the first checkpoint, and what is built
    in by its rules, by the packaged ones where there is none. Raises ``CheckpointError``,
    ``HypergraphError`` or ``LegacyError``.
    """
    if hypergraph is not None and all(name.endswith(RULE_FILE) for name in names):
        raise CheckpointError(
            f"--hypergraph {hypergraph} is for none of {', '.join(names)}: a rule file plays by "
            f"its own rules; to compare the two, give {hypergraph} as an agent, too"
        )
    trained = {
        name: _trained(name, hypergraph, greedy)
        for name in names
        if name not in BUILT_IN and not name.endswith(RULE_FILE)
    }
    model = next(iter(trained.values()), None)
    return [trained.get(name) or _untrained(name, hypergraph, model) for name in names]


def find_agent(name: str, hypergraph: str | None, *, greedy: bool) -> Agent:
    """As ``find_agents``, a single one."""
    return find_agents([name], hypergraph, greedy=greedy)[0]


def _untrained(name: str, hypergraph: str | None, model: Trained | None) -> Agent:
    """An agent without a network, to be held against ``model``."""
    rules: Rules
    if name.endswith(RULE_FILE):
        rules = load_hypergraph(name)
    else:
        rules = load_rules(hypergraph) if model is None else model.rules
    games = Setting() if model is None else model.games
    by_chance = name.startswith("random") and name in BUILT_IN
    by = "by chance" if by_chance else f"by the rules {named(rules)} alone"
    by += "" if model is None else f", the games that {model.name} was trained in"
    if by_chance:
        return Chance(name, rules, name == "random-allowed", {}, games=games, by=by)
    if not isinstance(rules, Hypergraph):
        raise CheckpointError(
            f"{name} cannot play by V3's hypergraph, whose rules name no actions: leave it out, or "
            f"give a rule file ({RULE_FILE}) in its place"
        )
    asked = Asking("contested")  # elsewhere they do the same without being asked
    origin = {"hypergraph": rules.digest}
    return ByTheRules(name, rules, True, origin, games=games, asked=asked, by=by)


def _trained(name: str, hypergraph: str | None, greedy: bool) -> Trained:
    """The agent of a checkpoint or run folder."""
    if is_v3_hypergraph(name):
        raise CheckpointError(
            f"{name} is V3's hypergraph, whose rules name no actions to play by alone: give one of "
            f"V3's checkpoints, and --hypergraph {name}"
        )
    source = find_checkpoint(Path(name))
    if isinstance(source, V3Source):
        return _of_v3(name, source, hypergraph, greedy)
    return _of_checkpoint(name, source, hypergraph, greedy)


def _of_checkpoint(name: str, source: Source, hypergraph: str | None, greedy: bool) -> Trained:
    state = source.state
    config = replace(from_dict(state["config"]), device="cpu")
    rules, by = source.rules(hypergraph)
    policy = build_policy(rules, config)
    try:
        require_like(state["policy"], policy.state_dict(), "policy")
    except Mismatch as error:
        raise CheckpointError(f"checkpoint {source.path} cannot be used: {error}") from None
    policy.load_state_dict(state["policy"])
    settings = config.settings_at(source.completed)
    origin = {
        "checkpoint": str(source.path),
        "completed": source.completed,
        "env_steps": state["env_steps"],
        "train_seed": config.seed,
        "routing": settings.routing,
        "temperature": settings.temperature,
        "decide": config.decide,
        "margin": config.margin,
        "greedy": greedy,
        "hypergraph": rules.digest,
    }
    routing = Routing(settings.routing, settings.temperature)
    return Trained(
        name, rules, config.mask, origin, policy.eval(), routing, greedy,
        games=Setting(config.max_steps, config.character, config.prayer),
        asked=Asking(config.decide, config.margin), by=by,
    )  # fmt: skip


def _of_v3(name: str, source: V3Source, hypergraph: str | None, greedy: bool) -> Trained:
    rules, by = source.rules(hypergraph)
    origin = {"checkpoint": str(source.path), "completed": source.completed, "greedy": greedy}
    policy = source.policy(rules).eval()
    return Trained(name, rules, True, origin, policy, V3_ROUTING, greedy, by=by)
