"""Masks where labelling tools and published datasets put them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from adkit_folder.dataset import Folder
from adkit_mvtec.dataset import MVTec
from PIL import Image

from adkit.data.fingerprints import content_hashes
from adkit.data.images import read_mask
from adkit.errors import DatasetError, FrameError
from adkit.types import FrameRef, Sample, Split


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        if name.endswith("/"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def found(folder: Path) -> dict[str, str | None]:
    """Return where the masks of the anomalous images are, from the folder."""
    samples = [sample for sample in Folder(folder, "x", folder).samples("test") if sample.anomalous]
    return {sample.id: sample.mask.path.relative_to(folder).as_posix() if sample.mask else None for sample in samples}


ONE_CRACK = [
    "ground_truth/crack/a.PNG",
    "masks/crack/a_MASK.png",
    "mask/crack/a.jpg",
    "mask_dir/a-gt.bmp",
    "Masks/a.jpg.png",
    "gt/crack/mask_a.tif",
    "crack_mask/a.png",
    "crack/a_mask.png",
    "crack/a_label.bmp",
    "crack/masks/a.png",
    "labels/crack/a.png",
    "SegmentationClass/a.png",
    "GroundTruth/Crack/A.png",
    "masks/crack/a/0.png",
    "crack/a_m.png",
    "crack/a-annotation.tif",
    "Masken/crack/a.jpg",
    "máscaras/a.jpg",
    "掩码/crack/a.png",
    "Semantic maps/a_segm.bmp",
    "ground_truth_1/crack/a.png",
    "gt2/crack/a.png",
]


@pytest.mark.parametrize("mask", ONE_CRACK)
@pytest.mark.parametrize("layout", ["good/x.png", "train/good/x.png"])
def test_masks_of_tools(tmp_path: Path, mask: str, layout: str) -> None:
    split = "test/" if layout.startswith("train") else ""
    beside = mask.startswith("crack/")
    place = f"{split}{mask}" if beside else mask
    touch(tmp_path, layout, f"{split}crack/a.jpg", f"{split}crack/b.jpg", place)
    assert found(tmp_path) == {f"{split}crack/a.jpg": place, f"{split}crack/b.jpg": None}
    told = [note for note in Folder(tmp_path, "x", tmp_path).notes() if "has no mask" in note]
    assert len(told) == 1
    assert f"1 of 2 anomalous images has no mask: {split}crack/b.jpg" in told[0]


def test_masks_of_kinds_that_lie_deeper(tmp_path: Path) -> None:
    touch(tmp_path, "OK/1.png", "NG/dent/1.png", "NG/tear/1.png", "masks/dent/1.png", "NG/tear_mask/1.png")
    touch(tmp_path, "NG/2.png", "defect_masks/2.png")
    assert found(tmp_path) == {
        "NG/2.png": "defect_masks/2.png",
        "NG/dent/1.png": "masks/dent/1.png",
        "NG/tear/1.png": "NG/tear_mask/1.png",
    }


def test_a_mask_that_may_be_of_several_images_is_of_none(tmp_path: Path) -> None:
    touch(tmp_path, "good/1.png", "dent/1.png", "tear/1.png", "tear/2.png", "masks/1.png", "masks/2.png")
    assert found(tmp_path) == {"dent/1.png": None, "tear/1.png": None, "tear/2.png": "masks/2.png"}
    notes = Folder(tmp_path, "x", tmp_path).notes()
    assert any("1 mask belongs to no image that was found: masks/1.png" in note for note in notes)


def test_numbered_photos_of_a_part_share_its_mask(tmp_path: Path) -> None:
    """As Eyecandies has them, in other light: where no name says what they are, the mask decides for all."""
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    names = [
        f"{split}/{part}_{name}" for split in ("train", "test") for part in (0, 1) for name in ("image_0", "image_1")
    ]
    for name in names + [f"test/{part}_mask" for part in (0, 1)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(SQUARE & name.startswith("test/1") if "mask" in name else photo).save(tmp_path / f"{name}.png")
    assert found(tmp_path) == {f"test/1_image_{number}.png": "test/1_mask.png" for number in (0, 1)}
    assert sum(sample.kind == "good" for sample in Folder(tmp_path, "x", tmp_path).samples("test")) == 2


def test_better_masks_come_first(tmp_path: Path) -> None:
    """Classes before objects, and both before what is drawn for people."""
    kinds = ("Class", "ClassVisualization", "Object")
    touch(tmp_path, "good/1.png", "JPEGImages/2.jpg", *(f"Segmentation{kind}/2.png" for kind in kinds))
    assert found(tmp_path) == {"JPEGImages/2.jpg": "SegmentationClass/2.png"}
    notes = Folder(tmp_path, "x", tmp_path).notes()
    assert any(note.startswith("2 masks are not used, as the same images have others: Seg") for note in notes)
    assert not any("no image" in note for note in notes)


def test_other_masks_of_an_image_leave_no_doubt_of_the_unmarked(tmp_path: Path) -> None:
    """As CVAT and labelme export them: no folder says which images are good."""
    touch(tmp_path, *(f"JPEGImages/{number}.jpg" for number in range(4)), "SegmentationClass/2.png")
    touch(tmp_path, "SegmentationObject/2.png")
    for kind in ("Class", "Object"):
        Image.fromarray(SQUARE).save(tmp_path / f"Segmentation{kind}" / "2.png")
    Image.new("RGB", (12, 12)).save(tmp_path / "JPEGImages" / "2.jpg")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert [sample.id for sample in dataset.samples("train")] == [f"JPEGImages/{number}.jpg" for number in (0, 1, 3)]
    assert found(tmp_path) == {"JPEGImages/2.jpg": "SegmentationClass/2.png"}


@pytest.mark.parametrize("name", ["{}_defect", "{}mask", "{}.png", "{}_mask_tear", "{}_mask - Copy", "m{}", "spot {}"])
def test_masks_beside_photos_are_known_by_what_they_hold(tmp_path: Path, name: str) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    for place in ("good/1.png", "good/1_left.png", "tear/1.png", "tear/2.png", "tear/2_left.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.fromarray(photo).save(tmp_path / place)
    marks = [f"tear/{name.format(number)}.png" for number in (1, 2)]
    for mark in marks:
        Image.fromarray(SQUARE).save(tmp_path / mark)
    assert found(tmp_path) == {"tear/1.png": marks[0], "tear/2.png": marks[1], "tear/2_left.png": None}
    notes = Folder(tmp_path, "x", tmp_path).notes()
    assert any(note.startswith("2 files hold as few values as masks") for note in notes)


@pytest.mark.parametrize(
    ("photos", "masks"), [("{}", "Marken/{}"), ("{}", "Marken"), ("images/{}", "Kennzeichnung/{}")]
)
def test_folders_of_masks_are_known_by_what_they_hold(tmp_path: Path, photos: str, masks: str) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    for place, pixels in ((photos, photo), (masks, SQUARE)):
        for name in ("good/1.png", "good/2.png", "tear/3.png", "tear/4.png"):
            path = tmp_path / place.format(name.partition("/")[0]) / name.rpartition("/")[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels & name.startswith("tear") if place == masks else pixels).save(path)
    place, of = photos.format("tear"), masks.format("tear")
    assert found(tmp_path) == {f"{place}/{number}.png": f"{of}/{number}.png" for number in (3, 4)}


@pytest.mark.parametrize("name", ["{}_M", "lab_{}", "{}.jpg", "{}"])
def test_such_masks_may_have_names_that_begin_or_end_with_their_images(tmp_path: Path, name: str) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    for place, number in (("ok", 1), ("tear", 2), ("tear", 3)):
        (tmp_path / place).mkdir(exist_ok=True)
        Image.fromarray(photo).save(tmp_path / place / f"DSC_{number}.jpg")
        if place == "tear":
            (tmp_path / "Marken" / "Tear").mkdir(parents=True, exist_ok=True)
            Image.fromarray(SQUARE).save(tmp_path / "Marken" / "Tear" / f"{name.format(f'DSC_{number}')}.png")
    assert found(tmp_path) == {
        f"tear/DSC_{number}.jpg": f"Marken/Tear/{name.format(f'DSC_{number}')}.png" for number in (2, 3)
    }


def test_what_may_be_masks_of_images_of_other_names_is_not_learned_from(tmp_path: Path) -> None:
    """GDXray's welds: W0002/W0002_0001.png is the mask of W0001/W0001_0001.png."""
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    for place, pixels in (("W0001", photo), ("W0002", SQUARE)):
        (tmp_path / place).mkdir()
        for number in range(3):
            Image.fromarray(pixels).save(tmp_path / place / f"{place}_{number}.png")
    with pytest.raises(DatasetError, match=r"the images in W0002 of .* hold as few values as masks"):
        Folder(tmp_path, "x", tmp_path)
    assert len(Folder(tmp_path / "W0002", "x", tmp_path).samples("train")) == 3, "named itself"


