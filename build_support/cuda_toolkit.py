"""Decides whether the CUDA ops are built: finds nvcc, and sees that it fits torch."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path


def nvcc() -> str | None:
    """The CUDA compiler on PATH, in CUDA_HOME or in the usual place."""
    home = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    return shutil.which("nvcc") or shutil.which("nvcc", path=str(home / "bin"))


def wants_cuda(torch_cuda: str | None) -> bool:
    """Whether to build the CUDA ops beside a torch built for CUDA ``torch_cuda`` (None: for none).

    TEDG_CUDA=1 asks for them, 0 for none; without it they are built where nvcc and a CUDA torch
    fit each other, and a line on stderr says why if they are not. Exits with one line where they
    were asked for and cannot be built.
    """
    asked = os.environ.get("TEDG_CUDA", "")
    if asked not in ("", "0", "1"):
        raise SystemExit(f"TEDG_CUDA must be 0 or 1, got {asked!r}")
    if asked == "0" or (asked == "" and torch_cuda is None):
        return False
    reason = _obstacle(torch_cuda)
    if reason is not None and asked == "1":
        raise SystemExit(f"TEDG_CUDA=1: {reason}")
    if reason is not None:
        print(f"tedg_fast: {reason}; building the CPU ops only", file=sys.stderr)
    return reason is None


def _obstacle(torch_cuda: str | None) -> str | None:
    """Why the CUDA ops cannot be built, or None."""
    compiler = nvcc()
    if compiler is None:
        return "no nvcc on PATH or in CUDA_HOME"
    if torch_cuda is None:
        return None
    version = _release(compiler)
    # The ops bring their own CUDA runtime, which a driver that is new enough for torch's major
    # version need not support.
    if version.split(".")[0] != torch_cuda.split(".")[0]:
        return (
            f"nvcc {version} ({compiler}) and torch for CUDA {torch_cuda} differ in the major "
            "version: install a CUDA toolkit or a torch to match"
        )
    return None


def _release(compiler: str) -> str:
    text = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"release (\d+\.\d+)", text.stdout)
    if found is None:
        raise SystemExit(f"cannot read the version of {compiler} from: {text.stdout!r}")
    return found.group(1)
