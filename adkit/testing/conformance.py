"""Checks that every plugin must pass; built-ins and third parties run the same ones.

    from adkit.testing import conformance

    def test_my_method():
        conformance.check_method(MyMethod)

Each check raises AssertionError with a sentence that says what the plugin did and what was expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from adkit.errors import DatasetError
from adkit.frames import resize
from adkit.interfaces import Dataset, Evidence, Method, Metric, Scorer, Silent
from adkit.options import options_of, parse_options
from adkit.registry import Registry
from adkit.runs import Run
from adkit.testing.parts import GOOD, draw_part
from adkit.types import Batch, FrameRef, Prediction, Sample, Split
from adkit.workflows import FitRequest, fit

TRAINING_FRAMES = 8
TOLERANCE = 1e-3
"""Two ways to the same result may differ by this share of the results' range."""
RESAMPLING_TOLERANCE = 2e-2
"""A resampled metric may differ by this much from the metric: it may count pixels at fewer levels."""


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


def synthetic_frames(
    count: int, size: tuple[int, int], window: int = 1, seed: int = 0, part: str = "washer"
) -> torch.Tensor:
    """float32 (count, window, 3, H, W): normal synthetic parts."""
    frames = []
    for number in range(count):
        picture, _ = draw_part(part, np.random.default_rng([seed, number]))
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


def check_no_leak(method: str, registry: Registry, folder: Path, options: Mapping[str, Any] | None = None) -> None:
    """Fits the method thrice: as usual, with a test split whose truth is upside down, and with none to be had.

    State, results on normal data, thresholds and record must be the same each time, to the last bit: whatever
    changes came from the test split. `folder` takes the synthetic parts and the runs.
    """
    least = registry.methods.get(method).load().least_samples
    dataset = _Parts(folder / "parts", max(TRAINING_FRAMES, 2 * least))

    def fitted(name: str, seen: Dataset) -> Run:
        request = FitRequest(method, seen, folder / name, options or {}, seed=3, device="cpu")
        return fit(request, registry)

    plain = fitted("plain", dataset)
    _check_same_run(plain, fitted("upside_down", _UpsideDown(dataset)), "the truth of the test split is upside down")
    locked = _Locked(dataset)
    _check_same_run(plain, fitted("locked", locked), "there is no test split")
    assert not locked.asked, "fitting asked for the test split"


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
    """Checks that a perfect result is judged better than a wrong one, undefined cases, and resamples if any."""
    metric = metric_class()
    perfect, wrong = metric(_evidence([True] * 6)), metric(_evidence([False] * 6))
    assert perfect.value is not None, f"a plain case is undefined: {perfect.why_undefined}"
    assert wrong.value is not None, f"a plain case is undefined: {wrong.why_undefined}"
    assert perfect.value > wrong.value, f"a perfect result gives {perfect.value}, a wrong one {wrong.value}"
    all_good = metric(_evidence([True] * 6, anomalous=False))
    assert all_good.value is None or np.isfinite(all_good.value), f"without anomalies: {all_good.value}"
    assert all_good.value is not None or all_good.why_undefined, "an undefined value must say why"
    _check_resampled(metric, _evidence([True, False, True, True, False, True]))


def _check_resampled(metric: Metric, evidence: Evidence) -> None:
    count = len(evidence.scores)
    once = np.ones(count, np.int64)
    by_chance = np.random.default_rng(0).multinomial(count, [1 / count] * count, size=20)
    only_good = np.where(evidence.anomalous, 0, once)
    weights = np.vstack([once, once + np.eye(count, dtype=np.int64), by_chance, only_good])
    values = metric.resampled(evidence, weights)
    if values is None:
        return
    assert values.shape == (len(weights),), f"{len(weights)} resamples gave values of shape {values.shape}"
    assert values.dtype == np.float64, f"resampled values are {values.dtype}, expected float64"
    for drawn, found in zip(weights, values, strict=True):
        value = metric(_drawn(evidence, np.repeat(np.arange(count), drawn))).value
        expected = np.nan if value is None else value
        assert np.isclose(found, expected, rtol=0, atol=RESAMPLING_TOLERANCE, equal_nan=True), (
            f"samples drawn {drawn.tolist()} times give {found} resampled, but {expected} as evidence of their own"
        )


