from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from adkit_metrics import curves
from adkit_metrics.curves import FPR_LIMIT
from adkit_metrics.decisions import CaughtAtPromise, FalseAlarmsPerHour
from adkit_metrics.pixels import COARSE, STEPS, Aupro, Levels, PixelAuroc, PixelIoU
from adkit_metrics.ranking import AveragePrecision, FrameAuroc, FrameAveragePrecision, ImageAuroc, OracleF1
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from adkit.data.view import EVERYWHERE
from adkit.interfaces import Metric
from adkit.types import LabelledResults, MetricValue

Pixels = Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]]
Values = NDArray[np.float64]
CLIP_METRICS = [FrameAuroc(), FrameAveragePrecision(), FalseAlarmsPerHour()]
IMAGE_METRICS = [ImageAuroc(), AveragePrecision(), OracleF1()]
PIXEL_METRICS = [PixelAuroc(), Aupro(), PixelIoU()]


def enlarge(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """A map as it lies over an image of this shape."""
    return EVERYWHERE.over(values, shape, 0)


def stills(count: int) -> dict[str, Any]:
    return {
        "clips": tuple(f"image {number}" for number in range(count)),
        "times_s": np.zeros(count),
        "alarms": np.zeros(count, bool),
    }


def of_scores(good: Sequence[float], anomalous: Sequence[float], kinds: Sequence[str] | None = None) -> LabelledResults:
    return LabelledResults(
        scores=np.array([*good, *anomalous], np.float64),
        anomalous=np.array([False] * len(good) + [True] * len(anomalous)),
        kinds=("good",) * len(good) + tuple(kinds or ["crack"] * len(anomalous)),
        threshold=0.5,
        pixel_threshold=None,
        maps=None,
        has_masks=False,
        pixels=lambda: iter(()),
        **stills(len(good) + len(anomalous)),
    )


def of_pixels(pixels: Pixels, *, kinds: Sequence[str] | None = None, threshold: float | None = 0.5) -> LabelledResults:
    def walk() -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        for index, (values, mask) in enumerate(pixels):
            yield index, values.astype(np.float32), mask

    anomalous = np.array([bool(mask.any()) for _, mask in pixels])
    height, width = np.max([mask.shape for _, mask in pixels], axis=0)
    return LabelledResults(
        scores=np.array([float(values.max()) for values, _ in pixels]),
        anomalous=anomalous,
        kinds=tuple(kinds or ["crack" if label else "good" for label in anomalous]),
        threshold=0.5,
        pixel_threshold=threshold,
        maps=np.stack([enlarge(values.astype(np.float32), (height, width)) for values, _ in pixels]),
        has_masks=bool(anomalous.any()),
        pixels=walk,
        **stills(len(pixels)),
    )


def grid(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def mask_of(rows: list[list[int]]) -> NDArray[np.bool_]:
    return np.array(rows, bool)


def value(metric: Metric, results: LabelledResults) -> float:
    result = metric(results)
    assert result.value is not None, result.why_undefined
    return result.value


def resampled(metric: Metric, results: LabelledResults, weights: Sequence[Sequence[int]] | NDArray[np.int64]) -> Values:
    values = metric.resampled(results, np.array(weights, np.int64))
    assert values is not None
    assert values.shape == (len(weights),)
    return values


def value_or_nan(result: MetricValue) -> float:
    return np.nan if result.value is None else result.value


def random_pixels(seed: int, *, ties: bool = False, images: int = 6) -> Pixels:
    """Maps that are a little higher in the masks; the last two images are good."""
    rng = np.random.default_rng(seed)
    pixels = []
    for index in range(images):
        mask = np.zeros((24, 30), bool)
        for _ in range(int(rng.integers(1, 4)) if index < images - 2 else 0):
            top, left = rng.integers(0, 16, 2)
            mask[top : top + rng.integers(1, 8), left : left + rng.integers(1, 8)] = True
        values = rng.normal(size=mask.shape) + 1.3 * mask
        pixels.append(((np.round(values * 2) if ties else values).astype(np.float32), mask))
    return pixels


# Images


def test_image_auroc_by_hand() -> None:
    # Pairs (anomalous, good): 3>1, 3>2, 2>1 count 1; 2=2 counts half: 3.5 of 4.
    assert value(ImageAuroc(), of_scores([1, 2], [3, 2])) == pytest.approx(3.5 / 4)
    assert value(ImageAuroc(), of_scores([1, 1], [1, 1, 1])) == 0.5
    assert value(ImageAuroc(), of_scores([2], [1])) == 0


def test_image_auroc_of_each_kind_is_against_all_good_images() -> None:
    result = ImageAuroc()(of_scores([1, 4], [5, 3, 2], ["crack", "dent", "dent"]))
    # crack: 5 beats both. dent: 3 and 2 beat 1 and lose to 4: 2 of 4. All: 4 of 6.
    assert result.details == {"crack": 1.0, "dent": 0.5}
    assert result.value == pytest.approx(4 / 6)


def test_average_precision_by_hand() -> None:
    # From the top: anomalous (precision 1/1), good, anomalous (2/3). Each adds half the recall.
    assert value(AveragePrecision(), of_scores([2], [3, 1])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_oracle_f1_by_hand() -> None:
    result = OracleF1()(of_scores([0.1, 0.6], [0.5, 0.9]))
    # At ≥ 0.5: two found, one false alarm: precision 2/3, recall 1, F1 = 4/5. At ≥ 0.9: 1 and 1/2: 2/3.
    assert result.value == pytest.approx(4 / 5)
    assert result.details == {"oracle_threshold": 0.5}


@pytest.mark.parametrize("seed", range(4))
def test_image_metrics_agree_with_sklearn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    good, anomalous = np.round(rng.normal(size=20), 1), np.round(rng.normal(1, 1, size=15), 1)
    labels, scores = [0] * 20 + [1] * 15, np.concatenate([good, anomalous])
    results = of_scores(good.tolist(), anomalous.tolist())
    assert value(ImageAuroc(), results) == pytest.approx(roc_auc_score(labels, scores))
    assert value(AveragePrecision(), results) == pytest.approx(average_precision_score(labels, scores))
    best = max(f1_score(labels, scores >= threshold) for threshold in scores)
    assert value(OracleF1(), results) == pytest.approx(best)


@pytest.mark.parametrize("metric", IMAGE_METRICS)
def test_image_metrics_need_both_classes(metric: Metric) -> None:
    assert metric(of_scores([1, 2], [])) == MetricValue(None, "the test split has no anomalous image")
    assert metric(of_scores([], [1, 2])) == MetricValue(None, "the test split has no good image")


def at_the_threshold(results: LabelledResults) -> LabelledResults:
    return replace(results, alarms=results.scores > results.threshold)


def test_caught_at_promise_of_images_by_hand() -> None:
    # Above 0.5: 0.9 and 0.7, not 0.5 itself; a flagged good image changes nothing.
    result = CaughtAtPromise()(at_the_threshold(of_scores([0.1, 0.8], [0.9, 0.5, 0.7], ["crack", "dent", "dent"])))
    assert result.value == pytest.approx(2 / 3)
    assert result.details == {"crack": 1.0, "dent": 0.5}


def test_caught_at_promise_needs_something_anomalous_and_nothing_good() -> None:
    assert CaughtAtPromise()(of_scores([1, 2], [])) == MetricValue(None, "the test split has no anomalous image")
    assert value(CaughtAtPromise(), at_the_threshold(of_scores([], [1, 0]))) == 0.5
    assert np.isnan(resampled(CaughtAtPromise(), of_scores([1, 2], []), [[1, 1]])).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12))
def test_caught_at_promise_counts_images_above_the_threshold_in_every_draw(
    samples: list[tuple[float, bool, int]],
) -> None:
    scores, anomalous, weights = (np.array(column) for column in zip(*samples, strict=True))
    results = replace(of_scores(scores.tolist(), []), anomalous=anomalous, kinds=("any",) * len(samples))
    found = resampled(CaughtAtPromise(), at_the_threshold(results), [weights, np.ones_like(weights)])
    for row, caught in zip((weights, np.ones_like(weights)), found, strict=True):
        drawn = np.repeat(scores[anomalous], row[anomalous])
        assert caught == pytest.approx((drawn > 0.5).mean() if len(drawn) and anomalous.any() else np.nan, nan_ok=True)


# Pixels


def test_pixel_auroc_by_hand() -> None:
    image = (grid([[0.9, 0.4], [0.4, 0.1]]), mask_of([[1, 1], [0, 0]]))
    good = (grid([[0.0, 0.5]]), mask_of([[0, 0]]))
    # 0.9 beats all four good pixels; 0.4 beats 0.1 and 0, ties with 0.4, loses to 0.5: 4 + 2.5 of 8.
    assert value(PixelAuroc(), of_pixels([image, good])) == pytest.approx(6.5 / 8)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_pixel_auroc_agrees_with_sklearn(seed: int, ties: bool) -> None:
    pixels = random_pixels(seed, ties=ties)
    truth = np.concatenate([mask.ravel() for _, mask in pixels])
    values = np.concatenate([values.ravel() for values, _ in pixels])
    assert value(PixelAuroc(), of_pixels(pixels)) == pytest.approx(roc_auc_score(truth, values), abs=1e-4)


def aupro_by_sweep(pixels: Pixels) -> float:
    """Every threshold in turn: mean overlap of the regions over the false-positive rate, cut at 0.3."""
    defective = [(values, mask) for values, mask in pixels if mask.any()]
    regions = []
    for values, mask in defective:
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        regions += [values[labels == number] for number in range(1, count)]
    good = np.concatenate([values[~mask] for values, mask in defective])
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(np.concatenate([values.ravel() for values, _ in defective]))[::-1]:
        rates.append(float((good >= threshold).mean()))
        overlaps.append(float(np.mean([(region >= threshold).mean() for region in regions])))
    area = 0.0
    for (x0, x1), (y0, y1) in zip(pairwise(rates), pairwise(overlaps), strict=True):
        if x0 >= FPR_LIMIT or x1 == x0:
            continue
        end = min(x1, FPR_LIMIT)
        at_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + at_end) / 2
    return area / FPR_LIMIT


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_aupro_agrees_with_a_sweep_over_all_thresholds(seed: int, ties: bool) -> None:
    pixels = random_pixels(seed, ties=ties)
    assert value(Aupro(), of_pixels(pixels)) == pytest.approx(aupro_by_sweep(pixels), abs=1e-4)


