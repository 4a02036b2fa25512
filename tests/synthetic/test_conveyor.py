from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from adkit.data.video import Video
from adkit.synthetic import conveyor
from adkit.synthetic.conveyor import KINDS, PART_PX, RATE, ConveyorClip, conveyor_clip, write_clip, write_conveyor

SEEDS = range(5)


def clips(kind: str | None) -> list[ConveyorClip]:
    return [conveyor_clip((7, seed), kind) for seed in SEEDS]


def steps(clip: ConveyorClip) -> NDArray[np.float64]:
    """How far the belt ran between one frame and the next, in units of its usual speed."""
    return np.diff(clip.moved_px) * RATE / conveyor.SPEED_PX_S


def gaps(clip: ConveyorClip) -> NDArray[np.float64]:
    return np.diff([thing.place_px for thing in clip.things if not thing.foreign])


def first_frames(clip: ConveyorClip, count: int) -> list[NDArray[np.uint8]]:
    return [frame for frame, _ in zip(clip.frames(), range(count), strict=False)]


def test_a_key_gives_one_clip() -> None:
    one, again, other = (first_frames(conveyor_clip(key), 3) for key in ((1, 2), (1, 2), (1, 3)))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one[0].shape == (conveyor.HEIGHT_PX, conveyor.WIDTH_PX, 3)
    assert one[0].dtype == np.uint8
    assert one[0].std() > 20, "not a flat image"


def test_a_clip_may_be_walked_again() -> None:
    clip = conveyor_clip((1, 2), "foreign_object")
    assert np.array_equal(first_frames(clip, 2), first_frames(clip, 2))


def test_normal_clips_run_at_one_speed_and_have_no_large_gap() -> None:
    for clip in clips(None):
        assert len(clip.moved_px) == len(clip.light) == 240
        assert not clip.anomalous.any()
        assert np.ptp(steps(clip)) < 1e-9
        assert 0.98 < steps(clip).mean() < 1.02
        assert gaps(clip).min() >= conveyor.LEAST_SPACING_PX
        assert gaps(clip).max() <= conveyor.MOST_SPACING_PX
        assert np.ptp(clip.light, axis=0).max() < 0.09, "the light drifts a little"


def test_the_belt_moves_as_far_as_it_says() -> None:
    clip = conveyor_clip((1, 2))
    earlier, later = (frame.astype(np.float64) for frame in (first_frames(clip, 5)[0], first_frames(clip, 5)[4]))
    ran = clip.moved_px[4] - clip.moved_px[0]
    assert 15 < ran < 17
    belt = slice(conveyor._RAIL_PX, -conveyor._RAIL_PX)

    def difference(shift: int) -> float:
        return float(np.abs(later[belt, 40:] - earlier[belt, 40 - shift : earlier.shape[1] - shift]).mean())

    assert min(range(0, 40, 2), key=difference) == 16, "to the right"


@pytest.mark.parametrize("kind", KINDS)
def test_events_last_some_seconds_inside_an_otherwise_normal_clip(kind: str) -> None:
    for clip in clips(kind):
        frames = np.flatnonzero(clip.anomalous)
        assert len(frames) == frames[-1] - frames[0] + 1, "one event"
        assert 2 * RATE <= len(frames) <= 6 * RATE
        assert frames[0] >= 2 * RATE
        assert frames[-1] < 240 - 5


@pytest.mark.parametrize(("kind", "least", "most"), [("stop", 0, 0), ("speed_change", 0.5, 1.65), ("jerk", 0, 2.6)])
def test_motion_is_odd_where_the_labels_say(kind: str, least: float, most: float) -> None:
    for clip in clips(kind):
        during, moving = clip.anomalous[1:], steps(clip)
        usual = moving[~during]
        assert np.ptp(usual) < 0.03
        inside = moving[during][3:-3]
        assert inside.min() >= least - 1e-9
        assert inside.max() <= most + 1e-9
        assert np.abs(inside - usual.mean()).mean() > 0.35
        assert gaps(clip).max() <= conveyor.MOST_SPACING_PX


def test_speeds_change_both_ways() -> None:
    means = [steps(clip)[clip.anomalous[1:]].mean() for clip in clips("speed_change")]
    assert min(means) < 0.7
    assert max(means) > 1.4


def test_a_jerky_belt_gets_as_far_as_another() -> None:
    for clip in clips("jerk"):
        assert clip.moved_px[-1] == pytest.approx(conveyor_clip(clip.key).moved_px[-1], rel=0.05)


