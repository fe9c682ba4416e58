"""The static graph that the attention ops walk."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from tedg_fast.ops._native import has_kernel

_INT32_MAX = 2**31 - 1
_TENSORS = ("rowptr", "col", "edge_id", "t_rowptr", "t_target", "t_edge", "relation")
_COUNTS = ("num_sources", "num_targets", "num_edges", "num_relations")


class Graph:
    """An immutable directed graph: compressed rows by target, and their transpose.

    Build it once and use it for any number of samples. Edges of one row keep the order in which
    ``edge_index`` lists them (the sort is stable), so sums over a row always add in the same
    order.

    Args:
        edge_index: integer tensor [2, E]; row 0 the source, row 1 the target of each edge, in any
            order, duplicates allowed (each counts). A list or numpy array is accepted.
        num_sources: number of source nodes N; sources are numbered 0 to N-1.
        num_targets: number of target nodes M; targets without an edge are allowed.
        relation: optional integer tensor [E], the relation id (>= 0) of each edge, which picks
            the row of ``edge_bias`` in :func:`tedg_fast.ops.gat_attention`.

    All tensors are int32, on ``device``.

    Attributes:
        rowptr: [M+1]; the edges of target i are the positions rowptr[i] to rowptr[i+1]-1.
        col: [E], the source at each position.
        edge_id: [E], the column of ``edge_index`` that each position came from.
        t_rowptr, t_target, t_edge: [N+1], [E], [E], the transpose: rows by source, the target of
            each entry, and the position of that edge in ``col``.
        relation: [E], the relation id at each position, or None; ``num_relations`` is the largest
            one + 1.

    Raises:
        ValueError: edge_index or relation has the wrong shape, dtype or an index out of range.
    """

    num_sources: int
    num_targets: int
    num_edges: int
    num_relations: int
    rowptr: Tensor
    col: Tensor
    edge_id: Tensor
    t_rowptr: Tensor
    t_target: Tensor
    t_edge: Tensor
    relation: Tensor | None

    def __init__(
        self,
        edge_index: Tensor,
        num_sources: int,
        num_targets: int,
        relation: Tensor | None = None,
    ) -> None:
        for name, count in (("num_sources", num_sources), ("num_targets", num_targets)):
            if isinstance(count, bool) or not isinstance(count, int):
                raise ValueError(f"{name} must be an int, got {type(count).__name__}")
            if not 0 <= count < _INT32_MAX:
                raise ValueError(f"{name} must be in [0, 2**31 - 1), got {count}")
        edge_index = _integers("edge_index", edge_index)
        if edge_index.dim() != 2 or edge_index.shape[0] != 2:
            raise ValueError(f"edge_index must have shape [2, E], got {list(edge_index.shape)}")
        num_edges = edge_index.shape[1]
        if num_edges >= _INT32_MAX:
            raise ValueError(f"edge_index must have fewer than 2**31 - 1 edges, got {num_edges}")
        _check_range("edge_index[0] (sources)", edge_index[0], num_sources)
        _check_range("edge_index[1] (targets)", edge_index[1], num_targets)
        arrays = _arrays(edge_index, num_sources, num_targets)
        tensors = dict(zip(_TENSORS, arrays, strict=False))
        num_relations = 0
        if relation is not None:
            relation = _integers("relation", relation)
            if relation.shape != (num_edges,):
                raise ValueError(
                    f"relation must have shape [{num_edges}] (one id an edge), "
                    f"got {list(relation.shape)}"
                )
            if relation.device != edge_index.device:
                raise ValueError(
                    f"relation must be on {edge_index.device} like edge_index, "
                    f"got {relation.device}"
                )
            _check_range("relation", relation, _INT32_MAX)
            num_relations = int(relation.max()) + 1 if num_edges else 0
            tensors["relation"] = relation[tensors["edge_id"].long()].to(torch.int32)
        self._fill(
            tensors,
            num_sources=num_sources,
            num_targets=num_targets,
            num_edges=num_edges,
            num_relations=num_relations,
        )

    def _fill(self, tensors: dict[str, Tensor], **counts: int) -> None:
        values = {**{name: tensors.get(name) for name in _TENSORS}, **counts}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Graph is immutable, cannot set {name!r}; build a new Graph")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Graph is immutable, cannot delete {name!r}")

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return (
            f"Graph(num_sources={self.num_sources}, num_targets={self.num_targets}, "
            f"num_edges={self.num_edges}, num_relations={self.num_relations}, "
            f"device={str(self.device)!r})"
        )

    @property
    def device(self) -> torch.device:
        """The device that all of the graph's tensors are on."""
        return self.col.device

    def to(self, device: torch.device | str) -> "Graph":
        """The same graph on ``device``; the graph itself if it is there already."""
        if self.col.to(device) is self.col:
            return self
        tensors, counts = _flatten(self)
        return _unflatten([None if t is None else t.to(device) for t in tensors], counts)


