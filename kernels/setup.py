"""The part of the package that needs no NetHack, as a distribution of its own.

An extra could only add to what ``pip install tedg_fast`` brings, and that is the whole trainer; so
what brings less is a second distribution of the same sources. Install one of the two.
"""

import re
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "build_support"))

from native_build import EXTENSIONS, CMakeBuild  # noqa: E402

OWN_MODULES = ("__init__", "info")
VERSION = re.search(r'__version__ = "([^"]+)"', (ROOT / "tedg_fast/__init__.py").read_text())


class KernelsBuild(CMakeBuild):
    grounding = False


class Wheel(bdist_wheel):
    """The libraries are loaded by torch, not by Python: one wheel serves every version of it."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


class Modules(build_py):
    """Of the package's own modules only those that concern the kernels."""

    def find_package_modules(self, package: str, package_dir: str) -> list:
        found = super().find_package_modules(package, package_dir)
        return [entry for entry in found if package != "tedg_fast" or entry[1] in OWN_MODULES]


setup(
    version=VERSION.group(1),
    packages=["tedg_fast", "tedg_fast.nn", "tedg_fast.ops"],
    package_dir={"tedg_fast": "../tedg_fast"},
    package_data={"tedg_fast": ["py.typed"], "tedg_fast.ops": ["*.so"]},
    ext_modules=EXTENSIONS,
    cmdclass={"build_ext": KernelsBuild, "build_py": Modules, "bdist_wheel": Wheel},
)
