"""A watched game in a file: asciicast (version 2, asciinema.org) and animated GIF."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from rich.color_triplet import ColorTriplet
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tedg_fast.errors import BadInput
from tedg_fast.files import write_whole

_HOME = "\x1b[H"
_FONT_SIZE = 12
_CELL = (7, 14)
"""Pixels of a character."""
_THEME = TerminalTheme(
    (18, 20, 26),
    (208, 208, 208),
    [
        (40, 44, 52), (214, 84, 84), (102, 187, 106), (217, 176, 64), (92, 142, 222),
        (186, 104, 200), (77, 182, 190), (208, 208, 208),
    ],
    [
        (120, 124, 132), (255, 118, 118), (140, 220, 142), (250, 216, 100), (130, 176, 255),
        (220, 140, 232), (120, 220, 226), (255, 255, 255),
    ],
)  # fmt: skip
_SHADES = 4
"""From the ground to each colour: what the edges of letters and dim text are drawn with."""


class RecordingError(BadInput):
    """A recording that cannot be read or written; the message is one line."""


@dataclass(frozen=True)
class Shot:
    """One moment of a recording: its frame with ANSI colours, and its line of plain text."""

    frame: str
    line: str


@dataclass(frozen=True)
class Recording:
    """Shots of ``size`` (columns, rows), ``delay`` seconds apart."""

    size: tuple[int, int]
    delay: float
    shots: Sequence[Shot]


def write_cast(path: Path, recording: Recording) -> None:
    """Write an asciicast; each shot is a frame, and a marker that holds its line."""
    columns, rows = recording.size
    header = {"version": 2, "width": columns, "height": rows, "env": {"TERM": "xterm-256color"}}
    lines = [json.dumps(header)]
    for number, shot in enumerate(recording.shots):
        time = round(number * recording.delay, 3)
        shown = _HOME + shot.frame.replace("\n", "\r\n")
        lines += [json.dumps([time, "o", shown]), json.dumps([time, "m", shot.line])]
    _write(path, ("\n".join(lines) + "\n").encode())


def read_cast(path: Path) -> Recording:
    """A recording that ``write_cast`` wrote; ``RecordingError`` for anything else."""
    try:
        header, *events = map(json.loads, path.read_text().splitlines())
        size = header["width"], header["height"]
        frames = [text for _, kind, text in events if kind == "o"]
        lines = [text for _, kind, text in events if kind == "m"]
        times = [time for time, kind, _ in events if kind == "o"]
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path} is no recording of tedg-watch: {error}") from None
    ours = frames and len(lines) == len(frames) and all(f.startswith(_HOME) for f in frames)
    if header.get("version") != 2 or not ours:
        raise RecordingError(
            f"{path} is no recording of tedg-watch; asciinema play {path} may show it"
        )
    shots = [
        Shot(frame.removeprefix(_HOME).replace("\r\n", "\n"), line)
        for frame, line in zip(frames, lines)
    ]
    return Recording(size, times[1] - times[0] if len(times) > 1 else 1.0, shots)


def write_gif(path: Path, recording: Recording, shots: Iterable[Shot]) -> None:
    """Write an animated GIF of ``shots``, those of the recording (perhaps with a progress bar)."""
    font_file = font_manager.findfont("DejaVu Sans Mono")  # matplotlib brings it along
    font = ImageFont.truetype(font_file, _FONT_SIZE)
    palette = _palette()  # one for all: what stays from frame to frame then costs nothing
    images = [
        _image(shot.frame, recording.size, font).quantize(palette=palette, dither=Image.Dither.NONE)
        for shot in shots
    ]
    try:
        images[0].save(
            path,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=max(20, round(1000 * recording.delay)),
            loop=0,
        )
    except OSError as error:
        raise RecordingError(f"{path} cannot be written: {error.strerror or error}") from None


def _image(frame: str, size: tuple[int, int], font: ImageFont.FreeTypeFont) -> Image.Image:
    """The picture of a frame, as a terminal would show it."""
    (width, height), (columns, rows) = _CELL, size
    image = Image.new("RGB", (columns * width, rows * height), _THEME.background_color)
    draw = ImageDraw.Draw(image)
    console = Console(width=columns, color_system="truecolor", force_terminal=True)
    for row, line in enumerate(Text.from_ansi(frame).split("\n")[:rows]):
        column = 0
        for text, style, _ in line.render(console):
            front, back = _pair(style or Style.null())
            left, top = column * width, row * height
            column += len(text)
            if back != _THEME.background_color:
                draw.rectangle((left, top, column * width - 1, top + height - 1), fill=back)
            for place, character in enumerate(text):
                if character != " ":
                    draw.text((left + place * width, top), character, fill=front, font=font)
    return image


def _palette() -> Image.Image:
    ground = _THEME.background_color
    fronts = [_THEME.foreground_color, *(_THEME.ansi_colors[i] for i in range(16))]
    colours = [ground] + [
        tuple(b + (f - b) * shade // _SHADES for f, b in zip(front, ground))
        for front in fronts
        for shade in range(1, _SHADES + 1)
    ]
    image = Image.new("P", (1, 1))
    image.putpalette([part for colour in colours for part in colour])
    return image


def _pair(style: Style) -> tuple[ColorTriplet, ColorTriplet]:
    """Colours of letters and ground."""
    front = style.color.get_truecolor(_THEME) if style.color else _THEME.foreground_color
    back = style.bgcolor.get_truecolor(_THEME, False) if style.bgcolor else _THEME.background_color
    if style.dim:
        front = ColorTriplet(*((a + b) // 2 for a, b in zip(front, back)))
    return (back, front) if style.reverse else (front, back)


def _write(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise RecordingError(f"{path} cannot be written: {error.strerror or error}") from None
