"""The same belt, recorded at several rates: what is found depends on times, not on frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from adkit.data.inputs import VideoInput
from adkit.data.spans import VideoSpans, parse_spans
from adkit.runs.record import FitSettings
from adkit.watching.watch import Settings, Watch
from adkit.workflows.fit import fit
from adkit.workflows.score import FittedModel, open_model
from tests.greys import GreyMaps, with_methods
from tests.videos import write_video

SIDE = 96
SPEED_PX_S = 25.0
STOP_S = (4.0, 6.0)


class LargeGrey(GreyMaps):
    """Sees enough of an image to tell how it moves."""

    frame_size = (SIDE, SIDE)  # type: ignore[assignment]


def belt(path: Path, rate: int, seconds: float, *, stops: bool = False, seed: int = 0) -> Path:
    """A video of a belt that runs to the right, and may halt for two seconds."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.random((SIDE, 4 * SIDE)).astype(np.float32), (0, 0), 2)
    texture = (texture - texture.min()) / (texture.max() - texture.min()) * 255
    frames, gone_px = [], 0.0
    for number in range(round(rate * seconds)):
        moved = np.array([[1, 0, gone_px], [0, 1, 0]], np.float32)
        grey = cv2.warpAffine(texture, moved, (SIDE, SIDE), borderMode=cv2.BORDER_WRAP)
        frames.append(np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2))
        if not (stops and STOP_S[0] <= number / rate < STOP_S[1]):
            gone_px += SPEED_PX_S / rate
    return write_video(path, frames, rate=rate)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FittedModel:
    folder, registry = tmp_path_factory.mktemp("belt"), with_methods({"grey": LargeGrey})
    video = VideoSpans(belt(folder / "normal.mp4", 25, 16.0), parse_spans(["0:00-0:16"]))
    return open_model(fit(FitSettings(method="grey", device="cpu"), video, folder / "runs", registry), registry)


@pytest.mark.parametrize("rate", [10, 25, 50])
def test_a_stop_is_found_at_any_rate_at_the_same_time(model: FittedModel, rate: int, tmp_path: Path) -> None:
    video = VideoInput("belt", video=belt(tmp_path / "belt.mp4", rate, 9.0, stops=True, seed=1))
    watch = Watch(model, video, Settings())
    results = list(watch)
    assert np.diff([one.time_s for one in results]).mean() == pytest.approx(0.12, abs=0.021)  # 0.1 s at ten a second
    (event,) = watch.events
    assert event.start_s == pytest.approx(STOP_S[0], abs=0.5)  # scores are smoothed
    assert event.end_s == pytest.approx(STOP_S[1], abs=1.2)