def test_aupro_by_hand() -> None:
    # Ten good pixels 0.00 … 0.09 and two regions: one pixel at 1 (found at once), one at 0.085, above all
    # good ones but 0.09. The overlap is 1/2 up to the rate 0.1, then 1 from there to 0.3, but rates are joined
    # by lines: 0.09 makes (0.1, 1/2), 0.085 makes (0.1, 1).
    values = grid([[1.0, 0.00, 0.01, 0.02, 0.03, 0.04], [0.05, 0.06, 0.07, 0.08, 0.09, 0.085]])
    mask = mask_of([[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]])
    result = Aupro()(of_pixels([(values, mask)]))
    assert result.value == pytest.approx((0.1 * 0.5 + 0.2 * 1) / 0.3, abs=1e-4)
    assert result.details == {"regions": 2}


def test_aupro_weighs_every_region_the_same() -> None:
    values, mask = np.zeros((20, 20), np.float32), np.zeros((20, 20), bool)
    mask[:10, :10] = True
    mask[19, 19] = True
    values[:10, :10] = 1  # the large one is found, the single pixel is level with all good ones
    # Until the good pixels' level is reached the overlap is 1/2; then all is found at the rate 1. The line
    # from (0, 1/2) to (1, 1) has reached 1/2 + 0.15 at the rate 0.3: the mean is 1/2 + 0.075.
    assert value(Aupro(), of_pixels([(values, mask)])) == pytest.approx(0.575)


