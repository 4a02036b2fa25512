from __future__ import annotations

import numpy as np
import pytest
import torch

from adkit.nn.features.checkerboard import filled, white_squares

GRIDS = [(1, 1), (1, 5), (4, 1), (2, 2), (3, 4), (5, 5)]


@pytest.mark.parametrize("grid", GRIDS)
def test_white_squares_have_an_even_sum(grid: tuple[int, int]) -> None:
    expected = [
        row * grid[1] + column for row in range(grid[0]) for column in range(grid[1]) if (row + column) % 2 == 0
    ]
    assert white_squares(grid).tolist() == expected


@pytest.mark.parametrize("grid", GRIDS)
def test_black_squares_take_the_mean_of_their_known_neighbours(grid: tuple[int, int]) -> None:
    count = len(white_squares(grid))
    values = torch.rand(2, count, generator=torch.Generator().manual_seed(0))
    maps = filled(values, grid)
    assert maps.shape == (2, *grid)
    assert torch.equal(maps.flatten(1)[:, white_squares(grid)], values)
    for one in maps.numpy():
        for row, column in np.ndindex(*grid):
            around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            known = [one[y, x] for y, x in around if 0 <= y < grid[0] and 0 <= x < grid[1]]
            if (row + column) % 2:
                assert one[row, column] == pytest.approx(np.mean(known), rel=1e-5)
