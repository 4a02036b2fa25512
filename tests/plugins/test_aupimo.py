"""AUPIMO against a direct sweep over all thresholds, and where it is undefined."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from adkit_metrics.curves import HIGH_FPR, LOW_FPR
from adkit_metrics.pixels import Aupimo
from numpy.typing import NDArray

from adkit.types import MetricValue
from tests.plugins.test_metrics import Pixels, drawn_pixels, of_pixels, resampled, value, weights_by_chance

SIDE = 240  # two good images have 115,200 pixels: enough for a rate of 0.00001


def random_pixels(seed: int, *, ties: bool = False, shift: float = 4.0) -> Pixels:
    """Three defective images and three good ones, one of which is smaller; defects are higher by about `shift`."""
    rng = np.random.default_rng(seed)
    pixels = []
    for number in range(6):
        mask = np.zeros((SIDE, SIDE if number < 5 else SIDE // 2), bool)
        if number < 3:
            top, left = rng.integers(0, SIDE - 40, 2)
            mask[top : top + rng.integers(5, 40), left : left + rng.integers(5, 40)] = True
        values = rng.normal(size=mask.shape) + shift * rng.random() * mask
        pixels.append(((np.round(values * 4) if ties else values).astype(np.float32), mask))
    return pixels


def by_sweep(pixels: Pixels) -> float:
    """Take every threshold in turn, and weigh what each image finds by how far the logarithm of the rate goes on."""
    good = [np.sort(values.ravel()) for values, mask in pixels if not mask.any()]
    defects = [np.sort(values[mask]) for values, mask in pixels if mask.any()]

    def above(ordered: NDArray[np.float32], threshold: float) -> float:
        return 1 - float(np.searchsorted(ordered, threshold, side="left")) / len(ordered)

    candidates = np.unique(np.concatenate([values.ravel() for values, _ in pixels]))[::-1].tolist()
    rates, areas = [0.0], [[0.0] * len(defects)]
    for threshold in candidates:
        rates.append(float(np.mean([above(one, threshold) for one in good])))
        areas.append([above(one, threshold) for one in defects])
        if rates[-1] > HIGH_FPR:
            break
    total = np.zeros(len(defects))
    for (low, high), found in zip(pairwise(rates), areas[:-1], strict=True):
        low, high = max(low, LOW_FPR), min(high, HIGH_FPR)
        if low < high:
            total += math.log(high / low) * np.array(found)
    return float(total.mean() / math.log(HIGH_FPR / LOW_FPR))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shift", [2.0, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_a_sweep_over_all_thresholds(seed: int, shift: float, ties: bool) -> None:
    pixels = random_pixels(seed, ties=ties, shift=shift)
    assert value(Aupimo(), of_pixels(pixels)) == pytest.approx(by_sweep(pixels), abs=1e-4)


def test_by_hand() -> None:
    # A good image of 100,000 pixels with values 1 … 100,000: the k-th highest is reached at the rate k / 100,000.
    good = (np.arange(1, 100_001, dtype=np.float32).reshape(250, 400), np.zeros((250, 400), bool))
    values, mask = np.zeros((250, 400), np.float32), np.zeros((250, 400), bool)
    mask[0, :4] = True
    # Above all; level with the third highest, found from 3e-5 on; level with the tenth; below.
    values[0, :4] = [2e5, 99_998, 99_991, 5]
    expected = (1 + math.log10(10 / 3) + 0 + 0) / 4
    assert value(Aupimo(), of_pixels([(values, mask), good])) == pytest.approx(expected, abs=1e-4)


def test_every_defective_image_weighs_the_same_and_loud_good_pixels_beside_a_defect_do_not_count() -> None:
    good = (np.zeros((SIDE * 2, SIDE), np.float32), np.zeros((SIDE * 2, SIDE), bool))
    images = []
    for pixels, level in ((4, 1.0), (400, 0.0)):  # a small defect that is found, a large one that is not
        mask = np.zeros((SIDE, SIDE), bool)
        mask.flat[:pixels] = True
        values = np.where(mask, level, 9.0).astype(np.float32)
        images.append((values, mask))
    assert value(Aupimo(), of_pixels([*images, good])) == pytest.approx(0.5)


def test_maps_that_say_nothing_find_nothing() -> None:
    mask = np.zeros((SIDE, 2 * SIDE), bool)
    flat = np.full(mask.shape, 0.7, np.float32)
    marked = mask.copy()
    marked[3:9, 3:9] = True
    assert value(Aupimo(), of_pixels([(flat, marked), (flat, mask)])) == 0


@pytest.mark.parametrize("ties", [False, True])
def test_resamples_are_the_metric_of_the_drawn_images(ties: bool) -> None:
    pixels = random_pixels(5, ties=ties, shift=6)
    weights = np.hstack([weights_by_chance(3, 20), weights_by_chance(3, 20, seed=1)])
    weights[0] = 1
    weights[1:, 3] += 1  # or too few good pixels might be drawn for a figure to compare with
    expected = [value(Aupimo(), drawn_pixels(pixels, row)) for row in weights]
    assert np.ptp(expected) > 0.02
    assert resampled(Aupimo(), of_pixels(pixels), weights) == pytest.approx(expected, abs=2e-3)


def test_without_good_images_it_is_undefined() -> None:
    results = of_pixels(random_pixels(0)[:3])
    assert Aupimo()(results) == MetricValue(None, "the test split has no good image")
    assert np.isnan(resampled(Aupimo(), results, [[1, 1, 1]])).all()


def test_with_few_good_pixels_it_is_undefined_and_says_how_many_are_needed() -> None:
    results = of_pixels(random_pixels(0)[:4])
    assert Aupimo()(results) == MetricValue(
        None, "the good test images have 57,600 pixels, and a false-positive rate of 0.001% needs 100,000"
    )
    assert np.isnan(resampled(Aupimo(), results, [[1, 1, 1, 1]])).all()


def test_maps_and_masks_are_needed() -> None:
    results = of_pixels(random_pixels(0))
    assert Aupimo()(replace(results, maps=None)).why_undefined == "the method gives no maps"
    assert Aupimo()(replace(results, has_masks=False)).why_undefined is not None
    empty = replace(results, anomalous=np.array([True, True, True, True, False, False]))
    without = replace(empty, pixels=lambda: (item for item in results.pixels() if item[0] > 2))
    assert Aupimo()(without) == MetricValue(
        None, "the good test images have 86,400 pixels, and a false-positive rate of 0.001% needs 100,000"
    )


def test_pixels_are_walked_once() -> None:
    results, walks = of_pixels(random_pixels(1)), []

    def counted() -> object:
        walks.append(1)
        return results.pixels()

    value(Aupimo(), replace(results, pixels=counted))  # type: ignore[arg-type]
    assert len(walks) == 1


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_maps_unit_does_not_matter(scale: float) -> None:
    pixels = random_pixels(2)
    scaled = [((values * scale - 3 * scale).astype(np.float32), mask) for values, mask in pixels]
    assert value(Aupimo(), of_pixels(scaled)) == pytest.approx(value(Aupimo(), of_pixels(pixels)), abs=1e-3)
