"""The three training phases and the coefficients in force at a given number of finished
episodes."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Phase:
    """One phase's settings. A pair (from, to) is interpolated linearly over the phase."""

    episodes: int
    """Length in completed episodes; the last phase has no end and ignores this."""
    routing: Literal["softmax", "sparsemax"]
    """Map from router logits to expert weights."""
    temperature: tuple[float, float]
    """Router temperature T."""
    learning_rate: float
    """Adam's step size."""
    gamma: float
    """Discount γ of the rewards a game step: what comes after 1 / (1 − γ) of them hardly counts."""
    entropy_coef: float
    """c_H: reward for a spread action distribution."""
    alpha_entropy_coef: tuple[float, float]
    """c_α: weight of the routing entropy."""
    alpha_entropy_sign: Literal[-1, 1]
    """σ: −1 maximises the routing entropy, +1 minimises it."""
    load_balance_coef: float
    """Weight of L_lb: experts used equally over the batch."""
    diversity_coef: float
    """Weight of L_div: mean cosine of the experts' logits."""
    alignment_coef: float
    """Weight of L_align: router follows the graph's advice."""
    alignment_temperature: float
    """τ of the advice t = softmax(e / τ)."""
    semantic_coef: float
    """Weight of L_sem: mean absolute cosine of the experts' logits."""
    temporal_coef: float
    """Weight of L_temp: routing steady from one decision to the next."""
    overlap_coef: float
    """Weight of L_ov: experts that act together should not say the same."""


WARMUP = Phase(
    episodes=1000,
    routing="softmax",
    temperature=(1.0, 1.0),
    learning_rate=8e-4,
    gamma=0.999,
    entropy_coef=0.002,
    alpha_entropy_coef=(0.1, 0.1),
    alpha_entropy_sign=-1,
    load_balance_coef=0.02,
    diversity_coef=0.01,
    alignment_coef=0.1,
    alignment_temperature=1.0,
    semantic_coef=0.05,
    temporal_coef=0.0,
    overlap_coef=0.0,
)
TRANSITION = Phase(
    episodes=2000,
    routing="sparsemax",
    temperature=(1.0, 0.5),
    learning_rate=4e-4,
    gamma=0.999,
    entropy_coef=0.001,
    alpha_entropy_coef=(0.1, 0.0),
    alpha_entropy_sign=-1,
    load_balance_coef=0.01,
    diversity_coef=0.01,
    alignment_coef=0.1,
    alignment_temperature=1.0,
    semantic_coef=0.05,
    temporal_coef=0.01,
    overlap_coef=0.03,
)
FINE_TUNE = Phase(
    episodes=0,
    routing="sparsemax",
    temperature=(0.5, 0.5),
    learning_rate=8e-5,
    gamma=0.999,
    entropy_coef=0.0005,
    alpha_entropy_coef=(0.05, 0.05),
    alpha_entropy_sign=1,
    load_balance_coef=0.005,
    diversity_coef=0.005,
    alignment_coef=0.1,
    alignment_temperature=1.0,
    semantic_coef=0.05,
    temporal_coef=0.02,
    overlap_coef=0.05,
)


@dataclass(frozen=True)
class Mechanisms:
    """The mechanisms beyond plain PPO with a mixture of experts; each can be switched off alone."""

    manager: bool = True
    """The Manager's hold on the router: its advice in the router's logits, alignment with it, and
    semantic orthogonality."""
    entropy_min: bool = True
    """Minimise the routing entropy in fine-tune."""
    temporal: bool = True
    """Temporal consistency of the routing."""
    overlap: bool = True
    """Expert overlap penalty."""


PhaseName = Literal["warmup", "transition", "fine-tune"]


@dataclass(frozen=True)
class Settings:
    """Everything the phases decide, as it stands for one update."""

    phase: PhaseName
    progress: float
    """Share of the phase that is done, 0–1; 0 throughout fine-tune."""
    routing: Literal["softmax", "sparsemax"]
    temperature: float
    learning_rate: float
    gamma: float
    entropy_coef: float
    alpha_entropy_coef: float
    """σ·c_α: negative maximises the routing entropy."""
    load_balance_coef: float
    diversity_coef: float
    alignment_coef: float
    alignment_temperature: float
    semantic_coef: float
    temporal_coef: float
    overlap_coef: float


def settings_at(
    completed: int, warmup: Phase, transition: Phase, fine_tune: Phase, use: Mechanisms
) -> Settings:
    """Settings after ``completed`` finished episodes, with the mechanisms in ``use`` switched
    on."""
    name: PhaseName
    if completed < warmup.episodes:
        name, phase, progress = "warmup", warmup, completed / warmup.episodes
    elif completed < warmup.episodes + transition.episodes:
        name, phase = "transition", transition
        progress = (completed - warmup.episodes) / transition.episodes
    else:
        name, phase, progress = "fine-tune", fine_tune, 0.0

    def between(pair: tuple[float, float]) -> float:
        return pair[0] + (pair[1] - pair[0]) * progress

    minimises = phase.alpha_entropy_sign > 0
    alpha_entropy = phase.alpha_entropy_sign * between(phase.alpha_entropy_coef)
    return Settings(
        phase=name,
        progress=progress,
        routing=phase.routing,
        temperature=between(phase.temperature),
        learning_rate=phase.learning_rate,
        gamma=phase.gamma,
        entropy_coef=phase.entropy_coef,
        alpha_entropy_coef=0.0 if minimises and not use.entropy_min else alpha_entropy,
        load_balance_coef=phase.load_balance_coef,
        diversity_coef=phase.diversity_coef,
        alignment_coef=phase.alignment_coef if use.manager else 0.0,
        alignment_temperature=phase.alignment_temperature,
        semantic_coef=phase.semantic_coef if use.manager else 0.0,
        temporal_coef=phase.temporal_coef if use.temporal else 0.0,
        overlap_coef=phase.overlap_coef if use.overlap else 0.0,
    )
