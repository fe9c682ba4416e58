"""A pytest plugin that puts the emulated CUDA ops in the place of the CPU ops.

``pytest -p cuda_emulation.plugin --emulated-library=FILE --thread-order=0|1``; FILE as built by
build.py. The process needs the address sanitizer's library preloaded.
"""

import ctypes
import sys
import types

import torch

NATIVE = "tedg_fast.ops._native"


def pytest_addoption(parser):
    parser.addoption("--emulated-library", required=True)
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
