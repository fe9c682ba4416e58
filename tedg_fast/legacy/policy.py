"""V3's network: usable on its own, and in place of ``tedg_fast.policy.Policy`` in training."""

from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tedg_fast.hypergraph.schema import ACTIONS, TASK_ACTIONS
from tedg_fast.legacy.atoms import Atoms
from tedg_fast.legacy.checkpoint import V3Checkpoint
from tedg_fast.legacy.errors import LegacyError
from tedg_fast.legacy.gat import HIDDEN, V3Logic, V3Manager, V3Tables
from tedg_fast.legacy.hypergraph import V3Hypergraph
from tedg_fast.legacy.inputs import V3Input
from tedg_fast.legacy.observer import NUM_FEATURES, Observer
from tedg_fast.nethack.facts.observation import Observation
from tedg_fast.ops import route
from tedg_fast.policy import PolicyOutput, Routing

_LOGIT_LIMIT = 20.0
V3_ROUTING = Routing("softmax", 1.0)
"""How V3's evaluation routed."""


class V3Output(NamedTuple):
    """V3's outputs: ``logits`` [B, 23] (clamped to ±20), ``alpha`` [B, K], ``value`` [B, 1],
    ``operator_scores`` [B, O], ``h_logic`` [B, 256], ``expert_logits`` [B, K, 23]."""

    logits: Tensor
    alpha: Tensor
    value: Tensor
    operator_scores: Tensor
    h_logic: Tensor
    expert_logits: Tensor


