"""A bundle of numpy arrays that share their leading dimensions, indexed together."""

from typing import Any, ClassVar, Self

import numpy as np


class Rows:
    """Base of dataclasses whose fields are arrays with the same leading dimensions."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __getitem__(self, index: Any) -> Self:
        """The same rows of every field, as numpy indexing gives them (views for slices)."""
        return type(self)(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})

    def __setitem__(self, index: Any, other: Self) -> None:
        for name in self.__dataclass_fields__:
            getattr(self, name)[index] = getattr(other, name)

    def copy_from(self, other: Self) -> None:
        """Overwrites every field with `other`'s, which has the same shapes."""
        for name in self.__dataclass_fields__:
            np.copyto(getattr(self, name), getattr(other, name))

    def copy(self) -> Self:
        """The same values in memory of their own."""
        return type(self)(**{name: getattr(self, name).copy() for name in self.__dataclass_fields__})
