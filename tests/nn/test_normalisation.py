from __future__ import annotations

import pytest
import torch
from torch import Tensor

from adkit.errors import OptionError
from adkit.nn.normalisation import (
    LEAST_MAPS,
    PositionNormalisation,
    decide,
    explained_by_position,
    normalised_out_of_sample,
    smooth,
)
from adkit.nn.options import Choice


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 6, 7, generator=torch.Generator().manual_seed(seed))


def aligned_maps(count: int) -> Tensor:
    """The same place scores high in every map."""
    pattern = torch.linspace(0, 10, 42).reshape(6, 7)
    return pattern + noise(count)


def free_maps(count: int) -> Tensor:
    """Some place scores high in every map, each time another one."""
    flat = torch.linspace(0, 10, 42)
    generator = torch.Generator().manual_seed(1)
    return torch.stack([flat[torch.randperm(42, generator=generator)].reshape(6, 7) for _ in range(count)])


def test_learned_by_hand() -> None:
    # One position holds 1 and 3 (mean 2, variance 1), the other 4 and 10 (mean 7, variance 9); the mean
    # variance is 5, and each position's own counts half: (1 + 5) / 2 = 3, (9 + 5) / 2 = 7.
    learned = PositionNormalisation.learn(torch.tensor([[[1.0, 4.0]], [[3.0, 10.0]]]))
    assert learned.mean.tolist() == [[2, 7]]
    torch.testing.assert_close(learned.spread, torch.tensor([[3.0, 7.0]]).sqrt())
    torch.testing.assert_close(learned(torch.tensor([[[5.0, 7.0]]])), torch.tensor([[[3 / 3**0.5, 0.0]]]))


def test_maps_that_never_vary_stay_finite() -> None:
    learned = PositionNormalisation.learn(torch.ones(5, 2, 2))
    assert bool((learned.spread > 0).all())
    assert bool(torch.isfinite(learned(torch.rand(3, 2, 2))).all())


@pytest.mark.parametrize("at_once", [2, 256])
def test_out_of_sample_equals_the_naive_loop(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adkit.nn.normalisation.MAPS", at_once)
    maps = aligned_maps(9)
    expected = []
    for row in range(len(maps)):
        others = torch.stack([maps[other] for other in range(len(maps)) if other != row])
        variance = others.var(dim=0, correction=0)
        expected.append((maps[row] - others.mean(dim=0)) / ((variance + variance.mean()) / 2).sqrt())
    found = normalised_out_of_sample(maps, torch.arange(len(maps)))
    assert found.shape == maps.shape
    torch.testing.assert_close(found, torch.stack(expected))


def test_out_of_sample_does_not_know_its_own_map() -> None:
    maps = noise(10)
    maps[4, 2, 3] = 100.0
    inside = PositionNormalisation.learn(maps)(maps)
    outside = normalised_out_of_sample(maps, torch.arange(len(maps)))
    assert float(outside[4, 2, 3]) > 5 * float(inside[4, 2, 3])


def test_maps_of_one_clip_are_left_out_together() -> None:
    maps = noise(6)
    found = normalised_out_of_sample(maps, torch.tensor([0, 0, 1, 1, 2, 2]))
    torch.testing.assert_close(found[:2], PositionNormalisation.learn(maps[2:])(maps[:2]))


def test_normalised_maps_are_alike_at_every_position() -> None:
    maps = aligned_maps(200)
    assert explained_by_position(maps) > 0.8
    assert explained_by_position(PositionNormalisation.learn(maps)(maps)) < 0.01


def test_explained_by_position() -> None:
    assert explained_by_position(aligned_maps(3)[:1].repeat(4, 1, 1)) == pytest.approx(1)
    assert explained_by_position(torch.arange(3.0).reshape(3, 1, 1).expand(3, 2, 2)) == pytest.approx(0)
    assert explained_by_position(torch.ones(3, 2, 2)) == 0


def position_matters(maps: Tensor, clips: Tensor, choice: Choice) -> bool:
    normalisation, facts = decide(maps, clips, choice)
    assert facts["position_normalised"] is (normalisation is not None)
    return normalisation is not None


def test_auto_decides_by_the_maps() -> None:
    stills = torch.arange(40)
    assert position_matters(aligned_maps(40), stills, "auto")
    assert not position_matters(free_maps(40), stills, "auto")
    assert not position_matters(noise(40), stills, "auto")


def test_auto_needs_enough_stills_or_clips() -> None:
    stills = torch.arange(2 * LEAST_MAPS)
    assert position_matters(aligned_maps(LEAST_MAPS), stills[:LEAST_MAPS], "auto")
    assert not position_matters(aligned_maps(LEAST_MAPS - 1), stills[: LEAST_MAPS - 1], "auto")
    assert position_matters(aligned_maps(2 * LEAST_MAPS), stills // 2, "auto")
    assert not position_matters(aligned_maps(2 * LEAST_MAPS), stills // 3, "auto")


def test_the_user_may_decide() -> None:
    assert position_matters(free_maps(3), torch.zeros(3), "on")
    assert not position_matters(aligned_maps(40), torch.arange(40), "off")


def test_on_is_refused_where_the_spread_would_be_chance() -> None:
    with pytest.raises(OptionError, match="needs 3 normal images it did not learn from, and has 2"):
        position_matters(free_maps(2), torch.arange(2), "on")


def test_state_round_trip() -> None:
    learned = PositionNormalisation.learn(aligned_maps(5))
    restored = PositionNormalisation.from_state({**learned.state(), "bank": torch.ones(1)})
    assert restored is not None
    assert torch.equal(restored(noise(2)), learned(noise(2)))
    assert PositionNormalisation.from_state({"bank": torch.ones(1)}) is None


def test_smoothing_keeps_the_sum_inside_and_lowers_a_peak() -> None:
    maps = torch.zeros(2, 9, 9)
    maps[0, 4, 4] = 1.0
    smoothed = smooth(maps, 0.8)
    assert float(smoothed[0].sum()) == pytest.approx(1.0, abs=1e-4)
    assert 0.1 < float(smoothed[0].max()) < 0.5
    assert torch.equal(smoothed[1], maps[1])
    assert torch.equal(smooth(maps, 0), maps)
