"""Who can be evaluated: trained policies, the rules alone, and chance."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.legacy import V3Checkpoint, V3Hypergraph, V3Policy
from tedg_fast.legacy.policy import V3_ROUTING
from tedg_fast.nethack.observation import Observation
from tedg_fast.policy import Policy, Routing, StateInput
from tedg_fast.train.checkpoint_schema import Mismatch, require_like
from tedg_fast.train.checkpoint import CheckpointError
from tedg_fast.train.config import from_dict
from tedg_fast.train.model import build_policy, load_rules
from tedg_fast.train.resume import Source, find_checkpoint


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
class Trained(Agent):
    """A policy as it plays in training, or, if ``greedy``, its most probable action."""

    policy: Policy | V3Policy
    routing: Routing
    greedy: bool

    def __post_init__(self):
        with torch.inference_mode():
            object.__setattr__(self, "_rules", self.policy.manager.rules())

    @torch.inference_mode()
    def __call__(self, observation: Observation) -> Choice:
        logic = self.policy.manager(self._rules, self.policy.unpack(observation.active_bits))
        output = self.policy(StateInput.of(observation), logic, self.routing)
        if self.greedy:
            chosen = output.logits.argmax(1).numpy()
            probabilities = np.eye(output.logits.shape[1])[chosen]
        else:
            probabilities = output.logits.double().softmax(1).numpy()
        return Choice(probabilities, output.alpha.numpy())


def find_agent(name: str, hypergraph: str | None, *, greedy: bool) -> Agent:
    """The agent called ``name``: ``random``, ``random-allowed``, or a checkpoint's path.

    ``hypergraph`` is the path of rules to use in place of the packaged ones or of those that a
    checkpoint's configuration names. Raises ``CheckpointError``, ``HypergraphError``,
    ``LegacyError`` or ``GroundingError``.
    """
    if name in ("random", "random-allowed"):
        return Chance(name, load_rules(hypergraph), name == "random-allowed", {})
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
