from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adkit.data.batches import FrameBatches, batched
from adkit.data.frame_source import Frame, frames_of
from adkit.data.video import Video
from adkit.data.view import View
from adkit.errors import AdkitError, FrameError
from adkit.types import Batch, FrameRef, Sample
from tests.videos import write_greys

COUNT = 24
VIEW = View(frame=(1, 1))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One-pixel images; the value of each is its number + 1."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number:03d}.png" for number in range(COUNT)]
    for number, path in enumerate(paths):
        Image.new("L", (1, 1), number + 1).save(path)
    return paths


def clips_of(pictures: list[Path], lengths: list[int]) -> list[Sample]:
    """The images in their order, as clips of these lengths."""
    places = [(clip, index) for clip, length in enumerate(lengths) for index in range(length)]
    return [
        Sample(f"clip{clip}/{index}", FrameRef(picture), f"clip{clip}", index)
        for picture, (clip, index) in zip(pictures, places, strict=False)
    ]


def groups_of(batches: FrameBatches) -> Iterator[tuple[list[Frame], Batch]]:
    """The batches, each with its frames, which tell whose they are."""
    frames = frames_of(batches.samples, batches.view, batches.on_bad)
    for group, batch in batched(frames, batches.view, batches.window, batches.batch_size):
        assert batch is not None
        yield group, batch


def values_of(batches: FrameBatches) -> dict[str, list[int]]:
    """The values of each sample's window by its id; fails when a sample comes twice."""
    found: dict[str, list[int]] = {}
    for group, batch in groups_of(batches):
        assert 1 <= len(batch) <= batches.batch_size
        assert batch.frames.shape[1] == batches.window
        for frame, window in zip(group, batch.frames, strict=True):
            assert frame.id not in found
            found[frame.id] = [round(float(frame[0, 0, 0]) * 255) for frame in window]
    return found


LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(lengths=LENGTHS, window=st.integers(1, 5), batch_size=st.integers(1, 7), bad=st.sets(st.integers(0, COUNT - 1)))
def test_every_frame_gets_one_window_that_stays_in_its_clip(
    pictures: list[Path], lengths: list[int], window: int, batch_size: int, bad: set[int]
) -> None:
    samples = clips_of(pictures, lengths)
    absent = {samples[number].id for number in bad if number < len(samples)}
    named = [
        Sample(sample.id, FrameRef(sample.frame.path.with_suffix(".gone")), sample.clip, sample.index)
        if sample.id in absent
        else sample
        for sample in samples
    ]
    left_out: list[str] = []
    batches = FrameBatches(
        named, VIEW, window=window, batch_size=batch_size, on_bad=lambda sample, _: left_out.append(sample.id)
    )
    found = values_of(batches)
    readable = [(number + 1, sample) for number, sample in enumerate(samples) if sample.id not in absent]
    assert list(found) == [sample.id for _, sample in readable]
    assert left_out == [sample.id for sample in samples if sample.id in absent]
    for value, sample in readable:
        past = [other for other, neighbour in readable if neighbour.clip == sample.clip and other <= value]
        assert found[sample.id] == ([past[0]] * window + past)[-window:]


def test_a_batch_holds_colours_between_0_and_1(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4), (255, 0, 51)).save(tmp_path / "a.png")
    (batch,) = FrameBatches([Sample.still("a", tmp_path / "a.png")], View(frame=(4, 6)))
    assert batch.frames.shape == (1, 1, 3, 4, 6)
    assert batch.frames.dtype == torch.float32
    assert batch.frames.is_contiguous()
    assert torch.allclose(batch.frames[0, 0, :, 0, 0], torch.tensor([1.0, 0.0, 0.2]))


def test_names_in_a_batch_are_numbers_that_tell_which_frames_are_of_one_clip(pictures: list[Path]) -> None:
    batches = FrameBatches(clips_of(pictures, [2, 1, 2]), VIEW, batch_size=2)
    for _ in range(2):
        assert [batch.ids for batch in batches] == [("0", "1"), ("2", "3"), ("4",)]
        assert [batch.clips for batch in batches] == [("0", "0"), ("1", "2"), ("2",)]


def test_a_window_says_how_many_seconds_it_spans_at_any_rate(pictures: list[Path]) -> None:
    samples = [
        replace(sample, timestamp_s=sample.index / rate)
        for rate, clip in zip((10, 25, 50), ("clip0", "clip1", "clip2"), strict=True)
        for sample in clips_of(pictures, [8, 8, 8])
        if sample.clip == clip
    ]
    spans_s = [span_s for batch in FrameBatches(samples, VIEW, window=3) for span_s in batch.spans_s]
    assert spans_s == pytest.approx([min(index, 2) / rate for rate in (10, 25, 50) for index in range(8)])


