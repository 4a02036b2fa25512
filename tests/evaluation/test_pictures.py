from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adkit.data.view import EVERYWHERE
from adkit.errors import OptionError
from adkit.evaluation.evaluate import kind_of
from adkit.evaluation.pictures import PictureFolder, PictureWriter, clashing, picture_name
from adkit.types import Sample
from adkit.workflows.score import Judged


def name_of(sample_id: str, **settings: bool) -> str:
    return picture_name(Sample.still(sample_id, Path(sample_id)), **settings)


@pytest.mark.parametrize(
    ("sample_id", "expected"),
    [
        ("test/crack/003", "test_crack_003.png"),
        ("test/clear_stain/003.png", "test_clear_stain_003.png"),
        ("test/crack/003.jpg", "test_crack_003.jpg.png"),
        ("x/1.png", "x_1.png"),
        ("IMG_0001.png", "IMG_0001.png"),
        ("Prüfling.bmp", "Prüfling.bmp.png"),
    ],
)
def test_a_plain_id_gives_a_plain_name(sample_id: str, expected: str) -> None:
    assert name_of(sample_id) == expected


@pytest.mark.parametrize("sample_id", ["../x/1.png", "/x/1.png", "./x/1.png", "x\\1.png", "x:1.png"])
def test_where_more_is_lost_the_hash_tells_them_apart(sample_id: str) -> None:
    name = name_of(sample_id)
    assert name.startswith("x_1-")
    assert name != name_of("x/1.png")
    assert len(name) == len("x_1-01234567.png")


@pytest.mark.parametrize("letter", ["x", "ü", "検", "x/"])
def test_a_long_id_gives_a_short_name(tmp_path: Path, letter: str) -> None:
    names = {name_of(f"{start}/{letter * 200}/part.png") for start in "ab"}
    assert len(names) == 2
    for name in names:
        assert "part-" in name
        (tmp_path / f".{name}-temporary").touch()


def test_an_id_of_any_bytes_has_a_name() -> None:
    assert name_of("pr\udcfcf.png") != name_of("prf.png")
    assert name_of("pr\udcfcf.png").startswith("prf-")
    assert name_of("..").endswith(".png")


IDS = ["../x/1.png", "x/1.png", "x_1.png", "X/1.png"]
"""The last two would have the name of the second one's picture, where capitals are not told from small letters."""


@pytest.fixture
def writer(tmp_path: Path) -> PictureWriter:
    """A writer of a run whose maps lie between 0 and 1."""
    threshold: Any = SimpleNamespace(value=0.5)
    samples = [Sample.still(name, tmp_path / "a.png") for name in IDS]
    return PictureWriter(mapping_run(threshold), threshold, PictureFolder(tmp_path / "pictures", clashing(samples)))


def mapping_run(pixel_threshold: Any) -> Any:
    maps = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    record = SimpleNamespace(method="patchknn", pixel_threshold=pixel_threshold, view=EVERYWHERE)
    return SimpleNamespace(record=record, calibration=lambda: SimpleNamespace(maps=maps))


def test_no_picture_replaces_another(tmp_path: Path, writer: PictureWriter) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    result = Judged(0.1, 0.5, False, np.zeros((8, 8), np.float32))
    paths = [writer.write(Sample.still(name, tmp_path / "a.png"), result) for name in IDS]
    assert len({str(path).lower() for path in paths}) == 4
    assert all(path.is_file() for path in paths)
    assert paths[1].name == "x_1.png"
    again = writer.write(Sample.still(IDS[1], tmp_path / "a.png"), result)
    assert again == paths[1]
    assert len(list((tmp_path / "pictures").iterdir())) == 4


def test_without_maps_there_is_nothing_to_draw(tmp_path: Path) -> None:
    run = mapping_run(None)
    with pytest.raises(OptionError, match="patchknn gives no maps"):
        PictureWriter(run, run, PictureFolder(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_kinds_without_a_name(tmp_path: Path) -> None:
    assert kind_of(Sample.still("x", tmp_path, anomalous=True)) == "anomalous"
    assert kind_of(Sample.still("x", tmp_path, anomalous=False)) == "good"
    assert kind_of(Sample.still("x", tmp_path, anomalous=True, kind="crack")) == "crack"
