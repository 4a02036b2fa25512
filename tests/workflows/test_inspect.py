from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from adkit.data.video import Video, video_times
from adkit.interfaces import Advance, Dataset, Progress
from adkit.types import FrameRef, Sample, Split
from adkit.workflows import inspect as inspection
from adkit.workflows.inspect import NO_TESTS, inspect_dataset
from adkit.workflows.looks import Glances
from tests.videos import SIZE, grey, write_video


class Pile(Dataset):
    """The samples that a test puts into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = "pile:all"
        self.found: dict[Split, list[Sample]] = {"train": [], "test": []}

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        return []

    def samples(self, split: Split) -> list[Sample]:
        return self.found[split]

    def put(
        self, name: str, picture: NDArray[np.generic] | bytes, split: Split = "train", mask: Path | None = None
    ) -> Path:
        path = self.folder / name
        if isinstance(picture, bytes):
            path.write_bytes(picture)
        else:
            Image.fromarray(picture).save(path)
        bad = split == "test"
        self.found[split].append(Sample.still(name, path, anomalous=bad, kind="crack" if bad else "good", mask=mask))
        return path

    def findings(self) -> list[str]:
        return inspect_dataset(self).findings


def noise(seed: int, height: int = 40, width: int = 40) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def pile(tmp_path: Path) -> Pile:
    return Pile(tmp_path)


def test_nothing_is_wrong_with_good_images(pile: Pile) -> None:
    for number in range(3):
        pile.put(f"{number}.png", noise(number))
    found = inspect_dataset(pile)
    assert found.counts == {("train", "good"): 3}
    assert (found.findings, found.notes) == ([], [NO_TESTS]), "the usual folder of who has no defects yet"
    assert found.sheet is not None


@pytest.mark.parametrize(("highest", "white"), [(4095, 4095), (900, 1023), (4500, 16383), (65535, 65535)])
def test_what_is_white_in_files_of_16_bits_is_told(pile: Pile, highest: int, white: int) -> None:
    pile.put("a.png", np.linspace(0, highest, 1600).reshape(40, 40).astype(np.uint16))
    note = f"1 image has more than 8 bits, with values up to {highest:,}: {white:,} is read as white"
    assert note in inspect_dataset(pile).notes
    assert pile.findings() == []


def test_images_of_another_size_are_counted(pile: Pile) -> None:
    for number, size in enumerate([(40, 40)] * 5 + [(50, 40)] * 4 + [(60, 70)]):
        pile.put(f"{number}.png", noise(number, *size))
    (finding,) = pile.findings()
    assert finding == (
        "5 have another size than the most common one: 5.png (40×50), 6.png (40×50), 7.png (40×50) and 2 more"
    )


@pytest.mark.parametrize(("of_good", "of_bad", "told"), [("jpg", "png", 1), ("png", "jpg", 1), ("png", "bmp", 0)])
def test_files_whose_compression_tells_good_from_anomalous_are_told(
    of_good: str, of_bad: str, told: int, pile: Pile
) -> None:
    pile.put(f"a.{of_good}", noise(1))
    pile.put(f"b.{of_bad}", noise(2), split="test")
    expected = f"anomalous and good images are files of other types (.{of_bad}, .{of_good})"
    assert any(line.startswith(expected) for line in pile.findings()) == told
    pile.put(f"c.{of_good}", noise(3), split="test")  # of both types: it is no sign any more
    assert not any("types" in line for line in pile.findings())


def test_copies_are_counted(pile: Pile) -> None:
    for number in range(5):
        pile.put(f"a{number}.png", noise(1))
    for number in range(2):
        pile.put(f"b{number}.png", noise(2))
    assert pile.findings() == ["7 have identical copies: a0.png = a1.png = a2.png, b0.png = b1.png and 2 more"]


def test_images_in_both_splits_are_counted(pile: Pile) -> None:
    mask = pile.folder / "mask.png"
    Image.fromarray(np.pad(np.full((20, 40), 255, np.uint8), ((0, 20), (0, 0)))).save(mask)
    pile.put("a.png", noise(1))
    pile.put("b.png", noise(1), "test", mask)
    pile.put("c.png", noise(2), "test", mask)
    (finding,) = pile.findings()
    assert finding == "2 are in both training and test: results would look too good: a.png = b.png"
    assert inspect_dataset(pile).masks == {"crack": 2}


@pytest.mark.parametrize(
    ("rows", "finding"),
    [
        (0, "1 has a mask that marks nothing: b.png"),
        (30, "1 has a mask that marks more than half, as if inverted: b.png"),
    ],
)
def test_masks_that_cannot_be_meant_are_named(pile: Pile, rows: int, finding: str) -> None:
    mask = pile.folder / "mask.png"
    Image.fromarray(np.pad(np.full((rows, 40), 255, np.uint8), ((0, 40 - rows), (0, 0)))).save(mask)
    pile.put("a.png", noise(1))
    pile.put("b.png", noise(2), "test", mask)
    assert pile.findings() == [finding]


def test_test_images_that_have_a_kind_but_no_truth_are_named(pile: Pile) -> None:
    pile.put("good.png", noise(0))
    pile.put("bad.png", noise(1), "test")
    pile.found["test"] = [replace(one, anomalous=None) for one in pile.found["test"]]
    assert pile.findings() == ["1 has a kind, but not whether it is anomalous: eval leaves them out: bad.png"]


def test_a_bad_file_is_a_finding(pile: Pile) -> None:
    pile.put("a.png", b"no image")
    pile.put("b.png", b"")
    pile.put("c.png", noise(1))
    (finding,) = pile.findings()
    assert finding.startswith("2 cannot be read: ")
    assert "is not an image" in finding
    assert "b.png" in finding
    pile.found["train"] = [one for one in pile.found["train"] if one.id != "b.png"]
    assert pile.findings()[0].startswith("1 cannot be read: ")


class Videos(Pile):
    """Videos, each a clip; frames of one colour are what a test asks for."""

    def video(self, name: str, frames: list[NDArray[np.uint8]], split: Split = "train", kind: str = "good") -> Path:
        path = write_video(self.folder / name, frames)
        self.found[split] += [
            Sample(
                f"{name}/{number}",
                FrameRef(path, number),
                name,
                number,
                anomalous=kind != "good",
                kind=kind,
                timestamp_s=float(time_s),
            )
            for number, time_s in enumerate(video_times(path))
        ]
        return path


@pytest.fixture
def videos(tmp_path: Path) -> Videos:
    return Videos(tmp_path)


def moving(seed: int, count: int = 10, size: tuple[int, int] = SIZE) -> list[NDArray[np.uint8]]:
    return [noise(seed * 100 + number, *size) for number in range(count)]


def test_clips_and_their_lengths_are_counted(videos: Videos) -> None:
    videos.video("a.mp4", moving(1))
    videos.video("b.mp4", moving(2, 20))
    videos.video("c.mp4", moving(3), "test", "stop")
    found = inspect_dataset(videos)
    assert found.counts == {("train", "good"): 30, ("test", "stop"): 10}
    assert found.clips == {("train", "good"): 2, ("test", "stop"): 1}
    assert found.lengths_s == pytest.approx({"a.mp4": 1.0, "b.mp4": 2.0, "c.mp4": 1.0})
    assert found.sizes == {"64×48": 40}
    assert found.formats == {"video": 40}
    assert found.findings == [], "nobody expects masks of videos"


def test_still_images_have_no_length(pile: Pile) -> None:
    pile.put("a.png", noise(1))
    assert inspect_dataset(pile).lengths_s == {}


def test_each_video_is_walked_once_and_never_searched(videos: Videos, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [videos.video("a.mp4", moving(1)), videos.video("b.mp4", moving(2), "test", "stop")]
    opened: list[Path] = []

    class Counted(Video):
        def __init__(self, source: Path) -> None:
            opened.append(source)
            super().__init__(source)

    monkeypatch.setattr(inspection, "Video", Counted)
    monkeypatch.setattr(Video, "at", lambda *_: pytest.fail("searched"))
    found = inspect_dataset(videos)
    assert opened == paths
    assert found.sheet is not None


def test_the_sheet_shows_frames_of_each_kind(videos: Videos) -> None:
    videos.video("a.mp4", [grey(40)] * 10)
    videos.video("b.mp4", [grey(200)] * 10, "test", "stop")
    sheet = inspect_dataset(videos).sheet
    assert sheet is not None
    rows = np.asarray(sheet)
    middle = rows[:, 60].astype(int).mean(axis=1)
    assert (np.abs(middle - 40) < 4).sum() > 100
    assert (np.abs(middle - 200) < 4).sum() > 100
    assert np.argmax(np.abs(middle - 40) < 4) < np.argmax(np.abs(middle - 200) < 4), "good ones first"


def test_masks_of_videos_are_looked_at_where_the_sheet_has_no_room(videos: Videos) -> None:
    videos.video("a.mp4", moving(1, 20), "test", "stop")
    mask = videos.folder / "mask.png"
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(mask)
    videos.found["test"] = [replace(sample, mask=FrameRef(mask)) for sample in videos.found["test"]]
    found = inspect_dataset(videos)
    assert found.masks == {"stop": 20}
    assert found.sheet is not None


def test_copies_of_videos_are_found_by_file(videos: Videos) -> None:
    videos.video("a.mp4", [noise(1, *SIZE)] * 10)  # frames that do not move are no copies
    original = videos.video("b.mp4", moving(2))
    videos.video("c.mp4", moving(2), "test", "stop").write_bytes(original.read_bytes())
    copies, still = videos.findings()
    assert copies == "2 are in both training and test: results would look too good: b.mp4 = c.mp4"
    assert still.endswith(": a.mp4")


def test_copies_of_folders_of_frames_are_found_by_all_their_frames(pile: Pile) -> None:
    for clip, seeds in (("a", (1, 2, 2)), ("b", (1, 2, 2)), ("c", (1, 2, 3))):
        for index, seed in enumerate(seeds):
            path = pile.folder / f"{clip}{index}.png"
            Image.fromarray(noise(seed)).save(path)
            pile.found["train"].append(Sample(path.name, FrameRef(path), clip, index, anomalous=False, kind="good"))
    assert pile.findings() == ["2 have identical copies: a = b"]


def test_what_looks_wrong_with_videos_is_told_once_for_each(videos: Videos) -> None:
    for number in range(3):
        videos.video(f"{number}.mp4", moving(number))
    videos.video("large.mp4", moving(4, size=(96, 128)))
    videos.video("tiny.mp4", moving(5, size=(24, 24)))
    videos.video("dark.mp4", [*moving(6, 4), *[grey(0)] * 3, *moving(7, 4)])
    videos.video("black.mp4", [grey(0)])
    assert sorted(videos.findings()) == [
        "1 is smaller than 32 px: tiny.mp4",
        "2 have another size than the most common one: large.mp4 (128×96), tiny.mp4 (24×24)",
        "2 have frames of one colour only: dark.mp4 (3 frames, the first at 0:00.4), "
        "black.mp4 (1 frame, the first at 0:00.0)",
    ]


def test_clips_of_the_night_and_those_that_stand_still_are_named(videos: Videos) -> None:
    for number in range(12):
        night = number in (2, 5, 8, 9)
        frames = moving(number, 4)
        videos.video(f"{number}.mp4", [frame // 6 if night else frame for frame in frames])
    videos.video("frozen.mp4", [noise(1, *SIZE)] * 4)
    still, dark = videos.findings()
    assert still == (
        "in 1 of 13 clips nothing changes from the first frame to the last, as if the camera had stopped: frozen.mp4"
    )
    assert dark.startswith("4 of 13 clips are much darker: 2.mp4, 5.mp4, 8.mp4, 9.mp4; ")


def test_a_damaged_video_is_a_finding(videos: Videos) -> None:
    videos.video("a.mp4", moving(1))
    broken = videos.video("b.mkv", moving(2, 30))
    gone = videos.video("c.mp4", moving(3))
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    gone.unlink()
    found = inspect_dataset(videos)
    findings = " | ".join(found.findings)
    assert "b.mkv" in findings
    assert "there is no file" in findings
    assert found.counts == {("train", "good"): 50}
    assert 10 < found.sizes["64×48"] < 40, "what can be read is counted"


def test_progress_reaches_its_end(videos: Videos) -> None:
    steps: list[int] = []

    class Counting(Progress):
        @contextmanager
        def task(self, label: str, total: int) -> Iterator[Advance]:
            yield steps.append
            assert sum(steps) == total == 41

    videos.video("a.mp4", moving(1))
    broken = videos.video("b.mkv", moving(2, 30))
    videos.put("c.png", noise(1))
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    inspect_dataset(videos, Counting())
    assert steps


def test_two_sorts_of_parts_are_noticed_and_shown(pile: Pile) -> None:
    rng = np.random.default_rng(0)
    for number in range(30):
        light = int(rng.integers(0, 25))
        picture = rng.integers(100 + light, 120 + light, (40, 40, 3), dtype=np.uint8)
        if number % 5 < 2:
            picture[:, 10:30] = 30 + light
        pile.put(f"{number:02d}.png", picture)
    found = inspect_dataset(pile)
    (finding,) = [one for one in found.findings if "two groups" in one]
    assert finding.startswith("the good images fall into two groups of 18 and 12, as if of two sorts of parts")
    assert found.sheet is not None
    rows = 3  # the kind, the oddest, the smaller group
    assert found.sheet.height > rows * found.sheet.width / 6


@pytest.mark.parametrize("sort", ["noise", "brightness", "alike"])
def test_one_sort_of_parts_is_no_two(pile: Pile, sort: str) -> None:
    rng = np.random.default_rng(1)
    for number in range(40):
        low = int(rng.integers(0, 150)) if sort == "brightness" else 50
        span = 200 if sort == "noise" else 8
        pile.put(f"{number}.png", rng.integers(low, low + span, (40, 40, 3), dtype=np.uint8))
    assert not any("two groups" in one for one in pile.findings())


def test_the_oddest_image_is_on_the_sheet(pile: Pile) -> None:
    glances = Glances()
    for number in range(20):
        picture = noise(number) // 8 + (100 if number != 13 else 0)
        glances.add(f"{number}", picture)
    assert glances.oddest(6)[0] == "13"
    assert glances.two_groups() is None, "one alone is no group"
