"""What a checkpoint must hold, entry by entry; what is wrong with one that does not, in words."""

import types
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor

from tedg_fast.nethack.games.episode import Episode


class Mismatch(ValueError):
    """An entry is missing, unknown or of the wrong kind: which, and what was expected."""


@dataclass(frozen=True)
class Count:
    """An int that is at least ``least``."""

    least: int = 0


@dataclass(frozen=True)
class TensorOf:
    """A dense CPU tensor; None leaves its dtype, or its number of dimensions, open."""

    dtype: torch.dtype | None = None
    ndim: int | None = None


@dataclass(frozen=True)
class Each:
    """A dict with string keys whose values are all of one kind."""

    kind: Any


STATE = {
    "version": int,
    "config": dict,
    "platform": {"tedg_fast": str, "torch": str, "nle": str, "ops": str, "processor": str},
    "hypergraph": {"name": str, "digest": str, "files": Each(str)},
    "policy": Each(TensorOf()),
    "optimizer": {"state": dict, "param_groups": [dict]},
    "normaliser": {"count": Count(1), "mean": float, "spread": float},
    "health": {"active": [str], "alignment": [(int, float)], "phase": str},
    "log": {
        "first_episode": Count(),
        "parent": str | None,
        "episodes": dict,
        "updates": Each([int | float | str]),
        "events": [{"kind": str, "completed": Count(), "message": str}],
    },
    "completed": Count(),
    "waiting": [{field.name: field.type for field in fields(Episode)}],
    "env_steps": Count(),
    "decisions": Count(),
    "rollbacks": Count(),
    "workers_lost": Count(),
    "best_score": float,
    "ranks": [
        {
            "generator": TensorOf(torch.uint8, 1),
            "returns": TensorOf(torch.float64, 1),
            "next_episode": Count(),
            "unbegun": [Count()],
            "games": [
                {
                    "episode": Count(),
                    "actions": TensorOf(torch.uint8, 1),
                    "observation_hash": str,
                }
            ],
        }
    ],
}
"""The entries of a checkpoint and their kinds, as ``require`` reads them."""


def require_state(state: Any) -> None:
    """Raise ``Mismatch`` unless ``state`` is a checkpoint's, as far as shows without a model."""
    require(state, STATE, "the state")
    if not state["ranks"]:
        raise Mismatch("it has no ranks, expected at least one")
    log = state["log"]
    if log["episodes"]:
        types_of = {field.name: [field.type] for field in fields(Episode)}
        require(log["episodes"], types_of | {"env_steps": [Count()]}, "log.episodes")
    for name in ("episodes", "updates"):
        lengths = {len(series) for series in log[name].values()}
        if len(lengths) > 1:
            raise Mismatch(f"the series of log.{name} have different lengths: {sorted(lengths)}")
    logged = log["first_episode"] + len(log["episodes"].get("number", []))
    if logged != state["completed"]:
        raise Mismatch(f"its log ends at episode {logged}, its count at {state['completed']}")


def require(value: Any, kind: Any, where: str) -> None:
    """Raise ``Mismatch`` unless ``value``, called ``where``, is of the ``kind``.

    A kind is a type, a union of types, ``Literal``, ``tuple[…]`` or (kind, …) for a tuple, [kind]
    for a list, {name: kind} for a dict with exactly these names, ``dict[str, …]`` for one with any,
    or one of the classes above.
    """
    if get_origin(kind) is tuple:
        kind = get_args(kind)
    elif get_origin(kind) is dict:
        kind = Each(get_args(kind)[1])
    if isinstance(kind, dict):
        _require_names(value, set(kind), where)
        for name, entry in value.items():
            require(entry, kind[name], f"{where}.{name}")
    elif isinstance(kind, Each):
        require(value, dict, where)
        for name, entry in value.items():
            require(name, str, f"a name in {where}")
            require(entry, kind.kind, f"{where}.{name}")
    elif isinstance(kind, list):
        require(value, list, where)
        for i, entry in enumerate(value):
            require(entry, kind[0], f"{where}[{i}]")
    elif isinstance(kind, tuple):
        if type(value) is not tuple or len(value) != len(kind):
            raise _mismatch(value, f"a tuple of {len(kind)}", where)
        for i, entry in enumerate(value):
            require(entry, kind[i], f"{where}[{i}]")
    elif isinstance(kind, TensorOf):
        _require_tensor(value, kind, where)
    elif isinstance(kind, Count):
        if type(value) is not int or value < kind.least:
            raise _mismatch(value, f"an int from {kind.least} on", where)
    elif get_origin(kind) is Literal:
        if not any(type(value) is type(word) and value == word for word in get_args(kind)):
            raise _mismatch(value, f"one of {get_args(kind)}", where)
    elif isinstance(kind, types.UnionType):
        if type(value) not in get_args(kind):
            raise _mismatch(value, str(kind), where)
    elif kind is dict:
        if not isinstance(value, dict):
            raise _mismatch(value, "dict", where)
    elif type(value) is not kind:
        raise _mismatch(value, kind.__name__, where)


def require_like(state: Any, own: Any, where: str) -> None:
    """Raise ``Mismatch`` unless ``state`` has the names, types, shapes and dtypes of ``own``."""
    if isinstance(own, dict):
        _require_names(state, set(own), where)
        for name, entry in own.items():
            require_like(state[name], entry, f"{where}.{name}")
    elif isinstance(own, list | tuple):
        if type(state) is not type(own) or len(state) != len(own):
            raise _mismatch(state, f"a {type(own).__name__} of {len(own)}", where)
        for i, entry in enumerate(own):
            require_like(state[i], entry, f"{where}[{i}]")
    elif isinstance(own, Tensor):
        _require_tensor(state, TensorOf(own.dtype, own.ndim), where)
        if state.shape != own.shape:
            raise Mismatch(f"{where} has shape {list(state.shape)}, expected {list(own.shape)}")
    else:
        require(state, type(own), where)


def _require_names(value: Any, names: set, where: str) -> None:
    require(value, dict, where)
    missing, unknown = names - value.keys(), value.keys() - names
    if missing or unknown:
        parts = [f"lacks {sorted(map(str, missing))}"] if missing else []
        parts += [f"has unknown entries {sorted(map(str, unknown))}"] if unknown else []
        raise Mismatch(f"{where} {' and '.join(parts)}")


def _require_tensor(value: Any, kind: TensorOf, where: str) -> None:
    dtype = str(kind.dtype or "").removeprefix("torch.")
    words = f"a dense {dtype} CPU tensor" + (f" with {kind.ndim} dimensions" if kind.ndim else "")
    if not isinstance(value, Tensor):
        raise _mismatch(value, words, where)
    if (
        value.layout is not torch.strided
        or value.device.type != "cpu"
        or kind.dtype not in (None, value.dtype)
        or kind.ndim not in (None, value.ndim)
    ):
        found = f"a {value.dtype} {value.layout} tensor on {value.device}"
        raise Mismatch(f"{where} is {found} of shape {list(value.shape)}, expected {words}")


def _mismatch(value: Any, words: str, where: str) -> Mismatch:
    text = repr(value) if isinstance(value, int | float | str | None) else type(value).__name__
    return Mismatch(f"{where} is {text[:60]}, expected {words}")
