"""The emulated device lets sound kernels pass and catches each planted fault."""

import subprocess

import pytest
from cuda_emulation import build

SUM = {"read": "87360", "barrier": "43680", "mask": "424560", "copy": "87360"}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build.planted_faults(tmp_path_factory.mktemp("planted"))


def run(program, name, order):
    return subprocess.run(
        [program, name, str(order)], capture_output=True, text=True, timeout=60
    )


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
