"""Finds the torch to compile against, without importing it.

Under build isolation the target environment's packages are hidden from this process, though its
interpreter is the one that runs. So that interpreter is asked, without the variables that hide
them; the isolated environment's own torch is the second choice.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

_FIND = (
    "import importlib.util as u; s = u.find_spec('torch'); "
    "print(s.submodule_search_locations[0] if s and s.submodule_search_locations else '')"
)
MINIMUM = (2, 10)


class TorchLocation(NamedTuple):
    folder: Path
    version: str
    cuda: str | None


def target_torch() -> TorchLocation | None:
    """The torch of the environment that is installed into, or None."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    found = subprocess.run(
        [sys.executable, "-c", _FIND],
        env=clean,
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    return _read(Path(found)) if found else None


def find_torch() -> TorchLocation:
    """The torch to compile against; exits with one clear line if there is none new enough."""
    location = target_torch()
    if location is None:
        spec = importlib.util.find_spec("torch")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit("tedg_fast needs torch >= 2.10 to build, found none: install it first")
        location = _read(Path(spec.submodule_search_locations[0]))
    major, minor = location.version.split(".")[:2]
    if (int(major), int(minor)) < MINIMUM:
        raise SystemExit(
            f"tedg_fast needs torch >= 2.10, found {location.version} in {location.folder}: "
            "upgrade it"
        )
    return location


def _read(folder: Path) -> TorchLocation:
    text = (folder / "version.py").read_text()
    version = re.search(r"__version__ = '([^']+)'", text)
    cuda = re.search(r"^cuda.*= '([^']+)'", text, re.MULTILINE)
    if version is None:
        raise SystemExit(f"cannot read torch's version from {folder / 'version.py'}")
    return TorchLocation(folder, version.group(1), cuda.group(1) if cuda else None)
