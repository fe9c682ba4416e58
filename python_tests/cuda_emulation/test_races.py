"""Every kernel on the emulated device under ThreadSanitizer, a thread to it for each of a block.

Only barriers and __syncwarp order memory there, and nothing orders blocks: what two threads or
blocks do to the same memory without such an order is reported, whatever came out of it.
"""

import shutil
import subprocess

import pytest
from cuda_emulation import build

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
RACE = "WARNING: ThreadSanitizer: data race"


def run(program, *arguments):
    # Without randomised addresses: the sanitizer's shadow memory needs its places free.
    command = ["setarch", "-R", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return build.program(tmp_path_factory.mktemp("races"), "planted_faults", build.THREADS)


@pytest.mark.parametrize("order", ["0", "1"])
@pytest.mark.parametrize("name", ["missing_barrier", "missing_warp_barrier", "shared_output"])
def test_planted_races_are_reported(planted, name, order):
    result = run(planted, name, order)
    assert RACE in result.stderr, result


@pytest.mark.parametrize("order", ["0", "1"])
@pytest.mark.parametrize("name", ["read", "barrier", "warp_barrier", "mask", "copy", "own_output"])
def test_sound_kernels_are_not(planted, name, order):
    result = run(planted, name, order)
    assert result.returncode == 0 and RACE not in result.stderr, result


@pytest.mark.slow
@pytest.mark.timeout(600)  # waits for the compiler
def test_no_kernel_has_a_race(tmp_path):
    # One order of the threads: what barriers order does not depend on it.
    program = build.program(tmp_path, "all_kernels", build.THREADS, kernels=True)
    result = run(program, "0")
    assert result.stdout.endswith("done\n") and RACE not in result.stderr, (
        result.stdout[-500:] + result.stderr[:6000]
    )
    assert result.returncode == 0
