"""The emulated device lets sound kernels pass and catches each planted fault."""

import subprocess

import pytest
from cuda_emulation import build

SUM = {
    "read": "87360",
    "barrier": "43680",
    "mask": "424560",
    "copy": "87360",
    "warp_barrier": "76448",
    "own_output": "87360",
    "two_groups": "87360",
}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build.program(tmp_path_factory.mktemp("planted"), "planted_faults", build.SANITIZERS)


def run(program, name, order):
    return subprocess.run([program, name, str(order)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("name", SUM)
def test_sound_kernels_pass(program, name, order):
    result = run(program, name, order)
    assert (result.returncode, result.stdout.strip()) == (0, SUM[name]), result


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("read_out_of_bounds", "heap-buffer-overflow"),
        ("mask_too_wide", "waits in a warp operation for lanes of its mask that never come"),
        ("mask_too_narrow", "mask does not name"),
        ("copy_not_waited_for", "copies it never waited for"),
        ("index_out_of_range", "trap: an index is out of range"),
        ("group_not_waited_for", "copies it never waited for"),
        ("misaligned_copy", "a misaligned asynchronous copy"),
        ("too_many_threads", "a bad number of threads"),
        ("too_much_shared_memory", "more shared memory than the kernel is allowed"),
        ("too_many_blocks", "a launch takes at most 2147483647 x 65535"),
        ("diverged_barrier", "some threads wait at a barrier that others never reach"),
    ],
)
def test_faults_end_the_launch(program, name, message, order):
    result = run(program, name, order)
    assert result.returncode != 0
    assert message in result.stdout + result.stderr, result


@pytest.mark.parametrize("order", [0, 1])
def test_a_missing_barrier_changes_the_result(program, order):
    assert run(program, "missing_barrier", order).stdout.strip() != SUM["barrier"]


@pytest.mark.parametrize("order", [0, 1])
def test_a_missing_warp_barrier_changes_the_result_in_one_order(program, order):
    result = run(program, "missing_warp_barrier", order).stdout.strip()
    assert result != SUM["warp_barrier"]
