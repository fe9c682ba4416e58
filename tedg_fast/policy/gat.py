"""The Manager: a graph attention network that reads the hypergraph and advises the router."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.hypergraph import RELATIONS, Hypergraph
from tedg_fast.hypergraph.schema import NODE_CONDITION, NODE_OPERATOR
from tedg_fast.ops import Graph, gat_attention, gat_attention_weights
from tedg_fast.policy.instances import Active, active_of
from tedg_fast.policy.proposals import Proposals


class Rules(NamedTuple):
    """What the Manager makes of the rules, for any sample: a function of its parameters alone.

    ``facts`` [C, width]: features of each condition while it holds; ``operators`` [O, width + 1]:
    each operator's features times how much it is heard if it applies, and that weight; ``strength``
    [O]: how much each of its instances adds to its actions; ``effects`` [F, width].
    """

    facts: Tensor
    operators: Tensor
    strength: Tensor
    effects: Tensor

    def pool(self, chosen: Tensor) -> Tensor:
        """Weighted mean features [B, width] of the ``chosen`` operators [B, O] (0 or 1, any dtype)."""
        sums = chosen.to(self.operators.dtype) @ self.operators
        sums, weight = sums.split([sums.shape[1] - 1, 1], 1)
        # The 1 stands for a rule without content, so that a choice of none is fine.
        return sums / (1 + weight)


class Logic(NamedTuple):
    """What the rules say about samples: ``h_logic`` [B, hidden]; ``proposals`` [B, K, A], the
    actions that each expert's rules propose; ``advice_scores`` [B, K], how loudly they do."""

    h_logic: Tensor
    proposals: Tensor
    advice_scores: Tensor


