"""GAE and reward normalisation against values worked out by hand."""

import numpy as np
import pytest
import torch

from tedg_fast.train.advantages import RewardNormaliser, generalised_advantages

GAMMA, LAM = 0.9, 0.5


def advantages(reward, value, next_value, terminated, truncated, length=None):
    length = [1] * len(reward) if length is None else length
    columns = reward, length, value, next_value, terminated, truncated
    columns = [torch.tensor(x).view(-1, 1) for x in columns]
    return generalised_advantages(*columns, gamma=GAMMA, gae_lambda=LAM).flatten()


def test_death_truncation_and_rollout_cut():
    """Five steps: a death at step 1, a truncation at step 3, the rollout's cut after step 4."""
    reward = [1.0, 2.0, 3.0, 4.0, 5.0]
    value = [10.0, 20.0, 30.0, 40.0, 50.0]
    # After step 1 another game begins (value 30, which must not count); the truncated game's last
    # observation is worth 7; the observation after the cut is worth 60.
    next_value = [20.0, 30.0, 40.0, 7.0, 60.0]
    terminated = [False, True, False, False, False]
    truncated = [False, False, False, True, False]

    delta = [
        1 + 0.9 * 20 - 10,  # 9
        2 - 20,  # death: nothing to come
        3 + 0.9 * 40 - 30,  # 9
        4 + 0.9 * 7 - 40,  # bootstrapped from the last valid observation
        5 + 0.9 * 60 - 50,  # 9: bootstrapped at the cut
    ]
    expected = [
        delta[0] + 0.45 * delta[1],
        delta[1],
        delta[2] + 0.45 * delta[3],
        delta[3],
        delta[4],
    ]
    got = advantages(reward, value, next_value, terminated, truncated)
    torch.testing.assert_close(got, torch.tensor(expected))


def test_decisions_of_unequal_length():
    """What follows a decision of n game steps is worth γ^n; λ counts decisions."""
    reward = [1.0, 2.0, 3.0, 4.0]
    length = [3, 1, 2, 5]
    value = [10.0, 20.0, 30.0, 40.0]
    next_value = [20.0, 30.0, 7.0, 60.0]  # decision 2 is cut short where V is 7
    truncated = [False, False, True, False]
    delta = [
        1 + 0.9**3 * 20 - 10,
        2 + 0.9 * 30 - 20,
        3 + 0.9**2 * 7 - 30,
        4 + 0.9**5 * 60 - 40,
    ]
    second = delta[1] + 0.9 * 0.5 * delta[2]
    expected = [delta[0] + 0.9**3 * 0.5 * second, second, delta[2], delta[3]]
    got = advantages(reward, value, next_value, [False] * 4, truncated, length)
    torch.testing.assert_close(got, torch.tensor(expected))

    dead = advantages(reward, value, next_value, [False, True, False, False], truncated, length)
    torch.testing.assert_close(dead[1], torch.tensor(2.0 - 20))
    torch.testing.assert_close(dead[0], torch.tensor(delta[0] + 0.9**3 * 0.5 * (2.0 - 20)))


def test_a_decision_of_many_steps_is_worth_those_steps_one_by_one():
    """With λ = 1 the first advantage is that of the same game told step by step."""
    rewards, gamma = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.0, 4.0]), 0.9
    value = torch.tensor([5.0, 1.0, 2.0, -3.0, 8.0, 6.0, 7.0])
    none = torch.zeros(6, 1, dtype=torch.bool)

    def first_advantage(starts):
        """Decisions begin at these steps; the last one ends after step 5."""
        ends = [*starts[1:], 6]
        length = torch.tensor([end - start for start, end in zip(starts, ends)])
        reward = torch.stack(
            [(rewards[a:b] * gamma ** torch.arange(b - a)).sum() for a, b in zip(starts, ends)]
        )
        columns = reward, length, value[starts], value[ends]
        return generalised_advantages(
            *(column.unsqueeze(1) for column in columns), none[: len(starts)], none[: len(starts)],
            gamma=gamma, gae_lambda=1.0,
        )[0]  # fmt: skip

    one_by_one = first_advantage([0, 1, 2, 3, 4, 5])
    for starts in ([0, 3, 4], [0], [0, 1, 5]):
        torch.testing.assert_close(first_advantage(starts), one_by_one)


