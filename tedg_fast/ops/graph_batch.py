"""Many graphs of different sizes as one batch, without padding."""

from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

from tedg_fast.ops._native import has_kernel
from tedg_fast.ops.graph import (
    _INT32_MAX,
    Graph,
    _build_by_sorting,
    _check_range,
    _integers,
    _unflatten,
)


class GraphBatch:
    """Directed graphs of any sizes, one after the other, immutable.

    The nodes of all graphs lie in one tensor, those of graph b from ``node_start[b]`` to
    ``node_start[b + 1] - 1``, and so do the edges. An edge names its ends by their numbers within
    their graph. Nodes that all graphs have in common, such as the words of a vocabulary, are stored
    once: the *shared* nodes, which are sources of edges only.

    Args:
        node_start: integer tensor [B+1], from 0 to the number of nodes N, never falling.
        edge_start: integer tensor [B+1], from 0 to the number of edges E, never falling.
        source: integer tensor [E], the number of each edge's source among the nodes of its graph;
            -1 - s for the shared node s.
        target: integer tensor [E], the number of each edge's target among the nodes of its graph.
        relation: optional integer tensor [E], the relation id (>= 0) of each edge.
        num_shared: number of shared nodes S.

    Attributes: the arguments, ``node_start`` and ``edge_start`` as int64, ``source``, ``target``
        and ``relation`` as int32; ``num_relations``: the largest relation id + 1, which selections
        keep.

    Raises:
        ValueError: an argument has the wrong shape, dtype or device, or an index out of range.

    Example:
        >>> import torch
        >>> from tedg_fast.ops import GraphBatch, gat_attention
        >>> # A path of three nodes; two nodes that each receive from one shared node.
        >>> batch = GraphBatch([0, 3, 5], [0, 2, 4], [0, 1, -1, -1], [1, 2, 0, 1], num_shared=1)
        >>> x = torch.randn(1, 5 + 1, 2, 4)  # all nodes, then the shared one
        >>> scores = torch.randn(1, 6, 2)
        >>> out, _ = gat_attention(x, scores, scores[:, :5], batch.graph)
        >>> out.shape
        torch.Size([1, 5, 2, 4])
        >>> batch.select(torch.tensor([1, 1, 0])).node_start
        tensor([0, 2, 4, 7])
    """

    node_start: Tensor
    edge_start: Tensor
    source: Tensor
    target: Tensor
    relation: Tensor | None
    num_shared: int
    num_relations: int

    def __init__(
        self,
        node_start: Tensor,
        edge_start: Tensor,
        source: Tensor,
        target: Tensor,
        relation: Tensor | None = None,
        num_shared: int = 0,
    ) -> None:
        if isinstance(num_shared, bool) or not isinstance(num_shared, int):
            raise ValueError(f"num_shared must be an int, got {type(num_shared).__name__}")
        if not 0 <= num_shared < _INT32_MAX:
            raise ValueError(f"num_shared must be in [0, 2**31 - 1), got {num_shared}")
        node_start = _starts("node_start", node_start, num_shared)
        edge_start = _starts("edge_start", edge_start)
        if edge_start.shape != node_start.shape:
            raise ValueError(
                f"edge_start must have shape {list(node_start.shape)} like node_start, "
                f"got {list(edge_start.shape)}"
            )
        count = int(edge_start[-1])
        edges = {"source": source, "target": target}
        if relation is not None:
            edges["relation"] = relation
        for name, value in edges.items():
            edges[name] = value = _integers(name, value)
            if value.shape != (count,):
                raise ValueError(
                    f"{name} must have shape [{count}], one number an edge, got {list(value.shape)}"
                )
        for name, value in {"edge_start": edge_start, **edges}.items():
            if value.device != node_start.device:
                raise ValueError(
                    f"{name} must be on {node_start.device} like node_start, got {value.device}"
                )
        graph = _segments(edge_start)
        size = node_start.diff()[graph]
        _check_ends("source", edges["source"], graph, size, -num_shared)
        _check_ends("target", edges["target"], graph, size, 0)
        num_relations = 0
        if relation is not None:
            _check_range("relation", edges["relation"], _INT32_MAX)
            num_relations = int(edges["relation"].max()) + 1 if count else 0
        self._fill(
            node_start=node_start,
            edge_start=edge_start,
            source=edges["source"].to(torch.int32),
            target=edges["target"].to(torch.int32),
            relation=None if relation is None else edges["relation"].to(torch.int32),
            num_shared=num_shared,
            num_relations=num_relations,
        )

    def _fill(self, **values: Tensor | int | None) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"GraphBatch is immutable, cannot set {name!r}; build a new one")

    def __repr__(self) -> str:
        return (
            f"GraphBatch(num_graphs={len(self)}, num_nodes={self.num_nodes}, "
            f"num_edges={self.num_edges}, num_shared={self.num_shared}, "
            f"num_relations={self.num_relations}, device={str(self.device)!r})"
        )

    @classmethod
    def from_edge_index(
        cls, edge_index: Tensor, node_start: Tensor, relation: Tensor | None = None
    ) -> "GraphBatch":
        """The batch whose nodes are numbered through, as PyTorch Geometric's ``Batch`` has them.

        Args:
            edge_index: integer tensor [2, E], sources and targets, the edges listed graph by
                graph: ``Batch.edge_index``.
            node_start: integer tensor [B+1]: ``Batch.ptr``.
            relation: optional integer tensor [E].

        Raises:
            ValueError: an argument does not fit, an edge leads from one graph to another, or the
                edges are not listed graph by graph.
        """
        node_start = _starts("node_start", node_start)
        edge_index = _integers("edge_index", edge_index)
        if edge_index.dim() != 2 or edge_index.shape[0] != 2:
            raise ValueError(f"edge_index must have shape [2, E], got {list(edge_index.shape)}")
        if edge_index.device != node_start.device:
            raise ValueError(
                f"edge_index must be on {node_start.device} like node_start, "
                f"got {edge_index.device}"
            )
        _check_range("edge_index", edge_index, int(node_start[-1]))
        source_graph, graph = torch.bucketize(edge_index, node_start, right=True) - 1
        crossing = (source_graph != graph).nonzero()
        if len(crossing):
            edge = int(crossing[0])
            raise ValueError(
                f"edge_index must stay within a graph, edge {edge} leads from graph "
                f"{int(source_graph[edge])} to graph {int(graph[edge])}"
            )
        if (graph.diff() < 0).any():
            raise ValueError("edge_index must list the edges graph by graph")
        count = torch.bincount(graph, minlength=len(node_start) - 1)
        source, target = edge_index - node_start[graph]
        return cls(node_start, pad(count.cumsum(0), (1, 0)), source, target, relation)

    def __len__(self) -> int:
        """The number of graphs B."""
        return len(self.node_start) - 1

    @property
    def num_nodes(self) -> int:
        """How many nodes all graphs have together, without the shared ones."""
        return int(self.node_start[-1])

    @property
    def num_edges(self) -> int:
        """How many edges all graphs have together."""
        return len(self.source)

    @property
    def device(self) -> torch.device:
        """The device that all of the batch's tensors are on."""
        return self.node_start.device

    @cached_property
    def sample(self) -> Tensor:
        """int64 [N], the number of each node's graph."""
        return _segments(self.node_start)

    @cached_property
    def graph(self) -> Graph:
        """All graphs as one, which the attention ops walk with a batch of one sample.

        Its targets are the nodes of all graphs in their order; its sources are those and then the
        shared nodes. Edges keep their order.
        """
        nodes, shared = self.num_nodes, self.num_shared
        parts = self.node_start, self.edge_start, self.source, self.target, nodes, shared
        if has_kernel(self.device, "batch_graph"):
            arrays = torch.ops.tedg.batch_graph.default(*parts)
        else:
            arrays = _batch_by_sorting(*parts)
        relation = None if self.relation is None else self.relation.index_select(0, arrays[2])
        sizes = nodes + shared, nodes, self.num_edges
        return _unflatten([*arrays, relation], (*sizes, self.num_relations))

    def nodes_of(self, rows: Tensor) -> Tensor:
        """int64, the numbers of the nodes of ``select(rows)`` among those of this batch."""
        return _elements(self.node_start, self._rows(rows))[1]

    def edges_of(self, rows: Tensor) -> Tensor:
        """int64, the numbers of the edges of ``select(rows)`` among those of this batch."""
        return _elements(self.edge_start, self._rows(rows))[1]

    def select(self, rows: Tensor) -> "GraphBatch":
        """The batch of some of the graphs, with the same shared nodes.

        Args:
            rows: integer tensor [R], numbers of graphs in any order, repeats allowed.

        Raises:
            ValueError: ``rows`` has the wrong shape, dtype or device, or a number out of range.
        """
        rows = self._rows(rows)
        node_start, _ = _elements(self.node_start, rows)
        edge_start, edge = _elements(self.edge_start, rows)
        chosen = object.__new__(GraphBatch)
        chosen._fill(
            node_start=node_start,
            edge_start=edge_start,
            source=self.source.index_select(0, edge),
            target=self.target.index_select(0, edge),
            relation=None if self.relation is None else self.relation.index_select(0, edge),
            num_shared=self.num_shared,
            num_relations=self.num_relations,
        )
        return chosen

    def to(self, device: torch.device | str) -> "GraphBatch":
        """The same batch on ``device``; the batch itself if it is there already."""
        if self.node_start.to(device) is self.node_start:
            return self
        moved = object.__new__(GraphBatch)
        names = ("node_start", "edge_start", "source", "target", "relation")
        values = {name: getattr(self, name) for name in names}
        moved._fill(
            **{name: None if v is None else v.to(device) for name, v in values.items()},
            num_shared=self.num_shared,
            num_relations=self.num_relations,
        )
        return moved

    def _rows(self, rows: Tensor) -> Tensor:
        rows = _integers("rows", rows)
        if rows.dim() != 1:
            raise ValueError(f"rows must have shape [R], got {list(rows.shape)}")
        if rows.device != self.device:
            raise ValueError(f"rows must be on {self.device} like the batch, got {rows.device}")
        _check_range("rows", rows, len(self))
        return rows


