"""When arms are settled: verdicts against intervals worked out by hand, and a real grid."""

import math
from pathlib import Path

import numpy as np
import pytest
from command import SHORT, run

from tedg_fast import cli
from tedg_fast.evaluate.early_stop import num_looks, seeds_of, stages, verdict
from tedg_fast.evaluate.summary import paired

HALF_WIDTH = 0.975 * math.sqrt(2 / (1 - 0.975**2)) / math.sqrt(3)
"""Of three differences with a standard deviation of 1 at the level of one of two looks, 3.58: with
two degrees of freedom a Student variable lies in ± t with probability t / √(2 + t²)."""


def settled(less, *, full=100.0, looks=2, indifference=0.0):
    """The verdict on an arm that has these differences from a full system with one score."""
    seeds = list(range(7, 7 + len(less)))
    ours = dict.fromkeys(seeds, full)
    return verdict({s: full + d for s, d in zip(seeds, less)}, ours, seeds, looks, indifference)


def test_looks_are_corrected_for_their_number():
    less = paired([9, 10, 11], [5, 5, 5], 2)
    assert less["half_width"] == pytest.approx(HALF_WIDTH)
    t = 5 * math.sqrt(3)
    assert less["p"] == pytest.approx(2 * (1 - t / math.sqrt(2 + t * t)))
    assert paired([9, 10, 11], [9, 11, 10], 2)["p"] == 1  # and no more
    assert paired([9], [5], 2)["p"] is None
    assert [num_looks(seeds) for seeds in (1, 2, 3, 8)] == [0, 0, 1, 6]


@pytest.mark.parametrize("sign", [1, -1])
def test_an_arm_differs_when_0_is_outside_of_the_interval(sign):
    def at(mean):
        return [sign * (mean + x) for x in (-1, 0, 1)]

    assert settled(at(HALF_WIDTH + 0.01)) == {"seeds": 3, "how": "differs"}
    assert settled(at(HALF_WIDTH - 0.01)) is None
    assert settled(at(HALF_WIDTH - 0.01), looks=1) == {"seeds": 3, "how": "differs"}
    assert settled(at(HALF_WIDTH + 0.01), looks=0) is None


def test_an_arm_does_not_matter_when_the_interval_is_inside_of_the_bounds():
    less = [0, 1, 2]
    for full in (100.0, -100.0):
        inside = settled(less, full=full, indifference=HALF_WIDTH + 1.01)
        assert inside["seeds"] == 3
        assert inside["how"].startswith("does not matter (within ± 4.5")
        assert settled(less, full=full, indifference=HALF_WIDTH + 0.99) is None
    assert settled([0, 0, 0]) is None  # not asked for
    assert settled([9, 10, 11], indifference=50)["how"] == "differs"


def test_the_first_clear_look_decides_whatever_follows():
    open_at_first = [2.0, 3.0, 4.0, 3.0]  # 3 ± 3.58, then 3 ± 4.1765 · √(2 / 3) / 2
    assert settled(open_at_first) == {"seeds": 4, "how": "differs"}
    assert settled([9, 10, 11, -500]) == {"seeds": 3, "how": "differs"}
    assert settled([9, 10]) is None


def test_a_look_waits_for_every_run_of_its_seeds():
    arm, full = {1: 9.0, 2: 10.0, 4: 11.0}, dict.fromkeys((1, 2, 3, 4), 0.0)
    assert verdict(arm, full, (1, 2, 3, 4), 2, 0.0) is None
    assert verdict(arm, full, (4, 2, 1, 3), 2, 0.0) == {"seeds": 3, "how": "differs"}
    del full[4]
    assert verdict(arm, full, (4, 2, 1, 3), 2, 0.0) is None


def test_settled_arms_get_no_further_seeds_and_the_full_system_ends_with_the_last():
    clear, later = {"seeds": 3, "how": "differs"}, {"seeds": 4, "how": "differs"}
    seeds = (5, 6, 7, 8, 9)
    assert seeds_of({"a": clear, "b": None}, seeds) == {"a": (5, 6, 7), "b": seeds, "full": seeds}
    assert seeds_of({"a": clear, "b": later}, seeds)["full"] == (5, 6, 7, 8)
    assert seeds_of({}, seeds) == {"full": seeds}
    assert [tuple(stage) for stage in stages(seeds, 3)] == [(5, 6, 7), (8,), (9,)]
    assert stages(seeds, 0) == [seeds]


def test_less_than_one_grid_in_twenty_finds_a_difference_that_is_not_there():
    """5,000 grids of eight seeds; six looks at 0.05 each would err in 15 % of them."""
    noise = np.random.default_rng(0).normal(size=(5000, 8))
    wrong = sum(settled(less, looks=6) is not None for less in noise)
    assert 0.01 < wrong / len(noise) < 0.05


@pytest.mark.slow
def test_a_grid_stops_an_arm_early_and_once_done_stays_as_it_is(tmp_path, monkeypatch, capsys):
    def ablate(*more):
        run(monkeypatch, cli.ablate, *grid, *more, "--", *SHORT)
        printed = capsys.readouterr().out
        there = {f.relative_to(tmp_path): f.stat().st_mtime_ns for f in tmp_path.rglob("*")}
        return printed, there, (tmp_path / "ablation.md").read_text()

    grid = [
        "--arms", "full", "frozen-gat", "graph-off", "--seeds", 1, 2, 3, 4, "--parallel", 2,
        "--episodes", 4, "--eval-episodes", 1, "--eval-seed", 1005,
        "--results", tmp_path,
    ]  # fmt: skip
    early = ("--indifference", 100)
    printed, there, table = ablate(*early)
    assert "frozen-gat: settled after 3 of 4 seeds: does not matter" in printed
    assert not (tmp_path / "frozen-gat-seed4").exists()
    assert (tmp_path / "full-seed4").exists()
    assert "- frozen-gat: settled after 3 of 4 seeds: does not matter (within ± 100 %" in table
    assert "at the level of a look, 0.05 / 2" in table

    printed, again, same = ablate(*early)
    assert "12 of 12 jobs are done already" in printed
    tables = {Path("ablation.md"): 0, Path("ablation.json"): 0}  # written anew, the same
    assert again | tables == there | tables
    assert same == table

    printed, _, every = ablate("--no-early-stop")
    assert "12 of 13 jobs are done already" in printed
    assert "settled" not in every
    assert ablate(*early)[2] == table
