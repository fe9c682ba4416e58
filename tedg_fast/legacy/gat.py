"""V3's graph attention network.

In V3's graph an edge leads from a condition to an operator or from an operator to an effect, only
conditions are ever active, effects are never read, and nodes have no identity of their own. So all
active conditions share one vector, all inactive ones another, and what an operator ends up with
depends on two numbers alone: how many of its edges come from active and how many from inactive
conditions. All these cases are the rows of one table (669 for V3's graph), evaluated once for all
samples; a sample looks up one row for each operator.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.legacy.experts import operator_expert
from tedg_fast.legacy.hypergraph import NODE_TYPES, V3Hypergraph
from tedg_fast.legacy.inputs import V3Input

HIDDEN = 256
HEADS = 4
_CONDITION, _OPERATOR = NODE_TYPES.index("condition"), NODE_TYPES.index("operator")


class V3Tables(NamedTuple):
    """What the parameters alone make of V3's graph: ``scores`` [R] of the ``OperatorTable``'s rows,
    and ``active`` [hidden], the final vector of an active condition."""

    scores: Tensor
    active: Tensor


class V3Logic(NamedTuple):
    """What the graph says about samples: ``h_logic`` [B, hidden]; ``operator_scores`` [B, O];
    ``advice_scores`` [B, K], the aggregate of the scores of expert k's operators."""

    h_logic: Tensor
    operator_scores: Tensor
    advice_scores: Tensor


class OperatorTable(nn.Module):
    """The cases (inactive edges, active edges) that an operator can be in: R rows.

    ``edges`` int64 [R, 3]: how many edges each row has from inactive conditions, from active ones
    and from itself (1).
    """

    def __init__(self, hypergraph: V3Hypergraph):
        super().__init__()
        edges, operators = torch.tensor(hypergraph.edge_index), torch.tensor(hypergraph.operators)
        kinds = torch.tensor(hypergraph.node_type)
        # [O, N]: how many edges lead from each node to each operator; V3 counts repeated ones.
        source, target = edges[:, kinds[edges[1]] == _OPERATOR]
        incoming = torch.zeros(len(operators), hypergraph.num_nodes)
        place = (torch.searchsorted(operators, target), source)
        incoming.index_put_(place, torch.ones(len(source)), accumulate=True)
        self.incoming: Tensor
        self.register_buffer("incoming", incoming, persistent=False)

        degree, of_operator = incoming.sum(1).long().unique(return_inverse=True)
        rows = degree + 1
        first_row = (rows.cumsum(0) - rows)[of_operator]
        self.first_row: Tensor
        self.register_buffer("first_row", first_row, persistent=False)
        total = degree.repeat_interleave(rows)
        active = torch.cat([torch.arange(number) for number in rows.tolist()])
        counts = torch.stack([total - active, active, torch.ones_like(active)], 1)
        self.edges: Tensor
        self.register_buffer("edges", counts, persistent=False)

    def rows(self, active: Tensor) -> Tensor:
        """Each operator's row, int64 [B, O], for ``active`` [B, N], 1 for active conditions."""
        return self.first_row + (active @ self.incoming.T).long()


