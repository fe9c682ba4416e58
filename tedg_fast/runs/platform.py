"""What determines the bits of a result besides the seed and the settings."""

import functools
import importlib.metadata
from pathlib import Path

import torch

import tedg_fast
from tedg_fast.info import vector_level


@functools.cache
def platform() -> dict[str, str]:
    """Versions and processor; a run resumed with other ones may differ from the uninterrupted."""
    return {
        "tedg_fast": tedg_fast.__version__,
        "torch": str(torch.__version__),
        "nle": importlib.metadata.version("nle"),
        "ops": vector_level(),
        "processor": f"{_processor()} ({torch.backends.cpu.get_cpu_capability()})",
    }


def _processor() -> str:
    """The kernel's name for the processor; "unknown" where it gives none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")
