"""Builds the native libraries: finds torch and nvcc, then hands over to CMake and ninja.

All sources and flags are in CMakeLists.txt. Environment variables: TEDG_CUDA=1 builds the CUDA
ops even against a CPU-only torch, TEDG_CUDA=0 never builds them; TEDG_CUDA_ARCHITECTURES names the
GPUs to build them for, as CMake does ("90-real"); MAX_JOBS limits the compile jobs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cuda_toolkit import nvcc, wants_cuda
from setuptools import Extension
from setuptools.command.build_ext import build_ext
from torch_location import find_torch

ROOT = Path(__file__).resolve().parent.parent
# The extension has no sources of its own: it makes setuptools run the build and tag the wheel.
EXTENSIONS = [Extension("tedg_fast.ops.native", sources=[])]


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
                "cmake",
                "-G",
                "Ninja",
                "-S",
                str(ROOT),
                "-B",
                folder,
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
                if architectures := os.environ.get("TEDG_CUDA_ARCHITECTURES"):
                    configure.append(f"-DTEDG_CUDA_ARCHITECTURES={architectures}")
            subprocess.run(configure, check=True)
            parallel = ["--parallel", jobs] if jobs else []
            subprocess.run(["cmake", "--build", folder, *parallel], check=True)

    def get_outputs(self) -> list[str]:
        return [str(path) for path in (Path(self.build_lib) / "tedg_fast").glob("*/*.so")]

    def get_output_mapping(self) -> dict[str, str]:
        return {}
