"""The ops' numeric tests on the CUDA kernels themselves, compiled for the emulated device.

They run under AddressSanitizer and UBSan, with fresh memory full of NaN, once for each order of
the threads; for two dtypes, and for all of them with ``-m long``.
"""

import os
import re
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
    "test_gatv2.py",
    "test_routing.py",
    "test_losses.py",
)
OPTIONS = "detect_leaks=0:max_malloc_fill_size=1073741824:malloc_fill_byte=255"


def path_of(name):
    command = ["g++", f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.slow
@pytest.mark.timeout(600)  # it waits for the compiler
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
@pytest.mark.parametrize(
    "dtypes",
    ["float32,bfloat16", pytest.param(",".join(build.STORAGE), marks=pytest.mark.long)],
)
def test_kernels_agree_with_the_reference(tmp_path, dtypes):
    library = build.library(tmp_path, dtypes.split(","))
    # The sanitizer must find the C++ library's throw when it starts, long before torch loads it.
    preload = " ".join(path_of(name) for name in ("libasan.so", "libstdc++.so.6"))
    environment = {
        **os.environ,
        "LD_PRELOAD": preload,
        "ASAN_OPTIONS": OPTIONS,
        "PYTHONPATH": str(TESTS),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
               "-p", "cuda_emulation.plugin", f"--emulated-library={library}",
               f"--dtypes={dtypes}", "-n0",
               "-k", "not fit_no_cache",  # a GPU has none of that size
               *(str(TESTS / "ops" / name) for name in FILES)]  # fmt: skip
    # Both orders of the threads, each on a core.
    runs = [
        subprocess.Popen([*command, f"--thread-order={order}"], env=environment, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for order in (0, 1)
    ]  # fmt: skip
    for output, run in [(run.communicate()[0], run) for run in runs]:
        assert run.returncode == 0, output[-8000:]
        # What is skipped needs a real device, or another dtype.
        passed, skipped = (
            int(re.search(rf"(\d+) {what}", output)[1]) for what in ("passed", "skipped")
        )
        assert passed > 300 > 6 * skipped, output[-300:]