class V3Policy(nn.Module):
    """V3's network with its own parameter names, so that its state dict loads one to one.

    On its own::

        policy = V3Policy.load("model_00100.pth", "hypergraph folder")
        features, active = policy.observe(glyphs, blstats, step)
        output = policy(features, active)          # V3Output

    In training it takes the place of ``tedg_fast.policy.Policy``: ``manager``, ``inputs``,
    ``tables``, ``device`` and ``policy(inputs, routing)`` are that class's, with the active bits of
    ``V3Grounder``'s observations standing for all N nodes. V3's dropout is left out.
    """

    effects = None  # V3's graph predicts none

    def __init__(self, hypergraph: V3Hypergraph, num_experts: int):
        super().__init__()
        if num_experts < 1:
            raise LegacyError(f"num_experts is {num_experts}; the policy needs at least 1 expert")
        self.observer = Observer(hypergraph)
        self.gat = V3Manager(hypergraph, num_experts)
        self.visual_encoder = _layers(NUM_FEATURES, HIDDEN, HIDDEN)
        # V3 wrapped these in classes of its own; dictionaries of one entry give the same names.
        router = nn.Sequential(*_layers(2 * HIDDEN, 128, 64), nn.Linear(64, num_experts))
        self.router = nn.ModuleDict({"router": router})
        self.experts: Any = nn.ModuleList()
        for _ in range(num_experts):
            network = nn.Sequential(*_layers(HIDDEN, 128, 128), nn.Linear(128, len(TASK_ACTIONS)))
            self.experts.append(nn.ModuleDict({"network": network}))
        self.critic = nn.Sequential(*_layers(2 * HIDDEN, 256, 128), nn.Linear(128, 1))

    @classmethod
    def load(cls, checkpoint: str | Path, hypergraph: str | Path) -> "V3Policy":
        """The policy of a V3 .pth file, with the folder of the hypergraph it was trained with.

        Raises LegacyError, one line, if either cannot be used or they do not fit together.
        """
        return cls.of(V3Checkpoint.load(checkpoint), V3Hypergraph.load(hypergraph))

    @classmethod
    def of(cls, checkpoint: V3Checkpoint, hypergraph: V3Hypergraph) -> "V3Policy":
        """The policy of what was read already; errors as in ``load``."""
        policy = cls(hypergraph, checkpoint.num_experts)
        checkpoint.load_weights(policy)
        return policy

    @property
    def manager(self) -> V3Manager:
        """The graph network, under the name that training knows it by."""
        return self.gat

    @property
    def device(self) -> torch.device:
        return self.gat.ln1.weight.device

    def observe(
        self, glyphs: np.ndarray | Tensor, blstats: np.ndarray | Tensor, step: np.ndarray | Tensor
    ) -> tuple[Tensor, Tensor]:
        """NLE's ``glyphs`` [B, 21, 79] and ``blstats`` [B, 27], and ``step`` [B], the steps played
        in the episode before, all integers → features [B, 115] float32, active nodes [B, N] bool.

        Any numbers are accepted; other shapes or types raise LegacyError.
        """
        features, active = (
            torch.from_numpy(part).to(self.device)
            for part in self.observer(*map(_array, (glyphs, blstats, step)))
        )
        return features, active

    def atoms(self, glyphs: np.ndarray | Tensor, blstats: np.ndarray | Tensor) -> Atoms:
        """Which of V3's atoms hold, before they are looked up in the hypergraph."""
        return self.observer.atoms(_array(glyphs), _array(blstats))

    def inputs(self, observation: Observation) -> V3Input:
        """What the policy reads of an observation [B, ...] of ``V3Grounder``, on its device."""
        bits = np.unpackbits(observation.active_bits, axis=1, count=self.observer.num_nodes)
        arrays = (observation.features, bits.astype(bool), observation.action_mask)
        return V3Input(*(torch.from_numpy(array).to(self.device) for array in arrays))

    def tables(self) -> V3Tables:
        """What depends on the parameters alone."""
        return self.gat.tables()

    @overload
    def forward(self, features: Tensor, active: Tensor) -> V3Output: ...

    @overload
    def forward(
        self, inputs: V3Input, routing: Routing, tables: V3Tables | None = None
    ) -> PolicyOutput: ...

    def forward(self, first, second, tables=None):
        """``policy(features, active)`` as from ``observe``, with V3's own routing, softmax at
        temperature 1, or ``policy(inputs, routing, tables)`` as in training."""
        if isinstance(first, V3Input):
            logic = self.gat(first.active, tables)
            output = self._evaluate(first.features, logic, second)
            lowest = torch.finfo(output.logits.dtype).min
            logits, expert_logits = map(_with_prayer, (output.logits, output.expert_logits))
            return output._replace(
                logits=logits.masked_fill(~first.action_mask, lowest), expert_logits=expert_logits
            )
        logic = self.gat(second)
        output = self._evaluate(first, logic, V3_ROUTING)
        return V3Output(
            output.logits,
            output.alpha,
            output.value.unsqueeze(1),
            logic.operator_scores,
            logic.h_logic,
            output.expert_logits,
        )

    def _evaluate(self, features: Tensor, logic: V3Logic, routing: Routing) -> PolicyOutput:
        """Everything but the graph, without an action mask."""
        h_vis = self.visual_encoder(features)
        h_both = torch.cat([h_vis, logic.h_logic], 1)
        router_logits = self.router["router"](h_both)
        expert_logits = torch.stack([expert["network"](h_vis) for expert in self.experts], 1)
        alpha, logits = route(
            router_logits, expert_logits, mapping=routing.mapping, temperature=routing.temperature
        )
        logits = logits.clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT)
        value = self.critic(h_both).squeeze(1)
        return PolicyOutput(
            logits, value, alpha, router_logits, router_logits, expert_logits, logic.advice_scores
        )


def _layers(*widths: int) -> nn.Sequential:
    """Linear, ReLU, LayerNorm for each step from one width to the next."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.LayerNorm(outputs)]
    return nn.Sequential(*layers)


def _with_prayer(logits: Tensor) -> Tensor:
    """[..., 23] → [..., 24]: V3 knew no prayer, which the mask forbids; 0 changes no cosine."""
    return functional.pad(logits, (0, len(ACTIONS) - len(TASK_ACTIONS)))


def _array(value: np.ndarray | Tensor) -> np.ndarray:
    return value.cpu().numpy() if isinstance(value, Tensor) else value
