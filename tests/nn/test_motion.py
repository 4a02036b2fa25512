from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from adkit.nn.motion import (
    CELL_PX,
    LEAST_SCALES,
    MOST_OF_FRAME,
    USUAL_SHARE,
    MotionMemory,
    cells_of,
    clips_moving_as_a_whole,
    share_that_moves,
)

SIDE = 96
RATE = 25


def belt(speed_px_s: float, frames: int = 8, rate: float = RATE, seed: int = 0) -> Tensor:
    """A texture (T, 3, SIDE, SIDE) that runs to the right in the lower half; the upper half stands still."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.random((SIDE, 4 * SIDE)).astype(np.float32), (0, 0), 2)
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    found = np.empty((frames, SIDE, SIDE), np.float32)
    for number, frame in enumerate(found):
        moved = np.float32([[1, 0, speed_px_s * number / rate - 2 * SIDE], [0, 1, 0]])
        frame[:] = texture[:, :SIDE]
        frame[SIDE // 2 :] = cv2.warpAffine(texture, moved, (SIDE, SIDE))[SIDE // 2 :]
    return torch.from_numpy(found)[:, None].expand(-1, 3, -1, -1).contiguous()


def pairs(frames: Tensor, lag: int) -> Tensor:
    """Each frame with the one `lag` frames before it, (T, 2, 3, H, W)."""
    return torch.stack([frames[(torch.arange(len(frames)) - lag).clamp_min(0)], frames], dim=1)


def cells(speed_px_s: float, *, rate: float = RATE, lag: int = 3, seed: int = 0, frames: int = 8) -> np.ndarray:
    moving = belt(speed_px_s, frames, rate, seed)
    return cells_of(pairs(moving, lag)[lag:], [lag / rate] * (frames - lag))


@pytest.mark.parametrize(("rate", "lag"), [(10, 1), (25, 3), (50, 6)])
def test_velocities_are_told_in_pixels_a_second_at_any_rate(rate: float, lag: int) -> None:
    found = cells(25.0, rate=rate, lag=lag, frames=lag + 3)
    moving, still = found[:, 7:11, 2:-2], found[:, 1:5, 2:-2]
    assert np.median(moving[..., 0]) == pytest.approx(25, rel=0.1)
    assert abs(np.median(moving[..., 1])) < 1
    assert np.abs(still).mean() < 1  # the flow spills over a little where the belt begins


def test_frames_too_far_apart_and_the_same_frame_tell_nothing() -> None:
    found = cells_of(pairs(belt(25.0, 3), 1), [0.0, 0.1, 0.6])
    assert np.isnan(found).all(axis=(1, 2, 3)).tolist() == [True, False, True]


def test_a_stop_is_far_from_what_was_seen_there_and_usual_elsewhere() -> None:
    memory = MotionMemory.learn(cells(25.0), torch.zeros(5, dtype=torch.int64))
    usual, stopped = memory.maps(cells(25.0, seed=1)), memory.maps(cells(0.0, seed=1))
    lower = SIDE // CELL_PX // 2
    assert float(stopped[:, lower + 1 :].median()) > 1.5 * float(usual[:, lower + 1 :].median())
    torch.testing.assert_close(stopped[:, : lower - 1], usual[:, : lower - 1], atol=0.1, rtol=0.1)


def test_a_clip_left_out_does_not_vouch_for_itself() -> None:
    learned = np.concatenate([cells(25.0, seed=0), cells(25.0, seed=1), cells(60.0, seed=2)])
    clips = torch.arange(3).repeat_interleave(5)
    memory = MotionMemory.learn(learned, clips)
    found = memory.left_out(learned, clips)
    assert float(found[10:].mean()) > 1.3 * float(found[:10].mean())
    others = MotionMemory(memory.scales, memory.rows, memory.counts[:, :2], memory.step)
    torch.testing.assert_close(found[10:], others.maps(learned[10:]))


def test_it_is_told_in_which_clips_the_whole_image_moves() -> None:
    panned = torch.stack([belt(25.0)[number].roll(3 * number, dims=-1) for number in range(8)])
    panned[:, :, : SIDE // 2] = panned[:, :, SIDE // 2 :]
    moved = cells_of(pairs(panned, 3)[3:], [3 / RATE] * 5)
    clips = torch.tensor([0] * 5 + [1] * 5)
    assert clips_moving_as_a_whole(np.concatenate([cells(25.0), moved]), clips) == [1]
    assert clips_moving_as_a_whole(np.full_like(moved, np.nan), torch.zeros(5)) == []


@pytest.mark.parametrize("moving", [1, 3, 12])
def test_the_share_that_moves_is_that_of_the_cells_that_change(moving: int) -> None:
    found = np.zeros((5, 10, 10, 3), np.float32)
    found[..., 2] = LEAST_SCALES[2] / 2  # noise, everywhere
    found[1:].reshape(4, 100, 3)[:, :moving, 2] = 100.0  # the first frame shows nothing that moves
    assert share_that_moves(found) == pytest.approx(moving / 100)
    found[:2] = np.nan
    assert share_that_moves(found) == pytest.approx(moving / 100)


def test_the_share_that_moves_has_bounds() -> None:
    assert share_that_moves(np.zeros((2, 4, 4, 3), np.float32)) == USUAL_SHARE
    assert share_that_moves(np.full((2, 4, 4, 3), np.nan, np.float32)) == USUAL_SHARE
    assert share_that_moves(np.full((2, 4, 4, 3), 500, np.float32)) == MOST_OF_FRAME


def test_its_state_is_all_of_it() -> None:
    memory = MotionMemory.learn(cells(25.0), torch.arange(5) // 3)
    restored = MotionMemory.from_state(memory.state())
    torch.testing.assert_close(restored.maps(cells(40.0)), memory.maps(cells(40.0)))


def test_without_any_motion_to_learn_from_nothing_is_said() -> None:
    unknown = np.full((4, 2, 2, 3), np.nan, np.float32)
    memory = MotionMemory.learn(unknown, torch.arange(4))
    assert memory.left_out(unknown, torch.arange(4)).isnan().all()
    assert memory.maps(cells(25.0)).isnan().all()
