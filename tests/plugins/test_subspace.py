from __future__ import annotations

from typing import Any

import pytest
import torch
from adkit_subspace.method import Subspace, SubspaceOptions, turned
from adkit_subspace.moments import FLOOR, Moments, Residual
from torch import Tensor

from adkit.errors import BackboneError, OptionError
from adkit.interfaces import Silent
from adkit.nn.features.patches import level_weights
from adkit.nn.normalisation import smooth
from adkit.options import parse_options
from adkit.testing.conformance import PartBatches, synthetic_frames
from tests.conforming import check_method
from tests.plugins.asking import calibration_of, in_distances, in_pairs, maps_of

SMALL: dict[str, Any] = {"size": 64, "position_normalisation": "off", "context": False}
COUNT = 6


def made(**options: object) -> Subspace:
    return Subspace(parse_options(SubspaceOptions, SMALL | options, "subspace"))


def fitted(frames: Tensor, **options: object) -> Subspace:
    method = made(**options)
    method.fit(PartBatches(frames), Silent())
    return method


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return synthetic_frames(COUNT, (64, 64))


@pytest.fixture(scope="module")
def method(frames: Tensor) -> Subspace:
    return fitted(frames)


def random_vectors(count: int, length: int = 7, seed: int = 0) -> Tensor:
    """Correlated and far from zero."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(length, length, generator=generator)
    return torch.randn(count, length, generator=generator) @ mixing + 100


def brute_force(training: Tensor, queries: Tensor, explained: float) -> Tensor:
    """What the main directions leave over, by a singular value decomposition in float64."""
    values, asked = training.double(), queries.double() - training.double().mean(dim=0)
    _, sizes, rows = torch.linalg.svd(values - values.mean(dim=0), full_matrices=False)
    variances = sizes.square() / len(values)
    shares = variances.cumsum(0) / variances.sum()
    taken = int((shares < explained).sum()) + 1
    left = variances[taken:]
    return ((asked @ rows[taken:].T).square() / (left + FLOOR * left.mean())).sum(dim=-1).sqrt().float()


def test_conforms_with_normalisation_and_turns() -> None:
    check_method(Subspace, SMALL | {"position_normalisation": "on", "turns": 3})


def test_moments_are_joined_and_taken_apart() -> None:
    vectors = random_vectors(50)
    one, other, both = Moments.of(vectors[:13]), Moments.of(vectors[13:]), Moments.of(vectors)
    for found, expected in ((one + other, both), (both - one, other), (both - other, one)):
        assert found.count == expected.count
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.scatter, expected.scatter)
    torch.testing.assert_close(both.scatter.diagonal() / both.count, vectors.double().var(dim=0, correction=0))


def test_scaled_moments_are_those_of_scaled_vectors() -> None:
    vectors, weights = random_vectors(20), torch.linspace(0.5, 2, 7)
    found, expected = Moments.of(vectors).scaled(weights), Moments.of(vectors.double() * weights.double())
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.scatter, expected.scatter)


@pytest.mark.parametrize("explained", [0.3, 0.8, 0.95])
def test_the_residual_is_what_main_directions_leave_over(explained: float) -> None:
    training, queries = random_vectors(60), random_vectors(9, seed=1)
    residual = Residual.learn(Moments.of(training), explained, 0)
    torch.testing.assert_close(
        residual.lengths(queries), brute_force(training, queries, explained), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(("components", "left"), [(1, 6), (5, 2), (6, 1), (7, 1), (100, 1)])
def test_the_number_of_directions(components: int, left: int) -> None:
    residual = Residual.learn(Moments.of(random_vectors(60)), 0.9, components)
    assert residual.directions.shape == (7, left)


def test_vectors_that_are_all_the_same() -> None:
    residual = Residual.learn(Moments.of(torch.ones(5, 7)), 0.9, 0)
    assert residual.directions.shape == (7, 7), "there is nothing to explain"
    assert residual.lengths(torch.ones(7)) == 0
    assert bool(torch.isfinite(residual.lengths(torch.zeros(7))))


def test_maps_are_residuals(frames: Tensor, method: Subspace) -> None:
    patches = method._features(frames[:, -1]).flatten(0, 2)
    weights = level_weights(patches.var(dim=0, correction=0), method._features.lengths)
    torch.testing.assert_close(method.state()["weights"], weights, rtol=1e-4, atol=0)
    unseen = synthetic_frames(2, (64, 64), seed=9)
    queries = method._features(unseen[:, -1]) * weights
    expected = smooth(brute_force(patches * weights, queries, 0.98), 4 / 8)
    torch.testing.assert_close(in_distances(method, maps_of(method, unseen)), expected, rtol=1e-2, atol=1e-2)
    assert method._facts["patches"] == COUNT * 64


@pytest.mark.parametrize("turns", [1, 3])
def test_calibration_is_leave_one_image_out(frames: Tensor, turns: int) -> None:
    method = fitted(frames, turns=turns)
    weights = method.state()["weights"]
    expected = []
    for row in range(COUNT):
        others = torch.cat(turned(frames[torch.arange(COUNT) != row, -1], turns))
        training = (method._features(others) * weights).flatten(0, 2)
        expected.append(brute_force(training, method._features(frames[row]) * weights, 0.98))
    torch.testing.assert_close(
        in_distances(method, calibration_of(method)), smooth(torch.cat(expected), 4 / 8), rtol=1e-2, atol=1e-2
    )


def test_calibration_is_higher_than_on_seen_images(frames: Tensor, method: Subspace) -> None:
    assert float(in_distances(method, calibration_of(method)).mean()) > 1.05 * float(
        in_distances(method, maps_of(method, frames)).mean()
    )


def test_frames_of_one_clip_are_left_out_together(frames: Tensor) -> None:
    """A video's neighbouring frames look alike: one must not vouch for the other."""
    twins = frames[:3].repeat_interleave(2, dim=0)
    together = made()
    together.fit(in_pairs(twins), Silent())
    # A clip of twice the same frame, left out, leaves what the frame of a still image leaves.
    torch.testing.assert_close(calibration_of(together)[0::2], calibration_of(fitted(frames[:3])), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(calibration_of(together)[0::2], calibration_of(together)[1::2])


def test_an_anomaly_stands_out_where_it_is(frames: Tensor, method: Subspace) -> None:
    odd = frames[:1].clone()
    odd[..., 40:56, 8:24] = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)
    (plain,), (marked,) = (in_distances(method, maps_of(method, some)) for some in (frames[:1], odd))
    assert float(marked.max()) > 2 * float(plain.max())
    row, column = divmod(int((marked - plain).argmax()), 8)
    assert 4 <= row <= 7
    assert 0 <= column <= 3


