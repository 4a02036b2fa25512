from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from adkit.inspection import inspect_dataset
from adkit.interfaces import Dataset
from adkit.types import Sample, Split


class Pile(Dataset):
    """The samples that a test puts into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = "pile:all"
        self.found: dict[Split, list[Sample]] = {"train": [], "test": []}

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        return []

    def samples(self, split: Split) -> list[Sample]:
        return self.found[split]

    def put(
        self, name: str, picture: NDArray[np.generic] | bytes, split: Split = "train", mask: Path | None = None
    ) -> Path:
        path = self.folder / name
        if isinstance(picture, bytes):
            path.write_bytes(picture)
        else:
            Image.fromarray(picture).save(path)
        bad = split == "test"
        self.found[split].append(Sample.still(name, path, anomalous=bad, kind="crack" if bad else "good", mask=mask))
        return path

    def findings(self) -> list[str]:
        return [line for line in inspect_dataset(self).findings if not line.startswith("there is no test split")]


def noise(seed: int, height: int = 40, width: int = 40) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def pile(tmp_path: Path) -> Pile:
    return Pile(tmp_path)


def test_nothing_is_wrong_with_good_images(pile: Pile) -> None:
    for number in range(3):
        pile.put(f"{number}.png", noise(number))
    found = inspect_dataset(pile)
    assert found.counts == {("train", "good"): 3}
    assert found.findings == ["there is no test split: eval cannot judge a run"]
    assert found.sheet is not None


@pytest.mark.parametrize(("highest", "dark"), [(4095, True), (2000, True), (4500, False), (65535, False)])
def test_12_bits_in_a_16_bit_file_are_noticed(pile: Pile, highest: int, dark: bool) -> None:
    pile.put("a.png", np.linspace(0, highest, 1600).reshape(40, 40).astype(np.uint16))
    assert pile.findings() == ["1 are 16-bit files that use 12 bits or fewer: they are read as very dark: a.png"] * dark


def test_images_of_another_size_are_counted(pile: Pile) -> None:
    for number, size in enumerate([(40, 40)] * 5 + [(50, 40)] * 4 + [(60, 70)]):
        pile.put(f"{number}.png", noise(number, *size))
    (finding,) = pile.findings()
    assert finding == (
        "5 have another size than the most common one: 5.png (40×50), 6.png (40×50), 7.png (40×50) and 2 more"
    )


def test_copies_are_counted(pile: Pile) -> None:
    for number in range(5):
        pile.put(f"a{number}.png", noise(1))
    for number in range(2):
        pile.put(f"b{number}.png", noise(2))
    assert pile.findings() == ["7 have identical copies: a0.png = a1.png = a2.png, b0.png = b1.png and 2 more"]


def test_images_in_both_splits_are_counted(pile: Pile) -> None:
    mask = pile.folder / "mask.png"
    Image.fromarray(np.full((40, 40), 255, np.uint8)).save(mask)
    pile.put("a.png", noise(1))
    pile.put("b.png", noise(1), "test", mask)
    pile.put("c.png", noise(2), "test", mask)
    (finding,) = pile.findings()
    assert finding == "2 are in both splits: the test would know its answers: a.png = b.png"
    assert inspect_dataset(pile).masks == {"crack": 2}


def test_a_bad_file_is_a_finding(pile: Pile) -> None:
    pile.put("a.png", b"no picture")
    pile.put("b.png", b"")
    pile.put("c.png", noise(1))
    (finding,) = pile.findings()
    assert finding.startswith("2 cannot be read: ")
    assert "is not an image" in finding
    assert "b.png" in finding