class V3GraphAttention(nn.Module):
    """One layer: multi-head attention whose heads are averaged (not concatenated), plus a bias.

    Parameter names and shapes are those of the layer that V3 used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.att_src = nn.Parameter(torch.empty(1, HEADS, HIDDEN))
        self.att_dst = nn.Parameter(torch.empty(1, HEADS, HIDDEN))
        self.bias = nn.Parameter(torch.zeros(HIDDEN))
        self.lin = nn.Linear(HIDDEN, HEADS * HIDDEN, bias=False)
        for weight in (self.att_src, self.att_dst, self.lin.weight):
            nn.init.xavier_uniform_(weight)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features [S, heads, hidden], source and target scores [S, heads] of ``x`` [S, hidden]."""
        projected = self.lin(x).unflatten(-1, (HEADS, HIDDEN))
        source, target = ((projected * a).sum(-1) for a in (self.att_src, self.att_dst))
        return projected, source, target

    def forward(
        self, conditions: Tensor, rows: Tensor, edges: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``conditions`` [2, hidden], inactive and active; ``rows`` [R, hidden], or [1, hidden] if
        all are alike; ``edges`` of the table → new [2, hidden], new [R, hidden], and the rows'
        attention [R, heads, 3] to all inactive and all active conditions and to themselves.

        n equal edges of score s have n·exp(s) in the softmax, as one edge of score s + ln n.
        """
        told, told_source, _ = self._project(conditions)
        own, own_source, own_target = self._project(rows)
        from_conditions = told_source.T.expand(len(rows), -1, -1)
        source = torch.cat([from_conditions, own_source.unsqueeze(-1)], -1)
        score = F.leaky_relu(source + own_target.unsqueeze(-1), 0.2)
        attention = (score + edges.log().unsqueeze(1)).softmax(-1)
        heard = torch.einsum("rhk,khd->rd", attention[..., :2], told)
        heard = heard + (attention[..., 2:] * own).sum(1)
        # A condition hears nothing but its self-loop.
        return told.mean(1) + self.bias, heard / HEADS + self.bias, attention


class V3Manager(nn.Module):
    """V3's GAT over all N nodes, read by ``active`` [B, N] bool.

    Node input is type + activation embedding; two rounds of ``x ← x + relu(LayerNorm(attention))``
    over the hypergraph's edges and one self-loop a node. An operator's score is the length of its
    final vector; ``h_logic`` reads out the mean of the active nodes' vectors. As in V3 only
    conditions can be active: other nodes' places in ``active`` are not looked at.

    V3 had no advice. Here the advice score of an expert is the log-mean-exp of the scores of the
    operators that ``operator_expert`` gives it; with fewer experts than four the last takes over
    the missing ones, and an expert without operators gets the mean of the others.
    """

    def __init__(self, hypergraph: V3Hypergraph, num_experts: int):
        super().__init__()
        self.table = OperatorTable(hypergraph)
        self.register_buffer("_edge_index", torch.tensor(hypergraph.edge_index))
        self.register_buffer("_edge_attr", torch.tensor(hypergraph.edge_type))
        self._node_types: Tensor
        self.register_buffer("_node_types", torch.tensor(hypergraph.node_type))
        self.register_buffer("_operator_indices", torch.tensor(hypergraph.operators))
        labels = [hypergraph.labels[node] for node in hypergraph.operators]
        expert = torch.tensor([operator_expert(label) for label in labels])
        member = F.one_hot(expert.clamp(max=num_experts - 1), num_experts).T.float()
        self._expert_of: Tensor
        self.register_buffer("_expert_of", member, persistent=False)

        self.node_type_embedding = nn.Embedding(len(NODE_TYPES), HIDDEN)
        self.activation_embedding = nn.Embedding(2, HIDDEN)
        self.gat1 = V3GraphAttention()
        self.gat2 = V3GraphAttention()
        self.ln1 = nn.LayerNorm(HIDDEN)
        self.ln2 = nn.LayerNorm(HIDDEN)
        self.readout = nn.Sequential(
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Identity(),  # the place of V3's dropout: the later layers' names count it
            nn.Linear(HIDDEN, HIDDEN), nn.LayerNorm(HIDDEN),
        )  # fmt: skip

    def _evaluate(self) -> tuple[Tensor, Tensor, Tensor]:
        """Final vectors of the conditions [2, hidden] and of the table's rows [R, hidden]; the
        rows' attention in the last round [R, heads, 3]."""
        kind, activation = self.node_type_embedding.weight, self.activation_embedding.weight
        conditions, rows = kind[_CONDITION] + activation, kind[_OPERATOR, None] + activation[:1]
        edges = self.table.edges.to(kind.dtype)
        for layer, norm in ((self.gat1, self.ln1), (self.gat2, self.ln2)):
            told, heard, attention = layer(conditions, rows, edges)
            conditions, rows = conditions + F.relu(norm(told)), rows + F.relu(norm(heard))
        return conditions, rows, attention

    def tables(self) -> V3Tables:
        """Evaluate the graph's cases."""
        conditions, rows, _ = self._evaluate()
        return V3Tables(torch.linalg.vector_norm(rows, dim=1), conditions[1])

    def forward(self, active: Tensor, tables: V3Tables | None = None) -> V3Logic:
        """What the graph says to the samples whose ``active`` nodes [B, N] are given; ``tables``
        are those of these parameters, if they were evaluated before."""
        tables = tables or self.tables()
        conditions = self._conditions(active)
        rows = self.table.rows(conditions)
        # Unlike indexing with [rows], this has a backward pass whose sums have a fixed order.
        scores = tables.scores.index_select(0, rows.flatten()).view_as(rows)
        count = conditions.sum(1, keepdim=True)
        h_logic = self.readout(count * tables.active / (count + 1e-8))
        return V3Logic(h_logic, scores, self._advice(scores))

    def _conditions(self, active: Tensor) -> Tensor:
        return (active & (self._node_types == _CONDITION)).to(self.table.incoming.dtype)

    def _advice(self, scores: Tensor) -> Tensor:
        """Operator scores [B, O] → advice scores [B, K]."""
        owned = self._expert_of.any(1)
        weight = self._expert_of[owned]
        weight = (weight / weight.sum(1, keepdim=True)).log()  # −inf: another expert's operator
        per_expert = torch.logsumexp(scores.unsqueeze(1) + weight, -1)
        advice = per_expert.mean(1, keepdim=True).repeat(1, len(owned))
        advice[:, owned] = per_expert
        return advice

    @torch.no_grad()
    def attention_variance(self, inputs: V3Input) -> float:
        """How far the operators' attention in the last round is from uniform, 0 to 1.

        As ``tedg_fast.policy.Manager.attention_variance`` defines it, self-loops included; the
        mean over heads, operators and the samples of ``inputs``.
        """
        _, _, attention = self._evaluate()
        edges = self.table.edges.unsqueeze(1)
        energy = (attention.square() / edges.clamp_min(1)).sum(-1)  # of n equal weights: sum² / n
        uniform = 1 / edges.sum(-1).to(energy.dtype)
        variance = ((energy - uniform) / (1 - uniform)).mean(1)
        # NaN stands for operators with nothing but their self-loop.
        return variance[self.table.rows(self._conditions(inputs.active))].nanmean().item()
