"""What ``tedg-eval`` does: play, summarise, compare, show, write down."""

import itertools
import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.progress import Progress

from tedg_fast.evaluate import table
from tedg_fast.evaluate.agents import Agent, find_agent
from tedg_fast.evaluate.contexts import expert_use
from tedg_fast.evaluate.play import Games, Played, play
from tedg_fast.evaluate.summary import compare, summarise
from tedg_fast.nethack.games.episode import Episode
from tedg_fast.train.config import cores
from tedg_fast.train.files import write_whole
from tedg_fast.train.limits import RANGES, ConfigError, check_character, flag

TOP_KILLERS = 5
"""Causes of death that the table names."""


@dataclass(frozen=True)
class EvalConfig:
    """Play agents over the same seeded NetHack games and compare them.

    For example:
      tedg-eval results/quick_manager rules random --episodes 300 --out evaluation.json
      tedg-eval results/quick_manager/checkpoints/best_model.pth --greedy --seed 7
    """

    agents: tyro.conf.Positional[tuple[str, ...]]
    """Who plays: checkpoint files or run folders (their newest checkpoint), "random" (all 23
    actions alike), "random-allowed" (those that the mask allows), "rules" (what the hypergraph's
    rules propose, without any network)."""
    episodes: int = 300
    """Games each agent plays."""
    seed: int = 1000
    """Seed of the games; take one that no agent was trained with."""
    max_steps: int = 2000
    """Steps after which a game is cut off."""
    character: str = "mon-hum-neu-mal"
    """NetHack role-race-alignment-gender."""
    greedy: bool = False
    """Take the most probable action instead of drawing one, as in training."""
    hypergraph: str | None = None
    """Rules to use in place of the packaged ones, or of the file a checkpoint was trained with;
    for a checkpoint of V3 the folder of its two files."""
    num_envs: int = 32
    """Games played side by side; it changes nothing but the speed."""
    num_workers: int = field(default_factory=cores)
    """Processes that play them."""
    out: str | None = None
    """JSON file for everything: summaries, comparisons, and every single game."""


def check(config: EvalConfig) -> None:
    """Raise ``ConfigError`` for the first setting that cannot be used."""
    if not config.agents:
        raise ConfigError("no agent given; name a checkpoint, a run folder, or random")
    for name in config.agents:
        if config.agents.count(name) > 1:
            raise ConfigError(f"agent {name} is given twice; give each once")
    for name in ("episodes", "seed", "max_steps", "num_envs", "num_workers"):
        value = getattr(config, name)
        low, high = RANGES[name]
        if not low <= value <= high:
            raise ConfigError(f"{flag(name)} is {value}; it must lie in {low:g} … {high:g}")
    check_character(config.character)
    if config.out is not None:
        folder = Path(config.out).parent
        if Path(config.out).is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                f"--out {config.out} cannot be written; name a file in a folder of yours"
            )


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Play all agents, show the tables, write ``config.out`` → what is written.

    Raises ``ConfigError`` and what ``find_agent`` raises, before any game begins.
    """
    check(config)
    agents = [find_agent(name, config.hypergraph, greedy=config.greedy) for name in config.agents]
    results = {agent.name: _play(agent, config) for agent in agents}
    record = {
        "format": "tedg-eval",
        "version": 1,
        "config": asdict(config),
        "agents": {agent.name: _entry(agent, *results[agent.name]) for agent in agents},
        "comparisons": [
            {"agent": one, "other": other}
            | compare(results[one][0].episodes, results[other][0].episodes)
            for one, other in itertools.combinations(config.agents, 2)
        ],
    }
    show(record)
    if config.out is not None:
        write_whole(Path(config.out), json.dumps(record, allow_nan=False).encode())
    return record


def _play(agent: Agent, config: EvalConfig) -> tuple[Played, float]:
    """All games of one agent, and the seconds they took."""
    games = Games(config.episodes, config.seed, config.max_steps, config.character)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the products are small, and the games need the cores
    began = time.perf_counter()
    console = Console(stderr=True)
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(agent.name, total=games.episodes)
            played = play(
                agent,
                games,
                num_envs=config.num_envs,
                num_workers=config.num_workers,
                on_episode=lambda: bar.advance(task),
            )
    finally:
        torch.set_num_threads(threads)
    return played, time.perf_counter() - began


def _entry(agent: Agent, played: Played, seconds: float) -> dict[str, Any]:
    """What is kept of one agent's games."""
    episodes = [played.episodes[number] for number in sorted(played.episodes)]
    return {
        "origin": agent.origin,
        "seconds": seconds,
        "summary": summarise(played.episodes) if episodes else None,
        "experts": None if played.trace is None else expert_use(
            played.trace.leading, played.trace.usage, played.trace.contexts
        ),
        "lost": played.lost,
        "left_out": dict(zip(("objects", "instances"), played.left_out)),
        "episodes": {
            name: [getattr(episode, name) for episode in episodes]
            for name in (field.name for field in fields(Episode))
        },
    }


