"""The kernels of the lower vector levels, on whatever machine runs the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = (
    "ops/test_edge_attention.py", "ops/test_embedding.py", "ops/test_gat_attention.py",
    "ops/test_gatv2.py", "ops/test_graph_batch.py", "ops/test_losses.py", "ops/test_routing.py",
    "policy/test_player.py::test_play_equals_the_policys_pass",
)  # fmt: skip


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_numeric_tests_pass_at_this_level(level):
    environment = {**os.environ, "TEDG_SIMD": level}
    files = [str(TESTS / file) for file in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *files]
    subprocess.run([*command, "-k", "not compile"], env=environment, check=True)
