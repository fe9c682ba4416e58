"""A bundle of numpy arrays that share their leading dimensions, indexed together."""

from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

import numpy as np

_Rows = TypeVar("_Rows", bound="Rows")


class Rows:
    """Base of dataclasses whose fields are arrays with the same leading dimensions."""

    def __getitem__(self: _Rows, index: Any) -> _Rows:
        """The same rows of every field, as numpy indexing gives them (views for slices)."""
        return type(self)(**{name: getattr(self, name)[index] for name in _names(type(self))})

    def __setitem__(self: _Rows, index: Any, other: _Rows) -> None:
        for name in _names(type(self)):
            getattr(self, name)[index] = getattr(other, name)

    def copy_from(self: _Rows, other: _Rows) -> None:
        """Overwrites every field with `other`'s, which has the same shapes."""
        for name in _names(type(self)):
            np.copyto(getattr(self, name), getattr(other, name))

    def copy(self: _Rows) -> _Rows:
        """The same values in memory of their own."""
        return type(self)(**{name: getattr(self, name).copy() for name in _names(type(self))})


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
