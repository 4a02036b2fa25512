"""Tables of images."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from adkit_folder.dataset import Folder
from adkit_folder.manifest import Manifest
from PIL import Image

from adkit.errors import DatasetError
from adkit.types import FrameRef, Sample

Form = Literal["NFC", "NFD"]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"never decoded")


def opened(folder: Path, table: str, encoding: str = "utf-8") -> Manifest:
    (folder / "parts.csv").write_text(table, encoding=encoding)
    (dataset,) = Manifest.select("parts.csv", folder)
    assert isinstance(dataset, Manifest)
    return dataset


def truths(samples: list[Sample]) -> dict[str, tuple[bool | None, str | None]]:
    return {sample.id: (sample.anomalous, sample.kind) for sample in samples}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_all_columns(tmp_path: Path, separator: str, encoding: str) -> None:
    touch(tmp_path, "a/1.png", "a/2.png", "b/3.png", "b/4.png", "b/5.png", "m/3.png")
    lines = [
        "Kind,PATH,Split,mask,group",
        "ok,a/1.png,train,,p1",
        ",a/2.png,training,,p2",
        "tear,b/3.png,test,m/3.png,p3",
        "",
        "1,b\\4.png,TEST,,p4",
        f",{tmp_path}/b/5.png,test,,p5",
    ]
    dataset = opened(tmp_path, "\n".join(lines).replace(",", separator), encoding)
    assert truths(dataset.samples("train")) == {"a/1.png": (False, "good"), "a/2.png": (False, "good")}
    assert truths(dataset.samples("test")) == {
        "b/3.png": (True, "tear"),
        "b/4.png": (True, "anomaly"),
        "b/5.png": (None, None),
    }
    masks = [sample.mask and sample.mask.path for sample in dataset.samples("test")]
    assert masks == [tmp_path / "m" / "3.png", None, None]
    read, unknown = dataset.notes()
    assert read.endswith("2 to learn from; to test with: 1 anomaly, 1 tear")
    assert unknown.startswith("1 test image has neither kind nor mask")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_spreadsheets_add(tmp_path: Path, encoding: str) -> None:
    touch(tmp_path, "ä.png", "b.png")
    dataset = opened(tmp_path, 'sep=;\r\n"Path";"Kind"\r\nä.png;"good"\r\n;\r\nb.png;"tear; deep"\r\n', encoding)
    assert truths(dataset.samples("train")) == {"ä.png": (False, "good")}
    assert truths(dataset.samples("test")) == {"b.png": (True, "tear; deep")}


def test_a_name_that_says_otherwise_is_overruled(tmp_path: Path) -> None:
    touch(tmp_path, "NG/NG_1.png", "NG/NG_2.png")
    dataset = opened(tmp_path, "path,kind,split\nNG/NG_1.png,good,train\nNG/NG_2.png,good,train\n")
    assert len(dataset.samples("train")) == 2


def test_without_splits_whole_groups_are_held_out(tmp_path: Path) -> None:
    names = [f"{part}_{view}.png" for part in range(20) for view in "abc"]
    touch(tmp_path, *names, "bad.png")
    rows = "".join(f"{name},good,{name.split('_')[0]}\n" for name in names)
    dataset = opened(tmp_path, f"path,kind,group\n{rows}bad.png,tear,99\n")
    held_out = [sample.id for sample in dataset.samples("test") if not sample.anomalous]
    assert len(held_out) == 12
    assert len({name.split("_")[0] for name in held_out}) == 4, "each with its three views"
    assert opened(tmp_path, f"path,kind,group\n{rows}").samples("test") == [], "nothing to tell them from"


@pytest.mark.parametrize(("good", "bad"), [("0.0", "1.0"), ("False", "True")])
@pytest.mark.parametrize("column", ["label", "is_defect", "label_index"])
def test_numbers_as_programs_write_them(tmp_path: Path, good: str, bad: str, column: str) -> None:
    touch(tmp_path, "1.png", "2.png")
    dataset = opened(tmp_path, f",image_path,{column}\n0,1.png,{good}\n1,2.png,{bad}\n")
    assert truths(dataset.samples("train")) == {"1.png": (False, "good")}
    assert truths(dataset.samples("test")) == {"2.png": (True, "anomaly")}
    assert not any("not read" in note for note in dataset.notes())


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_found_however_a_system_writes_them(tmp_path: Path, forms: tuple[Form, Form]) -> None:
    file, cell = (unicodedata.normalize(form, "é/è.png") for form in forms)
    touch(tmp_path, file)
    assert len(opened(tmp_path, f"path,kind\n{cell},good\n").samples("train")) == 1


def test_where_a_table_says_no_kind_masks_decide(tmp_path: Path) -> None:
    for name, white in (("1.png", 0), ("2.png", 0), ("3.png", 0), ("nothing.png", 0), ("marked.png", 255)):
        Image.new("L", (8, 8), white).save(tmp_path / name)
    rows = "0.png,train,\n1.png,test,nothing.png\n2.png,test,marked.png\n3.png,test,\n"
    touch(tmp_path, "0.png")
    dataset = opened(tmp_path, f"path,split,mask\n{rows}")
    assert truths(dataset.samples("test")) == {
        "1.png": (False, "good"),
        "2.png": (True, "anomaly"),
        "3.png": (None, None),
    }
    assert dataset.samples("test")[1].mask == FrameRef(tmp_path / "marked.png")
    assert "1 test image has neither kind nor mask: evaluations leave that out" in dataset.notes()


@pytest.mark.parametrize(
    "table",
    [
        "ImageId_ClassId,EncodedPixels\n1.png_1,\n1.png_2,1 3 10 5\n",
        'filename,region_shape_attributes\n1.png,"{""name"":""rect""}"\n',
        "path,xmin,ymin\n1.png,1,2\n",
        "images/0.png,0\nimages/1.png,1\n",
        "images/0.png  0.0   mono\nimages/1.png  1.0   mono\n",
    ],
)
def test_a_table_of_marks_is_not_looked_past(tmp_path: Path, table: str) -> None:
    touch(tmp_path, *(f"{number}.png" for number in range(4)))
    (tmp_path / "train.csv").write_text(table, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"train.csv tells what images are that would be taken as good"):
        Folder(tmp_path, "x", tmp_path)


FLAGGED = '{"flags": {"defect": true}, "shapes": [], "imageHeight": 8, "imageWidth": 8}'
CHOSEN = '[{"data": {"image": "/d/0a1b2c3d-1.png"}, "annotations": [{"result": [{"value": {"choices": ["NG"]}}]}]}]'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("parts.csv", "Datei;Ergebnis\n1.png;0\n2.png;1\n"),
        ("parts.csv", "file,defective\n1.png,FALSE\n2.png,TRUE\n"),
        ("parts.csv", "filename, crack, good\n1.png, 0, 1\n2.png, 1, 0\n"),
        ("parts.csv", "1.png 0.0 mono\n2.png 0.33 mono\n"),
        ("parts.csv", "id,label\n1,0\n2,1\n"),
        ("parts.csv", "id;Befund\n007;gut\n007;Kratzer\n"),
        ("parts.csv", "image,choice\n/data/upload/1/0a1b2c3d-1.png,Defect\n"),
        ("parts.csv", "Datei;Prüfung\n1.png;Ausschuß\n"),
        ("parts.csv", "image|state\n1.png|NG\n2.png|OK\n"),
        ("parts.csv", "part;verdict\nP01;OK\nP02;NG\n"),
        ("parts.csv", "file;state\n1.bmp;NG\n2.bmp;OK\n"),
        ("parts.csv", "file;Fehlerart\n1.bmp;K3\n2.bmp;-\n"),
        ("parts.csv", "file,class_id,x\n1.png,3,\n2.png,1,\n"),
        ("parts.json", '{"0": {"file": "images/1.png", "anomaly_class": "Hot-Spot"}}'),
        ("NG.csv", "file\n1.png\n"),
        ("defective.txt", "1.png\n"),
        ("2.txt", "NG\n"),
        ("1.json", '{"exposure_ms": 3, "result": "NG"}'),
        ("parts.csv", "file;n_defects\n1.png;2\n2.png;0\n"),
        ("parts.json", '{"1.png": "bad"}'),
        ("parts.json", '{"1.png": 1, "2.png": 0}'),
        ("parts.json", '{"1.png": {"Urteil": true, "gain": 3}, "2.png": {"Urteil": false, "gain": 3}}'),
        ("parts.jsonl", '{"file": "1.png", "Urteil": 0}\n{"file": "2.png", "Urteil": 1}\n'),
        ("parts.json", '{"1.png": {"length": 3, "state": "NG"}}'),
        ("parts.json", '[{"file": "1.png", "label": 1}]'),
        ("parts.json", '[{"image": "/data/upload/1/0a1b2c3d-1.png", "label": [{"x": 1}]}]'),
        ("parts.jsonl", '{"file_name": "1.png", "class": 1}\n{"file_name": "2.png", "class": 0}\n'),
        ("1.json", FLAGGED),
        ("annotations.xml", '<annotations><image name="1.png"><tag label="bad"/></image></annotations>'),
        ("1.png.json", '{"size": {"height": 8, "width": 8}, "objects": [], "tags": [{"name": "defect"}]}'),
        ("project.json", CHOSEN),
    ],
)
def test_whatever_file_tells_what_images_are_is_not_looked_past(tmp_path: Path, name: str, content: str) -> None:
    """Lists of programs and of offices, in letters of one country too, and tags that labelling tools give to images."""
    touch(tmp_path, "1.png", "2.png", "007.png", "P02/1.png")
    (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(DatasetError, match=f"{name} tells what images are that would be taken as good") as caught:
        Folder(tmp_path, "x", tmp_path)
    assert ("manifest:FILE.csv" in caught.value.hint) == (not name.endswith((".csv", ".txt")))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", "frame;gain\n1;0\n2;1\n"),
        ("log.csv", "text;gain\n;0\nbad lens;1\n"),
        ("log.csv", "file;label_printer;type\n1.png;Z1;A\n2.png;Z2;B\n"),
        ("camera.json", '{"image": "1.png", "exposure_ms": 3, "lens": {"name": "bad horse"}}'),
        ("1.json", FLAGGED.replace("defect", "good")),
        ("log.csv", "file,label\n1.png,good\n2.png,OK\n"),
        ("log.csv", "file,n_defects,Quality,ok\n1.png,0,Fine,1\n2.png,0,Fine,1\n"),
        ("1.json", '{"ErrorCount": 0, "file": "1.png", "warnings": [], "defect": false}'),
        ("m.json", '{"1.png": {"error_mm": 0.02}}'),
        ("broken.json", "{"),
        ("1.json", '{"gain": 3, "DefectPixelCorrection": "on", "BadPixels": 0, "file": "1.png"}'),
        ("deep.json", "[" * 100_000),
        ("grab.log", "2.png saved\n"),
        ("LICENSE.txt", "no warranty for defects\n"),
        ("camera.yaml", "gain: 1\nbad_pixels: corrected\n"),
    ],
)
def test_files_that_tell_nothing_of_images_are_left_alone(tmp_path: Path, name: str, content: str) -> None:
    touch(tmp_path, "1.png", "day/2.png")
    (tmp_path / name).write_text(content, encoding="utf-8")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert len(dataset.samples("train")) == 2
    assert not any("may tell" in note for note in dataset.notes())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(
            ("parts.xlsx", ""),
            ("ground_truth.txt", "1 30.5 40 50 60\n"),
            ("train_labels.mat", ""),
            ("Fehlerliste.pdf", ""),
        ),
        *(("a.yaml", "- file: a1.png\n  state: bad\n"), ("a.xml", "<a><f>1.PNG</f><s>NG</s></a>")),
        *(("a.txt", "bad:\na1\n"), ("notes.md", "not_ok: a1"), ("test.txt", "a1.png\n")),
    ],
)
def test_what_is_not_read_and_may_tell_what_images_are_is_told(tmp_path: Path, name: str, content: str) -> None:
    touch(tmp_path, "1.png", "a1.png")
    (tmp_path / name).write_text(content, encoding="utf-8")
    told = f"1 file was not read that may tell what images are: {name}; what it tells"
    assert any(note.startswith(told) for note in Folder(tmp_path, "x", tmp_path).notes())
    touch(tmp_path, "bad/1.png", "good/1.png")
    assert not any(note.startswith(told) for note in Folder(tmp_path, "x", tmp_path).notes()), "names tell"


@pytest.mark.parametrize("header", ["filename,label", "image,class", "Image_Path,Defect"])
def test_a_table_beside_images_is_not_looked_past(tmp_path: Path, header: str) -> None:
    """As a folder all images would be learned from; a log that says nothing of them is no table of truth."""
    touch(tmp_path, *(f"{number}.png" for number in range(12)))
    rows = "".join(f"{number}.png,{'scratch' if number < 2 else 'good'}\n" for number in range(12))
    dataset = opened(tmp_path, f"{header}\n{rows}")
    assert (len(dataset.samples("train")), len(dataset.samples("test"))) == (8, 4)
    with pytest.raises(DatasetError, match=r"parts.csv tells what images are that would be taken as good") as caught:
        Folder(tmp_path, "x", tmp_path)
    assert f"manifest:{tmp_path / 'parts.csv'}" in caught.value.hint
    (tmp_path / "parts.csv").write_text("filename,exposure_ms\n0.png,3\n1.png,4\n", encoding="utf-8")
    assert len(Folder(tmp_path, "x", tmp_path).samples("train")) == 12


def test_what_is_doubtful_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png")
    notes = opened(tmp_path, "path,split,group,camera\n1.png,train,p,left\n2.png,test,p,left\n").notes()
    assert any("columns that are not read: camera" in note for note in notes)
    assert any("1 group is in both training and test: results look too good: p" in note for note in notes)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "has no column named path; its first line is ''"),
        ("which,kind\n1.png,good\n", "has no column named path; its first line is 'which,kind'"),
        ("path,kind\n2.png,good\n", r"line 2: there is no file .*2\.png"),
        ("path,kind\n1.png,good\n1.png,good\n", r"line 3: 1\.png was listed before"),
        ("path,split\n1.png,trian\n", "line 2: the split 'trian' is neither train nor test"),
        ("path,split,kind\n1.png,train,ok\nclip.png,,ok\n", "line 3: the split '' is neither train nor test"),
        ("path,kind\n1.png,\n", "line 2: neither split nor kind is given"),
        ("path,kind,mask\n1.png,tear,m.png\n", r"line 2: there is no file .*m\.png"),
        ("path,kind\n1.png,good,extra,more\n", "line 2: 4 cells for 2 columns"),
        ("path,kind\nvideo.mp4,good\n", r"line 2: .*video\.mp4 is a video"),
        ("path,kind\nNG,good\n", r"line 2: .*NG is a folder"),
        ("path,kind\n1.png,good\nNG/../1.png,good\n", r"line 3: NG/\.\./1\.png was listed before"),
        ("path,split\nNG/2.png,train\n", r"line 2: NG/2\.png would be taken as good, and its name says otherwise"),
        ("path,split\nNG_3.png,train\n", r"line 2: NG_3\.png would be taken as good"),
        ("path,kind,kind\n1.png,good,tear\n", "two columns named kind"),
        ('path,kind\n"' + "x" * 200_000, "cannot be read as a table"),
        ("path,kind\n1.png,tear\n", "no good image was found to learn from in .*; it lists: 1 tear$"),
        ("path,defect\n1.png,no\nclip.png,yes\n", "it lists: 1 no, 1 yes$"),
        ("path\n1.png\n\x00", "cannot be read as a table|there is no file|neither"),
    ],
)
def test_tables_that_say_nothing_clear_are_refused(tmp_path: Path, table: str, complaint: str) -> None:
    touch(tmp_path, "1.png", "clip.png", "video.mp4", "NG/2.png", "NG_3.png")
    with pytest.raises(DatasetError, match=complaint):
        opened(tmp_path, table)


def test_a_mask_that_marks_something_in_a_good_image_is_a_contradiction(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png")
    for name, size in (("1.png", 8), ("nothing.png", 8), ("marked.png", 8)):
        Image.new("L", (size, size), 255 * (name == "marked.png")).save(tmp_path / name)
    assert opened(tmp_path, "path,kind,mask\n1.png,ok,nothing.png\n").samples("train")[0].mask is None
    with pytest.raises(
        DatasetError, match=r"line 2: 1\.png is said to be good, and .*marked\.png marks something in it"
    ):
        opened(tmp_path, "path,kind,mask\n1.png,ok,marked.png\n")


def test_other_encodings_and_absent_tables_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "ä.png")
    with pytest.raises(DatasetError, match="cannot be read as a table") as caught:
        opened(tmp_path, "path,kind\nä.png,good\n", "latin-1")
    assert "UTF-8" in caught.value.hint
    with pytest.raises(DatasetError, match="there is no such file: tried"):
        Manifest.select("absent.csv", tmp_path)
    with pytest.raises(DatasetError, match="is no file"):
        Manifest.select(str(tmp_path), None)
