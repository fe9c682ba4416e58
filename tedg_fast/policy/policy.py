"""The whole policy: state stream and logic stream → router → experts → action logits, and V."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.hypergraph import Hypergraph
from tedg_fast.hypergraph.schema import ACTIONS
from tedg_fast.nethack.facts.features import NUM_FEATURES
from tedg_fast.nethack.facts.glyphs import NUM_GLYPH_CLASSES
from tedg_fast.nethack.facts.observation import CROP, Observation
from tedg_fast.ops import concat_embedding, route
from tedg_fast.policy.effects import EffectPredictor
from tedg_fast.policy.inputs import PolicyInput
from tedg_fast.policy.manager import Manager, ManagerKind, Reading
from tedg_fast.policy.no_manager import NoManager
from tedg_fast.policy.nodes import NodeTables


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of the networks; saved in every checkpoint, which only loads into equal sizes."""

    hidden_size: int = 64
    """Width of h_state, h_logic and the experts' hidden layer."""
    glyph_embedding: int = 4
    """Width of the embedding of one glyph class of the egocentric crop."""
    gat_heads: int = 4
    """Attention heads of the Manager."""
    gat_head_size: int = 8
    """Features a head; heads are concatenated."""
    graph: bool = True
    """Read the hypergraph; without it there is neither advice nor proposals."""
    manager: ManagerKind = "attention"
    """How the Manager reads a state: by attention, by the mean of each node's neighbours, or
    without the objects."""
    proposals: Literal["routed", "direct"] = "routed"
    """Whether what an expert's rules propose counts as much as the router has the expert count, or
    passes the router: then all experts' proposals add to the mixed logits."""
    router: Literal["advised", "learned", "advice"] = "advised"
    """What weighs the experts: a network whose logits add to the Manager's advice, a network alone
    (with --no-manager, too), or the advice alone."""


class Routing(NamedTuple):
    """How router logits become weights: ``mapping`` "softmax" or "sparsemax", at a temperature."""

    mapping: str
    temperature: float


class PolicyOutput(NamedTuple):
    """``logits`` [B, A] (masked), ``value`` [B], ``alpha`` [B, K], ``router_logits`` [B, K],
    ``alignment_logits`` (the same, but no gradient passes to the advice in them),
    ``expert_logits`` [B, K, A] (of the experts' networks, without proposals), ``advice_scores``
    [B, K]; ``reading``, what the Manager computed for the states, None for V3's policy."""

    logits: Tensor
    value: Tensor
    alpha: Tensor
    router_logits: Tensor
    alignment_logits: Tensor
    expert_logits: Tensor
    advice_scores: Tensor
    reading: Reading | None = None


class StateEncoder(nn.Module):
    """Features and glyph crop → ``h_state`` [B, hidden]."""

    def __init__(self, config: PolicyConfig):
        super().__init__()
        self.glyphs = nn.Embedding(NUM_GLYPH_CLASSES, config.glyph_embedding)
        width = NUM_FEATURES + CROP * CROP * config.glyph_embedding
        hidden = config.hidden_size
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.LayerNorm(hidden),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.LayerNorm(hidden),
        )  # fmt: skip

    def forward(self, features: Tensor, crop: Tensor) -> Tensor:
        return self.mlp(concat_embedding(features, crop, self.glyphs.weight))


class Experts(nn.Module):
    """K two-layer MLPs over the same input, evaluated as one product a layer → [B, K, A]."""

    def __init__(self, num_experts: int, hidden_size: int, num_actions: int):
        super().__init__()
        self.hidden = nn.Linear(hidden_size, num_experts * hidden_size)
        self.weight = nn.Parameter(torch.empty(num_experts, hidden_size, num_actions))
        self.bias = nn.Parameter(torch.zeros(num_experts, 1, num_actions))
        # Small first logits: play starts close to uniform, whatever the experts' differences.
        nn.init.normal_(self.weight, std=0.1 / math.sqrt(hidden_size))

    def forward(self, h_state: Tensor) -> Tensor:
        hidden = F.relu(self.hidden(h_state)).unflatten(1, (self.weight.shape[0], -1))
        logits = torch.baddbmm(self.bias, hidden.transpose(0, 1), self.weight).transpose(0, 1)
        return logits.contiguous()  # once: each of the ops that follow would do so itself