def test_a_restored_method_gives_the_same_maps(frames: Tensor, method: Subspace) -> None:
    restored = made()
    restored.load_state(method.state())
    assert torch.equal(maps_of(restored, frames), maps_of(method, frames))
    assert restored.calibration() is None


def test_other_weights_than_those_of_the_fit_are_refused(method: Subspace) -> None:
    state = method.state()
    state["backbone_fingerprint"] = state["backbone_fingerprint"] + 1
    with pytest.raises(BackboneError, match="changed since fitting"):
        made().load_state(state)


def test_one_image_is_enough_to_fit(frames: Tensor) -> None:
    method = fitted(frames[:1], position_normalisation="auto")
    assert method.calibration() is None
    restored = made(position_normalisation="auto")
    restored.load_state(method.state())
    assert torch.equal(maps_of(restored, frames), maps_of(method, frames))
    assert float(maps_of(method, frames[1:]).mean()) > float(maps_of(method, frames[:1]).mean())


def test_normalising_by_one_image_is_refused(frames: Tensor) -> None:
    with pytest.raises(OptionError, match="needs 3 normal images it did not learn from, and has 1"):
        fitted(frames[:1], position_normalisation="on")


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("count", [1, 3])
def test_images_of_one_colour(value: float, count: int) -> None:
    flat = torch.full((count, 1, 3, 64, 64), value)
    method = fitted(flat)
    assert bool(torch.isfinite(maps_of(method, 1 - flat)).all())
    assert float(maps_of(method, 1 - flat).mean()) > float(maps_of(method, flat).mean())
    assert (method.calibration() is None) == (count == 1)


def test_turned_copies() -> None:
    picture = torch.zeros(1, 3, 9, 9)
    picture[..., 1, 3] = 1.0
    as_it_is, quarter, half, three_quarters = turned(picture, 4)
    assert torch.equal(as_it_is, picture)
    torch.testing.assert_close(half, picture.flip(2, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(quarter, three_quarters.flip(2, 3), rtol=0, atol=1e-5)
    rotations = [torch.rot90(picture, times, (2, 3)) for times in (1, 3)]
    assert any(torch.allclose(quarter, rotation, atol=1e-5) for rotation in rotations)


def test_turning_keeps_the_shape_in_px() -> None:
    wide = torch.zeros(1, 3, 9, 21)
    wide[..., 4, 7:14] = 1.0  # a bar of 7 px through the centre
    _, quarter, _, _ = turned(wide, 4)
    expected = torch.zeros(1, 3, 9, 21)
    expected[..., 1:8, 10] = 1.0
    torch.testing.assert_close(quarter, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("key", "value"), [("explained", "0"), ("explained", "1"), ("components", "-1"), ("turns", "0"), ("size", "8")]
)
def test_options_have_bounds(key: str, value: str) -> None:
    with pytest.raises(OptionError, match=f"subspace: {key}="):
        parse_options(SubspaceOptions, {key: value}, "subspace")
