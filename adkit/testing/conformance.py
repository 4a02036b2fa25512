"""Checks that every plugin must pass; built-ins and third parties run the same ones.

    from adkit.testing import conformance

    CHECKS = conformance.method_checks(MyMethod)

    @pytest.mark.parametrize("name", CHECKS)
    def test_my_method(name):
        CHECKS[name]()

Each check raises AssertionError with a sentence that says what the plugin did and what was expected.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from adkit.errors import DatasetError, nearest
from adkit.interfaces import (
    SILENT,
    Dataset,
    Exportable,
    Method,
    MethodEntry,
    Scorer,
    calibrates_itself,
    misdeclared,
    sees_motion,
)
from adkit.options import options_of, parse_options, stored_options
from adkit.registry import Plugin, Registry, load_registry
from adkit.testing.leak_checks import check_no_leak as check_no_leak
from adkit.testing.metric_checks import check_metric as check_metric
from adkit.testing.synthetic import CLIP_FRAMES, TRAINING_FRAMES, PartBatches, moving_frames, synthetic_frames, windows
from adkit.testing.told import told
from adkit.types import Batch, FitReport, Prediction, Sample
from adkit.workflows.score import scores_of

TOLERANCE = 1e-3  # two ways to the same result may differ by this share of the results' range


class Examined:
    """A method that is checked. It is fitted once, on a few synthetic parts or clips, when a check first needs it."""

    def __init__(self, method: MethodEntry | type[Method[Any]], options: Mapping[str, Any] | None = None) -> None:
        self.entry = method if isinstance(method, MethodEntry) else MethodEntry("candidate", "", method)
        self.options = options or {}
        self.__name__ = method.name if isinstance(method, MethodEntry) else method.__name__

    @cached_property
    def method_class(self) -> type[Method[Any]]:
        """Return the class, imported."""
        return self.entry.load()

    @cached_property
    def registry(self) -> Registry:
        """Return the installed plugins, and the candidate where it is none of them."""
        registry = load_registry()
        if self.entry.name not in registry.methods.entries:
            registry.methods.add(self.entry, Plugin("candidate", self.method_class.__module__, "candidate", "0"))
        return registry

    def made(self, seed: int = 3) -> Method[Any]:
        """Make the method anew, with the same seed unless another is asked for."""
        options = parse_options(options_of(self.method_class), self.options, self.entry.name)
        return self.method_class(options, seed=seed)

    @cached_property
    def batches(self) -> PartBatches:
        """Draw normal frames: clips that move for a method that looks at several, else stills."""
        method = self.made()
        if sees_motion(self.method_class) or method.window > 1:
            return moving_frames(method.frame_size, window=method.window)
        count = max(TRAINING_FRAMES, 2 * method.least_samples)
        return PartBatches(synthetic_frames(count, method.frame_size))

    @cached_property
    def renamed(self) -> PartBatches:
        """Return the same frames under names that somebody might read something into."""
        clips = [f"scratched/{name}" for name in self.batches.clips]
        return replace(self.batches, clips=clips, named="scratched/part")

    @cached_property
    def fitted(self) -> Method[Any]:
        """Return the method, fitted on the batches; they must come back as they were, and so must what is predicted."""
        method, given = self.made(), self.batches.frames.clone()
        report = method.fit(self.batches, SILENT)
        assert report is None or isinstance(report, FitReport), f"fit() gave a {type(report).__name__}, not a FitReport"
        assert torch.equal(given, self.batches.frames), "fit() changed the frames it was given: work on a copy"
        return method

    @cached_property
    def batch(self) -> Batch:
        """Return three of the frames."""
        return self.batches.batch(range(3))

    @cached_property
    def prediction(self) -> Prediction:
        """Return what the fitted method says of them."""
        method, given = self.fitted, self.batch.frames.clone()
        prediction = method.predict(self.batch)
        assert torch.equal(given, self.batch.frames), "predict() changed the frames it was given: work on a copy"
        return prediction


def method_checks(
    method: MethodEntry | type[Method[Any]], options: Mapping[str, Any] | None = None
) -> dict[str, Callable[[], None]]:
    """Give all checks of a method by name; they share one fit, but for the last, which fits it as `adkit fit` does."""
    candidate = Examined(method, options)
    return {name: partial(check, candidate) for name, check in METHOD_CHECKS.items()}


def _check_options(candidate: Examined) -> None:
    model = options_of(candidate.method_class)
    stored_options(model, {}, candidate.entry.name)  # raises where `since` gives an option what it may not be
    assert set(getattr(model, "since", {})) <= set(model.model_fields), "since names an option that is not there"
    for name, field in model.model_fields.items():
        assert field.description, f"option {name} has no description: adkit show needs one"


def _check_declarations(candidate: Examined) -> None:
    """Check that what the class says of itself can be."""
    method, scorers = candidate.made(), candidate.registry.scorers.entries
    odd = misdeclared(method)
    assert odd is None, odd
    assert type(method).reconstructs or not method.reconstructs, "a class of which some reconstruct must say so"
    scorer = method.default_scorer and method.default_scorer.partition(":")[0]
    assert not scorer or scorer in scorers, f"there is no default_scorer {scorer!r}; {nearest(str(scorer), scorers)}"


def _check_predictions(candidate: Examined) -> None:
    """Check that predictions are complete and finite, of an image of one grey too."""
    _check_prediction(candidate.prediction, 3, candidate.fitted)
    constant = Batch(torch.full_like(candidate.batch.frames[:1], 0.5), ("constant",), ("constant",))
    _check_prediction(candidate.fitted.predict(constant), 1, candidate.fitted)


def _check_independence(candidate: Examined) -> None:
    """Check that predictions depend neither on the frames beside, nor on what was predicted before, nor on names."""
    expected, predict = candidate.prediction, candidate.fitted.predict
    singles = [predict(candidate.batches.batch(range(row, row + 1))) for row in range(3)]
    check_same(expected, joined(singles), "one by one", "in a batch")
    check_same(expected, predict(candidate.batch), "again", "the first time")
    check_same(expected, predict(candidate.renamed.batch(range(3))), "under other names", "under the first ones")


def _check_determinism(candidate: Examined) -> None:
    """Check that the method predicts the same when it is fitted again with the same seed, under other names."""
    again = candidate.made()
    again.fit(candidate.renamed, SILENT)
    found = again.predict(candidate.batch)
    check_same(candidate.prediction, found, "fitted again with the same seed, under other names,", "fitted once")
    if not candidate.entry.draws:
        other = candidate.made(seed=4)
        other.fit(candidate.batches, SILENT)
        found = other.predict(candidate.batch)
        check_same(candidate.prediction, found, "with another seed, though it is announced with draws=False,", "before")


def _check_state(candidate: Examined) -> None:
    """Check that the state can be written, and restores the method when it is read."""
    state = candidate.fitted.state()
    for name, value in state.items():
        assert isinstance(value, Tensor), f"state()[{name!r}] is a {type(value).__name__}, not a tensor"
    try:
        written = save({name: value.detach().cpu().contiguous() for name, value in state.items()})
    except (RuntimeError, ValueError) as error:
        raise AssertionError(f"state() cannot be written: {error}") from error
    restored = candidate.made()
    restored.load_state(load(written))
    check_same(candidate.prediction, restored.predict(candidate.batch), "restored from its state", "fitted")
    _check_whose_state(candidate, state)
    other, frames = candidate.made(), 1 - candidate.batches.frames
    other.fit(replace(candidate.batches, frames=frames), SILENT)
    if not state:
        dark = other.predict(candidate.batch)
        check_same(candidate.prediction, dark, "fitted to other frames, though state() is empty,", "before")
    again = candidate.fitted.predict(candidate.batch)
    check_same(candidate.prediction, again, "after another instance was fitted (is it a global?)", "before")


def _check_whose_state(candidate: Examined, state: Mapping[str, Tensor]) -> None:
    """Check that what was learned is the instance's own: a global or a class attribute is gone in the next process."""
    another, found = candidate.made(), None
    with suppress(Exception):  # a method may refuse a state that it never gave
        another.load_state({name: 2 * one + 1 if one.is_floating_point() else one for name, one in state.items()})
        found = another.predict(candidate.batch)
    again = candidate.fitted.predict(candidate.batch)
    check_same(candidate.prediction, again, "after another instance was restored (is it a global?)", "before")
    if found and any(value.is_floating_point() for value in state.values()):
        try:
            check_same(candidate.prediction, found, "", "")
        except AssertionError:
            return
        raise AssertionError("load_state() changes nothing: predict() uses what fit() left outside of the instance")


