"""The table of ranks, of a log with numbers that are known."""

import numpy as np

from tedg_fast.report.ranks import ranks_tables
from tedg_fast.runs.log import Run


def run_with(**updates):
    series = {name: np.array(values, float) for name, values in updates.items()}
    return Run("fast", None, {}, 0, None, {}, series, [], [], [])


def test_nothing_of_runs_in_one_process():
    assert ranks_tables([run_with(steps_per_second=[100, 200])]) == []


def test_each_rank_has_a_row_and_the_single_process_part_is_left_out():
    nan = np.nan
    (table,) = ranks_tables(
        [
            run_with(
                ranks=[nan, 2, 2], steps_per_second=[900, 100, 200], waiting_share=[nan, 0.1, 0.3],
                slowest_rank=[nan, 1, 1], rank0_steps_per_second=[nan, 70, 90],
                rank1_steps_per_second=[nan, 60, 70],
            )
        ]
    )  # fmt: skip
    assert table.rows == (
        ("fast, 2 ranks", "150", "20%", ""),
        ("fast, rank 0", "80", "", "0%"),
        ("fast, rank 1", "65", "", "100%"),
    )
