"""The one exception of the V3 import."""


class LegacyError(ValueError):
    """A V3 file or input that cannot be used: one line that names it, what was wrong, and what
    was expected."""
