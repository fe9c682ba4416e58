"""Which settings can be used. Everything is checked before a run touches a file."""

import math
from pathlib import Path

import torch

from tedg_fast.nethack.games.character import unplayable
from tedg_fast.runs.config import ConfigError, TrainConfig, flat_settings, to_dict

_COUNT = (1, 1_000_000_000)
_WEIGHT = (0, 1000)
_TEMPERATURE = (0.001, 1000)
RANGES = {
    "episodes": _COUNT,
    "max_steps": (1, 1_000_000),
    "seed": (0, 2**32 - 1),
    "num_envs": (1, 4096),
    "num_workers": (1, 1024),
    "threads": (1, 1024),
    "num_experts": (1, 1024),
    "margin": (0, 1000),
    "save_every": _COUNT,
    "keep_checkpoints": _COUNT,
    "checkpoint_minutes": (0, math.inf),
    "policy.hidden_size": (2, 8192),
    "policy.glyph_embedding": (1, 1024),
    "policy.gat_heads": (1, 64),
    "policy.gat_head_size": (1, 1024),
    "ppo.clip": (0.001, 10),
    "ppo.gae_lambda": (0, 1),
    "ppo.epochs": (1, 1000),
    "ppo.minibatch_size": (1, 1_000_000),
    "ppo.value_coef": _WEIGHT,
    "ppo.effect_coef": _WEIGHT,
    "ppo.max_grad_norm": (1e-6, 1e9),
    "ppo.reward_clip": (1e-6, 1e9),
    "ppo.rollout_decisions": (1, 100_000),
    "ppo.segment_decisions": (1, 100_000),
} | {
    f"{phase}.{name}": limits
    for phase in ("warmup", "transition", "fine_tune")
    for name, limits in {
        "episodes": (0, 1_000_000_000),
        "temperature": _TEMPERATURE,
        "learning_rate": (0, 1),
        "gamma": (0, 1),
        "entropy_coef": _WEIGHT,
        "alpha_entropy_coef": _WEIGHT,
        "load_balance_coef": _WEIGHT,
        "diversity_coef": _WEIGHT,
        "alignment_coef": _WEIGHT,
        "alignment_temperature": _TEMPERATURE,
        "semantic_coef": _WEIGHT,
        "temporal_coef": _WEIGHT,
        "overlap_coef": _WEIGHT,
    }.items()
}
"""Least and greatest value of every number in the configuration, both allowed."""

MAX_ROLLOUT_ROWS = 1 << 22
"""Most decisions of one rank's rollout, ``num_envs`` times ``ppo.rollout_decisions``."""


def check_config(config: TrainConfig, ranks: int = 1) -> None:
    """Raise ``ConfigError`` for the first setting that cannot be used by so many ``ranks``."""
    numbers = flat_settings(to_dict(config))
    for name, (low, high) in RANGES.items():
        value = numbers[name]
        if name == "num_envs":
            high *= ranks
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not low <= number <= high:
                raise ConfigError(
                    f"{flag(name)} is {number}; it must lie in {plain(low)} … {plain(high)}"
                )
    segment = config.ppo.segment_decisions
    for name in ("ppo.rollout_decisions", "ppo.minibatch_size"):
        if numbers[name] % segment:
            raise ConfigError(
                f"{flag(name)} is {numbers[name]}; it must be a multiple of "
                f"--ppo.segment-decisions, which is {segment}"
            )
    rows = config.num_envs * config.ppo.rollout_decisions
    if rows > MAX_ROLLOUT_ROWS * ranks:
        raise ConfigError(
            f"--num-envs times --ppo.rollout-decisions is {rows}; the most is "
            f"{MAX_ROLLOUT_ROWS * ranks}"
        )
    for name, unit in (("num_envs", 1), ("ppo.minibatch_size", segment)):
        if numbers[name] % (unit * ranks):
            raise ConfigError(
                f"{flag(name)} is {numbers[name]}; {ranks} ranks share it, so it must be a "
                f"multiple of {unit * ranks}"
            )
    name = config.exp_name
    if not name or Path(name).name != name or name == ".." or len(name.encode()) > 255:
        raise ConfigError(
            f"--exp-name is {name!r}; it must be a plain folder name of at most 255 bytes, "
            "without '/'"
        )
    check_character(config.character)
    check_device(config.device)


def plain(number: float) -> str:
    """A number as people write it: 1,000,000,000 and not 1e+09."""
    whole = math.isfinite(number) and number == int(number)
    return f"{int(number):,}" if whole else f"{number:g}"


def flag(name: str) -> str:
    """The command-line flag of a setting."""
    return "--" + name.replace("_", "-")


def check_device(name: str) -> torch.device:
    """The device called ``name``; ``ConfigError`` where this machine has none such."""
    expected = f"--device is {name!r}; expected cpu, cuda or cuda:N"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(expected) from None
    if device.type != "cuda" and name != "cpu":
        raise ConfigError(expected)
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


def check_character(character: str) -> None:
    """Raise ``ConfigError`` unless NetHack can play exactly this ``character``, or any."""
    if problem := unplayable(character):
        raise ConfigError(f"--{problem}")
