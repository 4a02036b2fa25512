"""Every other position of a grid, as the white squares of a chessboard: half the patches to look up, and to keep.

Neighbouring patches are averaged over mostly the same positions. What lies between four known distances is therefore
near their mean, and a bank of twice the length for the same time is worth more than the rest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Grid = tuple[int, int]
"""Rows and columns."""


def white_squares(grid: Grid) -> Tensor:
    """Return the numbers (K,) of the positions whose row and column have an even sum, counted row by row."""
    rows, columns = (torch.arange(length) for length in grid)
    return ((rows[:, None] + columns) % 2 == 0).flatten().nonzero()[:, 0]


def filled(values: Tensor, grid: Grid) -> Tensor:
    """Turn the values (B, K) of the white squares into maps (B, h, w); black ones take the mean of their neighbours."""
    white = white_squares(grid).to(values.device)
    maps = values.new_zeros(len(values) + 1, 1, grid[0] * grid[1])
    maps[:-1, 0, white] = values
    maps[-1, 0, white] = 1  # so that the last counts the known neighbours
    maps = maps.reshape(-1, 1, *grid)
    cross = values.new_tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]])[None, None]
    around = F.conv2d(maps, cross, padding=1)
    means = around[:-1] / around[-1:].clamp_min(1)
    return torch.where(maps[-1:] > 0, maps[:-1], means)[:, 0]
