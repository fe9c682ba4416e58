"""Exact comparison of nested states."""

from typing import Any

import torch


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Places at which two nested states differ in a single bit; equal NaNs are equal."""
    if type(one) is not type(other):
        return [f"{where}: {type(one).__name__} and {type(other).__name__}"]
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{where}: keys {sorted(one.keys() ^ other.keys())}"]
        return [d for key in one for d in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [f"{where}: lengths {len(one)} and {len(other)}"]
        pairs = enumerate(zip(one, other))
        return [d for i, pair in pairs for d in differences(*pair, f"{where}[{i}]")]
    if isinstance(one, torch.Tensor):
        equal = one.dtype == other.dtype and torch.equal(one.nan_to_num(), other.nan_to_num())
        equal = equal and torch.equal(one.isnan(), other.isnan())
    else:
        equal = one == other or (one != one and other != other)
    return [] if equal else [f"{where}: {one} and {other}"]
