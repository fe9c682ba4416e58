"""``python -m tedg_fast.info``: versions, native back ends, vector level and devices."""

import ctypes
import importlib.metadata
import platform

import torch

import tedg_fast
from tedg_fast.ops import _native


def vector_level() -> str:
    """The CPU kernels in use: "baseline", "avx2" or "avx512"."""
    library = ctypes.CDLL(str(_native.CPU_LIBRARY))
    library.tedg_vector_level.restype = ctypes.c_char_p
    return library.tedg_vector_level().decode()


def describe() -> list[tuple[str, str]]:
    """What is installed and in use, as (name, value) lines."""

    def version(package: str) -> str:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    if _native.CUDA_LOADED:
        cuda = f"loaded, for {', '.join(_native.CUDA_ARCHITECTURES)}"
    elif _native.CUDA_LIBRARY.exists():
        cuda = "built, not loaded (this torch has no CUDA)"
    else:
        cuda = "not built; CUDA tensors take the PyTorch reference"
    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    for index in range(torch.cuda.device_count()):
        devices.append(f"cuda:{index} ({torch.cuda.get_device_name(index)})")
    return [
        ("tedg_fast", tedg_fast.__version__),
        ("python", platform.python_version()),
        ("torch", torch.__version__),
        ("nle", version("nle")),
        ("gymnasium", version("gymnasium")),
        ("numpy", version("numpy")),
        ("CPU ops", f"loaded, vector level {vector_level()}"),
        ("CUDA ops", cuda),
        ("devices", ", ".join(devices)),
    ]


if __name__ == "__main__":
    for name, value in describe():
        print(f"{name:<10} {value}")
