"""Which GPUs the CUDA ops have code for: the others take the reference."""

import pytest
import torch

from tedg_fast.ops import _native

BUILT = ("75-real", "80-real", "90-real", "100", "120")


@pytest.mark.parametrize(
    ("capability", "covered"),
    [
        ((7, 0), False),
        ((7, 5), True),
        ((8, 0), True),
        ((8, 9), True),
        ((9, 0), True),
        ((10, 3), True),
        ((11, 0), True),  # by the PTX of 100
        ((12, 1), True),
        ((13, 0), True),
    ],
)
def test_code_covers_its_major_version_and_ptx_all_later_ones(capability, covered):
    assert _native.covers(BUILT, capability) == covered


def test_machine_code_alone_covers_no_other_major_version():
    assert not _native.covers(["86-real"], (8, 0))
    assert not _native.covers(["90-real"], (10, 0))
    assert _native.covers(["80-virtual"], (9, 0))
    assert not _native.covers([], (9, 0))


@pytest.fixture
def fake_gpu(monkeypatch):
    """A library with kernels for BUILT, and devices of the capabilities that are set."""
    capabilities = {}
    monkeypatch.setattr(_native, "CUDA_ARCHITECTURES", BUILT)
    monkeypatch.setattr(_native, "_CUDA_OPS", frozenset({"route"}))
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    _native._has_code.cache_clear()
    yield capabilities
    _native._has_code.cache_clear()


def test_each_gpu_is_asked_and_one_without_code_is_named_once(fake_gpu):
    fake_gpu |= {0: (9, 0), 1: (7, 0)}
    assert _native.has_kernel(torch.device("cuda", 0), "route")
    assert not _native.has_kernel(torch.device("cuda", 0), "gatv2_scores")
    with pytest.warns(UserWarning, match="cuda:1 has compute capability 7.0.*75-real") as warned:
        for _ in range(2):
            assert not _native.has_kernel(torch.device("cuda", 1), "route")
    assert len(warned) == 1


def test_asking_breaks_no_traced_graph(fake_gpu):
    fake_gpu[0] = (9, 0)

    @torch.compile(fullgraph=True, backend="eager")
    def function(x):
        return x + 1 if _native.has_kernel(torch.device("cuda", 0), "route") else x

    assert function(torch.zeros(1)).item() == 1
