"""What ``tedg-train`` does around the training itself: what it was asked for, and how it ended."""

import contextlib
import math
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from tedg_fast.arguments import parsed
from tedg_fast.errors import STOPPING, Stopped
from tedg_fast.machine import allow_files
from tedg_fast.nethack.games.worker_process import WorkerError
from tedg_fast.runs.config import ConfigError, TrainConfig, changed_settings, to_dict
from tedg_fast.runs.config_file import read_config
from tedg_fast.runs.folder import RunFolder
from tedg_fast.runs.limits import check_config
from tedg_fast.runs.model import Rules, load_rules
from tedg_fast.runs.platform import platform
from tedg_fast.runs.source import AnySource, Source, find_checkpoint
from tedg_fast.train.display import Display
from tedg_fast.train.distributed import World, joined
from tedg_fast.train.flags import ineffective_flags, refuse_contradictions
from tedg_fast.train.memory import check_memory
from tedg_fast.train.resume import check_takeover, goes_on_in
from tedg_fast.train.tracking import Service, check_service, tracked
from tedg_fast.train.trainer import Trainer

PROGRAM = "tedg-train"
AUTO = "auto"
WORDS = b"\nstopping and saving; once more stops at once\n"


@dataclass(frozen=True)
class TrainCommand:
    """Train a graph-guided mixture-of-experts agent on NetHack with PPO.

    For example:
      tedg-train --exp-name quick_manager --episodes 100
      tedg-train --resume results/quick_manager --episodes 500
      tedg-train --exp-name job --resume auto --episodes 5000
      tedg-train --config results/job/config.toml --exp-name again --seed 1
    """

    settings: Annotated[TrainConfig, tyro.conf.arg(name="")]
    config: Path | None = None
    """TOML file of settings, like the config.toml in every run's folder; flags override it."""
    quiet: bool = False
    """Print plain lines, also in a terminal."""
    track: Service | None = None
    """Send all series to this service as well."""


class Prepared(NamedTuple):
    """What the command line asks for, checked. ``words`` say which rules are played by."""

    command: TrainCommand
    source: AnySource | None
    hypergraph: Rules
    words: str


def main(arguments: Sequence[str]) -> None:
    """Train as the command line says. Raises ``RankLost``, ``RanksDiffer`` or ``WorkerError`` where
    the run cannot go on; what was done until then is saved."""
    with joined() as world:
        _train(arguments, world)


def _train(arguments: Sequence[str], world: World) -> None:
    restarted = world.restarted()
    command, source, hypergraph, words = world.first(lambda: _prepared(arguments, world, restarted))
    _require_one_platform(world)
    config = command.settings
    folder = RunFolder(config.results, config.exp_name)
    quiet = command.quiet or not world.leads
    display = Display(config.episodes, quiet=quiet)
    trainer = Trainer(config, hypergraph, display, world)
    if source is not None:
        trainer.resume(source)
    stops = _stop_on_signals(trainer)
    if not world.leads:
        trainer.run()
        return
    ranks = f" in {world.size} ranks" if world.size > 1 else ""
    where = f"on {config.device}{ranks}, into {folder.path}"
    print(f"{config.exp_name}: {_beginning(source)}, {where}")
    if words:
        print(words)
    with (
        folder.claimed(),
        tracked(command.track, folder, to_dict(config)) as trainer.recorder.log.tracker,
    ):
        for remark in ineffective_flags(config):
            display.warn(remark)
        try:
            with display:
                trainer.run()
        except Stopped as stop:  # nobody reads the output; what was done is saved
            stops.append(stop.number)
        except WorkerError as error:
            end = trainer.recorder.saver.unsaved or "what was done until then is saved"
            raise WorkerError(f"{error}; {end}, go on with: {_resume(trainer)}") from error
    _say_how_it_ended(trainer, stops)


def _prepared(arguments: Sequence[str], world: World, restarted: bool) -> Prepared:
    """Nothing is written yet."""
    command, source = _configuration(arguments, restarted)
    config, words = command.settings, ""
    check_config(config, world.size)
    check_service(command.track)
    if source is None:
        hypergraph = load_rules(config.hypergraph)
    else:
        hypergraph, words = source.rules(config.hypergraph)
    if isinstance(source, Source) and config.hypergraph is None:  # where they first came from
        config = replace(config, hypergraph=source.state["config"]["hypergraph"])
        command = replace(command, settings=config)
    refuse_contradictions(config, hypergraph, arguments)
    if not hypergraph.names_actions and config.decide != "always":
        config = replace(config, decide="always")
        command = replace(command, settings=config)
        always = "V3's rules name no actions: its network decides at every step"
        words = f"{words}\n{always}" if words else always
    check_memory(config, hypergraph, world.local_size / world.size)
    folder = RunFolder(config.results, config.exp_name)
    games = config.num_envs * world.local_size / world.size
    allow_files(math.ceil(games / config.num_workers))
    if source is not None:
        check_takeover(source, config)
    if source is None or not goes_on_in(source, folder):
        folder.refuse_existing()
        if source is not None and source.completed >= config.episodes:
            raise ConfigError(
                f"{source.path} has {source.completed} episodes already and --episodes, the total "
                f"to reach, is {config.episodes}: ask for more"
            )
    return Prepared(command, source, hypergraph, words)


