"""Checks that every plugin must pass; built-ins and third parties run the same ones.

    from adkit.testing import conformance

    def test_my_method():
        conformance.check_method(MyMethod)

Each check raises AssertionError with a sentence that says what the plugin did and what was expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from adkit.errors import DatasetError
from adkit.frames import resize
from adkit.interfaces import Dataset, Evidence, Method, Metric, Scorer, Silent
from adkit.options import options_of, parse_options
from adkit.testing.parts import draw_part
from adkit.types import Batch, Prediction

TRAINING_FRAMES = 8
TOLERANCE = 1e-3
"""Two ways to the same result may differ by this share of the results' range."""


class FrameBatches:
    """Batches of synthetic parts in memory, walkable again and again."""

    def __init__(self, frames: torch.Tensor, batch_size: int = 3) -> None:
        self.frames = frames  # float32 (N, T, 3, H, W)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Batch]:
        for first in range(0, len(self.frames), self.batch_size):
            yield self.batch(range(first, min(first + self.batch_size, len(self.frames))))

    def batch(self, rows: range) -> Batch:
        """The batch of these rows."""
        names = tuple(f"part/{row}" for row in rows)
        return Batch(self.frames[rows.start : rows.stop], names, names)


def synthetic_frames(count: int, size: tuple[int, int], window: int = 1, seed: int = 0) -> torch.Tensor:
    """float32 (count, window, 3, H, W): normal synthetic washers."""
    frames = []
    for number in range(count):
        picture, _ = draw_part("washer", np.random.default_rng([seed, number]))
        frames.append(torch.from_numpy(resize(picture, size)).permute(2, 0, 1).float() / 255)
    return torch.stack(frames).unsqueeze(1).repeat(1, window, 1, 1, 1)


def check_method(method_class: type[Method[Any]], options: Mapping[str, Any] | None = None) -> None:
    """Fits the method on a few synthetic parts and checks everything that the core relies on."""
    model = options_of(method_class)
    for name, field in model.model_fields.items():
        assert not field.is_required(), f"option {name} has no default"
        assert field.description, f"option {name} has no description: adkit show needs one"
    parsed = parse_options(model, options or {}, method_class.__name__)

    method = method_class(parsed, seed=3)
    height, width = method.frame_size
    assert min(height, width) > 0, f"frame_size is {method.frame_size}"
    assert method.window >= 1, f"window is {method.window}"
    frames = synthetic_frames(TRAINING_FRAMES, method.frame_size, method.window)
    batches = FrameBatches(frames)
    method.fit(batches, Silent())
    batch = batches.batch(range(3))
    prediction = method.predict(batch)
    _check_prediction(prediction, 3, method_class)

    singles = [method.predict(batches.batch(range(row, row + 1))) for row in range(3)]
    _check_same(prediction, _joined(singles), "one by one", "in a batch")
    _check_same(prediction, method.predict(batch), "again", "the first time")

    again = method_class(parsed, seed=3)
    again.fit(batches, Silent())
    _check_same(prediction, again.predict(batch), "fitted again with the same seed", "fitted once")

    state = method.state()
    for name, value in state.items():
        assert isinstance(value, torch.Tensor), f"state()[{name!r}] is a {type(value).__name__}, not a tensor"
    restored = method_class(parsed, seed=3)
    restored.load_state({name: value.clone() for name, value in state.items()})
    _check_same(prediction, restored.predict(batch), "restored from its state", "fitted")

    _check_calibration(method)
    constant = Batch(torch.full_like(frames[:1], 0.5), ("constant",), ("constant",))
    _check_prediction(method.predict(constant), 1, method_class)


def check_dataset(dataset: Dataset) -> None:
    """Checks the samples of both splits."""
    assert dataset.spec, "a dataset needs a spec"
    seen: set[str] = set()
    train, test = dataset.samples("train"), dataset.samples("test")
    assert train, f"{dataset.spec} has no training sample"
    for sample in [*train, *test]:
        assert sample.id not in seen, f"two samples have the id {sample.id}"
        seen.add(sample.id)
        assert sample.frame.path.is_file(), f"{sample.id} names a file that is not there: {sample.frame}"
        assert sample.mask is None or sample.mask.path.is_file(), f"{sample.id} names a mask that is not there"
        assert not (sample.mask and not sample.anomalous), f"{sample.id} is not anomalous, yet has a mask"
    assert not any(sample.anomalous for sample in train), f"{dataset.spec} trains on anomalous samples"
    assert [sample.id for sample in dataset.samples("train")] == [sample.id for sample in train], "order changes"
    try:
        type(dataset).select("no-such-category/of-any-dataset", None)
    except DatasetError:
        return
    raise AssertionError("select() of a category that does not exist must raise DatasetError")


