"""What ``tedg-eval`` does: play, summarise, compare, show, write down."""

import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.progress import Progress

from tedg_fast.arguments import parsed
from tedg_fast.errors import Stopped
from tedg_fast.evaluate import table
from tedg_fast.evaluate.agents import Agent, Setting, find_agents
from tedg_fast.evaluate.contexts import expert_use
from tedg_fast.evaluate.deciding import decided_by, show_decided
from tedg_fast.evaluate.play import Games, Played, play
from tedg_fast.evaluate.summary import compare, summarise
from tedg_fast.files import write_whole
from tedg_fast.machine import cores
from tedg_fast.nethack.facts.observation import INSTANCES
from tedg_fast.nethack.games.episode import Episode
from tedg_fast.nethack.games.worker_process import WorkerError
from tedg_fast.runs.config import ConfigError
from tedg_fast.runs.limits import RANGES, check_character, flag, plain

ABOVE = "the games above are those played to their end before"
TOP_KILLERS = 5
"""Causes of death that the table names."""


@dataclass(frozen=True)
class EvalConfig:
    """Play agents over the same seeded NetHack games and compare them.

    For example:
      tedg-eval results/quick_manager rules random --episodes 300 --out evaluation.json
      tedg-eval rules my.toml --episodes 200
      tedg-eval results/quick_manager/checkpoints/best_model.pth --greedy --seed 7
    """

    agents: tyro.conf.Positional[tuple[str, ...]]
    """Who plays: checkpoint files or run folders (their newest checkpoint), "random" (all
    actions alike), "random-allowed" (those that the mask allows), "rules" (what the hypergraph's
    rules propose, without any network), rule files (.toml: as "rules", each by its own)."""
    episodes: int = 300
    """Games each agent plays."""
    seed: int = 1000
    """Seed of the games; take one that no agent was trained with."""
    max_steps: int | None = None
    """Steps after which a game is cut off; as in each agent's training if not given."""
    character: str | None = None
    """NetHack role-race-alignment-gender; as in each agent's training if not given."""
    prayer: bool = False
    """Give the games an action to pray with, also where an agent was trained without."""
    greedy: bool = False
    """Take the most probable action instead of drawing one, as in training."""
    hypergraph: str | None = None
    """Rules of the same play to use in place of those kept in a checkpoint; without a checkpoint in
    place of the packaged ones; for a checkpoint of V3 the folder of its two files."""
    num_envs: int = 32
    """Games played side by side; it changes nothing but the speed."""
    num_workers: int = field(default_factory=cores)
    """Processes that play them."""
    out: str | None = None
    """JSON file for everything: summaries, comparisons, and every single game."""


def check(config: EvalConfig) -> None:
    """Raise ``ConfigError`` for the first setting that cannot be used."""
    if not config.agents:
        raise ConfigError(
            "no agent given; name a checkpoint, a run folder, a rule file (.toml), rules or random"
        )
    for name in config.agents:
        if config.agents.count(name) > 1:
            raise ConfigError(f"agent {name} is given twice; give each once")
    for name in ("episodes", "seed", "max_steps", "num_envs", "num_workers"):
        value = getattr(config, name)
        low, high = RANGES[name]
        if value is not None and not low <= value <= high:
            raise ConfigError(
                f"{flag(name)} is {value}; it must lie in {plain(low)} … {plain(high)}"
            )
    if config.character is not None:
        check_character(config.character)
    if config.out is not None:
        folder = Path(config.out).parent
        if Path(config.out).is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                f"--out {config.out} cannot be written; name a file in a folder of yours"
            )