def _check_direction(candidate: Examined) -> None:
    """Check that noise, dark, grey or bright, scores higher than normal frames."""
    noise = torch.rand(candidate.batch.frames[:1].shape, generator=torch.Generator().manual_seed(0))
    odd = Batch(torch.cat([noise / 4, noise, 1 - noise / 4]), tuple("012"), tuple("012"))
    name = "scores" if candidate.method_class.default_scorer is None else "maps"
    both = (getattr(one, name) for one in (candidate.fitted.predict(odd), candidate.prediction))
    odd_most, most = (float(values.reshape(3, -1).mean(dim=1).max()) for values in both)
    assert odd_most > most, f"{name} of noise reach {odd_most:z.3g}, of normal frames {most:z.3g}: is the sign wrong?"


def _check_calibration(candidate: Examined) -> None:
    """Check that there is a result for each training sample, other than that of a method that knows it."""
    method = candidate.fitted
    found, count = method.calibration(), len(candidate.batches)
    if not calibrates_itself(type(method)):
        return
    assert found is not None, "calibration() is there but gave None after fit()"
    assert len(found) == count, f"calibration() gave {len(found)} of {count} results"
    _check_answer(found, count, type(method))  # images may be missing: nobody looks at them
    in_sample = joined([method.predict(batch) for batch in candidate.batches])
    try:
        check_same(in_sample, found, "in sample", "out of sample")
    except AssertionError:
        return
    raise AssertionError("calibration() gave what predict() gives on the training samples: it must leave each one out")


