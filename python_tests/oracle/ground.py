"""Where steps are possible, and walks over it, by floods of sets of squares."""

from dataclasses import dataclass

from oracle.squares import DIAGONAL, NEIGHBOURS, slanted, straight


@dataclass(frozen=True)
class Ground:
    """Sets of squares: those that can be stepped on; those onto and off which no diagonal step
    leads."""

    passable: int
    no_slant: int

    @property
    def upright(self) -> int:
        return self.passable & ~self.no_slant

    def spread(self, reached: int) -> int:
        """A set and all that is at most one step from it."""
        upright = self.upright
        return reached | straight(reached) & self.passable | slanted(reached & upright) & upright

    def around(self, start: int, far: int) -> list[int]:
        """[k]: what is at most k steps from a square, as far as that grows."""
        within = [1 << start]
        while len(within) <= far:
            grown = self.spread(within[-1])
            if grown == within[-1]:
                break
            within.append(grown)
        return within

    def walk_back(self, within: list[int], target: int) -> list[int] | None:
        """The squares of a shortest walk from the target back to where `within` begins, which is
        left out; at each, the first of equally near squares. None where there is no such walk."""
        if not within[-1] >> target & 1:
            return None
        steps = next(k for k, reached in enumerate(within) if reached >> target & 1)
        walk = []
        for left in range(steps, 0, -1):
            walk.append(target)
            target = next(
                before for way, step in enumerate(NEIGHBOURS)
                if within[left - 1] >> (before := target + step) & 1
                and (not DIAGONAL[way] or self.upright >> before & self.upright >> target & 1)
            )  # fmt: skip
        return walk
