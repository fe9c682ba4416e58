"""What ``tedg-ablate`` does: train every arm with every seed, evaluate, compare.

All state is in the run folders, so the same command again goes on where the last one stopped.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tedg_fast.arguments import parsed
from tedg_fast.errors import Stopped
from tedg_fast.evaluate.arms import ARMS, FULL, Trial, plan
from tedg_fast.evaluate.early_stop import in_words, num_looks, seeds_of, stages
from tedg_fast.evaluate.evaluation import complete_evaluation
from tedg_fast.evaluate.grid import grid, report
from tedg_fast.evaluate.jobs import Job, run_jobs
from tedg_fast.files import write_whole
from tedg_fast.machine import cores
from tedg_fast.runs.config import ConfigError, changed_settings, from_dict, to_dict
from tedg_fast.runs.folder import RunFolder
from tedg_fast.runs.limits import RANGES, flag, plain
from tedg_fast.runs.log import load_run
from tedg_fast.runs.model import load_rules

PROGRAM = "tedg-ablate"
REFERENCE = "reference"
"""Name of the evaluation of chance and the rules alone."""


@dataclass(frozen=True)
class AblateConfig:
    """Train the full system and what is left of it without one of its parts, over several seeds,
    and compare them in one table.

    The same command again goes on where it was stopped. Flags of tedg-train for every run follow
    after --, as in: tedg-ablate --seeds 1 2 3 -- --max-steps 1000
    """

    arms: tuple[str, ...] = tuple(ARMS)
    """What to compare; the full system is the measure of all others."""
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Seeds of the training runs, the same for every arm. Their number decides how sure a look of
    --early-stop must be, so it is to be chosen before the first one."""
    early_stop: bool = True
    """After each seed from the third on, run an arm no further whose final policies' difference
    from the full system's is clear (Student's paired t at a level of 0.05 / looks)."""
    indifference: float = 0.0
    """Run an arm no further, either, whose difference is surely smaller than this many percent of
    the full system's score; 0: only those that differ."""
    episodes: int = 500
    """Episodes each run is trained for."""
    results: str = "results/ablation"
    """Folder of the runs and of the tables, ablation.md and ablation.json."""
    parallel: int = field(default_factory=lambda: max(1, cores() // 2))
    """Runs at a time; each gets its share of the cores."""
    eval_episodes: int = 100
    """Games that every trained policy, the rules alone and chance play in the end."""
    eval_seed: int = 1000
    """Seed of these games."""


def main(arguments: Sequence[str]) -> None:
    """``tedg-ablate``: exits with 1 if a run failed."""
    arguments = list(arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    config = parsed(AblateConfig, arguments[:end], PROGRAM)
    try:
        failed = ablate(config, arguments[end + 1 :])
    except Stopped as stop:
        stop.words = "stopped; the same command goes on"
        raise
    if failed:
        names = ", ".join(failed)
        print(f"{PROGRAM}: {names} failed; the same command tries again", file=sys.stderr)
        sys.exit(1)


def ablate(config: AblateConfig, train_arguments: list[str]) -> list[str]:
    """Run the grid and write its tables → the names of the runs that failed.

    Raises ``ConfigError``, ``LogError`` and what loading rules raises, before anything runs.
    """
    _check(config)
    workers = max(1, cores() // config.parallel)
    share = ["--num-workers", str(workers)]
    common = [*share, *train_arguments]
    trials, repeats = plan(
        config.arms, config.seeds, results=config.results, episodes=config.episodes, common=common
    )
    begun = {trial.name: _check_folder(trial) for trial in trials}
    for arm, reason in repeats.items():
        print(f"{arm} is left out: it {reason}")
    results = Path(config.results)
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--results {results} cannot be made: {error.strerror}") from None

    reference = _reference(config, trials[0])
    jobs = {trial.name: _job(config, trial, begun[trial.name]) for trial in trials}
    record = _write(config, trials, repeats)

    def wanted(among: Sequence[int]) -> list[Job]:
        """Chance and the rules, and the runs that the verdicts ask for with these seeds."""
        seeds = seeds_of(record["verdicts"], config.seeds)
        runs = [trial for trial in trials if trial.seed in among and trial.seed in seeds[trial.arm]]
        return [reference, *(jobs[trial.name] for trial in runs)]

    known = wanted(config.seeds)
    print(f"{sum(not job.commands for job in known)} of {len(known)} jobs are done already")
    failed: list[str] = []

    def begin(job: Job) -> None:
        print(f"{job.name}: begins; its output goes to {job.output}", flush=True)

    def end(job: Job, code: int) -> None:
        if code:
            failed.append(job.name)
            print(f"{job.name}: failed with exit code {code}: {job.last_words()}", flush=True)
        else:
            print(f"{job.name}: done in {job.seconds:.0f} s", flush=True)
        _write(config, trials, repeats)

    for seeds in stages(config.seeds, record["looks"]):
        waiting = [job for job in wanted(seeds) if job.done < len(job.commands)]
        if waiting:
            run_jobs(waiting, config.parallel, begin, end)
            before, record = record, _write(config, trials, repeats)
            for arm, found in record["verdicts"].items():
                if found and not before["verdicts"][arm]:
                    print(f"{arm}: {in_words(found, len(config.seeds))}", flush=True)
    print(report(record))
    print(f"these tables are in {results}/ablation.md, all numbers in {results}/ablation.json")
    return failed


def _check(config: AblateConfig) -> None:
    for arm in config.arms:
        if arm not in ARMS:
            raise ConfigError(f"--arms: there is no arm {arm!r}; there are {', '.join(ARMS)}")
    for name in ("arms", "seeds"):
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            raise ConfigError(f"{flag(name)} must be given at least one, and each once")
    if FULL not in config.arms:
        raise ConfigError(f"--arms lacks {FULL}, with which the others are compared")
    low, high = RANGES["num_workers"]
    if not low <= config.parallel <= high:
        raise ConfigError(
            f"--parallel is {config.parallel}; it must lie in {plain(low)} … {plain(high)}"
        )
    if not 0 <= config.indifference <= 100:
        raise ConfigError(f"--indifference is {config.indifference}; it must lie in 0 … 100")
    if config.indifference and not config.early_stop:
        raise ConfigError("--indifference contradicts --no-early-stop: leave out one of the two")
    for name, of in (("eval_episodes", "episodes"), ("eval_seed", "seed")):
        low, high = RANGES[of]
        value = getattr(config, name)
        if not low <= value <= high:
            raise ConfigError(
                f"{flag(name)} is {value}; it must lie in {plain(low)} … {plain(high)}"
            )


def _folder(trial: Trial) -> RunFolder:
    return RunFolder(trial.config.results, trial.config.exp_name)


def _check_folder(trial: Trial) -> bool:
    """Whether the trial's run has begun; ``ConfigError`` if it is another run, or at work."""
    folder = _folder(trial)
    if folder.in_use():
        raise ConfigError(f"a tedg-train is at work in {folder.path}: wait for its end, or stop it")
    if not any(folder.checkpoints.glob("*.pth")):
        return False
    try:
        there = to_dict(from_dict(load_run(folder.path).config))
    except ConfigError as error:
        raise ConfigError(f"{folder.path}: {error}: choose another --results") from None
    changed = changed_settings(there, to_dict(trial.config))
    if changed:
        raise ConfigError(
            f"{folder.path} is a run with other settings ({'; '.join(changed)}): choose another "
            "--results"
        )
    return True


def _job(config: AblateConfig, trial: Trial, begun: bool) -> Job:
    """What is left to do for a trial: to begin or go on, to evaluate, or nothing."""
    folder = _folder(trial)
    commands = []
    trained = folder.final.exists() and load_run(folder.path).last_episode >= config.episodes
    if not trained:
        resume = ["--resume", str(folder.path)] if begun else []
        commands.append(_command("train", *trial.arguments, *resume))
    out = evaluation_file(trial)
    agents = [str(folder.final)]
    if not trained or not _is_evaluated(out, agents, config, trial):
        commands.append(_evaluation(agents, out, config, trial))
    return Job(trial.name, commands, Path(config.results) / f"{trial.name}.out")


def _reference(config: AblateConfig, trial: Trial) -> Job:
    """Chance and the rules alone, in the same games."""
    out = Path(config.results) / f"{REFERENCE}.json"
    agents = ["random", "rules"]
    if not load_rules(trial.config.hypergraph).names_actions:
        agents.remove("rules")
    done = _is_evaluated(out, agents, config, trial)
    commands = [] if done else [_evaluation(agents, out, config, trial)]
    return Job(REFERENCE, commands, out.with_suffix(".out"))


def evaluation_file(trial: Trial) -> Path:
    """Where a trial's evaluation is."""
    return _folder(trial).path / "evaluation.json"


def _evaluation(agents: list[str], out: Path, config: AblateConfig, trial: Trial) -> list[str]:
    arguments = [*agents, "--out", str(out)]
    for name, value in _games(config, trial).items():
        if value is not False:
            arguments += [flag(name)] if value is True else [flag(name), str(value)]
    arguments += ["--num-workers", str(trial.config.num_workers)]
    if trial.config.hypergraph is not None:
        arguments += ["--hypergraph", trial.config.hypergraph]
    return _command("eval_", *arguments)


def _games(config: AblateConfig, trial: Trial) -> dict[str, Any]:
    """The games of an evaluation, by the names of ``EvalConfig``."""
    return {
        "episodes": config.eval_episodes,
        "seed": config.eval_seed,
        "max_steps": trial.config.max_steps,
        "character": trial.config.character,
        "prayer": trial.config.prayer,
    }


def _is_evaluated(out: Path, agents: list[str], config: AblateConfig, trial: Trial) -> bool:
    """Whether the file holds this evaluation, complete, by the final checkpoint as it is."""
    try:
        record = complete_evaluation(out)
        if record is None:
            return False
        same = record["config"].items() >= _games(config, trial).items()
        return same and list(record["agents"]) == agents and not _newer(agents[0], out)
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def _newer(agent: str, out: Path) -> bool:
    checkpoint = Path(agent)
    return checkpoint.exists() and checkpoint.stat().st_mtime > out.stat().st_mtime


def _command(entry: str, *arguments: str) -> list[str]:
    """One of our commands, by this interpreter."""
    return [sys.executable, "-c", f"from tedg_fast import cli; cli.{entry}()", *arguments]


def _write(config: AblateConfig, trials: list[Trial], repeats: dict[str, str]) -> dict[str, Any]:
    """Write the tables of what is finished so far; returns what they are made of."""
    results = Path(config.results)
    evaluations = {trial.name: evaluation_file(trial) for trial in trials}
    record = grid(
        trials, repeats, evaluations, results / f"{REFERENCE}.json",
        looks=num_looks(len(config.seeds)) if config.early_stop else 0,
        indifference=config.indifference,
    )  # fmt: skip
    write_whole(results / "ablation.json", json.dumps(record, allow_nan=False).encode())
    write_whole(results / "ablation.md", report(record).encode())
    return record
