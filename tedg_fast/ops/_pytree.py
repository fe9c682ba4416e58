"""A Graph as a tree of tensors: so ``torch.export`` takes it as an argument, ``torch.func.vmap``
as one that all samples share. Its sizes are part of the structure: they are the same in every call
of an exported program.
"""

from typing import Any

from torch.utils import _pytree as pytree

from tedg_fast.ops.graph import Graph

_TENSORS = ("rowptr", "col", "edge_id", "t_rowptr", "t_target", "t_edge", "relation")
_COUNTS = ("num_sources", "num_targets", "num_edges", "num_relations")


def _flatten(graph: Graph) -> tuple[list[Any], list[int]]:
    return [getattr(graph, name) for name in _TENSORS], [getattr(graph, name) for name in _COUNTS]


def _flatten_with_keys(graph: Graph) -> tuple[list[tuple[Any, Any]], list[int]]:
    leaves, counts = _flatten(graph)
    keys = [pytree.GetAttrKey(name) for name in _TENSORS]
    return list(zip(keys, leaves, strict=True)), counts


def _unflatten(leaves: Any, counts: Any) -> Graph:
    graph = object.__new__(Graph)
    graph.__setstate__(
        {**dict(zip(_TENSORS, leaves, strict=True)), **dict(zip(_COUNTS, counts, strict=True))}
    )
    return graph


pytree.register_pytree_node(
    Graph,
    _flatten,
    _unflatten,
    serialized_type_name="tedg_fast.ops.Graph",
    flatten_with_keys_fn=_flatten_with_keys,
)
