"""The build backend: setuptools, asking for torch only where the target environment has none.

A fixed build requirement on torch would make pip fetch a second, possibly different torch into
its isolated build environment. Where the target has one, nothing is fetched and the build uses
that one. Where it has none, the tested version of constraints.txt is asked for, which is what
an installation with these constraints puts into the target as well.
"""

import re
from pathlib import Path

from setuptools import build_meta as _setuptools
from setuptools.build_meta import *  # noqa: F403
from torch_location import target_torch

_CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"


def _torch_requirement() -> list[str]:
    if target_torch() is not None:
        return []
    pin = re.search(r"^torch==\S+$", _CONSTRAINTS.read_text(), re.MULTILINE)
    return [pin.group(0) if pin else "torch>=2.10"]


def get_requires_for_build_wheel(config_settings=None):
    return _setuptools.get_requires_for_build_wheel(config_settings) + _torch_requirement()


def get_requires_for_build_editable(config_settings=None):
    return _setuptools.get_requires_for_build_editable(config_settings) + _torch_requirement()
