from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
import pytest
from adkit_metrics.images import AveragePrecision, ImageAuroc, OracleF1
from adkit_metrics.pixels import FPR_LIMIT, Aupro, PixelAuroc, PixelIoU
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from adkit.interfaces import Evidence, Metric, MetricValue

Pixels = Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]]


def of_scores(good: Sequence[float], anomalous: Sequence[float], kinds: Sequence[str] | None = None) -> Evidence:
    return Evidence(
        scores=np.array([*good, *anomalous], np.float64),
        anomalous=np.array([False] * len(good) + [True] * len(anomalous)),
        kinds=("good",) * len(good) + tuple(kinds or ["crack"] * len(anomalous)),
        threshold=0.5,
        pixel_threshold=None,
        has_maps=False,
        has_masks=False,
        pixels=lambda: iter(()),
    )


def of_pixels(pixels: Pixels, *, kinds: Sequence[str] | None = None, threshold: float | None = 0.5) -> Evidence:
    def walk() -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        for index, (values, mask) in enumerate(pixels):
            yield index, values.astype(np.float32), mask

    anomalous = np.array([bool(mask.any()) for _, mask in pixels])
    return Evidence(
        scores=np.array([float(values.max()) for values, _ in pixels]),
        anomalous=anomalous,
        kinds=tuple(kinds or ["crack" if label else "good" for label in anomalous]),
        threshold=0.5,
        pixel_threshold=threshold,
        has_maps=True,
        has_masks=bool(anomalous.any()),
        pixels=walk,
    )


def grid(rows: list[list[float]]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def mask_of(rows: list[list[int]]) -> NDArray[np.bool_]:
    return np.array(rows, bool)


def value(metric: Metric, evidence: Evidence) -> float:
    result = metric(evidence)
    assert result.value is not None, result.why_undefined
    return result.value


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
    evidence = of_scores(good.tolist(), anomalous.tolist())
    assert value(ImageAuroc(), evidence) == pytest.approx(roc_auc_score(labels, scores))
    assert value(AveragePrecision(), evidence) == pytest.approx(average_precision_score(labels, scores))
    best = max(f1_score(labels, scores >= threshold) for threshold in scores)
    assert value(OracleF1(), evidence) == pytest.approx(best)


@pytest.mark.parametrize("metric", [ImageAuroc(), AveragePrecision(), OracleF1()])
def test_image_metrics_need_both_classes(metric: Metric) -> None:
    assert metric(of_scores([1, 2], [])) == MetricValue(None, "the test split has no anomalous image")
    assert metric(of_scores([], [1, 2])) == MetricValue(None, "the test split has no good image")


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
    evidence = of_pixels([crack, dent, other_dent, good], kinds=["crack", "dent", "dent", "good"])
    result = PixelIoU()(evidence)
    assert result.value == pytest.approx((1 + 2 + 0) / (3 + 2 + 4))
    assert result.details == {"crack": pytest.approx(1 / 3), "dent": pytest.approx(2 / 6)}


def test_pixel_iou_needs_a_threshold() -> None:
    assert PixelIoU()(of_pixels(random_pixels(0), threshold=None)).why_undefined == "the run has no pixel threshold"


@pytest.mark.parametrize("metric", [PixelAuroc(), Aupro(), PixelIoU()])
def test_pixel_metrics_need_maps_and_masks(metric: Metric) -> None:
    assert metric(of_scores([1], [2])) == MetricValue(None, "the method gives no maps")
    good = of_pixels([(grid([[1.0]]), mask_of([[0]]))])
    assert metric(good) == MetricValue(None, "no anomalous sample of the test split has a mask")


@pytest.mark.parametrize("metric", [PixelAuroc(), Aupro()])
def test_curves_need_good_pixels(metric: Metric) -> None:
    result = metric(of_pixels([(grid([[1.0, 2.0]]), mask_of([[1, 1]]))]))
    assert result == MetricValue(None, "the masks leave no good or no anomalous pixel")


@pytest.mark.parametrize("metric", [PixelAuroc(), Aupro(), PixelIoU()])
def test_masks_that_are_all_empty_are_explained(metric: Metric) -> None:
    """A mask file is there, but marks nothing."""
    pixels = of_pixels([(grid([[1.0, 2.0]]), mask_of([[0, 0]]))])
    evidence = Evidence(
        scores=pixels.scores,
        anomalous=np.array([True]),
        kinds=("crack",),
        threshold=0.5,
        pixel_threshold=0.5,
        has_maps=True,
        has_masks=True,
        pixels=pixels.pixels,
    )
    result = metric(evidence)
    assert result.value is None
    assert result.why_undefined
