from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import pytest
from adkit_folder.dataset import Folder

from adkit.data.layouts import HELD_OUT_SHARE
from adkit.errors import DatasetError
from adkit.types import Sample


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(f"never decoded: {name}"))


def numbered(pattern: str, count: int) -> list[str]:
    return [pattern.format(number) for number in range(count)]


def opened(folder: Path) -> Folder:
    (dataset,) = Folder.select(str(folder), None)
    assert isinstance(dataset, Folder)
    return dataset


def by_id(samples: list[Sample]) -> dict[str, tuple[bool | None, str | None]]:
    return {sample.id: (sample.anomalous, sample.kind) for sample in samples}


def test_split_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/a.png", "train/good/deep/b.png", "train/c.png")
    touch(tmp_path, "test/good/d.png", "test/crack/e.png", "test/dent/f.png", "ground_truth/crack/e_mask.png")
    dataset = opened(tmp_path)
    assert dataset.layout == "split folders"
    assert by_id(dataset.samples("train")) == {
        "train/c.png": (False, "good"),
        "train/good/a.png": (False, "good"),
        "train/good/deep/b.png": (False, "good"),
    }
    assert by_id(dataset.samples("test")) == {
        "test/crack/e.png": (True, "crack"),
        "test/dent/f.png": (True, "dent"),
        "test/good/d.png": (False, "good"),
    }
    crack, dent, good = dataset.samples("test")
    assert crack.mask is not None
    assert crack.mask.path == tmp_path / "ground_truth/crack/e_mask.png"
    assert dent.mask is None
    assert good.mask is None
    line, lacking = dataset.notes()
    assert "as split folders: 3 to learn from; to test with: 1 crack, 1 dent, 1 good" in line
    assert lacking.startswith("1 of 2 anomalous images has no mask: test/dent/f.png; files named f or f_mask")
    assert str(tmp_path) in line


def test_anomalous_training_images_are_reported_as_such(tmp_path: Path) -> None:
    touch(tmp_path, "train/good/a.png", "train/crack/b.png")
    assert by_id(opened(tmp_path).samples("train")) == {
        "train/crack/b.png": (True, "crack"),
        "train/good/a.png": (False, "good"),
    }