def test_advantages_need_the_order_of_time():
    """Shuffled rows give other advantages: the fault of computing them per shuffled minibatch."""
    reward = [0.0, 0.0, 1.0]
    got = advantages(reward, [0.0] * 3, [0.0] * 3, [False] * 3, [False] * 3)
    torch.testing.assert_close(got, torch.tensor([0.45**2, 0.45, 1.0]))
    shuffled = advantages([1.0, 0.0, 0.0], [0.0] * 3, [0.0] * 3, [False] * 3, [False] * 3)
    assert not torch.allclose(got.sort().values, shuffled.sort().values)


def test_games_do_not_mix():
    """Each column is a game of its own."""
    generator = torch.Generator().manual_seed(0)
    reward, value, next_value = (torch.rand(6, 3, generator=generator) for _ in range(3))
    length = torch.randint(1, 9, (6, 3), generator=generator)
    ends = [torch.rand(6, 3, generator=generator) < 0.3 for _ in range(2)]
    columns = [reward, length, value, next_value, *ends]
    together = generalised_advantages(*columns, gamma=GAMMA, gae_lambda=LAM)
    for game in range(3):
        alone = generalised_advantages(
            *(x[:, game : game + 1] for x in columns), gamma=GAMMA, gae_lambda=LAM
        )
        torch.testing.assert_close(together[:, game], alone[:, 0], rtol=0, atol=0)


def test_normaliser_tracks_the_discounted_return():
    normaliser = RewardNormaliser(num_envs=2, clip=10.0)
    rewards = np.array([[1.0, 0.0], [3.0, 2.0], [0.0, 1.0]])
    done = np.array([[False, True], [False, False], [True, False]])
    returns = [0.0, 1.0, 0.0, 3.5, 2.0, 1.75, 2.0]  # the imagined first one, then step by step
    scaled = normaliser(rewards, np.ones((3, 2), int), done, 0.5)
    spread = np.sum((np.array(returns) - np.mean(returns)) ** 2) + 1.0
    assert normaliser.count == 7
    assert normaliser.mean == pytest.approx(np.mean(returns))
    assert normaliser.spread == pytest.approx(spread)
    np.testing.assert_allclose(scaled[-1], rewards[-1] / np.sqrt(spread / 7), rtol=1e-6)


def test_the_return_so_far_shrinks_with_every_game_step():
    normaliser = RewardNormaliser(num_envs=1, clip=10.0)
    rewards, lengths = np.array([[8.0], [1.0], [2.0]]), np.array([[1], [3], [2]])
    normaliser(rewards, lengths, np.zeros((3, 1), bool), 0.5)
    returns = [0.0, 8.0, 8 / 2**3 + 1, (8 / 2**3 + 1) / 2**2 + 2]
    assert normaliser.mean == pytest.approx(np.mean(returns))
    assert normaliser.returns.tolist() == returns[-1:]


def test_normaliser_clips():
    normaliser = RewardNormaliser(num_envs=4, clip=10.0)
    once = np.ones((1000, 4), int)
    normaliser(np.zeros((1000, 4)), once, np.zeros((1000, 4), bool), 0.9)
    extreme = np.array([[1e9, -1e9, 0.0, 0.0]])
    assert normaliser(extreme, once[:1], np.zeros((1, 4), bool), 0.9).max() <= 10.0


def test_normaliser_resumes_exactly():
    rng = np.random.default_rng(0)
    one, other = (RewardNormaliser(3, 10.0) for _ in range(2))
    one(rng.normal(size=(5, 3)), rng.integers(1, 9, (5, 3)), rng.random((5, 3)) < 0.3, 0.9)
    other.load_state_dict(one.state_dict())
    other.returns = one.returns.copy()
    rollout = rng.normal(size=(2, 3)), rng.integers(1, 9, (2, 3)), np.zeros((2, 3), bool)
    np.testing.assert_array_equal(one(*rollout, 0.9), other(*rollout, 0.9))
