"""The tile kernels stay short enough to be bound by memory, counted in their machine code."""

import shutil

import pytest
from cuda_emulation import instruction_counts, machine_code

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(
        shutil.which("nvcc") is None or machine_code.disassembler() is None,
        reason="needs nvcc and nvdisasm (pip install nvidia-cuda-nvdisasm)",
    ),
]


@pytest.mark.parametrize(("kernel", "most"), [("forward", 40_000), ("backward", 100_000)])
def test_a_tile_of_the_headline_shape(kernel, most):
    shape = instruction_counts.Shape.headline()
    loops = instruction_counts.loops(kernel, "float32")
    total = sum(
        size * times for _, size, times in instruction_counts.count(kernel, "float32", shape, loops)
    )
    assert most / 2 < total <= most  # far fewer would mean that loops were not found
    operations = [i.operation for loop in loops for i in loop.instructions]
    assert not [o for o in operations if o.startswith(("LDL", "STL"))], "local memory"
    for wide in ("LDS.128", "LDGSTS.E.BYPASS.128", "STG.E.128"):
        assert wide in operations, wide


def test_a_graph_of_one_degree_takes_the_rounds_that_its_pairs_make():
    rounds = instruction_counts.rounds([4] * 64 + [200], 8, "x")
    assert rounds == {
        "hubs of x": 1, "rows of x": 16, "in hub of x": 25, "in row of x": 32, "sum of hub of x": 2,
    }  # fmt: skip
