import subprocess
import sys


def test_info_names_versions_back_ends_and_devices():
    command = [sys.executable, "-m", "tedg_fast.info"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = dict(line.split(None, 1) for line in text.splitlines() if " ops" not in line)
    assert {"tedg_fast", "python", "torch", "nle", "devices"} <= set(lines)
    assert "vector level" in text and "CUDA ops" in text
