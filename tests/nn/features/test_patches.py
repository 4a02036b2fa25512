from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from adkit.errors import BackboneError
from adkit.nn.features import patches as features
from adkit.nn.features.backbones import Backbone
from adkit.nn.features.checkerboard import filled, white_squares
from adkit.nn.features.neighbours import NearestNeighbour
from adkit.nn.features.patches import PatchFeatures, level_weights, patch_features

SIZE = (64, 64)


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def in_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where onnxruntime's results differ."""
    monkeypatch.setattr(features, "exported_model", lambda *_: None)


def test_the_mean_over_the_neighbourhood_ignores_what_lies_outside() -> None:
    level = torch.arange(9, dtype=torch.float32).reshape(1, 1, 3, 3)
    found = patch_features([level], 3)[0, :, :, 0]
    # The corner has 0, 1, 3, 4; the middle has all nine.
    assert float(found[0, 0]) == pytest.approx((0 + 1 + 3 + 4) / 4)
    assert float(found[1, 1]) == pytest.approx(4)
    assert float(found[2, 1]) == pytest.approx((3 + 4 + 5 + 6 + 7 + 8) / 6)


def test_a_neighbourhood_of_one_changes_nothing() -> None:
    level = torch.rand(2, 5, 4, 3)
    assert torch.equal(patch_features([level], 1), level.permute(0, 2, 3, 1))


def test_coarser_levels_join_on_the_first_ones_grid() -> None:
    fine, coarse = torch.rand(2, 5, 8, 6), torch.full((2, 3, 4, 3), 7.0)
    joined = patch_features([fine, coarse], 1)
    assert joined.shape == (2, 8, 6, 8)
    assert joined.is_contiguous()
    assert torch.equal(joined[..., :5], fine.permute(0, 2, 3, 1))
    assert bool((joined[..., 5:] == 7).all())
    ramp = torch.rand(2, 3, 4, 3)
    enlarged = F.interpolate(ramp, (8, 6), mode="bilinear", align_corners=False)
    assert torch.equal(patch_features([fine, ramp], 1)[..., 5:], enlarged.permute(0, 2, 3, 1))


def test_weights_give_every_level_the_same_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(2000, 9, generator=generator) * torch.tensor([1.0] * 4 + [100.0] * 5)
    weights = level_weights(patches.var(dim=0, correction=0), (4, 5))
    weighted = (patches * weights).var(dim=0, correction=0)
    assert float(weighted[:4].sum()) == pytest.approx(1, rel=1e-4)
    assert float(weighted[4:].sum()) == pytest.approx(1, rel=1e-4)
    assert len(set(weights[:4].tolist())) == len(set(weights[4:].tolist())) == 1, "within a level all weigh the same"


def test_weights_of_features_that_never_vary_stay_finite() -> None:
    assert bool(torch.isfinite(level_weights(torch.zeros(4), (2, 2))).all())


def test_features_are_on_the_first_levels_grid(frames: Tensor) -> None:
    found = PatchFeatures()
    features_of = found(frames)
    assert features_of.shape == (3, 8, 8, sum(found.lengths))
    assert features_of.dtype == torch.float32
    assert len(found.lengths) == 2


def test_a_frame_is_seen_with_a_mirrored_margin(frames: Tensor, in_torch: None) -> None:
    found = PatchFeatures(strides=(8, 16))(frames)
    backbone = Backbone("efficientnet_lite0", (8, 16))
    wide = torch.from_numpy(np.pad(frames.numpy(), ((0, 0), (0, 0), (16, 16), (16, 16)), mode="reflect"))
    expected = patch_features(backbone(wide), 3)[:, 2:-2, 2:-2]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_border_of_an_image_looks_more_like_its_middle_with_a_margin() -> None:
    # Vertical lines look alike in every row; without a margin, the rows at the edge see zeros beyond it.
    lines = torch.rand(1, 3, 1, 64, generator=torch.Generator().manual_seed(0)).expand(1, 3, 64, 64).contiguous()
    bare = patch_features(Backbone("efficientnet_lite0", (8, 16))(lines), 3)

    def unlike(features: Tensor) -> float:
        return float((features[0, 0] - features[0, 4]).norm(dim=-1).mean())

    assert unlike(PatchFeatures(strides=(8, 16))(lines)) < 0.7 * unlike(bare)


