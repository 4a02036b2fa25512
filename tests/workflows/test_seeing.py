"""What a method sees of images, and what becomes of its maps, from the fit to the score."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from adkit.data.datasets import open_datasets
from adkit.errors import AdkitError, FrameError, OptionError
from adkit.evaluation.evaluate import evaluate
from adkit.interfaces import Batches, Method, Progress, Workspace
from adkit.nn.options import FrameOptions
from adkit.registry import Registry, load_registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run
from adkit.types import Batch, Prediction
from adkit.workflows.fit import fit
from adkit.workflows.score import FittedModel, Workplace, open_model
from adkit.workflows.seeing import method_and_view, tiles_instead
from tests.greys import Grey, Greys, with_methods


class Bright(Method[FrameOptions]):
    """The map is how bright each pixel is."""

    Options = FrameOptions
    default_scorer = "max"
    seen: ClassVar[Tensor]
    clips: ClassVar[list[str]]

    @property
    def frame_size(self) -> tuple[int, int]:
        return self.options.frame

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        Bright.seen = torch.cat([batch.frames[:, -1] for batch in batches])
        Bright.clips = [clip for batch in batches for clip in batch.clips]

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(maps=255 * batch.frames[:, -1].mean(dim=1))

    def calibration(self) -> Prediction | None:
        return Prediction(maps=255 * self.seen.mean(dim=1))

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        pass


class BrightHeldOut(Bright):
    """The same; the core holds images out to calibrate it."""

    calibration = Method.calibration


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods({"bright": Bright, "bright_held_out": BrightHeldOut})


def paint(path: Path, shape: tuple[int, int], spot: tuple[int, int, int, int] | None = None, level: int = 200) -> Path:
    """A dark image with some grain; `spot` is top, left, height and width of what is bright in it."""
    pixels = np.random.default_rng(crc32(path.name.encode())).integers(0, 20, shape).astype(np.uint8)
    if spot:
        pixels[spot[0] : spot[0] + spot[2], spot[1] : spot[1] + spot[3]] = level
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def fitted(folder: Path, registry: Registry, shapes: list[tuple[int, int]], **settings: Any) -> FittedModel:
    """A run that learned from dark images of these shapes."""
    paths = [paint(folder / "train" / f"{number:03d}.png", shape) for number, shape in enumerate(shapes)]
    asked = {"method": "bright", "options": {"size": 64}, "device": "cpu", **settings}
    run: Run = fit(FitSettings(**asked), Greys(paths), folder / "runs", registry)
    return open_model(run, registry)


@pytest.mark.parametrize("method", ["bright", "bright_held_out"])
def test_frames_have_the_shape_of_the_training_images(tmp_path: Path, registry: Registry, method: str) -> None:
    model = fitted(tmp_path, registry, [(40, 160)] * 30, method=method)
    record = model.run.record
    assert record.view.frame == model.method.frame_size == (32, 128)
    assert record.view.picture == (40, 160)
    assert record.settings.options == {"size": "64"}, "what was asked for"
    assert record.options["size"] == "32x128", "what it became"
    assert Bright.seen.shape[-2:] == (32, 128)


def test_one_image_of_another_shape_changes_nothing_for_the_others(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [(40, 160)] * 29 + [(160, 40)])
    note, _ = model.run.record.notes  # the other: the method keeps nothing
    assert note.startswith("1 of 30 images has another shape than 160×40, such as 40×160")
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
        # Two px of the frame, of which a narrow image takes few.
        slack = 2 + 2 * max(height / 32, width / 32)
        assert np.abs(np.subtract(found, spot)).max() <= slack


def test_what_is_mirrored_around_an_image_sets_no_threshold(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [(64, 128)] * 30)
    # Bright along one edge of a square: mirrored around it, it would be bright twice.
    (result,) = model.score([paint(tmp_path / "edge.png", (64, 64), (0, 0, 64, 4))])
    assert result.map is not None
    assert (result.map > 100).mean() == pytest.approx(4 / 64, abs=0.03)


def mask(path: Path, shape: tuple[int, int], bright: tuple[int, int, int, int]) -> Path:
    """A mask that is bright in one rectangle: top, left, height, width."""
    marked = np.zeros(shape, np.uint8)
    marked[bright[0] : bright[0] + bright[2], bright[1] : bright[1] + bright[3]] = 255
    Image.fromarray(marked).save(path)
    return path


SHAPE = (60, 100)
INSIDE, OUTSIDE = (30, 50, 6, 6), (2, 2, 6, 6)


def places(tmp_path: Path) -> dict[str, dict[str, Any]]:
    """Ways to leave the upper left corner out."""
    return {
        "box": {"roi": "40,20,50,30"},
        "mask": {"roi": str(mask(tmp_path / "roi.png", SHAPE, (20, 40, 30, 50)))},
        "ignored": {"ignore": str(mask(tmp_path / "ignored.png", SHAPE, (0, 0, 20, 100)))},
        "border": {"ignore_border": 9},
    }


@pytest.mark.parametrize("way", ["box", "mask", "ignored", "border"])
@pytest.mark.parametrize("method", ["bright", "bright_held_out"])
def test_what_lies_elsewhere_makes_no_score(tmp_path: Path, registry: Registry, way: str, method: str) -> None:
    model = fitted(tmp_path, registry, [SHAPE] * 40, method=method, **places(tmp_path)[way])
    inside, outside = model.score([paint(tmp_path / f"{spot}.png", SHAPE, spot) for spot in (INSIDE, OUTSIDE)])
    assert inside.anomalous
    assert not outside.anomalous
    assert inside.region is not None
    assert (inside.region.left, inside.region.top) == pytest.approx((50, 30), abs=3)
    assert inside.map is not None
    peak = np.unravel_index(inside.map.argmax(), inside.map.shape)
    assert (peak[0] / inside.map.shape[0], peak[1] / inside.map.shape[1]) == pytest.approx((0.55, 0.53), abs=0.06)


@pytest.mark.parametrize("way", ["box", "mask", "ignored", "border"])
def test_no_region_reaches_where_nobody_looks(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    model = fitted(tmp_path, registry, [SHAPE] * 40, **places(tmp_path)[way])
    (result,) = model.score([paint(tmp_path / "x.png", SHAPE, (0, 0, *SHAPE))])
    assert result.region is not None
    marked, counts = model.mask(result), model.view.counting(SHAPE)
    assert marked is not None
    assert (marked == counts).mean() > 0.98, "all that counts is bright, and what is beside it too"
    assert not (marked & ~counts).any()
    assert "% of it does not count" in model.view.in_words() or way in ("box", "mask")
    monkeypatch.setattr(FittedModel, "outline", None)  # nothing is outlined: the highest place stands in for a region
    _, _, place = model._places(result.map, SHAPE, anomalous=True)
    assert place is not None
    inside = counts[place.top : place.top + place.height, place.left : place.left + place.width]
    assert inside.all()


def test_a_mask_that_ignores_nothing_is_refused(tmp_path: Path, registry: Registry) -> None:
    empty = mask(tmp_path / "empty.png", SHAPE, (0, 0, 0, 0))
    with pytest.raises(OptionError, match=r"--ignore .*empty\.png marks nothing"):
        fitted(tmp_path, registry, [SHAPE] * 20, ignore=str(empty))


@pytest.mark.parametrize(("flag", "value"), [("every", 2), ("appearance_only", True), ("smoothing", 0.5)])
def test_what_is_for_videos_is_refused_of_still_images(
    tmp_path: Path, registry: Registry, flag: str, value: object
) -> None:
    told = f"--{flag.replace('_', '-')} is for videos, and greys:all holds still images"
    with pytest.raises(OptionError, match=told):
        fitted(tmp_path, registry, [SHAPE] * 20, **{flag: value})


def test_what_is_ignored_calibrates_nothing_either(tmp_path: Path, registry: Registry) -> None:
    paths = [
        paint(tmp_path / "train" / f"{number:03d}.png", SHAPE, OUTSIDE if number % 2 else None, level=60 + number)
        for number in range(40)
    ]
    asked = {"method": "bright", "options": {"size": 64}, "device": "cpu"}
    everywhere = fit(FitSettings(**asked), Greys(paths), tmp_path / "runs", registry)
    elsewhere = fit(FitSettings(**asked, ignore_border=9), Greys(paths), tmp_path / "runs", registry)
    assert everywhere.record.threshold.value > 60
    assert elsewhere.record.threshold.value < 21


def test_what_is_marked_where_nobody_looks_is_missed_and_told(tmp_path: Path, registry: Registry) -> None:
    parts = tmp_path / "parts"
    for number in range(20):
        paint(parts / "train" / "good" / f"{number:03d}.png", SHAPE)
    paint(parts / "test" / "good" / "000.png", SHAPE, OUTSIDE)  # judged, this would be a false alarm in many pixels
    (parts / "ground_truth" / "spot").mkdir(parents=True)
    for number, spot in enumerate([OUTSIDE, (25, 45, 12, 20)]):
        paint(parts / "test" / "spot" / f"{number:03d}.png", SHAPE, spot)
        mask(parts / "ground_truth" / "spot" / f"{number:03d}_mask.png", SHAPE, spot)
    (dataset,) = open_datasets(f"folder:{parts}", None, registry)
    asked = {"method": "bright", "options": {"size": 64}, "device": "cpu", "ignore_border": 20}
    run = fit(FitSettings(**asked), dataset, tmp_path / "runs", registry)
    found = evaluate(run, Workplace(registry, device="cpu"))
    told = "1 has a mask that marks what does not count, which is missed there: test/spot/000.png"
    assert found.notes == [told]
    assert found.metrics["pixel_auroc"].value == pytest.approx(240 / (240 + OUTSIDE[2] * OUTSIDE[3]), abs=0.01)


def test_a_mask_is_kept_with_the_run(tmp_path: Path, registry: Registry) -> None:
    path = mask(tmp_path / "ignored.png", SHAPE, (0, 0, 20, 100))
    model = fitted(tmp_path, registry, [SHAPE] * 40, ignore=str(path))
    path.unlink()
    (result,) = open_model(model.run, registry).score([paint(tmp_path / "x.png", SHAPE, OUTSIDE)])
    assert not result.anomalous


def test_arrays_are_looked_at_likewise(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [SHAPE] * 40, roi="40,20,50,30")
    still = np.asarray(Image.open(paint(tmp_path / "x.png", SHAPE, OUTSIDE)))
    (result,) = model.score([still])
    assert not result.anomalous
    with pytest.raises(FrameError, match="array 0 is 60×60 px, and the run looks at a part of images of 100×60 px"):
        list(model.score([still[:, :60]]))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"roi": "0,0,200,20"}, r"--roi 0,0,200,20 reaches out of the images, which are 100×60 px"),
        ({"roi": "90,50,20,5"}, r"reaches out of the images"),
        ({"roi": "10,10,0,5"}, r"--roi 10,10,0,5 is empty"),
        ({"roi": "10,10,5"}, r"--roi 10,10,5 is no box"),
        ({"roi": "10,-1,5,5"}, r"--roi 10,-1,5,5 is no box"),
        ({"roi": "1.5,1,5,5"}, r"is no box"),
        ({"ignore_border": 30}, r"--ignore-border 30 leaves nothing to look at in images of 100×60 px"),
        ({"roi": "0,0,10,10", "ignore_border": 10}, r"--roi 0,0,10,10 with --ignore-border 10 leaves nothing"),
        ({"roi": "nowhere.png"}, r"--roi: there is no file .*nowhere\.png.* --roi x,y,w,h, .* --roi part"),
        ({"roi": "Part"}, r"--roi: there is no file .*Part.* --roi part"),
        ({"ignore": "nowhere.png"}, r"--ignore: there is no file .*nowhere\.png"),
        ({"ignore": "10,10,20,20"}, r"--ignore: there is no file .*it takes a mask, .* --roi x,y,w,h"),
        ({"ignore": str(Path(__file__))}, r"--ignore: .* is not an image.*it takes a mask, .* --roi x,y,w,h$"),
    ],
)
def test_places_that_are_not_there_are_refused(
    tmp_path: Path, registry: Registry, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(AdkitError) as caught:
        fitted(tmp_path, registry, [SHAPE] * 30, **asked)
    assert caught.value.hint
    assert re.search(message, f"{caught.value.message} {caught.value.hint}")


def test_masks_that_do_not_fit_are_refused(tmp_path: Path, registry: Registry) -> None:
    everything = mask(tmp_path / "all.png", SHAPE, (0, 0, 60, 100))
    nothing = mask(tmp_path / "none.png", SHAPE, (0, 0, 0, 0))
    small = mask(tmp_path / "small.png", (30, 50), (0, 0, 9, 9))
    for asked, message in [
        ({"ignore": str(everything)}, "leaves nothing to look at"),
        ({"roi": str(nothing)}, "marks nothing"),
        ({"roi": str(small)}, "mask is 50×30 but the image is 100×60"),
        ({"ignore": str(small)}, "mask is 50×30 but the image is 100×60"),
    ]:
        with pytest.raises(AdkitError, match=message):
            fitted(tmp_path, registry, [SHAPE] * 30, **asked)


def test_places_are_of_images_of_one_size(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(OptionError, match=r"--roi is for images of one size, and these are of several") as caught:
        fitted(tmp_path, registry, [SHAPE] * 29 + [(64, 100)], roi="0,0,10,10")
    assert "--ignore-border fits any size" in caught.value.hint
    assert fitted(tmp_path, registry, [SHAPE] * 29 + [(64, 100)], ignore_border=3).view.border == 3


def test_the_normal_images_find_the_part(tmp_path: Path, registry: Registry) -> None:
    spots = [(20 + number % 5, 40 + number % 3, 20, 30) for number in range(40)]
    paths = [paint(tmp_path / f"{number:03d}.png", (120, 200), spot) for number, spot in enumerate(spots)]
    asked = FitSettings(method="bright", options={"size": 64}, device="cpu", roi="part")
    run = fit(asked, Greys(paths), tmp_path / "runs", registry)
    box = run.record.view.box
    assert box is not None
    assert (box.top, box.left) == pytest.approx((18, 38), abs=3)
    assert (box.top + box.height, box.left + box.width) == pytest.approx((46, 74), abs=3)
    assert run.record.settings.roi == "part"
    with pytest.raises(OptionError, match="takes all of the images"):
        fitted(tmp_path / "textures", registry, [SHAPE] * 30, roi="part")


def test_a_method_of_one_score_cannot_ignore_a_place(tmp_path: Path) -> None:
    registry = with_methods({"grey": Grey})
    with pytest.raises(OptionError, match="grey gives one score for all that it sees"):
        fitted(tmp_path, registry, [SHAPE] * 40, method="grey", options={}, ignore_border=3)
    model = fitted(tmp_path, registry, [SHAPE] * 40, method="grey", options={}, roi="40,20,50,30")
    (outside,) = model.score([paint(tmp_path / "x.png", SHAPE, OUTSIDE)])
    assert not outside.anomalous


LARGE = (200, 300)


@pytest.mark.parametrize("method", ["bright", "bright_held_out"])
def test_tiles_see_what_is_lost_when_an_image_is_shrunk(tmp_path: Path, registry: Registry, method: str) -> None:
    spot = (150, 220, 2, 2)
    shrunk, tiled = (
        fitted(tmp_path / str(tiles), registry, [LARGE] * 40, method=method, tiles=tiles) for tiles in (False, True)
    )
    path = paint(tmp_path / "spotted.png", LARGE, spot, level=90)
    (lost,), (found,) = shrunk.score([path]), tiled.score([path])
    assert lost.score < 45, "four px are averaged with twenty others"
    assert found.score > 80
    assert found.region is not None
    assert (found.region.left, found.region.top) == pytest.approx((220, 150), abs=3)
    assert found.map is not None
    assert found.map.shape == tiled.view.canvas == (224, 320)
    maps = tiled.run.calibration().maps
    assert maps is not None
    assert maps.shape[1:] == (224, 320)


def test_the_map_of_tiles_is_the_map_of_the_image(tmp_path: Path, registry: Registry) -> None:
    shape = (224, 320)  # of the canvas too: nothing is scaled
    model = fitted(tmp_path, registry, [shape] * 40, tiles=True)
    assert model.view.canvas == shape
    path = paint(tmp_path / "x.png", shape, (30, 70, 100, 90))
    (result,) = model.score([path])
    assert result.map is not None
    np.testing.assert_allclose(result.map, np.asarray(Image.open(path)), atol=0.01)


def test_tiles_of_an_image_are_one_unit_to_the_method(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [LARGE] * 40, tiles=True)
    assert model.run.record.train_count == 40
    assert len(Bright.seen) == 40 * model.view.frames
    assert len(set(Bright.clips)) == 40
    assert Bright.clips == sorted(Bright.clips, key=int), "those of one image stand side by side"
    assert model.threshold.count == 40


def test_tiles_of_a_box(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [LARGE] * 40, tiles=True, roi="100,50,180,140")
    inside, outside = model.score(
        [paint(tmp_path / f"{spot[0]}.png", LARGE, spot) for spot in [(150, 220, 2, 2), (10, 10, 9, 9)]]
    )
    assert inside.anomalous
    assert not outside.anomalous
    assert inside.region is not None
    assert (inside.region.left, inside.region.top) == pytest.approx((220, 150), abs=3)


def test_images_of_other_sizes_are_tiled_too(tmp_path: Path, registry: Registry) -> None:
    model = fitted(tmp_path, registry, [LARGE] * 39 + [(150, 150)], tiles=True)
    (result,) = model.score([paint(tmp_path / "x.png", (400, 200), (300, 100, 8, 8))])
    assert result.region is not None
    assert (result.region.left, result.region.top) == pytest.approx((100, 300), abs=6)


def test_tiles_as_large_as_the_images_are_refused(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(OptionError, match="tiles of 64×64 px are as large as what is seen of the images") as caught:
        fitted(tmp_path, registry, [(60, 60)] * 30, tiles=True)
    assert "leave --tiles out" in caught.value.hint
    low = fitted(tmp_path, registry, [(40, 300)] * 30, tiles=True)
    assert low.view.canvas == (64, 320)


def test_a_method_with_memory_takes_no_tiles() -> None:
    method = load_registry().methods.get("convlstm").load()
    with pytest.raises(OptionError, match="convlstm remembers what a clip showed before"):
        method_and_view(method, FitSettings(method="convlstm", tiles=True), [(720, 1280)])


def test_tiles_are_proposed_where_only_large_defects_are_seen() -> None:
    method, settings = load_registry().methods.get("patchknn").load(), FitSettings(method="patchknn")
    for shape, tiles in [((384, 384), None), ((1024, 1024), 16), ((300, 1200), 4)]:
        _, view = method_and_view(method, settings, [shape])
        found = tiles_instead(method, settings, [shape], view)
        assert (found and found.frames) == tiles
        assert found is None or found.smallest_px == 8