def test_aupro_joins_diagonal_neighbours() -> None:
    mask = mask_of([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    result = Aupro()(of_pixels([(mask.astype(np.float32), mask)]))
    assert result.details == {"regions": 2}
    assert result.value == pytest.approx(1)


def test_aupro_looks_at_defective_images_only() -> None:
    pixels = random_pixels(0)
    loud = (np.full((24, 30), 3.0, np.float32), np.zeros((24, 30), bool))
    assert value(Aupro(), of_pixels([*pixels, loud])) == pytest.approx(value(Aupro(), of_pixels(pixels)), abs=1e-3)
    assert value(PixelAuroc(), of_pixels([*pixels, loud])) < value(PixelAuroc(), of_pixels(pixels)) - 0.05


def test_maps_that_say_nothing() -> None:
    mask = np.zeros((10, 10), bool)
    mask[2:4, 2:4] = True
    flat = of_pixels([(np.full((10, 10), 0.7, np.float32), mask)])
    assert value(PixelAuroc(), flat) == 0.5
    # The line from (0, 0) to (1, 1), up to 0.3: its mean height is 0.15.
    assert value(Aupro(), flat) == pytest.approx(0.15)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_curves_do_not_depend_on_the_maps_unit(scale: float) -> None:
    pixels = random_pixels(1)
    scaled = [((values * scale - 3 * scale).astype(np.float32), mask) for values, mask in pixels]
    for metric in (PixelAuroc(), Aupro()):
        assert value(metric, of_pixels(scaled)) == pytest.approx(value(metric, of_pixels(pixels)), abs=1e-4)


def test_pixel_iou_by_hand() -> None:
    values = grid([[0.9, 0.9, 0.1], [0.1, 0.5, 0.1]])
    crack = (values, mask_of([[1, 0, 0], [1, 0, 0]]))  # found 2 (0.5 itself is not above): 1 common of 3
    dent = (values, mask_of([[1, 1, 0], [0, 0, 0]]))  # 2 common of 2
    other_dent = (values, mask_of([[0, 0, 1], [0, 0, 1]]))  # 0 common of 4
    good = (grid([[1.0, 1.0]]), mask_of([[0, 0]]))  # false alarms on good images do not count here
    results = of_pixels([crack, dent, other_dent, good], kinds=["crack", "dent", "dent", "good"])
    result = PixelIoU()(results)
    assert result.value == pytest.approx((1 + 2 + 0) / (3 + 2 + 4))
    assert result.details == {"crack": pytest.approx(1 / 3), "dent": pytest.approx(2 / 6)}


INSIDE = np.pad(np.ones((16, 20), bool), ((4, 4), (6, 4)))


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_good_pixels_that_do_not_count_are_not_judged(metric: Metric) -> None:
    pixels = [(values, mask & INSIDE) for values, mask in random_pixels(3)]
    results = replace(of_pixels(pixels), counting=lambda _: INSIDE)
    cut = of_pixels([(values[4:-4, 6:-4], mask[4:-4, 6:-4]) for values, mask in pixels])
    assert value(metric, results) == pytest.approx(value(metric, cut), abs=1e-4)
    assert resampled(metric, results, [[1] * 6])[0] == pytest.approx(value(metric, cut), abs=1e-3)


def test_what_is_marked_where_nothing_counts_is_missed() -> None:
    pixels = random_pixels(3)
    results = replace(of_pixels(pixels), counting=lambda _: INSIDE)
    sees = np.array([np.where(INSIDE, values, -np.inf) for values, _ in pixels])
    masks = np.array([mask for _, mask in pixels])
    judged = masks | INSIDE
    assert (masks & ~INSIDE).any()
    by_sklearn = roc_auc_score(masks[judged], np.nan_to_num(sees[judged], neginf=-99))
    assert value(PixelAuroc(), results) == pytest.approx(by_sklearn, abs=1e-4)
    found, defective = sees > 0.5, masks.any(axis=(1, 2))[:, None, None]
    expected = (found & masks).sum() / ((found | masks) & defective).sum()
    assert value(PixelIoU(), results) == pytest.approx(expected)


def test_pixel_iou_needs_a_threshold() -> None:
    assert PixelIoU()(of_pixels(random_pixels(0), threshold=None)).why_undefined == "the run has no pixel threshold"


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixel_metrics_need_maps_and_masks(metric: Metric) -> None:
    assert metric(of_scores([1], [2])) == MetricValue(None, "the method gives no maps")
    good = of_pixels([(grid([[1.0]]), mask_of([[0]]))])
    assert metric(good) == MetricValue(None, "no anomalous sample of the test split has a mask")


@pytest.mark.parametrize("metric", [PixelAuroc(), Aupro()])
def test_curves_need_good_pixels(metric: Metric) -> None:
    result = metric(of_pixels([(grid([[1.0, 2.0]]), mask_of([[1, 1]]))]))
    assert result == MetricValue(None, "the masks leave no good or no anomalous pixel")


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_masks_that_are_all_empty_are_explained(metric: Metric) -> None:
    """A mask file is there, but marks nothing."""
    pixels = of_pixels([(grid([[1.0, 2.0]]), mask_of([[0, 0]]))])
    results = replace(pixels, anomalous=np.array([True]), kinds=("crack",), has_masks=True)
    result = metric(results)
    assert result.value is None
    assert result.why_undefined
    assert np.isnan(resampled(metric, results, [[1], [2]])).all()


# Resamples


def drawn_scores(results: LabelledResults, weights: NDArray[np.int64]) -> LabelledResults:
    rows = np.repeat(np.arange(len(weights)), weights)
    kinds = tuple(results.kinds[row] for row in rows)
    return replace(results, scores=results.scores[rows], anomalous=results.anomalous[rows], kinds=kinds)


def drawn_pixels(pixels: Pixels, weights: NDArray[np.int64]) -> LabelledResults:
    return of_pixels([pixels[row] for row in np.repeat(np.arange(len(weights)), weights)])


def enlarged_pixels(seed: int) -> tuple[Pixels, NDArray[np.float32]]:
    """Maps enlarged eightfold, as real ones are, and the native ones; most native values are exactly 0."""
    rng = np.random.default_rng(seed)
    native = np.maximum(0, rng.normal(-1, 1, (7, 12, 15)))
    masks = np.zeros((7, 96, 120), bool)
    for index in range(5):
        top, left = rng.integers(0, 9, 2)
        native[index, top : top + 3, left : left + 3] += rng.exponential(2)
        masks[index, 8 * top : 8 * top + 24, 8 * left : 8 * left + 24] = True
    maps = native.astype(np.float32)
    return [(enlarge(one, (96, 120)), mask) for one, mask in zip(maps, masks, strict=True)], maps


def weights_by_chance(count: int, resamples: int, seed: int = 0) -> NDArray[np.int64]:
    return np.random.default_rng(seed).multinomial(count, [1 / count] * count, size=resamples)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=12))
