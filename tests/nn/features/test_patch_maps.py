from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from adkit.errors import BackboneError, OptionError
from adkit.interfaces import Batches, Progress, Silent
from adkit.nn.blend import WEIGHTS, Blend
from adkit.nn.features.patch_maps import LeftOutDistances, PatchMapMethod, shrunk
from adkit.nn.normalisation import LEAST_MAPS, PositionNormalisation, normalised_out_of_sample, smooth
from adkit.nn.options import ScaledMapOptions
from adkit.options import parse_options
from adkit.testing.conformance import PartBatches
from adkit.types import Batch


class Brightness(PatchMapMethod[ScaledMapOptions]):
    """How bright each cell of 8 px is; left out, one more; no network is asked for anything."""

    Options = ScaledMapOptions
    offset = torch.zeros(())

    def learn_patches(self, batches: Batches, progress: Progress) -> LeftOutDistances | None:
        self.offset = torch.tensor(0.25)
        self._facts |= {"images": len(batches)}
        if len({clip for batch in batches for clip in batch.clips}) < 2:
            return None
        return (
            (clip, self.distances(frame) + 1)
            for batch in batches
            for clip, frame in zip(batch.clips, torch.split(batch.frames, 1), strict=True)
        )

    def seen(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return torch.empty(len(frames), 0, 1), self.distances(frames)

    def distances(self, frames: Tensor) -> Tensor:
        return self.judged(torch.nn.functional.avg_pool2d(frames[:, -1], 8).permute(0, 2, 3, 1))

    def judged(self, features: Tensor) -> Tensor:
        return features.mean(dim=-1) + self.offset

    def learned(self) -> dict[str, Tensor]:
        return {"offset": self.offset}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.offset = state["offset"]


class OneClip(PartBatches):
    def batch(self, rows: range) -> Batch:
        batch = super().batch(rows)
        return Batch(batch.frames, batch.ids, ("clip",) * len(batch))


def made(**options: object) -> Brightness:
    return Brightness(parse_options(ScaledMapOptions, {"size": 64} | options, "brightness"))


def aligned_frames(count: int) -> Tensor:
    """The same places are bright in every frame."""
    pattern = torch.linspace(0, 1, 64).repeat(64, 1)
    noise = torch.rand(count, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return (pattern + 0.1 * noise) / 1.1


def calibration_of(method: Brightness) -> Tensor:
    calibration = method.calibration()
    assert calibration is not None
    assert calibration.maps is not None
    return calibration.maps


def maps_of(method: Brightness, frames: Tensor) -> Tensor:
    maps = method.predict(next(iter(PartBatches(frames, batch_size=len(frames))))).maps
    assert maps is not None
    return maps


@pytest.mark.parametrize("smoothing", [0.0, 6.0])
def test_maps_and_calibration_are_smoothed_distances_in_spreads(smoothing: float) -> None:
    frames = aligned_frames(4)
    method = made(smoothing=smoothing, position_normalisation="off", context=False)
    method.fit(PartBatches(frames), Silent())
    distances = smooth(method.distances(frames), smoothing / 8)
    left_out = distances + 1
    torch.testing.assert_close(maps_of(method, frames), (distances - left_out.mean()) / left_out.std(correction=0))
    torch.testing.assert_close(calibration_of(method), (left_out - left_out.mean()) / left_out.std(correction=0))
    assert method._facts["images"] == 4
    assert method._facts["position_normalised"] is False
    assert method._facts["context_weight"] == 0


def test_where_position_matters_maps_and_calibration_are_normalised() -> None:
    frames = aligned_frames(LEAST_MAPS)
    method = made(position_normalisation="on", context=False)
    method.fit(PartBatches(frames), Silent())
    assert method._facts["position_normalised"] is True
    distances = smooth(method.distances(frames), 4 / 8)
    left_out = distances + 1
    torch.testing.assert_close(
        calibration_of(method), normalised_out_of_sample(left_out, torch.arange(LEAST_MAPS)), atol=1e-3, rtol=1e-2
    )
    torch.testing.assert_close(
        maps_of(method, frames), PositionNormalisation.learn(left_out)(distances), atol=1e-3, rtol=1e-3
    )


def test_a_frame_is_seen_as_it_is_and_at_half_its_size() -> None:
    frames = aligned_frames(4)
    method = made(position_normalisation="off")
    method.fit(PartBatches(frames), Silent())
    fine = smooth(method.distances(frames), 4 / 8)
    half = torch.nn.functional.avg_pool2d(frames[:, 0], 2)[:, None]
    assert torch.equal(shrunk(frames, 1), half)
    coarse = smooth(method.distances(half), 4 / 8)
    blend = Blend.learn([fine + 1, coarse + 1], WEIGHTS, by_position=False)
    torch.testing.assert_close(maps_of(method, frames), blend([fine, coarse]))
    assert method._facts["context_weight"] == pytest.approx(WEIGHTS[1], abs=1e-4)
    assert method._facts["context_images"] == 4


def test_frames_too_small_to_be_halved_are_seen_once() -> None:
    method = Brightness(parse_options(ScaledMapOptions, {"size": "32x96"}, "brightness"))
    frames = torch.rand(4, 1, 3, 32, 96, generator=torch.Generator().manual_seed(0))
    method.fit(PartBatches(frames), Silent())
    assert method._facts["context_weight"] == 0


def test_learning_again_forgets_what_was_chosen_before() -> None:
    frames = aligned_frames(LEAST_MAPS)
    method, other = made(), made()
    method.fit(OneClip(frames), Silent())
    method.fit(PartBatches(frames), Silent())
    other.fit(PartBatches(frames), Silent())
    assert torch.equal(maps_of(method, frames), maps_of(other, frames))


def test_a_restored_method_gives_the_same_maps() -> None:
    frames = aligned_frames(LEAST_MAPS)
    method, restored = made(), made()
    method.fit(PartBatches(frames), Silent())
    restored.load_state(method.state())
    assert torch.equal(maps_of(restored, frames), maps_of(method, frames))
    assert restored.calibration() is None


def test_other_weights_of_the_backbone_are_refused() -> None:
    method = made()
    method.fit(PartBatches(aligned_frames(2)), Silent())
    state = method.state()
    state["backbone_fingerprint"] = state["backbone_fingerprint"] + 1
    with pytest.raises(BackboneError, match="changed since fitting"):
        made().load_state(state)


def test_one_clip_gives_no_calibration() -> None:
    frames = aligned_frames(LEAST_MAPS)
    method = made()
    method.fit(OneClip(frames), Silent())
    assert method.calibration() is None
    torch.testing.assert_close(maps_of(method, frames), smooth(method.distances(frames), 4 / 8))
    with pytest.raises(OptionError, match="needs 3 normal images it did not learn from, and has 1"):
        made(position_normalisation="on").fit(OneClip(frames), Silent())
