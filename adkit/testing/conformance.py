"""Checks that every plugin must pass; built-ins and third parties run the same ones.

    from adkit.testing import conformance

    def test_my_method():
        conformance.check_method(MyMethod)

Each check raises AssertionError with a sentence that says what the plugin did and what was expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from adkit.errors import DatasetError
from adkit.interfaces import Dataset, LabelledResults, Method, Metric, Scorer, Silent, calibrates_itself, sees_motion
from adkit.options import options_of, parse_options
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run
from adkit.synthetic.parts import GOOD, draw_part
from adkit.testing.sameness import check_same, joined
from adkit.testing.streams import check_stream
from adkit.testing.synthetic import CLIP_FRAMES, CLIPS, FrameBatches, moving_frames, synthetic_frames
from adkit.types import Batch, FrameRef, Prediction, Sample, Split
from adkit.workflows.fit import fit

TRAINING_FRAMES = 8
RESAMPLING_TOLERANCE = 2e-2
"""A resampled metric may differ by this much from the metric: it may count pixels at fewer levels."""


def check_method(method_class: type[Method[Any]], options: Mapping[str, Any] | None = None) -> None:
    """Fits the method on a few synthetic parts (or clips) and checks everything that the core relies on."""
    model = options_of(method_class)
    for name, field in model.model_fields.items():
        assert not field.is_required(), f"option {name} has no default"
        assert field.description, f"option {name} has no description: adkit show needs one"
    parsed = parse_options(model, options or {}, method_class.__name__)

    method = method_class(parsed, seed=3)
    height, width = method.frame_size
    assert min(height, width) > 0, f"frame_size is {method.frame_size}"
    assert method.window >= 1, f"window is {method.window}"
    batches = _training_batches(method)
    method.fit(batches, Silent())
    batch = batches.batch(range(3))
    prediction = method.predict(batch)
    _check_prediction(prediction, 3, method)

    singles = [method.predict(batches.batch(range(row, row + 1))) for row in range(3)]
    check_same(prediction, joined(singles), "one by one", "in a batch")
    check_same(prediction, method.predict(batch), "again", "the first time")

    again = method_class(parsed, seed=3)
    again.fit(batches, Silent())
    check_same(prediction, again.predict(batch), "fitted again with the same seed", "fitted once")

    state = method.state()
    for name, value in state.items():
        assert isinstance(value, torch.Tensor), f"state()[{name!r}] is a {type(value).__name__}, not a tensor"
    restored = method_class(parsed, seed=3)
    restored.load_state({name: value.clone() for name, value in state.items()})
    check_same(prediction, restored.predict(batch), "restored from its state", "fitted")

    _check_calibration(method, len(batches))
    moving = moving_frames(method.frame_size).frames[:, 0]
    check_stream(method, (moving[:7], moving[CLIP_FRAMES : CLIP_FRAMES + 4]))
    constant = Batch(torch.full_like(batch.frames[:1], 0.5), ("constant",), ("constant",))
    _check_prediction(method.predict(constant), 1, method)


def _training_batches(method: Method[Any]) -> FrameBatches:
    if sees_motion(type(method)):
        return moving_frames(method.frame_size)
    return FrameBatches(synthetic_frames(TRAINING_FRAMES, method.frame_size, method.window))


def check_no_leak(method: str, registry: Registry, folder: Path, options: Mapping[str, Any] | None = None) -> None:
    """Fits the method thrice: as usual, with a test split whose truth is upside down, and with none to be had.

    State, results on normal data, thresholds and record must be the same each time, to the last bit: whatever
    changes came from the test split. `folder` takes the synthetic parts and the runs.
    """
    method_class = registry.methods.get(method).load()
    if sees_motion(method_class):
        dataset = _Parts(folder / "parts", CLIPS * CLIP_FRAMES, CLIP_FRAMES)
    else:
        dataset = _Parts(folder / "parts", max(TRAINING_FRAMES, 2 * method_class.least_samples))

    def fitted(name: str, seen: Dataset) -> Run:
        settings = FitSettings(method=method, options=options or {}, seed=3, device="cpu")
        return fit(settings, seen, folder / name, registry)

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
    for split in (train, test):
        _check_clips(split)
    assert not any(sample.anomalous for sample in train), f"{dataset.spec} trains on anomalous samples"
    assert [sample.id for sample in dataset.samples("train")] == [sample.id for sample in train], "order changes"
    try:
        type(dataset).select("no-such-category/of-any-dataset", None)
    except DatasetError:
        return
    raise AssertionError("select() of a category that does not exist must raise DatasetError")


def _check_clips(samples: Sequence[Sample]) -> None:
    """The frames of a clip stand together, in the order of their numbers and times: so they are walked once."""
    for clip, members in groupby(samples, key=lambda sample: sample.clip):
        for earlier, later in pairwise(members):
            assert earlier.index < later.index, f"the frames of {clip} are not in order: {later.id}"
            assert earlier.time_s <= later.time_s, f"{later.id} comes before the frame ahead of it"
            if earlier.frame.path == later.frame.path:
                numbers = earlier.frame.number, later.frame.number
                assert None not in numbers, f"{earlier.id} and {later.id} are one image"
                assert numbers[0] < numbers[1], f"{later.id} lies before {earlier.id} in its file"  # type: ignore[operator]
    blocks = [clip for clip, _ in groupby(sample.clip for sample in samples)]
    assert len(set(blocks)) == len(blocks), "the frames of a clip do not stand together"


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
    """Checks that a perfect result is judged better than a wrong one, undefined cases, and resamples if any.

    Still images and frames of clips are tried; a metric may be undefined for one of the two, and says why.
    """
    metric = metric_class()
    defined = [_check_judging(metric, evidence) for evidence in (_of_images, _of_clips)]
    assert any(defined), f"a plain case is undefined: {metric(_of_images([True] * 6)).why_undefined}"


def _check_judging(metric: Metric, evidence: Callable[..., LabelledResults]) -> bool:
    """Whether the metric is defined for this sort of evidence; if so, all that must hold then."""
    perfect, wrong = metric(evidence([True] * 6)), metric(evidence([False] * 6))
    all_good = metric(evidence([True] * 6, anomalous=False))
    for what, found in (("a perfect result", perfect), ("a wrong result", wrong), ("without anomalies", all_good)):
        assert found.value is not None or found.why_undefined, "an undefined value must say why"
        assert found.value is None or np.isfinite(found.value), f"{what}: {found.value}"
    if perfect.value is None:
        return False
    assert wrong.value is not None, f"a plain case is undefined: {wrong.why_undefined}"
    better, worse = (perfect, wrong) if metric.higher_is_better else (wrong, perfect)
    assert (better.value or 0) > (worse.value or 0), (
        f"a perfect result gives {perfect.value}, a wrong one {wrong.value}; higher_is_better is "
        f"{metric.higher_is_better}"
    )
    _check_resampled(metric, evidence([True, False, True, True, False, True]))
    return True


def _check_resampled(metric: Metric, evidence: LabelledResults) -> None:
    clips = list(dict.fromkeys(evidence.clips))
    clip_of = [clips.index(clip) for clip in evidence.clips]
    count = len(clips)
    once = np.ones(count, np.int64)
    by_chance = np.random.default_rng(0).multinomial(count, [1 / count] * count, size=20)
    only_good = np.array([not evidence.anomalous[np.array(clip_of) == number].any() for number in range(count)])
    weights = np.vstack([once, once + np.eye(count, dtype=np.int64), by_chance, only_good.astype(np.int64)])
    values = metric.resampled(evidence, weights[:, clip_of])
    if values is None:
        return
    assert values.shape == (len(weights),), f"{len(weights)} resamples gave values of shape {values.shape}"
    assert values.dtype == np.float64, f"resampled values are {values.dtype}, expected float64"
    for drawn, found in zip(weights, values, strict=True):
        value = metric(_drawn(evidence, drawn, clip_of)).value
        expected = np.nan if value is None else value
        assert np.isclose(found, expected, rtol=RESAMPLING_TOLERANCE / 10, atol=RESAMPLING_TOLERANCE, equal_nan=True), (
            f"samples drawn {drawn.tolist()} times give {found} resampled, but {expected} as evidence of their own"
        )


class _Parts(Dataset):
    """Drawn washers: `count` to learn from, two good and two scratched ones to test with.

    With `clip_frames`, so many at a time follow each other in a clip.
    """

    spec = "parts:washer"

    def __init__(self, folder: Path, count: int, clip_frames: int = 0) -> None:
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
            if clip_frames:
                clip, index = divmod(number, clip_frames)
                truth = replace(truth, clip=f"{split}/clip {clip}", index=index)
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


def _check_prediction(prediction: Prediction, count: int, method: Method[Any]) -> None:
    _check_answer(prediction, count, type(method))
    assert type(method).reconstructs or not method.reconstructs, "a class of which some reconstruct must say so"
    if method.reconstructs:
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


def _check_calibration(method: Method[Any], count: int) -> None:
    calibration = method.calibration()
    if not calibrates_itself(type(method)):
        return
    assert calibration is not None, "calibration() is there but gave None after fit()"
    assert len(calibration) == count, f"calibration() gave {len(calibration)} of {count} results"
    _check_answer(calibration, count, type(method))  # images may be missing: nobody looks at them


def _of_images(right: Sequence[bool], *, anomalous: bool = True) -> LabelledResults:
    """Six images, the last three anomalous; those that are not judged right have all upside down."""
    labels = np.array([False, False, False, anomalous, anomalous, anomalous])
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    return _evidence(labels, scores, np.array(right), [f"image {number}" for number in range(6)])


def _of_clips(right: Sequence[bool], *, anomalous: bool = True) -> LabelledResults:
    """Six clips of five frames, two of them with an event and one with two; those not judged right are upside down."""
    patterns = np.array([[0, 0, 0, 0, 0]] * 3 + [[0, 1, 1, 0, 0], [1, 0, 0, 1, 1], [0, 0, 0, 0, 1]], bool)
    labels = (patterns & anomalous).ravel()
    scores = np.where(labels, 0.7, 0.1) + np.linspace(0, 0.2, 30)
    return _evidence(labels, scores, np.repeat(right, 5), [f"clip {number // 5}" for number in range(30)])


def _evidence(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], kept: NDArray[np.bool_], clips: Sequence[str]
) -> LabelledResults:
    masks = np.zeros((len(labels), 8, 8), bool)
    masks[labels, 2:5, 2:6] = True
    maps = np.where(kept[:, None, None], masks, ~masks).astype(np.float32)

    def pixels() -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
        for index in range(len(labels)):
            yield index, maps[index], masks[index]

    found = np.where(kept, scores, 1 - scores)
    return LabelledResults(
        scores=found,
        anomalous=labels,
        kinds=tuple("crack" if label else "good" for label in labels),
        threshold=0.5,
        pixel_threshold=0.5,
        maps=maps,
        has_masks=bool(labels.any()),
        pixels=pixels,
        clips=tuple(clips),
        times_s=np.array([clips[:index].count(clip) / 25 for index, clip in enumerate(clips)]),
        alarms=found > 0.5,
    )


def _drawn(evidence: LabelledResults, times: NDArray[np.int64], clip_of: Sequence[int]) -> LabelledResults:
    """The evidence in which each clip is there as often as it was drawn, each time by a name of its own."""
    members = [np.flatnonzero(np.array(clip_of) == clip) for clip in range(len(times))]
    copies = [members[clip] for clip, count in enumerate(times) for _ in range(count)]
    rows = np.concatenate([np.empty(0, np.int64), *copies])
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
        clips=tuple(f"copy {number}" for number, copy in enumerate(copies) for _ in copy),
        times_s=evidence.times_s[rows],
        alarms=evidence.alarms[rows],
    )