def test_frames_are_resized_to_height_and_width(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    (batch,) = FrameBatches([Sample.still("a", tmp_path / "a.png")], View(frame=(10, 30)))
    assert tuple(batch.frames.shape[-2:]) == (10, 30)


@pytest.mark.parametrize(("room", "read_again"), [(3, False), (2, True)])
def test_a_second_walk_is_remembered_where_there_is_room(
    tmp_path: Path, pictures: list[Path], room: int, read_again: bool
) -> None:
    paths = [tmp_path / path.name for path in pictures[:5]]
    for path, picture in zip(paths, pictures, strict=False):
        path.write_bytes(picture.read_bytes())
    batches = FrameBatches(clips_of(paths, [5]), VIEW, batch_size=2, remember=5 * room)
    first = list(batches)
    next(iter(batches))  # part of a walk is no walk
    assert len(list(batches)) == len(first)
    paths[3].unlink()
    if read_again:
        with pytest.raises(FrameError, match="3"):
            list(batches)
    else:
        assert all(torch.equal(one.frames, other.frames) for one, other in zip(first, batches, strict=True))
        assert [batch.clips for batch in batches] == [batch.clips for batch in first]


def test_batches_can_be_walked_again(pictures: list[Path]) -> None:
    batches = FrameBatches(clips_of(pictures, [5, 7]), VIEW, window=2, batch_size=5)
    assert len(batches) == 12
    assert values_of(batches) == values_of(batches)


def test_no_samples_give_no_batches() -> None:
    assert list(FrameBatches([], VIEW)) == []


def test_a_file_that_cannot_be_read_stops_the_walk_by_name(pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(pictures[0].read_bytes()[:40])
    samples = [*clips_of(pictures, [4]), Sample.still("torn", tmp_path / "torn.png")]
    with pytest.raises(FrameError, match=r"torn\.png"):
        list(FrameBatches(samples, VIEW, batch_size=2))


def test_a_file_that_cannot_be_read_is_reported_and_left_out(pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(b"")
    samples = [Sample.still("torn", tmp_path / "torn.png"), *clips_of(pictures, [3])]
    reported: list[tuple[str, AdkitError]] = []
    batches = FrameBatches(samples, VIEW, on_bad=lambda sample, error: reported.append((sample.id, error)))
    assert list(values_of(batches)) == ["clip0/0", "clip0/1", "clip0/2"]
    ((name, error),) = reported
    assert name == "torn"
    assert "the file is empty" in error.message


def test_only_unreadable_files_give_no_batches(tmp_path: Path) -> None:
    reported: list[str] = []
    samples = [Sample.still(name, tmp_path / name) for name in ("a.png", "b.png")]
    assert list(FrameBatches(samples, VIEW, on_bad=lambda sample, _: reported.append(sample.id))) == []
    assert reported == ["a.png", "b.png"]


def test_leaving_early_ends_the_threads(pictures: list[Path]) -> None:
    before = set(threading.enumerate())
    walk = iter(FrameBatches(clips_of(pictures, [20]), VIEW, batch_size=2))
    next(walk)
    assert any(thread.name.startswith("decode") for thread in set(threading.enumerate()) - before)
    walk.close()  # type: ignore[attr-defined]
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("decode")]


def test_reading_ahead_is_bounded(pictures: list[Path]) -> None:
    taken: list[int] = []

    class Counted(list[Sample]):
        def __iter__(self) -> Iterator[Sample]:
            for number, sample in enumerate(super().__iter__()):
                taken.append(number)
                yield sample

    next(iter(FrameBatches(Counted(clips_of(pictures, [COUNT])), VIEW, batch_size=2)))
    assert len(taken) <= 6


def samples_of(path: Path, values: list[int], every: int = 1) -> list[Sample]:
    write_greys(path, values)
    return [
        Sample(f"{path.stem}/{number}", FrameRef(path, number), path.stem, number, timestamp_s=number / 10)
        for number in range(0, len(values), every)
    ]


def means_of(batches: FrameBatches) -> dict[str, int]:
    return {
        frame.id: round(float(pixels.mean()) * 255)
        for group, batch in groups_of(batches)
        for frame, pixels in zip(group, batch.frames[:, -1], strict=True)
    }


def test_videos_are_decoded_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    init = Video.__init__

    def counted(self: Video, source: Path) -> None:
        opened.append(source.name)
        init(self, source)

    monkeypatch.setattr(Video, "__init__", counted)
    values = list(range(10, 240, 10))
    samples = [*samples_of(tmp_path / "a.mp4", values), *samples_of(tmp_path / "b.mp4", values[::-1], every=4)]
    found = means_of(FrameBatches(samples, View(frame=(24, 32)), batch_size=5))
    assert list(found) == [sample.id for sample in samples]
    assert list(found.values()) == pytest.approx([*values, *values[::-1][::4]], abs=2)
    assert opened == ["a.mp4", "b.mp4"]


def test_a_video_that_ends_early_gives_what_it_has(tmp_path: Path) -> None:
    samples = samples_of(tmp_path / "a.mp4", [50] * 10)
    beyond = Sample("a/10", FrameRef(tmp_path / "a.mp4", 10), "a", 10)
    with pytest.raises(FrameError, match=r"a\.mp4 lacks frame 10"):
        list(FrameBatches([*samples, beyond], VIEW))
    reported: list[str] = []
    batches = FrameBatches([*samples, beyond], VIEW, on_bad=lambda sample, _: reported.append(sample.id))
    assert list(means_of(batches)) == [sample.id for sample in samples]
    assert reported == ["a/10"]


def test_what_is_no_video_is_left_out_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video" * 100)
    samples = [Sample(f"a/{number}", FrameRef(path, number), "a", number) for number in range(3)]
    reported: list[str] = []
    assert list(FrameBatches(samples, VIEW, on_bad=lambda sample, _: reported.append(sample.id))) == []
    assert reported == ["a/0", "a/1", "a/2"]


def test_leaving_a_video_early_ends_its_thread(tmp_path: Path) -> None:
    walk = iter(FrameBatches(samples_of(tmp_path / "a.mp4", [50] * 60), VIEW, batch_size=2))
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
