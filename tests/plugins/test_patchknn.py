from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adkit_patchknn.method import PatchKnn, PatchKnnOptions
from torch import Tensor

from adkit.errors import BackboneError, OptionError, StorageError
from adkit.interfaces import Silent
from adkit.nn.features.checkerboard import filled, white_squares
from adkit.nn.features.coreset import greedy_coreset, merged_coreset
from adkit.nn.features.leave_one_out import LeaveOneOutBanks
from adkit.nn.normalisation import PositionNormalisation, normalised_out_of_sample, smooth
from adkit.nn.spool import Rows
from adkit.nn.whole import LEAST_IMAGES
from adkit.options import parse_options, stored_options
from adkit.synthetic.tray import counts_of, draw_tray
from adkit.testing.conformance import PartBatches, synthetic_frames
from adkit.testing.synthetic import CLIP_FRAMES, moving_frames
from adkit.types import Batch
from tests.conforming import check_method
from tests.nn.features.test_leave_one_out import without
from tests.plugins.asking import batch_of, calibration_of, in_distances, maps_of

SMALL: dict[str, Any] = {"size": 64, "coreset_ratio": 0.2, "position_normalisation": "off", "context": False}
COUNT = 6


def made(seed: int = 0, **options: object) -> PatchKnn:
    return PatchKnn(parse_options(PatchKnnOptions, SMALL | options, "patchknn"), seed=seed)


def fitted(frames: Tensor, seed: int = 0, **options: object) -> PatchKnn:
    method = made(seed, **options)
    method.fit(PartBatches(frames), Silent())
    return method


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return synthetic_frames(COUNT, (64, 64))


@pytest.fixture(scope="module")
def method(frames: Tensor) -> PatchKnn:
    return fitted(frames)


def weighted_patches(method: PatchKnn, frames: Tensor) -> Tensor:
    patches = method._features(frames[:, -1]).flatten(1, 2)[:, white_squares((8, 8))]
    return (patches @ method.state()["weights"]).flatten(0, 1)


def brute_force(queries: Tensor, bank: Tensor) -> Tensor:
    every = torch.cdist(queries.double(), bank.double(), compute_mode="donot_use_mm_for_euclid_dist")
    return every.amin(dim=1).float()


def test_conforms_with_normalisation() -> None:
    check_method(PatchKnn, SMALL | {"position_normalisation": "on"})


def test_the_bank_is_the_coreset_of_all_patches(frames: Tensor, method: PatchKnn) -> None:
    patches = weighted_patches(method, frames)
    generator = torch.Generator().manual_seed(0)
    start = int(torch.randint(len(patches), (1,), generator=generator))
    chosen = greedy_coreset(patches, round(0.2 * len(patches)), start=start).sort().values
    torch.testing.assert_close(method.state()["bank"], patches[chosen])
    assert method._facts["patches"] == len(patches) == COUNT * 32
    assert method._facts["bank"] == len(chosen) == 38
    assert method._facts["features"] == patches.shape[1]


def test_maps_are_distances_to_the_bank(frames: Tensor, method: PatchKnn) -> None:
    unseen = synthetic_frames(2, (64, 64), seed=9)
    expected = brute_force(weighted_patches(method, unseen), method.state()["bank"]).reshape(2, 32)
    expected = filled(expected, (8, 8))
    torch.testing.assert_close(
        in_distances(method, maps_of(method, unseen)), smooth(expected, 4 / 8), rtol=1e-3, atol=1e-3
    )


def test_calibration_is_leave_one_image_out(frames: Tensor, method: PatchKnn) -> None:
    patches, bank = weighted_patches(method, frames), method.state()["bank"]
    sources = torch.arange(COUNT).repeat_interleave(32)
    chosen = torch.cdist(bank, patches).argmin(dim=1)
    banks = LeaveOneOutBanks(patches, sources, chosen, Silent())
    expected = [brute_force(patches[sources == row], without(banks, row)) for row in range(COUNT)]
    maps = smooth(filled(torch.stack(expected), (8, 8)), 4 / 8)
    torch.testing.assert_close(in_distances(method, calibration_of(method)), maps, rtol=1e-3, atol=1e-3)


