import pytest
from measure import agree, forward, forward_backward, peak_bytes

DIRECTIONS = {"forward": forward, "forward+backward": forward_backward}


@pytest.fixture
def compare(benchmark):
    """compare(op, shape, direction, name, function, truth, inputs): check, measure, time."""

    def run(op, shape, direction, name, function, truth, inputs, moved=None):
        call = DIRECTIONS[direction](function, inputs)
        agree(call(), DIRECTIONS[direction](truth, inputs)(), f"{name} {direction}")
        benchmark.group = f"{op} | {shape} | {direction}"
        benchmark.extra_info["implementation"] = name
        benchmark.extra_info["peak_bytes"] = peak_bytes(call)
        if moved is not None:
            benchmark.extra_info["bytes_moved"] = moved
        benchmark(call)

    return run
