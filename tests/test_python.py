"""Every block of docs/python.md runs, one after another, as a reader would type them; and what they give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import adkit
from adkit.runs.store import Run
from adkit.synthetic.parts import write_parts
from tests.videos import grey, write_video

PAGE = Path(__file__).parent.parent / "docs" / "python.md"


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page's blocks leave behind; they are run in a folder with the files that they name."""
    folder = tmp_path_factory.mktemp("notebook")
    write_parts(folder / "data" / "mvtec" / "bottle", "washer", seed=1, train=12, good=2, each_grade=1)
    good = sorted((folder / "data/mvtec/bottle/train/good").glob("*.png"))
    for kind, files in (("good", good), ("scratched", sorted((folder / "data/mvtec/bottle/test").rglob("*.png"))[:2])):
        (folder / "parts" / kind).mkdir(parents=True)
        for number, path in enumerate(files):
            (folder / "parts" / kind / f"{number}.png").write_bytes(path.read_bytes())
    (folder / "new").mkdir()
    (folder / "new/part.png").write_bytes(good[0].read_bytes())
    write_video(folder / "line.mp4", [grey(100 + number) for number in range(5)])
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M):
            exec(block, found)
        found["results"] = list(found["model"].score(["new/part.png", "line.mp4"]))
        yield found


def test_every_block_runs_and_gives_what_the_page_says(names: dict[str, Any]) -> None:
    assert isinstance(names["run"], Run)
    image, *frames = names["results"]
    assert (image.id, image.clip, len(frames)) == ("new/part.png", "new/part.png", 5)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert image.map.dtype == np.float32
    assert 0 < image.p_value <= 1
    assert names["table"][0]["id"] == "new/part.png"
    mask = names["model"].mask(image)
    assert mask.shape == image.shape
    assert mask.sum() == sum(region.area_px for region in image.regions)
    assert names["result"].metrics["image_auroc"].value is not None
    assert {row["candidate"] for row in adkit.rows(names["comparison"])} == {"knn", "padim"}


def test_arrays_of_8_and_16_bits_grey_and_rgb_score_like_their_files(names: dict[str, Any], tmp_path: Path) -> None:
    rng, model = np.random.default_rng(0), names["model"]
    rgb = rng.integers(0, 256, (80, 100, 3), np.uint8)
    single = rng.integers(0, 256, (80, 100), np.uint8)
    wide = rng.integers(0, 65536, (80, 100), np.uint16)
    files = []
    for number, pixels in enumerate((rgb, single, wide)):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(files[-1])
    from_files = [result.score for result in model.score(files)]
    assert [result.score for result in model.score([rgb, single, wide])] == pytest.approx(from_files)
    assert [result.id for result in model.score([rgb, single[:, :, None]])] == ["array 0", "array 1"]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((4, 4), np.float32), "pixels are float32; uint8 or uint16 was expected"),
        (np.zeros((2, 3, 4, 4), np.uint8), r"an array of shape \(2, 3, 4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"an array of shape \(4, 4, 4\)"),
        (np.zeros((0, 4), np.uint8), r"an array of shape \(0, 4\)"),
        (np.full((4, 4), 200, np.int64), "pixels are int64"),
        (np.zeros((4, 4), bool), "pixels are bool"),
        ([[0, 255]], "pixels are list"),
        (Image.new("RGB", (4, 4)), "pixels are Image"),
    ],
)
def test_other_arrays_are_refused(names: dict[str, Any], pixels: Any, message: str) -> None:
    with pytest.raises(adkit.AdkitError, match=message):
        list(names["model"].score([pixels]))


def test_what_cannot_be_read_is_told_and_left_out(names: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    (tmp_path / "bad.png").write_bytes(b"no image")
    rgb, told = np.full((32, 32, 3), 128, np.uint8), list[str]()
    inputs = [tmp_path / "bad.mp4", rgb, tmp_path / "bad.png", rgb.astype(np.int64), rgb]
    found = list(names["model"].score(inputs, on_bad=lambda sample, error: told.append(sample.id)))
    assert [result.id for result in found] == ["array 1", "array 4"]
    assert told == [str(tmp_path / "bad.mp4"), str(tmp_path / "bad.png"), "array 3"]
    with pytest.raises(adkit.AdkitError, match="bad"):
        list(names["model"].score(inputs))


@pytest.mark.parametrize("alone", ["photo.png", np.zeros((8, 8, 3), np.uint8)], ids=["path", "array"])
def test_one_input_that_is_in_no_list_is_refused(names: dict[str, Any], alone: Any) -> None:
    with pytest.raises(adkit.AdkitError, match="one input was given where several were expected"):
        list(names["model"].score(alone))


def test_a_stream_is_not_taken_for_an_empty_file(names: dict[str, Any]) -> None:
    with pytest.raises(adkit.AdkitError, match="has no end"):
        list(names["model"].score(["tcp://127.0.0.1:9"]))


def test_a_setting_that_does_not_exist_or_several_datasets_are_refused(tmp_path: Path, parts_root: Path) -> None:
    with pytest.raises(adkit.AdkitError, match="certian"):
        adkit.fit("patchknn", "mvtec:washer", root=parts_root, runs=tmp_path, certian=True)
    with pytest.raises(adkit.AdkitError, match="means 2 datasets"):
        adkit.fit("patchknn", "demo:washer,connector", runs=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("dataset", "settings", "told"),
    [
        (["folder:a", "folder:b"], {}, r"the dataset is \['folder:a', 'folder:b'\]; one text, or one pathlib.Path"),
        ("folder:a", {"joint": True}, "joint is refused: fit learns from one dataset"),
        ("folder:a", {"options": ["size=64"]}, r"options=\['size=64'\] is refused: input should be a valid dictionary"),
        ("folder:a", {"seed": np.zeros((999, 999))}, r"seed=array.{95}… is refused: input should be a valid"),
        (Path("/nowhere"), {}, "/nowhere"),
    ],
)
def test_settings_of_another_sort_are_told_in_two_lines(dataset: Any, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(adkit.AdkitError, match=told) as caught:
        adkit.fit("knn", dataset, **settings)
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("methods", "seeds", "told"),
    [
        ({"knn": {"size": 64}}, 1, "compare: unknown key candidates.knn.size"),
        ("knn", 0, "compare: seeds is 0, expected their number"),
        ("knn", [1, -1], r"compare: seeds is \[1, -1\], expected their number"),
        (["knn", 3], 1, "there is no method named '3'"),
    ],
)
def test_a_comparison_of_something_else_is_refused(methods: Any, seeds: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(adkit.AdkitError, match=told):
        adkit.compare(methods, "demo:washer", seeds=seeds, output=tmp_path / "compared")
    assert not list(tmp_path.iterdir())


def test_candidates_have_settings_datasets_are_paths_and_each_result_has_rows(
    names: dict[str, Any], tmp_path: Path
) -> None:
    small = {"small": {"method": "knn", "options": {"size": 64}}}
    found = adkit.compare(small, Path("data/mvtec/bottle").absolute(), seeds=[4], output=tmp_path)
    assert found.seeds == (4,)
    assert found.candidates[0].settings.options == {"size": "64"}
    judged = adkit.evaluate(names["model"])
    assert [row["path"] for row in adkit.rows(judged)] == [str(sample.frame) for sample in judged.samples]


def test_a_rate_may_be_a_number() -> None:
    rate: Any = 0.01
    assert (
        adkit.FitSettings(method="knn", max_false_alarms=rate).rule
        == adkit.FitSettings(method="knn", max_false_alarms="1%").rule
    )