class Policy(nn.Module):
    """Graph-guided mixture of experts over NetHack observations.

        inputs = policy.inputs(observation)
        output = policy(inputs, Routing("softmax", 1.0))

    ``effects`` predicts what an action leads to, for training, from ``output.reading``; None
    without the graph, or where no observation can show an effect.
    """

    def __init__(self, hypergraph: Hypergraph, num_experts: int, config: PolicyConfig):
        super().__init__()
        if num_experts < 1:
            raise ValueError(f"num_experts is {num_experts}; the policy needs at least 1 expert")
        hidden = config.hidden_size
        if config.graph:
            self.manager: Manager | NoManager = Manager(
                hypergraph,
                hidden_size=hidden,
                heads=config.gat_heads,
                head_size=config.gat_head_size,
                num_experts=num_experts,
                kind=config.manager,
            )
        else:
            self.manager = NoManager(hidden, num_experts)
        self.effects = None
        if config.graph and hypergraph.effect_conditions.any():
            width = config.gat_heads * config.gat_head_size
            self.effects = EffectPredictor(hypergraph, width)
        self.state = StateEncoder(config)
        self.router = None if config.router == "advice" else _router(hidden, num_experts)
        self.advice_weight = 0.0 if config.router == "learned" else 1.0
        self.experts = Experts(num_experts, hidden, len(ACTIONS))
        # What the leading expert proposes starts with a logit of about 12: enough to play by the
        # rules, and not so much that nothing else is ever tried.
        self.direct = config.proposals == "direct"
        leads_by = 1.0 if self.direct else 1 / math.sqrt(num_experts)
        self.proposal_gain = nn.Parameter(torch.full((num_experts, 1), 12 / leads_by))
        # In this order, in which all weights are drawn from the run's seed.
        first, last = nn.Linear(2 * hidden, hidden), nn.Linear(hidden, 1)
        self.critic = nn.Sequential(first, nn.ReLU(), last)
        nn.init.zeros_(last.weight)  # expects nothing yet, of any state

    @property
    def device(self) -> torch.device:
        return self.proposal_gain.device

    def inputs(self, observation: Observation) -> PolicyInput:
        """What the policy reads of an observation with one leading dimension, on its device.

        Raises ValueError for an observation of other rules or of another shape.
        """
        return PolicyInput.of(observation, self.manager.scenes(observation), self.device)

    def tables(self) -> NodeTables | None:
        """What depends on the parameters alone, to be computed once for many calls."""
        return self.manager.tables()

    def forward(
        self, inputs: PolicyInput, routing: Routing, tables: NodeTables | None = None
    ) -> PolicyOutput:
        """Logits, value and weights for B observations.

        ``tables`` are those of the present parameters, if they were computed before.
        """
        reading = self.manager(inputs, tables)
        h_state = self.state(inputs.features, inputs.crop)
        h_both = torch.cat([h_state, reading.h_logic], 1)
        # With their gradients: which expert a rule speaks through is learned as its score is.
        router_logits = self.advice_weight * reading.advice_scores
        # The router is to agree with the advice, not the advice with the router.
        alignment_logits = router_logits.detach()
        if self.router is not None:
            own = self.router(h_both)
            router_logits, alignment_logits = router_logits + own, alignment_logits + own
        # The losses on the experts' logits must not change the proposals of the rules.
        expert_logits = self.experts(h_state)
        proposals = self.proposal_gain * reading.proposals
        alpha, logits = route(
            router_logits,
            expert_logits if self.direct else expert_logits + proposals,
            mapping=routing.mapping,
            temperature=routing.temperature,
            action_mask=inputs.action_mask,
        )
        if self.direct:
            # A masked action's logit is the lowest there is, which nothing of this size changes.
            logits = logits + proposals.sum(1)
        value = self.critic(h_both).squeeze(1)
        return PolicyOutput(
            logits, value, alpha, router_logits, alignment_logits, expert_logits,
            reading.advice_scores, reading,
        )  # fmt: skip


def _router(hidden_size: int, num_experts: int) -> nn.Sequential:
    """h_state ‖ h_logic [B, 2 hidden] → logits [B, K] that start close to equal."""
    last = nn.Linear(hidden_size // 2, num_experts)
    nn.init.normal_(last.weight, std=0.1 / math.sqrt(hidden_size))
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(2 * hidden_size, hidden_size // 2), nn.ReLU(), nn.LayerNorm(hidden_size // 2),
        last,
    )  # fmt: skip
