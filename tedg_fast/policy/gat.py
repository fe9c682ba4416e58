"""The Manager: a graph attention network that reads the hypergraph and advises the router."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.hypergraph import RELATIONS, Hypergraph
from tedg_fast.hypergraph.schema import NODE_OPERATOR
from tedg_fast.ops import Graph, gat_attention, gat_attention_weights
from tedg_fast.policy.proposals import Proposals


class Rules(NamedTuple):
    """What the Manager makes of the rules, for any sample: a function of its parameters alone.

    ``facts`` [C, width]: features of each condition while it holds; ``operators`` [O, width + 1]:
    features of each operator that applies, times its weight, and that weight; ``claims``
    [O, K, A]: what it adds to the experts' actions.
    """

    facts: Tensor
    operators: Tensor
    claims: Tensor


class Logic(NamedTuple):
    """What the rules say about samples: ``h_logic`` [B, hidden]; ``proposals`` [B, K, A], the
    actions that each expert's rules propose; ``advice_scores`` [B, K], how loudly they do."""

    h_logic: Tensor
    proposals: Tensor
    advice_scores: Tensor


class GraphAttention(nn.Module):
    """Multi-head graph attention (Veličković et al. 2018, eq. 1–4) with a learned bias per relation.

    ``x' = x + relu(LayerNorm(attention + bias))`` for the targets; heads are concatenated.
    """

    def __init__(self, num_relations: int, heads: int, head_size: int):
        super().__init__()
        self.heads, self.head_size = heads, head_size
        width = heads * head_size
        self.project = nn.Linear(width, width, bias=False)
        # Scores that differ from the first step on: attention that starts uniform averages all
        # neighbours alike and learns to tell them apart only slowly (over-smoothing).
        self.attend_source = nn.Parameter(2 * torch.randn(heads, head_size) / math.sqrt(head_size))
        self.attend_target = nn.Parameter(2 * torch.randn(heads, head_size) / math.sqrt(head_size))
        self.relation_bias = nn.Parameter(torch.zeros(num_relations, heads))
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)

    def _score(self, x: Tensor, attend: Tensor) -> Tensor:
        """``a · (W x)`` as ``(Wᵀ a) · x``: [S, width] → [1, S, heads], without projecting x."""
        weight = self.project.weight.unflatten(0, (self.heads, self.head_size))
        return (x @ torch.einsum("hd,hdw->wh", attend, weight)).unsqueeze(0)

    def forward(self, source: Tensor, target: Tensor, graph: Graph) -> Tensor:
        """``source`` [S, width] sends to ``target`` [M, width] → the targets' new features."""
        out, _ = gat_attention(
            self.project(source).view(1, -1, self.heads, self.head_size),
            self._score(source, self.attend_source),
            self._score(target, self.attend_target),
            graph,
            edge_bias=self.relation_bias,
        )
        return target + F.relu(self.norm(out.view_as(target) + self.bias))

    def weights(self, source: Tensor, target: Tensor, graph: Graph) -> Tensor:
        """Attention weights [E, heads], edges in ``edge_index``'s order, for inspection."""
        return gat_attention_weights(
            self._score(source, self.attend_source),
            self._score(target, self.attend_target),
            graph,
            edge_bias=self.relation_bias,
        ).squeeze(0)


