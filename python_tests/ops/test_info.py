import subprocess
import sys

from tedg_fast.ops._native import CUDA_LOADED


def test_info_names_versions_back_ends_and_devices():
    command = [sys.executable, "-X", "importtime", "-m", "tedg_fast.info"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    text, imported = done.stdout, done.stderr
    lines = dict(line.split(None, 1) for line in text.splitlines() if " ops" not in line)
    assert {"tedg_fast", "python", "torch", "nle", "devices"} <= set(lines)
    assert "vector level" in text and "CUDA ops" in text
    # Importing the compiler takes as long as all else that a command imports together.
    assert "| torch" in imported and (CUDA_LOADED or "torch._dynamo" not in imported)
