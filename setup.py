"""The whole package: kernels, modules, NetHack and its trainer (see pyproject.toml)."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).resolve().parent / "build_support"))

from native_build import EXTENSIONS, CMakeBuild

setup(ext_modules=EXTENSIONS, cmdclass={"build_ext": CMakeBuild})
