from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from adkit.nn.corruption import SPOILT, Corruption, corrupt
from adkit.nn.corruption import spoilt as spoilt_in_every_way

KINDS: tuple[Corruption, ...] = get_args(Corruption)


@pytest.fixture
def frames() -> Tensor:
    return torch.rand(64, 3, 40, 56, generator=torch.Generator().manual_seed(0))


def spoilt(frames: Tensor, *kinds: Corruption, seed: int = 0) -> Tensor:
    return corrupt(frames, kinds, np.random.default_rng(seed))


@pytest.mark.parametrize("kinds", [*[(kind,) for kind in KINDS], KINDS])
def test_most_images_are_changed_and_stay_images(frames: Tensor, kinds: tuple[Corruption, ...]) -> None:
    before = frames.clone()
    found = spoilt(frames, *kinds)
    assert torch.equal(frames, before)
    assert found.shape == frames.shape
    assert found.dtype == torch.float32
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    changed = (found != frames).flatten(1).any(dim=1)
    assert 48 <= int(changed.sum()) < 64  # some stay clean


def test_nothing_is_changed_when_nothing_is_named(frames: Tensor) -> None:
    assert spoilt(frames) is frames


def test_stains_and_patches_leave_the_rest_as_it_is(frames: Tensor) -> None:
    untouched = (spoilt(frames, "stain", "paste") == frames).all(dim=1).float().mean()
    assert 0.3 < float(untouched) < 0.95


def test_noise_is_everywhere_and_small(frames: Tensor) -> None:
    difference = (spoilt(frames, "noise") - frames).flatten(1)
    noisy = difference[difference.abs().amax(dim=1) > 0]
    assert float((noisy != 0).float().mean()) > 0.9
    assert float(noisy.std(dim=1).max()) < 0.07


def test_a_pasted_patch_is_made_of_other_images() -> None:
    levels = torch.arange(16.0).reshape(-1, 1, 1, 1).expand(16, 3, 32, 32) / 15
    found = spoilt(levels.contiguous(), "paste")
    foreign = (found - levels).abs().flatten(1).amax(dim=1)
    assert int((foreign > 0.2).sum()) > 4


def test_the_same_generator_gives_the_same_images(frames: Tensor) -> None:
    assert torch.equal(spoilt(frames, *KINDS, seed=3), spoilt(frames, *KINDS, seed=3))
    assert not torch.equal(spoilt(frames, *KINDS, seed=3), spoilt(frames, *KINDS, seed=4))


def test_a_spoilt_image_differs_at_one_place_in_each_way() -> None:
    frame = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0))
    donor = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(1))
    for seed in range(10):
        copies = spoilt_in_every_way(frame, donor, [7, seed])
        assert copies.shape == (len(SPOILT), 3, 64, 96)
        assert float(copies.min()) >= 0
        assert float(copies.max()) <= 1
        assert torch.equal(copies, spoilt_in_every_way(frame, donor, [7, seed]))
        changed = (copies != frame).any(dim=1).flatten(1).to(torch.float32).mean(dim=1)
        assert bool((changed < 0.5).all())
    many = torch.stack(
        [(spoilt_in_every_way(frame, donor, [7, seed]) != frame).flatten(1).any(dim=1) for seed in range(10)]
    )
    assert bool((many.sum(dim=0) >= 5).all())  # now and then a place lies beyond the edge


def test_grey_images_stay_grey_when_they_are_tinted() -> None:
    grey = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0)).repeat(3, 1, 1)
    copies = spoilt_in_every_way(grey, grey, [0])
    assert torch.equal(copies[:, 0], copies[:, 1])
