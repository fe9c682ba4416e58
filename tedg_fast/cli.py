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
from tedg_fast.hypergraph import Hypergraph, HypergraphError
from tedg_fast.legacy import LegacyError, V3Checkpoint, V3Hypergraph
from tedg_fast.train.checkpoint import CheckpointError
from tedg_fast.train.config import TrainConfig, from_dict, to_dict
from tedg_fast.train.display import Display
from tedg_fast.train.distributed import RankLost, World, joined
from tedg_fast.train.limits import ConfigError, check_config
from tedg_fast.train.model import load_rules
from tedg_fast.train.platform import platform
from tedg_fast.train.ranks import RanksDiffer
from tedg_fast.train.resume import Source, changed_settings, check_takeover, find_checkpoint
from tedg_fast.train.run_folder import RunFolder, RunFolderError
from tedg_fast.train.tracking import Service, check_service, tracked
from tedg_fast.train.trainer import Trainer

STOPPING = b"\nstopping and saving; once more stops at once\n"
BAD_INPUT = (
    CheckpointError, ConfigError, HypergraphError, LegacyError, RunFolderError,
)  # fmt: skip


def train() -> None:
    """``tedg-train``: exit code 0 at the end of a run, 1 if its end could not be saved or another
    rank was lost, 2 for bad input; these with one line on stderr."""
    with _bad_input_in_one_line("tedg-train"):
        try:
            _train(sys.argv[1:])
        except (RankLost, RanksDiffer) as error:
            print(f"tedg-train: {error}", file=sys.stderr)
            sys.exit(1)


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


def _train(arguments: list[str]) -> None:
    with joined() as world:
        restarted = world.restarted()
        command, source, hypergraph = world.first(lambda: _prepared(arguments, world, restarted))
        _require_one_platform(world)
        config = command.config
        folder = RunFolder(config.results, config.exp_name)
        quiet = command.quiet or not world.leads
        display = Display(config.episodes, source.completed if source else 0, quiet=quiet)
        trainer = Trainer(config, hypergraph, display, world)
        if isinstance(source, V3Checkpoint):
            trainer.resume_v3(source)
        elif source is not None:
            trainer.resume(source)
        _stop_on_signals(trainer)
        if not world.leads:
            trainer.run()
            return
        ranks = f" in {world.size} ranks" if world.size > 1 else ""
        where = f"on {config.device}{ranks}, into {folder.path}"
        print(f"{config.exp_name}: {_beginning(source)}, {where}")
        with (
            folder.claimed(),
            tracked(command.track, folder, to_dict(config)) as trainer.log.tracker,
        ):
            for remark in config.ineffective_flags():
                display.warn(remark)
            with display:
                trainer.run()
        _say_how_it_ended(trainer)


def _prepared(
    arguments: list[str], world: World, restarted: bool
) -> tuple[TrainCommand, Source | V3Checkpoint | None, Hypergraph | V3Hypergraph]:
    """What the command line asks for, checked; nothing is written yet."""
    command, source = _configuration(arguments, restarted)
    config = command.config
    check_config(config, world.size)
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
    return command, source, hypergraph


def _require_one_platform(world: World) -> None:
    """Raise ``ConfigError`` where this rank could come to other bits than the first one."""
    others = changed_settings(world.first(platform), platform())
    if others:
        raise ConfigError(
            f"rank {world.rank} runs on another platform than rank 0, so their parameters would "
            f"drift apart: {'; '.join(others)}; use equal machines with the same installation"
        )


def _say_how_it_ended(trainer: Trainer) -> None:
    """Exits with code 1 if the end of the run could not be saved."""
    program = "tedg-train"
    if trainer.world.size > 1:
        program = f"torchrun (with {trainer.world.size} ranks as before) -m tedg_fast.train"
    resume = f"{program} --resume {shlex.quote(str(trainer.folder.path))}"
    if trainer.saver.unsaved:
        print(
            f"tedg-train: {trainer.saver.unsaved}; the end of this run is lost, go on from its "
            f"newest checkpoint with: {resume}",
            file=sys.stderr,
        )
        sys.exit(1)
    print(f"{trainer.completed} episodes done; results are in {trainer.folder.path}")
    if trainer.completed >= trainer.config.episodes:
        resume += f" --episodes {max(2 * trainer.completed, 100)}"
    print(f"go on with: {resume}")


def _beginning(source: Source | V3Checkpoint | None) -> str:
    if source is None:
        return "a new run"
    return f"going on from {source.path} with {source.completed} episodes"


def _configuration(
    arguments: list[str], restarted: bool
) -> tuple[TrainCommand, Source | V3Checkpoint | None]:
    """The command line's configuration; what it leaves open comes from the resumed checkpoint.

    A run that the launcher ``restarted`` goes on from its own newest checkpoint, if there is one.
    """
    command = _parsed(arguments, TrainConfig())
    source = None
    if command.config.resume is not None:
        command, source = _resumed(arguments, command, Path(command.config.resume))
    folder = RunFolder(command.config.results, command.config.exp_name)
    if restarted and any(folder.checkpoints.glob("*.pth")):
        return _resumed(arguments, command, folder.path)
    return command, source


def _resumed(
    arguments: list[str], command: TrainCommand, path: Path
) -> tuple[TrainCommand, Source | V3Checkpoint]:
    """The checkpoint at ``path``, and the configuration with which to go on from it."""
    source = find_checkpoint(path)
    if isinstance(source, V3Checkpoint):
        config = replace(command.config, num_experts=source.num_experts)
        return replace(command, config=config), source
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
        if trainer.world.leads:
            os.write(sys.stderr.fileno(), STOPPING)  # print may be what was interrupted
        trainer.request_stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, request_stop)
