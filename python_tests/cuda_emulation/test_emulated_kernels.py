"""The ops' numeric tests on the CUDA kernels themselves, compiled for the emulated device.

They run under AddressSanitizer and UBSan, with fresh memory full of NaN, once for each order of
the threads.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_emulation import build

TESTS = Path(__file__).parents[1]
FILES = (
    "test_cuda.py",
    "test_cuda_inputs.py",
    "test_gat_attention.py",
    "test_routing.py",
    "test_losses.py",
)
OPTIONS = "detect_leaks=0:max_malloc_fill_size=1073741824:malloc_fill_byte=255"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    return build.library(tmp_path_factory.mktemp("emulated"))


def path_of(name):
    command = ["g++", f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.timeout(600)  # the first one waits for the compiler
@pytest.mark.parametrize("order", [0, 1])
def test_kernels_agree_with_the_reference(library, order):
    # The sanitizer must find the C++ library's throw when it starts, long before torch loads it.
    preload = " ".join(path_of(name) for name in ("libasan.so", "libstdc++.so.6"))
    environment = {
        **os.environ,
        "LD_PRELOAD": preload,
        "ASAN_OPTIONS": OPTIONS,
        "PYTHONPATH": str(TESTS),
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "cuda_emulation.plugin",
        f"--emulated-library={library}",
        f"--thread-order={order}",
        *(str(TESTS / "ops" / name) for name in FILES),
    ]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-6000:]
