"""The configuration of a run: one frozen dataclass, mirrored to the command line and saved."""

import os
import re
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import torch
import tyro

from tedg_fast.policy import PolicyConfig
from tedg_fast.train.checkpoint_schema import Mismatch, require
from tedg_fast.train.phases import FINE_TUNE, TRANSITION, WARMUP, Mechanisms, Phase, Settings
from tedg_fast.train.phases import settings_at


class ConfigError(ValueError):
    """A setting that cannot be used; the message says which, what was expected and what to do."""


@dataclass(frozen=True)
class PPOConfig:
    """Proximal policy optimisation (Schulman et al. 2017) and generalised advantages."""

    clip: float = 0.15
    """Clipping range of the probability ratio."""
    gamma: float = 0.995
    """Discount per environment step."""
    gae_lambda: float = 0.97
    """λ of generalised advantage estimation."""
    epochs: int = 4
    """Passes over each rollout."""
    minibatch_size: int = 256
    """Rows of one gradient step."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 1.0
    """Gradient norm is clipped to this."""
    reward_clip: float = 10.0
    """Normalised rewards are clipped to ± this."""
    rollout_steps: int = 128
    """Steps each game plays between two updates."""
    segment_steps: int = 8
    """Minibatches are drawn as runs of this many consecutive steps of a game, so that the
    temporal loss sees consecutive steps of one episode."""

    def check(self) -> None:
        for name in ("epochs", "segment_steps"):
            if getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise ConfigError(f"--ppo.{flag} is {getattr(self, name)}; it must be at least 1")
        for name in ("rollout_steps", "minibatch_size"):
            value = getattr(self, name)
            if value < 1 or value % self.segment_steps:
                raise ConfigError(
                    f"--ppo.{name.replace('_', '-')} is {value}; it must be a positive multiple of "
                    f"--ppo.segment-steps, which is {self.segment_steps}"
                )


@dataclass(frozen=True)
class TrainConfig:
    """Train a graph-guided mixture-of-experts agent on NetHack with PPO."""

    exp_name: str = "quick_manager"
    """Name of the run; its files go to <results>/<exp-name>/."""
    results: str = "results"
    """Folder of all runs."""
    episodes: int = 100
    """Total number of episodes to reach, those of a resumed run included."""
    max_steps: int = 2000
    """Steps after which an episode is cut off."""
    resume: str | None = None
    """Checkpoint file or run folder to go on from; settings not given are taken from it."""
    seed: int = 0
    """Seed of the games, the networks and the sampling."""
    device: str = "cpu"
    """Device of the networks: "cpu", "cuda", "cuda:1", …"""
    num_envs: int = 32
    """Games played side by side."""
    num_workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that play them."""
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Threads of the update."""
    hypergraph: str | None = None
    """JSON file of rules; the packaged NetHack hypergraph if not given."""
    character: str = "mon-hum-neu-mal"
    """NetHack role-race-alignment-gender."""
    num_experts: int = 4
    """Experts of the mixture; the first four are survival, combat, exploration, general."""
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

    def check(self) -> None:
        """Raise ``ConfigError`` for the first setting that cannot be used."""
        for name in ("episodes", "max_steps", "num_envs", "num_workers", "threads", "num_experts",
                     "save_every"):  # fmt: skip
            if getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} is {getattr(self, name)}; it must be at least 1")
        if self.keep_checkpoints is not None and self.keep_checkpoints < 1:
            raise ConfigError(
                f"--keep-checkpoints is {self.keep_checkpoints}; it must be at least 1"
            )
        if not self.checkpoint_minutes >= 0:
            raise ConfigError(
                f"--checkpoint-minutes is {self.checkpoint_minutes}; it must be at least 0"
            )
        if self.max_steps > MAX_EPISODE_STEPS:
            raise ConfigError(
                f"--max-steps is {self.max_steps}; the most is {MAX_EPISODE_STEPS}"
            )
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"--seed is {self.seed}; it must lie in 0 … 2**32 − 1")
        if not self.exp_name or Path(self.exp_name).name != self.exp_name or self.exp_name == "..":
            raise ConfigError(
                f"--exp-name is {self.exp_name!r}; it must be a plain folder name without '/'"
            )
        for name, value in asdict(self.policy).items():
            if value < 1:
                raise ConfigError(f"--policy.{name.replace('_', '-')} is {value}; it must be at least 1")
        if not _CHARACTER.fullmatch(self.character):
            raise ConfigError(
                f"--character is {self.character!r}; expected role-race-alignment-gender in "
                "NetHack's three-letter words, as mon-hum-neu-mal"
            )
        self.ppo.check()
        check_device(self.device)

    def ineffective_flags(self) -> list[str]:
        """One remark for each flag that changes nothing in this configuration."""
        remarks = []
        if self.num_experts == 1:
            remarks.append("with --num-experts 1 every routing loss is constant: nothing to route")
        if self.num_workers > self.num_envs:
            remarks.append(
                f"--num-workers {self.num_workers} exceeds --num-envs {self.num_envs}: "
                f"{self.num_envs} processes are enough"
            )
        last = self.settings_at(self.episodes - 1).phase
        if not self.mechanisms.entropy_min and last != "fine-tune":
            remarks.append(f"--no-entropy-min has no effect: {last} is the last phase reached")
        for name in ("temporal", "overlap"):
            if not getattr(self.mechanisms, name) and last == "warmup":
                remarks.append(f"--no-{name} has no effect: its coefficient is 0 throughout warmup")
        return remarks

    def settings_at(self, completed: int) -> Settings:
        """The phase's settings after ``completed`` finished episodes."""
        return settings_at(
            completed, self.warmup, self.transition, self.fine_tune, self.mechanisms
        )


MAX_EPISODE_STEPS = 1_000_000
# NetHack takes a word it does not know for a request of a random role.
_CHARACTER = re.compile(
    "(arc|bar|cav|hea|kni|mon|pri|ran|rog|sam|tou|val|wiz)-(hum|elf|dwa|gno|orc)"
    "-(law|neu|cha)-(mal|fem)"
)


def check_device(name: str) -> torch.device:
    """The device called ``name``; ``ConfigError`` where this machine has none such."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device is {name!r}; expected cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"--device is {name!r}; expected cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if count == 0:
            raise ConfigError(
                f"--device is {name!r}, but this torch ({torch.__version__}) sees no CUDA device; "
                "use --device cpu, or install a CUDA build of torch on a machine with a GPU"
            )
        if device.index is not None and device.index >= count:
            raise ConfigError(f"--device is {name!r}, but there are only {count} CUDA devices")
    return device


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """The configuration as nested plain values, for JSON and checkpoints."""
    return asdict(config)


def from_dict(values: dict[str, Any]) -> TrainConfig:
    """Inverse of ``to_dict``; ``ConfigError`` on unknown or missing settings."""
    return _build(TrainConfig, values, "")


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
