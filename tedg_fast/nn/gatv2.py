"""The attention layer of Brody, Alon & Yahav 2022, with PyTorch Geometric's interface."""

from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.nn.adjacency import Adjacency
from tedg_fast.nn.attention_conv import AttentionConv, Nodes, Scores, edge_softmax
from tedg_fast.nn.linear import glorot_, linear
from tedg_fast.ops import Graph, GraphBatch, gatv2_scores


class GATv2Conv(AttentionConv):
    """Graph attention in which the target decides which source it ranks first.

    The score of an edge j -> i is ``att . LeakyReLU(W_l x_j + W_r x_i + W_e e_ji)``, the output
    ``out[i] = sum_j a_ij W_l x_j`` ("How Attentive are Graph Attention Networks?", equation 7).

    A drop-in for ``torch_geometric.nn.GATv2Conv``, as :class:`~tedg_fast.nn.GATConv` is for
    PyTorch Geometric's layer of that name.

    Args: as of :class:`~tedg_fast.nn.GATConv`, and

        bias: add learned vectors to both transformed features and to the output.
        share_weights: transform sources and targets by the same weights.

    Example:
        >>> import torch
        >>> from tedg_fast.nn import GATv2Conv
        >>> layer = GATv2Conv((16, 5), 8, heads=4, add_self_loops=False)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 0, 0]])
        >>> layer((torch.randn(3, 16), torch.randn(2, 5)), edge_index).shape
        torch.Size([2, 32])
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: float | Tensor | str = "mean",
        bias: bool = True,
        share_weights: bool = False,
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels, out_channels, heads, concat, negative_slope, dropout, add_self_loops,
            edge_dim, fill_value, residual, **kwargs,
        )  # fmt: skip
        self.share_weights = share_weights
        widths = (in_channels, in_channels) if isinstance(in_channels, int) else in_channels
        self.lin_l = linear(widths[0], heads * out_channels, bias)
        self.lin_r = self.lin_l if share_weights else linear(widths[1], heads * out_channels, bias)
        self.att = nn.Parameter(torch.empty(1, heads, out_channels))
        self._add_output(bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh parameters: Glorot's uniform distribution, zero bias of the output."""
        super().reset_parameters()
        for lin in (self.lin_l, self.lin_r, self.lin_edge, self.res):
            if lin is not None:
                lin.reset_parameters()
        glorot_(self.att)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Tensor | Graph | GraphBatch,
        edge_attr: Tensor | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Attend from every target to the sources of its edges.

        Args, returns, raises: as :meth:`tedg_fast.nn.GATConv.forward`, where targets have features.
        """
        if not isinstance(x, Tensor) and x[1] is None:
            raise ValueError("x must hold target features, which score the edges, got None")
        return self._run(
            x, self.lin_l, self.lin_r, edge_index, edge_attr, None, return_attention_weights
        )

    def _scores(
        self, source: Nodes, target: Nodes, graph: Graph, edge_attr: Tensor | None
    ) -> Scores:
        x = (source.features, target.features)
        score = gatv2_scores(
            *x,
            self.att.squeeze(0).to(x[0].dtype),  # under autocast, features have 16 bits
            graph,
            x_edge=None if edge_attr is None else self._edge_features(edge_attr),
            negative_slope=self.negative_slope,
        )
        nothing_src, nothing_dst = (end.new_zeros(end.shape[:3]) for end in x)
        return Scores(nothing_src, nothing_dst, score, 1.0)

    def _pass_messages(
        self,
        source: Nodes,
        target: Nodes,
        walked: Adjacency,
        edge_attr: Tensor | None,
        size: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        index, x = walked.edge_index, (source.features, target.features)
        weight = self.edge_updater(index, x=x, edge_attr=edge_attr, size=size)
        return self.propagate(index, x=x, alpha=weight, size=size), weight

    # PyTorch Geometric reads these annotations, and "Tensor | None" is beyond it.
    def edge_update(
        self,
        x_j: Tensor,
        x_i: Tensor,
        edge_attr: Optional[Tensor],
        index: Tensor,
        ptr: Optional[Tensor],
        dim_size: Optional[int],
    ) -> Tensor:
        """The weight of each edge [E, H], as PyTorch Geometric's tools ask for it."""
        x = x_i + x_j if edge_attr is None else x_i + x_j + self._edge_features(edge_attr)
        score = (F.leaky_relu(x, self.negative_slope) * self.att).sum(-1)
        return F.dropout(edge_softmax(score, index, dim_size), self.dropout, self.training)