@pytest.mark.parametrize("good", ["normal", "train/good"])
def test_a_file_that_is_good_and_bad_is_told(good: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = "NG" if good == "normal" else "test/NG"
    touch(tmp_path, *numbered(good + "/{}.png", 5), f"{good}/other.png", f"{bad}/other.png")
    for copy, of in (("5", "2"), ("locked", "3")):
        (tmp_path / bad / f"{copy}.png").write_bytes((tmp_path / good / f"{of}.png").read_bytes())
    plain = Path.open
    monkeypatch.setattr(Path, "open", lambda one, *of, **how: plain(one / ("no" * (one.stem == "locked")), *of, **how))
    (told,) = [note for note in opened(tmp_path).notes() if "the same file is good and anomalous" in note]
    assert told.endswith(f"remove one: {good}/2.png = {bad}/5.png")


def test_a_train_folder_without_a_test_folder(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.png")
    dataset = opened(tmp_path)
    assert dataset.samples("test") == []
    assert "to test with: nothing" in dataset.notes()[0]


@pytest.mark.parametrize("normal", ["normal", "good", "ok", "OK", "Good"])
def test_named_folders(tmp_path: Path, normal: str) -> None:
    touch(
        tmp_path, *numbered(f"{normal}/{{:02d}}.png", 10), "scratched/a.png", "scratched/b.png", "masks/scratched/a.png"
    )
    dataset = opened(tmp_path)
    assert dataset.layout == "named folders"
    assert len(dataset.samples("train")) == 8
    assert all(sample.anomalous is False and sample.kind == "good" for sample in dataset.samples("train"))
    test = dataset.samples("test")
    assert sum(sample.anomalous is False for sample in test) == 2
    scratched = [sample for sample in test if sample.anomalous]
    assert [sample.id for sample in scratched] == ["scratched/a.png", "scratched/b.png"]
    assert scratched[0].kind == "scratched"
    assert scratched[0].mask is not None
    assert scratched[0].mask.path == tmp_path / "masks/scratched/a.png"
    assert scratched[1].mask is None
    assert dataset.notes()[1] == "there is no test split: 2 good images were held out for testing"


def test_two_names_for_normal_are_both_normal(tmp_path: Path) -> None:
    touch(tmp_path, "good/a.png", "ok/b.png", "bad/c.png")
    dataset = opened(tmp_path)
    assert set(by_id(dataset.samples("train"))) == {"good/a.png", "ok/b.png"}
    assert by_id(dataset.samples("test")) == {"bad/c.png": (True, "bad")}


def test_plain_images_at_any_depth(tmp_path: Path) -> None:
    touch(tmp_path, *numbered("monday/{}.png", 3), *numbered("tuesday/late/{}.jpg", 2))
    dataset = opened(tmp_path)
    assert dataset.layout == "plain images"
    every = dataset.samples("train") + dataset.samples("test")
    assert len(every) == 5
    assert all(sample.anomalous is False and sample.mask is None for sample in every)


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.jpg", "a.JPEG", "a.bmp", "a.tif", "a.TIFF", "a.webp"])
def test_images_of_any_type(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name, "notes.txt", "clip.mp4", ".hidden.png", "._a.png")
    assert [sample.id for sample in opened(tmp_path).samples("train")] == [name]


@pytest.mark.parametrize(
    "mask",
    [
        "ground_truth/crack/a_mask.png",
        "ground_truth/crack/a.png",
        "masks/crack/a_mask.png",
        "masks/crack/a.png",
        "masks/crack/a.jpg",
        "masks/crack/a_mask.bmp",
        "masks/crack/a.tif",
    ],
)
def test_masks_by_any_name(tmp_path: Path, mask: str) -> None:
    touch(tmp_path, "normal/x.png", "crack/a.jpg", "crack/b.jpg", mask)
    first, second = (sample for sample in opened(tmp_path).samples("test") if sample.anomalous)
    assert first.mask is not None
    assert first.mask.path == tmp_path / mask
    assert second.mask is None


@pytest.mark.parametrize("name", ["defect", "NG", "bad", "Anomaly"])
def test_defects_without_normal_are_refused(tmp_path: Path, name: str) -> None:
    """Read as plain images they would be learned as good."""
    touch(tmp_path, f"{name}/a.png", "b.png")
    with pytest.raises(DatasetError, match=f"has the folder '{name}' but none named train, good, normal, ok") as caught:
        opened(tmp_path)
    assert "'good'" in caught.value.hint


def test_refusals_say_how_good_folders_of_such_names_are_learned_from(tmp_path: Path) -> None:
    touch(tmp_path, "shots/test/a.png", "good/normal light/b.png", "good/strong light/c.png")
    with pytest.raises(DatasetError, match="has the folder 'test' but none named train") as caught:
        opened(tmp_path / "shots")
    assert f"if all in it are good, name that folder itself: {tmp_path / 'shots/test'}; else put" in caught.value.hint
    assert len(opened(tmp_path / "shots/test").samples("train")) == 1
    with pytest.raises(DatasetError, match="has the folder 'normal light' but none named train") as caught:
        opened(tmp_path / "good")
    assert "whole folders of them, into a folder 'good'" in caught.value.hint
    (tmp_path / "shots/test/a.png").unlink()
    assert len(opened(tmp_path).samples("train")) == 2


@pytest.mark.parametrize("names", [("0", "1"), ("class_0", "class_1"), ("False", "True")])
def test_two_classes_of_which_nobody_knows_the_good_one_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, *(f"{name}/a.png" for name in names))
    with pytest.raises(DatasetError, match=f"has the folder '{names[0]}' but none named train, good, normal, ok"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        *[("apto", "no_apto"), ("C", "NC"), ("geprüft", "nicht geprüft"), ("Tomato___healthy", "Tomato___Late_blight")],
        ("gear normal", "gear worn", "gear pitted"),
    ],
)
def test_folders_of_which_one_denies_the_other_are_not_all_good(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{name}/a.png" for name in names))
    refused = names[0] != "apto"  # a word for good is known
    with pytest.raises(DatasetError, match="but none named train") if refused else contextlib.nullcontext():
        assert by_id(opened(tmp_path).samples("test")) == {"no_apto/a.png": (True, "no_apto")}


GOOD_AND_BAD = (
    "hyvä/viallinen god/dårlig godkjent/avvist sağlam/hatalı iyi/kötü bom/ruim jó/hibás bun/rebut dobry/zmetek đạt/lỗi "
    "bagus/cacat 好/坏 无缺陷/有缺陷 良/否 正品/废品 хорошие/плохие добрі/браковані zgodne/niezgodne "
    "جيد/معيب अच्छा/खराब ดี/เสีย "
    "καλό/ελαττωματικό תקין/פגום Go/NoGo idoneo/non_idoneo conformi/non_conformi tốt/không_đạt "
    "gute_Teile/schlechte_Teile fehlerfreie/fehlerhafte in_Ordnung/nicht_in_Ordnung bonnes_pièces/mauvaises_pièces "
    "piezas_buenas/piezas_malas goede/slechte 良品图片/不良图片 正常样本/异常样本 годные/негодные"
)


@pytest.mark.parametrize("pair", GOOD_AND_BAD.split())
def test_good_and_bad_in_many_languages(tmp_path: Path, pair: str) -> None:
    """Refused where only the word for bad is known, never learned together."""
    good, bad = pair.split("/")
    touch(tmp_path, f"{good}/a.png", f"{bad}/a.png")
    if pair == "bun/rebut":
        with pytest.raises(DatasetError, match="but none named train"):
            opened(tmp_path)
    else:
        assert [sample.id for sample in opened(tmp_path).samples("train")] == [f"{good}/a.png"]


@pytest.mark.parametrize("names", [("0", "1", "2"), ("cam0", "cam1"), ("1",)])
def test_numbers_of_days_and_cameras_say_nothing(tmp_path: Path, names: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{name}/a.png" for name in names))
    assert len(opened(tmp_path).samples("train")) == len(names)


@pytest.mark.parametrize(
    "name",
    ["sin_defecto", "ohne Fehler", "senza-difetti", "free_of_defects", "without any defects", "fehlerfrei", "OK品"],
)
def test_names_that_deny_defects_say_good(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "train/good/a.png", f"test/{name}/a.png")
    assert [sample.kind for sample in opened(tmp_path).samples("test")] == ["good"]


@pytest.mark.parametrize("name", ["niO", "NG品", "非良品", "불합격", "брак", "wadliwe"])
def test_names_in_the_words_of_other_lines_say_bad(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}/a.png", "b.png")
    with pytest.raises(DatasetError, match="but none named train"):
        opened(tmp_path)


@pytest.mark.parametrize("below", ["", "casting_data/"])
def test_a_name_of_all_that_says_bad_is_not_the_end(tmp_path: Path, below: str) -> None:
    """As archives of images of defects are unpacked."""
    touch(tmp_path, f"Defects of steel/{below}good/a.png", f"Defects of steel/{below}scratch/b.png")
    with pytest.raises(DatasetError, match="no good image was found") as caught:
        opened(tmp_path)
    inner = f"{tmp_path}/Defects of steel/{below}".rstrip("/")
    assert caught.value.hint.endswith(f"is only the name of all of them: folder:{inner}")
    assert len(opened(Path(inner)).samples("train")) == 1


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        ([], "plain images"),
        (["notes.txt"], "plain images"),
        (["normal/notes.txt", "crack/a.png"], "named folders"),
        (["train/notes.txt", "test/crack/a.png"], "split folders"),
    ],
)
def test_nothing_to_learn_from_is_refused(tmp_path: Path, files: list[str], layout: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DatasetError, match="no good image was found") as caught:
        opened(tmp_path)
    assert f"{tmp_path} (read as {layout})" in caught.value.message
    assert ("(.txt)" in caught.value.message) == any("notes" in name for name in files), "what is there is told"
    assert "train/good/" in caught.value.hint


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("Cr_1 Cr_2 In_1 In_2", "cr (2), in (2)"),
        ("1 2 1_segmented 2_segmented", "no word (2), segmented (2)"),
        ("IMG_1 IMG_2 IMG_3", None),
        ("IMG_1 IMG_2 test", None),
    ],
)
def test_groups_of_names_are_told_where_nothing_says_what_is_good(tmp_path: Path, names: str, told: str) -> None:
    """As of NEU-CLS, where they are six kinds of defects."""
    touch(tmp_path, *(f"{name}.bmp" for name in names.split()))
    line = f"all images are taken as good, whatever their names begin or end with: {told}"
    assert [note for note in opened(tmp_path).notes() if "begin or end" in note] == ([line] if told else [])


