"""V3's graph attention network, on this package's attention op.

In V3's graph an edge leads from a condition to an operator or from an operator to an effect, only
conditions are ever active, effects are never read, and nodes have no identity of their own. So two
operators with equally many active and equally many inactive conditions have the same vectors in
every layer, whatever the sample; and all active conditions share one vector, all inactive ones
another. The network is therefore evaluated on the graph of such classes, once for a whole batch:
a few dozen nodes instead of 527 a sample, with the same result.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.legacy.experts import operator_expert
from tedg_fast.legacy.hypergraph import NODE_TYPES, V3Hypergraph
from tedg_fast.ops import Graph, gat_attention, gat_attention_weights
from tedg_fast.policy import Logic

HIDDEN = 256
HEADS = 4

_INACTIVE, _ACTIVE, _FIRST_OPERATOR = 0, 1, 2  # nodes of the graph of classes


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
        """Features [1, N, heads, hidden], source and target scores [1, N, heads]."""
        projected = self.lin(x.unsqueeze(0)).unflatten(-1, (HEADS, HIDDEN))
        source, target = ((projected * a).sum(-1) for a in (self.att_src, self.att_dst))
        return projected, source, target

    def forward(self, x: Tensor, graph: Graph) -> Tensor:
        """``x`` [N, hidden] → [N, hidden]."""
        out, _ = gat_attention(*self._project(x), graph)
        return out.squeeze(0).mean(1) + self.bias

    def attention(self, x: Tensor, graph: Graph) -> Tensor:
        """Attention weights [E, heads], edges in the order the graph was built from."""
        _, source, target = self._project(x)
        return gat_attention_weights(source, target, graph).squeeze(0)


class _Classes(NamedTuple):
    """Operators of a batch by what they see: P classes; node p + 2 of ``graph`` is class p.

    ``of_operator`` int64 [U, O]; ``target`` int64 [E'], the target of each of the graph's edges.
    """

    graph: Graph
    target: Tensor
    of_operator: Tensor


class V3Manager(nn.Module):
    """V3's GAT, with the interface of ``tedg_fast.policy.Manager`` over all N nodes.

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
        edges, operators = torch.tensor(hypergraph.edge_index), torch.tensor(hypergraph.operators)
        self.register_buffer("_edge_index", edges)
        self.register_buffer("_edge_attr", torch.tensor(hypergraph.edge_type))
        self.register_buffer("_node_types", torch.tensor(hypergraph.node_type))
        self.register_buffer("_operator_indices", operators)
        # [O, N]: how many edges lead from each node to each operator; V3 counts repeated ones.
        incoming = torch.zeros(hypergraph.num_nodes, len(operators))
        source, target = edges[:, self._node_types[edges[1]] == NODE_TYPES.index("operator")]
        place = (source, torch.searchsorted(operators, target))
        incoming.index_put_(place, torch.ones(len(source)), accumulate=True)
        self.register_buffer("_incoming", incoming.T.contiguous(), persistent=False)
        is_condition = self._node_types == NODE_TYPES.index("condition")
        self.register_buffer("_is_condition", is_condition, persistent=False)
        expert = torch.tensor([operator_expert(hypergraph.labels[i]) for i in operators.tolist()])
        member = F.one_hot(expert.clamp(max=num_experts - 1), num_experts).T.float()
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

    def forward(self, active: Tensor) -> Logic:
        """``active`` [U, N] bool, one row per distinct set of active nodes."""
        active = (active & self._is_condition).float()
        classes = self._classify(active)
        x = self._first(classes)
        x = x + F.relu(self.ln2(self.gat2(x, classes.graph)))
        length = torch.linalg.vector_norm(x[_FIRST_OPERATOR:], dim=1)
        scores = length.index_select(0, classes.of_operator.flatten())
        scores = scores.view_as(classes.of_operator)
        count = active.sum(1, keepdim=True)
        mean = count * x[_ACTIVE] / (count + 1e-8)
        return Logic(self.readout(mean), scores, self._advice(scores))

    def _classify(self, active: Tensor) -> _Classes:
        """``active`` [U, N] float, 1 for active conditions."""
        lit = (active @ self._incoming.T).long()
        degree = self._incoming.sum(1).long()
        base = int(degree.max()) + 1
        keys, of_operator = torch.unique(lit * base + degree, return_inverse=True)
        lit = keys // base
        dark = keys % base - lit
        loops = torch.arange(_FIRST_OPERATOR + len(keys), device=keys.device)
        operators = loops[_FIRST_OPERATOR:]
        target = torch.cat(
            [loops, operators.repeat_interleave(dark), operators.repeat_interleave(lit)]
        )
        source = torch.full_like(target, _ACTIVE)
        source[: len(loops)] = loops
        source[len(loops) : len(loops) + int(dark.sum())] = _INACTIVE
        graph = Graph(torch.stack([source, target]), len(loops), len(loops))
        return _Classes(graph, target, of_operator)

    def _first(self, classes: _Classes) -> Tensor:
        """Vectors of the classes after the first layer, [P + 2, hidden]."""
        kind, activation = self.node_type_embedding.weight, self.activation_embedding.weight
        conditions = kind[NODE_TYPES.index("condition")] + activation
        operator = kind[NODE_TYPES.index("operator")] + activation[0]
        num_operators = classes.graph.num_targets - _FIRST_OPERATOR
        x = torch.cat([conditions, operator.expand(num_operators, -1)])
        return x + F.relu(self.ln1(self.gat1(x, classes.graph)))

    def _advice(self, scores: Tensor) -> Tensor:
        """Operator scores [U, O] → advice scores [U, K]."""
        owned = self._expert_of.any(1)
        weight = self._expert_of[owned]
        weight = (weight / weight.sum(1, keepdim=True)).log()  # −inf: another expert's operator
        per_expert = torch.logsumexp(scores.unsqueeze(1) + weight, -1)
        advice = per_expert.mean(1, keepdim=True).repeat(1, len(owned))
        advice[:, owned] = per_expert
        return advice

    @torch.no_grad()
    def attention_variance(self, active: Tensor) -> float:
        """How far the operators' attention in the last layer is from uniform, 0 to 1.

        As ``tedg_fast.policy.Manager.attention_variance`` defines it for one target (self-loops
        included), averaged over heads, operators and the rows of ``active`` [U, N] bool.
        """
        classes = self._classify((active & self._is_condition).float())
        weights = self.gat2.attention(self._first(classes), classes.graph)
        degree = classes.target.bincount()
        energy = weights.new_zeros(len(degree), HEADS).index_add_(0, classes.target, weights**2)
        uniform = 1.0 / degree[:, None]
        variance = ((energy - uniform) / (1 - uniform)).mean(1)[_FIRST_OPERATOR:]
        return variance[classes.of_operator].nanmean().item()  # NaN: nothing but the self-loop
