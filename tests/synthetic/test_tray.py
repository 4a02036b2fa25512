from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adkit.synthetic.tray import KINDS, SIZE_PX, USUAL, counts_of, draw_tray, write_tray


def test_a_seed_decides_and_parts_are_seen() -> None:
    picture = draw_tray(np.random.default_rng(0), USUAL)
    assert picture.shape == (SIZE_PX, SIZE_PX, 3)
    assert np.array_equal(picture, draw_tray(np.random.default_rng(0), USUAL))
    empty = draw_tray(np.random.default_rng(0), {})
    # Rings and hexagons cover some 1,000 px each, pins 380.
    covered = float((np.abs(picture.astype(int) - empty.mean(axis=(0, 1))).max(axis=2) > 30).mean())
    assert 0.08 < covered < 0.13


@pytest.mark.parametrize("index", range(6))
def test_how_many_parts_lie_there(index: int) -> None:
    together = sum(USUAL.values())
    assert counts_of("good", index) == dict(USUAL)
    assert [sum(counts_of(kind, index).values()) for kind in KINDS] == [together - 1, together + 1, together]
    assert counts_of("swapped", index) != dict(USUAL)


def test_the_layout(tmp_path: Path) -> None:
    write_tray(tmp_path / "tray", seed=0, train=2, good=1, each_kind=1)
    found = sorted(path.relative_to(tmp_path / "tray").as_posix() for path in tmp_path.rglob("*.png"))
    names = ["test/extra/000.png", "test/good/000.png", "test/missing/000.png", "test/swapped/000.png"]
    assert found == [*names, "train/good/000.png", "train/good/001.png"]
    with Image.open(tmp_path / "tray" / names[0]) as picture:
        assert picture.size == (SIZE_PX, SIZE_PX)