def test_a_defect_that_touches_the_edge_is_seen(frames: Tensor) -> None:
    seen = PatchFeatures(strides=(8, 16))
    marked = frames[:1].clone()
    marked[..., :8, 24:40] = 1.0
    change = (seen(marked) - seen(frames[:1]))[0].norm(dim=-1)
    row, column = divmod(int(change.argmax()), change.shape[1])
    assert row == 0
    assert 2 <= column <= 5


def test_frames_too_small_for_a_margin_get_none() -> None:
    assert PatchFeatures(strides=(8, 16, 32))(torch.rand(1, 3, 32, 32)).shape[:3] == (1, 4, 4)


def test_torch_agrees_with_onnxruntime(frames: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = PatchFeatures()
    found = fast(frames)
    bank = NearestNeighbour(torch.rand(20, found.shape[3], generator=torch.Generator().manual_seed(0)))
    distances = fast.looked_up(frames, bank)[1]
    monkeypatch.setattr(features, "exported_model", lambda *_: None)
    slow = PatchFeatures()
    expected = slow(frames)
    assert slow.lengths == fast.lengths
    assert float((found - expected).abs().max()) < 1e-3 * float(expected.abs().max())
    torch.testing.assert_close(slow.looked_up(frames, bank)[1], distances, rtol=1e-3, atol=1e-3)


def test_distances_equal_features_and_neighbours(frames: Tensor) -> None:
    found = PatchFeatures()
    of_frames = found(frames)
    weights = torch.diag(torch.rand(of_frames.shape[3], generator=torch.Generator().manual_seed(1)))
    bank = NearestNeighbour(of_frames[1].flatten(0, 1) @ weights, weights)
    patches, distances = found.looked_up(frames, bank)
    chosen = of_frames.flatten(1, 2)[:, white_squares((8, 8))]
    expected = filled(bank.distances(chosen.flatten(0, 1)).reshape(3, -1), (8, 8))
    torch.testing.assert_close(patches, chosen @ weights, rtol=1e-4, atol=1e-4 * float(chosen.abs().max()))
    assert distances.shape == (3, 8, 8)
    scale = float(expected.max())
    torch.testing.assert_close(distances[[0, 2]], expected[[0, 2]], rtol=1e-3, atol=1e-3 * scale)
    # The frame whose patches are the bank is at distance zero, up to the rounding of a root of almost nothing.
    assert float(distances[1].max()) < 0.01 * scale


def test_a_frame_does_not_depend_on_its_batch(frames: Tensor) -> None:
    found = PatchFeatures()
    torch.testing.assert_close(found(frames)[1:2], found(frames[1:2]))


def test_a_constant_frame_is_finite() -> None:
    found = PatchFeatures()
    for value in (0.0, 0.5, 1.0):
        assert bool(torch.isfinite(found(torch.full((1, 3, *SIZE), value))).all())


def test_a_cached_network_needs_no_backbone(frames: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = PatchFeatures()(frames)

    def refuse(*_: object) -> None:
        raise AssertionError("the network was built although the cache has it")

    monkeypatch.setattr(features, "Backbone", refuse)
    found = PatchFeatures()
    assert torch.equal(found(frames), expected)
    assert sum(found.lengths) == expected.shape[3]


@pytest.mark.usefixtures("in_torch")
def test_faults_come_with_the_first_call(frames: Tensor, tmp_path: Path) -> None:
    unknown = PatchFeatures("no-such-network")
    with pytest.raises(BackboneError, match="timm has no network named"):
        unknown(frames)
    missing = PatchFeatures(weights=tmp_path / "gone.pth")
    with pytest.raises(BackboneError, match="there is no weights file"):
        missing(frames)