def show(record: dict[str, Any]) -> None:
    """Print what ``evaluate`` has found."""
    config, entries = record["config"], record["agents"]
    played = {name: entry for name, entry in entries.items() if entry["summary"]}
    table.show(
        f"{config['episodes']} games of at most {config['max_steps']} steps, seed "
        f"{config['seed']}: mean ± half of its 95 % interval (median)",
        ("agent", "true score", "last-observation score", "depth", "length", "died", "killed by"),
        [_row(name, entry["summary"]) for name, entry in played.items()],
    )
    if record["comparisons"]:
        table.show(
            "True score, paired differences over the common games",
            ("agents", "games", "difference", "p"),
            [
                [f"{c['agent']} − {c['other']}", str(c["games"]), table.interval(c),
                 table.p_value(c["p"])]
                for c in record["comparisons"]
            ],
        )  # fmt: skip
    for name, entry in played.items():
        experts = entry["experts"]
        if experts and len(experts["usage"]) > 1:
            _show_experts(name, experts)
    for name, entry in entries.items():
        for loss in entry["lost"]:
            print(f"{name}: {loss}")
        objects, instances = entry["left_out"].values()
        if objects or instances:
            print(
                f"{name}: {objects} objects and {instances} instances of rules were beyond the "
                "limits of an observation and left out"
            )


def _row(name: str, summary: dict[str, Any]) -> list[str]:
    def cell(measure: str, digits: int) -> str:
        part = summary[measure]
        return f"{table.interval(part, digits)} ({part['median']:g})"

    killers = list(summary["killers"].items())
    named = [f"{killer} {count}" for killer, count in killers[:TOP_KILLERS]]
    others = sum(count for _, count in killers[TOP_KILLERS:])
    return [
        name, cell("true_score", 1), cell("last_observation_score", 1), cell("depth", 2),
        cell("length", 0), f"{summary['died']:.0%}",
        ", ".join(named + ([f"others {others}"] if others else [])) or "–",
    ]  # fmt: skip


def _show_experts(name: str, experts: dict[str, Any]) -> None:
    shares = ", ".join(
        f"{expert} {experts['usage'][expert]:.0%} ({share:.0%})"
        for expert, share in experts["leading"].items()
    )
    print(f"{name}: mean weight of each expert (share of steps it leads): {shares}\n")
    if experts["contexts"]:
        table.show(
            f"{name}: mutual information of the leading expert and the context, in millinats",
            ("context", "holds", "information", "shifted control (95th percentile)"),
            [
                [context, "–" if part["share"] is None else f"{part['share']:.1%}",
                 f"{1000 * part['information']:.1f}",
                 f"{1000 * part['control_mean']:.1f} ({1000 * part['control_95']:.1f})"]
                for context, part in experts["contexts"].items()
            ],
        )  # fmt: skip
