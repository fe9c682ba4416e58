"""The resume experiment in one table: windows of runs beside a uniformly random policy.

    python bench/experiment.py results/quick_manager results/resume_500_from_100 --random 300

Writes bench/results/resume_100_to_500.md, or NAME.md with ``--name NAME``.

Scores are means with 95 % confidence intervals (Student's t) over the episodes of one run, so they
say nothing of other seeds. Episodes are counted in the order in which
they finished.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import record

from tedg_fast.hypergraph import load_hypergraph
from tedg_fast.nethack.games.vector_env import VectorEnv

WINDOW = 100
SIGNALS = (
    "alpha_entropy", "alignment_loss", "grad_norm", "attention_variance", "usage_survival",
    "usage_combat", "usage_exploration", "usage_general", "steps_per_second",
)  # fmt: skip
HEADER = ("episodes", "true score", "last-observation score", "length", "depth", "deaths")
SERIES = ("true_score", "last_observation_score", "length", "depth", "ending")


def score_row(name: str, episodes: dict[str, list]) -> list[str]:
    """One table row from per-episode series."""
    scores = [record.interval(episodes[key]) for key in ("true_score", "last_observation_score")]
    length, depth = np.mean(episodes["length"]), np.mean(episodes["depth"])
    deaths = np.mean([ending == "death" for ending in episodes["ending"]])
    return [name, *scores, f"{length:.0f}", f"{depth:.2f}", f"{deaths:.0%}"]


def play_randomly(episodes: int, max_steps: int, masked: bool) -> dict[str, list]:
    """Per-episode series of the uniformly random policy (over the allowed actions if ``masked``).

    Games are numbered as they start, and all of the first ``episodes`` are played to their end.
    """
    rng = np.random.default_rng(0)
    done = {}
    with VectorEnv(
        load_hypergraph(), num_envs=32, num_workers=2, run_seed=10_000, max_steps=max_steps,
        use_mask=masked, decide="always", limit=episodes,
    ) as env:  # fmt: skip
        env.start()
        while not env.idle.all():
            chance = rng.random(env.observation.action_mask.shape)
            step = env.step((chance * env.observation.action_mask).argmax(1))
            done |= {episode.number: episode for episode in step.episodes}
    return {name: [getattr(done[k], name) for k in range(episodes)] for name in SERIES}


def windows(run: Path, log: dict) -> tuple[list[list[str]], list[list[str]]]:
    """Score rows and signal rows of each window of a run; signals are those at its end.

    A last window that is less than half full is left out.
    """
    episodes, updates = log["episodes"], log["updates"]
    first, count = log["first_episode"], len(episodes["number"])
    scores, signals = [], []
    for start in range(0, count - WINDOW // 2 + 1, WINDOW):
        part = {name: episodes[name][start : start + WINDOW] for name in SERIES}
        end = first + start + len(part["ending"])
        scores.append(score_row(f"{run.name} {first + start + 1}–{end}", part))
        at = next(i for i, completed in enumerate(updates["completed"]) if completed >= end)
        signals.append([f"{run.name} @{end}", *(f"{updates[name][at]:.4g}" for name in SIGNALS)])
    return scores, signals


def remark(run: Path, log: dict) -> str:
    """What else happened in a run, as one list item."""
    updates = log["updates"]
    warnings = sum(event["kind"] == "health" for event in log["events"])
    return (
        f"- {run.name}: {len(log['episodes']['number'])} episodes; {updates['env_steps'][-1]} "
        f"environment steps since training began; {updates['rollbacks'][-1]} updates undone for "
        f"NaN or Inf; {updates['workers_lost'][-1]} workers lost; largest |ratio − 1| in a first "
        f"minibatch {max(updates['first_ratio_error']):.1e}; {warnings} health warnings"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    parser.add_argument("--random", type=int, default=300, help="episodes of the random policy")
    parser.add_argument("--name", default="resume_100_to_500", help="of the record")
    arguments = parser.parse_args()
    header = record.header(runs=arguments.runs)
    scores, signals, remarks = [], [], []
    for run in arguments.runs:
        log = json.loads((run / "logs" / "training_log.json").read_text())
        run_scores, run_signals = windows(run, log)
        scores += run_scores
        signals += run_signals
        remarks.append(remark(run, log))
    for masked, name in ((False, "all 23 actions"), (True, "the allowed actions")):
        played = play_randomly(arguments.random, log["config"]["max_steps"], masked)
        scores.append(score_row(f"random over {name}, {arguments.random} games", played))
    lines = ["# From 100 to 500 episodes", "", *header, ""]
    lines += [*record.table(HEADER, scores), "", *record.table(("run", *SIGNALS), signals)]
    record.write(arguments.name, [*lines, "", *remarks])


if __name__ == "__main__":
    main()
