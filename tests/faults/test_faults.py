"""The short form of the suite: a few of each sort. The whole is `nox -s faults`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults import sorts
from tests.faults.ground import Ground, Tally, install
from tests.faults.lines import command_lines


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        patch.chdir(folder)
        yield Ground.made(folder)


@pytest.fixture
def tally() -> Iterator[Tally]:
    found = Tally()
    yield found
    assert not found.faults, found.table()
    assert found.counts


def test_corrupted_runs_are_refused_or_say_the_same(ground: Ground, tally: Tally) -> None:
    sorts.corruptions(ground, tally, 60)


def test_killed_commands_leave_nothing_half(ground: Ground, tally: Tally) -> None:
    sorts.kills(ground, tally, 6)


def test_full_disks_and_short_memory_are_told(ground: Ground, tally: Tally) -> None:
    sorts.limits(ground, tally, sizes=(3000,))


def test_many_files_take_no_more_memory(ground: Ground, tally: Tally) -> None:
    sorts.many_files(ground, tally, 300)


def test_plugins_that_do_wrong_are_named(ground: Ground, tally: Tally) -> None:
    for _ in sorts.plugins(ground, tally):
        pass


def test_typed_lines_bring_no_traceback(ground: Ground, tally: Tally) -> None:
    command_lines(ground, tally, 25)
