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


# Not every op has a CUDA kernel: the others take the reference path there.
_CUDA_OPS = frozenset(
    name.removeprefix("tedg::")
    for name in torch._C._dispatch_get_all_op_names()
    if name.startswith("tedg::") and torch._C._dispatch_has_kernel_for_dispatch_key(name, "CUDA")
)


def has_kernel(device_type: str, op: str = "gat_attention") -> bool:
    """Whether ``torch.ops.tedg.<op>`` has a native kernel for tensors on ``device_type``."""
    return device_type == "cpu" or (device_type == "cuda" and op in _CUDA_OPS)
