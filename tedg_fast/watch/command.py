"""``tedg-watch``: one game of a checkpoint's agent, or a recording of one."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import Progress, track

from tedg_fast.arguments import parsed
from tedg_fast.errors import BadInput
from tedg_fast.evaluate.agents import BUILT_IN, find_agent
from tedg_fast.runs.checkpoint import CheckpointError
from tedg_fast.runs.limits import check_character, flag
from tedg_fast.watch.graph import graph_picture
from tedg_fast.watch.moments import WatchedGame
from tedg_fast.watch.player import (
    GameSource,
    RecordedSource,
    Source,
    play_with_keys,
    print_decided,
    print_lines,
)
from tedg_fast.watch.recording import Recording, read_cast, write_cast, write_gif
from tedg_fast.watch.view import SIZE


@dataclass(frozen=True)
class WatchConfig:
    """Watch an agent play: the map, the conditions that hold, which rules apply to what, and the
    experts.

    In a terminal: space plays and pauses, n or → goes one step on, b or ← one back, + and - change
    the speed, q quits. Elsewhere one line is printed for each step. At the end: how often each rule
    decided.

    For example:
      tedg-watch results/quick_manager
      tedg-watch results/quick_manager/checkpoints/best_model.pth --seed 7 --steps 200 --record game
      tedg-watch game.cast
      tedg-watch my.toml --seed 7
      tedg-watch results/quick_manager --seed 7 --steps 60 --graph moment.svg
    """

    what: Annotated[Path, tyro.conf.Positional]
    """Checkpoint, run folder (its newest checkpoint), a recording (.cast), a rule file
    (.toml), or "rules": the rules alone, without a network."""
    seed: int = 0
    """Run seed of the game; tedg-eval plays the same games under the same seeds."""
    game: int = 0
    """Number of the game under that seed."""
    max_steps: int | None = None
    """Steps after which the game is cut off; as in the agent's training if not given."""
    steps: int | None = None
    """Watch no more than so many steps; the whole game if not given."""
    speed: float = 4.0
    """Steps per second."""
    character: str | None = None
    """NetHack role-race-alignment-gender; as in the agent's training if not given."""
    prayer: bool = False
    """Give the game an action to pray with, also where the agent was trained without."""
    hypergraph: str | None = None
    """Rules of the same play to show in place of those kept in the checkpoint; for "rules" those to
    play by in place of the packaged ones."""
    record: Path | None = None
    """Write NAME.cast (for this command or asciinema) and NAME.gif."""
    graph: Path | None = None
    """Draw the graph at the last step watched; the file's ending says how: svg, pdf, png."""


OF_GAMES = ("seed", "game", "max_steps", "steps", "character", "prayer", "hypergraph", "graph")
"""Settings that a recording does not heed."""


class WatchError(BadInput):
    """A setting that cannot be used; the message is one line."""


def main(arguments: Sequence[str]) -> None:
    """``tedg-watch``."""
    watch(parsed(WatchConfig, arguments, "tedg-watch"))


def watch(config: WatchConfig) -> None:
    """Show, record or draw, as ``config`` says. Raises ``WatchError``, ``RecordingError`` and what
    reading a checkpoint raises."""
    _check(config)
    with _source(config) as (source, game):
        heading = f"tedg-watch {config.what} --seed {config.seed} --game {config.game}"
        if sys.stdin.isatty() and sys.stdout.isatty() and not config.graph:
            play_with_keys(source, heading, config.speed)
        elif config.record or config.graph:
            _play_out(source)
        else:
            print_lines(source)
        print_decided(source.decided())
        if config.graph and game:
            _draw(config.graph, game)
        if config.record:
            _write(config, source, heading)


def _check(config: WatchConfig) -> None:
    if not 0 < config.speed <= 50:
        raise WatchError(f"--speed is {config.speed:g}; it must lie in 0 … 50 steps per second")
    for name in ("seed", "game"):
        if getattr(config, name) < 0:
            raise WatchError(f"--{name} is {getattr(config, name)}; it must not be negative")
    for name in ("max_steps", "steps"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise WatchError(f"--{name.replace('_', '-')} is {value}; it must be at least 1")
    if config.graph and config.graph.suffix not in (".svg", ".pdf", ".png"):
        raise WatchError(f"--graph is {config.graph}; its ending must be .svg, .pdf or .png")
    if config.character is not None:
        check_character(config.character)
    if config.what.suffix == ".cast":
        for name in OF_GAMES:
            if getattr(config, name) != WatchConfig.__dataclass_fields__[name].default:
                raise WatchError(
                    f"{flag(name)} needs a checkpoint or rules: {config.what} is a recording, "
                    "of a game that has been played"
                )
    for path in (config.record, config.graph):
        if path and not path.parent.is_dir():
            raise WatchError(f"{path.parent} is no folder to write {path.name} to")


@contextlib.contextmanager
def _source(config: WatchConfig) -> Iterator[tuple[Source, WatchedGame | None]]:
    if config.what.suffix == ".cast":
        yield RecordedSource(read_cast(config.what)), None
        return
    agent = _agent(config)
    games = agent.games.overridden(config.max_steps, config.character, config.prayer)
    if sys.stderr.isatty() or games != agent.games:
        print(*agent.played_by(games), sep="\n", file=sys.stderr)
    game = WatchedGame(agent, config.seed, config.game, games)
    try:
        yield GameSource(game, config.steps or games.max_steps), game
    finally:
        game.close()


def _agent(config: WatchConfig) -> Any:
    if str(config.what) in BUILT_IN and str(config.what) != "rules":
        raise WatchError(f"{config.what} has no rules to look into: give a checkpoint, or rules")
    agent = find_agent(str(config.what), config.hypergraph, greedy=False)
    if not agent.rules.names_actions:
        raise CheckpointError(
            f"{config.what} plays by V3's hypergraph, whose rules name no actions: tedg-watch "
            "shows agents of tedg_fast's own rules"
        )
    return agent


def _play_out(source: Source) -> None:
    """Play to the end without showing it."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("playing", total=None)
        while source.advance():
            progress.advance(task)


def _draw(path: Path, game: WatchedGame) -> None:
    try:
        graph_picture(path, game.moment, game.hypergraph)
    except OSError as error:
        raise WatchError(f"{path} cannot be written: {error.strerror}") from None
    print(f"graph at step {game.moment.step} in {path}")


def _write(config: WatchConfig, source: Source, heading: str) -> None:
    size = source.recording.size if isinstance(source, RecordedSource) else SIZE
    recording = Recording(size, 1 / config.speed, source.recorded(heading))
    assert config.record is not None  # so it is called
    cast, gif = (config.record.with_suffix(ending) for ending in (".cast", ".gif"))
    if cast != config.what:
        write_cast(cast, recording)
    console = Console(stderr=True)
    drawn = track(recording.shots, "drawing", console=console, transient=True)
    write_gif(gif, recording, drawn)
    print(f"{len(recording.shots)} moments in {cast} and {gif}")
