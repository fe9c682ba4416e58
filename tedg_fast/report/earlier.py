"""Figures of runs that were made before tedg_fast, and of playing at random, as recorded."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Earlier:
    """A recorded result. Scores are (mean, half-width of the 95 % interval); NaN: not recorded,
    an infinite half-width: recorded without an interval."""

    name: str
    last_observation_score: tuple[float, float]
    true_score: tuple[float, float] = (math.nan, math.inf)
    alpha_entropy: float = math.nan


EARLIER_RUNS = (
    Earlier("old, warmup @1000 ep", (7.53, math.inf), alpha_entropy=1.3853),
    Earlier("old, transition @3000 ep", (10.35, math.inf), alpha_entropy=0.6929),
    Earlier("old, fine-tune @5000 ep", (15.46, math.inf), alpha_entropy=0.6928),
    Earlier("V3 baseline @100 ep", (9.08, math.inf), alpha_entropy=1.3834),
    Earlier("V3 with Manager @100 ep", (11.12, math.inf), alpha_entropy=1.3832),
    Earlier("V3 with Manager, episodes 100–499", (12.73, math.inf)),
    Earlier("V3 again, episodes 100–499", (13.9, math.inf), (26.8, 3.2), 1.385),
)
OLD_WARMUP, V3_AGAIN = EARLIER_RUNS[0], EARLIER_RUNS[-1]

RECORDED_CHARACTER = "mon-hum-neu-mal"
"""Whom the recorded games were played by."""
RECORDED_STEPS = 2000
"""Steps after which the recorded games were cut off."""
RANDOM_RECORDED = Earlier("random policy (recorded)", (14.3, math.inf), (27.1, math.inf))
# 300 games each; bench/results/resume_100_to_500.md has the command.
RANDOM_ALL = Earlier("random policy, all 23 actions", (17.1, 3.2), (29.8, 3.8))
RANDOM_ALLOWED = Earlier("random policy, allowed actions only", (2.0, 1.5), (49.2, 5.4))
RANDOM_POLICIES = (RANDOM_RECORDED, RANDOM_ALL, RANDOM_ALLOWED)
