"""The ablation's numbers: of each run, of each arm over its seeds, and as tables."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tedg_fast.evaluate import table
from tedg_fast.evaluate.arms import FULL, Trial, num_parameters
from tedg_fast.evaluate.early_stop import FIRST_LOOK, in_words, seeds_of, verdict
from tedg_fast.evaluate.evaluation import complete_evaluation
from tedg_fast.evaluate.summary import finite, paired
from tedg_fast.report.arms import WINDOW
from tedg_fast.report.statistics import mean_interval
from tedg_fast.runs.log import LogError, Run, load_run
from tedg_fast.runs.model import load_rules
from tedg_fast.runs.platform import platform

STEPS = (100_000, 300_000, 500_000, 700_000)
"""Environment steps at which scores are compared."""
SCORES = ("true_score", "last_observation_score")
KEPT = ("number", "true_score", "last_observation_score", "length", "depth", "env_steps")
"""Series of every episode that the record keeps."""


def grid(
    trials: Sequence[Trial],
    repeats: dict[str, str],
    evaluations: dict[str, Path],
    reference: Path,
    *,
    looks: int = 0,
    indifference: float = 0.0,
) -> dict[str, Any]:
    """Everything about the trials that are finished, as plain values.

    ``evaluations`` says where the evaluation of each trial is, ``reference`` where that of chance
    and the rules; what is not there yet is None. ``looks`` is how often the seeds so far are looked
    at to settle arms (0: never), with ``indifference`` in percent; what a settled arm has beyond
    its look is left out, so that the same trials give the same record however they came about.
    """
    rules = load_rules(trials[0].config.hypergraph)
    arms = list(dict.fromkeys(trial.arm for trial in trials))
    configs = {trial.arm: trial.config for trial in reversed(trials)}
    others = _agents(reference)
    runs: dict[str, dict[int, dict[str, Any]]] = {arm: {} for arm in arms}
    for trial in trials:
        run = _finished(trial)
        if run is not None:
            agents = list(_agents(evaluations[trial.name]).values())
            runs[trial.arm][trial.seed] = measure(run, agents[0] if agents else None, others)
    seeds = list(dict.fromkeys(trial.seed for trial in trials))
    scores = {arm: _evaluated(done) for arm, done in runs.items()}
    verdicts = {
        arm: verdict(scores[arm], scores[FULL], seeds, looks, indifference)
        for arm in arms
        if arm != FULL
    }
    for arm, wanted in seeds_of(verdicts, seeds).items():
        runs[arm] = {seed: runs[arm][seed] for seed in wanted if seed in runs[arm]}
    full = runs[FULL]
    return {
        "format": "tedg-ablation",
        "version": 1,
        "platform": platform(),
        "hypergraph": {"name": rules.name, "digest": rules.digest},
        "episodes": trials[0].config.episodes,
        "seeds": seeds,
        "looks": looks,
        "verdicts": verdicts,
        "repeats": repeats,
        "parameters": {arm: num_parameters(rules, configs[arm]) for arm in arms},
        "reference": {name: entry["summary"] for name, entry in others.items()},
        "arms": {arm: over_seeds(runs[arm], full, max(1, looks)) for arm in arms},
        "runs": {arm: {str(seed): run for seed, run in runs[arm].items()} for arm in arms},
    }


def _finished(trial: Trial) -> Run | None:
    try:
        run = load_run(Path(trial.config.results, trial.config.exp_name))
    except LogError:
        return None
    return run if run.last_episode >= trial.config.episodes else None


def _agents(path: Path) -> dict[str, Any]:
    """The agents of an evaluation; none where there is no complete one."""
    evaluation = complete_evaluation(path)
    return {} if evaluation is None else evaluation["agents"]


def measure(run: Run, evaluation: dict[str, Any] | None, others: dict[str, Any]) -> dict[str, Any]:
    """Of one run: scores over its last ``WINDOW`` episodes, and over those before each of
    ``STEPS``; health; what its final policy did in the evaluation's games, and by how much its
    true score there exceeds that of ``others`` in the same games; every episode."""
    episodes, updates = run.episodes, run.updates
    tenth = math.ceil(len(updates["completed"]) / 10)
    alignment = updates["alignment_loss"]
    measured: dict[str, Any] = {name: float(episodes[name][-WINDOW:].mean()) for name in SCORES}
    measured |= {
        "at_steps": {str(steps): score_at(run, steps) for steps in STEPS},
        "rollbacks": int(updates["rollbacks"][-1]),
        "grad_norm": _reduced(np.max, updates["grad_norm"]),
        "attention_variance": _reduced(np.min, updates["attention_variance"]),
        "alignment_first": _reduced(np.mean, alignment[:tenth]),
        "alignment_last": _reduced(np.mean, alignment[-tenth:]),
        "evaluation": None,
        "episodes": {name: episodes[name].astype(int).tolist() for name in KEPT},
    }
    if evaluation is not None:
        measured["evaluation"] = {
            "true_score": evaluation["summary"]["true_score"]["mean"],
            "last_observation_score": evaluation["summary"]["last_observation_score"]["mean"],
            "experts": evaluation["experts"],
            "gain": {name: _gains(evaluation, other) for name, other in others.items()},
        }
    return measured


def score_at(run: Run, steps: int) -> float | None:
    """Mean true score of the last ``WINDOW`` episodes that ended within ``steps`` environment
    steps; None if the run did not get that far, or none had ended."""
    ended = run.episodes["env_steps"] <= steps
    if run.updates["env_steps"][-1] < steps or not ended.any():
        return None
    return float(run.episodes["true_score"][ended][-WINDOW:].mean())


def _reduced(how: Any, values: np.ndarray) -> float | None:
    """Of the finite values; None if there is none."""
    values = values[np.isfinite(values)]
    return float(how(values)) if len(values) else None


def _gains(evaluation: dict[str, Any], other: dict[str, Any]) -> list[int]:
    """Differences of true scores in the games that both have played, in the games' order."""
    mine, theirs = (
        dict(zip(entry["episodes"]["number"], entry["episodes"]["true_score"]))
        for entry in (evaluation, other)
    )
    return [mine[number] - theirs[number] for number in sorted(mine.keys() & theirs.keys())]