def test_such_folders_are_of_the_split_that_they_name(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    for split in ("train", "test"):
        for number, marked in enumerate((False, True)):
            for place, pixels in ((f"{split}_img", photo), (f"{split}_lab", SQUARE & marked)):
                (tmp_path / place).mkdir(exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / place / f"{number}.png")
    dataset = Folder(tmp_path, "x", tmp_path)
    assert [sample.id for sample in dataset.samples("train")] == ["train_img/0.png"]
    assert found(tmp_path) == {"test_img/1.png": "test_lab/1.png"}


def test_black_images_of_a_dark_camera_are_no_masks(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    for place, pixels in (("train/good", photo), ("test/dark", photo & 0), ("test/tear", photo)):
        (tmp_path / place).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / place / "1.png")
    assert found(tmp_path) == {"test/dark/1.png": None, "test/tear/1.png": None}


def test_names_are_alike_however_a_system_writes_them(tmp_path: Path) -> None:
    touch(tmp_path, "good/1.png", "\u00e9/\u00e92.png", "masks/e\u0301/e\u03012.png")
    assert found(tmp_path) == {"\u00e9/\u00e92.png": "masks/e\u0301/e\u03012.png"}


def test_many_images_of_one_name_are_quickly_told_apart(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{kind}/{part}/image.png" for kind in ("good", "tear") for part in range(200)))
    touch(tmp_path, *(f"tear/{part}/image_mask.png" for part in range(200)))
    begin = time.process_time()
    assert all(found(tmp_path).values())
    assert time.process_time() - begin < 1


def test_a_mask_of_several_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(SQUARE), Image.fromarray(~SQUARE)]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(FrameError, match="holds 2 images, and one was expected"):
        read_mask(FrameRef(tmp_path / "m.tif"), (12, 12))


@pytest.mark.parametrize("mask", ["crack/003_gt.png", "masks/crack/003.png"])
def test_masks_are_of_images_of_their_own_split(tmp_path: Path, mask: str) -> None:
    touch(tmp_path, "train/good/x.png", "test/crack/003.png", f"test/{mask}")
    touch(tmp_path, "validation/dent/003.png", f"validation/{mask.replace('crack', 'dent')}")
    touch(tmp_path, "validation/crack/003.png")
    masks = found(tmp_path)
    assert masks["test/crack/003.png"] == f"test/{mask}"
    assert masks["validation/crack/003.png"] is None, "that of the other split has the same kind and number"


@pytest.mark.parametrize("folder", ["test_gt", "masks_test", "ground_truth/test", "GroundTruth-Test"])
def test_folders_of_masks_may_name_the_split(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, "train/good/x.png", "test/crack/003.png", f"{folder}/crack/003.png")
    assert found(tmp_path) == {"test/crack/003.png": f"{folder}/crack/003.png"}


def test_masks_are_no_kind_of_defect(tmp_path: Path) -> None:
    touch(tmp_path, "good/1.png", "crack/2.png", "mask/2.png")
    samples = Folder(tmp_path, "x", tmp_path).samples("test")
    assert {sample.kind for sample in samples} == {"crack"}


def test_good_images_with_marks_are_not_learned_from(tmp_path: Path) -> None:
    """DAGM's layout: defects to learn from beside good ones; black masks, as of Kolektor's good parts, say good."""
    for number in range(3):
        saved(touch(tmp_path, "Train/") / "Train" / f"{number}.png", Image.new("L", (12, 12), 90))
    (tmp_path / "Train" / "Label").mkdir()
    saved(tmp_path / "Train" / "Label" / "2_label.png", Image.new("L", (12, 12)))
    assert len(Folder(tmp_path, "x", tmp_path).samples("train")) == 3
    touch(tmp_path, "test/good/1.png", "test/good/2.png")
    saved(tmp_path / "test" / "good" / "1_label.png", Image.fromarray(SQUARE.astype(np.uint8) * 255))
    saved(tmp_path / "test" / "good" / "1.png", Image.new("L", (12, 12)))
    with pytest.raises(DatasetError, match=r"1 image would be taken as good, .*: test/good/1\.png"):
        Folder(tmp_path, "x", tmp_path)


def laid(folder: Path, layout: Mapping[str, bool | None]) -> Path:
    """Save images of 12×12 px with masks by these names, which mark something (True) or nothing; None: no mask."""
    for name, marked in layout.items():
        image, _, mask = name.partition(" ")
        for path in (image, mask):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(name)).integers(40, 250, (12, 12, 3), np.uint8)).save(folder / image)
        if marked is not None:
            Image.fromarray(SQUARE.astype(np.uint8) * 255 * marked).save(folder / mask)
    return folder


