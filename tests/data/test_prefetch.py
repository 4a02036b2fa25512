from __future__ import annotations

import threading
import time
from collections.abc import Generator

import pytest

from adkit.data.prefetch import ahead


def counting(made: list[int], count: int = 100) -> Generator[int]:
    try:
        for number in range(count):
            made.append(number)
            yield number
    finally:
        made.append(-1)


def test_all_items_come_in_order() -> None:
    assert list(ahead(counting([]), 3)) == list(range(100))


def test_no_more_are_made_ahead_than_may_be() -> None:
    made: list[int] = []
    items = ahead(counting(made), 3)
    for expected in range(10):
        assert next(items) == expected
        assert len(made) <= expected + 1 + 3 + 1  # those given, those waiting, and one in the maker's hands
    items.close()


def test_a_walk_that_ends_early_closes_the_source_and_ends_the_thread() -> None:
    made: list[int] = []
    before = threading.active_count()
    items = ahead(counting(made), 3)
    next(items)
    items.close()
    assert made[-1] == -1
    assert threading.active_count() == before


def test_an_exception_comes_in_its_turn() -> None:
    def failing() -> Generator[int]:
        yield 1
        yield 2
        raise KeyError("three")

    items = ahead(failing(), 10)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match="three"):
        next(items)


def test_what_cannot_wait_drops_the_oldest_and_tells() -> None:
    dropped: list[int] = []
    items = ahead(counting([]), 5, dropped.append)
    first = next(items)
    deadline = time.monotonic() + 10
    while len(dropped) < 80 and time.monotonic() < deadline:  # the maker does not wait for us
        time.sleep(0.001)
    rest = list(items)
    assert rest[-1] == 99
    assert sorted([first, *rest, *dropped]) == list(range(100))
    assert dropped == sorted(dropped)


def test_an_item_that_waits_drops_nothing() -> None:
    dropped: list[int] = []
    items = ahead(counting([]), 5, dropped.append, waits=lambda number: number < 50)
    first = next(items)
    time.sleep(0.05)
    assert not dropped
    assert [first, *items][:40] == list(range(40))  # those from 50 on do not wait
