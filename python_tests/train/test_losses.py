"""The losses against their formulas, and the faults they must not have."""

import math

import pytest
import torch

from tedg_fast.ops import fenchel_young_loss, routing_losses, sparsemax
from tedg_fast.train.losses import advice, temporal_loss
from tedg_fast.train.ppo import segment_rows


def test_sparsemax_is_exact():
    """Fault (c): a top-2 softmax cannot give one expert everything."""
    got = sparsemax(torch.tensor([[3.0, 0.0, 0.0, 0.0]]))
    assert got.tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_alpha_entropy_can_fall_below_ln_2():
    """Fault (c): with two experts always active the entropy stays at ln 2."""
    alpha = sparsemax(torch.tensor([[3.0, 0.0, 0.0, 0.0], [1.0, 0.8, -1.0, -1.0]]))
    entropy = routing_losses(alpha, torch.randn(2, 4, 23)).entropy
    assert entropy < math.log(2) / 2 + 1e-6


def test_temporal_loss_sees_consecutive_steps_of_one_episode_only():
    """Fault (f): differences of unrelated rows, or across an episode's end."""
    alpha = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    continues = torch.tensor([[True, False], [True, True]])  # two segments of three steps
    pairs = [1.0, 0.0, 1.0]  # (1,0)→(0,1); the end at (0,1)→(.5,.5) is left out; steady; a change
    assert temporal_loss(alpha, continues, continues.sum()).item() == pytest.approx(sum(pairs) / 3)


def test_temporal_loss_without_pairs_is_zero():
    alpha = torch.rand(4, 3, requires_grad=True)
    loss = temporal_loss(alpha, torch.zeros(2, 1, dtype=torch.bool), torch.tensor(1.0))
    loss.backward()
    assert loss.item() == 0
    assert (alpha.grad == 0).all()


def test_segments_are_consecutive_steps_of_one_game():
    steps, games, length = 6, 4, 3
    segments = segment_rows(steps, games, length)
    assert sorted(segments.flatten().tolist()) == list(range(steps * games))
    step, game = segments // games, segments % games
    assert (game == game[:, :1]).all()
    assert (step.diff(dim=1) == 1).all()


@pytest.mark.parametrize("mapping", ["softmax", "sparsemax"])
def test_alignment_gradient_is_alpha_minus_advice(mapping):
    scores = torch.tensor([[4.0, 0.0, -1.0, 0.5], [0.1, 0.2, 0.3, 0.4]], requires_grad=True)
    target = advice(torch.randn(2, 4, requires_grad=True), temperature=1.0)
    assert not target.requires_grad
    fenchel_young_loss(mapping, scores, target).backward()
    alpha = scores.softmax(1) if mapping == "softmax" else sparsemax(scores)
    torch.testing.assert_close(scores.grad, (alpha - target) / 2)


def test_advice_temperature_sharpens():
    scores = torch.tensor([[1.0, 0.0]])
    assert advice(scores, 0.1)[0, 0] > advice(scores, 1.0)[0, 0] > 0.5
