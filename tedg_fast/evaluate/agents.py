"""Who can be evaluated: trained policies, the rules alone, and chance."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.legacy import LegacyError, V3Checkpoint, V3Hypergraph, V3Policy
from tedg_fast.legacy.policy import V3_ROUTING
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.policy import Policy, Routing, RulePolicy, player_of
from tedg_fast.train.checkpoint import CheckpointError
from tedg_fast.train.checkpoint_schema import Mismatch, require_like
from tedg_fast.train.config import from_dict
from tedg_fast.train.model import build_policy, load_rules
from tedg_fast.train.resume import Source, find_checkpoint

BUILT_IN = ("random", "random-allowed", "rules")


class Choice(NamedTuple):
    """What an agent would do: ``probabilities`` [B, 23] float64, the sum of a row is positive;
    ``alpha`` [B, K] float32, the weights of its experts, None if it has none."""

    probabilities: np.ndarray
    alpha: np.ndarray | None = None


@dataclass(frozen=True)
class Agent:
    """Turns observations into action probabilities.

    ``rules`` ground the observations it is to be given; with ``use_mask`` their action mask forbids
    what certainly does nothing. ``origin`` says where the agent comes from, for the record.
    """

    name: str
    rules: Hypergraph | V3Hypergraph
    use_mask: bool
    origin: dict[str, Any]

    def __call__(self, observation: Observation) -> Choice:
        """The choice for each of the B games of ``observation`` [B, ...]."""
        raise NotImplementedError


class Chance(Agent):
    """Uniform over the actions that the mask allows: all of them without ``use_mask``."""

    def __call__(self, observation: Observation) -> Choice:
        return Choice(observation.action_mask.astype(np.float64))


@dataclass(frozen=True)
class ByTheRules(Agent):
    """What the rules that apply propose, by their priorities; nothing is learned."""

    policy: RulePolicy
    greedy: bool

    @torch.inference_mode()
    def __call__(self, observation: Observation) -> Choice:
        count = self.rules.num_conditions
        holds = np.unpackbits(observation.active_bits, axis=1, count=count)
        mask = torch.from_numpy(observation.action_mask)
        return Choice(_distribution(self.policy(torch.from_numpy(holds), mask), self.greedy))


@dataclass(frozen=True)
class Trained(Agent):
    """A policy as it plays in training."""

    policy: Policy | V3Policy
    routing: Routing
    greedy: bool

    def __post_init__(self):
        with torch.inference_mode():
            object.__setattr__(self, "_player", player_of(self.policy, self.routing))

    @torch.inference_mode()
    def __call__(self, observation: Observation) -> Choice:
        play = self._player(observation)
        return Choice(_distribution(play.logits, self.greedy), play.alpha.numpy())


def _distribution(logits: Tensor, greedy: bool) -> np.ndarray:
    """Probabilities [B, A] of ``logits`` [B, A]; all on the most probable action if ``greedy``."""
    if greedy:
        return np.eye(logits.shape[1])[logits.argmax(1).numpy()]
    return logits.double().softmax(1).numpy()


def find_agent(name: str, hypergraph: str | None, *, greedy: bool) -> Agent:
    """The agent called ``name``: one of ``BUILT_IN``, or a checkpoint's path.

    ``greedy`` agents take the most probable action instead of drawing one. ``hypergraph`` is the
    path of rules to use in place of the packaged ones or of those that a checkpoint's
    configuration names. Raises ``CheckpointError``, ``HypergraphError`` or ``LegacyError``.
    """
    if name in BUILT_IN:
        rules = load_rules(hypergraph)
        if name != "rules":
            return Chance(name, rules, name == "random-allowed", {})
        if isinstance(rules, V3Hypergraph):
            raise LegacyError(f"{hypergraph} is V3's: its rules name no actions to play by")
        origin = {"hypergraph": rules.digest, "greedy": greedy}
        return ByTheRules(name, rules, True, origin, RulePolicy(rules), greedy)
    source = find_checkpoint(Path(name))
    if isinstance(source, V3Checkpoint):
        return _of_v3(name, source, hypergraph, greedy)
    return _of_checkpoint(name, source, hypergraph, greedy)


def _of_checkpoint(name: str, source: Source, hypergraph: str | None, greedy: bool) -> Trained:
    state = source.state
    config = replace(from_dict(state["config"]), device="cpu")
    rules = load_rules(hypergraph or config.hypergraph)
    if rules.digest != state["hypergraph"]["digest"]:
        raise CheckpointError(
            f"{source.path} was trained with the hypergraph {state['hypergraph']['name']!r} "
            f"(sha256 {state['hypergraph']['digest'][:12]}…), which {rules.name!r} (sha256 "
            f"{rules.digest[:12]}…) is not: give its file by --hypergraph"
        )
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
        "greedy": greedy,
    }
    routing = Routing(settings.routing, settings.temperature)
    return Trained(name, rules, config.mask, origin, policy.eval(), routing, greedy)


def _of_v3(name: str, v3: V3Checkpoint, hypergraph: str | None, greedy: bool) -> Trained:
    rules = load_rules(hypergraph)
    if not isinstance(rules, V3Hypergraph):
        raise CheckpointError(
            f"{v3.path} is a checkpoint of V3: give the folder with the two hypergraph files that "
            "it was trained with by --hypergraph"
        )
    origin = {"checkpoint": str(v3.path), "completed": v3.completed, "greedy": greedy}
    policy = V3Policy.of(v3, rules).eval()
    return Trained(name, rules, True, origin, policy, V3_ROUTING, greedy)
