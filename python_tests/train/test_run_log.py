"""What a run's log brings to the disk, and when."""

import json
from types import SimpleNamespace

from tedg_fast.runs.folder import RunFolder
from tedg_fast.train import run_log
from tedg_fast.train.run_log import RunLog

SIGNALS = {
    "completed": 1, "env_steps": 64, "phase": "warmup", "steps_per_second": 1.0,
    "decision_share": 0.5,
    "mean_true_score": 0.0, "loss": 0.0, "grad_norm": 0.0, "entropy": 0.0, "alpha_entropy": 0.0,
    "attention_variance": 0.0, "alignment_loss": 0.0, "usage_combat": 1.0,
}  # fmt: skip


def updates_in(folder):
    return len(json.loads(folder.json.read_text())["updates"].get("loss", []))


def test_a_long_log_is_not_rewritten_after_every_update(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(run_log, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    write_whole = run_log.write_whole

    def slow(path, content):
        clock[0] += 0.08
        write_whole(path, content)

    monkeypatch.setattr(run_log, "write_whole", slow)
    folder = RunFolder(str(tmp_path), "run")
    with folder.claimed():
        log = RunLog(folder, {"episodes": 1}, parent=None)
        log.open(0)
        written = []
        for _ in range(100):
            clock[0] += 0.3
            log.update(SIGNALS, 64)
            assert not log.write(everything=False)
            written.append(updates_in(folder))
        assert written[0] == 1
        assert len(set(written)) == 4, "at 80 ms each, a rest of 8 s: four times in 30 s"
        log.update(SIGNALS, 64)
        assert not log.write(everything=True)
        assert updates_in(folder) == 101
        log.update(SIGNALS, 64)
        assert not log.close()
        assert updates_in(folder) == 102