def _check_streams(candidate: Examined) -> None:
    moving = moving_frames(candidate.fitted.frame_size).frames[:, 0]
    check_stream(candidate.fitted, (moving[:7], moving[CLIP_FRAMES : CLIP_FRAMES + 4]))


def _check_graph(candidate: Examined) -> None:
    """Check that a graph, if there is one, gives what `predict` gives; one with memory, when it has seen all frames."""
    method = candidate.fitted
    if not isinstance(method, Exportable):
        return
    graph, batch, found = method.graph().eval(), candidate.batch, None
    states = [torch.zeros(len(batch), *shape) for shape in getattr(graph, "states", {}).values()]
    frames = batch.frames.flip(-1)  # mirrored: what was learned has distances of 0, whose rounding says nothing
    frames = torch.cat([frames.roll(1, 0), frames], dim=1) if states else frames[:, -1:]
    expected, parts = method.predict(replace(batch, frames=frames)), tuple[Tensor, ...]()
    with torch.inference_mode():
        for frame in frames.unbind(1):
            found = graph(frame, *states)
            parts = found if isinstance(found, tuple) else (found,)
            parts, states = parts[: len(parts) - len(states)], list(parts[len(parts) - len(states) :])
    names = [name for name in ("maps", "scores") if getattr(expected, name) is not None]
    expected = Prediction(**{name: getattr(expected, name) for name in names})
    check_same(expected, Prediction(**dict(zip(names, parts, strict=True))), "by the graph", "predicted")


def _check_leaks(candidate: Examined) -> None:
    check_no_leak(candidate.entry.name, candidate.registry, candidate.options)


_CHECKS: Sequence[Callable[[Examined], None]] = (
    *(_check_options, _check_declarations, _check_predictions, _check_independence, _check_determinism, _check_state),
    *(_check_direction, _check_calibration, _check_streams, _check_graph, _check_leaks),
)
METHOD_CHECKS = {check.__name__.removeprefix("_check_"): told(check) for check in _CHECKS}
"""What is checked of a method, by name; the last one fits it thrice."""


def check_stream(method: Method[Any], clips: tuple[Tensor, Tensor]) -> None:
    """Check the stream of a fitted method with two clips, float32 (n, 3, H, W) each.

    Answers may depend neither on how frames are parted into batches nor on other clips or streams; those of a method
    with memory must be those of `predict` on a clip's frames from its start.
    """
    seen = [windows(clip, method.window) for clip in clips]
    names = ["first clip"] * len(clips[0]) + ["second clip"] * len(clips[1])
    one_by_one = _streamed(method, torch.cat(seen), names, 1)
    check_same(one_by_one, _streamed(method, torch.cat(seen), names, 4), "streamed in fours", "streamed one by one")
    alone = [_streamed(method, one, [name] * len(one), 1) for one, name in zip(seen, sorted(set(names)), strict=True)]
    check_same(joined(alone), one_by_one, "streamed clip after clip", "streamed alone")
    count = min(map(len, seen))
    streams, beside = (method.stream(), method.stream()), []
    for one, other in zip(*(PartBatches(part[:count], 1, ["clip"] * count) for part in seen), strict=True):
        beside.append(streams[0](one))
        streams[1](other)
    expected = _streamed(method, seen[0][:count], ["clip"] * count, 1)
    check_same(expected, joined(beside), "streamed beside another", "streamed alone")
    if type(method).stream is Method.stream:
        return
    pasts = [clip[None, : end + 1] for clip in clips for end in range(len(clip))]
    past = [method.predict(Batch(frames, ("frame",), ("clip",))) for frames in pasts]
    check_same(joined(past), one_by_one, "streamed", "predicted from the clip's start")


def _streamed(method: Method[Any], frames: Tensor, clips: Sequence[str], batch_size: int) -> Prediction:
    stream = method.stream()
    return joined([stream(batch) for batch in PartBatches(frames, batch_size, clips)])