def test_calibration_is_higher_than_on_seen_images(frames: Tensor, method: PatchKnn) -> None:
    assert float(in_distances(method, calibration_of(method)).mean()) > 1.1 * float(
        in_distances(method, maps_of(method, frames)).mean()
    )


def test_an_anomaly_stands_out_where_it_is(frames: Tensor, method: PatchKnn) -> None:
    odd = frames[:1].clone()
    odd[..., 40:56, 8:24] = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)
    (plain,), (marked,) = (in_distances(method, maps_of(method, some)) for some in (frames[:1], odd))
    assert float(marked.max()) > 2 * float(plain.max())
    row, column = divmod(int((marked - plain).argmax()), 8)
    assert 4 <= row <= 7
    assert 0 <= column <= 3


def test_only_the_last_frame_of_a_window_counts(frames: Tensor, method: PatchKnn) -> None:
    windows = torch.cat([torch.rand_like(frames), frames], dim=1)
    assert torch.equal(maps_of(method, windows), maps_of(method, frames))


def test_frames_of_one_clip_are_left_out_together(frames: Tensor) -> None:
    """A video's neighbouring frames look alike: one must not vouch for the other."""
    twins = frames[:3].repeat_interleave(2, dim=0)

    class Clips(PartBatches):
        def batch(self, rows: range) -> Batch:
            batch = super().batch(rows)
            return Batch(batch.frames, batch.ids, tuple(f"clip/{row // 2}" for row in rows))

    apart, together = made(coreset_ratio=0.5), made(coreset_ratio=0.5)
    apart.fit(PartBatches(twins), Silent())
    together.fit(Clips(twins, batch_size=4), Silent())
    assert float(in_distances(apart, calibration_of(apart)).max()) < 0.5 * float(
        in_distances(together, calibration_of(together)).max()
    )
    # Both frames of a clip are the same, and so is what is left out for them.
    torch.testing.assert_close(calibration_of(together)[0::2], calibration_of(together)[1::2])


def test_the_batch_size_changes_nothing(frames: Tensor, method: PatchKnn) -> None:
    other = made()
    other.fit(PartBatches(frames, batch_size=1), Silent())
    torch.testing.assert_close(other.state()["bank"], method.state()["bank"])
    torch.testing.assert_close(calibration_of(other), calibration_of(method))


def test_the_seed_decides(frames: Tensor, method: PatchKnn) -> None:
    assert torch.equal(fitted(frames).state()["bank"], method.state()["bank"])
    other = fitted(frames, seed=1).state()["bank"]
    assert other.shape == method.state()["bank"].shape
    assert not torch.equal(other, method.state()["bank"])


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"coreset_ratio": 0.5, "bank_limit": 20}, 20),
        ({"coreset_ratio": 1.0}, COUNT * 32),
        ({"coreset_ratio": 1e-6}, 2),
        ({"coreset_ratio": 0.25}, 48),
    ],
)
def test_the_size_of_the_bank(frames: Tensor, options: dict[str, object], rows: int) -> None:
    assert len(fitted(frames, **options).state()["bank"]) == rows