def test_without_a_defect_nothing_is_held_out(tmp_path: Path) -> None:
    """There would be nothing to tell the good ones from."""
    touch(tmp_path, *numbered("{}.png", 60))
    touch(tmp_path / "named", *numbered("good/{}.png", 60))
    for dataset in (opened(tmp_path), opened(tmp_path / "named")):
        assert len(dataset.samples("train")) >= 60
        assert dataset.samples("test") == []


def test_the_hold_out_is_a_fifth_the_same_every_time_and_disjoint(tmp_path: Path) -> None:
    names = numbered("normal/{:03d}.png", 103)
    touch(tmp_path, *names, "crack/1.png")
    train, test = (by_id(opened(tmp_path).samples(split)) for split in ("train", "test"))  # type: ignore[arg-type]
    assert test.pop("crack/1.png") == (True, "crack")
    again = opened(tmp_path)
    assert list(by_id(again.samples("train"))) == list(train)
    assert {*by_id(again.samples("test"))} == {*test, "crack/1.png"}
    assert not set(train) & set(test)
    assert set(train) | set(test) == set(names)
    assert len(test) == int(HELD_OUT_SHARE * 103) == 20
    assert list(test) != names[:20]
    assert list(test) != names[-20:], "not by time of day"


def test_the_hold_out_does_not_depend_on_where_the_folder_is(tmp_path: Path) -> None:
    for place in ("here", "there"):
        touch(tmp_path / place, *numbered("good/{:03d}.png", 30), "crack/1.png")
    here, there = (by_id(opened(tmp_path / place).samples("test")) for place in ("here", "there"))
    assert here == there


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_images_are_all_learned_from(tmp_path: Path, count: int) -> None:
    touch(tmp_path, *numbered("{}.png", count))
    dataset = opened(tmp_path)
    assert len(dataset.samples("train")) == count
    assert dataset.samples("test") == []
    assert len(dataset.notes()) == 1


