"""Compiles the CUDA kernels and ops with the host's compiler over the emulated device."""

import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FLAGS = ["-std=c++20", "-g", "-fPIC", "-Wall", "-Wextra", "-Wno-unknown-pragmas"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
THREADS = ["-fsanitize=thread"]
EMULATION = ["-DTEDG_CUDA_EMULATION", f"-I{HERE}"]
STORAGE = {"float32": "float", "bfloat16": "__nv_bfloat16", "float16": "__half",
           "float64": "double"}  # fmt: skip


def _compile(folder: Path, source: Path, *flags: str) -> str:
    target = folder / f"{source.parent.name}_{source.name}.o"
    subprocess.run(
        ["g++", *FLAGS, *flags, "-x", "c++", "-c", str(source), "-o", str(target)], check=True
    )
    return str(target)


def _compile_all(folder: Path, jobs: list[tuple]) -> list[str]:
    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS", 2))) as pool:
        return list(pool.map(lambda job: _compile(folder, *job), jobs))


def _for_storage(dtypes: Iterable[str]) -> str:
    return "-DTEDG_FOR_STORAGE(X)=" + " ".join(f"X({STORAGE[dtype]})" for dtype in dtypes)


def library(folder: Path, dtypes: Iterable[str]) -> Path:
    """All ops as CPU ops of torch.ops.tedg, their kernels run by the emulated device."""
    torch_folder = Path(torch.__file__).parent
    ops = [
        *(ROOT / "csrc/cuda").glob("*.cpp"),
        ROOT / "csrc/ops/schemas.cpp",
        HERE / "device_stream.cpp",
    ]
    defines = [
        "-DTEDG_DISPATCH_KEY=CPU",
        "-DUSE_CUDA",
        '-DTEDG_CUDA_ARCHITECTURES="emulated"',
        "-DTORCH_TARGET_VERSION=0x020a000000000000",
        "-isystem",
        str(torch_folder / "include"),
    ]
    flags = [*SANITIZERS, *EMULATION, _for_storage(dtypes), "-fvisibility=hidden"]
    jobs = [(kernels, "-O1", *flags) for kernels in (ROOT / "csrc/cuda/kernels").glob("*.cu")]
    jobs += [(op, "-O0", *flags, *defines) for op in ops]
    jobs.append((HERE / "cuda_emulation.cpp", "-O1", *EMULATION))
    objects = _compile_all(folder, jobs)
    target = folder / "libtedg_emulated.so"
    subprocess.run(
        [
            "g++",
            "-shared",
            "-Wl,-Bsymbolic",
            *SANITIZERS,
            "-o",
            str(target),
            *objects,
            f"-L{torch_folder / 'lib'}",
            "-ltorch_cpu",
        ],
        check=True,
    )
    return target


def program(folder: Path, name: str, sanitizers: list[str], kernels: bool = False) -> Path:
    """The program NAME.cpp, with the kernels for float32 if it needs them."""
    flags = ["-O1", *sanitizers, *EMULATION, _for_storage(["float32"])]
    files = (ROOT / "csrc/cuda/kernels").glob("*.cu" if kernels else "device.cu")
    sources = [HERE / f"{name}.cpp", *files]
    jobs = [(source, *flags) for source in sources]
    jobs.append((HERE / "cuda_emulation.cpp", "-O1", *EMULATION))
    target = folder / name
    subprocess.run(["g++", *sanitizers, "-o", str(target), *_compile_all(folder, jobs)], check=True)
    return target


if __name__ == "__main__":
    print(library(Path(sys.argv[1]), sys.argv[2:] or STORAGE))
