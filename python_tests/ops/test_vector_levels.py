"""The kernels of the lower vector levels, on whatever machine runs the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
FILES = ("test_embedding.py", "test_gat_attention.py", "test_graph_batch.py", "test_routing.py",
         "test_losses.py")


@pytest.mark.parametrize("level", ["baseline", "avx2"])
def test_numeric_tests_pass_at_this_level(level):
    environment = {**os.environ, "TEDG_SIMD": level}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    subprocess.run([*command, *(str(FOLDER / f) for f in FILES)], env=environment, check=True)
