"""The training loss, term by term."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tedg_fast.ops import fenchel_young_loss, routing_losses
from tedg_fast.policy import PolicyOutput
from tedg_fast.runs.phases import Settings


class Minibatch(NamedTuple):
    """Rows of a rollout in segments of consecutive decisions; row s·L + l is decision l of
    segment s.

    ``action`` [B] int64, ``log_prob`` [B] and ``advantage`` [B] (normalised) and ``returns`` [B]
    as of the rollout; ``closeness`` [S, L − 1]: one over the game steps between decisions l and
    l + 1, 0 where they are not of one episode; ``num_pairs`` (0-dim): how many are, as the mean
    over all ranks' parts of the minibatch.
    """

    action: Tensor
    log_prob: Tensor
    advantage: Tensor
    returns: Tensor
    closeness: Tensor
    num_pairs: Tensor


def temporal_loss(alpha: Tensor, closeness: Tensor, num_pairs: Tensor) -> Tensor:
    """Mean squared change of α between consecutive decisions of the same episode, a game step.

    ``alpha`` [B, K] in segments of L rows; ``closeness`` [S, L − 1] and ``num_pairs`` > 0 as in
    ``Minibatch``; 0 where no two decisions are of one episode.
    """
    segments = alpha.unflatten(0, (closeness.shape[0], -1))
    change = (segments[:, 1:] - segments[:, :-1]).square().mean(-1)
    return (change * closeness).sum() / num_pairs


def load_balance_loss(usage: Tensor, mean_usage: Tensor) -> Tensor:
    """L_lb of a whole minibatch, from the experts' mean weights [K] in this part of it and in all.

    It is quadratic in the mean weights, so the mean of the parts' own values would be another
    loss. Its value is the same for all parts; its gradient is this part's, so that the mean over
    the parts is the gradient of the whole.
    """
    excess = mean_usage - 1 / len(usage)
    value = excess.square().mean()
    return value + 2 / len(usage) * (excess * (usage - usage.detach())).sum()


def advice(advice_scores: Tensor, temperature: float) -> Tensor:
    """The graph's advice ``t = softmax(e / τ)`` [B, K]; a target, so no gradient passes."""
    return (advice_scores.detach() / temperature).softmax(-1)


def effect_loss(logits: Tensor, shown: Tensor, follows: Tensor, num_rows: Tensor) -> Tensor:
    """Binary cross-entropy of the predicted effects, mean over effects and the rows that count.

    ``logits`` [B, F]; ``shown`` [B, F], 1 where the observation right after the action shows the
    effect; ``follows`` [B], 1 where there was one in the same episode; ``num_rows`` (0-dim, > 0):
    how many there were, as the mean over all ranks' parts of the minibatch.
    """
    loss = F.binary_cross_entropy_with_logits(logits, shown, reduction="none").mean(1)
    return (loss * follows).sum() / num_rows


def ppo_loss(
    output: PolicyOutput,
    batch: Minibatch,
    settings: Settings,
    *,
    clip: float,
    value_coef: float,
    mean_usage: Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The total loss of a minibatch and its terms (detached scalars, before their coefficients).

    ``output`` and ``batch`` may be a part of the minibatch, one thread's or rank's: the mean over
    the parts is the whole one's loss, term by term, but for the maximum ``ratio_error``.
    ``mean_usage`` [K] is the experts' mean weight over all parts.
    """
    log_probs = output.logits.log_softmax(-1)
    log_prob = log_probs.gather(1, batch.action[:, None]).squeeze(1)
    log_ratio = log_prob - batch.log_prob
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    policy = -torch.minimum(ratio * batch.advantage, clipped * batch.advantage).mean()
    value = (output.value - batch.returns).square().mean()
    # Not log_probs.exp(): of the lowest value, that of masked actions, it takes ten times as long.
    entropy = -(output.logits.softmax(-1) * log_probs).sum() / len(log_probs)

    routing = routing_losses(output.alpha, output.expert_logits)
    alignment = fenchel_young_loss(
        settings.routing,
        output.alignment_logits / settings.temperature,
        advice(output.advice_scores, settings.alignment_temperature),
    )
    temporal = temporal_loss(output.alpha, batch.closeness, batch.num_pairs)
    load_balance = load_balance_loss(output.alpha.mean(0), mean_usage)

    weighted = {
        "policy_loss": (policy, 1.0),
        "value_loss": (value, value_coef),
        "entropy": (entropy, -settings.entropy_coef),
        "alpha_entropy": (routing.entropy, settings.alpha_entropy_coef),
        "load_balance_loss": (load_balance, settings.load_balance_coef),
        "diversity_loss": (routing.diversity, settings.diversity_coef),
        "alignment_loss": (alignment, settings.alignment_coef),
        "semantic_loss": (routing.semantic, settings.semantic_coef),
        "temporal_loss": (temporal, settings.temporal_coef),
        "overlap_loss": (routing.overlap, settings.overlap_coef),
    }
    parts, weights = zip(*weighted.values())
    values = torch.stack(parts)
    total = values @ values.new_tensor(weights)
    terms = {"loss": total, **dict(zip(weighted, values.detach()))} | {
        "approx_kl": (ratio - 1 - log_ratio).mean(),
        "clip_fraction": ((ratio - 1).abs() > clip).float().mean(),
        "ratio_error": (ratio - 1).abs().max(),
    }
    return total, {name: term.detach() for name, term in terms.items()}
