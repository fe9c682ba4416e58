"""What training adds to the rules: trained policies and the rules alone in the same games.

    python bench/against_rules.py results/ablation/full-seed4* --episodes 2000

Each run plays games of its own, from a seed of its own, and so do the rules: the runs' differences
are then independent, in what was learned as in the games' luck, and Student's t over the runs says
all there is to say. Games of one seed for all runs would leave the rules' luck in every difference.
What was played is kept in ``--work`` and not played again. Writes bench/results/against_rules.md
and .json, or against_rules_NAME with ``--name NAME``. Of the rules that the runs were trained with:
for rules without priorities that is play by an equal chance for each.
"""

import argparse
import json
from pathlib import Path

import record

from tedg_fast.evaluate.evaluation import EvalConfig, complete_evaluation, evaluate
from tedg_fast.evaluate.summary import paired
from tedg_fast.evaluate.table import interval, p_value


def play(run: Path, seed: int, episodes: int, work: Path) -> dict[str, list[int]]:
    """True scores of ``rules`` and the ``trained`` policy, game by game."""
    out = work / f"{run.name}.json"
    if complete_evaluation(out) is None:
        evaluate(EvalConfig(("rules", str(run)), episodes=episodes, seed=seed, out=str(out)))
    played = json.loads(out.read_text())
    config = played["config"]
    if (config["episodes"], config["seed"]) != (episodes, seed):
        raise SystemExit(
            f"{out} holds {config['episodes']} games of seed {config['seed']}, not {episodes} of "
            f"seed {seed}: give another --work"
        )
    rules, trained = (agent["episodes"]["true_score"] for agent in played["agents"].values())
    return {"rules": rules, "trained": trained}


def report(scores: dict[str, dict[str, list[int]]], first_seed: int) -> list[str]:
    mean = {
        name: {agent: sum(values) / len(values) for agent, values in played.items()}
        for name, played in scores.items()
    }
    trained, rules = ([one[agent] for one in mean.values()] for agent in ("trained", "rules"))
    gain = paired(trained, rules)
    rows = [
        [
            f"`{name}`", first_seed + place, len(played["rules"]),
            record.interval(played["trained"]), record.interval(played["rules"]),
            interval(paired(played["trained"], played["rules"])),
        ]
        for place, (name, played) in enumerate(scores.items())
    ]  # fmt: skip
    return [
        "True score, mean ± half of its 95 % interval: in a row over games (of the gain, over "
        "pairs of equal games), in the last row over the runs.",
        "",
        *record.table(["run", "games' seed", "games", "trained", "rules alone", "gain"], [
            *rows,
            [
                "**all**", "", sum(len(played["rules"]) for played in scores.values()),
                record.interval(trained), record.interval(rules),
                f"**{interval(gain)}**, p {p_value(gain['p'])}",
            ],
        ]),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="folders of training runs")
    parser.add_argument("--episodes", type=int, default=2000, help="games of each run")
    parser.add_argument("--seed", type=int, default=3041, help="of the first run's games; +1 each")
    parser.add_argument("--work", type=Path, default=Path("results/against_rules"))
    parser.add_argument("--name", help="of the record, after against_rules_")
    arguments = parser.parse_args()
    header = record.header(runs=arguments.runs)
    arguments.work.mkdir(parents=True, exist_ok=True)
    scores = {
        run.name: play(run, arguments.seed + place, arguments.episodes, arguments.work)
        for place, run in enumerate(arguments.runs)
    }
    name = f"_{arguments.name}" if arguments.name else ""
    title = "What training adds to the rules" + (f": {arguments.name}" if arguments.name else "")
    lines = [f"# {title}", "", *header, ""]
    compact = {
        name: {agent: " ".join(map(str, values)) for agent, values in played.items()}
        for name, played in scores.items()
    }
    record.write(f"against_rules{name}", [*lines, *report(scores, arguments.seed)], compact)


if __name__ == "__main__":
    main()
