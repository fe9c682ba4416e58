"""The attention kernels stay short, counted in their machine code."""

import shutil

import pytest
from cuda_emulation import instruction_counts, machine_code

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nvcc") is None or machine_code.disassembler() is None,
        reason="needs nvcc and nvdisasm (pip install nvidia-cuda-nvdisasm)",
    ),
]


@pytest.mark.parametrize(("kernel", "most"), [("forward", 40_000), ("backward", 100_000)])
def test_a_tile_of_the_headline_shape(kernel, most):
    shape = instruction_counts.Shape.headline()
    total = instruction_counts.total(instruction_counts.count_tile(kernel, "float32", shape))
    assert most / 2 < total <= most  # far fewer would mean that loops were not found
    loops = instruction_counts.loops(f"tile_{kernel}", f"tile_{kernel}", "float32")
    operations = [i.operation for loop in loops for i in loop.instructions]
    assert not [o for o in operations if o.startswith(("LDL", "STL"))], "local memory"
    for wide in ("LDS.128", "LDGSTS.E.BYPASS.128", "STG.E.128"):
        assert wide in operations, wide


@pytest.mark.parametrize(
    ("kernel", "most"), [("window_forward", 40), ("window_targets", 60), ("window_sources", 30)]
)
def test_an_edge_of_the_general_path(kernel, most):
    shape = instruction_counts.Shape.ragged()
    table = instruction_counts.count_windows(kernel, "float32", shape)
    assert most / 2 < instruction_counts.total(table) / sum(shape.target_degrees) <= most


def test_a_graph_of_one_degree_takes_the_rounds_that_its_pairs_make():
    rounds = instruction_counts.rounds([4] * 64 + [200], 8, "x")
    assert rounds == {
        "hubs of x": 1, "rows of x": 16, "in hub of x": 25, "in row of x": 32, "sum of hub of x": 2,
    }  # fmt: skip


def test_windows_hold_every_edge_once_and_long_rows_in_parts():
    degrees = [3, 0, 700, 1100, 5]
    windows = instruction_counts.windows_of(degrees)
    assert sum(sum(window) for window in windows) == sum(degrees)
    assert windows == [[3, 0, 256, 256, 188, 256, 256], [256, 256, 76, 5]]