def test_more_patches_than_the_limit_go_to_a_file(frames: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    """One block of them gives what memory gives; several give a bank that covers nearly as well."""
    noise = torch.rand((36, *frames.shape[1:]), generator=torch.Generator().manual_seed(1))
    many = (torch.cat([frames] * 6) + 0.1 * noise).clamp(0, 1)  # 36 images of 32 patches
    in_memory = fitted(many, context=True)
    for blocks in (1, 2):
        monkeypatch.setattr("adkit_patchknn.method.BLOCK", 600)
        with pytest.MonkeyPatch.context() as patch:
            if blocks == 1:
                patch.setattr("adkit_patchknn.method.merged_coreset", partial(merged_in_one, merged_coreset))
            in_a_file = fitted(many, context=True, patch_limit=1000)
        assert in_a_file._facts["patches"] == 36 * 32
        assert calibration_of(in_a_file).shape == (36, 8, 8)
        ours, theirs = in_a_file.state(), in_memory.state()
        torch.testing.assert_close(ours["weights"], theirs["weights"])
        torch.testing.assert_close(ours["composition_mean"], theirs["composition_mean"])
        if blocks == 1:
            torch.testing.assert_close(ours["bank"], theirs["bank"])
            torch.testing.assert_close(calibration_of(in_a_file), calibration_of(in_memory), atol=1e-4, rtol=1e-4)
        else:
            relative = calibration_of(in_a_file).mean() / calibration_of(in_memory).mean()
            assert relative == pytest.approx(1, abs=0.1)


def merged_in_one(merged: Callable[..., tuple[Tensor, float]], patches: Rows, count: int, _: int, **more: Any) -> Any:
    """A selection from one block."""
    return merged(patches, count, len(patches), **more)


def test_a_full_disk_is_told_and_nothing_is_left(
    frames: Tensor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match=f"cannot write {tmp_path}: the disk is full"):
        made(patch_limit=1000).fit(PartBatches(torch.cat([frames] * 6)), Silent(), lambda: tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_normalised_maps_and_calibration(frames: Tensor, method: PatchKnn) -> None:
    normalised = fitted(frames, position_normalisation="on")
    assert normalised._facts["position_normalised"] is True
    assert method._facts["position_normalised"] is False
    left_out = in_distances(method, calibration_of(method))
    expected = normalised_out_of_sample(left_out, torch.arange(COUNT))
    torch.testing.assert_close(calibration_of(normalised), expected)
    learned = PositionNormalisation.learn(left_out)
    torch.testing.assert_close(maps_of(normalised, frames), learned(in_distances(method, maps_of(method, frames))))


def test_auto_does_not_normalise_few_images(frames: Tensor) -> None:
    method = fitted(frames, position_normalisation="auto")
    assert method._facts["position_normalised"] is False
    assert {"bank", "weights", "backbone_fingerprint"} < set(method.state())


def test_other_weights_than_those_of_the_fit_are_refused(frames: Tensor, method: PatchKnn) -> None:
    state = method.state()
    state["backbone_fingerprint"] = state["backbone_fingerprint"] + 1
    with pytest.raises(BackboneError, match="changed since fitting"):
        made().load_state(state)


@pytest.mark.parametrize("choice", ["on", "off"])
def test_a_restored_method_gives_the_same_maps(frames: Tensor, choice: str) -> None:
    method = fitted(frames, position_normalisation=choice)
    restored = made(position_normalisation=choice)
    restored.load_state(method.state())
    assert torch.equal(maps_of(restored, frames), maps_of(method, frames))
    assert restored.calibration() is None


def test_the_same_image_again_and_again(frames: Tensor) -> None:
    """A camera that stands still gives many copies: leaving one out changes nothing."""
    method = fitted(frames[:1].repeat(4, 1, 1, 1, 1))
    assert bool(torch.isfinite(calibration_of(method)).all())
    assert float(calibration_of(method).max()) <= float(maps_of(method, frames[:1]).max()) * 1.01


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_images_of_one_colour(value: float) -> None:
    flat = torch.full((3, 1, 3, 64, 64), value)
    method = fitted(flat, position_normalisation="on")
    assert bool(torch.isfinite(calibration_of(method)).all())
    assert bool(torch.isfinite(maps_of(method, 1 - flat)).all())


def test_two_images_are_enough(frames: Tensor) -> None:
    method = fitted(frames[:2])
    assert calibration_of(method).shape == (2, 8, 8)
    assert bool(torch.isfinite(calibration_of(method)).all())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("coreset_ratio", "0"),
        ("coreset_ratio", "1.5"),
        ("bank_limit", "3"),
        ("neighbourhood", "0"),
        ("position_normalisation", "maybe"),
        ("size", "8"),
    ],
)
def test_options_have_bounds(key: str, value: str) -> None:
    with pytest.raises(OptionError, match=f"patchknn: {key}="):
        parse_options(PatchKnnOptions, {key: value}, "patchknn")


def test_batches_are_walked_no_more_than_twice(frames: Tensor) -> None:
    """Every walk decodes all files again."""

    class Counting(PartBatches):
        walks = 0

        def __iter__(self) -> Iterator[Batch]:
            self.walks += 1
            return super().__iter__()

    for options, walks in (({}, 1), ({"context": True}, 2), ({"patch_limit": 1000}, 1)):
        batches = Counting(torch.cat([frames] * 6))
        made(**options).fit(batches, Silent())
        assert batches.walks == walks


