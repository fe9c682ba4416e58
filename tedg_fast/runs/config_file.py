"""A run's settings as a TOML file: written by every run, and readable again by --config."""

import json
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tedg_fast.runs.config import ConfigError, TrainConfig, from_dict, to_dict

_NOT_SETTINGS = ("resume",)


def as_toml(config: TrainConfig) -> str:
    """All settings; those that are None are comments, because TOML has no null value."""
    values = {name: value for name, value in to_dict(config).items() if name not in _NOT_SETTINGS}
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines = ["# Settings of this run; tedg-train --config FILE reads them, flags override them."]
    lines += [_line(name, value) for name, value in values.items() if name not in tables]
    for table, entries in tables.items():
        lines += ["", f"[{table}]", *(_line(name, value) for name, value in entries.items())]
    return "\n".join(lines) + "\n"


def _line(name: str, value: Any) -> str:
    if value is None:
        return f"# {name} = "
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return f"{name} = {value}"  # the same word in TOML
    # Strings, numbers, truth values and lists are written alike.
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"


def read_config(path: Path) -> TrainConfig:
    """The settings in ``path``; those that it does not name are the defaults.

    Raises ``ConfigError``.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # also what is no UTF-8
        raise ConfigError(f"--config {path} is no TOML: {error}") from None
    try:
        return from_dict(_merged(to_dict(TrainConfig()), given, ""))
    except ConfigError as error:
        raise ConfigError(f"--config {path}: {error}") from None


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    merged = dict(defaults)
    for name, value in given.items():
        if name not in defaults or name in _NOT_SETTINGS:
            close = get_close_matches(name, defaults, 1)
            meant = f" (did you mean {where}{close[0]}?)" if close else ""
            raise ConfigError(f"{where}{name} is no setting{meant}")
        default = defaults[name]
        if isinstance(default, dict):
            if not isinstance(value, dict):
                raise ConfigError(f"{where}{name} is {value!r}; expected a table, [{where}{name}]")
            value = _merged(default, value, f"{where}{name}.")
        merged[name] = _of_kind(value, default)
    return merged


def _of_kind(value: Any, default: Any) -> Any:
    """Whole numbers where others are meant, too."""
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(_of_kind(part, default[0]) for part in value)
    return float(value) if type(default) is float and type(value) is int else value
