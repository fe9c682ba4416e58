"""Graph attention over one static graph, for one sample or a batch of them."""

import torch
from torch import Tensor, nn

from tedg_fast.ops import Graph, gat_attention


class SparseGATConv(nn.Module):
    """The graph attention layer of Velickovic et al. 2018, with PyTorch Geometric's parameters.

    Same arguments, parameter names and shapes as ``torch_geometric.nn.GATConv`` without edge
    features, so its ``state_dict`` loads and gives the same numbers. Beyond it, the layer takes a
    batch of samples over one static graph, [B, N, F], in one call, and never allocates a message
    per edge.

    Args:
        in_channels: features of a node.
        out_channels: features of a head's output.
        heads: number of attention heads.
        concat: concatenate the heads; False averages them.
        negative_slope: slope of the LeakyReLU on the scores.
        dropout: must be 0: dropping attention weights would need them in memory.
        add_self_loops: replace self-loops among the edges by one a node (only for
            ``edge_index``; a :class:`~tedg_fast.ops.Graph` is taken as it is).
        bias: add a learned vector to the output.
        residual: add a linear map of the input to the output.

    Shapes: ``x`` [N, in_channels] or [B, N, in_channels]; output the same with
    ``heads * out_channels`` (or ``out_channels`` without ``concat``) features.

    Example:
        >>> import torch
        >>> from tedg_fast.nn import SparseGATConv
        >>> from tedg_fast.ops import Graph
        >>> layer = SparseGATConv(16, 8, heads=4)
        >>> graph = SparseGATConv.graph(torch.tensor([[0, 1, 2], [1, 2, 0]]), num_nodes=3)
        >>> layer(torch.randn(3, 16), graph).shape
        torch.Size([3, 32])
        >>> layer(torch.randn(64, 3, 16), graph).shape
        torch.Size([64, 3, 32])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        bias: bool = True,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if dropout != 0.0:
            raise ValueError(f"dropout must be 0 in SparseGATConv, got {dropout}")
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels),
                            ("heads", heads)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.concat = concat
        self.negative_slope = negative_slope
        self.add_self_loops = add_self_loops
        width = heads * out_channels if concat else out_channels
        self.lin = nn.Linear(in_channels, heads * out_channels, bias=False)
        self.res = nn.Linear(in_channels, width, bias=False) if residual else None
        self.att_src = nn.Parameter(torch.empty(1, heads, out_channels))
        self.att_dst = nn.Parameter(torch.empty(1, heads, out_channels))
        self.bias = nn.Parameter(torch.empty(width)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh parameters: Glorot's uniform distribution, zero bias."""
        nn.init.xavier_uniform_(self.lin.weight)
        if self.res is not None:
            nn.init.xavier_uniform_(self.res.weight)
        nn.init.xavier_uniform_(self.att_src)
        nn.init.xavier_uniform_(self.att_dst)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @staticmethod
    def graph(edge_index: Tensor, num_nodes: int, add_self_loops: bool = True) -> Graph:
        """The graph that :meth:`forward` builds from ``edge_index`` [2, E]; build it once."""
        if add_self_loops:
            loop = torch.arange(num_nodes, device=edge_index.device)
            kept = edge_index[:, edge_index[0] != edge_index[1]]
            edge_index = torch.cat([kept, loop.expand(2, -1)], 1)
        return Graph(edge_index, num_nodes, num_nodes)

    def forward(self, x: Tensor, graph: Graph | Tensor) -> Tensor:
        """Attend over ``graph``: a :class:`~tedg_fast.ops.Graph` or an ``edge_index`` [2, E].

        Raises:
            ValueError: ``x`` or ``graph`` has the wrong shape or an index out of range.
        """
        if x.dim() not in (2, 3) or x.shape[-1] != self.in_channels:
            raise ValueError(
                f"x must have shape [N, {self.in_channels}] or [B, N, {self.in_channels}], "
                f"got {list(x.shape)}"
            )
        if not isinstance(graph, Graph):
            graph = self.graph(graph, x.shape[-2], self.add_self_loops)
        batched = x if x.dim() == 3 else x.unsqueeze(0)
        features = self.lin(batched).unflatten(-1, (self.heads, self.out_channels))
        # a . (W x) = (W^T a) . x: the scores need no transformed features.
        weight = self.lin.weight.view(self.heads, self.out_channels, self.in_channels)
        score_src = batched @ torch.einsum("hc,hci->ih", self.att_src[0], weight)
        score_dst = batched @ torch.einsum("hc,hci->ih", self.att_dst[0], weight)
        out, _ = gat_attention(
            features, score_src, score_dst, graph, negative_slope=self.negative_slope
        )
        out = out.flatten(-2) if self.concat else out.mean(-2)
        if self.res is not None:
            out = out + self.res(batched)
        if self.bias is not None:
            out = out + self.bias
        return out if x.dim() == 3 else out.squeeze(0)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, heads={self.heads}"
