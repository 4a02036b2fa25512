from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from adkit.interfaces import Advance, Progress
from adkit.nn.features import coreset
from adkit.nn.features.coreset import greedy_coreset, merged_coreset


def plain_loop(patches: Tensor, count: int, start: int = 0) -> list[int]:
    """One pass over all patches per chosen one, in float64; ties go to the lowest index."""
    rows = patches.to(torch.float64).numpy()
    chosen = [start]
    distances = np.square(rows - rows[start]).sum(axis=1)
    while len(chosen) < count and distances.max() > 0:
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, np.square(rows - rows[chosen[-1]]).sum(axis=1))
    return chosen


def random_patches(count: int, length: int, seed: int = 0) -> Tensor:
    return torch.randn(count, length, generator=torch.Generator().manual_seed(seed))


def clustered_patches(count: int, *, offset: float, spread: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = offset * (1 + torch.randn(6, 8, generator=generator))
    return centres[torch.arange(count) % 6] + spread * torch.randn(count, 8, generator=generator)


@st.composite
def quantised_patches(draw: st.DrawFn) -> Tensor:
    """Multiples of a power of two, few values or many: distances are exact in float64, ties are real."""
    count, length = draw(st.integers(1, 60)), draw(st.integers(1, 6))
    values = draw(st.sampled_from([1, 2, 5, 1000]))
    offset = draw(st.sampled_from([0, 1 << 10, 1 << 16]))
    step = draw(st.sampled_from([1.0, 1 / 16, 64.0]))
    seed = draw(st.integers(0, 2**20))
    numbers = np.random.default_rng(seed).integers(0, values + 1, (count, length)) + offset
    return torch.from_numpy(numbers.astype(np.float32) * np.float32(step))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(patches=quantised_patches(), data=st.data())
def test_equals_the_plain_loop(patches: Tensor, data: st.DataObject) -> None:
    total = len(patches)
    count = data.draw(st.integers(1, total))
    start = data.draw(st.integers(0, total - 1))
    block = data.draw(st.sampled_from([1, 2, 7, total, 4096]))
    assert greedy_coreset(patches, count, start=start, block=block).tolist() == plain_loop(patches, count, start)


@given(seed=st.integers(0, 2**20), total=st.integers(1, 60), data=st.data())
def test_a_selection_goes_on_until_all_are_near(seed: int, total: int, data: st.DataObject) -> None:
    patches = torch.from_numpy(np.random.default_rng(seed).integers(0, 21, (total, 3)).astype(np.float32))
    begun = data.draw(st.integers(1, total))
    radius = data.draw(st.sampled_from([0.5, 3.0, 5.5, 100.0]))
    block = data.draw(st.sampled_from([1, 2, 7, total, 4096]))
    rows = patches.to(torch.float64).numpy()
    expected = list(range(begun))
    distances = np.square(rows[:, None] - rows[:begun]).sum(axis=2).min(axis=1)
    while len(expected) < total and distances.max() > radius**2:
        expected.append(int(distances.argmax()))
        distances = np.minimum(distances, np.square(rows - rows[expected[-1]]).sum(axis=1))
    assert greedy_coreset(patches, total, begun=begun, radius=radius, block=block).tolist() == expected


@pytest.mark.parametrize("block", [16, 300, 3000, 4096])
def test_equals_the_plain_loop_on_random_data(block: int) -> None:
    patches = random_patches(3000, 24)
    assert greedy_coreset(patches, 150, start=7, block=block).tolist() == plain_loop(patches, 150, start=7)


@pytest.mark.parametrize(("offset", "spread"), [(10.0, 0.1), (100.0, 0.01), (1000.0, 0.05), (0.001, 0.0001)])
@pytest.mark.parametrize("block", [64, 4096])
def test_equals_the_plain_loop_on_tight_clusters_far_from_the_origin(offset: float, spread: float, block: int) -> None:
    patches = clustered_patches(1200, offset=offset, spread=spread)
    assert greedy_coreset(patches, 120, block=block).tolist() == plain_loop(patches, 120)


@pytest.mark.parametrize("block", [32, 512, 4096])
def test_equals_the_plain_loop_on_a_grid_full_of_ties(block: int) -> None:
    side = torch.arange(10, dtype=torch.float32)
    patches = torch.cartesian_prod(side, side, side)
    assert greedy_coreset(patches, 60, block=block).tolist() == plain_loop(patches, 60)


@pytest.mark.parametrize("block", [50, 4096])
def test_equals_the_plain_loop_on_a_flat_background(block: int) -> None:
    background = random_patches(3, 12, seed=1)[torch.arange(1800) % 3]
    patches = torch.cat([background, random_patches(200, 12, seed=2)])[
        torch.randperm(2000, generator=torch.Generator().manual_seed(3))
    ]
    # More than the 203 different rows are asked for.
    chosen = greedy_coreset(patches, 400, block=block).tolist()
    assert chosen == plain_loop(patches, 400)
    assert len(chosen) == 203


def test_equals_the_plain_loop_with_features_that_are_never_negative() -> None:
    patches = torch.cat([random_patches(1500, 32).relu(), torch.zeros(500, 32)])
    assert greedy_coreset(patches, 200, start=1999, block=128).tolist() == plain_loop(patches, 200, start=1999)


def test_more_chosen_than_a_pass_takes_centres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coreset, "BLOCK", 16)
    monkeypatch.setattr(coreset, "_ROWS", 100)
    patches = random_patches(750, 4)
    assert greedy_coreset(patches, 700, block=750).tolist() == plain_loop(patches, 700)


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_many_that_are_about_as_far_are_told_apart_together(offset: float, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, exact = [], coreset._Selection._exact

    def noted(self: coreset._Selection, patches: Tensor, chosen: list[int]) -> Any:
        asked.append(len(patches))
        return exact(self, patches, chosen)

    monkeypatch.setattr(coreset._Selection, "_exact", noted)
    monkeypatch.setattr(coreset, "_PAIRS", 100)  # less than there are
    patches = clustered_patches(3000, offset=offset, spread=0.1)
    assert greedy_coreset(patches, 600).tolist() == plain_loop(patches, 600)
    assert 0 < len(asked) < 200, "one by one it would be thousands"
    assert max(asked) > 100


def test_the_choice_does_not_depend_on_the_count() -> None:
    patches = random_patches(500, 8)
    assert greedy_coreset(patches, 30).tolist() == greedy_coreset(patches, 90).tolist()[:30]


def test_all_patches_can_be_chosen() -> None:
    patches = random_patches(200, 3)
    assert sorted(greedy_coreset(patches, 200, block=20).tolist()) == list(range(200))


def test_one_patch() -> None:
    chosen = greedy_coreset(torch.ones(1, 5), 1)
    assert chosen.tolist() == [0]
    assert chosen.dtype == torch.int64


@pytest.mark.parametrize(("count", "start"), [(0, 0), (6, 0), (1, 5), (1, -1)])
def test_count_and_start_must_fit(count: int, start: int) -> None:
    with pytest.raises(ValueError, match=f"count={count} and start={start} do not fit 5 patches"):
        greedy_coreset(torch.ones(5, 2), count, start=start)


def test_patches_stay_as_they_are() -> None:
    patches = clustered_patches(300, offset=100.0, spread=0.01)
    before = patches.clone()
    greedy_coreset(patches, 50)
    assert torch.equal(patches, before)


class Recorder(Progress):
    """Remembers the steps that were reported."""

    def __init__(self) -> None:
        self.total = 0
        self.steps: list[int] = []

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        self.total = total
        yield self.steps.append


def test_progress_reaches_its_total_in_few_steps() -> None:
    recorder = Recorder()
    greedy_coreset(random_patches(2000, 8), 100, progress=recorder)
    assert recorder.total == sum(recorder.steps) == 100
    assert 1 < len(recorder.steps) < 50


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many patches were compared with a bank, each time."""
    counts: list[int] = []
    squared = coreset.NearestNeighbour.squared

    def counting(self: coreset.NearestNeighbour, queries: Tensor) -> Tensor:
        counts.append(len(queries))
        return squared(self, queries)

    monkeypatch.setattr(coreset.NearestNeighbour, "squared", counting)
    return counts


@pytest.mark.parametrize("block", [2048, 4096])
def test_passes_over_all_patches_are_far_fewer_than_chosen_patches(compared: list[int], block: int) -> None:
    patches = random_patches(20_000, 16)
    chosen = greedy_coreset(patches, 400, block=block)
    assert sum(compared) < 10 * len(patches), "the plain loop would look at each 400 times"
    assert chosen.tolist() == plain_loop(patches, 400)


def test_patches_that_are_near_early_are_not_looked_at_again(compared: list[int]) -> None:
    heap = 0.01 * random_patches(18_000, 16, seed=1)
    patches = torch.cat([heap, random_patches(2000, 16)])
    chosen = greedy_coreset(patches, 300, start=5, block=64)
    assert sum(compared) < 5 * 2000 + len(patches)
    assert chosen.tolist() == plain_loop(patches, 300, start=5)


@pytest.mark.parametrize("count", [2, 500])
@pytest.mark.parametrize("value", [0.0, 0.3, 1e6])
def test_identical_rows_end_the_selection_at_once(compared: list[int], value: float, count: int) -> None:
    chosen = greedy_coreset(torch.full((50_000, 16), value), count, start=123)
    assert chosen.tolist() == [123]
    assert sum(compared) <= 2 * 50_000


def test_few_different_rows_end_the_selection(compared: list[int]) -> None:
    different = random_patches(10, 16)
    patches = different[torch.randint(10, (50_000,), generator=torch.Generator().manual_seed(0))]
    chosen = greedy_coreset(patches, 100)
    assert sum(compared) <= 12 * 50_000
    assert chosen.tolist() == plain_loop(patches, 100)
    assert len(chosen) == 10


def test_many_ties_take_few_passes(compared: list[int]) -> None:
    patches = torch.randint(2, (2000, 12), generator=torch.Generator().manual_seed(0)).float()
    chosen = greedy_coreset(patches, 20)
    assert sum(compared) <= 20 * 2000
    assert chosen.tolist() == plain_loop(patches, 20)


def radius_of(patches: Tensor, chosen: Tensor) -> float:
    """How far the farthest patch is from the chosen ones."""
    rows = patches.double()
    every = torch.cdist(rows, rows[chosen], compute_mode="donot_use_mm_for_euclid_dist")
    return float(every.amin(dim=1).max())


@pytest.mark.parametrize("at_once", [50, 90, 200, 1000])
@pytest.mark.parametrize("seed", range(4))
def test_a_merged_selection_covers_as_it_says(at_once: int, seed: int) -> None:
    for patches in (random_patches(700, 4, seed), clustered_patches(700, offset=3, spread=0.2, seed=seed)):
        count = 20
        chosen, radius = merged_coreset(patches, count, at_once, start=seed * 100)
        blocks = -(-700 // at_once)
        between = max(0, blocks * count // at_once) if blocks > 1 else 0
        exact = greedy_coreset(patches, count, start=seed * 100)
        assert len(set(chosen.tolist())) == count
        assert radius_of(patches, chosen) <= radius * (1 + 1e-5)
        # No selection of so many has less than half of the greedy one's radius.
        assert radius <= (4 + 2 * between) * radius_of(patches, exact) * (1 + 1e-5)
        if blocks == 1:
            assert chosen.tolist() == exact.tolist()
            assert radius == pytest.approx(radius_of(patches, exact), rel=1e-4)
        else:
            # In practice it covers far better than the bound.
            assert radius_of(patches, chosen) <= 1.6 * radius_of(patches, exact)


def test_blocks_that_are_smaller_than_the_selection_are_enlarged() -> None:
    chosen, radius = merged_coreset(random_patches(40, 3), 30, 1)
    assert len(set(chosen.tolist())) == 30
    assert radius > 0