@pytest.fixture(scope="module")
def moving() -> PartBatches:
    """Clips of a washer that moves on, as windows of three frames."""
    clips = moving_frames((64, 64))
    frames = clips.frames[:, 0].unflatten(0, (-1, CLIP_FRAMES))
    numbers = (torch.arange(CLIP_FRAMES)[:, None] - torch.arange(2, -1, -1)).clamp_min(0)
    return PartBatches(frames[:, numbers].flatten(0, 1), 3, clips.clips)


def test_what_is_missing_is_found_where_no_place_is_odd() -> None:
    def trays(count: int, seed: int, kind: str = "good") -> Tensor:
        rng = np.random.default_rng(seed)
        pictures = np.stack([draw_tray(rng, counts_of(kind, index)) for index in range(count)])
        return torch.from_numpy(pictures).permute(0, 3, 1, 2)[:, None].to(torch.float32) / 255

    method = fitted(trays(LEAST_IMAGES, 0), size=256, context=True)
    prediction = method.predict(batch_of(trays(4, 1, "missing")))
    normal = method.predict(batch_of(trays(4, 2)))
    calibration = method.calibration()
    assert prediction.scores is not None
    assert normal.scores is not None
    assert calibration is not None
    assert calibration.scores is not None
    assert len(calibration.scores) == LEAST_IMAGES
    assert float(prediction.scores.mean()) > float(normal.scores.max())
    restored = made(size=256, context=True)
    restored.load_state(method.state())
    again = restored.predict(batch_of(trays(4, 2))).scores
    assert again is not None
    torch.testing.assert_close(again, normal.scores)


def test_few_images_and_clips_have_no_composition(frames: Tensor, moving: PartBatches) -> None:
    few = made()
    (note,) = few.fit(PartBatches(frames), Silent()).notes
    assert note.startswith(f"{len(frames)} normal images are fewer than {LEAST_IMAGES}: single places are judged")
    assert few.predict(batch_of(frames)).scores is None
    method = made()
    method.fit(moving, Silent())
    assert method.predict(batch_of(moving.frames[:2, -1:])).scores is None


def bank_distances(method: PatchKnn, frames: Tensor) -> Tensor:
    return brute_force(weighted_patches(method, frames), method.state()["bank"])


def updated(frames: Tensor, more: Tensor, removed: tuple[int, ...] = (), **options: object) -> PatchKnn:
    """As a run does it: learned, stored, read, and then taught further images."""
    method = made(**options)
    method.load_state(fitted(frames, **options).state())
    method.update(PartBatches(more), Silent(), first=len(frames), removed=removed)
    return method


def test_an_updated_bank_differs_from_one_of_all_images_by_no_more_than_their_radii(frames: Tensor) -> None:
    more, unseen = synthetic_frames(4, (64, 64), seed=5), synthetic_frames(3, (64, 64), seed=9)
    old, method = fitted(frames), updated(frames, more)
    bank = method.state()["bank"]
    assert torch.equal(bank[: len(old.state()["bank"])], old.state()["bank"])
    radius = float(method.state()["radius"])
    assert radius == pytest.approx(float(bank_distances(old, frames).max()), rel=1e-4)
    assert float(bank_distances(method, torch.cat([frames, more])).max()) <= radius * (1 + 1e-4)
    patches = weighted_patches(method, torch.cat([frames, more]))
    chosen = greedy_coreset(patches, round(0.2 * len(patches)))
    of_all = float(brute_force(patches, patches[chosen]).max())
    queries = weighted_patches(method, unseen)
    apart = (brute_force(queries, bank) - brute_force(queries, patches[chosen])).abs()
    assert float(apart.max()) <= max(radius, of_all)
    assert float(apart.mean()) < 0.2 * of_all


