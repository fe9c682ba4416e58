"""The graph attention layer of Velickovic et al. 2018, with PyTorch Geometric's interface."""

from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.nn.adjacency import Adjacency
from tedg_fast.nn.attention_conv import AttentionConv, Nodes, Scores, edge_softmax
from tedg_fast.nn.linear import glorot_, is_plain, linear, product
from tedg_fast.ops import Graph, GraphBatch


class GATConv(AttentionConv):
    """Graph attention: ``out[i] = sum_j a_ij W x_j``, the weights a softmax over i's edges.

    The score of an edge j -> i is ``LeakyReLU(att_src . W x_j + att_dst . W x_i + att_edge . W_e
    e_ji)`` (Velickovic et al. 2018, equations 1 to 6).

    A drop-in for ``torch_geometric.nn.GATConv``: the same arguments in the same order, parameters,
    initial values for a seed, state dict and results. The messages are never allocated, except
    where they are needed (explainers, message hooks, ``aggr`` other than "add"). In addition,
    the layer takes a :class:`~tedg_fast.ops.Graph` in place of ``edge_index``, and a batch of
    samples over one graph, ``x`` [B, N, F].

    Args:
        in_channels: features of a node, or of a source and of a target node of a bipartite graph,
            which then have weights of their own; -1 takes the width of the first input.
        out_channels: features of a head's output.
        heads: number of attention heads.
        concat: concatenate the heads; False averages them.
        negative_slope: slope of the LeakyReLU below zero.
        dropout: probability that a weight is dropped (the rest grows by 1 / (1 - p)), in training.
        add_self_loops: replace self-loops among the edges by one at every node that is both a
            source and a target.
        edge_dim: features of an edge; None for none.
        fill_value: features of the added self-loops: a number, a tensor, or how to reduce those of
            the edges that end at the node: "add", "mean", "min", "max", "mul".
        bias: add a learned vector to the output.
        residual: add a linear map of the (target) input to the output.
        **kwargs: ``flow`` ("source_to_target" or "target_to_source") and the other arguments of
            PyTorch Geometric's ``MessagePassing``.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import torch
        >>> from tedg_fast.nn import GATConv
        >>> from tedg_fast.ops import GraphBatch
        >>> layer = GATConv(16, 8, heads=4)
        >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> layer(torch.randn(3, 16), edge_index).shape
        torch.Size([3, 32])
        >>> graph = layer.graph(edge_index, 3)
        >>> layer(torch.randn(64, 3, 16), graph).shape
        torch.Size([64, 3, 32])
        >>> # Two graphs of 3 and 2 nodes, without padding.
        >>> batch = GraphBatch([0, 3, 5], [0, 3, 4], [0, 1, 2, 0], [1, 2, 0, 1])
        >>> layer(torch.randn(5, 16), batch).shape
        torch.Size([5, 32])
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
        residual: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels, out_channels, heads, concat, negative_slope, dropout, add_self_loops,
            edge_dim, fill_value, residual, **kwargs,
        )  # fmt: skip
        width = heads * out_channels
        self.lin = self.lin_src = self.lin_dst = None
        if isinstance(in_channels, int):
            self.lin = linear(in_channels, width)
        else:
            self.lin_src = linear(in_channels[0], width)
            self.lin_dst = linear(in_channels[1], width)
        self.att_src = nn.Parameter(torch.empty(1, heads, out_channels))
        self.att_dst = nn.Parameter(torch.empty(1, heads, out_channels))
        if edge_dim is None:
            self.register_parameter("att_edge", None)
        else:
            self.att_edge = nn.Parameter(torch.empty(1, heads, out_channels))
        self._add_output(bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh parameters: Glorot's uniform distribution, zero bias."""
        super().reset_parameters()
        for lin in (self.lin, self.lin_src, self.lin_dst, self.lin_edge, self.res):
            if lin is not None:
                lin.reset_parameters()
        for attention in (self.att_src, self.att_dst, self.att_edge):
            if attention is not None:
                glorot_(attention)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        edge_index: Tensor | Graph | GraphBatch,
        edge_attr: Tensor | None = None,
        size: tuple[int, int] | None = None,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """Attend from every target to the sources of its edges.

        Args:
            x: [N, F], or ([N, F_src], [M, F_dst]) for a bipartite graph, where the second may be
                None: targets without features. A batch over one graph has B in front.
            edge_index: [2, E], sources and targets; or a sparse matrix [M, N] (torch COO or CSR,
                or a ``SparseTensor``); or a Graph or :class:`~tedg_fast.ops.GraphBatch`, which is
                taken as it is: no self-loops added. Shared nodes of a batch are sources after all
                others: ``x`` is then a pair, as of a bipartite graph.
            edge_attr: [E, edge_dim], or [E] for one feature.
            size: (N, M), needed where neither ``x`` nor ``edge_index`` tells M.
            return_attention_weights: also return the edges and their weights [E, H], in the form
                of ``edge_index``.

        Returns:
            [M, heads * out_channels], or [M, out_channels] without ``concat``; with
            ``return_attention_weights``, a pair of that and the edges with their weights:
            ``(edge_index, weights)``.

        Raises:
            ValueError: an argument does not fit the layer or the others, or an index is out of
                range.
        """
        lin_src, lin_dst = self.lin_src or self.lin, self.lin_dst or self.lin
        assert lin_src is not None and lin_dst is not None  # the layer has one or the other
        return self._run(x, lin_src, lin_dst, edge_index, edge_attr, size, return_attention_weights)

    def _scores(
        self, source: Nodes, target: Nodes | None, graph: Graph, edge_attr: Tensor | None
    ) -> Scores:
        score_src, score_dst = self._score_ends(source, target)
        if score_dst is None:
            score_dst = score_src.new_zeros(len(score_src), graph.num_targets, self.heads)
        score_edge = None if edge_attr is None else self._score_edge(edge_attr)
        # Under autocast, features have 16 bits and what they are multiplied by has 32.
        dtype = source.features.dtype
        return Scores(score_src.to(dtype), score_dst.to(dtype), score_edge, self.negative_slope)

    def _score_ends(self, source: Nodes, target: Nodes | None) -> tuple[Tensor, Tensor | None]:
        """[.., N, H] and [.., M, H], what the two ends of an edge add to its score."""
        if source.are(target):  # one pass over the features gives both
            both = node_products(source, torch.cat([self.att_src, self.att_dst]))
            return both[..., 0, :], both[..., 1, :]
        score_dst = None if target is None else node_products(target, self.att_dst).squeeze(-2)
        return node_products(source, self.att_src).squeeze(-2), score_dst

    def _score_edge(self, edge_attr: Tensor) -> Tensor:
        """[E, H], what the features of an edge add to its score."""
        return head_products(self._edge_features(edge_attr), self.att_edge).squeeze(-2)

    def _pass_messages(
        self,
        source: Nodes,
        target: Nodes | None,
        walked: Adjacency,
        edge_attr: Tensor | None,
        size: tuple[int, int],
    ) -> tuple[Tensor, Tensor]:
        index, scores = walked.edge_index, self._score_ends(source, target)
        weight = self.edge_updater(index, alpha=scores, edge_attr=edge_attr, size=size)
        x = (source.features, None if target is None else target.features)
        return self.propagate(index, x=x, alpha=weight, size=size), weight

    # PyTorch Geometric reads these annotations, and "Tensor | None" is beyond it.
    def edge_update(
        self,
        alpha_j: Tensor,
        alpha_i: Optional[Tensor],
        edge_attr: Optional[Tensor],
        index: Tensor,
        ptr: Optional[Tensor],
        dim_size: Optional[int],
    ) -> Tensor:
        """The weight of each edge [E, H], as PyTorch Geometric's tools ask for it."""
        score = alpha_j if alpha_i is None else alpha_j + alpha_i
        if edge_attr is not None:
            score = score + self._score_edge(edge_attr)
        weight = edge_softmax(F.leaky_relu(score, self.negative_slope), index, dim_size)
        return F.dropout(weight, self.dropout, self.training)


