"""Builds the native libraries: finds torch and nvcc, then hands over to CMake and ninja.

All sources and flags are in CMakeLists.txt. Environment variables: TEDG_CUDA=1 builds the CUDA
ops even against a CPU-only torch, TEDG_CUDA=0 never builds them; MAX_JOBS limits the compile jobs.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension
from setuptools.command.build_ext import build_ext
from torch_location import find_torch

ROOT = Path(__file__).resolve().parent.parent
# The extension has no sources of its own: it makes setuptools run the build and tag the wheel.
EXTENSIONS = [Extension("tedg_fast.ops.native", sources=[])]


def nvcc() -> str | None:
    """The CUDA compiler on PATH, in CUDA_HOME or in the usual place."""
    home = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    return shutil.which("nvcc") or shutil.which("nvcc", path=str(home / "bin"))


def wants_cuda(torch_cuda: str | None) -> bool:
    """Decides on the CUDA ops, saying in one line why they are left out."""
    asked = os.environ.get("TEDG_CUDA", "")
    if asked not in ("", "0", "1"):
        raise SystemExit(f"TEDG_CUDA must be 0 or 1, got {asked!r}")
    if asked == "1":
        if nvcc() is None:
            raise SystemExit("TEDG_CUDA=1 needs nvcc on PATH or in CUDA_HOME, found none")
        return True
    if asked == "0" or torch_cuda is None:
        return False
    if nvcc() is None:
        print("tedg_fast: no nvcc found, building the CPU ops only", file=sys.stderr)
        return False
    return True


class CMakeBuild(build_ext):
    """Puts the libraries into the package; those of the ops are loaded by torch, not imported."""

    grounding = True  # whether NetHack's observations are read, which takes pybind11

    def run(self) -> None:
        in_place = self.inplace or self.editable_mode
        output = (ROOT if in_place else Path(self.build_lib).resolve()) / "tedg_fast"
        location = find_torch()
        cuda = wants_cuda(location.cuda)
        jobs = os.environ.get("MAX_JOBS")
        # A folder of its own for every build: nothing of an earlier one can leak in.
        with tempfile.TemporaryDirectory(prefix="tedg-build-") as folder:
            configure = [
                "cmake", "-G", "Ninja", "-S", str(ROOT), "-B", folder,
                f"-DTEDG_TORCH_DIR={location.folder}",
                f"-DTEDG_OUTPUT_DIR={output}",
                f"-DPython_EXECUTABLE={sys.executable}",
                f"-DTEDG_GROUNDING={'ON' if self.grounding else 'OFF'}",
                f"-DTEDG_CUDA={'ON' if cuda else 'OFF'}",
            ]
            if self.grounding:
                import pybind11

                configure.append(f"-Dpybind11_DIR={pybind11.get_cmake_dir()}")
            if cuda:
                configure.append(f"-DCMAKE_CUDA_COMPILER={nvcc()}")
            subprocess.run(configure, check=True)
            parallel = ["--parallel", jobs] if jobs else []
            subprocess.run(["cmake", "--build", folder, *parallel], check=True)

    def get_outputs(self) -> list[str]:
        return [str(path) for path in (Path(self.build_lib) / "tedg_fast").glob("*/*.so")]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