def _require_one_platform(world: World) -> None:
    """Raise ``ConfigError`` where this rank could come to other bits than the first one."""
    others = changed_settings(world.first(platform), platform())
    if others:
        raise ConfigError(
            f"rank {world.rank} runs on another platform than rank 0, so their parameters would "
            f"drift apart: {'; '.join(others)}; use equal machines with the same installation"
        )


def _say_how_it_ended(trainer: Trainer, stops: list[int]) -> None:
    """Exits with code 1 if the end of the run could not be saved, with a stop's if it was stopped.

    Not of several ranks: a launcher would take that for a failure, and start them again.
    """
    recorder = trainer.recorder
    folder, unsaved = recorder.folder, recorder.saver.unsaved
    resume = _resume(trainer)
    if unsaved:
        print(
            f"{PROGRAM}: {unsaved}; the end of this run is lost, go on from its "
            f"newest checkpoint with: {resume}",
            file=sys.stderr,
        )
        sys.exit(1)
    wanted, completed = trainer.config.episodes, trainer.progress.completed
    done = completed >= wanted
    stop = Stopped(stops[0]) if stops and not done else None
    lines = [
        f"{min(completed, wanted)} episodes done; results are in {folder.path}",
        f"go on with: {resume}" + (f" --episodes {recorder.more()}" if done else ""),
    ]
    if recorder.no_update:
        lines.insert(1, recorder.no_update)
    if stop is not None:
        lines.insert(0, f"stopped by {signal.Signals(stop.number).name}, and saved")
    with contextlib.suppress(OSError):  # the terminal may be closed
        # Where nobody reads what we print, the terminal may still show this.
        print(
            "\n".join(lines), file=sys.stderr if signal.SIGPIPE in stops else sys.stdout, flush=True
        )
    if stop is not None and trainer.world.size == 1:
        sys.exit(stop.exit_code)


def _resume(trainer: Trainer) -> str:
    """The command that goes on with a run."""
    program = PROGRAM
    if trainer.world.size > 1:
        program = f"torchrun (with {trainer.world.size} ranks as before) -m tedg_fast.train"
    return f"{program} --resume {shlex.quote(str(trainer.recorder.folder.path))}"


def _beginning(source: AnySource | None) -> str:
    if source is None:
        return "a new run"
    return f"going on from {source.path} with {source.completed} episodes"


def _configuration(
    arguments: Sequence[str], restarted: bool
) -> tuple[TrainCommand, AnySource | None]:
    """The command line's configuration; what it leaves open comes from the resumed checkpoint, or
    else from the file that --config names.

    A run that the launcher ``restarted``, or that is resumed by "auto", goes on from its own newest
    checkpoint, if there is one.
    """
    command = _parsed(arguments, TrainConfig())
    if command.config is not None:
        command = _parsed(arguments, read_config(command.config))
    asked = command.settings.resume
    if asked is not None and asked != AUTO:
        if command.config is not None:
            raise ConfigError(
                "--config and --resume are both given: a resumed run's settings come from its "
                "checkpoint; leave out one"
            )
        command, source = _resumed(arguments, Path(asked))
    else:
        source = None
    folder = RunFolder(command.settings.results, command.settings.exp_name)
    if (restarted or asked == AUTO) and any(folder.checkpoints.glob("*.pth")):
        return _resumed(arguments, folder.path)
    return command, source


def _resumed(arguments: Sequence[str], path: Path) -> tuple[TrainCommand, AnySource]:
    """The checkpoint at ``path``, and the configuration with which to go on from it; its
    ``hypergraph`` is the path that was given, None if the kept rules are to be used."""
    source = find_checkpoint(path)
    return _parsed(arguments, source.settings()), source


def _parsed(arguments: Sequence[str], default: TrainConfig) -> TrainCommand:
    return parsed(TrainCommand, arguments, PROGRAM, default=TrainCommand(default))


def _stop_on_signals(trainer: Trainer) -> list[int]:
    """The first signal to stop saves and ends the run, a second one ends it at once → the numbers
    of those that came."""
    stops: list[int] = []

    def request_stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stops.append(number)
        if trainer.world.leads:
            with contextlib.suppress(OSError):  # a closed terminal
                os.write(sys.stderr.fileno(), WORDS)  # print may be what was interrupted
        trainer.stop.request()

    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, request_stop)
    return stops