def check_scorer(scorer_class: type[Scorer[Any]]) -> None:
    """Checks shape, type, order of samples and direction."""
    scorer = scorer_class(parse_options(options_of(scorer_class), {}, scorer_class.__name__))
    maps = np.random.default_rng(0).random((5, 7, 9), dtype=np.float32)
    scores = scorer(maps)
    assert scores.shape == (5,), f"5 maps gave scores of shape {scores.shape}"
    assert scores.dtype == np.float64, f"scores are {scores.dtype}, expected float64"
    assert np.allclose(scorer(maps[::-1]), scores[::-1]), "a sample's score depends on the others"
    assert (scorer(maps + 1) > scores).all(), "a map that is higher everywhere must score higher"
    assert scorer(maps[:, :1, :1]).shape == (5,), "maps of one pixel must work"
    assert scorer(maps[:0]).shape == (0,), "no maps must give no scores"


def check_metric(metric_class: type[Metric]) -> None:
    """Checks that a perfect result is judged better than a wrong one, and undefined cases are explained."""
    metric = metric_class()
    perfect, wrong = metric(_evidence(perfect=True)), metric(_evidence(perfect=False))
    assert perfect.value is not None, f"a plain case is undefined: {perfect.why_undefined}"
    assert wrong.value is not None, f"a plain case is undefined: {wrong.why_undefined}"
    assert perfect.value > wrong.value, f"a perfect result gives {perfect.value}, a wrong one {wrong.value}"
    all_good = metric(_evidence(perfect=True, anomalous=False))
    assert all_good.value is None or np.isfinite(all_good.value), f"without anomalies: {all_good.value}"
    assert all_good.value is not None or all_good.why_undefined, "an undefined value must say why"


def _check_prediction(prediction: Prediction, count: int, method_class: type[Method[Any]]) -> None:
    assert isinstance(prediction, Prediction), f"predict() gave a {type(prediction).__name__}"
    assert len(prediction) == count, f"predict() answered for {len(prediction)} of {count} samples"
    for name in ("maps", "scores", "images"):
        tensor = getattr(prediction, name)
        assert tensor is None or bool(torch.isfinite(tensor).all()), f"predict() gave {name} that are not finite"
    if method_class.default_scorer is None:
        assert prediction.scores is not None, "a method without a default_scorer must give scores"
    else:
        assert prediction.maps is not None, "a method with a default_scorer must give maps"


def _check_calibration(method: Method[Any]) -> None:
    calibration = method.calibration()
    if not method.calibrates_itself():
        return
    assert calibration is not None, "calibration() is there but gave None after fit()"
    assert len(calibration) == TRAINING_FRAMES, f"calibration() gave {len(calibration)} of {TRAINING_FRAMES} results"
    _check_prediction(calibration, TRAINING_FRAMES, type(method))


def _check_same(expected: Prediction, found: Prediction, how: str, otherwise: str) -> None:
    for name in ("maps", "scores"):
        one, other = getattr(expected, name), getattr(found, name)
        assert (one is None) == (other is None), f"{name} are there only {how} or only {otherwise}"
        if one is not None:
            span = float(one.max() - one.min()) or 1.0
            difference = float((one - other).abs().max())
            assert difference <= TOLERANCE * span, f"{name} {how} differ from {name} {otherwise} by {difference:.3g}"


def _joined(parts: list[Prediction]) -> Prediction:
    def join(name: str) -> torch.Tensor | None:
        tensors = [getattr(part, name) for part in parts]
        return None if tensors[0] is None else torch.cat(tensors)

    return Prediction(join("maps"), join("scores"), join("images"))


def _evidence(*, perfect: bool, anomalous: bool = True) -> Evidence:
    labels = np.array([False, False, False, anomalous, anomalous, anomalous])
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    mask = np.zeros((8, 8), bool)
    mask[2:5, 2:6] = True

    def pixels() -> Iterator[tuple[int, np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        for index, label in enumerate(labels):
            truth = mask if label else np.zeros_like(mask)
            values = truth if perfect else ~truth
            yield index, values.astype(np.float32), truth

    return Evidence(
        scores=scores if perfect else scores[::-1].copy(),
        anomalous=labels,
        kinds=tuple("crack" if label else "good" for label in labels),
        threshold=0.5,
        pixel_threshold=0.5,
        has_maps=True,
        has_masks=anomalous,
        pixels=pixels,
    )
