from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from adkit.nn.normalisation import EXPLAINED_SHARE
from adkit.nn.training.registration import LEAST_FRAMES, MULTIPLE, Registration, decide_registration, laid_back
from adkit.synthetic.parts import draw_part

AREA = 128 * 128


def drawn(part: str, count: int) -> list[NDArray[np.float32]]:
    return [
        np.asarray(draw_part(part, np.random.default_rng([3, number]))[0], np.float32) / 255 for number in range(count)
    ]


def batch(frames: list[NDArray[np.float32]]) -> Tensor:
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def club(turn: float, x: float, y: float, light: float = 1.0) -> NDArray[np.float32]:
    """A bar with a thick end on an even ground, 96 px."""
    ys, xs = np.mgrid[0:96, 0:96].astype(np.float32)
    along = (xs - x) * np.cos(turn) + (ys - y) * np.sin(turn)
    across = (ys - y) * np.cos(turn) - (xs - x) * np.sin(turn)
    bar = (np.abs(along) < 30) & (np.abs(across) < np.where(along < -14, 11, 4))
    grey = light * np.where(bar, 0.2, 0.8).astype(np.float32)
    return np.repeat(grey[:, :, None], 3, axis=2)


@pytest.fixture(scope="module")
def bolts() -> list[NDArray[np.float32]]:
    return drawn("bolt", 14)


@pytest.fixture(scope="module")
def registration(bolts: list[NDArray[np.float32]]) -> Registration:
    found, facts = decide_registration(bolts, "auto", AREA)
    assert found is not None
    assert facts["registered"] is True
    assert facts["pictures_explained_by_position"] < EXPLAINED_SHARE
    assert facts["registered_explained_by_position"] > 0.8
    return found


def test_what_is_cut_out_is_a_part_and_no_larger_than_asked(registration: Registration) -> None:
    height, width = registration.usual.shape
    assert height % MULTIPLE == width % MULTIPLE == 0
    assert width > 2 * height  # a bolt lies along it
    assert height * width < 1.3 * AREA
    assert registration.scale <= 1


@pytest.mark.parametrize("part", ["connector", "fabric", "washer"])
def test_aligned_parts_and_textures_stay_as_they_are(part: str) -> None:
    found, facts = decide_registration(drawn(part, LEAST_FRAMES), "auto", AREA)
    assert found is None
    assert facts["registered"] is False


def test_the_user_may_decide(bolts: list[NDArray[np.float32]]) -> None:
    assert decide_registration(bolts, "off", AREA) == (None, {"registered": False})
    assert decide_registration(drawn("connector", 3), "on", AREA)[0] is not None


def test_auto_needs_enough_images(bolts: list[NDArray[np.float32]]) -> None:
    assert decide_registration(bolts[: LEAST_FRAMES - 1], "auto", AREA)[0] is None


@pytest.mark.parametrize(
    ("turn", "x", "y", "light"), [(0.0, 50, 44, 1), (1.0, 46, 52, 0.8), (3.5, 48, 48, 1.1), (5.0, 45, 50, 1)]
)
def test_a_part_is_laid_alike_however_it_lies(turn: float, x: float, y: float, light: float) -> None:
    clubs = [club(0.7 * number, 48, 48) for number in range(LEAST_FRAMES)]
    found = Registration.learn(clubs, 96 * 96)
    (expected, one), _ = found(batch([clubs[0], club(turn, x, y, light)]))
    # Edges are resampled: inside and outside they agree, and in which end is which.
    assert float((one / light - expected).abs().mean()) < 0.03


def test_maps_go_back_to_where_they_came_from() -> None:
    clubs = [club(0.7 * number, 48, 48) for number in range(LEAST_FRAMES)]
    found = Registration.learn(clubs, 96 * 96)
    frames = batch([club(2.0, 47, 50)])
    cut, matrices = found(frames)
    dark = 1 - cut.mean(dim=1)
    back = laid_back(dark, matrices, (96, 96))
    assert back.shape == (1, 96, 96)
    part = frames.mean(dim=1) < 0.5
    assert float(back[part].mean()) > 0.7
    assert float(back.min()) == pytest.approx(float(dark.min()), abs=1e-6)
    pictures = laid_back(cut.permute(0, 2, 3, 1), matrices, (96, 96), cv2.BORDER_REPLICATE).permute(0, 3, 1, 2)
    assert float((pictures - frames).abs().mean()) < 0.02


def test_state_round_trip(registration: Registration, bolts: list[NDArray[np.float32]]) -> None:
    restored = Registration.from_state({**registration.state(), "bank": torch.ones(1)})
    assert restored is not None
    one, other = registration(batch(bolts[:3])), restored(batch(bolts[:3]))
    assert torch.equal(one[0], other[0])
    assert Registration.from_state({"bank": torch.ones(1)}) is None


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_empty_image_is_laid_somehow(registration: Registration, value: float) -> None:
    cut, matrices = registration(torch.full((1, 3, 256, 256), value))
    assert cut.shape == (1, 3, *registration.usual.shape)
    assert float((cut - value).abs().max()) < 1e-5
    assert np.isfinite(matrices[0]).all()