def over_seeds(
    runs: dict[int, dict[str, Any]], full: dict[int, dict[str, Any]], looks: int = 1
) -> dict[str, Any]:
    """Of one arm: means over its seeds with their 95 % intervals, and its difference from the
    full system over common seeds at the level of one of ``looks``, in the last episodes and by the
    final policies; the worst of its health; the mean use of its experts."""
    evaluations = [run["evaluation"] for run in runs.values() if run["evaluation"]]
    common = sorted(runs.keys() & full.keys())
    final, of_full = _evaluated(runs), _evaluated(full)
    both = sorted(final.keys() & of_full.keys())
    gains = sorted({name for evaluation in evaluations for name in evaluation["gain"]})
    return {
        "seeds": list(runs),
        **{name: _interval(run[name] for run in runs.values()) for name in SCORES},
        "less_full": paired(
            [runs[seed]["true_score"] for seed in common],
            [full[seed]["true_score"] for seed in common],
            looks,
        ),
        "at_steps": {
            str(steps): _interval(run["at_steps"][str(steps)] for run in runs.values())
            for steps in STEPS
        },
        "rollbacks": sum(run["rollbacks"] for run in runs.values()),
        "grad_norm": _of(max, runs, "grad_norm"),
        "attention_variance": _of(min, runs, "attention_variance"),
        "alignment_first": _interval(run["alignment_first"] for run in runs.values()),
        "alignment_last": _interval(run["alignment_last"] for run in runs.values()),
        "evaluated": _interval(final.values()),
        "evaluated_less_full": paired(
            [final[seed] for seed in both], [of_full[seed] for seed in both], looks
        ),
        "gain": {
            name: gain_interval([evaluation["gain"][name] for evaluation in evaluations])
            for name in gains
        },
        "experts": _mean_experts([evaluation["experts"] for evaluation in evaluations]),
    }


def _evaluated(runs: dict[int, dict[str, Any]]) -> dict[int, float]:
    """Mean true score of the final policies, by seed, as far as they are evaluated."""
    return {s: run["evaluation"]["true_score"] for s, run in runs.items() if run["evaluation"]}