def stored(name: str, tensor: Tensor) -> None:
    """The memory of ``tensor`` is there, before PyTorch reads it without looking."""
    if torch.compiler.is_compiling() or tensor.numel() == 0:
        return
    last = tensor.storage_offset()
    last += sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    wanted = (last + 1) * tensor.element_size()
    try:
        held = tensor.untyped_storage().nbytes()
    except NotImplementedError:  # a wrapper of torch.func has none, what it wraps has
        return
    if held < wanted:
        raise ValueError(
            f"{name} must have its memory, but its storage was freed or cut to {held} of "
            f"{wanted} bytes"
        )


def _integers(name: str, value: object) -> Tensor:
    """``value`` as an int64 tensor, refusing what would have to be rounded."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must hold integers, got {type(value).__name__}") from error
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} must be a dense tensor, got layout {tensor.layout}")
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        if tensor.numel():
            raise ValueError(f"{name} must hold integers, got dtype {tensor.dtype}")
    stored(name, tensor)
    return tensor.detach().to(torch.int64)


def _check_range(name: str, index: Tensor, size: int) -> None:
    if index.numel() == 0:
        return
    low, high = map(int, index.aminmax())
    if low < 0 or high >= size:
        worst = low if low < 0 else high
        raise ValueError(f"{name} must be in [0, {size}), got {worst}")


def build(edge_index: Tensor, num_sources: int, num_targets: int) -> Graph:
    """The Graph of an int64 ``edge_index`` [2, E], as what is traced can build it.

    Tracing cannot look at the indices: those out of range are refused when it runs.
    """
    if not has_kernel(edge_index.device, "build_graph"):
        limits = torch.tensor([[num_sources], [num_targets]], device=edge_index.device)
        fits = (edge_index >= 0) & (edge_index < limits)
        torch._assert_async(fits.all(), "edge_index must be below the numbers of nodes")
    arrays = _arrays(edge_index, num_sources, num_targets)
    return _unflatten([*arrays, None], (num_sources, num_targets, edge_index.shape[1], 0))


def _arrays(edge_index: Tensor, num_sources: int, num_targets: int) -> tuple[Tensor, ...]:
    if has_kernel(edge_index.device, "build_graph"):
        return torch.ops.tedg.build_graph.default(edge_index, num_sources, num_targets)
    return _build_by_sorting(edge_index, num_sources, num_targets)


def _build_by_sorting(
    edge_index: Tensor, num_sources: int, num_targets: int
) -> tuple[Tensor, ...]:
    """The definition of ``torch.ops.tedg.build_graph``."""
    source, target = edge_index
    edge_id = torch.argsort(target, stable=True)
    t_edge = torch.argsort(source[edge_id], stable=True)
    return tuple(
        array.to(torch.int32)
        for array in (
            _row_pointers(target, num_targets),
            source[edge_id],
            edge_id,
            _row_pointers(source, num_sources),
            target[edge_id][t_edge],
            t_edge,
        )
    )


def _row_pointers(row: Tensor, num_rows: int) -> Tensor:
    return torch.nn.functional.pad(torch.bincount(row, minlength=num_rows).cumsum(0), (1, 0))


def _flatten(graph: Graph) -> tuple[list[Tensor | None], tuple[int, ...]]:
    return [getattr(graph, name) for name in _TENSORS], tuple(
        getattr(graph, name) for name in _COUNTS
    )


def _flatten_with_keys(graph: Graph) -> tuple[list[tuple[Any, Tensor | None]], tuple[int, ...]]:
    tensors, counts = _flatten(graph)
    keys = map(torch.utils._pytree.GetAttrKey, _TENSORS)
    return list(zip(keys, tensors, strict=True)), counts


def _unflatten(tensors: Iterable[Any], counts: Iterable[int]) -> Graph:
    graph = object.__new__(Graph)
    graph._fill(
        dict(zip(_TENSORS, tensors, strict=True)), **dict(zip(_COUNTS, counts, strict=True))
    )
    return graph


# So a Graph can be an argument of what is compiled or exported, and be in a tree of arguments.
torch.utils._pytree.register_pytree_node(
    Graph,
    _flatten,
    _unflatten,
    serialized_type_name="tedg_fast.ops.Graph",
    flatten_with_keys_fn=_flatten_with_keys,
)
