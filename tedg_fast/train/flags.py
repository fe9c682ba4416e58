"""Contradictory flags, which are refused, and flags without effect, which get a remark.

No flag is ignored silently."""

from collections.abc import Sequence
from dataclasses import fields

from tedg_fast.policy import PolicyConfig
from tedg_fast.runs.config import ConfigError, PPOConfig, TrainConfig
from tedg_fast.runs.limits import flag
from tedg_fast.runs.model import Rules
from tedg_fast.runs.phases import FINE_TUNE, TRANSITION, WARMUP

_PHASES = {"warmup": WARMUP, "transition": TRANSITION, "fine_tune": FINE_TUNE}
_LOSSES = {
    "manager": ("alignment_coef", "alignment_temperature", "semantic_coef"),
    "temporal": ("temporal_coef",),
    "overlap": ("overlap_coef",),
}
"""The phases' settings that go with a mechanism."""


def refuse_contradictions(
    config: TrainConfig, hypergraph: Rules, arguments: Sequence[str] = ()
) -> None:
    """Raise ``ConfigError`` where one setting takes away what another one asks for.

    ``arguments`` tell what was asked for from what is a default.
    """
    policy, manager = config.policy, config.mechanisms.manager
    given = {argument.split("=")[0].replace("_", "-") for argument in arguments}
    for name, unwanted, why in (
        ("--policy.router advice", policy.router == "advice" and not manager,
         "weighs the experts by the Manager's advice, which --no-manager leaves out"),
        ("--policy.router advised", not manager and "--policy.router" in given
         and policy.router == "advised",
         "adds the Manager's advice, which --no-manager leaves out; say --policy.router learned"),
        ("--policy.router advice", policy.router == "advice" and not policy.graph,
         "weighs the experts by the graph's advice, and --policy.no-graph leaves out the graph"),
        ("--freeze-gat", config.freeze_gat and not policy.graph,
         "keeps the graph network as it is, and --policy.no-graph leaves it out"),
    ):  # fmt: skip
        if unwanted:
            raise ConfigError(f"{name} {why}: leave out one of the two")
    if not hypergraph.names_actions:
        if "--decide" in given and config.decide != "always":
            raise ConfigError(
                f"--decide is {config.decide}: V3's rules name no actions, so they cannot "
                "disagree, and its network decides at every step; leave it out"
            )
        if config.prayer:
            raise ConfigError(
                "--prayer adds an action that V3's network does not know: leave it out"
            )
        for field in fields(PolicyConfig):
            if getattr(policy, field.name) != field.default:
                raise ConfigError(
                    f"{flag(f'policy.{field.name}')} is {getattr(policy, field.name)}; the network "
                    "that reads V3's hypergraph is V3's own, without such a setting: leave it out"
                )


def ineffective_flags(config: TrainConfig) -> list[str]:
    """One remark for each flag that changes nothing in this configuration."""
    use, policy = config.mechanisms, config.policy
    last = config.settings_at(config.episodes - 1).phase
    remarks = []
    if config.num_experts == 1:
        remarks.append("with --num-experts 1 every routing loss is constant: nothing to route")
    if config.num_workers > config.num_envs:
        remarks.append(
            f"--num-workers {config.num_workers} exceeds --num-envs {config.num_envs}: "
            f"{config.num_envs} processes are enough"
        )
    if not use.manager and policy.router == "advised":
        remarks.append("--no-manager: the router is a network alone, as --policy.router learned")
    if not policy.graph:
        remarks.append(
            "--policy.no-graph: without advice there is nothing for a router to align with"
        )
        for name in ("gat_heads", "gat_head_size", "manager", "proposals"):
            if getattr(policy, name) != PolicyConfig.__dataclass_fields__[name].default:
                remarks.append(f"{flag(f'policy.{name}')} has no effect: there is no graph network")
        if config.ppo.effect_coef not in (0, PPOConfig.effect_coef):
            remarks.append(
                "--ppo.effect-coef has no effect: without the graph nothing predicts them"
            )
    if config.ppo.segment_decisions == 1 and use.temporal and last != "warmup":
        remarks.append(
            "with --ppo.segment-decisions 1 no minibatch has two decisions in a row: the temporal "
            "loss is 0"
        )
    if config.decide == "always" and config.margin != TrainConfig.margin:
        remarks.append("--margin has no effect with --decide always: the network is always asked")
    if not use.entropy_min and last != "fine-tune":
        remarks.append(f"--no-entropy-min has no effect: {last} is the last phase reached")
    for name in ("temporal", "overlap"):
        if not getattr(use, name) and last == "warmup":
            remarks.append(f"--no-{name} has no effect: its coefficient is 0 throughout warmup")
    for mechanism, losses in _LOSSES.items():
        for phase, default in _PHASES.items():
            for name in losses if not getattr(use, mechanism) else ():
                if getattr(getattr(config, phase), name) != getattr(default, name):
                    changed = flag(f"{phase}.{name}")
                    remarks.append(f"{changed} has no effect with --no-{mechanism}")
    reached = list(_PHASES)[: ["warmup", "transition", "fine-tune"].index(last) + 1]
    for phase, default in _PHASES.items():
        if phase not in reached and getattr(config, phase) != default:
            remarks.append(
                f"{flag(phase)}.… have no effect: {last} is the last phase reached in "
                f"{config.episodes} episodes"
            )
    return remarks