SPLITS: tuple[Split, ...] = ("train", "test")
PARTED = [(split, number, number < most) for split, most in (("Train", 2), ("Test", 4)) for number in range(9)]
KOLEKTOR = {f"kos{one}/{part}.jpg kos{one}/{part}_label.bmp": one == part for one in range(3) for part in range(8)}
KOLEKTOR_2 = {f"{split}/{number}.png {split}/{number}_GT.png": marked for split, number, marked in PARTED}
DAGM = {f"{split}/{number}.PNG {split}/Label/{number}_label.PNG": marked or None for split, number, marked in PARTED}
FLAT = {f"images/{number}.png masks/{number}.png": number < 2 for number in range(12)}


@pytest.mark.parametrize(
    ("layout", "learned", "tested"),
    [
        (KOLEKTOR, 17, {"good": 4, "anomaly": 3}),
        (KOLEKTOR_2, 7, {"good": 5, "anomaly": 4}),
        (DAGM, 7, {"good": 5, "anomaly": 4}),
        (FLAT, 8, {"good": 2, "anomaly": 2}),
    ],
)
def test_masks_tell_what_no_name_does(
    tmp_path: Path, layout: Mapping[str, bool | None], learned: int, tested: dict[str, int]
) -> None:
    """KolektorSDD, KolektorSDD2 and DAGM as downloaded: an empty mask, or none among others, is of a good one."""
    dataset = Folder(laid(tmp_path, layout), "x", tmp_path)
    good = {name.partition(" ")[0] for name, marked in layout.items() if not marked}
    assert {sample.id for sample in dataset.samples("train")} <= good
    assert len(dataset.samples("train")) == learned
    assert Counter(sample.kind for sample in dataset.samples("test")) == tested
    for sample in dataset.samples("test"):
        assert (sample.id in good) == (sample.kind == "good")
        assert (sample.mask is None) == (sample.kind == "good")
    assert any("so masks decide" in note for note in dataset.notes())
    assert any("2 training images are left out" in note for note in dataset.notes()) == (learned == 7)


