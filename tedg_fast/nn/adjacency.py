"""Adjacencies in all the forms that PyTorch Geometric takes, as the edges that a layer walks.

An ``edge_index`` [2, E] has the sources in row 0 and the targets in row 1. A sparse matrix is the
transposed adjacency [targets, sources]: torch's own (COO or CSR) or torch-sparse's
``SparseTensor``. A :class:`~tedg_fast.ops.Graph` is walked as it is.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from tedg_fast.ops import Graph
from tedg_fast.ops.graph import build

REDUCTIONS = {
    "add": "sum", "sum": "sum", "mean": "mean", "min": "amin", "max": "amax", "mul": "prod",
}  # fmt: skip


class Edges(NamedTuple):
    """What an adjacency lists."""

    index: Tensor  # type: ignore[assignment]  # PyTorch Geometric's name, and also a tuple's method
    """[2, E] source and target of each edge."""
    attr: Tensor | None = None
    """The values of a sparse matrix, where PyTorch Geometric takes them as edge features."""
    size: tuple[int, int] | None = None
    """Numbers of sources and targets, where the adjacency knows them."""


class Adjacency:
    """The edges that a layer walks: the caller's, or those with every self-loop replaced.

    Args:
        graph: the edges walked, by receiving node.
        given: [2, E] the caller's edges; None for those of ``graph``.
        index: [2, E'] source and target of each edge walked; None for those of ``graph``.
        picked: which of the caller's edges, followed by the loops, are walked; None for all.
        num_loops: so many self-loops replaced the caller's, one at each of the first nodes.
    """

    def __init__(
        self,
        graph: Graph,
        given: Tensor | None = None,
        index: Tensor | None = None,
        picked: Tensor | None = None,
        num_loops: int = 0,
    ) -> None:
        self.graph, self.given, self.index = graph, given, index
        self.picked, self.num_loops = picked, num_loops

    @property
    def num_given(self) -> int:
        """How many edges the caller gave."""
        return self.graph.num_edges if self.given is None else self.given.shape[1]

    @property
    def edge_index(self) -> Tensor:
        """[2, E'] source and target of each edge walked: the caller's, then the loops."""
        return index_of(self.graph) if self.index is None else self.index

    def attributes(self, edge_attr: Tensor, fill_value: float | Tensor | str) -> Tensor:
        """``edge_attr`` [E, D] of the caller's edges, as that of the edges walked.

        A self-loop gets ``fill_value``, or the reduction of that name over the attributes of the
        caller's other edges that end at its node.
        """
        if self.picked is None:
            return edge_attr
        shape = (self.num_loops, *edge_attr.shape[1:])
        if isinstance(fill_value, str):
            loops = self._reduce(edge_attr, fill_value)
        elif isinstance(fill_value, Tensor):
            loops = fill_value.to(edge_attr).expand(shape)
        else:
            loops = edge_attr.new_full(shape, fill_value)
        return torch.cat([edge_attr, loops])[self.picked]

    def _reduce(self, value: Tensor, name: str) -> Tensor:
        assert self.given is not None  # loops have taken the place of the caller's
        source, target = self.given
        kept = source != target
        value, target = value[kept], target[kept].long()
        # Targets without an edge keep this: 0, or 1 for a product.
        rows = max(self.graph.num_sources, self.graph.num_targets)
        out = value.new_full((rows, *value.shape[1:]), 1.0 if name == "mul" else 0.0)
        index = target.view(-1, *(1,) * (value.dim() - 1)).expand_as(value)
        out = out.scatter_reduce(0, index, value, REDUCTIONS[name], include_self=False)
        return out[: self.num_loops]


def replace_loops(index: Tensor, num_loops: int | None, sort: bool) -> tuple[Tensor, Tensor | None]:
    """The edges walked, and which of the edges followed by the loops they are (None for all)."""
    if num_loops is None:
        return index, None
    loop = torch.arange(num_loops, device=index.device, dtype=index.dtype)
    picked = torch.cat([index[0] != index[1], loop >= 0]).nonzero().view(-1)
    index = torch.cat([index, loop.expand(2, -1)], 1)[:, picked]
    if sort:
        order = torch.argsort(index[1] * (1 + index.max()) + index[0])
        return index[:, order], picked[order]
    return index, picked


def index_of(graph: Graph) -> Tensor:
    """The ``edge_index`` [2, E] that a Graph was built from."""
    row = torch.repeat_interleave(graph.rowptr.diff(), output_size=graph.num_edges)
    index = torch.empty(2, graph.num_edges, dtype=torch.int64, device=graph.device)
    index[:, graph.edge_id.long()] = torch.stack([graph.col.long(), row])
    return index


def num_targets(adjacency: Any) -> int | None:
    """How many targets a Graph or a sparse matrix has; an ``edge_index`` does not know."""
    if isinstance(adjacency, Graph):
        return adjacency.num_targets
    # Of something else altogether, edges_of will say what is wrong.
    known = isinstance(adjacency, Tensor) or is_sparse_tensor(adjacency)
    return adjacency.size(0) if known and is_sparse(adjacency) else None


def is_sparse_tensor(adjacency: Any) -> bool:
    """Whether it is torch-sparse's type; that package need not be installed."""
    return type(adjacency).__module__.startswith("torch_sparse")


def is_sparse(adjacency: Any) -> bool:
    """Whether it is a sparse matrix [targets, sources] of any kind."""
    return not (isinstance(adjacency, Tensor) and adjacency.layout == torch.strided)


def edges_of(adjacency: Any) -> Edges:
    """The edges of an ``edge_index`` or a sparse matrix.

    Raises:
        ValueError: it is neither.
    """
    if not is_sparse(adjacency):
        if adjacency.dim() != 2 or adjacency.shape[0] != 2:
            raise ValueError(f"edge_index must have shape [2, E], got {list(adjacency.shape)}")
        # torch_geometric.EdgeIndex is a tensor with more to it; its numbers are enough.
        return Edges(adjacency.as_tensor() if hasattr(adjacency, "as_tensor") else adjacency)
    if is_sparse_tensor(adjacency):
        row, col, value = adjacency.coo()
        return Edges(torch.stack([col, row]), value, (adjacency.size(1), adjacency.size(0)))
    kind = adjacency.layout if isinstance(adjacency, Tensor) else type(adjacency).__name__
    if kind == torch.sparse_coo:
        adjacency = adjacency.coalesce()
        (row, col), value = adjacency.indices(), adjacency.values()
    elif kind == torch.sparse_csr:
        col, value = adjacency.col_indices(), adjacency.values()
        row = torch.repeat_interleave(adjacency.crow_indices().diff(), output_size=len(col))
    else:
        raise ValueError(
            "edge_index must be an integer tensor [2, E], a sparse COO or CSR matrix "
            f"[targets, sources], a SparseTensor, a Graph or a GraphBatch, got {kind}"
        )
    size = (adjacency.shape[1], adjacency.shape[0])
    return Edges(torch.stack([col, row]), value if value.dim() > 1 else None, size)


# Graphs by the adjacency they were built from, as long as that lives. It is compared with what it
# held then: a loader may write the next batch into the same tensor.
_built: WeakIdKeyDictionary = WeakIdKeyDictionary()


def walk(
    adjacency: Any, edges: Edges, size: tuple[int, int], num_loops: int | None, reverse: bool
) -> Adjacency:
    """The edges to walk between ``size`` = (sources, targets) nodes, built once an adjacency.

    Args:
        adjacency: what ``edges`` were taken from.
        num_loops: as in :class:`Adjacency`.
        reverse: messages flow from row 1 of an ``edge_index`` to row 0.

    Raises:
        ValueError: an index is out of range.
    """
    num_sources, num_targets = size
    key = (num_sources, num_targets, num_loops, reverse)
    tracing = torch.compiler.is_compiling()  # what is traced keeps nothing from call to call
    if not tracing:
        known = _built.setdefault(adjacency, {})
        found = known.get(key)
        if found is not None and _same(found.given, edges.index):
            return found
    given = edges.index.detach().clone()
    index, picked = replace_loops(given, num_loops, sort=edges.size is not None)
    ends = index.flip(0) if reverse else index
    graph = build(ends.long(), *size) if tracing else Graph(ends, *size)
    made = Adjacency(graph, given, index, picked, num_loops or 0)
    if not tracing:
        known[key] = made
    return made


def _same(a: Tensor, b: Tensor) -> bool:
    return a.device == b.device and a.dtype == b.dtype and torch.equal(a, b)


def labelled(adjacency: Any, walked: Adjacency, weight: Tensor) -> Any:
    """Edges and their weights [E, H] in the form that the adjacency came in, as
    ``return_attention_weights`` of PyTorch Geometric gives them.

    ``(edge_index, weight)`` for an ``edge_index`` or a Graph, ``(matrix, weight)`` for torch's
    sparse matrices, and for a ``SparseTensor`` that type, holding the weights.
    """
    index = walked.edge_index
    if isinstance(adjacency, Graph) or not is_sparse(adjacency):
        return index, weight
    if is_sparse_tensor(adjacency):
        matrix = adjacency if walked.picked is None else adjacency.set_diag()
        return matrix.set_value(weight, layout="coo")
    size = (*adjacency.shape[:2], *weight.shape[1:])
    if adjacency.layout == torch.sparse_coo:
        return torch.sparse_coo_tensor(index.flip(0), weight, size, is_coalesced=True), weight
    rows = torch.bincount(index[1], minlength=size[0])
    crow = torch.cat([rows.new_zeros(1), rows.cumsum(0)])
    return torch.sparse_csr_tensor(crow, index[0], weight, size), weight