def node_products(nodes: Nodes, vectors: Tensor) -> Tensor:
    """Products [.., N, K, H] of the nodes' features with K vectors a head, [K, H, C].

    Where the input is narrower than the features it is multiplied instead, as a·(W x) = (Wᵀ a)·x:
    less to read, and no second gradient of the size of the features.
    """
    lin = nodes.lin
    if not (is_plain(lin) and lin.in_features < lin.out_features):
        return head_products(nodes.features, vectors)
    count, heads, channels = vectors.shape
    weight = lin.weight.unflatten(0, (heads, channels))
    # A row for each product: with a column for each, the gradient takes 10 times longer.
    rows = torch.einsum("khc,hcf->khf", vectors, weight).flatten(0, 1)
    return product(nodes.x, rows).unflatten(-1, (count, heads))


def head_products(x: Tensor, vectors: Tensor) -> Tensor:
    """Products [.., K, H] of features [.., H, C] with K vectors a head, [K, H, C].

    As one product of matrices, the vectors on the diagonal blocks: several times faster than
    multiplying and summing, though it also multiplies the zeros between the blocks.
    """
    count, heads, channels = vectors.shape
    blocks = torch.diag_embed(vectors.transpose(1, 2)).permute(0, 3, 2, 1)
    rows = blocks.reshape(count * heads, heads * channels)
    return product(x.flatten(-2), rows).unflatten(-1, (count, heads))
