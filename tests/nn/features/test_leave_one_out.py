from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from adkit.interfaces import Silent
from adkit.nn.features import leave_one_out
from adkit.nn.features.coreset import greedy_coreset
from adkit.nn.features.leave_one_out import LeaveOneOutBanks

CLIPS, EACH = 6, 40


def squared_to_nearest(queries: Tensor, bank: Tensor) -> Tensor:
    every = torch.cdist(queries.double(), bank.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return every.amin(dim=1).square()


def patches_of_clips(seed: int) -> tuple[Tensor, Tensor]:
    """(N, D) patches in which each clip has a place of its own beside a shared one, and (N,) their clips."""
    generator = torch.Generator().manual_seed(seed)
    sources = torch.arange(CLIPS).repeat_interleave(EACH)
    own = 3 * torch.randn(CLIPS, 5, generator=generator)[sources]
    shared = torch.rand(len(sources), 1, generator=generator) < 0.5
    return torch.where(shared, 0.0, own) + torch.randn(len(sources), 5, generator=generator), sources


def without(banks: LeaveOneOutBanks, clip: int) -> Tensor:
    """(M', D): the bank had this clip not been seen."""
    return torch.cat([banks._bank[banks._owners != clip], banks._closing(clip)])


def rows_of(bank: Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in bank.tolist()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [2, 8, 40])
def test_no_row_is_of_the_left_out_clip(seed: int, count: int) -> None:
    patches, sources = patches_of_clips(seed)
    banks = LeaveOneOutBanks(patches, sources, greedy_coreset(patches, count), Silent())
    for clip in range(CLIPS):
        bank = rows_of(without(banks, clip))
        assert bank, "never empty"
        assert not bank & rows_of(patches[sources == clip])
        assert bank <= rows_of(patches[sources != clip])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [2, 8, 40])
def test_the_other_clips_are_covered_as_well_as_by_the_whole_bank(seed: int, count: int) -> None:
    patches, sources = patches_of_clips(seed)
    chosen = greedy_coreset(patches, count)
    radius = float(squared_to_nearest(patches, patches[chosen]).max())
    banks = LeaveOneOutBanks(patches, sources, chosen, Silent())
    for clip in range(CLIPS):
        others = patches[sources != clip]
        assert float(squared_to_nearest(others, without(banks, clip)).max()) <= radius * (1 + 1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force(seed: int) -> None:
    """For each clip: strike its rows, then take the farthest of all uncovered others until none is left."""
    patches, sources = patches_of_clips(seed)
    chosen = greedy_coreset(patches, 12)
    radius = float(squared_to_nearest(patches, patches[chosen]).max())
    banks = LeaveOneOutBanks(patches, sources, chosen, Silent())
    struck = 0
    for clip in range(CLIPS):
        others = patches[sources != clip]
        bank = patches[chosen[sources[chosen] != clip]]
        rest = len(bank)
        while float((distances := squared_to_nearest(others, bank)).max()) > radius * (1 + 1e-5):
            bank = torch.cat([bank, others[int(distances.argmax())][None]])
        assert torch.equal(without(banks, clip), bank)
        struck += len(bank) - rest
    assert struck > 0, "the example must have holes to close"


def test_worked_by_hand() -> None:
    # Clip 0 owns the row at 10; the patches 9 and 11 of clip 1 lay near it. The radius is 1.
    patches = torch.tensor([[0.0], [10.0], [0.5], [9.0], [11.0], [1.0]])
    sources = torch.tensor([1, 0, 0, 1, 1, 2])
    banks = LeaveOneOutBanks(patches, sources, torch.tensor([0, 1]), Silent())
    # Without clip 0: 11 is farthest from 0; 9 is then 2 away from it, more than the radius.
    assert without(banks, 0).flatten().tolist() == [0, 11, 9]
    # Without clip 1: 0.5 is the first and farthest (9.5 from 10); it covers 1.
    assert without(banks, 1).flatten().tolist() == [10, 0.5]
    # Clip 2 owns nothing.
    assert without(banks, 2).flatten().tolist() == [0, 10]


@pytest.mark.parametrize("seed", range(4))
def test_a_bank_that_is_all_of_one_clip(seed: int) -> None:
    patches, sources = patches_of_clips(seed)
    chosen = torch.tensor([0, 5, 17])
    radius = float(squared_to_nearest(patches, patches[chosen]).max())
    banks = LeaveOneOutBanks(patches, sources, chosen, Silent())
    rest = without(banks, 0)
    assert len(rest) >= 1
    assert rows_of(rest) <= rows_of(patches[sources != 0])
    assert float(squared_to_nearest(patches[sources != 0], rest).max()) <= radius * (1 + 1e-4)
    assert torch.equal(without(banks, 1), patches[chosen])


def test_patches_that_are_all_the_same() -> None:
    patches = torch.ones(6, 3)
    banks = LeaveOneOutBanks(patches, torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0]), Silent())
    assert without(banks, 0).tolist() == [[1, 1, 1]]
    assert without(banks, 2).tolist() == [[1, 1, 1]]


def test_only_one_clip_leaves_nothing() -> None:
    banks = LeaveOneOutBanks(torch.rand(5, 2), torch.zeros(5, dtype=torch.int64), torch.tensor([1, 2]), Silent())
    assert without(banks, 0).shape == (0, 2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [2, 8, 40])
@pytest.mark.parametrize("groups", [1, 2, 16])
def test_distances_without_a_clip_are_those_to_its_bank(
    seed: int, count: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leave_one_out, "_GROUPS", groups)
    patches, sources = patches_of_clips(seed)
    order = torch.randperm(len(patches), generator=torch.Generator().manual_seed(seed))
    patches, sources = patches[order], sources[order]
    banks = LeaveOneOutBanks(patches, sources, greedy_coreset(patches, count), Silent())
    for clip in range(CLIPS):
        expected = squared_to_nearest(patches[sources == clip], without(banks, clip))
        torch.testing.assert_close(banks.squared(clip).double(), expected, rtol=1e-4, atol=1e-4)


@given(owners=st.lists(st.integers(0, 40), min_size=1, max_size=90))
def test_groups_are_of_whole_clips(owners: list[int]) -> None:
    groups = leave_one_out._groups(torch.tensor(owners))
    rows = sorted(owners)
    assert [row for group in groups for row in rows[group]] == rows
    assert all(rows[one.stop - 1] != rows[other.start] for one, other in pairwise(groups))
    assert all(rows[group] for group in groups)
    assert len(groups) <= leave_one_out._GROUPS


def test_little_is_kept_of_a_patch() -> None:
    """Whatever was asked before: no bank and no row that closes a hole, only some numbers of each patch."""
    patches, sources = patches_of_clips(0)
    chosen = greedy_coreset(patches, 8)
    banks = LeaveOneOutBanks(patches, sources, chosen, Silent())
    for clip in range(CLIPS):
        banks.squared(clip)
    kept = [part for name in vars(banks).keys() - {"_patches"} for part in tensors_in(vars(banks)[name])]
    assert sum(part.numel() * part.element_size() for part in kept) <= 21 * len(patches) + 8 * 5 * len(chosen)


def tensors_in(value: object) -> list[Tensor]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else [value]
    return [part for part in parts if isinstance(part, Tensor)]
