"""What the graph attention layers share: arguments, adjacencies, the form of the output."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tedg_fast.nn.adjacency import (
    REDUCTIONS,
    Adjacency,
    edges_of,
    is_sparse_tensor,
    labelled,
    num_targets,
    walk,
)
from tedg_fast.nn.linear import linear
from tedg_fast.nn.message_passing import MessagePassing, wants_messages
from tedg_fast.ops import Graph, GraphBatch, gat_attention, gat_attention_weights
from tedg_fast.ops.reference import accumulate_dtype


class Scores(NamedTuple):
    """What an edge is scored by, as :func:`tedg_fast.ops.gat_attention` takes it."""

    score_src: Tensor
    score_dst: Tensor
    score_edge: Tensor | None
    negative_slope: float


class Nodes(NamedTuple):
    """One end of the edges: ``features`` [.., N, H, C], what ``lin`` makes of ``x`` [.., N, F]."""

    x: Tensor
    lin: nn.Module
    features: Tensor

    def as_batch(self) -> "Nodes":
        return Nodes(self.x.unsqueeze(0), self.lin, self.features.unsqueeze(0))

    def are(self, other: "Nodes | None") -> bool:
        """Whether ``other`` is the same end; of tuples, torch 2.10 compiles no ``is``."""
        return other is not None and other.features is self.features


class AttentionConv(MessagePassing):
    """Base of the attention layers; a subclass says how an edge is scored.

    A subclass defines ``_scores``, the scores that the fused op needs, and ``_pass_messages``,
    which computes single messages by PyTorch Geometric's code where these are needed.
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int,
        concat: bool,
        negative_slope: float,
        dropout: float,
        add_self_loops: bool,
        edge_dim: int | None,
        fill_value: float | Tensor | str,
        residual: bool,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(node_dim=0, **kwargs)
        widths = in_channels if isinstance(in_channels, tuple | list) else (in_channels,)
        for name, value, lowest in (
            *(("in_channels", width, -1) for width in widths),
            ("out_channels", out_channels, 1),
            ("heads", heads, 1),
            *([] if edge_dim is None else [("edge_dim", edge_dim, -1)]),
        ):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"{name} must be an int, got {value!r}")
            if value < lowest or value == 0:
                lazy = " or -1 for the width of the first input" if lowest == -1 else ""
                raise ValueError(f"{name} must be at least 1{lazy}, got {value}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be in [0, 1], got {dropout}")
        if isinstance(fill_value, str) and fill_value not in REDUCTIONS:
            raise ValueError(
                f"fill_value must be a number, a tensor or one of {', '.join(REDUCTIONS)}, "
                f"got {fill_value!r}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.concat = concat
        self.negative_slope = negative_slope
        self.dropout = dropout
        self.add_self_loops = add_self_loops
        self.edge_dim = edge_dim
        self.fill_value = fill_value
        self.residual = residual

    def _add_output(self, bias: bool) -> None:
        """The parameters that come after those of the scores, in PyTorch Geometric's order."""
        width = self.heads * self.out_channels
        self.lin_edge = None if self.edge_dim is None else linear(self.edge_dim, width)
        width = width if self.concat else self.out_channels
        if self.residual:
            of = self.in_channels if isinstance(self.in_channels, int) else self.in_channels[1]
            self.res = linear(of, width)
        else:
            self.register_parameter("res", None)
        if bias:
            self.bias = nn.Parameter(torch.empty(width))
        else:
            self.register_parameter("bias", None)

    def graph(self, edge_index: Any, size: int | tuple[int, int]) -> Graph:
        """The Graph that the layer walks for ``edge_index``; it may be passed in its place.

        Args:
            edge_index: any adjacency that ``forward`` takes.
            size: number of nodes, or numbers of sources and targets.
        """
        sources, targets = (size, size) if isinstance(size, int) else size
        return self._walk(edge_index, (sources, targets))[0].graph

    def _run(
        self,
        x: Tensor | tuple[Tensor, Tensor | None],
        lin_src: nn.Module,
        lin_dst: nn.Module,
        edge_index: Any,
        edge_attr: Tensor | None,
        size: tuple[int, int] | None,
        return_attention_weights: bool | None,
    ) -> Any:
        if isinstance(edge_index, GraphBatch):
            edge_index = edge_index.graph
        source, target, res = self._nodes(x, lin_src, lin_dst)
        size = self._size(source, target, edge_index, size)
        if isinstance(edge_index, Graph):
            walked, held = self._as_it_is(edge_index, size), None
        else:
            walked, held = self._walk(edge_index, size)
        edge_attr = self._edge_attr(edge_attr, held, walked)

        watched, is_batch = wants_messages(self), source.features.dim() == 4
        if watched:
            self._check_watched(source, target)
            out, weight = self._pass_messages(source, target, walked, edge_attr, size)
        else:
            ends = (source, target) if is_batch else self._as_batch(source, target)
            scores = self._scores(*ends, walked.graph, edge_attr)
            features, weighted = ends[0].features, bool(return_attention_weights)
            out, weight = self._attend(features, scores, walked, weighted)
            if not is_batch and weight is not None:
                weight = weight.squeeze(0)
        if not self.concat:
            out = out.mean(-2)
        for term in (res, self.bias):
            if term is None:
                continue
            if self.concat:
                term = term.unflatten(-1, (self.heads, self.out_channels))
            # In place where nobody else has seen the output: a new one costs more than the sum.
            # Before there is a view of it, through which the gradient would be copied.
            fresh = not watched and out.dtype == term.dtype
            out = out.add_(term) if fresh else out + term
        if not watched and not is_batch:
            out = out.squeeze(0)
        if self.concat:
            out = out.flatten(-2)
        return (out, labelled(edge_index, walked, weight)) if return_attention_weights else out

    def _nodes(
        self, x: Tensor | tuple[Tensor, Tensor | None], lin_src: nn.Module, lin_dst: nn.Module
    ) -> tuple[Nodes, Nodes | None, Tensor | None]:
        """The sources and the targets, and the residual of the targets."""
        source, target = (x, x) if isinstance(x, Tensor) else x
        for name, value in (("x", source), ("x[1]", target)):
            if value is not None and value.dim() not in (2, 3):
                raise ValueError(
                    f"{name} must have shape [N, F], or [B, N, F] for a batch over one graph, "
                    f"got {list(value.shape)}"
                )
        _require_width("x", source, lin_src, "in_channels")
        if target is not None:
            _require_width("x[1]", target, lin_dst, "in_channels")
        res = None if self.res is None or target is None else self.res(target)
        heads = (self.heads, self.out_channels)
        sources = Nodes(source, lin_src, lin_src(source).unflatten(-1, heads))
        if target is None:
            return sources, None, res
        if target is source and lin_dst is lin_src:
            return sources, sources, res
        return sources, Nodes(target, lin_dst, lin_dst(target).unflatten(-1, heads)), res

    def _size(
        self, source: Nodes, target: Nodes | None, edge_index: Any, size: tuple[int, int] | None
    ) -> tuple[int, int]:
        """Numbers of sources and targets: of the features, and where these say nothing, given."""
        found = [end if end is None else end.features.shape[-3] for end in (source, target)]
        if size is not None:
            for place, name in enumerate(("sources", "targets")):
                if found[place] is None:
                    found[place] = size[place]
                elif size[place] is not None and size[place] != found[place]:
                    raise ValueError(
                        f"size must give {found[place]} {name} like x, got {tuple(size)}"
                    )
        if found[1] is None:
            found[1] = num_targets(edge_index)
        sources = source.features.shape[-3]
        return sources, sources if found[1] is None else found[1]

    def _walk(self, edge_index: Any, size: tuple[int, int]) -> tuple[Adjacency, Tensor | None]:
        """The edges to walk between so many nodes, and edge features that came with them."""
        edges = edges_of(edge_index)
        self._check_size(edges.size, size)
        if self.add_self_loops and self.edge_dim is not None and is_sparse_tensor(edge_index):
            raise NotImplementedError(
                "a SparseTensor cannot have edge features and self-loops added: pass its "
                "edge_index and edge_attr instead, or add_self_loops=False"
            )
        num_loops = min(size) if self.add_self_loops else None
        reverse = self.flow == "target_to_source"
        return walk(edge_index, edges, size, num_loops, reverse), edges.attr

    def _as_it_is(self, graph: Graph, size: tuple[int, int]) -> Adjacency:
        self._check_size((graph.num_sources, graph.num_targets), size)
        return Adjacency(graph)

    def _check_size(self, own: tuple[int, int] | None, size: tuple[int, int]) -> None:
        """Refuse an adjacency with a size and a direction of its own that does not fit."""
        if own is None:
            return
        if self.flow != "source_to_target":
            raise ValueError(
                "edge_index must be a tensor [2, E] for flow 'target_to_source': a sparse matrix "
                "and a Graph have a direction of their own, transpose them instead"
            )
        if own != size:
            raise ValueError(
                f"edge_index is for {own[0]} sources and {own[1]} targets, "
                f"x for {size[0]} and {size[1]}"
            )

    def _edge_attr(
        self, edge_attr: Tensor | None, held: Tensor | None, walked: Adjacency
    ) -> Tensor | None:
        """Features [E, D] of the edges walked: those given, else those a sparse matrix held."""
        if self.lin_edge is None:
            if edge_attr is not None:
                raise ValueError("edge_attr needs a layer with edge_dim, this one has none")
            return None
        edge_attr = held if edge_attr is None else edge_attr
        if edge_attr is None:
            return None
        if edge_attr.dim() == 1:
            edge_attr = edge_attr.unsqueeze(-1)
        if edge_attr.dim() != 2 or edge_attr.shape[0] != walked.num_given:
            raise ValueError(
                f"edge_attr must have shape [{walked.num_given}, D], one row an edge, "
                f"got {list(edge_attr.shape)}"
            )
        _require_width("edge_attr", edge_attr, self.lin_edge, "edge_dim")
        return walked.attributes(edge_attr, self.fill_value)

    def _check_watched(self, source: Nodes, target: Nodes | None) -> None:
        """Refuse what PyTorch Geometric cannot pass message by message."""
        if source.features.dim() != 3:
            raise ValueError(
                "x must have shape [N, F] where hooks, explainers or aggr want single messages, "
                "got a batch"
            )
        if self.flow == "target_to_source" and target is not source:
            raise ValueError(
                "flow must be 'source_to_target' where hooks, explainers or aggr want single "
                "messages of a bipartite graph: pass edge_index.flip(0) instead"
            )

    def _edge_features(self, edge_attr: Tensor) -> Tensor:
        """[E, H, C], the transformed features of the edges."""
        assert self.lin_edge is not None  # without it there are no features
        return self.lin_edge(edge_attr).unflatten(-1, (self.heads, self.out_channels))

    def message(self, x_j: Tensor, alpha: Tensor) -> Tensor:
        """The message of each edge [E, H, C], where PyTorch Geometric's tools ask for it."""
        return alpha.unsqueeze(-1) * x_j

    @staticmethod
    def _as_batch(source: Nodes, target: Nodes | None) -> tuple[Nodes, Nodes | None]:
        batch = source.as_batch()
        if source.are(target):
            return batch, batch
        return batch, None if target is None else target.as_batch()

    def _attend(
        self, source: Tensor, scores: Scores, walked: Adjacency, with_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Output [B, M, H, C] and, if asked for, the weights [B, E, H] that gave it."""
        options: dict[str, Any] = scores._asdict()
        if self.training and self.dropout > 0:
            seed = torch.randint(2**63 - 1, (), device=source.device)
            options |= {"dropout_p": self.dropout, "dropout_seed": seed}
        out, _ = gat_attention(source, graph=walked.graph, **options)
        if not with_weights:
            return out, None
        sender, receiver = walked.edge_index
        if self.flow == "target_to_source":
            sender, receiver = receiver, sender
        score = scores.score_src[:, sender] + scores.score_dst[:, receiver]
        if scores.score_edge is not None:
            score = score + scores.score_edge
        score = F.leaky_relu(score, scores.negative_slope)
        weight = edge_softmax(score, receiver, walked.graph.num_targets)
        if "dropout_p" in options:
            dropped = gat_attention_weights(graph=walked.graph, **options) == 0
            weight = weight.masked_fill(dropped, 0) / (1 - self.dropout if self.dropout < 1 else 1)
        return out, weight.to(source.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, {self.out_channels}, heads={self.heads})"


def _require_width(name: str, value: Tensor, lin: nn.Module, argument: str) -> None:
    """Refuse features [.., F] that ``lin`` cannot take; the layer's ``argument`` says what F is."""
    width = getattr(lin, "in_features", 0)  # 0 before the first input, or of a module put in place
    if width and value.shape[-1] != width:
        raise ValueError(
            f"{name} must have {width} features a row, the layer's {argument}, "
            f"got shape {list(value.shape)}"
        )


def edge_softmax(score: Tensor, target: Tensor, num_targets: int | None) -> Tensor:
    """Softmax of ``score`` [.., E, H] over the edges of each target [E]; unlike the weights of the
    fused op, a gradient flows through it."""
    wide = score.to(accumulate_dtype(score.dtype))
    shape = (*score.shape[:-2], num_targets, score.shape[-1])
    index = target.unsqueeze(-1).expand_as(score)
    top = wide.new_full(shape, -torch.inf).scatter_reduce(-2, index, wide.detach(), "amax")
    # A target whose scores are all -inf gives weights of 0, as the kernels do.
    top = top.masked_fill(top == -torch.inf, 0)
    weight = torch.exp(wide - top.gather(-2, index))
    total = torch.zeros_like(top).scatter_add(-2, index, weight)
    return (weight / total.masked_fill(total == 0, 1).gather(-2, index)).to(score.dtype)
