"""The losses against their formulas, and the faults they must not have."""

import math

import pytest
import torch

from tedg_fast.ops import fenchel_young_loss, routing_losses, sparsemax
from tedg_fast.train.batch import segment_rows
from tedg_fast.train.losses import advice, effect_loss, temporal_loss


def test_sparsemax_is_exact():
    """Fault (c): a top-2 softmax cannot give one expert everything."""
    got = sparsemax(torch.tensor([[3.0, 0.0, 0.0, 0.0]]))
    assert got.tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_alpha_entropy_can_fall_below_ln_2():
    """Fault (c): with two experts always active the entropy stays at ln 2."""
    alpha = sparsemax(torch.tensor([[3.0, 0.0, 0.0, 0.0], [1.0, 0.8, -1.0, -1.0]]))
    entropy = routing_losses(alpha, torch.randn(2, 4, 23)).entropy
    assert entropy < math.log(2) / 2 + 1e-6


def test_temporal_loss_sees_consecutive_decisions_of_one_episode_only():
    """Fault (f): differences of unrelated rows, or across an episode's end."""
    alpha = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    each_step = torch.tensor([[1.0, 0.0], [1.0, 1.0]])  # two segments of three decisions
    changes = [1.0, 0.0, 1.0]  # (1,0)→(0,1); (0,1)→(.5,.5) is another episode; steady; a change
    number = torch.tensor(3.0)
    assert temporal_loss(alpha, each_step, number).item() == pytest.approx(sum(changes) / 3)
    # The last change took four game steps: a quarter of it a step.
    seldom = torch.tensor([[1.0, 0.0], [0.5, 0.25]])
    assert temporal_loss(alpha, seldom, number).item() == pytest.approx((1 + 0 + 0.25) / 3)


def test_temporal_loss_without_pairs_is_zero():
    alpha = torch.rand(4, 3, requires_grad=True)
    loss = temporal_loss(alpha, torch.zeros(2, 1), torch.tensor(1.0))
    loss.backward()
    assert loss.item() == 0
    assert (alpha.grad == 0).all()


def test_effect_loss_counts_rows_with_an_observation_after_them():
    logits = torch.tensor([[0.0, 2.0], [5.0, -5.0]])
    shown = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    first = (math.log(2) + math.log(1 + math.e**2)) / 2
    follows = torch.tensor([True, False])
    assert effect_loss(logits, shown, follows, torch.tensor(1.0)).item() == pytest.approx(first)


def test_segments_are_consecutive_decisions_of_one_game():
    decisions, games, length = 6, 4, 3
    segments = segment_rows(decisions, games, length)
    assert sorted(segments.flatten().tolist()) == list(range(decisions * games))
    decision, game = segments // games, segments % games
    assert (game == game[:, :1]).all()
    assert (decision.diff(dim=1) == 1).all()


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
