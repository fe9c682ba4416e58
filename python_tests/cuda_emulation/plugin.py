"""A pytest plugin that puts the emulated CUDA ops in the place of the CPU ops.

``pytest -p cuda_emulation.plugin --emulated-library=FILE --dtypes=float32,bfloat16
--thread-order=0|1``; FILE as built by build.py for those dtypes, the only ones that are tested.
The process needs the address sanitizer's library preloaded.
"""

import ctypes
import sys
import types

import pytest
import torch

NATIVE = "tedg_fast.ops._native"


def pytest_addoption(parser):
    parser.addoption("--emulated-library", required=True)
    parser.addoption("--dtypes", required=True)
    parser.addoption("--thread-order", type=int, default=0)


def pytest_configure(config):
    path = config.getoption("--emulated-library")
    torch.ops.load_library(path)
    ctypes.CDLL(path).tedg_emulation_schedule(config.getoption("--thread-order"))
    native = types.ModuleType(NATIVE)
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    native.has_kernel = lambda device, op="gat_attention": (
        device.type == "cpu" and has_kernel(f"tedg::{op}", "CPU")
    )
    native.EMULATED = True
    sys.modules[NATIVE] = native

    from ops import op_cases  # imports tedg_fast.ops

    built = [getattr(torch, name) for name in config.getoption("--dtypes").split(",")]
    op_cases.FLOATS = tuple(dtype for dtype in op_cases.FLOATS if dtype in built)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    try:
        return (yield)
    except RuntimeError as error:
        if "there is no CUDA kernel for" in str(error):
            pytest.skip(str(error))
        raise
