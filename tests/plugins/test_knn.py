from __future__ import annotations

from typing import Any

import pytest
import torch
from adkit_knn.method import Knn, KnnOptions
from torch import Tensor

from adkit.errors import BackboneError, OptionError
from adkit.interfaces import Silent
from adkit.nn.normal_space import RIDGE, NormalSpace, left_out_scores, pooled
from adkit.options import parse_options
from adkit.testing.conformance import PartBatches, synthetic_frames
from adkit.types import Batch
from tests.plugins.asking import in_pairs

SMALL: dict[str, Any] = {"size": 64}
COUNT = 8
GROUPS = (2, 3)


def made(**options: object) -> Knn:
    return Knn(parse_options(KnnOptions, SMALL | options, "knn"))


def fitted(frames: Tensor, **options: object) -> Knn:
    method = made(**options)
    method.fit(PartBatches(frames), Silent())
    return method


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return synthetic_frames(COUNT, (64, 64))


@pytest.fixture(scope="module")
def method(frames: Tensor) -> Knn:
    return fitted(frames)


def scores_of(method: Knn, frames: Tensor) -> Tensor:
    names = tuple(f"unseen/{row}" for row in range(len(frames)))
    scores = method.predict(Batch(frames, names, names)).scores
    assert scores is not None
    return scores


def calibration_of(method: Knn) -> Tensor:
    calibration = method.calibration()
    assert calibration is not None
    assert calibration.scores is not None
    return calibration.scores


def random_vectors(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(5, 5, generator=generator)
    return torch.randn(count, 5, generator=generator) @ mixing + 20


def brute_force(training: Tensor, queries: Tensor, neighbours: int, ridge: float, scale: Tensor) -> Tensor:
    """By the plain formulas, with covariance (scatter + ridge) / N of the scaled features."""
    values, asked = training.double() * scale, queries.double() * scale
    centred = values - values.mean(dim=0)
    inverse = torch.linalg.inv((centred.T @ centred + ridge * torch.eye(values.shape[1])) / len(values))
    differences = asked[:, None] - values[None]
    distances = torch.einsum("qnd,de,qne->qn", differences, inverse, differences).sqrt()
    return distances.sort(dim=1).values[:, :neighbours].mean(dim=1).float()


def scale_of(vectors: Tensor) -> Tensor:
    variances = vectors.double().var(dim=0, correction=0)
    shared = torch.cat([part.mean().expand(len(part)) for part in variances.split(GROUPS)])
    return (variances + 0.01 * shared).rsqrt()


@pytest.mark.parametrize("neighbours", [1, 3, 30, 100])
def test_scores_are_mean_distances_to_the_nearest(neighbours: int) -> None:
    vectors, queries = random_vectors(30), random_vectors(7, seed=1)
    found = NormalSpace.learn(vectors, GROUPS).scores(queries, neighbours)
    expected = brute_force(vectors, queries, neighbours, RIDGE * 30, scale_of(vectors))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def left_out_by_hand(vectors: Tensor, clips: Tensor) -> Tensor:
    """Every vector's score in a space that is learned without its clip."""
    scores = []
    for row, clip in enumerate(clips):
        others = vectors[clips != clip]
        ridge, scale = RIDGE * len(others), scale_of(others)
        scores.append(brute_force(others, vectors[row : row + 1], 3, ridge, scale))
    return torch.cat(scores)


@pytest.mark.parametrize("frames_of_clip", [1, 3])
def test_left_out_scores_do_not_know_the_clip(frames_of_clip: int) -> None:
    vectors, clips = random_vectors(12), torch.arange(12) // frames_of_clip
    found = left_out_scores(vectors, clips, GROUPS, 3)
    torch.testing.assert_close(found, left_out_by_hand(vectors, clips), rtol=1e-3, atol=1e-3)


def test_many_clips_are_left_out_several_at_a_time() -> None:
    vectors = random_vectors(12)
    found = left_out_scores(vectors, torch.arange(12), GROUPS, 3, spaces=4)
    torch.testing.assert_close(found, left_out_by_hand(vectors, torch.arange(12) % 4), rtol=1e-3, atol=1e-3)


def test_vectors_are_means_and_highest_values(frames: Tensor, method: Knn) -> None:
    features = method._features(frames[:, -1])
    vectors = pooled(method._features(frames[:, -1]))
    assert vectors.shape == (COUNT, 2 * (40 + 112 + 320))
    torch.testing.assert_close(vectors[:, :472], features.mean(dim=(1, 2)))
    torch.testing.assert_close(vectors[:, 472:], features.flatten(1, 2).max(dim=1).values)
    assert made().fit(PartBatches(frames), Silent()).facts == {"images": COUNT, "features": 944}


def test_calibration_is_leave_one_image_out(frames: Tensor, method: Knn) -> None:
    vectors = pooled(method._features(frames[:, -1]))
    expected = left_out_scores(vectors, torch.arange(COUNT), method._features.lengths * 2, 3)
    torch.testing.assert_close(calibration_of(method), expected)
    assert float(expected.min()) > float(scores_of(method, frames).max()), "seen images score lower"


def test_an_odd_image_scores_higher(frames: Tensor, method: Knn) -> None:
    odd = frames.clone()
    odd[..., 40:56, 8:24] = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)
    unseen = synthetic_frames(4, (64, 64), seed=9)
    assert float(scores_of(method, odd).min()) > float(scores_of(method, unseen).max())


