"""Loads the native libraries, which register ``torch.ops.tedg`` and its kernels."""

from pathlib import Path

import torch

_FOLDER = Path(__file__).parent
CPU_LIBRARY = _FOLDER / "libtedg_cpu.so"
CUDA_LIBRARY = _FOLDER / "libtedg_cuda.so"

if not CPU_LIBRARY.exists():
    raise ImportError(
        f"the native ops are not built ({CPU_LIBRARY.name} is missing beside {__name__}): "
        "run 'pip install -e .' in the repository"
    )
torch.ops.load_library(str(CPU_LIBRARY))

CUDA_LOADED = CUDA_LIBRARY.exists() and torch.version.cuda is not None
if CUDA_LOADED:
    torch.ops.load_library(str(CUDA_LIBRARY))


def has_kernel(device_type: str) -> bool:
    """Whether the ops have native kernels for tensors on ``device_type``."""
    return device_type == "cpu" or (device_type == "cuda" and CUDA_LOADED)
