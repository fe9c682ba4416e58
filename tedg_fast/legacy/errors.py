"""The one exception of the V3 import."""

from tedg_fast.errors import BadInput


class LegacyError(BadInput):
    """A V3 file or input that cannot be used: one line that names it, what was wrong, and what
    was expected."""
