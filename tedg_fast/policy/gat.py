"""The Manager: a graph attention network that reads the hypergraph and advises the router."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.hypergraph import EXPERTS, RELATIONS, Hypergraph
from tedg_fast.ops import Graph, gat_attention, gat_attention_weights
from tedg_fast.policy.rule_table import RuleTable


class Rules(NamedTuple):
    """What the Manager makes of the rules, for any sample: a function of its parameters alone.

    ``features`` [R, width] and ``scores`` [R] of every row of the ``RuleTable``; ``facts``
    [C, width], the features of each condition while it holds.
    """

    features: Tensor
    scores: Tensor
    facts: Tensor


class Logic(NamedTuple):
    """What the rules say about samples: ``h_logic`` [B, hidden]; ``operator_scores`` [B, O];
    ``advice_scores`` [B, K], the aggregate ``e_k`` of the scores of expert k's operators."""

    h_logic: Tensor
    operator_scores: Tensor
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
    """Two rounds of graph attention over the hypergraph, read out at the operators.

    Node input: identity + type + activation embedding; only conditions are ever active. All nodes
    hear their neighbours in round 1, the operators again in round 2. ``RuleTable`` says why this
    is one small graph for all samples.

    Operator score: ``w·x_o − gain · (conditions of o that do not hold)``. The second term makes a
    rule speak when it applies, from the first step on; ``gain`` is learned.
    Advice score of expert k: log-mean-exp of its operators' scores (one applicable rule is heard,
    however many rules the expert owns).
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
        self.table = RuleTable(hypergraph)
        kind_of = torch.from_numpy(hypergraph.node_type)
        self.register_buffer("kind_of", kind_of, persistent=False)
        membership = _expert_membership(self.table.expert_of, num_experts)
        self.register_buffer("membership", membership, persistent=False)

        self.identity = nn.Parameter(torch.randn(hypergraph.num_nodes, width))
        self.kind = nn.Parameter(torch.randn(3, width))
        self.activation = nn.Parameter(torch.randn(2, width))
        self.first = GraphAttention(len(RELATIONS), heads, head_size)
        self.second = GraphAttention(len(RELATIONS), heads, head_size)
        self.score = nn.Linear(width, 1)
        self.gain = nn.Parameter(torch.tensor(2.0))
        self.readout = nn.Sequential(
            nn.Linear(2 * width, hidden_size), nn.ReLU(), nn.LayerNorm(hidden_size)
        )

    def _inputs(self) -> tuple[Tensor, Tensor]:
        """Node features before round 1: of the terms [2C + F, width], the operators [O, width]."""
        nodes = self.identity + self.kind[self.kind_of]
        term = nodes[self.table.term_node]
        conditions = self.num_conditions
        holds = torch.zeros(len(term), dtype=torch.long, device=term.device)
        holds[conditions : 2 * conditions] = 1
        operators = nodes[conditions : conditions + len(self.table.expert_of)]
        return term + self.activation[holds], operators + self.activation[0]

    def _round_one(self) -> tuple[Tensor, Tensor]:
        """Features after round 1: of the terms [2C + F, width], of the rows [R, width]."""
        terms, operators = self._inputs()
        rows = operators[self.table.operator_of]
        heard = self.first(operators, terms, self.table.to_terms)
        return heard, self.first(terms, rows, self.table.to_rows)

    def rules(self) -> Rules:
        """Evaluate the graph; once for as long as the parameters stay as they are."""
        terms, rows = self._round_one()
        rows = self.second(terms, rows, self.table.to_rows)
        scores = self.score(rows).squeeze(1) - self.gain * self.table.unmet
        return Rules(rows, scores, terms[self.num_conditions : 2 * self.num_conditions])

    def forward(self, rules: Rules, active: Tensor) -> Logic:
        """What ``rules`` say where the conditions ``active`` [B, C] (bool) hold."""
        rows = self.table.rows(active)
        scores = rules.scores[rows]
        attention = scores.new_zeros(len(rows), self.table.num_rows)
        attention = attention.scatter(1, rows, scores.softmax(1))
        active = active.to(scores.dtype)
        facts = (active / active.sum(1, keepdim=True).clamp_min(1)) @ rules.facts
        h_logic = self.readout(torch.cat([attention @ rules.features, facts], 1))
        return Logic(h_logic, scores, self._advice(scores))

    def _advice(self, scores: Tensor) -> Tensor:
        """Aggregate operator scores [B, O] per expert → [B, K]; experts without rules get the mean."""
        peak = scores.max(1, keepdim=True).values
        mean_exp = (scores - peak).exp() @ self.membership.T
        owned = self.membership.any(1)
        advice = mean_exp[:, owned].log() + peak
        if owned.all():
            return advice
        full = advice.mean(1, keepdim=True).repeat(1, len(owned))
        full[:, owned] = advice
        return full

    @torch.no_grad()
    def attention_variance(self, active: Tensor) -> float:
        """How far attention is from uniform: 0 uniform, 1 all weight on one edge.

        For an operator with d ≥ 2 neighbours and weights a (sum 1) in the last round, the variance
        of a divided by the largest variance d weights can have, ``(Σ a² − 1/d) / (1 − 1/d)``, so
        that rows of 2 and of 200 neighbours count alike; the mean over heads, operators and the
        samples ``active`` [B, C].
        """
        graph = self.table.to_rows
        weights = self.second.weights(*self._round_one(), graph)
        degree = graph.rowptr.diff().long()
        row = torch.repeat_interleave(degree)
        energy = weights.new_zeros(len(degree), weights.shape[1])
        energy.index_add_(0, row, weights[graph.edge_id.long()].square())
        uniform = 1.0 / degree.unsqueeze(1)
        variance = ((energy - uniform) / (1 - uniform)).mean(1)
        read = self.table.rows(active).flatten()
        return variance[read[degree[read] >= 2]].mean().item()


def _expert_membership(operator_expert: Tensor, num_experts: int) -> Tensor:
    """[K, O]: 1/|O_k| where operator o belongs to expert k, else 0.

    With fewer experts than the four semantic ones, the last takes over those that are missing.
    """
    owner = operator_expert.clamp(max=num_experts - 1)
    member = F.one_hot(owner, max(num_experts, len(EXPERTS)))[:, :num_experts].T.float()
    return member / member.sum(1, keepdim=True).clamp_min(1)
