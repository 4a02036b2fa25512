"""What a method sees of pictures, and what becomes of its maps, from the fit to the score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from adkit.interfaces import Batches, Method, Progress, Workspace
from adkit.nn.options import FrameOptions
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run
from adkit.types import Batch, Prediction
from adkit.workflows.fit import fit
from adkit.workflows.score import FittedModel, open_model
from tests.greys import Greys, with_methods


class Bright(Method[FrameOptions]):
    """The map is how bright each pixel is."""

    Options = FrameOptions
    default_scorer = "max"
    seen: Tensor

    @property
    def frame_size(self) -> tuple[int, int]:
        return self.options.frame

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        type(self).seen = torch.cat([batch.frames[:, -1] for batch in batches])

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(maps=255 * batch.frames[:, -1].mean(dim=1))

    def calibration(self) -> Prediction | None:
        return Prediction(maps=255 * self.seen.mean(dim=1))

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        pass


class BrightHeldOut(Bright):
    """The same; the core holds pictures out to calibrate it."""

    calibration = Method.calibration


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods({"bright": Bright, "bright_held_out": BrightHeldOut})


def paint(path: Path, shape: tuple[int, int], spot: tuple[int, int, int, int] | None = None, level: int = 200) -> Path:
    """A dark picture with some grain; `spot` is top, left, height and width of what is bright in it."""
    pixels = np.random.default_rng(crc32(path.name.encode())).integers(0, 20, shape).astype(np.uint8)
    if spot:
        pixels[spot[0] : spot[0] + spot[2], spot[1] : spot[1] + spot[3]] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def fitted(folder: Path, registry: Registry, shapes: list[tuple[int, int]], **settings: Any) -> FittedModel:
    """A run that learned from dark pictures of these shapes."""
    paths = [paint(folder / "train" / f"{number:03d}.png", shape) for number, shape in enumerate(shapes)]
    asked = {"method": "bright", "options": {"size": 64}, "device": "cpu", **settings}
    run: Run = fit(FitSettings(**asked), Greys(paths), folder / "runs", registry)
    return open_model(run, registry)


@pytest.mark.parametrize("method", ["bright", "bright_held_out"])
def test_frames_have_the_shape_of_the_training_pictures(tmp_path: Path, registry: Registry, method: str) -> None:
    model = fitted(tmp_path, registry, [(40, 160)] * 30, method=method)
    record = model.run.record
    assert record.view.frame == model.method.frame_size == (32, 128)
    assert record.view.picture == (40, 160)
    assert record.settings.options == {"size": "64"}, "what was asked for"
    assert record.options["size"] == "32x128", "what it became"
    assert Bright.seen.shape[-2:] == (32, 128)


def test_one_picture_of_another_shape_changes_nothing_for_the_others(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [(40, 160)] * 29 + [(160, 40)])
    assert model.view.frame == (32, 128)
    maps = model.run.calibration().maps
    assert maps is not None
    assert maps.shape == (30, 32, 128)


def test_a_size_of_both_sides_stays(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [(40, 160)] * 30, options={"size": "48x64"})
    assert model.view.frame == (48, 64)


def test_a_spot_is_found_where_it_is_whatever_the_shape(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [(64, 128)] * 30)
    for shape in [(64, 128), (128, 64), (200, 200), (50, 400)]:
        height, width = shape
        spot = (height // 2, width // 4, height // 8, width // 8)
        (result,) = model.score([paint(tmp_path / "spotted.png", shape, spot)])
        assert result.anomalous
        assert result.region is not None
        assert result.map is not None
        found = (result.region.top, result.region.left, result.region.height, result.region.width)
        # Two px of the frame, of which a narrow picture takes few.
        slack = 2 + 2 * max(height / 32, width / 32)
        assert np.abs(np.subtract(found, spot)).max() <= slack


def test_what_is_mirrored_around_a_picture_sets_no_threshold(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [(64, 128)] * 30)
    # Bright along one edge of a square: mirrored around it, it would be bright twice.
    (result,) = model.score([paint(tmp_path / "edge.png", (64, 64), (0, 0, 64, 4))])
    assert result.map is not None
    assert (result.map > 100).mean() == pytest.approx(4 / 64, abs=0.03)
