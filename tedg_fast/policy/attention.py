"""One round of attention over graphs that share some of their nodes."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.ops import Graph, gat_attention, gat_attention_weights


class GraphAttention(nn.Module):
    """Multi-head graph attention (Veličković et al. 2018, eq. 1–4), a learned bias per relation.

    ``x' = x + relu(LayerNorm(attention))`` for every node; heads are concatenated. Where
    ``learned`` is False all neighbours of a node weigh the same, whatever they are.
    """

    def __init__(self, num_relations: int, heads: int, head_size: int, *, learned: bool):
        super().__init__()
        self.heads, self.head_size = heads, head_size
        width = heads * head_size
        self.project = nn.Linear(width, width, bias=False)
        self.attend = self.relation_bias = None
        if learned:
            # Scores that differ from the first step on: attention that starts uniform averages all
            # neighbours alike and learns to tell them apart only slowly (over-smoothing). Not by so
            # much that a node hears one neighbour alone.
            spread = 2 / math.sqrt(head_size)
            self.attend = nn.Parameter(spread * torch.randn(2, heads, head_size))
            self.relation_bias = nn.Parameter(torch.zeros(num_relations, heads))
        self.norm = nn.LayerNorm(width)

    def projection(self) -> Tensor:
        """[width + 2 heads, width]: what makes a node's features, and its scores as a source and as
        a target, in one product. For a·(W x) = (Wᵀ a)·x."""
        weight = self.project.weight
        if self.attend is None:
            return torch.cat([weight, weight.new_zeros(2 * self.heads, weight.shape[1])])
        by_head = weight.unflatten(0, (self.heads, self.head_size))
        scoring = torch.einsum("ehd,hdi->ehi", self.attend, by_head).flatten(0, 1)
        return torch.cat([weight, scoring])

    def _scored(self, x: Tensor, shared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``x`` [N, width] and ``shared`` [S, width] → projected [1, N + S, heads, size], scores as
        sources [1, N + S, heads] and as targets [1, N, heads]."""
        width, heads = self.project.weight.shape[0], self.heads
        projected = (torch.cat([x, shared]) @ self.projection().T).unsqueeze(0)
        features, source, target = projected.split([width, heads, heads], 2)
        return features.unflatten(2, (heads, -1)), source, target[:, : len(x)]

    def forward(self, x: Tensor, shared: Tensor, graph: Graph) -> Tensor:
        """New features [N, width] of the nodes ``x`` [N, width], which receive messages from each
        other and from the ``shared`` nodes [S, width] along ``graph``."""
        features, source, target = self._scored(x, shared)
        out, _ = gat_attention(features, source, target, graph, edge_bias=self.relation_bias)
        return x + F.relu(self.norm(out.view_as(x)))

    def weights(self, x: Tensor, shared: Tensor, graph: Graph) -> Tensor:
        """Attention weights [E, heads], edges in the graph's ``edge_index`` order, to look at."""
        _, source, target = self._scored(x, shared)
        bias = self.relation_bias
        return gat_attention_weights(source, target, graph, edge_bias=bias).squeeze(0)