def test_where_good_ones_have_empty_masks_one_without_is_unknown(tmp_path: Path) -> None:
    layout = {**KOLEKTOR_2, "Train/20.png x": None, "Test/20.png x": None}
    dataset = Folder(laid(tmp_path, layout), "x", tmp_path)
    assert "Train/20.png" not in {sample.id for sample in dataset.samples("train")}
    (unknown,) = (sample for sample in dataset.samples("test") if sample.anomalous is None)
    assert unknown.id == "Test/20.png"
    (tmp_path / "Train" / "20_GT.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"whether Train/20\.png is good is told by its mask, which cannot be read"):
        Folder(tmp_path, "x", tmp_path)


def test_masks_of_the_same_name_beside_their_images(tmp_path: Path) -> None:
    """Real-IAD and the magnetic tiles: 1.jpg is the photograph, 1.png its mask; of two photographs none is a mask."""
    layout = {"OK/1.jpg OK/1.png": False, "NG/AK/2.jpg NG/AK/2.png": True, "OK/3.jpg x": None, "OK/3.png x": None}
    samples = [one for split in SPLITS for one in Folder(laid(tmp_path, layout), "x", tmp_path).samples(split)]
    assert {one.id: one.mask and one.mask.path.name for one in samples} == {
        "OK/1.jpg": None,
        "OK/3.jpg": None,
        "OK/3.png": None,
        "NG/AK/2.jpg": "2.png",
    }


@pytest.mark.parametrize("mask", ["bad/1_mask_{}.png", "bad/1-mask{}.png", "bad_mask/1_{}.png", "gt/bad/1_gt.{}.png"])
def test_numbered_masks_are_united(tmp_path: Path, mask: str) -> None:
    laid(tmp_path, {"good/0.png x": None, "bad/1.png x": None, "bad/1_7.png x": None})
    parts = np.zeros((2, 12, 12), np.uint8)
    parts[0, :3], parts[1, 8:] = 255, 255
    for number, part in enumerate(parts):
        (tmp_path / mask).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(part).save(tmp_path / mask.format(number))
    one, other = (sample for sample in Folder(tmp_path, "x", tmp_path).samples("test") if sample.anomalous)
    assert (one.id, other.id, other.mask) == ("bad/1.png", "bad/1_7.png", None)
    assert one.mask is not None
    assert np.array_equal(read_mask(one.mask, (12, 12)), parts.any(axis=0))


def test_mvtec_loco(tmp_path: Path) -> None:
    folder = touch(
        tmp_path / "mvtec_loco_anomaly_detection" / "pushpins",
        "train/good/000.png",
        "validation/good/000.png",
        "test/good/000.png",
        "test/logical_anomalies/000.png",
        "test/structural_anomalies/000.png",
        "ground_truth/structural_anomalies/000/000.png",
    )
    parts = folder / "ground_truth" / "logical_anomalies" / "000"
    parts.mkdir(parents=True)
    truth = np.zeros((2, 6, 9), np.uint8)
    truth[0, :2, :3], truth[1, 4:, 5:] = 234, 231
    for number, part in enumerate(truth):
        Image.fromarray(part).save(parts / f"{number:03d}.png")
    (dataset,) = MVTec.select("pushpins", tmp_path)
    assert [sample.id for sample in dataset.samples("train")] == ["train/good/000", "validation/good/000"]
    masks = {sample.kind: sample.mask for sample in dataset.samples("test")}
    assert masks["good"] is None
    assert masks["structural_anomalies"] == FrameRef(
        folder / "ground_truth" / "structural_anomalies" / "000" / "000.png"
    )
    assert masks["logical_anomalies"] is not None
    assert np.array_equal(read_mask(masks["logical_anomalies"], (6, 9)), truth.any(axis=0))
    assert dataset.notes() == []
    mask = Sample("mask", masks["logical_anomalies"], "mask")
    before = content_hashes([mask])
    Image.fromarray(truth[0]).save(parts / "001.png")
    assert content_hashes([mask]) != before, "what is compared is judged anew"


def test_mvtec_ad_2(tmp_path: Path) -> None:
    folder = touch(
        tmp_path / "mvtec_ad_2" / "can",
        "train/good/000_regular.png",
        "validation/good/001_regular.png",
        "test_public/good/000_regular.png",
        "test_public/bad/000_regular.png",
        "test_public/ground_truth/bad/000_regular_mask.png",
        "test_private/000_regular.png",
        "test_private_mixed/000_mixed.png",
    )
    (dataset,) = MVTec.select("can", tmp_path)
    assert [sample.id for sample in dataset.samples("train")] == [
        "train/good/000_regular",
        "validation/good/001_regular",
    ]
    bad, good = dataset.samples("test")
    assert (good.id, good.kind, bad.kind) == ("test_public/good/000_regular", "good", "bad")
    assert bad.mask == FrameRef(folder / "test_public/ground_truth/bad/000_regular_mask.png")
    (note,) = dataset.notes()
    assert "1 image in test_private/, 1 image in test_private_mixed/" in note


SQUARE = np.zeros((12, 12), bool)
SQUARE[3:8, 2:9] = True


def saved(path: Path, image: Image.Image) -> FrameRef:
    image.save(path)
    return FrameRef(path)


def painted(mode: str, ground: tuple[int, ...], mark: tuple[int, ...]) -> Image.Image:
    pixels = np.where(SQUARE[..., None], np.array(mark, np.uint8), np.array(ground, np.uint8))
    return Image.fromarray(pixels, mode)


@pytest.mark.parametrize(
    ("ground", "mark"),
    [
        ((0, 0, 0, 0), (255, 0, 0, 255)),
        ((255, 255, 255, 0), (255, 255, 255, 255)),
        ((0, 0, 0, 0), (0, 0, 0, 255)),
        ((0, 0, 0, 255), (255, 255, 255, 255)),
    ],
)
def test_what_is_painted_on_a_transparent_layer_is_marked(
    tmp_path: Path, ground: tuple[int, ...], mark: tuple[int, ...]
) -> None:
    assert np.array_equal(read_mask(saved(tmp_path / "m.png", painted("RGBA", ground, mark)), (12, 12)), SQUARE)


def test_every_class_of_a_palette_is_marked(tmp_path: Path) -> None:
    """VOC's colours: class 1 is dark red, class 8 a darker one, and the border nearly white."""
    labels = np.zeros((12, 12), np.uint8)
    labels[3:8, 2:5], labels[3:8, 5:8], labels[3:8, 8] = 1, 8, 255
    image = Image.fromarray(labels)
    palette = np.zeros((256, 3), np.uint8)
    palette[1], palette[8], palette[255] = (128, 0, 0), (64, 0, 0), (224, 224, 192)
    image.putpalette(palette.tobytes())
    assert image.mode == "P"
    assert np.array_equal(read_mask(saved(tmp_path / "voc.png", image), (12, 12)), SQUARE)
    image.putpalette(bytes(768))
    assert np.array_equal(read_mask(saved(tmp_path / "lost.png", image), (12, 12)), SQUARE)


@pytest.mark.parametrize("levels", [(1, 255), (100, 200), (85, 255), (128, 255)])
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_classes_of_any_grey_are_marked(tmp_path: Path, levels: tuple[int, int], suffix: str) -> None:
    grey = np.zeros((12, 12), np.uint8)
    grey[3:8, 2:5], grey[3:8, 5:9] = levels
    assert np.array_equal(read_mask(saved(tmp_path / f"m{suffix}", Image.fromarray(grey)), (12, 12)), SQUARE)


def test_as_many_numbered_objects_as_there_are_are_marked(tmp_path: Path) -> None:
    grey = np.arange(12, dtype=np.uint8)[:, None].repeat(12, 1) + np.uint8(12) * (np.arange(12) > 5)
    assert np.array_equal(read_mask(saved(tmp_path / "m.png", Image.fromarray(grey)), (12, 12)), grey > 0)


def test_masks_of_floating_point_numbers_are_read(tmp_path: Path) -> None:
    image = Image.fromarray(SQUARE.astype(np.float32))
    assert np.array_equal(read_mask(saved(tmp_path / "m.tif", image), (12, 12)), SQUARE)


def test_what_a_lossy_format_adds_is_not_marked(tmp_path: Path) -> None:
    big = np.kron(SQUARE, np.ones((8, 8), bool))
    Image.fromarray(big.astype(np.uint8) * 255).save(tmp_path / "m.jpg", quality=60)
    assert np.array_equal(read_mask(FrameRef(tmp_path / "m.jpg"), (96, 96)), big)


@pytest.mark.parametrize(
    ("places", "told"),
    [
        (("label/good/1.png", "label/bad/2.png", "cap/good/1.png"), "a folder named 'label' is taken for masks"),
        (("good/seg 1/1.png", "bad/seg 1/2.png"), "a folder named 'seg 1' is taken for masks"),
        (("GT/1.png", "GTI/1.png"), "a folder named 'GT' is taken for masks"),
        (("1.png", "1_m.png"), "a file named '1_m.png' is taken for a mask"),
        (("good/1.png", "good/1_m.png", "bad/2.png"), "a file named '1_m.png' is taken for a mask"),
    ],
)
def test_photos_that_are_named_like_masks_are_told_apart(tmp_path: Path, places: tuple[str, ...], told: str) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(tmp_path / place)
    with pytest.raises(DatasetError) as caught:
        found(tmp_path)
    assert f"; {told}: if it " in (caught.value.hint or "")
