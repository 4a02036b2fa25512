from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from adkit.nn.composition import BEYOND, Composition

SORTS = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
NORMAL = (60, 25, 15)


def picture(counts: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Patches (100, 2): so many of each sort, in any order, and some noise."""
    sorts = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    order = torch.randperm(len(sorts), generator=generator)
    return SORTS[sorts[order]] + 0.3 * torch.randn(len(sorts), 2, generator=generator)


def pictures(count: int, counts: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([picture(counts, generator) for _ in range(count)])


def test_shares_are_those_of_the_sorts() -> None:
    composition, _ = Composition.learn(pictures(30, NORMAL, 0), seed=0)
    shares = composition.shares(pictures(1, NORMAL, 1))[0]
    sort_of = torch.cdist(composition.centres, SORTS).argmin(dim=1)
    together = torch.zeros(3).index_add_(0, sort_of, shares)
    torch.testing.assert_close(together, torch.tensor(NORMAL) / 100, atol=0.01, rtol=0)


def test_another_composition_is_odd_though_every_patch_is_normal() -> None:
    composition, left_out = Composition.learn(pictures(100, NORMAL, 0), seed=0)
    for counts in ((60, 40, 0), (45, 25, 30), (40, 45, 15), (85, 0, 15)):
        assert float(composition(pictures(5, counts, 2)).min()) > float(left_out.max())
    assert float(composition(pictures(20, NORMAL, 3)).mean()) < 1.5 * float(left_out.mean())


def test_left_out_distances_are_those_of_others_alone() -> None:
    patches = pictures(12, NORMAL, 0)
    composition, left_out = Composition.learn(patches, seed=0)
    shares = composition.shares(patches).double().numpy()
    for row in range(12):
        others = np.delete(shares, row, axis=0)
        covariance = np.cov(others.T)
        own = covariance.diagonal()
        inverse = np.linalg.inv(covariance + np.diag(0.3 * own + 0.1 * own.mean() + 1e-12))
        apart = shares[row] - others.mean(axis=0)
        np.testing.assert_allclose(float(left_out[row]), np.sqrt(apart @ inverse @ apart), rtol=1e-3)


def test_on_the_scale_of_other_scores() -> None:
    patches = pictures(40, NORMAL, 0)
    composition, left_out = Composition.learn(patches, seed=0)
    scores = 5 + 2 * torch.randn(40, generator=torch.Generator().manual_seed(1))
    scaled, found = composition.on_the_scale_of(scores, left_out)
    torch.testing.assert_close(found.std(), scores.std())
    torch.testing.assert_close(found.mean(), scores.mean() - BEYOND * scores.std())
    torch.testing.assert_close(scaled(patches), scaled.offset + scaled.scale * composition(patches))


def test_a_state_says_the_same_and_a_seed_decides() -> None:
    patches = pictures(30, NORMAL, 0)
    composition, _ = Composition.learn(patches, seed=0)
    restored = Composition.from_state(composition.state(), "cpu")
    assert restored is not None
    assert torch.equal(restored(patches), composition(patches))
    assert torch.equal(Composition.learn(patches, seed=0)[0](patches), composition(patches))
    assert Composition.from_state({}, "cpu") is None


def test_images_that_are_all_alike_stay_finite() -> None:
    composition, left_out = Composition.learn(torch.zeros(20, 100, 4), seed=0)
    assert bool(torch.isfinite(left_out).all())
    assert bool(torch.isfinite(composition(torch.ones(2, 100, 4))).all())