class GraphAttention(nn.Module):
    """Multi-head graph attention (Veličković et al. 2018, eq. 1–4) with a learned bias per relation.

    ``x' = x + relu(LayerNorm(attention + bias))`` for every node; heads are concatenated.
    """

    def __init__(self, num_relations: int, heads: int, head_size: int):
        super().__init__()
        self.heads, self.head_size = heads, head_size
        width = heads * head_size
        self.project = nn.Linear(width, width, bias=False)
        # Scores that differ from the first step on: attention that starts uniform averages all
        # neighbours alike and learns to tell them apart only slowly (over-smoothing).
        self.attend = nn.Parameter(3 * torch.randn(2, heads, head_size) / math.sqrt(head_size))
        self.relation_bias = nn.Parameter(torch.zeros(num_relations, heads))
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)

    def _scored(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``x`` [N, width] → projected [1, N, heads, size], source and target scores [1, N, heads]."""
        projected = self.project(x).unflatten(1, (1, self.heads, self.head_size))
        source, target = (projected * self.attend).sum(-1).unbind(1)
        return projected.transpose(0, 1), source.unsqueeze(0), target.unsqueeze(0)

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """Node features ``x`` [N, width] → new ones."""
        out, _ = gat_attention(*self._scored(x), graph, edge_bias=self.relation_bias)
        return x + F.relu(self.norm(out.view_as(x) + self.bias))

    def weights(self, x: Tensor, graph: Graph) -> Tensor:
        """Attention weights [E, heads], edges in ``edge_index``'s order, for inspection."""
        _, source, target = self._scored(x)
        bias = self.relation_bias
        return gat_attention_weights(source, target, graph, edge_bias=bias).squeeze(0)


class Manager(nn.Module):
    """Two rounds of graph attention over the hypergraph, read out at the active nodes.

    A sample's active nodes are the conditions that hold and the operators that apply, to whichever
    objects. Node input: identity + type + activation embedding (only
    conditions start active). All nodes hear their neighbours in round 1, the operators again in round 2.

    Only active nodes are read, and what two rounds bring to them is the same in every sample: an
    operator that applies hears its own conditions, all of which hold, and its effects; these in
    turn hear operators as they were in the beginning. So the graph is evaluated once for as long
    as the parameters stay as they are, with every condition holding, and serves all samples.
    Nothing is approximated.

    Operator score: ``s = priority + w·x_o``. ``h_logic`` reads the mean of the active operators,
    weighted by ``exp(w·x_o)``, and the mean of the conditions that hold. Advice score of expert k:
    ``log(1 + Σ exp s)`` over its operators that apply.
    """

    def __init__(
        self,
        hypergraph: Hypergraph,
        *,
        hidden_size: int,
        heads: int,
        head_size: int,
        num_experts: int,
    ):
        super().__init__()
        width = heads * head_size
        self.num_conditions = hypergraph.num_conditions
        self.num_operators = hypergraph.num_operators
        edge_index, relation = map(torch.from_numpy, hypergraph.edges())
        nodes = hypergraph.num_nodes
        self.graph = Graph(edge_index, nodes, nodes, relation=relation)
        target = torch.from_numpy(hypergraph.node_type)[edge_index[1]]
        self.register_buffer("into_operators", target == NODE_OPERATOR, persistent=False)
        self.register_buffer("traits", _traits(hypergraph), persistent=False)
        self.proposals = Proposals(hypergraph, num_experts)

        self.identity = nn.Parameter(torch.randn(hypergraph.num_nodes, width))
        self.trait = nn.Parameter(torch.randn(5, width))
        self.first = GraphAttention(len(RELATIONS), heads, head_size)
        self.second = GraphAttention(len(RELATIONS), heads, head_size)
        self.score = nn.Linear(width, 1, bias=False)
        # The first scores are the priorities, to within a tenth or so.
        nn.init.normal_(self.score.weight, std=0.1 / math.sqrt(width))
        self.readout = nn.Sequential(
            nn.Linear(2 * width, hidden_size), nn.ReLU(), nn.LayerNorm(hidden_size)
        )

    def _apply(self, fn, *args, **kwargs):
        super()._apply(fn, *args, **kwargs)
        self.graph = self.graph.to(self.traits.device)
        return self

    def active(self, active_bits: np.ndarray, instances: np.ndarray) -> Active:
        """An observation's conditions [B, ceil(C/8)] and instances [B, I, 8], both uint8 → what is
        active, on the Manager's device."""
        found = active_of(active_bits, instances, self.num_conditions, self.num_operators)
        return found.to(self.traits.device)

    def _round_one(self) -> Tensor:
        """Features of all nodes [N, width] after round 1, with every condition holding."""
        return self.first(torch.addmm(self.identity, self.traits, self.trait), self.graph)

    def rules(self) -> Rules:
        """Evaluate the graph; once for as long as the parameters stay as they are."""
        nodes = self._round_one()
        sizes = (self.num_conditions, self.num_operators)
        sizes += (len(nodes) - sum(sizes),)
        facts, _, effects = nodes.split(sizes)
        operators = self.second(nodes, self.graph).split(sizes)[1]
        learned = self.score(operators)
        strength = (self.proposals.priority + learned.squeeze(1)).exp()
        weight = learned.exp()
        return Rules(facts, torch.cat([weight * operators, weight], 1), strength, effects)

    def forward(self, rules: Rules, active: Active) -> Logic:
        """What ``rules`` say to the samples whose ``active`` nodes and instances are given."""
        nodes = active.nodes.to(rules.facts.dtype)
        holds, applies = nodes[:, : self.num_conditions], nodes[:, self.num_conditions :]
        operators = rules.pool(applies)
        facts = (holds @ rules.facts) / holds.sum(1, keepdim=True).clamp_min(1)
        h_logic = self.readout(torch.cat([operators, facts], 1))
        return Logic(h_logic, *self.proposals(active.instances, rules.strength))

    @torch.no_grad()
    def edge_attention(self) -> Tensor:
        """What each operator that applies attends to in the last round, [E, heads] in [0, 1].

        The edges are those of ``hypergraph.edges()`` that lead to operators, in its order; the
        weights of an operator's edges sum to 1.
        """
        return self.second.weights(self._round_one(), self.graph)[self.into_operators]

    @torch.no_grad()
    def attention_variance(self, active: Active) -> float:
        """How far attention is from uniform: 0 uniform, 1 all weight on one edge.

        For an operator with d ≥ 2 neighbours and weights a (sum 1) in the last round, the variance
        of a divided by the largest variance d weights can have, ``(Σ a² − 1/d) / (1 − 1/d)``, so
        that operators of 2 and of 200 neighbours count alike; the mean over heads and over the
        operators that apply to the samples of ``active``. NaN if none does.
        """
        weights = self.second.weights(self._round_one(), self.graph)
        chosen = slice(self.num_conditions, self.num_conditions + self.num_operators)
        degree = self.graph.rowptr.diff().long()
        energy = weights.new_zeros(len(degree), weights.shape[1])
        row = torch.repeat_interleave(degree)
        energy.index_add_(0, row, weights[self.graph.edge_id.long()].square())
        degree, energy = degree[chosen], energy[chosen]
        uniform = 1.0 / degree.unsqueeze(1)
        variance = ((energy - uniform) / (1 - uniform)).mean(1)
        times = active.nodes[:, self.num_conditions :].sum(0) * (degree >= 2)
        return ((variance.nan_to_num() * times).sum() / times.sum()).item()


def _traits(hypergraph: Hypergraph) -> Tensor:
    """float32 [N, 5]: each node's type one-hot, then inactive or active at the start, one-hot."""
    kind = torch.from_numpy(hypergraph.node_type)
    active = (kind == NODE_CONDITION).long()
    return torch.cat([F.one_hot(kind, 3), F.one_hot(active, 2)], 1).float()