def test_image_resamples_are_the_metric_of_the_drawn_images(samples: list[tuple[int, bool, int]]) -> None:
    """Few distinct scores: most are ties. Some draws lack a class, and some draw nothing."""
    scores, anomalous, weights = (np.array(column) for column in zip(*samples, strict=True))
    results = replace(of_scores(scores.tolist(), []), anomalous=anomalous, kinds=("any",) * len(samples))
    once = np.ones_like(weights)
    for metric in IMAGE_METRICS:
        expected = [value_or_nan(metric(drawn_scores(results, row))) for row in (weights, once)]
        assert resampled(metric, results, [weights, once]) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("metric", IMAGE_METRICS)
def test_image_resamples_of_many_images(metric: Metric) -> None:
    rng = np.random.default_rng(5)
    results = of_scores(rng.normal(size=40).tolist(), np.round(rng.normal(1, 1, 60), 1).tolist())
    weights = weights_by_chance(100, 30)
    expected = [value(metric, drawn_scores(results, row)) for row in weights]
    assert resampled(metric, results, weights) == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixel_resamples_are_the_metric_of_the_drawn_images(metric: Metric, ties: bool) -> None:
    pixels = random_pixels(2, ties=ties)
    weights = np.vstack([weights_by_chance(6, 30), np.ones(6, np.int64), [0, 0, 0, 0, 2, 1]])
    expected = [value_or_nan(metric(drawn_pixels(pixels, row))) for row in weights]
    assert np.isnan(expected[-1])  # only good images
    assert resampled(metric, of_pixels(pixels), weights) == pytest.approx(expected, abs=1e-3, nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixel_resamples_of_enlarged_maps(metric: Metric, seed: int) -> None:
    pixels, maps = enlarged_pixels(seed)
    results = replace(of_pixels(pixels), maps=maps)
    weights = np.vstack([np.ones(7, np.int64), weights_by_chance(7, 10, seed)])
    expected = [value(metric, drawn_pixels(pixels, row)) for row in weights]
    found = resampled(metric, results, weights)
    assert value(metric, results) == pytest.approx(expected[0], abs=1e-5)  # native levels and pixel levels
    assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixels_are_walked_once(metric: Metric) -> None:
    results = of_pixels(random_pixels(0))
    walks = []

    def counted() -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        walks.append(1)
        return results.pixels()

    value(metric, replace(results, pixels=counted))
    assert len(walks) == 1
    resampled(metric, replace(results, pixels=counted), weights_by_chance(6, 50))
    assert len(walks) == 2


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_a_defect_without_a_mask_counts_for_nothing_however_often_it_is_drawn(metric: Metric) -> None:
    pixels = random_pixels(3)
    whole = of_pixels(pixels)
    lacking = replace(whole, pixels=lambda: (item for item in whole.pixels() if item[0] != 1))
    found = resampled(metric, lacking, [[1, 1, 1, 1, 1, 1], [1, 5, 1, 1, 1, 1], [1, 0, 1, 1, 1, 1]])
    assert found == pytest.approx([value(metric, lacking)] * 3, abs=1e-3)


@pytest.mark.parametrize("metric", [*IMAGE_METRICS, *PIXEL_METRICS])
def test_chunks_of_resamples_change_nothing(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    results, weights = of_pixels(random_pixels(4)), weights_by_chance(6, 23)
    together = resampled(metric, results, weights)
    assert resampled(metric, results, weights[:0]).shape == (0,)
    monkeypatch.setattr(curves, "VALUES_AT_ONCE", 5 * COARSE)
    assert resampled(metric, results, weights) == pytest.approx(together, nan_ok=True)
    monkeypatch.setattr(curves, "VALUES_AT_ONCE", 1)
    assert resampled(metric, results, weights) == pytest.approx(together, nan_ok=True)


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixel_resamples_are_undefined_where_the_metric_is(metric: Metric) -> None:
    good = of_pixels([(grid([[1.0]]), mask_of([[0]]))])
    for results in (of_scores([1], []), good):
        assert np.isnan(resampled(metric, results, [[1], [2]])).all()
    without_threshold = of_pixels(random_pixels(0), threshold=None)
    assert np.isnan(resampled(PixelIoU(), without_threshold, [[1] * 6])).all()


@pytest.mark.parametrize("metric", [PixelAuroc(), Aupro()])
def test_resamples_without_good_pixels_are_undefined(metric: Metric) -> None:
    full = (grid([[1.0, 2.0]]), mask_of([[1, 1]]))
    part = (grid([[1.0, 2.0]]), mask_of([[0, 1]]))
    found = resampled(metric, of_pixels([full, part]), [[3, 0], [0, 1], [0, 0]])
    assert np.isnan(found).tolist() == [True, False, True]


def test_values_just_beyond_the_native_range_get_its_ends() -> None:
    maps = np.array([[[0.1, 0.7]]], np.float32)
    beyond = np.array([np.nextafter(maps.min(), np.float32(-1)), np.nextafter(maps.max(), np.float32(1))])
    assert Levels(float(maps.min()), float(maps.max())).of(beyond).tolist() == [0, STEPS - 1]
    coarse = Levels(float(maps.min()), float(maps.max())).coarse(maps)
    assert coarse.of(beyond).tolist() == [0, coarse.count - 1]


@pytest.mark.parametrize("name", ["crowded", "few", "constant", "outlier"])
def test_coarse_levels_keep_the_order_and_resolve_where_values_crowd(name: str) -> None:
    rng = np.random.default_rng(0)
    maps = {
        "crowded": rng.normal(size=(20, 40, 40)) ** 3,
        "few": rng.integers(0, 2, (20, 40, 40)),
        "constant": np.full((20, 40, 40), 0.7),
        "outlier": np.append(rng.normal(size=31999), 1e3).reshape(20, 40, 40),
    }[name].astype(np.float32)
    levels = Levels(float(maps.min()), float(maps.max())).coarse(maps)
    values = np.sort(maps.ravel())
    found = levels.of(values)
    assert levels.count <= COARSE
    assert (np.diff(found) >= 0).all()
    assert found[0] >= 0
    assert found[-1] < levels.count
    # Steps are never split: a level has its due and what the busiest step adds.
    fine = Levels(float(maps.min()), float(maps.max()))
    assert levels.histogram(found).max() <= maps.size / (COARSE // 2) + fine.histogram(fine.of(maps)).max()
    if name == "few":
        between = np.linspace(0, 1, 1001, dtype=np.float32)
        assert len(np.unique(levels.of(between))) == 1001  # what enlarging makes of them is told apart


# Clips


def of_clips(
    clips: Mapping[str, tuple[Sequence[float], str]], *, threshold: float = 0.5, kinds: Mapping[str, str] | None = None
) -> LabelledResults:
    """Clips by name: their scores, and their frames in letters, "." for a good one; one frame a second."""
    letters = "".join(frames for _, frames in clips.values())
    scores = np.array([score for values, _ in clips.values() for score in values], np.float64)
    assert len(scores) == len(letters)
    return LabelledResults(
        scores=scores,
        anomalous=np.array([letter != "." for letter in letters]),
        kinds=tuple("good" if letter == "." else (kinds or {}).get(letter, "stop") for letter in letters),
        threshold=threshold,
        pixel_threshold=None,
        maps=None,
        has_masks=False,
        pixels=lambda: iter(()),
        clips=tuple(name for name, (values, _) in clips.items() for _ in values),
        times_s=np.array([float(second) for values, _ in clips.values() for second in range(len(values))]),
        alarms=scores > threshold,
    )


PRESS = {
    "a": ([0.1, 0.9, 0.8, 0.2], ".ss."),
    "b": ([0.6, 0.2, 0.3, 0.4, 0.9], "..sj."),  # runs into one another: one event, of the kind of its first frame
    "c": ([0.1, 0.7, 0.7, 0.1], "...."),
    "d": ([0.4, 0.6], "jj"),
}
KINDS = {"s": "stop", "j": "jerk"}


def test_frame_auroc_pools_all_frames_and_tells_each_clips_own() -> None:
    results = of_clips(PRESS, kinds=KINDS)
    result = FrameAuroc()(results)
    assert result.value == pytest.approx(roc_auc_score(results.anomalous, results.scores))
    # c has no anomalous frame and d no good one. In b 0.3 and 0.4 each beat 0.2 alone, of three.
    assert result.details["a"] == 1.0
    assert result.details["b"] == pytest.approx(1 / 3)
    assert result.details["macro"] == pytest.approx(2 / 3)
    assert set(result.details) == {"a", "b", "macro", "kind jerk", "kind stop"}
    stop = (np.array(results.kinds) == "stop") | ~results.anomalous
    expected = roc_auc_score(results.anomalous[stop], results.scores[stop])
    assert result.details["kind stop"] == pytest.approx(expected)


FRAMES = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.booleans()), min_size=2, max_size=8)


@given(st.lists(FRAMES, min_size=1, max_size=5))
def test_frame_metrics_agree_with_sklearn(clips: list[list[tuple[float, bool]]]) -> None:
    results = of_clips(
        {
            str(number): ([score for score, _ in frames], "".join("s" if odd else "." for _, odd in frames))
            for number, frames in enumerate(clips)
        }
    )
    found, precision = FrameAuroc()(results), FrameAveragePrecision()(results)
    if results.anomalous.all() or not results.anomalous.any():
        assert found.value is None
        assert found.why_undefined == precision.why_undefined
        assert str(found.why_undefined).endswith("frame")
        return
    assert found.value == pytest.approx(roc_auc_score(results.anomalous, results.scores))
    assert precision.value == pytest.approx(average_precision_score(results.anomalous, results.scores))


def test_events_are_counted_by_hand() -> None:
    results = of_clips(PRESS, kinds=KINDS)
    assert [list(event) for event in results.spans(results.anomalous)] == [[1, 2], [6, 7], [13, 14]]
    recall = CaughtAtPromise()(results)
    # a's is found, b's lies between two alarms, d's is found in its second frame.
    assert recall.value == pytest.approx(2 / 3)
    assert recall.details == {"stop": 0.5, "jerk": 1.0}
    alarms = FalseAlarmsPerHour()(results)
    # b's two and c's one; the normal frames of a, b and c last 2, 3 and 4 seconds.
    assert alarms.details == {"false_alarms": 3.0, "normal_hours": pytest.approx(9 / 3600)}
    assert alarms.value == pytest.approx(3 / 9 * 3600)
    # Where the clips' ends are known, the last frames of a and c last half a second, and others as before.
    shorter = FalseAlarmsPerHour()(replace(results, ends_s={"a": 3.5, "b": 4.25, "c": 3.5}))
    assert shorter.details["normal_hours"] == pytest.approx(7.25 / 3600)


def test_an_alarm_that_outlasts_its_event_is_not_false_and_one_that_ends_before_it_is() -> None:
    late = of_clips({"x": ([0.1, 0.1, 0.9, 0.9, 0.9, 0.1], "..ss..")})
    assert value(FalseAlarmsPerHour(), late) == 0
    assert value(CaughtAtPromise(), late) == 1
    early = of_clips({"x": ([0.9, 0.9, 0.1, 0.1, 0.1, 0.1], "..ss..")})
    assert value(FalseAlarmsPerHour(), early) == pytest.approx(1 / 4 * 3600)
    assert value(CaughtAtPromise(), early) == 0


def test_an_event_does_not_run_on_into_the_next_clip() -> None:
    results = of_clips({"x": ([0.1, 0.9], ".s"), "y": ([0.1, 0.9], "s.")})
    assert value(CaughtAtPromise(), results) == 0.5
    # x's last frame and y's last one are two alarms.
    assert FalseAlarmsPerHour()(results).details["false_alarms"] == 1


@pytest.mark.parametrize("metric", CLIP_METRICS, ids=lambda metric: type(metric).__name__)
def test_metrics_of_clips_are_undefined_for_stills_and_say_so(metric: Metric) -> None:
    results = of_scores([0.1, 0.2], [0.9])
    result = metric(results)
    assert result.value is None
    assert "still images, no clips" in str(result.why_undefined)
    assert np.isnan(resampled(metric, results, [[1, 1, 1]])).all()


@pytest.mark.parametrize("metric", IMAGE_METRICS, ids=lambda metric: type(metric).__name__)
def test_metrics_of_images_are_undefined_for_clips_and_name_what_there_is(metric: Metric) -> None:
    results = of_clips(PRESS)
    result = metric(results)
    assert result.value is None
    assert "for them there is" in str(result.why_undefined)
    assert np.isnan(resampled(metric, results, np.ones((1, 15), np.int64))).all()


def test_clips_without_one_sort_are_undefined_with_the_reason() -> None:
    good, bad = of_clips({"c": PRESS["c"]}), of_clips({"d": PRESS["d"]})
    assert FrameAuroc()(good).why_undefined == "the test split has no anomalous frame"
    assert FrameAuroc()(bad).why_undefined == "the test split has no good frame"
    assert CaughtAtPromise()(good).why_undefined == "the test split has no anomalous frame"
    assert value(CaughtAtPromise(), bad) == 1
    assert "no normal frame" in str(FalseAlarmsPerHour()(bad).why_undefined)


@pytest.mark.parametrize("metric", CLIP_METRICS, ids=lambda metric: type(metric).__name__)
def test_resamples_of_clips_are_those_of_clips_drawn_so_often(metric: Metric) -> None:
    whole = of_clips(PRESS)
    twice = of_clips({"a": PRESS["a"], "b": PRESS["b"], "again": PRESS["b"], "c": PRESS["c"], "d": PRESS["d"]})
    weights = [[1] * 15, [1] * 4 + [2] * 5 + [1] * 6]
    assert resampled(metric, whole, weights) == pytest.approx([value(metric, whole), value(metric, twice)])