def _batch_by_sorting(
    node_start: Tensor,
    edge_start: Tensor,
    source: Tensor,
    target: Tensor,
    num_nodes: int,
    num_shared: int,
) -> tuple[Tensor, ...]:
    """The definition of ``torch.ops.tedg.batch_graph``."""
    first = node_start[:-1][_segments(edge_start)]
    source = torch.where(source < 0, num_nodes - 1 - source.long(), source + first)
    index = torch.stack([source, target + first])
    return _build_by_sorting(index, num_nodes + num_shared, num_nodes)


def _starts(name: str, value: Tensor, others: int = 0) -> Tensor:
    """Where each graph's part begins and the last one ends, as int64 [B+1]."""
    value = _integers(name, value)
    if value.dim() != 1 or len(value) < 1:
        raise ValueError(f"{name} must have shape [B+1], got {list(value.shape)}")
    first, last = int(value[0]), int(value[-1])
    if first != 0 or bool((value.diff() < 0).any()):
        raise ValueError(f"{name} must begin at 0 and never fall")
    if last + others >= _INT32_MAX:
        raise ValueError(f"{name} must end below 2**31 - 1, got {last + others}")
    return value


def _segments(start: Tensor) -> Tensor:
    """int64, for each element the number of the part that it lies in."""
    return torch.repeat_interleave(start.diff())


def _elements(start: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """The starts of the chosen parts, one after the other, and the numbers of their elements."""
    count = start.diff()[rows]
    chosen = pad(count.cumsum(0), (1, 0))
    shift = torch.repeat_interleave(start[rows] - chosen[:-1], count)
    return chosen, torch.arange(len(shift), device=start.device) + shift


def _check_ends(name: str, node: Tensor, graph: Tensor, size: Tensor, low: int) -> None:
    """Every edge's node is one of its graph's, or from ``low`` on."""
    wrong = (node < low) | (node >= size)
    if wrong.any():
        edge = int(wrong.nonzero()[0])
        raise ValueError(
            f"{name} must be in [{low}, {int(size[edge])}) in graph {int(graph[edge])}, "
            f"got {int(node[edge])} at edge {edge}"
        )
