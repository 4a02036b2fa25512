"""VisA as it is downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from adkit_mvtec.visa import VisA

from adkit.errors import DatasetError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    data = tmp_path / "VisA" / "candle" / "Data"
    for number in range(10):
        for name in (f"Images/Normal/{number:04d}.JPG", f"Images/Anomaly/{number:03d}.JPG"):
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (data / name).write_bytes(b"never decoded")
        (data / "Masks/Anomaly").mkdir(parents=True, exist_ok=True)
        (data / f"Masks/Anomaly/{number:03d}.png").write_bytes(b"never decoded")
    return tmp_path


def test_without_the_table_a_fifth_is_held_out(root: Path) -> None:
    (dataset,) = VisA.select("candle", root)
    assert dataset.spec == "visa:candle"
    assert len(dataset.samples("train")) == 8
    test = dataset.samples("test")
    masks = {sample.id: sample.mask and sample.mask.path.name for sample in test if sample.anomalous}
    assert masks == {f"Anomaly/{number:03d}.JPG": f"{number:03d}.png" for number in range(10)}
    assert "no split_csv/1cls.csv" in dataset.notes()[0]


def test_the_official_split_and_the_kinds(root: Path) -> None:
    place = "candle/Data"
    rows = [f"candle,{'train' if n < 7 else 'test'},normal,{place}/Images/Normal/{n:04d}.JPG," for n in range(10)]
    rows += [
        f"candle,test,anomaly,{place}/Images/Anomaly/{n:03d}.JPG,{place}/Masks/Anomaly/{n:03d}.png" for n in range(9)
    ]
    rows += ["pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,"]
    (root / "VisA" / "split_csv").mkdir()
    (root / "VisA" / "split_csv" / "1cls.csv").write_text("object,split,label,image,mask\n" + "\n".join(rows) + "\n")
    annotated = ["image,label,mask", f"{place}/Images/Normal/0000.JPG,normal,"]
    annotated += [f"{place}/Images/Anomaly/000.JPG,wax missing,", f'{place}/Images/Anomaly/001.JPG,"wax,wick",']
    (root / "VisA" / "candle" / "image_anno.csv").write_text("\n".join(annotated))
    (dataset,) = VisA.select("all", root)
    assert len(dataset.samples("train")) == 7
    kinds = {sample.id: sample.kind for sample in dataset.samples("test")}
    assert len(kinds) == 3 + 9, "what the table leaves out is left out"
    assert kinds["Anomaly/000.JPG"] == "wax missing"
    assert kinds["Anomaly/001.JPG"] == "combined"
    assert kinds["Anomaly/002.JPG"] == "anomaly"
    assert kinds["Normal/0009.JPG"] == "good"
    assert all((sample.mask is not None) == bool(sample.anomalous) for sample in dataset.samples("test"))


def test_the_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no object of VisA was found in any of") as caught:
        VisA.select("candle", tmp_path)
    assert "Data/Images/{Normal,Anomaly}" in caught.value.hint
