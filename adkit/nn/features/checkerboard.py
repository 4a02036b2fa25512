"""Every other position of a grid, a chessboard's white squares: what lies between four of them is near their mean."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]  # rows and columns


@lru_cache(maxsize=32)
def white_squares(grid: Grid) -> Tensor:
    """Return the numbers (K,) of the positions whose row and column have an even sum, counted row by row."""
    return _white(grid).flatten().nonzero()[:, 0]


def at_white_squares(features: Tensor) -> Tensor:
    """Turn features (B, h, w, D) into those of the white squares (B, K, D)."""
    numbers = white_squares((features.shape[1], features.shape[2]))
    return features.flatten(1, 2)[:, numbers.to(features.device)]


def filled(values: Tensor, grid: Grid) -> Tensor:
    """Turn the values (B, K) of the white squares into maps (B, h, w); black ones take the mean of their neighbours."""
    numbers, white, counts = (part.to(values.device) for part in _board(grid))
    maps = (values[:, numbers] * white.flatten()).reshape(-1, 1, *grid)
    means = F.conv2d(maps, _CROSS.to(values.device), padding=1) / counts
    return torch.where(white > 0, maps, means)[:, 0]


@lru_cache(maxsize=32)
def _board(grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Return which white square is at each position (h w,), 1 for white ones (h, w), and how many are around."""
    white = _white(grid).to(torch.float32)
    counts = F.conv2d(white[None, None], _CROSS, padding=1)[0, 0].clamp_min(1)
    return (white.flatten().cumsum(0).to(torch.int64) - 1).clamp_min(0), white, counts


def _white(grid: Grid) -> Tensor:
    rows, columns = (torch.arange(length) for length in grid)
    return (rows[:, None] + columns) % 2 == 0


_CROSS = torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]])[None, None]