def test_frames_of_one_clip_are_left_out_together(frames: Tensor) -> None:
    """A video's neighbouring frames look alike: one must not vouch for the other."""
    twins = frames[:4].repeat_interleave(2, dim=0)
    apart, together = made(neighbours=1), made(neighbours=1)
    apart.fit(PartBatches(twins), Silent())
    together.fit(in_pairs(twins), Silent())
    assert float(calibration_of(apart).max()) < 0.1 * float(calibration_of(together).min())
    torch.testing.assert_close(calibration_of(together)[0::2], calibration_of(together)[1::2])


def test_a_restored_method_gives_the_same_scores(frames: Tensor, method: Knn) -> None:
    restored = made()
    restored.load_state(method.state())
    assert torch.equal(scores_of(restored, frames), scores_of(method, frames))
    assert restored.calibration() is None


def test_other_weights_than_those_of_the_fit_are_refused(method: Knn) -> None:
    state = method.state()
    state["backbone_fingerprint"] = state["backbone_fingerprint"] + 1
    with pytest.raises(BackboneError, match="changed since fitting"):
        made().load_state(state)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_images_of_one_colour(value: float) -> None:
    flat = torch.full((3, 1, 3, 64, 64), value)
    method = fitted(flat)
    assert float(calibration_of(method).max()) < 1
    assert bool(torch.isfinite(scores_of(method, 1 - flat)).all())
    assert float(scores_of(method, 1 - flat).min()) > 1


def test_two_images_are_enough(frames: Tensor) -> None:
    method = fitted(frames[:2])
    assert bool(torch.isfinite(calibration_of(method)).all())
    assert bool(torch.isfinite(scores_of(method, frames)).all())


def test_one_clip_leaves_nothing_to_calibrate_with(frames: Tensor) -> None:
    class One(PartBatches):
        def batch(self, rows: range) -> Batch:
            batch = super().batch(rows)
            return Batch(batch.frames, batch.ids, ("clip",) * len(batch))

    method = made()
    method.fit(One(frames), Silent())
    assert method.calibration() is None
    assert bool(torch.isfinite(scores_of(method, frames)).all())


@pytest.mark.parametrize(("key", "value"), [("neighbours", "0"), ("levels", "16,8"), ("size", "8")])
def test_options_have_bounds(key: str, value: str) -> None:
    with pytest.raises(OptionError, match=f"knn: {key}="):
        parse_options(KnnOptions, {key: value}, "knn")


def test_images_may_be_searched_by_an_index(frames: Tensor, method: Knn) -> None:
    """It finds candidates, whose distances are exact."""
    for kind in ("ivf", "hnsw"):
        indexed = fitted(frames, index=kind)
        assert indexed._facts["index_recall"] == 1.0
        torch.testing.assert_close(scores_of(indexed, frames), scores_of(method, frames))
        restored = made(index=kind)
        restored.load_state(indexed.state())
        assert torch.equal(scores_of(restored, frames), scores_of(indexed, frames))
        with pytest.raises(OptionError, match="index of faiss cannot be exported"):
            indexed.graph()