class Manager(nn.Module):
    """Two rounds of graph attention over the hypergraph, read out at the active nodes.

    A sample's active nodes are the conditions that hold and the operators that apply, that is,
    whose conditions all hold. Node input: identity + type + activation embedding (conditions alone
    carry activation). All nodes hear their neighbours in round 1, the operators again in round 2.

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
        self.to_operators, self.to_terms = _halves(hypergraph)
        kind_of = torch.from_numpy(hypergraph.node_type)
        self.register_buffer("kind_of", kind_of, persistent=False)
        self.proposals = Proposals(hypergraph, num_experts)

        self.identity = nn.Parameter(torch.randn(hypergraph.num_nodes, width))
        self.kind = nn.Parameter(torch.randn(3, width))
        self.activation = nn.Parameter(torch.randn(2, width))
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
        device = self.kind_of.device
        self.to_operators, self.to_terms = self.to_operators.to(device), self.to_terms.to(device)
        return self

    def active(self, holds: Tensor) -> Tensor:
        """Conditions that hold [B, C] (bool) → active nodes [B, C + O] (bool)."""
        return torch.cat([holds, self.proposals.applies(holds)], 1)

    def _round_one(self) -> tuple[Tensor, Tensor]:
        """Features after round 1: conditions that hold and effects [C + F, width], operators."""
        nodes = self.identity + self.kind[self.kind_of]
        sizes = (self.num_conditions, self.num_operators, -1)
        conditions, operators, effects = nodes.tensor_split(np.cumsum(sizes[:2]).tolist())
        terms = torch.cat([conditions + self.activation[1], effects + self.activation[0]])
        operators = operators + self.activation[0]
        return (
            self.first(operators, terms, self.to_terms),
            self.first(terms, operators, self.to_operators),
        )

    def rules(self) -> Rules:
        """Evaluate the graph; once for as long as the parameters stay as they are."""
        terms, operators = self._round_one()
        operators = self.second(terms, operators, self.to_operators)
        learned = self.score(operators)
        claims = self.proposals.claims(self.proposals.priority + learned.squeeze(1))
        weight = learned.exp()
        weighted = torch.cat([weight * operators, weight], 1)
        return Rules(terms[: self.num_conditions], weighted, claims)

    def forward(self, rules: Rules, active: Tensor) -> Logic:
        """What ``rules`` say to samples with the ``active`` nodes [B, C + O] (bool)."""
        active = active.to(rules.facts.dtype)
        holds, applies = active[:, : self.num_conditions], active[:, self.num_conditions :]
        operators = applies @ rules.operators
        # The 1 stands for a rule without content, so that a state to which none applies is fine.
        operators = operators[:, :-1] / (1 + operators[:, -1:])
        facts = (holds @ rules.facts) / holds.sum(1, keepdim=True).clamp_min(1)
        h_logic = self.readout(torch.cat([operators, facts], 1))
        return Logic(h_logic, *self.proposals(applies, rules.claims))

    @torch.no_grad()
    def edge_attention(self) -> Tensor:
        """What each operator that applies attends to in the last round, [E, heads] in [0, 1].

        The edges are those of ``hypergraph.edges()`` that lead to operators, in its order; the
        weights of an operator's edges sum to 1.
        """
        return self.second.weights(*self._round_one(), self.to_operators)

    @torch.no_grad()
    def attention_variance(self, active: Tensor) -> float:
        """How far attention is from uniform: 0 uniform, 1 all weight on one edge.

        For an operator with d ≥ 2 neighbours and weights a (sum 1) in the last round, the variance
        of a divided by the largest variance d weights can have, ``(Σ a² − 1/d) / (1 − 1/d)``, so
        that operators of 2 and of 200 neighbours count alike; the mean over heads and over the
        operators that apply to the samples with the ``active`` nodes [B, C + O]. NaN if none does.
        """
        weights = self.edge_attention()
        degree = self.to_operators.rowptr.diff().long()
        row = torch.repeat_interleave(degree)
        energy = weights.new_zeros(len(degree), weights.shape[1])
        energy.index_add_(0, row, weights[self.to_operators.edge_id.long()].square())
        uniform = 1.0 / degree.unsqueeze(1)
        variance = ((energy - uniform) / (1 - uniform)).mean(1)
        times = active[:, self.num_conditions :].sum(0) * (degree >= 2)
        return ((variance.nan_to_num() * times).sum() / times.sum()).item()


def _halves(hypergraph: Hypergraph) -> tuple[Graph, Graph]:
    """The edges from terms (conditions, then effects) to operators, and those back."""
    edge_index, relation = hypergraph.edges()
    is_operator = hypergraph.node_type == NODE_OPERATOR
    to_operators = is_operator[edge_index[1]]
    if (is_operator[edge_index[0]] == to_operators).any():
        raise ValueError("an edge of the hypergraph joins no operator to a condition or effect")
    place = np.where(is_operator, is_operator.cumsum() - 1, (~is_operator).cumsum() - 1)
    num_operators, num_terms = int(is_operator.sum()), int((~is_operator).sum())

    def graph(chosen: np.ndarray, sources: int, targets: int) -> Graph:
        edges = torch.from_numpy(place[edge_index[:, chosen]])
        return Graph(edges, sources, targets, relation=torch.from_numpy(relation[chosen]))

    return (
        graph(to_operators, num_terms, num_operators),
        graph(~to_operators, num_operators, num_terms),
    )
