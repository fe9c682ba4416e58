"""What is compared is timed in turn, by pytest-benchmark's options and in its report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
COMPARISON = """
import pytest, torch

calls = []

@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("name", ["ours", "theirs", "absent"])
def test_op(measured, name, direction):
    if name == "absent":
        pytest.skip("not installed")

    def call():
        calls.append((direction, name))
        return torch.ones(10_000).cumsum(0)

    measured("op", "shape", direction, name, call, call)

def test_turns():
    for direction in ("forward", "backward"):
        timed = [name for of, name in calls if of == direction][-14:]
        assert timed == ["ours", "theirs"] * 7
"""


def test_rivals_are_timed_in_turn(tmp_path):
    pytest.importorskip("pytest_benchmark")
    (tmp_path / "test_comparison.py").write_text(COMPARISON)
    report = tmp_path / "report.json"
    options = ["--benchmark-min-rounds=7", "--benchmark-max-time=0", f"--benchmark-json={report}"]
    path = os.pathsep.join([str(BENCH), os.environ.get("PYTHONPATH", "")])
    # In one of several test processes the plugin would switch benchmarks off.
    environment = {key: value for key, value in os.environ.items() if "XDIST" not in key}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", str(BENCH / "pytest.ini"), "-p", "conftest",
         "-p", "no:cacheprovider", "--rootdir", str(tmp_path), *options,
         str(tmp_path / "test_comparison.py")],
        env=environment | {"PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(report.read_text())["benchmarks"]
    assert [(r["group"], r["extra_info"]["implementation"]) for r in results] == [
        (f"op | shape | {direction}", name)
        for direction in ("forward", "backward")
        for name in ("ours", "theirs")
    ]
    assert all(r["stats"]["rounds"] == 7 and r["stats"]["min"] > 0 for r in results)
