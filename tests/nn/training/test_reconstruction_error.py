from __future__ import annotations

from typing import get_args

import pytest
import torch
from pytorch_msssim import ssim
from torch import Tensor

from adkit.nn.training.reconstruction_error import ErrorMap, Loss, error_map, loss_of

MAPS: tuple[ErrorMap, ...] = get_args(ErrorMap)
LOSSES: tuple[Loss, ...] = get_args(Loss)


def pictures(count: int = 2, side: int = 176) -> Tensor:
    smooth = torch.rand(count, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(smooth, size=(side, side), mode="bilinear")


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_zero_for_the_same_image_only(name: Loss) -> None:
    given = pictures()
    assert loss_of(name, given, given) == pytest.approx(torch.zeros(2), abs=1e-5)
    assert bool((loss_of(name, given.flip(3), given) > 1e-3).all())


def test_the_loss_of_an_image_does_not_depend_on_the_others() -> None:
    given, wanted = pictures(3), pictures(3).flip(2)
    for name in LOSSES:
        alone = torch.cat([loss_of(name, given[row : row + 1], wanted[row : row + 1]) for row in range(3)])
        torch.testing.assert_close(loss_of(name, given, wanted), alone)


def test_a_sum_is_the_sum_of_its_parts() -> None:
    given, wanted = pictures(), pictures().flip(2)
    expected = loss_of("l1", given, wanted) + loss_of("ssim", given, wanted)
    torch.testing.assert_close(loss_of("l1+ssim", given, wanted), expected)


@pytest.mark.parametrize("name", MAPS)
def test_a_map_shows_where_images_differ(name: ErrorMap) -> None:
    given = pictures()
    found = given.clone()
    found[0, :, 100:110, 40:60] = 1 - found[0, :, 100:110, 40:60]
    maps = error_map(name, found, given)
    assert maps.shape == (2, 176, 176)
    assert float(maps[1].abs().max()) < 1e-4
    row, column = divmod(int(maps[0].argmax()), 176)
    assert 95 <= row < 115
    assert 35 <= column < 65
    assert float(maps[0, :60].max()) < float(maps[0].max()) / 100


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("shape", [(32, 32), (33, 47)])
def test_a_map_has_the_size_of_the_image(name: ErrorMap, shape: tuple[int, int]) -> None:
    one, other = torch.rand(2, 1, 3, *shape).unbind()
    maps = error_map(name, one, other)
    assert maps.shape == (1, *shape)
    assert bool(torch.isfinite(maps).all())


@pytest.mark.parametrize("name", MAPS)
def test_constant_images_have_no_error(name: ErrorMap) -> None:
    black = torch.zeros(1, 3, 32, 32)
    assert float(error_map(name, black, black).abs().max()) < 1e-5
    assert bool(torch.isfinite(error_map(name, black, black + 1)).all())


def test_plain_maps_are_means_over_the_colours() -> None:
    found, given = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    found[0, :, 1, 2] = torch.tensor([0.5, 0.1, 0.0])
    assert float(error_map("l1", found, given)[0, 1, 2]) == pytest.approx(0.2)
    assert float(error_map("l2", found, given)[0, 1, 2]) == pytest.approx((0.25 + 0.01) / 3)


def test_the_similarity_map_agrees_with_the_library_inside() -> None:
    found, given = pictures(1, 64), pictures(1, 64).flip(2)
    inside = error_map("ssim", found, given)[:, 5:-5, 5:-5].mean()
    expected = 1 - ssim(found, given, data_range=1, size_average=True)
    assert float(inside) == pytest.approx(float(expected), abs=1e-4)


def test_gradients_do_not_see_brightness() -> None:
    given = pictures(1) * 0.5
    assert float(error_map("msgms", given + 0.3, given).max()) < 1e-4
    assert float(error_map("l1", given + 0.3, given).min()) > 0.29
