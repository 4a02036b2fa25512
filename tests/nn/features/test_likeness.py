"""What differs between like patches counts less, in whatever direction that is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from adkit.nn.features import likeness
from adkit.nn.features.likeness import likeness_weights
from adkit.nn.spool import Spool

IMAGES = 2  # with more, the nearest of several is nearer than what is merely alike


def alike(noise: Tensor, kinds: int = 400) -> tuple[Tensor, Tensor]:
    """Patches of kinds that every image has, each with noise (D, D) of its own; and their images."""
    generator = torch.Generator().manual_seed(0)
    centres = 100 * torch.randn(kinds, len(noise), generator=generator)
    each = centres + torch.randn(IMAGES, kinds, len(noise), generator=generator) @ noise
    return each.flatten(0, 1), torch.arange(IMAGES).repeat_interleave(kinds)


def weights_of(patches: Tensor | Spool, sources: Tensor, whitening: float, seed: int = 1) -> Tensor:
    levels = torch.ones(patches.shape[1])
    return likeness_weights(patches, sources, levels, whitening, torch.Generator().manual_seed(seed))


def spreads(patches: Tensor) -> Tensor:
    """How much kinds of patches differ among images, in each direction: eigenvalues of the covariance, as shares."""
    each = patches.reshape(IMAGES, -1, patches.shape[1])
    within = (each - each.mean(dim=0)).flatten(0, 1)
    values = torch.linalg.eigvalsh(within.T @ within)
    return values / values.sum()


NOISE = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(3))).Q @ torch.diag(
    torch.tensor([2.0, 0.2, 0.5, 1.0])
)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were so many patches that nothing has to be steadied."""
    monkeypatch.setattr(likeness, "ALIKE", 1e-6)


def test_of_few_patches_little_is_believed() -> None:
    """Directions are told apart less than with many; new patches would else be judged by the chance of a few."""
    patches, sources = alike(NOISE)
    few = torch.cat([torch.arange(8), torch.arange(400, 408)])
    spread = [torch.linalg.cond(weights_of(patches[rows], sources[rows], 1.0)) for rows in (few, slice(None))]
    assert float(spread[0]) < 1.5 < float(spread[1])


@pytest.mark.usefixtures("many")
def test_whole_whitening_leaves_the_same_spread_in_all_directions() -> None:
    patches, sources = alike(NOISE)
    torch.testing.assert_close(
        spreads(patches @ weights_of(patches, sources, 1.0)), torch.full((4,), 0.25), atol=0.03, rtol=0
    )


@pytest.mark.usefixtures("many")
def test_half_of_it_leaves_the_roots() -> None:
    patches, sources = alike(NOISE)
    roots = spreads(patches).sqrt()
    left = spreads(patches @ weights_of(patches, sources, 0.5))
    torch.testing.assert_close(left, roots / roots.sum(), atol=0.03, rtol=0)


def test_all_patches_vary_as_much_as_before() -> None:
    patches, sources = alike(NOISE)
    levels = torch.tensor([1.0, 2.0, 0.5, 0.1])
    weights = likeness_weights(patches, sources, levels, 0.7, torch.Generator().manual_seed(0))
    before, after = ((part.var(dim=0)).sum() for part in (patches * levels, patches @ weights))
    torch.testing.assert_close(after, before, rtol=0.02, atol=0)


@pytest.mark.parametrize("whitening", [0.0, 0.5])
def test_where_nothing_differs_or_is_asked_for_levels_are_balanced_only(whitening: float) -> None:
    patches, sources = alike(torch.zeros(4, 4) if whitening else NOISE)
    levels = torch.tensor([1.0, 2.0, 0.5, 0.1])
    weights = likeness_weights(patches.round(), sources, levels, whitening, torch.Generator().manual_seed(0))
    assert torch.equal(weights, torch.diag(levels))


def test_one_image_alone_balances_levels_only() -> None:
    patches, sources = alike(NOISE)
    assert torch.equal(weights_of(patches, torch.zeros_like(sources), 1.0), torch.eye(4))


def test_a_direction_in_which_nothing_varies_stays_finite() -> None:
    patches, sources = alike(NOISE)
    patches[:, 2] = 7.0
    assert bool(torch.isfinite(weights_of(patches, sources, 1.0)).all())


def test_rows_in_a_file_give_the_same(tmp_path: Path) -> None:
    patches, sources = alike(NOISE)
    spool = Spool.made(patches[:1], tuple(patches.shape), tmp_path)
    spool[: len(patches)] = patches
    torch.testing.assert_close(weights_of(spool, sources, 0.5), weights_of(patches, sources, 0.5))
