"""The arms of the ablation: the full system, and what is taken from it in each of the others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tedg_fast.arguments import parsed
from tedg_fast.runs.config import ConfigError, TrainConfig, to_dict
from tedg_fast.runs.limits import RANGES, check_config
from tedg_fast.runs.model import Rules, build_policy, load_rules

FULL = "full"
ONE_EXPERT = "one-expert"
ARMS = {
    FULL: (),
    "no-manager": ("--no-manager",),
    "no-entropy-min": ("--no-entropy-min",),
    "no-temporal": ("--no-temporal",),
    "no-overlap": ("--no-overlap",),
    "frozen-gat": ("--freeze-gat",),
    "softmax-only": ("--transition.routing", "softmax", "--fine-tune.routing", "softmax"),
    ONE_EXPERT: ("--num-experts", "1"),  # and a width that makes up for it
    "hand-routed": ("--policy.router", "advice"),
    "no-mask": ("--no-mask",),
    "graph-off": ("--policy.no-graph",),
    "mean-of-neighbours": ("--policy.manager", "mean"),
    "no-objects": ("--policy.manager", "no-objects"),
    "past-the-router": ("--policy.proposals", "direct"),
    "always-asked": ("--decide", "always"),
}
"""Name → flags of ``tedg-train``."""
SAME_SIZE = 0.02
"""How far a network may be from the full one's number of parameters and count as of equal size."""
OURS = ("--exp-name", "--results", "--resume", "--seed", "--episodes")
"""Flags of ``tedg-train`` that the ablation sets itself."""


@dataclass(frozen=True)
class Trial:
    """One run of the grid: ``arguments`` are those of ``tedg-train``, ``config`` what they say."""

    arm: str
    seed: int
    arguments: tuple[str, ...]
    config: TrainConfig

    @property
    def name(self) -> str:
        """Also the name of its folder."""
        return f"{self.arm}-seed{self.seed}"


def plan(
    arms: Sequence[str],
    seeds: Sequence[int],
    *,
    results: str,
    episodes: int,
    common: Sequence[str],
) -> tuple[list[Trial], dict[str, str]]:
    """All trials, seed by seed, and the arms that are none: name → why.

    An arm that does what the full one does throughout ``episodes`` would only repeat it.
    ``common`` are flags of ``tedg-train`` for every run. Raises ``ConfigError`` and what
    ``load_rules`` raises; flags that ``tedg-train`` does not know end the program, as there.
    """
    for flag in common:
        if flag.split("=")[0].replace("_", "-") in OURS:
            raise ConfigError(f"{flag} cannot be given after --: tedg-ablate sets it for each run")

    def trial(arm: str, seed: int) -> Trial:
        arguments = (
            *common, *flags[arm], "--results", results, "--exp-name", f"{arm}-seed{seed}",
            "--episodes", str(episodes), "--seed", str(seed),
        )  # fmt: skip
        config = parsed(TrainConfig, arguments, "tedg-train")
        check_config(config)
        return Trial(arm, seed, arguments, config)

    flags = dict(ARMS)
    full = trial(FULL, seeds[0]).config
    if ONE_EXPERT in arms:
        width = equal_width(load_rules(full.hypergraph), full)
        flags[ONE_EXPERT] += ("--policy.hidden-size", str(width))
    first = {arm: trial(arm, seeds[0]) for arm in arms}
    repeats = {
        arm: f"does what {FULL} does throughout {episodes} episodes"
        for arm in arms
        if arm != FULL and does_the_same(first[arm].config, full)
    }
    return [trial(arm, seed) for seed in seeds for arm in arms if arm not in repeats], repeats


def does_the_same(one: TrainConfig, other: TrainConfig) -> bool:
    """Whether two configurations make the same run, apart from its name."""

    def fixed(config: TrainConfig) -> dict[str, Any]:
        phases = dict.fromkeys(("warmup", "transition", "fine_tune", "exp_name"))
        # The other mechanisms act in the phases' settings alone.
        return to_dict(config) | phases | {"mechanisms": config.mechanisms.manager}

    if fixed(one) != fixed(other):
        return False
    constant = max(config.warmup.episodes + config.transition.episodes for config in (one, other))
    return all(
        one.settings_at(completed) == other.settings_at(completed)
        for completed in range(min(one.episodes, constant + 1))
    )


def equal_width(rules: Rules, full: TrainConfig) -> int:
    """``policy.hidden_size`` of one expert with as many parameters as ``full``'s networks have.

    Raises ``ConfigError`` if none comes within ``SAME_SIZE`` of it.
    """

    def size(width: int) -> int:
        policy = replace(full.policy, hidden_size=width)
        return num_parameters(rules, replace(full, num_experts=1, policy=policy))

    wanted = num_parameters(rules, full)
    low = high = full.policy.hidden_size
    most = int(RANGES["policy.hidden_size"][1])
    while size(high) < wanted and high < most:
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if size(middle) < wanted else (low, middle)
    width = min((low, high), key=lambda width: abs(size(width) - wanted))
    if abs(size(width) - wanted) > SAME_SIZE * wanted:
        raise ConfigError(
            f"no --policy.hidden-size gives one expert the {wanted:,} parameters of "
            f"{full.num_experts}; leave out the arm {ONE_EXPERT}"
        )
    return width


def num_parameters(rules: Rules, config: TrainConfig) -> int:
    """Numbers that the networks of ``config`` can learn, frozen ones included."""
    policy = build_policy(rules, replace(config, device="cpu"))
    return sum(parameter.numel() for parameter in policy.parameters())