def check_same(expected: Prediction, found: Prediction, how: str, otherwise: str) -> None:
    """Check that two ways lead to the same maps and scores."""
    for name in ("maps", "scores"):
        one, other = getattr(expected, name), getattr(found, name)
        assert (one is None) == (other is None), f"{name} are there only {how} or only {otherwise}"
        if one is not None:
            assert len(one) == len(other), f"{len(other)} {name} {how}, {len(one)} {otherwise}"
            assert one.shape == other.shape, f"{name} are {tuple(other.shape)} {how}, {tuple(one.shape)} {otherwise}"
            span = float(one.max() - one.min()) or 1.0
            difference = float((one - other).abs().max())
            assert difference <= TOLERANCE * span, f"{name} {how} differ from {name} {otherwise} by {difference:.3g}"


def joined(parts: Sequence[Prediction]) -> Prediction:
    """Join several predictions."""
    tensors = ([getattr(part, name) for part in parts] for name in ("maps", "scores", "images"))
    return Prediction(*(None if several[0] is None else torch.cat(several) for several in tensors))


def _check_prediction(prediction: Prediction, count: int, method: Method[Any]) -> None:
    _check_answer(prediction, count, type(method))
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


@told
def check_dataset(dataset: Dataset) -> None:
    """Check the samples of both splits."""
    assert dataset.spec, "a dataset needs a spec"
    seen: set[Any] = set()
    train, test = dataset.samples("train"), dataset.samples("test")
    assert train, f"{dataset.spec} has no training sample"
    for sample in [*train, *test]:
        assert sample.id not in seen, f"two samples have the id {sample.id}"
        assert sample.frame not in seen, f"{sample.id} is another sample too: {sample.frame}"
        seen |= {sample.id, sample.frame}
        assert sample.frame.path.is_file(), f"{sample.id} names a file that is not there: {sample.frame}"
        assert sample.mask is None or sample.mask.path.exists(), f"{sample.id} names a mask that is not there"
        assert not (sample.mask and not sample.anomalous), f"{sample.id} is not anomalous, yet has a mask"
    for sample in test:
        told_of = sample.kind is None or sample.anomalous is not None
        assert told_of, f"{sample.id} is of the kind {sample.kind!r}, and it is not said whether that is anomalous"
    for split in (train, test):
        _check_clips(split)
    assert not any(sample.anomalous for sample in train), f"{dataset.spec} trains on anomalous samples"
    found = [one.spec for one in type(dataset).select(dataset.spec.partition(":")[2], dataset.root)]
    assert found == [dataset.spec], f"a run finds its data by spec and root, but {dataset.spec!r} selects {found}"
    assert [sample.id for sample in dataset.samples("train")] == [sample.id for sample in train], "order changes"
    try:
        type(dataset).select("no-such-category/of-any-dataset", None)
    except DatasetError:
        return
    raise AssertionError("select() of a category that does not exist must raise DatasetError")


def _check_clips(samples: Sequence[Sample]) -> None:
    """Check that the frames of a clip stand together, in the order of their numbers and times."""
    for clip, members in groupby(samples, key=lambda sample: sample.clip):
        for earlier, later in pairwise(members):
            assert earlier.index < later.index, f"the frames of {clip} are not in order: {later.id}"
            assert earlier.time_s <= later.time_s, f"{later.id} comes before the frame ahead of it"
            one, other = earlier.frame, later.frame
            if one.path == other.path and one.number is not None and other.number is not None:
                assert one.number < other.number, f"{later.id} lies before {earlier.id} in its file"
    blocks = [clip for clip, _ in groupby(sample.clip for sample in samples)]
    assert len(set(blocks)) == len(blocks), "the frames of a clip do not stand together"


@told
def check_scorer(scorer_class: type[Scorer[Any]]) -> None:
    """Check shape, order of samples and direction."""
    scorer = scorer_class(parse_options(options_of(scorer_class), {}, scorer_class.__name__))
    maps = np.random.default_rng(0).random((5, 7, 9), dtype=np.float32)
    scores = scores_of(scorer, maps)
    assert np.allclose(scores_of(scorer, maps[::-1]), scores[::-1]), "a sample's score depends on the others"
    assert (scores_of(scorer, maps + 1) > scores).all(), "a map that is higher everywhere must score higher"
    scores_of(scorer, maps[:, :1, :1])
    if scorer_class.of_tensors is not Scorer.of_tensors:
        found = scorer.of_tensors(torch.from_numpy(maps)).numpy()
        assert np.allclose(found, scores, atol=1e-5), "of_tensors() scores otherwise"
