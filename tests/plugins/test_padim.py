from __future__ import annotations

from typing import Any

import pytest
import torch
from adkit_padim.gaussians import Gaussians, PositionMoments, left_out_distances
from adkit_padim.method import Padim, PadimOptions
from torch import Tensor

from adkit.errors import BackboneError, OptionError
from adkit.interfaces import Silent
from adkit.nn.normalisation import smooth
from adkit.options import parse_options
from adkit.testing.conformance import PartBatches, synthetic_frames
from adkit.types import Batch
from tests.conforming import check_method
from tests.plugins.asking import calibration_of, in_distances, in_pairs, maps_of

SMALL: dict[str, Any] = {"size": 64, "position_normalisation": "off", "context": False}
COUNT = 6
LENGTHS = (3, 4)


def made(**options: object) -> Padim:
    return Padim(parse_options(PadimOptions, SMALL | options, "padim"))


def fitted(frames: Tensor, **options: object) -> Padim:
    method = made(**options)
    method.fit(PartBatches(frames), Silent())
    return method


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return synthetic_frames(COUNT, (64, 64))


@pytest.fixture(scope="module")
def method(frames: Tensor) -> Padim:
    return fitted(frames)


def random_features(count: int, seed: int = 0) -> Tensor:
    """(count, 2, 3, 7): correlated, far from zero, and other ones at each position."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(2, 3, 7, 7, generator=generator)
    values = torch.randn(count, 2, 3, 7, generator=generator)
    return torch.einsum("bhwd,hwde->bhwe", values, mixing) + 50


def gaussians_of(features: Tensor, shrinkage: float = 0.1) -> Gaussians:
    moments = PositionMoments()
    for part in torch.split(features, 4):
        moments.add(part)
    return Gaussians.learn(moments, LENGTHS, shrinkage)


def brute_force(features: Tensor, weights: Tensor, ridge: float, queries: Tensor) -> Tensor:
    """(q, h, w): Mahalanobis distances by the plain formulas in float64, with covariance (scatter + ridge) / N."""
    values, asked = (features * weights).double(), (queries * weights).double()
    result = torch.empty(asked.shape[:3], dtype=torch.float64)
    for row in range(values.shape[1]):
        for column in range(values.shape[2]):
            here, mean = values[:, row, column], values[:, row, column].mean(dim=0)
            covariance = ((here - mean).T @ (here - mean) + ridge * torch.eye(here.shape[1])) / len(here)
            differences = asked[:, row, column] - mean
            result[:, row, column] = (differences @ torch.linalg.inv(covariance) * differences).sum(dim=1).sqrt()
    return result.float()


def distances_of(gaussians: Gaussians, queries: Tensor) -> Tensor:
    return gaussians.whitened(queries).norm(dim=2).T.reshape(queries.shape[:3])


def ridge_of(count: int, shrinkage: float = 0.1) -> float:
    return shrinkage * count * len(LENGTHS) / sum(LENGTHS)


def test_conforms_with_normalisation() -> None:
    check_method(Padim, SMALL | {"position_normalisation": "on"})


@pytest.mark.parametrize("shrinkage", [0.01, 0.1, 3.0])
def test_distances_are_mahalanobis_distances(shrinkage: float) -> None:
    features, queries = random_features(20), random_features(5, seed=1)
    gaussians = gaussians_of(features, shrinkage)
    expected = brute_force(features, gaussians.weights, ridge_of(20, shrinkage), queries)
    torch.testing.assert_close(distances_of(gaussians, queries), expected, rtol=1e-3, atol=1e-3)


def test_levels_are_weighted_to_the_same_variance_around_the_means() -> None:
    features = random_features(20)
    weights = gaussians_of(features).weights
    variances = ((features - features.mean(dim=0)) * weights).square().mean(dim=(0, 1, 2))
    torch.testing.assert_close(torch.stack([part.sum() for part in variances.split(LENGTHS)]), torch.ones(2))


@pytest.mark.parametrize("frames_of_clip", [1, 2, 5, 9])
def test_leaving_a_clip_out_equals_learning_without_it(frames_of_clip: int) -> None:
    """Also for clips of more frames than features."""
    features = random_features(24)
    gaussians = gaussians_of(features)
    clip, others = features[:frames_of_clip], features[frames_of_clip:]
    enlarged = (24 / (24 - frames_of_clip)) ** 0.5  # the covariance is divided by all that there are
    expected = enlarged * brute_force(others, gaussians.weights, ridge_of(24), clip)
    found = left_out_distances(gaussians.whitened(clip), 24).T.reshape(clip.shape[:3])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_calibration_is_leave_one_image_out(frames: Tensor, method: Padim) -> None:
    features = method._features(frames[:, -1])
    weights = method.state()["weights"]
    ridge = 0.1 * COUNT * 2 / len(weights)
    expected = [
        brute_force(features[torch.arange(COUNT) != row], weights, ridge, features[row : row + 1])
        for row in range(COUNT)
    ]
    left_out_maps = torch.cat(expected) * (COUNT / (COUNT - 1)) ** 0.5
    torch.testing.assert_close(
        in_distances(method, calibration_of(method)), smooth(left_out_maps, 4 / 8), rtol=1e-3, atol=1e-3
    )


def test_left_out_distances_are_never_below_those_learned_anew() -> None:
    """With the regularisation that fewer images would have had; and above them by the number of images at most."""
    features = random_features(12)
    gaussians = gaussians_of(features)
    found = left_out_distances(gaussians.whitened(features[:1]), 12).T.reshape(1, *features.shape[1:3])
    anew = brute_force(features[1:], gaussians.weights, ridge_of(11), features[:1])
    ratio = found / anew
    assert 1 - 1e-3 <= float(ratio.min()) <= float(ratio.max()) <= (12 / 11) ** 0.5 + 1e-3


def test_calibration_is_higher_than_on_seen_images(frames: Tensor, method: Padim) -> None:
    assert float(in_distances(method, calibration_of(method)).mean()) > 1.1 * float(
        in_distances(method, maps_of(method, frames)).mean()
    )


def test_frames_of_one_clip_are_left_out_together(frames: Tensor) -> None:
    """A video's neighbouring frames look alike: one must not vouch for the other."""
    twins = frames[:3].repeat_interleave(2, dim=0)
    apart, together = made(), made()
    apart.fit(PartBatches(twins), Silent())
    together.fit(in_pairs(twins), Silent())
    assert float(calibration_of(apart).mean()) < 0.8 * float(calibration_of(together).mean())
    torch.testing.assert_close(calibration_of(together)[0::2], calibration_of(together)[1::2])


