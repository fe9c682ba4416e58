"""The curves of a recorded grid against means worked out by hand, and the picture of the record."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import curves
import record


def test_a_curve_is_the_mean_over_the_seeds_of_the_last_hundred_episodes():
    runs = {
        "1": {"episodes": " ".join(["0"] * 100 + ["100"] * 2)},
        "2": {"episodes": " ".join(["50"] * 102)},
    }
    episodes, mean, half = curves.curve(runs)
    assert episodes.tolist() == [100, 101, 102]
    np.testing.assert_allclose(mean, [25, 25.5, 26])  # of 0, 1, 2 and of 50
    np.testing.assert_allclose(half, 12.7062 * np.array([25, 24.5, 24]), rtol=1e-5)


def test_the_recorded_grid_is_drawn_and_an_unknown_arm_refused(tmp_path, monkeypatch, capsys):
    name = "ablation_unranked_phases"
    for ending in (".md", ".json"):
        (tmp_path / (name + ending)).write_bytes((record.RESULTS / (name + ending)).read_bytes())
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["curves.py", name, "full", "one-expert"])
    curves.main()
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(sys, "argv", ["curves.py", name, "half"])
    with pytest.raises(SystemExit, match="2"):
        curves.main()
    assert "has no arm half; it has full, " in capsys.readouterr().err