def _interval(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """Of the values that there are."""
    there = [value for value in values if value is not None]
    mean, half_width = mean_interval(there)
    return {"count": len(there), "mean": finite(mean), "half_width": finite(half_width)}


def gain_interval(gains: Sequence[Sequence[int]]) -> dict[str, float | int | None]:
    """Mean and half-width of an arm's gains over another agent, [seeds][games].

    Seeds and games are both samples, and the other agent's luck is the same for all seeds: the
    half-widths of the seeds' means and of the games' means are added in quadrature.
    """
    table = np.array(gains, float)
    mean, over_seeds = mean_interval(table.mean(1))
    half_width = math.hypot(over_seeds, mean_interval(table.mean(0))[1])
    return {"count": len(table), "mean": finite(mean), "half_width": finite(half_width)}


def _of(choose: Any, runs: dict[int, dict[str, Any]], name: str) -> float | None:
    values = [run[name] for run in runs.values() if run[name] is not None]
    return choose(values) if values else None


def _mean_experts(uses: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Means over seeds of what ``expert_use`` says, None without any."""
    if not uses:
        return None

    def mean(*path: str) -> float:
        values: list[Any] = uses
        for name in path:
            values = [value[name] for value in values]
        return float(np.mean(values))

    return {
        **{part: {name: mean(part, name) for name in uses[0][part]} for part in
           ("usage", "leading")},
        "contexts": {
            name: {part: mean("contexts", name, part) for part in ("information", "control_95")}
            for name in uses[0]["contexts"]
        },
    }  # fmt: skip


def report(record: dict[str, Any]) -> str:
    """The record's tables, as Markdown."""
    arms = {name: arm for name, arm in record["arms"].items() if arm["seeds"]}
    first = max(1, record["episodes"] - WINDOW + 1)
    lines = [
        "# Ablation",
        f"Mean over seeds ± half of its 95 % interval (Student's t). Of {len(record['seeds'])} "
        "seeds each arm has those that are finished. Differences from the full system pair runs "
        "of equal seeds; p is Student's paired test, not corrected for the number of arms.",
        *(f"{arm} is left out: it {why}." for arm, why in record["repeats"].items()),
        f"## Score, episodes {first}–{record['episodes']}",
        table.markdown(
            ("arm", "parameters", "seeds", "true score", "last-observation score", f"less {FULL}",
             "p", *(f"true score at {steps // 1000}k steps" for steps in STEPS)),
            [_score_row(name, arm, record) for name, arm in arms.items()],
        ),
        *_early_stop(record),
        "## The same games for all",
        "True score of the final policies, and its differences from the full system's, from chance "
        "and from the rules alone in the same games. Intervals: of agents that learned, and of "
        "their difference from the full system, over seeds; of the others over games; of the other "
        "differences over both.",
        table.markdown(
            ("agent", "true score in these games", f"less {FULL}", "p",
             *(f"less {name}" for name in record["reference"])),
            [*(_evaluation_row(name, arm, record) for name, arm in arms.items()),
             *([name, table.interval(summary["true_score"]),
                *["–"] * (2 + len(record["reference"]))]
               for name, summary in record["reference"].items())],
        ),
        "## Health",
        "Sums and extremes over all updates of all seeds; alignment loss: mean over the first and "
        "the last tenth of the updates.",
        table.markdown(
            ("arm", "updates undone (NaN)", "largest gradient norm", "least attention variance",
             "alignment loss, first", "last"),
            [_health_row(name, arm) for name, arm in arms.items()],
        ),
        "## Use of the experts",
        "Share of decisions that each expert leads, and mutual information (millinats) of the "
        "leading expert and the context, with the 95th percentile of the shifted control in "
        "brackets.",
        _expert_table(arms),
    ]  # fmt: skip
    return "\n\n".join(lines) + "\n"


def _early_stop(record: dict[str, Any]) -> list[str]:
    """What is said under the table of scores where arms may be settled before all seeds are run."""
    looks, number = record["looks"], len(record["seeds"])
    if not looks or not record["verdicts"]:
        return []
    verdicts = (f"- {arm}: {in_words(found, number)}" for arm, found in record["verdicts"].items())
    return [
        f"After each seed from number {FIRST_LOOK} on the final policies' differences so far are "
        "looked at (below: the same games for all); an arm that this settles is run no further. "
        f"For {looks} looks the interval and p of less {FULL} are those at the level of a look, "
        f"0.05 / {looks} (p is multiplied by {looks}): "
        "Bonferroni's correction, valid whatever the dependence between looks.",
        "\n".join(verdicts),
    ]


def _score_row(name: str, arm: dict[str, Any], record: dict[str, Any]) -> list[str]:
    return [
        name, f"{record['parameters'][name]:,}", str(len(arm["seeds"])),
        *(table.interval(arm[score]) for score in SCORES),
        *_less_full(name, arm["less_full"]),
        *(table.interval(arm["at_steps"][str(steps)]) for steps in STEPS),
    ]  # fmt: skip


def _evaluation_row(name: str, arm: dict[str, Any], record: dict[str, Any]) -> list[str]:
    nothing = {"mean": None, "half_width": None}
    gains = (arm["gain"].get(other, nothing) for other in record["reference"])
    return [
        name, table.interval(arm["evaluated"]), *_less_full(name, arm["evaluated_less_full"]),
        *(table.interval(gain) for gain in gains),
    ]  # fmt: skip


def _less_full(name: str, less: dict[str, Any]) -> list[str]:
    """The difference from the full system, and its p."""
    return ["–", "–"] if name == FULL else [table.interval(less), table.p_value(less["p"])]


def _health_row(name: str, arm: dict[str, Any]) -> list[str]:
    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    return [
        name, str(arm["rollbacks"]), number(arm["grad_norm"]), number(arm["attention_variance"]),
        table.interval(arm["alignment_first"], 4), table.interval(arm["alignment_last"], 4),
    ]  # fmt: skip


def _expert_table(arms: dict[str, Any]) -> str:
    """One row for each arm with more than one expert that has been evaluated."""
    uses = {name: arm["experts"] for name, arm in arms.items() if arm["experts"]}
    uses = {name: use for name, use in uses.items() if len(use["leading"]) > 1}
    contexts = list(dict.fromkeys(context for use in uses.values() for context in use["contexts"]))
    rows = []
    for name, use in uses.items():
        led = ", ".join(f"{expert} {share:.0%}" for expert, share in use["leading"].items())
        informed = [
            f"{1000 * use['contexts'][context]['information']:.1f} "
            f"({1000 * use['contexts'][context]['control_95']:.1f})"
            for context in contexts
        ]
        rows.append([name, led, *informed])
    return table.markdown(("arm", "leads", *contexts), rows)
