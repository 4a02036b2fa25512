"""Rows in a file are what they would be in memory."""

from __future__ import annotations

import mmap
from pathlib import Path

import psutil
import pytest
import torch

from adkit.nn.spool import Spool, in_parts, times, variances


def test_rows_in_a_file_are_those_in_memory(tmp_path: Path) -> None:
    rows = torch.randn(700, 3, 5, generator=torch.Generator().manual_seed(0))
    spool = Spool.made(rows[:1], (700, 3, 5), tmp_path)
    assert list(tmp_path.iterdir()) == [], "the file has no name"
    for first in range(0, 700, 64):
        spool[first : first + 64] = rows[first : first + 64]
    flat = spool.flatten(0, 1)
    chosen = torch.randint(2100, (1029,), generator=torch.Generator().manual_seed(1))
    assert (len(flat), flat.shape) == (2100, (2100, 5))
    assert torch.equal(spool[10:20], rows[10:20])
    assert torch.equal(spool[690:9999], rows[690:])
    assert torch.equal(flat[chosen], rows.flatten(0, 1)[chosen])
    assert flat[chosen[:0]].shape == (0, 5)
    assert torch.equal(torch.cat(list(in_parts(spool, 99))), rows)
    torch.testing.assert_close(variances(flat, 100), rows.flatten(0, 1).var(dim=0, correction=0))


def test_a_matrix_holds_for_what_is_read(tmp_path: Path) -> None:
    rows, matrix = torch.randn(20, 2, 3), torch.randn(3, 3)
    spool = Spool.made(rows[:1], (20, 2, 3), tmp_path)
    spool[:20] = rows
    once = times(spool, matrix)
    torch.testing.assert_close(once[3:5], rows[3:5] @ matrix)
    torch.testing.assert_close(once.flatten(0, 1)[torch.tensor([7])], rows.flatten(0, 1)[[7]] @ matrix)
    torch.testing.assert_close(times(once, matrix)[:], rows @ (matrix @ matrix))
    expected = rows @ matrix
    in_place = times(rows, matrix)
    assert in_place is rows, "two copies of all features would be in memory"
    torch.testing.assert_close(rows, expected)


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system does not take pages back at once")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """128 MB are written and read; of them no more than what is looked at together is in memory."""
    spool = Spool.made(torch.empty(1, 64), (500_000, 64), tmp_path)
    process = psutil.Process()
    part = torch.ones(10_000, 64)
    before, most = process.memory_info().rss, 0
    for first in range(0, 500_000, 10_000):
        spool[first : first + 10_000] = part
        most = max(most, process.memory_info().rss)
    for _ in in_parts(spool, 10_000):
        most = max(most, process.memory_info().rss)
    some = spool[torch.arange(0, 500_000, 100)]
    most = max(most, process.memory_info().rss)
    assert most - before < 40_000_000
    assert torch.equal(some, torch.ones(5000, 64))