def test_further_images_calibrate_as_if_they_had_not_been_learned(frames: Tensor) -> None:
    alone = synthetic_frames(1, (64, 64), seed=5)
    before, method = fitted(frames), updated(frames, alone)
    torch.testing.assert_close(calibration_of(method), maps_of(before, alone), rtol=1e-3, atol=1e-3)
    assert float(maps_of(method, alone).max()) < float(maps_of(before, alone).max())
    twins = alone.repeat(2, 1, 1, 1, 1)
    vouching = calibration_of(updated(frames, twins))
    assert float(vouching.mean()) < float(calibration_of(method).mean())
    restored = made()
    restored.load_state(method.state())
    torch.testing.assert_close(maps_of(restored, frames), maps_of(method, frames))


def test_rows_go_with_the_image_that_they_came_from(frames: Tensor) -> None:
    more = synthetic_frames(1, (64, 64), seed=5)
    own = frames[2:3].clone()
    own[..., 8:24, 8:24] = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)
    pictures = torch.cat([frames, own])
    kept, without = updated(pictures, more), updated(pictures, more, removed=(COUNT,))
    assert float(bank_distances(without, own).max()) > 1.5 * float(bank_distances(kept, own).max())
    assert COUNT not in without.state()["sources"].tolist()
    assert COUNT in kept.state()["sources"].tolist()


def test_a_full_bank_is_chosen_anew(frames: Tensor) -> None:
    more = synthetic_frames(6, (64, 64), seed=5)
    limit = round(0.2 * COUNT * 32)
    method = updated(frames, more, bank_limit=limit)
    assert len(method.state()["bank"]) == limit
    radius = float(method.state()["radius"])
    assert float(bank_distances(method, torch.cat([frames, more])).max()) <= radius
    assert {*range(COUNT + 6)} >= {*method.state()["sources"].tolist()}


def test_two_scales_and_what_images_are_made_of_are_updated_too() -> None:
    def trays(count: int, seed: int) -> Tensor:
        rng = np.random.default_rng(seed)
        pictures = np.stack([draw_tray(rng, counts_of("good", index)) for index in range(count)])
        return torch.from_numpy(pictures).permute(0, 3, 1, 2)[:, None].to(torch.float32) / 255

    more = trays(1, 3)
    options: dict[str, Any] = {"size": 256, "context": True}
    before, method = fitted(trays(LEAST_IMAGES, 0), **options), updated(trays(LEAST_IMAGES, 0), more, **options)
    calibration, expected = method.calibration(), before.predict(batch_of(more))
    assert calibration is not None
    assert calibration.scores is not None
    assert calibration.maps is not None
    assert expected.scores is not None
    assert expected.maps is not None
    torch.testing.assert_close(calibration.scores, expected.scores, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(calibration.maps, expected.maps, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_a_bank_may_be_searched_by_an_index(frames: Tensor, method: PatchKnn, kind: str) -> None:
    """With so few rows it finds them all; the run keeps it, and it cannot be exported."""
    indexed = fitted(frames, index=kind)
    assert (indexed._facts["index"], indexed._facts["index_recall"]) == (kind, 1.0)
    torch.testing.assert_close(maps_of(indexed, frames), maps_of(method, frames), atol=1e-3, rtol=1e-3)
    restored = made(index=kind)
    restored.load_state(indexed.state())
    assert torch.equal(maps_of(restored, frames), maps_of(indexed, frames))
    with pytest.raises(OptionError, match="index of faiss cannot be exported"):
        indexed.graph()


def test_a_large_bank_is_searched_by_an_index(frames: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "index" not in fitted(frames)._facts
    monkeypatch.setattr("adkit_patchknn.method.MOST_EXACT", 20)
    assert fitted(frames)._facts["index"] == "ivf"
    assert "index" not in fitted(frames, index="exact")._facts


def test_a_run_that_told_levels_apart_only_decides_as_it_did(frames: Tensor) -> None:
    method = fitted(frames, whitening=0)
    older, again = method.state(), made()
    older["weights"] = older["weights"].diag()  # as runs had it before there was `whitening`
    again.load_state(older)
    assert torch.equal(maps_of(again, frames), maps_of(method, frames))
    known = method.options.model_dump(mode="json", exclude={"whitening"})
    found = stored_options(PatchKnnOptions, known, "patchknn")
    assert found is not None
    assert found.whitening == 0
