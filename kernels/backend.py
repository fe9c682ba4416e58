"""The build backend of the folder above, which pip reaches only through a file in this one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "build_support"))

from tedg_build import *  # noqa: F403
from tedg_build import (  # noqa: F401
    get_requires_for_build_editable,
    get_requires_for_build_wheel,
)
