"""Which finished games count: those by whose number all earlier ones have ended, too.

Games that end early are seen first. Were they counted as they come, the first hundred would be the
hundred shortest, the more so the more games are played side by side. So a finished game waits until
no game of a lower number is running or still to begin, and a run of N episodes has the first N by
number. """

from collections.abc import Iterable, Sequence
from typing import Any

from tedg_fast.nethack.games.episode import Episode


def in_turn(
    ended: Sequence[Episode], still_open: Iterable[int]
) -> tuple[list[Episode], list[Episode]]:
    """(those that count now, those that wait), by number; ``still_open`` are the numbers that are
    being played or still to be.

    A number that is in neither was lost with its worker, and nothing waits for it.
    """
    first = min(still_open, default=0)
    ordered = sorted(ended, key=lambda episode: episode.number)
    counted = [episode for episode in ordered if episode.number < first]
    return counted, ordered[len(counted) :]


def up_to(state: dict[str, Any], episodes: int) -> dict[str, Any]:
    """A checkpoint's ``state`` in which no more than ``episodes`` count; the others wait again.

    What goes on from it counts them at once, so this changes nothing that is learned.
    """
    if state["completed"] <= episodes:
        return state
    log = state["log"]
    kept = episodes - log["first_episode"]
    names = Episode.__dataclass_fields__
    columns = [log["episodes"][name][kept:] for name in names]
    beyond = [dict(zip(names, values)) for values in zip(*columns)]
    series = {name: values[:kept] for name, values in log["episodes"].items()}
    return state | {
        "completed": episodes,
        "waiting": beyond + state["waiting"],
        "log": log | {"episodes": series},
    }
