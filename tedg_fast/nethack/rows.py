"""A bundle of numpy arrays that share their leading dimensions, indexed together."""

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

_Rows = TypeVar("_Rows", bound="Rows")


class Rows:
    """Base of dataclasses whose fields are arrays with the same leading dimensions."""

    def __getitem__(self: _Rows, index: Any) -> _Rows:
        """The same rows of every field, as numpy indexing gives them (views for slices)."""
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def __setitem__(self: _Rows, index: Any, other: _Rows) -> None:
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(other, field.name)

    def copy_from(self: _Rows, other: _Rows) -> None:
        """Overwrites every field with `other`'s, which has the same shapes."""
        for field in fields(self):
            np.copyto(getattr(self, field.name), getattr(other, field.name))

    def copy(self: _Rows) -> _Rows:
        """The same values in memory of their own."""
        return type(self)(**{f.name: getattr(self, f.name).copy() for f in fields(self)})
