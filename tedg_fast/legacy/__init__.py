"""V3, the predecessor: its checkpoint, hypergraph and observation formats, and its network.

Its checkpoints, hypergraphs and observations are known here only; its training log is read by
``tedg_fast.runs.log``. The names that need torch are imported when they are first asked for:
game workers use :class:`V3Grounder` and have no other use for torch.
"""

from importlib import import_module
from typing import Any

from tedg_fast.legacy.errors import LegacyError
from tedg_fast.legacy.grounding import V3Grounder, V3ObservationSpec
from tedg_fast.legacy.hypergraph import V3Hypergraph, is_v3_hypergraph
from tedg_fast.legacy.observer import Observer

_NEED_TORCH = {
    "V3Checkpoint": "checkpoint",
    "is_v3_checkpoint": "checkpoint",
    "V3Output": "policy",
    "V3Policy": "policy",
}

__all__ = [
    "LegacyError",
    "Observer",
    "V3Grounder",
    "V3Hypergraph",
    "V3ObservationSpec",
    "is_v3_hypergraph",
    *_NEED_TORCH,
]


def __getattr__(name: str) -> Any:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NEED_TORCH[name]}"), name)
