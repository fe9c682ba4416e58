"""The threads of the update: each part on one of its own, results in order, errors passed on."""

import threading

import pytest

from tedg_fast.train.threads import Threads


def test_parts_are_computed_side_by_side_and_come_back_in_order():
    threads = Threads(3)
    together = threading.Barrier(3, timeout=30)  # passes only if three wait at the same time

    def part(name, number):
        together.wait()
        return name, number, threading.get_ident()

    found = threads.each(part, "abc", (1, 2, 3))
    assert [entry[:2] for entry in found] == [("a", 1), ("b", 2), ("c", 3)]
    assert found[0][2] == threading.get_ident() and len({entry[2] for entry in found}) == 3


@pytest.mark.parametrize("count", [1, 2, 4])
def test_one_thread_does_without_others_and_fewer_parts_than_threads_are_fine(count):
    threads = Threads(count)
    assert threads.each(lambda number: number + 1, [5]) == [6]


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_in_any_part_is_the_callers(bad):
    def part(number):
        if number == bad:
            raise ArithmeticError(f"part {number}")
        return number

    with pytest.raises(ArithmeticError, match=f"part {bad}"):
        Threads(2).each(part, range(2))


def test_there_is_at_least_one_thread():
    with pytest.raises(ValueError, match="count is 0; there must be at least 1"):
        Threads(0)
    with pytest.raises(ValueError):
        Threads(2).each(lambda a, b: a, [1, 2], [1])
