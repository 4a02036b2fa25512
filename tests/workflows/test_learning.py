from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from adkit_clips.dataset import Clips
from numpy.typing import NDArray

from adkit.errors import DatasetError
from adkit.runs.record import FitSettings
from adkit.types import Prediction
from adkit.workflows.fit import fit
from adkit.workflows.looks import of_clips
from tests.greys import METHODS, GreyMaps, with_methods
from tests.videos import SIZE, write_greys, write_video
from tests.watched import GreyMemory


class LargeMaps(GreyMaps):
    """Sees enough for motion to be seen beside it, and calibrates itself."""

    frame_size = (96, 128)  # type: ignore[assignment]

    def calibration(self) -> Prediction | None:
        return Prediction(maps=(self.known - self.mean)[:, None, None].expand(-1, 4, 4))


def told_of(folder: Path, method: str = "grey_without_one", every: int | None = 1) -> list[str]:
    """What a fit tells of the clips in a folder."""
    settings = FitSettings(method=method, device="cpu", every=every)
    registry = with_methods({**METHODS, "grey_memory": GreyMemory, "large_maps": LargeMaps})
    run = fit(settings, Clips(folder, "clips:line", folder), folder / "runs", registry)
    return run.record.notes


def noise(rng: np.random.Generator, count: int, most: int = 256, size: tuple[int, int] = SIZE) -> list[NDArray]:
    return list(rng.integers(0, most, (count, *size, 3), dtype=np.uint8))


def test_a_fit_tells_which_clips_look_otherwise_than_the_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        size = (96, 128) if number == 3 else SIZE
        frames = noise(rng, 6, 40 if number in (2, 5, 8, 9) else 256, size)
        write_video(tmp_path / f"{number:02d}.mp4", frames[:1] * 6 if number == 7 else frames)
    told = told_of(tmp_path)
    assert told[0].startswith("in 1 of 12 clips nothing changes")
    assert [line.partition(": ")[2].partition(";")[0] for line in told] == [
        "07.mp4",
        "02.mp4, 05.mp4, 08.mp4, 09.mp4",
        "03.mp4 (128×96)",
    ]


@pytest.mark.parametrize(
    ("levels", "dark"), [((120, 118, 40, 42), "2.mp4, 3.mp4"), ((120, 40), "1.mp4"), ((120, 90, 60, 30), "")]
)
def test_night_and_day_are_told_of_few_clips_too(levels: Sequence[int], dark: str, tmp_path: Path) -> None:
    for number, level in enumerate(levels):
        write_greys(tmp_path / f"{number}.mp4", [level + 5 * (frame % 2) for frame in range(7)])
    told = told_of(tmp_path)
    assert len(told) == bool(dark)
    are = "is" if dark.count("mp4") == 1 else "are"
    start = f"{dark.count('mp4')} of {len(levels)} clips {are} much darker: {dark};"
    assert all(line.startswith(start) for line in told)


def test_another_frame_rate_is_told_with_what_follows(tmp_path: Path) -> None:
    for number, rate in enumerate((10, 25, 25, 50)):
        write_video(tmp_path / f"{number}.mp4", noise(np.random.default_rng(number), rate), rate=rate)
    (told,) = told_of(tmp_path, "grey_memory", every=None)
    assert told == (
        "2 of 4 clips have another frame rate than the others (25 a second): 0.mp4 (10), 3.mp4 (50); "
        "frames are taken by their time, 0.04 s apart, of some 0.1 s: --every 3 takes all alike"
    )
    (told,) = told_of(tmp_path, "grey_memory", every=3)
    assert told.endswith("frames are taken by their time, 0.12 s apart")


def test_a_camera_that_moves_in_some_clips_is_told_with_their_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wall = np.repeat(np.repeat(rng.integers(60, 200, (24, 32, 3), dtype=np.uint8), 4, axis=0), 4, axis=1)
    for number in range(4):
        frames = [np.roll(wall, 3 * frame if number % 2 else 0, axis=1) for frame in range(8)]
        for frame, pixels in enumerate(frames):
            pixels[40:60, 5 * frame : 5 * frame + 20] = 20 * number  # something moves in all of them
        write_video(tmp_path / f"{number}.mp4", frames)
    (told,) = told_of(tmp_path, "large_maps")
    assert told.startswith("in 2 of 4 clips the whole image moves: 1.mp4, 3.mp4;")


def test_frames_too_far_apart_for_motion_are_told(tmp_path: Path) -> None:
    for number in range(4):
        write_video(tmp_path / f"{number}.mp4", noise(np.random.default_rng(number), 24, size=(96, 128)))
    (told,) = told_of(tmp_path, "large_maps", every=6)
    assert told == "motion is not judged: frames are over 0.5 s apart; a lower --every helps"


def test_clips_of_two_frames_are_told(tmp_path: Path) -> None:
    for number in range(4):
        write_video(tmp_path / f"{number}.mp4", noise(np.random.default_rng(number), 8 if number else 2))
    (told,) = told_of(tmp_path)
    assert told.startswith("1 of 4 clips lasts less than 0.5 s, too short to show how things move: 0.mp4;")


def test_a_single_clip_of_two_frames_is_too_little(tmp_path: Path) -> None:
    write_greys(tmp_path / "0.mp4", [100, 120])
    with pytest.raises(DatasetError) as caught:
        told_of(tmp_path)
    assert caught.value.message.endswith(
        "has 1 clip of 2 frames to learn from; grey_without_one needs at least 2 clips"
    )
    assert "one of 2 s or more is cut into several" in caught.value.hint


@pytest.mark.parametrize(
    ("names", "told"),
    [(["a 0:01.2", "a 1:02:03.5"], "2 of 9 pieces"), (["a.mp4"], "1 of 9 clips"), ([], "0 of 9 clips")],
)
def test_pieces_of_clips_are_counted_as_such(names: list[str], told: str) -> None:
    assert of_clips(names, 9) == told
