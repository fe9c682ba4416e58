"""Command line entry points."""

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from tedg_fast.evaluate.evaluation import EvalConfig, evaluate
from tedg_fast.hypergraph import HypergraphError
from tedg_fast.legacy import LegacyError, V3Checkpoint
from tedg_fast.nethack.grounding import GroundingError
from tedg_fast.train.checkpoint import CheckpointError
from tedg_fast.train.config import TrainConfig, from_dict, to_dict
from tedg_fast.train.display import Display
from tedg_fast.train.limits import ConfigError, check_config
from tedg_fast.train.model import load_rules
from tedg_fast.train.resume import Source, check_takeover, find_checkpoint
from tedg_fast.train.run_folder import RunFolder, RunFolderError
from tedg_fast.train.tracking import Service, check_service, tracked
from tedg_fast.train.trainer import Trainer

STOPPING = b"\nstopping and saving; once more stops at once\n"
BAD_INPUT = (
    CheckpointError, ConfigError, GroundingError, HypergraphError, LegacyError, RunFolderError,
)  # fmt: skip


def train() -> None:
    """``tedg-train``: exit code 0 at the end of a run, 1 if its end could not be saved, 2 for bad
    input; these with one line on stderr."""
    with _bad_input_in_one_line("tedg-train"):
        _train(sys.argv[1:])


def eval_() -> None:
    """``tedg-eval``: exit code 2 and one line on stderr for bad input."""
    with _bad_input_in_one_line("tedg-eval"):
        evaluate(tyro.cli(EvalConfig, prog="tedg-eval"))


def report() -> None:
    """``tedg-report``: as ``tedg-eval``."""
    from tedg_fast.report.command import ReportConfig, ReportError, report

    with _bad_input_in_one_line("tedg-report", ReportError):
        report(tyro.cli(ReportConfig, prog="tedg-report"))


def ablate() -> None:
    """``tedg-ablate``: exit code 1 if a run failed, 2 for bad input, 130 if it was stopped."""
    from tedg_fast.evaluate.ablation import AblateConfig, ablate
    from tedg_fast.report.runs import ReportError

    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    with _bad_input_in_one_line("tedg-ablate", ReportError):
        config = tyro.cli(AblateConfig, args=arguments[:end], prog="tedg-ablate")
        try:
            failed = ablate(config, arguments[end + 1 :])
        except KeyboardInterrupt:
            print("tedg-ablate: stopped; the same command goes on", file=sys.stderr)
            sys.exit(130)
    if failed:
        names = ", ".join(failed)
        print(f"tedg-ablate: {names} failed; the same command tries again", file=sys.stderr)
        sys.exit(1)


def watch() -> None:
    """``tedg-watch``: as ``tedg-eval``."""
    from tedg_fast.watch.command import WatchConfig, WatchError, watch
    from tedg_fast.watch.recording import RecordingError

    with _bad_input_in_one_line("tedg-watch", WatchError, RecordingError):
        watch(tyro.cli(WatchConfig, prog="tedg-watch"))


@contextlib.contextmanager
def _bad_input_in_one_line(program: str, *further: type[Exception]) -> Iterator[None]:
    try:
        yield
    except (*BAD_INPUT, *further) as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(2)


def _train(arguments: list[str]) -> None:
    command, source = _configuration(arguments)
    config = command.config
    check_config(config)
    check_service(command.track)
    hypergraph = load_rules(config.hypergraph)
    folder = RunFolder(config.results, config.exp_name)
    if source is not None:
        check_takeover(source, config, hypergraph)
    if not (isinstance(source, Source) and folder.holds(source.path)):
        folder.refuse_existing()
        if source is not None and source.completed >= config.episodes:
            raise ConfigError(
                f"{source.path} has {source.completed} episodes already and --episodes, the total "
                f"to reach, is {config.episodes}: ask for more"
            )
    completed = source.completed if source else 0
    display = Display(config.episodes, completed, quiet=command.quiet)
    trainer = Trainer(config, hypergraph, display)
    if isinstance(source, V3Checkpoint):
        trainer.resume_v3(source)
    elif source is not None:
        trainer.resume(source)
    print(f"{config.exp_name}: {_beginning(source)}, on {config.device}, into {folder.path}")
    with (
        folder.claimed(),
        tracked(command.track, folder, to_dict(config)) as trainer.log.tracker,
    ):
        for remark in config.ineffective_flags():
            display.warn(remark)
        _stop_on_signals(trainer)
        with display:
            trainer.run()
    if trainer.saver.unsaved:
        print(
            f"tedg-train: {trainer.saver.unsaved}; the end of this run is lost, go on from its newest "
            f"checkpoint with: tedg-train --resume {shlex.quote(str(folder.path))}",
            file=sys.stderr,
        )
        sys.exit(1)
    print(f"{trainer.completed} episodes done; results are in {folder.path}")
    resume = f"tedg-train --resume {shlex.quote(str(folder.path))}"
    if trainer.completed >= config.episodes:
        resume += f" --episodes {max(2 * trainer.completed, 100)}"
    print(f"go on with: {resume}")


def _beginning(source: Source | V3Checkpoint | None) -> str:
    if source is None:
        return "a new run"
    return f"going on from {source.path} with {source.completed} episodes"


@dataclass(frozen=True)
class TrainCommand:
    """Train a graph-guided mixture-of-experts agent on NetHack with PPO.

    For example:
      tedg-train --exp-name quick_manager --episodes 100
      tedg-train --resume results/quick_manager --episodes 500
      tedg-train --exp-name baseline --no-manager --seed 1 --quiet
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    quiet: bool = False
    """Print plain lines, also in a terminal."""
    track: Service | None = None
    """Send all series to this service as well."""


def _configuration(arguments: list[str]) -> tuple[TrainCommand, Source | V3Checkpoint | None]:
    """The command line's configuration; what it leaves open comes from the resumed checkpoint."""
    command = _parsed(arguments, TrainConfig())
    config = command.config
    if config.resume is None:
        return command, None
    source = find_checkpoint(Path(config.resume))
    if isinstance(source, V3Checkpoint):
        return replace(command, config=replace(config, num_experts=source.num_experts)), source
    saved = from_dict(source.state["config"])
    run = RunFolder.around(source.path)
    if run is not None:  # it may have been moved or renamed
        saved = replace(saved, results=str(run.path.parent), exp_name=run.path.name)
    return _parsed(arguments, saved), source


def _parsed(arguments: list[str], default: TrainConfig) -> TrainCommand:
    return tyro.cli(TrainCommand, args=arguments, prog="tedg-train", default=TrainCommand(default))


def _stop_on_signals(trainer: Trainer) -> None:
    """The first SIGINT or SIGTERM saves and ends the run; a second one ends it at once."""

    def request_stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        os.write(sys.stderr.fileno(), STOPPING)  # print may be what was interrupted
        trainer.request_stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, request_stop)
