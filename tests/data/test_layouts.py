"""One walk through folders for whatever reads them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from adkit_clips.dataset import Clips
from adkit_folder.dataset import Folder
from PIL import Image

from adkit.data.contents import DERIVED, OWN, PLACES, contents_of
from adkit.data.images import DRAWN_BY, png_of
from adkit.data.inputs import find_inputs
from adkit.data.layouts import in_numeric_order
from adkit.data.video_writer import Encoding, VideoWriter
from adkit.errors import DatasetError
from adkit.types import FrameRef, Sample
from tests.videos import write_greys


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"never decoded")
    return folder


def paths_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in contents_of(folder).files]


def learned(folder: Path) -> list[Sample]:
    return [*Folder(folder, "folder:x", folder).samples("train"), *Folder(folder, "folder:x", folder).samples("test")]


def learned_notes(folder: Path) -> list[str]:
    return Folder(folder, "folder:x", folder).notes()


def watched(folder: Path) -> list[Sample]:
    return Clips(folder, "clips:x", folder).samples("train")


def scored(folder: Path) -> list[Sample]:
    return find_inputs([str(folder)]).stills


def calibrated(folder: Path) -> list[Sample]:
    return [sample for clip in find_inputs([str(folder)], of_clips=True).clips for sample in clip.samples()]


READERS = pytest.mark.parametrize("read", [learned, watched, scored, calibrated])


@READERS
@pytest.mark.parametrize("name", [".thumbnails/2.png", "__MACOSX/2.png", "@eaDir/2.png", "a/._1.png"])
def test_what_is_hidden_or_left_by_others_is_read_nowhere(
    tmp_path: Path, read: Callable[[Path], list[Sample]], name: str
) -> None:
    touch(tmp_path, "a/1.png", name, "a/Thumbs.db")
    assert [sample.frame.path for sample in read(tmp_path)] == [tmp_path / "a" / "1.png"]


@READERS
def test_runs_are_not_read(tmp_path: Path, read: Callable[[Path], list[Sample]]) -> None:
    touch(tmp_path, "a/1.png", "runs/one/run.json", "runs/one/model.safetensors", "runs/one/pictures/1.png")
    assert [sample.frame.path for sample in read(tmp_path)] == [tmp_path / "a" / "1.png"]
    assert len(read(tmp_path / "runs" / "one" / "pictures")) == 1, "named itself"


@pytest.mark.parametrize("place", ["compared/", ""])
def test_comparisons_are_not_read(tmp_path: Path, place: str) -> None:
    results = [f"{place}comparison.{kind}" for kind in ("csv", "html", "json", "md", "tex")]
    touch(tmp_path, "a/1.png", *results, f"{place}cells/one/cell.json", f"{place}cells/one/scores.npz")
    assert paths_in(tmp_path) == ["a/1.png"]
    touch(tmp_path, "b/comparison.json")
    assert paths_in(tmp_path) == ["a/1.png", "b/comparison.json"]


def test_exports_and_annotated_videos_are_not_read(tmp_path: Path) -> None:
    touch(
        tmp_path, "a/1.png", *(f"out/{name}" for name in ("model.json", "model.onnx", "score.py", "golden/1-good.png"))
    )
    assert paths_in(tmp_path) == ["a/1.png"]
    for name, says in (("one.mp4", ""), ("two.mp4", DRAWN_BY)):
        with VideoWriter(tmp_path / "videos" / name, (32, 32), 25, Encoding(says=says)) as video:
            for number in range(300):
                video.add(np.full((32, 32, 3), number % 250, np.uint8), number / 25)
    assert paths_in(tmp_path / "videos") == ["one.mp4"]
    assert len({sample.clip for sample in watched(tmp_path / "videos")}) == 1


@READERS
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scores.csv", "path,score,threshold,p_value,p_value_is_floor,decision\n1.png,2,1,0.1,True,anomalous\n"),
        ("s.JSON", '{"run": "x", "results": [\n{"path": "1.png", "p_value_is_floor": true, "decision": "anomalous"}]}'),
        ("log.csv", "part,time,path,source,event,decision,score\n1,2026,1.png,,,anomalous,2\n"),
    ],
)
def test_rows_that_adkit_wrote_are_not_read(
    tmp_path: Path, read: Callable[[Path], list[Sample]], name: str, text: str
) -> None:
    touch(tmp_path, "1.png", "2.png")
    (tmp_path / name).write_text(text)
    assert len(read(tmp_path)) == 2
    assert contents_of(tmp_path).notes(lambda _: True)[0].endswith(f": 1 {OWN.format(s='')} ({name})")


@READERS
@pytest.mark.parametrize("name", ["a/inspect-folder-parts.png", "maps/1.PNG"])
def test_pictures_that_adkit_drew_are_not_read(tmp_path: Path, read: Callable[[Path], list[Sample]], name: str) -> None:
    touch(tmp_path, "a/1.png", name)
    (tmp_path / name).write_bytes(png_of(Image.new("RGB", (8, 8))))
    assert [sample.frame.path for sample in read(tmp_path)] == [tmp_path / "a" / "1.png"]
    assert "1 " + OWN.format(s="") in contents_of(tmp_path).notes(lambda _: True)[0]


@READERS
@pytest.mark.parametrize(
    "name",
    ["1_depth.png", "1-Overlay.jpg", "1_anomaly_map.png", "heatmap 1.bmp", "IR1.png", "results/1.png", "ir/1_ir.tif"],
)
@pytest.mark.parametrize("photo", ["1.png", "1_rgb.png", "1_image_4.png"])
def test_what_is_named_as_drawn_from_a_photo_or_another_view_of_it_is_not_read(
    tmp_path: Path, read: Callable[[Path], list[Sample]], photo: str, name: str
) -> None:
    touch(tmp_path, photo, name, "2_depth.png")
    assert {sample.frame.path.name for sample in read(tmp_path)} == {photo, "2_depth.png"}
    assert f"1 {DERIVED.format(s='')} ({name.partition('/')[0]})" in contents_of(tmp_path).notes(lambda _: True)[0]


@READERS
@pytest.mark.parametrize("name", ["roi.png", "Ignore-Mask.bmp", "a/маска.png"])
def test_masks_of_where_to_look_are_not_read(tmp_path: Path, read: Callable[[Path], list[Sample]], name: str) -> None:
    touch(tmp_path, "a/1.png", "a/roi_2.png")
    photos = ["a/1.png", "a/mask.png", "a/roi_2.png"]
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a/mask.png")
    Image.fromarray(np.eye(8, dtype=bool)).save(tmp_path / name)
    assert sorted(sample.frame.path.relative_to(tmp_path).as_posix() for sample in read(tmp_path)) == photos
    assert f"1 {PLACES.format(s='')} ({name})" in contents_of(tmp_path).notes(lambda _: True)[0]
    assert contents_of(touch(tmp_path / "masks", "mask.png")).files


@READERS
def test_linked_folders_are_read_once_and_loops_are_noticed(
    tmp_path: Path, read: Callable[[Path], list[Sample]]
) -> None:
    touch(tmp_path, "store/1.png", "store/2.png", "parts/a/3.png")
    parts = tmp_path / "parts"
    (parts / "linked").symlink_to(tmp_path / "store")
    (parts / "again").symlink_to(tmp_path / "store")
    (parts / "a" / "up").symlink_to(parts)
    (tmp_path / "store" / "back").symlink_to(parts)
    (parts / "lost").symlink_to(tmp_path / "nowhere")
    assert sorted(sample.frame.path.name for sample in read(parts)) == ["1.png", "2.png", "3.png"]
    (note,) = contents_of(parts).notes(lambda _: True)
    assert "links to folders that are read already" in note
    assert "1 file or link that cannot be opened" in note


@READERS
def test_a_folder_that_may_not_be_read_is_not_called_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], list[Sample]]
) -> None:
    def refuse(path: object) -> object:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises((OSError, DatasetError), match=r"[Pp]ermission denied"):
        read(tmp_path)


def test_a_link_to_the_own_parent_adds_nothing(tmp_path: Path) -> None:
    for number in range(2):
        write_greys(tmp_path / "line" / "day" / f"{number}.mp4", [50, 90])
    (tmp_path / "line" / "day" / "up").symlink_to(tmp_path / "line")
    assert len({sample.clip for sample in watched(tmp_path / "line")}) == 2


def test_other_views_beside_colour_are_not_read(tmp_path: Path) -> None:
    """MVTec 3D-AD, whose folders hold the places of the points beside each image."""
    touch(tmp_path, "train/good/rgb/1.png", "train/good/xyz/1.tiff", "test/hole/RGB/2.png", "test/hole/xyz/2.tiff")
    touch(tmp_path, "test/hole/gt/2.png")
    samples = learned(tmp_path)
    assert [sample.id for sample in samples] == ["train/good/rgb/1.png", "test/hole/RGB/2.png"]
    assert samples[1].mask == FrameRef(tmp_path / "test/hole/gt/2.png")
    assert f"2 {DERIVED.format(s='s')} (test/hole/xyz, train/good/xyz)" in learned_notes(tmp_path)[-1]
    for photos in ("color", "images"):
        touch(tmp_path / photos, f"{photos}/1.png", "depth/a.png")
        assert [sample.id for sample in learned(tmp_path / photos)] == [f"{photos}/1.png"]


@pytest.mark.parametrize("place", ["cam1", "Kamera 2", "2026-05-01", "images", "images/Monday"])
def test_where_or_when_an_image_was_taken_is_no_kind(tmp_path: Path, place: str) -> None:
    touch(tmp_path, f"train/{place}/1.png", f"test/bad/{place}/2.png", f"test/good/{place}/3.png")
    kinds = {sample.frame.path.name: sample.kind for sample in learned(tmp_path)}
    assert kinds == {"1.png": "good", "2.png": "bad", "3.png": "good"}


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("NG/dent", "dent"),
        ("bad/missing screw", "missing screw"),
        ("NG/S0001", "NG"),
        ("NG/good", "NG"),
        ("defective/2026-05-01", "defective"),
        ("scratched/deep", "scratched"),
        ("NG/images/dent", "NG"),
        ("NG/rgb", "NG"),
    ],
)
def test_the_kind_is_what_lies_below_a_judgement(tmp_path: Path, place: str, kind: str) -> None:
    touch(tmp_path, "OK/1.png", f"{place}/2.png")
    assert {sample.kind for sample in learned(tmp_path)} == {"good", kind}


def test_a_split_may_be_linked(tmp_path: Path) -> None:
    touch(tmp_path, "store/good/1.png", "parts/test/crack/2.png")
    (tmp_path / "parts" / "train").mkdir()
    (tmp_path / "parts" / "train" / "good").symlink_to(tmp_path / "store" / "good")
    (sample,) = Folder(tmp_path / "parts", "folder:x", tmp_path).samples("train")
    assert sample.id == "train/good/1.png"


def test_what_is_left_out_is_told_by_all(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/2.heic", "a/3.HEIC", "a/4.docx", ".cache/5.png")
    told = f"left out in {tmp_path}: 1 hidden folder (.cache), 3 files of other types (.docx, .heic)"
    assert Folder(tmp_path, "folder:x", tmp_path).notes()[-1] == told
    assert Clips(tmp_path, "clips:x", tmp_path).notes()[-1] == told
    assert find_inputs([str(tmp_path)]).notes == [told]


@pytest.mark.parametrize("empty", ["train", "normal"])
def test_an_empty_folder_of_normal_data_is_not_looked_past(tmp_path: Path, empty: str) -> None:
    touch(tmp_path, "unsorted/1.png", "unsorted/2.mp4")
    (tmp_path / empty).mkdir()
    for dataset in (Folder, Clips):
        with pytest.raises(DatasetError, match=f"{tmp_path} has the folder|was found to learn from in {tmp_path}"):
            dataset(tmp_path, "x", tmp_path)


BAD_PLACES = [
    "NG/1.png",
    "scratched/1.png",
    "not good/1.png",
    "monday/line 2/Defects-2024/1.png",
    "monday/Ausschuss/1.png",
    "abnormal_dir/1.png",
    "mask/1.png",
    "monday/ground_truth/1.png",
    "SegmentationClass/1.png",
    "testing/1.png",
    "NG_001.png",
    "monday/IMG_not_ok_7.png",
    "OK_001.png",
    "scratched_004.png",
    "1_mask.png",
    "bads/1.png",
    "badparts/1.png",
    "MT_Blowhole/Imgs/1.png",
    "unclean/1.png",
    "not-perfect/1.png",
    "positive/1.png",
    "non conforme/1.png",
    "d\u0065\u0301fauts/1.png",
    "不合格/1.png",
    "Teil_7_niO.png",
    "Teil 7 n.i.O..png",
    "pitted_surface/1.png",
    "1_test.png",
    "test 1.png",
    "不良图片_3.png",
    "01_missing_hole_3.png",
    "schlechte Teile 3.png",
]


@pytest.mark.parametrize("place", BAD_PLACES)
def test_no_dataset_learns_from_what_a_name_says_is_not_good(tmp_path: Path, place: str) -> None:
    """At any depth, in folders' and files' names; OK_001 beside 1 says that 1 may be bad."""
    touch(tmp_path, place, str(Path(place).parent / "1.png"), "usual/2.png", "1.png")
    with pytest.raises(DatasetError, match=r"but none named|names say otherwise|masks lie beside|told by its mask"):
        Folder(tmp_path, "x", tmp_path)
    for number, path in enumerate(tmp_path.rglob("*.png")):  # of videos, whose folders would else be clips
        write_greys(path.with_suffix(".mp4"), [number, 90])
        path.unlink()
    if "mask.png" not in place:
        with pytest.raises(DatasetError, match=r"but none named|names say otherwise"):
            Clips(tmp_path, "x", tmp_path)


@pytest.mark.parametrize("layout", ["train/good/{}", "train/{}", "good/{}", "monday/good/{}"])
@pytest.mark.parametrize("place", ["NG_1.png", "deep/not good/1.png", "mask/1.png", "deep/defects/1.png"])
def test_what_is_bad_below_a_good_folder_is_not_learned(tmp_path: Path, layout: str, place: str) -> None:
    touch(tmp_path, layout.format("1.png"), layout.format("2.png"), layout.format(place))
    learned: list[Sample] = []
    with contextlib.suppress(DatasetError):
        learned = Folder(tmp_path, "x", tmp_path).samples("train")
    for sample in learned:  # fit refuses those that are marked anomalous
        assert sample.anomalous or not sample.id.endswith(place)


def test_yes_and_no_are_not_learned_together(tmp_path: Path) -> None:
    touch(tmp_path, "yes/1.png", "no/1.png")
    with pytest.raises(DatasetError, match="but none named"):
        Folder(tmp_path, "x", tmp_path)


@pytest.mark.parametrize("good", ["goodparts", "OKparts", "clean", "perfect parts", "Golden", "reference_images"])
def test_good_parts_by_other_names(tmp_path: Path, good: str) -> None:
    touch(tmp_path, f"{good}/1.png", f"{good}/2.png", "other/1.png")
    assert {sample.id for sample in Folder(tmp_path, "x", tmp_path).samples("test")} == {"other/1.png"}


def test_good_and_bad_of_several_days_are_told_apart(tmp_path: Path) -> None:
    for day in ("2024-05-01", "2024-05-02"):
        touch(tmp_path, *(f"{day}/good parts/{number}.png" for number in range(5)), f"{day}/not good/9.png")
        touch(tmp_path, f"{day}/stripe/9.png", f"{day}/masks/stripe/9.png", f"{day}/8.png")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert {sample.kind for sample in dataset.samples("train")} == {"good"}
    test = [sample for sample in dataset.samples("test") if sample.anomalous]
    assert sorted((sample.kind or "", sample.mask is not None) for sample in test) == [
        ("not good", False),
        ("not good", False),
        ("stripe", True),
        ("stripe", True),
    ]
    told = "\n".join(dataset.notes())
    assert "left out, as no name says whether they are good: 1 image in 2024-05-01/, 1 image in 2024-05-02/" in told


@pytest.mark.parametrize(
    "name",
    [
        *("unsorted", "unklar", "to review", "New", "heatmaps", "thumbs", "results 2024", "original", "all"),
        *("not sure", "vielleicht", "temp", "New folder (2)", "Neuer Ordner", "Nouveau dossier", "新建文件夹"),
        *("bad/false_rejects", "Pseudofehler", "cropped", "Kalibrierung", "screenshots", "待检"),
    ],
)
def test_what_nobody_looked_at_and_what_programs_drew_is_no_kind_of_defect(tmp_path: Path, name: str) -> None:
    touch(tmp_path, *(f"good/{number}.png" for number in range(5)), "stripe/1.png", f"{name}/a.png", f"{name}/b.png")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert {sample.kind for sample in dataset.samples("test")} == {"good", "stripe"}
    assert f"left out, as no name says whether they are good: 2 images in {name}/" in dataset.notes()


@pytest.mark.parametrize(
    ("name", "unknown"), [("not sure", 2), ("Neuer Ordner", 2), ("unsorted", 2), ("heatmaps", 0), ("false alarms", 0)]
)
def test_it_is_neither_learned_from_nor_a_kind_of_defect_in_splits(tmp_path: Path, name: str, unknown: int) -> None:
    touch(tmp_path, "train/good/1.png", "test/good/1.png", "test/stripe/1.png", f"train/{name}/a.png")
    touch(tmp_path, f"test/{name}/a.png", f"test/{name}/b.png")
    kinds = Counter(sample.kind for sample in learned(tmp_path))
    assert kinds == Counter({"good": 2, "stripe": 1, None: unknown})
    told = learned_notes(tmp_path)
    left = "1 image" if unknown else f"2 images in test/{name}/, 1 image"
    assert f"left out, as no name says whether they are good: {left} in train/{name}/" in told
    assert any(note.startswith(f"2 images in test/{name}/: evaluations") for note in told) == bool(unknown)


@pytest.mark.parametrize("place", ["results/Patchcore/v0/images/stripe", "anomaly_maps/stripe", "heatmaps/NG"])
def test_what_programs_drew_of_defects_is_no_further_defect(tmp_path: Path, place: str) -> None:
    """Only beside good images: what a line puts out may be sorted, too."""
    touch(tmp_path, "good/1.png", "stripe/2.png", f"{place}/2.png")
    assert [sample.id for sample in Folder(tmp_path, "x", tmp_path).samples("test")] == ["stripe/2.png"]
    touch(tmp_path / "line", "output/good/1.png", "output/NG/2.png")
    assert [sample.id for sample in Folder(tmp_path / "line", "x", tmp_path).samples("test")] == ["output/NG/2.png"]


def test_splits_may_lie_in_a_folder_of_images(tmp_path: Path) -> None:
    names = ("images/train/good/1.png", "images/test/good/2.png", "images/test/bad/3.png", "masks/test/bad/3.png")
    touch(tmp_path, *names, "others/4.png")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert [sample.id for sample in dataset.samples("train")] == ["images/train/good/1.png"]
    masks = {sample.id: sample.mask and sample.mask.path for sample in dataset.samples("test")}
    assert masks == {"images/test/good/2.png": None, "images/test/bad/3.png": tmp_path / "masks/test/bad/3.png"}
    assert any("1 image in others/" in note for note in dataset.notes())


def test_good_parts_may_be_called_by_what_they_are(tmp_path: Path) -> None:
    touch(tmp_path, "good/bent pipe.png", "good/cracked wheat.png", "odd/1.png")
    assert len(Folder(tmp_path, "x", tmp_path).samples("train")) == 2


def test_a_series_may_be_called_test(tmp_path: Path) -> None:
    touch(tmp_path, "part_1.png", "part_2.png", "part_test.png", "leak/test 1.png", "leak/test 2.png", "leak/1a.png")
    assert len(Folder(tmp_path, "x", tmp_path).samples("train")) == 6


def test_a_file_may_be_called_broken(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "broken.png", "image_error_2.png")
    assert len(Folder(tmp_path, "x", tmp_path).samples("train")) == 3


def test_folders_that_say_nothing_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "monday/2.png", "tuesday/3.png", "tuesday/4.png")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert "all images are taken as good, those in tuesday (2), monday (1) too" in dataset.notes()
    touch(tmp_path, "monday/deck/a.png", "monday/deck/b.png")
    told = "all images are taken as good, those in monday/deck (2), tuesday (2), monday (1) too"
    assert told in learned_notes(tmp_path)
    touch(tmp_path, *(f"monday/{number}/a.png" for number in range(5)))
    assert "all images are taken as good, those in monday (8), tuesday (2) too" in learned_notes(tmp_path)
    assert dataset.samples("test") == [], "there is nothing to tell good ones from"


def test_a_folder_that_is_called_bad_itself_is_told(tmp_path: Path) -> None:
    touch(tmp_path / "NG", "1.png")
    assert any("says bad, yet all its images are taken as good" in note for note in learned_notes(tmp_path / "NG"))


@pytest.mark.parametrize("place", ["{}/train/good/1.png", "{}/Data/Images/Normal/1.png"])
def test_a_folder_of_several_datasets_is_no_dataset(tmp_path: Path, place: str) -> None:
    touch(tmp_path, place.format("bottle"), place.format("screw"), "bottle/test/bent/1.png")
    with pytest.raises(DatasetError, match=r"holds 2 separate datasets: bottle, screw") as caught:
        Folder(tmp_path, "x", tmp_path)
    assert f"folder:{tmp_path}/bottle" in caught.value.hint
    assert "mvtec:bottle or visa:bottle" in caught.value.hint


@pytest.mark.parametrize(
    ("train", "test", "good"),
    [
        ("training/1.png", "testing/stripe/2.png", "validation/good/3.png"),
        ("train/good/1.png", "test_public/bad/2.png", "val/good/3.png"),
        ("good/1.png", "test/stripe/2.png", "ok/3.png"),
        ("train2017/1.png", "test2017/stripe/2.png", "val2017/good/3.png"),
        ("train_1/1.png", "test_1/stripe/2.png", "val_1/good/3.png"),
        ("Trainingsdaten/1.png", "Testdaten/stripe/2.png", "Validierung/gut/3.png"),
        ("entrenamiento/1.png", "prueba/stripe/2.png", "validación/good/3.png"),
        ("训练集/1.png", "测试集/stripe/2.png", "验证集/good/3.png"),
    ],
)
def test_splits_by_other_names(tmp_path: Path, train: str, test: str, good: str) -> None:
    touch(tmp_path, train, test, good, "test_private/4.png", "sorted out/5.png")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert {sample.id for sample in dataset.samples("train")} == {train, good}
    assert [(sample.id, sample.anomalous) for sample in dataset.samples("test")] == [(test, True)]
    assert any("1 image in sorted out/, 1 image in test_private/" in note for note in dataset.notes())


@pytest.mark.parametrize(
    "places", ["good/train good/test bad/test", "train_good test_good test_bad", "OK/train OK/test NG"]
)
def test_splits_of_good_images_may_lie_below_what_says_good_or_name_it(tmp_path: Path, places: str) -> None:
    train, test, bad = places.split()
    touch(tmp_path, *(f"{place}/{number}.png" for place in places.split() for number in range(5)))
    found = {split: Folder(tmp_path, "x", tmp_path).samples(split) for split in ("train", "test")}
    assert {sample.id.rpartition("/")[0] for sample in found["train"]} == {train}
    assert {sample.id.rpartition("/")[0]: sample.anomalous for sample in found["test"]} == {test: False, bad: True}


@pytest.mark.parametrize("above", ["Good parts", "mvtec_anomaly_detection/bottle", "good", "bad and good/data"])
def test_what_says_good_above_all_splits_says_nothing_of_the_parts(tmp_path: Path, above: str) -> None:
    touch(tmp_path, f"{above}/train/1.png", f"{above}/test/good/2.png", f"{above}/test/other kind/3.png", "docs/4.png")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert [sample.id for sample in dataset.samples("train")] == [f"{above}/train/1.png"]
    assert [sample.kind for sample in dataset.samples("test")] == ["good", "other kind"]


def test_a_validation_split_is_what_is_tested_with_where_there_is_no_other(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/1.png", "val/good/2.png", "val/stripe/3.png", "scratched/4.png")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert [sample.id for sample in dataset.samples("train")] == ["train/good/1.png"]
    kinds = {sample.id: sample.kind for sample in dataset.samples("test")}
    assert kinds == {"val/good/2.png": "good", "val/stripe/3.png": "stripe", "scratched/4.png": "scratched"}


@pytest.mark.parametrize("name", ["a.CSV", "a.mp4.csv", "a.csv"])
def test_labels_are_found_under_names_that_tools_give_them(tmp_path: Path, name: str) -> None:
    write_greys(tmp_path / "train" / "n.mp4", [50, 90])
    write_greys(tmp_path / "test" / "stop" / "a.mp4", [50, 90, 130])
    (tmp_path / "test" / "stop" / name).write_text("first_frame,last_frame\n1,1\n", encoding="utf-8")
    samples = Clips(tmp_path, "clips:x", tmp_path).samples("test")
    assert [sample.anomalous for sample in samples] == [False, True, False]


def test_the_part_of_a_pattern_that_is_there_stands_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "line [2]/1.png", "line [2]/2.png", "line 2/3.png")
    for pattern in (str(tmp_path / "line [2]" / "*.png"), "line [2]/*.png"):
        monkeypatch.chdir(tmp_path)
        assert [sample.frame.path.name for sample in find_inputs([pattern]).stills] == ["1.png", "2.png"]


def test_a_folder_without_files_has_none(tmp_path: Path) -> None:
    assert paths_in(tmp_path) == []
    assert contents_of(tmp_path / "absent").files == ()


def test_files_are_numbered_as_people_do() -> None:
    names = ["10/1.jpg", "2/10.jpg", "2/9.jpg", "2/a.jpg"]
    assert [str(path) for path in in_numeric_order(map(Path, names))] == ["2/9.jpg", "2/10.jpg", "2/a.jpg", "10/1.jpg"]