class _Parts(Dataset):
    """Drawn washers: `count` to learn from, two good and two scratched ones to test with."""

    spec = "parts:washer"

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._samples: dict[Split, list[Sample]] = {"train": [], "test": []}
        for number in range(count + 4):
            split: Split = "train" if number < count else "test"
            kind = "scratch" if number >= count + 2 else GOOD
            path, mask_path = folder / f"{number}.png", folder / f"{number}_mask.png"
            defect = None if kind == GOOD else kind
            picture, mask = draw_part("washer", np.random.default_rng([0, number]), defect)
            Image.fromarray(picture).save(path)
            Image.fromarray(mask).save(mask_path)
            truth = Sample.still(f"{split}/{number}", path, anomalous=defect is not None, kind=kind)
            self._samples[split].append(replace(truth, mask=FrameRef(mask_path)) if defect else truth)

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Nobody names it."""
        raise DatasetError(f"there is no part {selection!r}", hint="this dataset is for checks only")

    def samples(self, split: Split) -> list[Sample]:
        """The parts of one split."""
        return list(self._samples[split])


class _UpsideDown(_Parts):
    """The same files; in the test split good parts are called scratched and masked, and the scratched ones good."""

    def __init__(self, dataset: _Parts) -> None:
        good, scratched = dataset.samples("test")[:2], dataset.samples("test")[2:]
        swapped = [
            replace(sample, anomalous=other.anomalous, kind=other.kind, mask=other.mask)
            for sample, other in zip([*good, *scratched], [*scratched, *good], strict=True)
        ]
        self._samples = {"train": dataset.samples("train"), "test": swapped}


class _Locked(_Parts):
    """The same files to learn from; asking for the test split fails, and is remembered if that goes unnoticed."""

    def __init__(self, dataset: _Parts) -> None:
        self._samples = {"train": dataset.samples("train"), "test": []}
        self.asked = False

    def samples(self, split: Split) -> list[Sample]:
        """The parts to learn from only."""
        if split == "test":
            self.asked = True
            raise AssertionError("fitting asked for the test split")
        return super().samples(split)


def _check_same_run(expected: Run, found: Run, when: str) -> None:
    was, now = expected.state(), found.state()
    assert was.keys() == now.keys(), f"the state holds {sorted(now)} when {when}, else {sorted(was)}"
    for name, tensor in was.items():
        assert tensor.dtype == now[name].dtype, f"state {name!r} is {now[name].dtype} when {when}"
        assert torch.equal(tensor, now[name]), f"state {name!r} differs when {when}"
    before, after = expected.calibration(), found.calibration()
    assert (before.ids, before.clips) == (after.ids, after.clips), f"other normal data calibrate when {when}"
    for part in ("maps", "scores"):
        same = np.array_equal(getattr(before, part), getattr(after, part))
        assert same, f"the {part} of normal data differ when {when}"
    records = [
        run.record.model_dump(exclude={"id": True, "created": True, "timings_s": True, "calibration": {"created"}})
        for run in (expected, found)
    ]
    for field in records[0]:
        one, other = (record[field] for record in records)
        assert one == other, f"{field} of the run is {other!r} when {when}, else {one!r}"


def _check_prediction(prediction: Prediction, count: int, method_class: type[Method[Any]]) -> None:
    _check_answer(prediction, count, method_class)
    if method_class.reconstructs:
        assert prediction.images is not None, "a method that reconstructs must give images"
    else:
        assert prediction.images is None, "a method that gives images must say so: reconstructs = True"


def _check_answer(prediction: Prediction, count: int, method_class: type[Method[Any]]) -> None:
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
    _check_answer(calibration, TRAINING_FRAMES, type(method))  # images may be missing: nobody looks at them


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


def _evidence(right: Sequence[bool], *, anomalous: bool = True) -> Evidence:
    """Six samples, the last three anomalous; those that are not judged right have all upside down."""
    labels = np.array([False, False, False, anomalous, anomalous, anomalous])
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    masks = np.zeros((6, 8, 8), bool)
    masks[labels, 2:5, 2:6] = True
    kept = np.array(right)
    maps = np.where(kept[:, None, None], masks, ~masks).astype(np.float32)

    def pixels() -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        for index in range(6):
            yield index, maps[index], masks[index]

    return Evidence(
        scores=np.where(kept, scores, 1 - scores),
        anomalous=labels,
        kinds=tuple("crack" if label else "good" for label in labels),
        threshold=0.5,
        pixel_threshold=0.5,
        maps=maps,
        has_masks=anomalous,
        pixels=pixels,
    )


def _drawn(evidence: Evidence, rows: NDArray[np.int64]) -> Evidence:
    """The evidence in which these samples are there, some of them more than once."""
    known = {index: (values, mask) for index, values, mask in evidence.pixels()}

    def pixels() -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        for index, row in enumerate(rows):
            if int(row) in known:
                yield index, *known[int(row)]

    return replace(
        evidence,
        scores=evidence.scores[rows],
        anomalous=evidence.anomalous[rows],
        kinds=tuple(evidence.kinds[row] for row in rows),
        maps=None if evidence.maps is None else evidence.maps[rows],
        has_masks=bool(evidence.anomalous[rows].any()),
        pixels=pixels,
    )