def main(arguments: Sequence[str]) -> None:
    """``tedg-eval``."""
    evaluate(parsed(EvalConfig, arguments, "tedg-eval"))


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Play all agents, show the tables, write ``config.out`` → what is written.

    Raises ``ConfigError`` and what ``find_agents`` raises, before any game begins, and ``Stopped``
    or ``WorkerError`` when everything that was played until then is shown and written.
    """
    check(config)
    agents = find_agents(config.agents, config.hypergraph, greedy=config.greedy)
    games = {
        a.name: a.games.overridden(config.max_steps, config.character, config.prayer)
        for a in agents
    }
    for agent in agents:
        for remark in agent.played_by(games[agent.name]):
            print(remark, file=sys.stderr)
    results: dict[str, tuple[Played, float]] = {}
    stop: Stopped | WorkerError | None = None
    for agent in agents:
        if stop is None:
            results[agent.name] = _play(agent, config, games[agent.name])
            stop = results[agent.name][0].stop
    record = {
        "format": "tedg-eval",
        "version": 1,
        "complete": stop is None,  # whether anything was left to play, beside games that were lost
        "config": asdict(config),
        "agents": {
            agent.name: _entry(agent, games[agent.name], *results[agent.name])
            for agent in agents
            if agent.name in results
        },
        "comparisons": [
            {"agent": one, "other": other}
            | compare(results[one][0].episodes, results[other][0].episodes)
            for one, other in itertools.combinations(results, 2)
            if games[one] == games[other]
        ],
    }
    show(record)
    if config.out is not None:
        write_whole(Path(config.out), json.dumps(record, allow_nan=False).encode())
    if isinstance(stop, Stopped):
        stop.words = f"stopped; {ABOVE}"
        raise stop
    if stop is not None:
        raise WorkerError(f"{stop}; {ABOVE}") from stop
    return record


def complete_evaluation(path: Path) -> dict[str, Any] | None:
    """What ``evaluate`` wrote to ``path``; None where there is no file, or what was stopped: that
    keeps the games before the first that went on, which are no fair sample of all."""
    record = json.loads(path.read_text()) if path.exists() else {}
    return record if record.get("complete") else None


def _play(agent: Agent, config: EvalConfig, setting: Setting) -> tuple[Played, float]:
    """All games of one agent, and the seconds they took."""
    games = Games(config.episodes, config.seed, *setting)
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


def _entry(agent: Agent, games: Setting, played: Played, seconds: float) -> dict[str, Any]:
    """What is kept of one agent's games."""
    episodes = [played.episodes[number] for number in sorted(played.episodes)]
    return {
        "origin": agent.origin,
        "games": games._asdict(),
        "seconds": seconds,
        "summary": summarise(played.episodes) if episodes else None,
        "experts": None
        if played.trace is None
        else expert_use(played.trace.leading, played.trace.usage, played.trace.contexts),
        "decided": decided_by(agent, episodes),
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
    played = _labelled({name: entry for name, entry in entries.items() if entry["summary"]})
    alike = {tuple(entry["games"].items()) for entry in entries.values()}
    games = ""
    if len(alike) == 1:
        setting = dict(alike.pop())
        games = " of at most {max_steps} steps as {character}".format_map(setting)
        games += " with prayer" if setting["prayer"] else ""
    table.show(
        f"{config['episodes']} games{games}, seed {config['seed']}: mean ± half of its 95 % "
        "interval (median)",
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
    decided = {name: entry["decided"] for name, entry in played.items() if entry["decided"]}
    if decided:
        show_decided(decided)
    for name, entry in played.items():
        experts = entry["experts"]
        if experts and len(experts["usage"]) > 1:
            _show_experts(name, experts)
    for name, entry in entries.items():
        count = len(entry["episodes"]["number"])
        if count < config["episodes"]:
            print(f"{name}: {count} of {config['episodes']} games, the first by number")
        for loss in entry["lost"]:
            print(f"{name}: {loss}")
        # Objects beyond the limits are the farthest and in some games many: only --out has them.
        # Instances are few, and a network cannot choose those that it is not shown.
        instances = entry["left_out"]["instances"]
        if instances:
            steps = max(sum(entry["episodes"]["length"]), 1)
            print(
                f"{name}: {instances} instances of rules, {instances / steps:.2f} a step, were "
                f"beyond the {INSTANCES} of an observation: the weakest, which a network cannot "
                "choose; the rules alone play the strongest"
            )


def _labelled(entries: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The entries by names that say how their games differ, where they do."""
    differ = [
        name
        for name in Setting._fields
        if len({entry["games"][name] for entry in entries.values()}) > 1
    ]
    return {
        ", ".join([agent, *(f"{name} {entry['games'][name]}" for name in differ)]): entry
        for agent, entry in entries.items()
    }


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
    print(f"{name}: mean weight of each expert (share of decisions it leads): {shares}\n")
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
