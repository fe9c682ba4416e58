"""Loads the native libraries, which register ``torch.ops.tedg`` and its kernels."""

import ctypes
import functools
import warnings
from collections.abc import Iterable
from pathlib import Path

import torch

_FOLDER = Path(__file__).parent
CPU_LIBRARY = _FOLDER / "libtedg_cpu.so"
CUDA_LIBRARY = _FOLDER / "libtedg_cuda.so"

if not CPU_LIBRARY.exists():
    raise ImportError(
        f"the native ops are not built in {_FOLDER}: where the kernels are installed elsewhere, "
        "run Python outside of this checkout; else run 'pip install -e .' in it, or "
        "'pip install ./kernels' for the kernels alone"
    )
torch.ops.load_library(str(CPU_LIBRARY))

CUDA_LOADED = CUDA_LIBRARY.exists() and torch.version.cuda is not None
CUDA_ARCHITECTURES: tuple[str, ...] = ()  # as CMake names them: "80-real", or "100" with PTX
if CUDA_LOADED:
    torch.ops.load_library(str(CUDA_LIBRARY))
    _architectures = ctypes.CDLL(str(CUDA_LIBRARY)).tedg_cuda_architectures
    _architectures.restype = ctypes.c_char_p
    CUDA_ARCHITECTURES = tuple(_architectures().decode().split(","))


# Not every op has a CUDA kernel: the others take the reference path there.
_CUDA_OPS = frozenset(
    name.removeprefix("tedg::")
    for name in torch._C._dispatch_get_all_op_names()
    if name.startswith("tedg::") and torch._C._dispatch_has_kernel_for_dispatch_key(name, "CUDA")
)


def has_kernel(device: torch.device, op: str = "gat_attention") -> bool:
    """Whether ``torch.ops.tedg.<op>`` has a native kernel that runs on ``device``."""
    if device.type == "cuda":
        return op in _CUDA_OPS and _has_code(device.index)
    return device.type == "cpu"


def covers(architectures: Iterable[str], capability: tuple[int, int]) -> bool:
    """Whether code for ``architectures`` runs on a GPU of a compute capability.

    Machine code runs on GPUs of the same major version from its own minor version on; PTX, which
    all but "-real" architectures carry, on every later one.
    """
    for architecture in architectures:
        number, _, kind = architecture.partition("-")
        built = divmod(int(number), 10)
        if kind != "real" and capability >= built:
            return True
        if kind != "virtual" and capability[0] == built[0] and capability[1] >= built[1]:
            return True
    return False


@functools.cache
def _has_code(index: int) -> bool:
    """Whether the library has code for a CUDA device; warns if not."""
    capability = torch.cuda.get_device_capability(index)
    if covers(CUDA_ARCHITECTURES, capability):
        return True
    warnings.warn(
        f"cuda:{index} has compute capability {capability[0]}.{capability[1]}, and the CUDA ops "
        f"were built for {', '.join(CUDA_ARCHITECTURES)}: its tensors take the PyTorch reference. "
        "Build with TEDG_CUDA_ARCHITECTURES to have kernels for it",
        stacklevel=2,
    )
    return False


if CUDA_LOADED:  # elsewhere it would load torch's compiler for nothing, a second for every command
    # It asks the device, which cannot be traced.
    _has_code = torch.compiler.assume_constant_result(_has_code)
