import pytest
import torch
from measure import agree, forward, forward_backward, peak_bytes
from turns import Turns, rivals, side_by_side

DIRECTIONS = {"forward": forward, "forward+backward": forward_backward}
TURNS = Turns()


def pytest_collection_modifyitems(items):
    side_by_side(items)


@pytest.hookimpl(tryfirst=True)  # before the fixtures of the last one go
def pytest_runtest_teardown(item, nextitem):
    if nextitem is None or rivals(nextitem) != rivals(item):
        TURNS.run()


@pytest.fixture
def measured(benchmark):
    """measured(op, shape, what, name, call, truth): check call() against truth(), measure its
    memory, and have it timed in turn with its rivals."""

    def run(op, shape, what, name, call, truth, moved=None, tolerance=1e-3):
        agree(call(), truth(), f"{name} {what}", tolerance)
        benchmark.group = f"{op} | {shape} | {what}"
        benchmark.extra_info["implementation"] = name
        benchmark.extra_info["peak_bytes"] = peak_bytes(call)
        if moved is not None:
            benchmark.extra_info["bytes_moved"] = moved
        TURNS.add(benchmark, call)

    return run


@pytest.fixture
def compare(measured):
    """compare(op, shape, direction, name, function, truth, inputs): the same of functions."""

    def run(op, shape, direction, name, function, truth, inputs, moved=None):
        calls = (DIRECTIONS[direction](f, inputs) for f in (function, truth))
        measured(op, shape, direction, name, *calls, moved)

    return run


@pytest.fixture(params=[1, 2])
def threads(request):
    """So many threads of PyTorch, for the length of a benchmark."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
