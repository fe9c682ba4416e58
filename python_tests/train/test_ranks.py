"""What ranks hand out and take back, without processes; settings that ranks can share."""

import math
from dataclasses import replace

import pytest
import torch

from tedg_fast.runs.config import ConfigError, TrainConfig
from tedg_fast.runs.limits import check_config
from tedg_fast.train.distributed import World
from tedg_fast.train.ranks import MOST_RANKS, Pace, deal, first_generator
from tedg_fast.train.run_log import _append


def world(rank, size):
    here = World()
    here.rank, here.size = rank, size
    return here


def states(ranks, games):
    """Rank r of R holds the games r, r + R, …; the next of each is the one after."""
    return [
        {
            "generator": torch.tensor([rank]),
            "returns": torch.arange(rank, ranks * games, ranks, dtype=torch.float64),
            "next_episode": rank + ranks * (games + rank),
            "games": list(range(rank, ranks * games, ranks)),
        }
        for rank in range(ranks)
    ]


def test_the_same_number_of_ranks_gets_its_own_back():
    before = states(3, 4)
    assert [deal(before, world(r, 3), torch.zeros(1)) for r in range(3)] == before


@pytest.mark.parametrize("size", [1, 2, 6])
def test_another_number_shares_all_games_and_no_number_twice(size):
    before = states(3, 4)
    fresh = torch.tensor([99])
    dealt = [deal(before, world(rank, size), fresh) for rank in range(size)]
    games = [game for state in dealt for game in state["games"]]
    assert sorted(games) == list(range(12))
    assert {len(state["games"]) for state in dealt} == {12 // size}
    assert torch.cat([state["returns"] for state in dealt]).tolist() == games
    following = [state["next_episode"] for state in dealt]
    assert len({number % size for number in following}) == size
    assert min(following) >= max(state["next_episode"] for state in before)
    assert [state["generator"].item() for state in dealt] == [0, 1, 2, 99, 99, 99][:size]


def test_ranks_draw_different_noise_and_the_first_what_one_process_draws():
    draws = [torch.rand(4, generator=first_generator(5, rank)) for rank in range(3)]
    assert torch.equal(draws[0], torch.rand(4, generator=torch.Generator().manual_seed(5)))
    assert not torch.equal(draws[0], draws[1]) and not torch.equal(draws[1], draws[2])


def test_a_straggler_is_named():
    pace = Pace((100.0, 60.0, 110.0), (0.1, 0.0, 0.2))
    assert pace.slowest == 1 and pace.straggles
    assert pace.words() == (
        "rank 0 100, rank 1 60, rank 2 110 steps/s when not waiting; waiting 10% of the time; "
        "rank 1 straggles (60% of the median)"
    )
    assert not Pace((100.0, 90.0), (0.0, 0.0)).straggles


def test_many_ranks_are_summed_up():
    pace = Pace(tuple(100.0 + rank for rank in range(MOST_RANKS + 1)), (0.0,) * (MOST_RANKS + 1))
    assert pace.words().startswith("rank 0 100, rank 16 116 steps/s")
    assert "rank3_steps_per_second" not in pace.series()
    assert pace.series()["slowest_rank_steps_per_second"] == 100


@pytest.mark.parametrize(
    ("changes", "ranks", "words"),
    [
        ({"num_envs": 33}, 2, "--num-envs is 33; 2 ranks share it, so it must be a multiple of 2"),
        ({"num_envs": 5000}, 1, "--num-envs is 5000; it must lie in 1 … 4,096"),
        ({"num_envs": 96}, 96, "ranks share it, so it must be a multiple of 768"),
    ],
)
def test_what_ranks_cannot_share_is_refused(changes, ranks, words):
    with pytest.raises(ConfigError) as error:
        check_config(replace(TrainConfig(), **changes), ranks)
    assert words in str(error.value)


def test_limits_are_those_of_one_rank():
    config = TrainConfig(num_envs=8192, num_workers=1)
    check_config(config, 2)


def test_series_that_begin_or_end_in_the_midst_stay_aligned():
    series = {"loss": [1.0, 2.0]}
    _append(series, {"loss": 3.0, "ranks": 2})
    _append(series, {"loss": 4.0})
    assert series["loss"] == [1.0, 2.0, 3.0, 4.0]
    assert [math.isnan(value) for value in series["ranks"]] == [True, True, False, True]