def test_the_folder_may_lie_below_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "data" / "parts", "a.png")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.delenv("ADKIT_DATA", raising=False)
    (dataset,) = Folder.select("parts", tmp_path / "data")
    assert dataset.spec == "folder:parts"
    monkeypatch.setenv("ADKIT_DATA", str(tmp_path / "data"))
    assert [sample.id for sample in Folder.select("parts", None)[0].samples("train")] == ["a.png"]


def test_the_folder_is_found_again_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "parts", "a.png")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.delenv("ADKIT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    (dataset,) = Folder.select("parts", None)
    monkeypatch.chdir(tmp_path / "elsewhere")
    (again,) = Folder.select("parts", dataset.root)
    assert [sample.id for sample in again.samples("train")] == ["a.png"]


def test_the_tried_places_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADKIT_DATA", str(tmp_path / "environment"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="there is no such folder") as caught:
        Folder.select("no-such-parts", tmp_path / "root")
    for place in ("no-such-parts", tmp_path / "root" / "no-such-parts", tmp_path / "environment" / "no-such-parts"):
        assert str(place) in caught.value.message


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    with pytest.raises(DatasetError, match=r"a\.png is no folder"):
        Folder.select(str(tmp_path / "a.png"), None)


def test_capital_letters_do_not_hide_the_split(tmp_path: Path) -> None:
    touch(tmp_path, "Train/Good/a.png", "Test/crack/b.png")
    dataset = opened(tmp_path)
    assert [sample.anomalous for sample in dataset.samples("train")] == [False]
    assert [sample.kind for sample in dataset.samples("test")] == ["crack"]


def test_hidden_folders_hold_no_samples(tmp_path: Path) -> None:
    touch(tmp_path, "normal/a.png", "normal/.thumbnails/a.png", "crack/b.png", ".cache/c.png")
    dataset = opened(tmp_path)
    assert [sample.id for sample in dataset.samples("train")] == ["normal/a.png"]
    assert [sample.id for sample in dataset.samples("test")] == ["crack/b.png"]


def test_a_hidden_folder_may_be_named_itself(tmp_path: Path) -> None:
    touch(tmp_path / ".hidden", "a.png", ".thumbnails/a.png")
    assert [sample.id for sample in opened(tmp_path / ".hidden").samples("train")] == ["a.png"]


def test_of_images_in_the_test_folder_itself_the_truth_is_unknown(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.png", "Test/b.png", "Test/c.png", "Test/crack/d.png", "masks/crack/b.png")
    dataset = opened(tmp_path)
    assert by_id(dataset.samples("test")) == {
        "Test/b.png": (None, None),
        "Test/c.png": (None, None),
        "Test/crack/d.png": (True, "crack"),
    }
    assert all(sample.mask is None for sample in dataset.samples("test"))
    first, second, *masks = dataset.notes()
    assert "1 to learn from; to test with: 1 crack" in first
    assert masks[0] == "1 mask belongs to no image that was found: masks/crack/b.png"
    assert masks[1].startswith("1 of 1 anomalous image has no mask: Test/crack/d.png")
    assert second.startswith("2 images in Test/: evaluations leave out")


@pytest.mark.parametrize("masks", ["Ground_Truth/crack", "MASKS/crack", "masks/CRACK"])
@pytest.mark.parametrize("layout", [("train/a.png", "test/Crack/b.png"), ("normal/a.png", "Crack/b.png")])
def test_capital_letters_do_not_hide_the_masks(tmp_path: Path, layout: tuple[str, ...], masks: str) -> None:
    touch(tmp_path, *layout, f"{masks}/b_mask.png")
    (sample,) = opened(tmp_path).samples("test")
    assert sample.kind == "Crack"
    assert sample.mask is not None
    assert sample.mask.path == tmp_path / masks / "b_mask.png"


@pytest.mark.parametrize(("train", "place"), [("train/x.png", "test/"), ("normal/x.png", "")])
def test_images_of_one_name_have_masks_of_their_own(tmp_path: Path, train: str, place: str) -> None:
    names = [f"crack/{inner}001.png" for inner in ("", "a/", "b/", "c/")]
    touch(tmp_path, train, *(f"{place}{name}" for name in names))
    touch(tmp_path, "masks/crack/001.png", "masks/crack/a/001.png", "masks/crack/B/001_mask.png")
    found = {sample.id: sample.mask for sample in opened(tmp_path).samples("test")}
    masks = [mask and mask.path.relative_to(tmp_path / "masks" / "crack").as_posix() for mask in found.values()]
    assert list(found) == [f"{place}{name}" for name in names]
    assert masks == ["001.png", "a/001.png", "B/001_mask.png", "001.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_file_names_of_any_bytes_are_held_out_as_well(tmp_path: Path) -> None:
    touch(tmp_path, *(os.fsdecode(b"good/pr\xfcf%d.png" % number) for number in range(10)), "crack/1.png")
    assert len(opened(tmp_path).samples("test")) == 3


def test_a_name_that_is_too_long_is_no_folder() -> None:
    with pytest.raises(DatasetError, match="there is no such folder"):
        Folder.select("x" * 300, None)