def test_a_missing_part_leaves_a_gap_longer_than_any_normal_one() -> None:
    longest = max(gaps(clip).max() for clip in clips(None))
    for clip in clips("missing_part"):
        normal, missing = conveyor_clip(clip.key), clip
        assert len(missing.things) == len(normal.things) - 1
        assert sorted(gaps(missing))[-1] > 1.5 * longest
        assert sorted(gaps(missing))[-2] <= conveyor.MOST_SPACING_PX
        # The labels begin when more free belt is seen than ever between two parts.
        free = conveyor._longest_free_px(missing.moved_px, list(missing.things))
        assert np.array_equal(missing.anomalous, free > conveyor.MOST_SPACING_PX - PART_PX[0])
        ever = conveyor._longest_free_px(normal.moved_px, list(normal.things)).max()
        assert free[missing.anomalous].min() > ever


def test_a_foreign_object_is_seen_where_the_labels_say() -> None:
    clip = conveyor_clip((7, 0), "foreign_object")
    (thing,) = [thing for thing in clip.things if thing.foreign]
    without = conveyor_clip(clip.key)
    assert np.array_equal(without.light, clip.light)
    middle = int(np.flatnonzero(clip.anomalous).mean())
    x, y = round(clip.moved_px[middle] - thing.place_px), conveyor.HEIGHT_PX // 2 + round(thing.across_px)
    assert 100 < x < conveyor.WIDTH_PX - 100
    before, seen = (
        np.abs(frames[0].astype(int) - frames[1])
        for number, frames in enumerate(zip(clip.frames(), without.frames(), strict=True))
        if number in (10, middle)
    )
    around = np.s_[y - 4 : y + 4, x - 4 : x + 4]
    assert seen[around].mean() > 15
    assert before.max() == 0


def test_colours_shift_far_more_than_they_drift() -> None:
    def balance(clip: ConveyorClip) -> NDArray[np.float32]:
        return clip.light[:, 0] / clip.light[:, 2]

    drift = max(np.abs(np.log(balance(clip))).max() for clip in clips(None))
    assert drift < 0.025
    for clip in clips("colour_shift"):
        inside = np.abs(np.log(balance(clip)))[clip.anomalous]
        assert inside[5:-5].min() > 4 * drift
        assert np.abs(np.log(balance(clip)))[~clip.anomalous].max() < 0.1


def test_a_long_clip_keeps_few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bool] = []
    whole = conveyor._sprite
    monkeypatch.setattr(conveyor, "_sprite", lambda foreign, rng: (drawn.append(foreign), whole(foreign, rng))[1])
    clip = conveyor_clip((1, 2), seconds=3600)
    assert len(clip.moved_px) == 3600 * RATE
    assert len(clip.things) > 2000
    first_frames(clip, 2)
    assert len(drawn) <= 5


def test_a_written_clip_holds_its_frames(tmp_path: Path) -> None:
    clip = conveyor_clip((1, 2))
    write_clip(tmp_path / "a.mp4", clip)
    with Video(tmp_path / "a.mp4") as video:
        frames = list(video)
        differences = [
            float(np.abs(frame.pixels().astype(int) - drawn).mean())
            for frame, drawn in zip(frames, clip.frames(), strict=True)
        ]
    assert [frame.time_s for frame in frames[:3]] == pytest.approx([0, 1 / RATE, 2 / RATE])
    assert max(differences) < 3, "grey levels: hardly more than the noise"
    assert (tmp_path / "a.mp4").stat().st_size < 2_000_000


def test_written_clips_are_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []

    def write(path: Path, clip: ConveyorClip) -> None:
        keys.append(clip.key)
        path.write_bytes(b"a video")

    monkeypatch.setattr(conveyor, "write_clip", write)
    write_conveyor(tmp_path, seed=5, train=2, good=1, each_kind=1)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    expected = {"train/normal/000.mp4", "train/normal/001.mp4", "test/normal/000.mp4"}
    expected |= {f"test/{kind}/000.{suffix}" for kind in KINDS for suffix in ("mp4", "csv")}
    assert files == expected
    assert len(set(keys)) == len(keys) == 3 + len(KINDS)
    assert "good" not in KINDS
    lines = (tmp_path / "test/stop/000.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "first_frame,last_frame"
    first, last = map(int, lines[1].split(","))
    assert 40 < first < last < 235
