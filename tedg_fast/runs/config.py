"""The configuration of a run: one frozen dataclass, mirrored to the command line and saved."""

from dataclasses import asdict, dataclass, field, is_dataclass, replace
from typing import Annotated, Any, get_type_hints

import tyro

from tedg_fast.errors import BadInput
from tedg_fast.machine import cores
from tedg_fast.nethack.facts.grounder import MARGIN, Decide
from tedg_fast.policy import PolicyConfig
from tedg_fast.runs.checkpoint_schema import Mismatch, require
from tedg_fast.runs.phases import (
    FINE_TUNE,
    TRANSITION,
    WARMUP,
    Mechanisms,
    Phase,
    Settings,
    settings_at,
)

WITHOUT_EFFECT = (
    "exp_name", "results", "resume", "episodes", "num_workers", "save_every", "keep_checkpoints",
    "checkpoint_minutes",
)  # fmt: skip
"""Settings that change no bit of what is learnt."""


class ConfigError(BadInput):
    """A setting that cannot be used; the message says which, what was expected and what to do."""


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation (Schulman et al. 2017) and generalised advantages."""

    clip: float = 0.15
    """Clipping range of the probability ratio."""
    gae_lambda: float = 0.97
    """λ of generalised advantage estimation, a decision."""
    epochs: int = 3
    """Passes over each rollout."""
    minibatch_size: int = 2048
    """Decisions of one gradient step."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    effect_coef: float = 0.1
    """Weight of predicting which effects the observation after an action shows; 0 leaves it out."""
    max_grad_norm: float = 1.0
    """Gradient norm is clipped to this."""
    reward_clip: float = 10.0
    """Normalised rewards are clipped to ± this."""
    rollout_decisions: int = 64
    """Decisions taken in each game between two updates."""
    segment_decisions: int = 8
    """Minibatches are drawn as runs of this many consecutive decisions of a game, so that the
    temporal loss sees consecutive decisions of one episode."""


@dataclass(frozen=True)
class TrainConfig:
    """Train a graph-guided mixture-of-experts agent on NetHack with PPO."""

    exp_name: str = "quick_manager"
    """Name of the run; its files go to <results>/<exp-name>/."""
    results: str = "results"
    """Folder of all runs."""
    episodes: int = 100
    """Total number of episodes to reach, those of a resumed run included: the first games by
    number. Hundreds of later games are played beside them, --num-envs at once; how much was trained
    is said by the game steps, which the display and training.log show."""
    max_steps: int = 2000
    """Steps after which an episode is cut off."""
    resume: str | None = None
    """Checkpoint file or run folder to go on from; settings not given are taken from it. "auto": go
    on with the run of this name where there is one, else begin it."""
    seed: int = 0
    """Seed of the games, the networks and the sampling."""
    device: str = "cpu"
    """Device of the networks: "cpu", "cuda", "cuda:1", …"""
    num_envs: int = 128
    """Games played side by side, the same on every machine: it decides what one update learns from.
    Scores are so noisy that updates from fewer games stop learning sooner (docs/learning.md)."""
    num_workers: int = field(default_factory=cores)
    """Processes that play them; their number changes nothing but the speed."""
    threads: int = 2
    """Threads of the update on the CPU, of all ranks together; each computes a part of every
    minibatch. The same on every machine: their number changes how sums are rounded."""
    hypergraph: str | None = None
    """Rule file (docs/writing_rules.md); the packaged NetHack rules if not given."""
    character: str = "mon-hum-neu-mal"
    """NetHack role-race-alignment-gender; "@" is any, by each game's seed."""
    prayer: bool = False
    """Give the games an action to pray with, which NetHackScore-v0 has not."""
    num_experts: int = 4
    """Experts of the mixture; the first four are survival, combat, exploration, general."""
    decide: Decide = "contested"
    """When the network decides: where the rules disagree ("contested"; elsewhere they are carried
    out without it), or at every game step ("always")."""
    margin: float = MARGIN
    """Rules disagree that are at most so much weaker than the strongest (nats of priority)."""
    mask: bool = True
    """Forbid actions that certainly do nothing."""
    freeze_gat: bool = False
    """Keep the Manager's parameters as they are."""
    save_every: int = 100
    """Completed episodes between two numbered checkpoints."""
    keep_checkpoints: int | None = None
    """Numbered checkpoints to keep, the newest; all if not given."""
    checkpoint_minutes: float = 5.0
    """After this many minutes without a checkpoint model_latest.pth is saved; 0: every update."""
    mechanisms: Annotated[Mechanisms, tyro.conf.arg(name="")] = Mechanisms()
    policy: PolicyConfig = PolicyConfig()
    ppo: PPOConfig = PPOConfig()
    warmup: Phase = WARMUP
    transition: Phase = TRANSITION
    fine_tune: Phase = FINE_TUNE

    def settings_at(self, completed: int) -> Settings:
        """The phase's settings after ``completed`` finished episodes."""
        settings = settings_at(
            completed, self.warmup, self.transition, self.fine_tune, self.mechanisms
        )
        if not self.policy.graph:  # there is no advice, and 0 for all would ask for equal weights
            settings = replace(settings, alignment_coef=0.0)
        return settings


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """The configuration as nested plain values, for JSON and checkpoints."""
    return asdict(config)


def from_dict(values: dict[str, Any]) -> TrainConfig:
    """Inverse of ``to_dict``; ``ConfigError`` on unknown or missing settings."""
    return _build(TrainConfig, values, "")


def flat_settings(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by the names of their flags, as in ``ppo.clip``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flat_settings(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def changed_settings(there: dict[str, Any], here: dict[str, Any]) -> list[str]:
    """In words, the settings of ``here`` that matter and are others, or missing, ``there``."""
    before = flat_settings(there)
    return [
        f"{name} is {before.get(name)} there and {value} here"
        for name, value in flat_settings(here).items()
        if name not in WITHOUT_EFFECT and value != before.get(name)
    ]


def _build(cls: type, values: dict[str, Any], where: str) -> Any:
    kinds = get_type_hints(cls)
    if not isinstance(values, dict):
        raise ConfigError(f"configuration{where} is a {type(values).__name__}, expected a dict")
    unknown = sorted(set(map(str, values)) - set(kinds))
    missing = sorted(set(kinds) - set(values))
    if unknown or missing:
        raise ConfigError(
            f"configuration{where}: unknown settings {unknown}, missing settings {missing}; "
            "it was written by another version of tedg_fast"
        )
    built = {}
    for name, value in values.items():
        if is_dataclass(kinds[name]):
            value = _build(kinds[name], value, f"{where}.{name}")
        elif isinstance(value, list):
            value = tuple(value)
        try:
            require(value, kinds[name], f"configuration{where}.{name}")
        except Mismatch as error:
            raise ConfigError(str(error)) from None
        built[name] = value
    return cls(**built)