def test_an_anomaly_stands_out_where_it_is(frames: Tensor, method: Padim) -> None:
    odd = frames[:1].clone()
    odd[..., 40:56, 8:24] = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)
    (plain,), (marked,) = (in_distances(method, maps_of(method, some)) for some in (frames[:1], odd))
    assert float(marked.max()) > 2 * float(plain.max())
    row, column = divmod(int((marked - plain).argmax()), 8)
    assert 4 <= row <= 7
    assert 0 <= column <= 3


def test_a_restored_method_gives_the_same_maps(method: Padim) -> None:
    restored = made()
    restored.load_state(method.state())
    unseen = synthetic_frames(2, (64, 64), seed=9)
    assert torch.equal(maps_of(restored, unseen), maps_of(method, unseen))
    assert restored.calibration() is None


def test_a_run_keeps_one_triangle_in_half_precision(method: Padim) -> None:
    factors = method.state()["factors"]
    assert factors.dtype == torch.float16
    assert factors.shape == (64, 152 * 153 // 2)
    assert method._facts["positions"] == 64
    assert method._facts["features"] == 152
    assert method._facts["model_mb"] == round(factors.numel() * 2 / 1e6, 1)


def test_rounding_to_half_precision_hardly_changes_distances() -> None:
    features, queries = random_features(20), random_features(5, seed=1)
    gaussians = gaussians_of(features)
    before = distances_of(gaussians, queries)
    gaussians.round()
    torch.testing.assert_close(distances_of(gaussians, queries), before, rtol=5e-3, atol=0)


def test_other_weights_than_those_of_the_fit_are_refused(method: Padim) -> None:
    state = method.state()
    state["backbone_fingerprint"] = state["backbone_fingerprint"] + 1
    with pytest.raises(BackboneError, match="changed since fitting"):
        made().load_state(state)


def test_the_batch_size_changes_nothing(frames: Tensor, method: Padim) -> None:
    other = made()
    other.fit(PartBatches(frames, batch_size=1), Silent())
    torch.testing.assert_close(calibration_of(other), calibration_of(method), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("count", [2, 3])
def test_images_of_one_colour(value: float, count: int) -> None:
    flat = torch.full((count, 1, 3, 64, 64), value)
    method = fitted(flat)
    assert float(calibration_of(method).max()) < 1
    assert bool(torch.isfinite(maps_of(method, 1 - flat)).all())
    assert float(maps_of(method, 1 - flat).min()) > 1


def test_two_images_are_enough(frames: Tensor) -> None:
    assert calibration_of(fitted(frames[:2])).shape == (2, 8, 8)
    assert bool(torch.isfinite(calibration_of(fitted(frames[:2]))).all())


def test_one_clip_leaves_nothing_to_calibrate_with(frames: Tensor) -> None:
    class One(PartBatches):
        def batch(self, rows: range) -> Batch:
            batch = super().batch(rows)
            return Batch(batch.frames, batch.ids, ("clip",) * len(batch))

    method = made(position_normalisation="auto")
    method.fit(One(frames), Silent())
    assert method.calibration() is None
    assert bool(torch.isfinite(maps_of(method, frames)).all())


@pytest.mark.parametrize(("key", "value"), [("shrinkage", "0"), ("shrinkage", "1000"), ("size", "8")])
def test_options_have_bounds(key: str, value: str) -> None:
    with pytest.raises(OptionError, match=f"padim: {key}="):
        parse_options(PadimOptions, {key: value}, "padim")
