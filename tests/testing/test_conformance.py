"""The checks themselves: a sound plugin passes, and each sort of broken one is told what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from adkit.errors import DatasetError, PluginError
from adkit.interfaces import (
    Batches,
    Dataset,
    Method,
    MethodEntry,
    Metric,
    Progress,
    Scorer,
    Workspace,
    calibrates_itself,
)
from adkit.options import Options
from adkit.registry import Plugin, Registry, load_registry
from adkit.testing import conformance
from adkit.types import Batch, FitReport, FrameRef, LabelledResults, MetricValue, Prediction, Sample, Split
from tests.conforming import check_method


class SoundOptions(Options):
    strength: float = Field(default=1.0, gt=0, description="how strongly to react")


class Sound(Method[SoundOptions]):
    """Distance to the mean of the normal frames."""

    Options = SoundOptions
    default_scorer = "max"
    frame_size = (32, 40)  # type: ignore[assignment]

    def __init__(self, options: SoundOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        self.mean = torch.empty(0)
        self.trained = torch.empty(0)

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        self.trained = torch.cat([batch.frames[:, -1].mean(dim=1) for batch in batches])
        self.mean = self.trained.mean(dim=0)

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(maps=self.options.strength * (batch.frames[:, -1].mean(dim=1) - self.mean).abs())

    def calibration(self) -> Prediction | None:
        others = (self.trained.sum(dim=0) - self.trained) / (len(self.trained) - 1)
        return Prediction(maps=(self.trained - others).abs())

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"]


def test_a_sound_method_passes() -> None:
    check_method(Sound)
    check_method(Sound, {"strength": 3.0})


def test_checks_have_names_and_share_a_fit() -> None:
    class Counted(Sound):
        fits = 0

        def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
            Counted.fits += 1
            super().fit(batches, progress)

    checks = conformance.method_checks(Counted)
    assert list(checks) == list(conformance.METHOD_CHECKS)
    for name, check in checks.items():
        if name != "leaks":
            check()
    assert Counted.fits == 3, "one to see whether it is the same again, one on other frames"
    checks["leaks"]()
    assert Counted.fits == 6


def test_methods_without_options_or_with_scores_of_their_own_pass() -> None:
    class Scores(Sound):
        Options = None  # type: ignore[assignment]
        default_scorer = None
        window = 2

        def predict(self, batch: Batch) -> Prediction:
            return Prediction(scores=(batch.frames[:, -1].mean(dim=1) - self.mean).abs().mean(dim=(1, 2)))

        def calibration(self) -> Prediction | None:
            maps = super().calibration()
            assert maps is not None
            assert maps.maps is not None
            return Prediction(scores=maps.maps.mean(dim=(1, 2)))

    check_method(Scores)


def test_a_method_that_does_not_calibrate_itself_passes() -> None:
    class Plain(Sound):
        calibration = Method.calibration

    assert not calibrates_itself(Plain)
    check_method(Plain)


class DependsOnBatch(Sound):
    complaint = "one by one differ"

    def predict(self, batch: Batch) -> Prediction:
        frames = batch.frames[:, -1].mean(dim=1)
        return Prediction(maps=(frames - frames.mean()).abs())


class RaisesOfMethods(Sound):
    complaint = "RaisesOfMethods, checked for predictions, raised RuntimeError: shapes differ"

    def predict(self, batch: Batch) -> Prediction:
        raise RuntimeError("shapes differ")


class LeaksState(Sound):
    complaint = "differ from maps"

    def predict(self, batch: Batch) -> Prediction:
        prediction = super().predict(batch)
        self.mean = batch.frames[-1, -1].mean(dim=0)
        return prediction


class CountsCalls(Sound):
    complaint = "differ from maps"
    calls = 0

    def predict(self, batch: Batch) -> Prediction:
        self.calls += 1
        maps = super().predict(batch).maps
        assert maps is not None
        return Prediction(maps=maps * self.calls)


class WritesIntoFrames(Sound):
    complaint = r"predict\(\) changed the frames it was given"

    def predict(self, batch: Batch) -> Prediction:
        prediction = super().predict(batch)
        batch.frames.mul_(0.5)
        return prediction


class LearnsIntoFrames(Sound):
    complaint = r"fit\(\) changed the frames it was given"

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        for batch in batches:
            batch.frames.mul_(0.5)
        super().fit(batches, progress)


class ReportsADictionary(Sound):
    complaint = r"fit\(\) gave a dict, not a FitReport"

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> Any:
        super().fit(batches, progress)
        return {"bank": 3}


class UpsideDownMaps(Sound):
    complaint = r"is the sign wrong\?"

    def predict(self, batch: Batch) -> Prediction:
        maps = super().predict(batch).maps
        assert maps is not None
        return Prediction(maps=-maps)

    def calibration(self) -> Prediction | None:
        return Prediction(maps=-self.trained)


class LearnsIntoTheClass(Sound):
    """In the process that fitted it all seems well; the next one knows nothing."""

    complaint = r"load_state\(\) changes nothing"
    learned: ClassVar[Tensor]

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        type(self).learned = self.mean

    def predict(self, batch: Batch) -> Prediction:
        self.mean = self.learned
        return super().predict(batch)


class LearnsHalfIntoTheClass(Sound):
    """What it restores counts, and so does what it learned beside that."""

    complaint = r"after another instance was fitted \(is it a global\?\) differ from maps before"
    learned: ClassVar[float | Tensor] = 0.0

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        type(self).learned = self.mean.mean()

    def predict(self, batch: Batch) -> Prediction:
        maps = super().predict(batch).maps
        assert maps is not None
        return Prediction(maps=maps + self.learned)


class EndsTheProgram(Sound):
    complaint = "EndsTheProgram, checked for predictions, raised SystemExit: 3"

    def predict(self, batch: Batch) -> Prediction:
        sys.exit(3)


class KeepsNothing(LearnsIntoTheClass):
    complaint = r"maps fitted to other frames, though state\(\) is empty, differ from maps before"

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        pass


class RestoresIntoTheClass(LearnsIntoTheClass):
    complaint = r"after another instance was restored \(is it a global\?\) differ from maps before"

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        type(self).learned = state["mean"]


class SizeIsANumber(Sound):
    complaint = r"frame_size is 32, not \(height, width\)"
    frame_size = 32  # type: ignore[assignment]


class SizeIsFractions(Sound):
    complaint = r"frame_size is \(32.0, 32.0\), not \(height, width\) in whole px"
    frame_size = (32.0, 32.0)  # type: ignore[assignment]


class SeesNoFrame(Sound):
    complaint = "window is 0, not a number of frames"
    window = 0


class DropsOne(Sound):
    complaint = r"predict\(\) answered for 2 of 3 samples"

    def predict(self, batch: Batch) -> Prediction:
        maps = super().predict(batch).maps
        assert maps is not None
        return Prediction(maps=maps[: max(1, len(maps) - 1)])


class Guesses(Sound):
    complaint = "again differ from maps the first time|one by one differ"

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(maps=torch.rand(len(batch), 4, 4))


class FitsByChance(Sound):
    complaint = "fitted again with the same seed, under other names, differ"

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        self.mean = self.mean + torch.rand(1)


class GivesNan(Sound):
    complaint = "maps that are not finite"

    def predict(self, batch: Batch) -> Prediction:
        maps = super().predict(batch).maps
        assert maps is not None
        maps[0, 0, 0] = float("nan")
        return Prediction(maps=maps)


class DividesByContrast(Sound):
    complaint = "maps that are not finite"

    def predict(self, batch: Batch) -> Prediction:
        frames = batch.frames[:, -1].mean(dim=1)
        return Prediction(maps=(frames - frames.amin(dim=(1, 2), keepdim=True)) / frames.std(dim=(1, 2), keepdim=True))


class ForgetsState(Sound):
    complaint = "restored from its state differ"

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.mean = torch.zeros(self.frame_size)  # type: ignore[arg-type]


class KeepsAList(Sound):
    complaint = r"state\(\)\['names'\] is a list, not a tensor"

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "names": ["a"]}  # type: ignore[dict-item]


class CalibratesTooFew(Sound):
    complaint = r"calibration\(\) gave 7 of 8 results"

    def calibration(self) -> Prediction | None:
        return Prediction(maps=self.trained[1:])


class CalibratesNothing(Sound):
    complaint = "gave None after fit"

    def calibration(self) -> Prediction | None:
        return None


class GivesNoMaps(Sound):
    complaint = "a method with a default_scorer must give maps"

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(scores=torch.zeros(len(batch)))


class GivesNoScores(Sound):
    complaint = "a method without a default_scorer must give scores"
    default_scorer = None


class SeesNothing(Sound):
    complaint = "window is 0"
    window = 0


class CalibratesInSample(Sound):
    complaint = r"calibration\(\) gave what predict\(\) gives on the training samples: it must leave each one out"

    def calibration(self) -> Prediction | None:
        return Prediction(maps=(self.trained - self.mean).abs())


class ReadsIds(Sound):
    complaint = "under other names differ from maps under the first ones"

    def predict(self, batch: Batch) -> Prediction:
        maps = super().predict(batch).maps
        assert maps is not None
        return Prediction(maps=maps + float("scratch" in batch.ids[0]))


class LearnsFromNames(Sound):
    complaint = "fitted again with the same seed, under other names, differ"

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        self.mean = self.mean + len(next(iter(batches)).clips[0])


class NamesATensorTwice(Sound):
    complaint = r"state\(\) cannot be written: "

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "average": self.mean}


class NamesNoScorer(Sound):
    complaint = "there is no default_scorer 'maxx'; did you mean max"
    default_scorer = "maxx"


class HidesOption(Sound):
    class Hiding(SoundOptions):
        depth: int = 3

    complaint = "option depth has no description"
    Options = Hiding


BROKEN_METHODS = [
    RaisesOfMethods,
    DependsOnBatch,
    LeaksState,
    CountsCalls,
    WritesIntoFrames,
    LearnsIntoFrames,
    ReportsADictionary,
    UpsideDownMaps,
    LearnsIntoTheClass,
    LearnsHalfIntoTheClass,
    EndsTheProgram,
    RestoresIntoTheClass,
    SizeIsANumber,
    KeepsNothing,
    SizeIsFractions,
    SeesNoFrame,
    DropsOne,
    Guesses,
    FitsByChance,
    GivesNan,
    DividesByContrast,
    ForgetsState,
    KeepsAList,
    CalibratesTooFew,
    CalibratesNothing,
    GivesNoMaps,
    GivesNoScores,
    SeesNothing,
    CalibratesInSample,
    ReadsIds,
    LearnsFromNames,
    NamesATensorTwice,
    NamesNoScorer,
    HidesOption,
]


@pytest.mark.parametrize("broken", BROKEN_METHODS)
def test_broken_methods_are_caught(broken: Any) -> None:
    with pytest.raises(AssertionError, match=broken.complaint):
        check_method(broken)


# Leaks.


def with_method(method: type[Method[Any]]) -> Registry:
    """The installed plugins, and a method named `candidate`."""
    registry = load_registry()
    registry.methods.add(MethodEntry("candidate", "", method), Plugin("candidate", "here", "tests", "1"))
    return registry


def dataset_in_use() -> Dataset:
    """What no method is given: the dataset that is being fitted, taken from a caller's variables."""
    frame = sys._getframe()
    while "datasets" not in frame.f_locals:
        assert frame.f_back is not None
        frame = frame.f_back
    (dataset,) = frame.f_locals["datasets"]
    assert isinstance(dataset, Dataset)
    return dataset


class HeldOut(Sound):
    """Does not calibrate itself."""

    calibration = Method.calibration


@pytest.mark.parametrize("method", [Sound, HeldOut])
def test_a_method_that_sees_only_what_it_is_given_leaks_nothing(method: type[Sound]) -> None:
    conformance.check_no_leak("candidate", with_method(method))
    conformance.check_no_leak("candidate", with_method(method), {"strength": 2.0})


class PeeksAtLabels(Sound):
    complaint = "state 'mean' differs when the truth of the test split is upside down"

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        for number, sample in enumerate(dataset_in_use().samples("test")):
            self.mean = self.mean + 1e-6 * number * float(bool(sample.anomalous))


class PeeksAtKinds(Sound):
    complaint = "facts of the run is .* when the truth of the test split is upside down"

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        return FitReport({"kinds": " ".join(str(sample.kind) for sample in dataset_in_use().samples("test"))})


class PeeksAtMasksToCalibrate(Sound):
    complaint = "the maps of normal data differ when the truth of the test split is upside down"

    def calibration(self) -> Prediction | None:
        found = super().calibration()
        assert found is not None
        assert found.maps is not None
        masked = [sample.mask is not None for sample in dataset_in_use().samples("test")]
        return Prediction(maps=found.maps * (1.0 + masked.index(True)))


class LearnsFromTestImages(HeldOut):
    """Whatever their labels say."""

    complaint = "fitting asked for the test split"

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        self.mean = self.mean + len(dataset_in_use().samples("test"))


class LearnsFromTestImagesInSilence(HeldOut):
    complaint = "state 'mean' differs when there is no test split"

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        try:
            self.mean = self.mean + len(dataset_in_use().samples("test"))
        except AssertionError:
            return


class AsksInSilenceForNothing(HeldOut):
    complaint = "fitting asked for the test split"

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        try:
            dataset_in_use().samples("test")
        except AssertionError:
            return


LEAKING_METHODS = [
    PeeksAtLabels,
    PeeksAtKinds,
    PeeksAtMasksToCalibrate,
    LearnsFromTestImages,
    LearnsFromTestImagesInSilence,
    AsksInSilenceForNothing,
]


@pytest.mark.parametrize("leaking", LEAKING_METHODS)
def test_leaking_methods_are_caught(leaking: Any) -> None:
    with pytest.raises(AssertionError, match=leaking.complaint):
        conformance.check_no_leak("candidate", with_method(leaking))


def test_a_method_that_learns_by_chance_is_caught_too() -> None:
    with pytest.raises(AssertionError, match="state 'mean' differs"):
        conformance.check_no_leak("candidate", with_method(FitsByChance))


@pytest.mark.parametrize("what", ["the threshold", "what is held out"])
def test_a_leak_in_the_core_is_caught(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if adkit itself looked at the labels of the test split."""
    from adkit.workflows import fit, training_data

    def labels() -> list[int]:
        return [int(bool(sample.anomalous)) for sample in dataset_in_use().samples("test")]

    if what == "the threshold":
        honest = fit.calibration_record

        def record(*arguments: Any, **more: Any) -> Any:
            found = honest(*arguments, **more)
            chosen = replace(found.threshold, value=found.threshold.value + labels()[0])
            return found.model_copy(update={"threshold": chosen})

        monkeypatch.setattr(fit, "calibration_record", record)
        complaint = "calibration of the run is"
    else:
        split = training_data._part

        def chosen_split(samples: list[Sample], *arguments: Any) -> tuple[list[Sample], list[Sample]]:
            training, held_out = split(samples, *arguments)
            return (training, held_out) if labels()[0] else (training[::-1], held_out[::-1])

        monkeypatch.setattr(training_data, "_part", chosen_split)
        complaint = "other normal data calibrate"
    with pytest.raises(AssertionError, match=complaint):
        conformance.check_no_leak("candidate", with_method(AddsNothingOfOrder))


class AddsNothingOfOrder(HeldOut):
    """Its state does not depend on the order of the training samples, not even by rounding."""

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        self.mean = self.trained.amax(dim=0)


class SoundScorer(Scorer[Options]):
    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        return maps.reshape(len(maps), maps.shape[1] * maps.shape[2]).astype(np.float64).max(axis=1)


class WritesIntoMaps(SoundScorer):
    complaint = "WritesIntoMaps, checked for scorer, raised ValueError: .*read-only"

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        maps *= 0.5
        return super().__call__(maps)


class GivesAList(SoundScorer):
    """What can be made an array of float64 will do."""

    def __call__(self, maps: NDArray[np.float32]) -> Any:
        return super().__call__(maps).tolist()


class GivesNoNumbers(SoundScorer):
    complaint = "raised ValueError: the scorer gave .* scores that are no numbers"

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        return super().__call__(maps) * np.nan


class IgnoresOrder(SoundScorer):
    complaint = "a sample's score depends on the others"

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.sort(super().__call__(maps))


class Standardises(SoundScorer):
    complaint = "higher everywhere must score higher"

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = super().__call__(maps)
        return scores - scores.mean() if len(scores) else scores


class UpsideDown(SoundScorer):
    complaint = "higher everywhere must score higher"

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        return -super().__call__(maps)


class SingleScore(SoundScorer):
    complaint = r"raised ValueError: the scorer gave \(1,\) of 5 maps"

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        return super().__call__(maps)[:1]


class Single(SoundScorer):
    """Likewise."""

    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        return super().__call__(maps).astype(np.float32)  # type: ignore[return-value]


def test_a_sound_scorer_passes() -> None:
    for sound in (SoundScorer, GivesAList, Single):
        conformance.check_scorer(sound)


@pytest.mark.parametrize(
    "broken", [WritesIntoMaps, GivesNoNumbers, IgnoresOrder, Standardises, UpsideDown, SingleScore]
)
def test_broken_scorers_are_caught(broken: Any) -> None:
    with pytest.raises(AssertionError, match=broken.complaint):
        conformance.check_scorer(broken)


class SoundMetric(Metric):
    """The share of anomalous samples above the threshold."""

    def __call__(self, results: LabelledResults) -> MetricValue:
        if not results.anomalous.any():
            return MetricValue(None, "nothing is anomalous")
        return MetricValue(float((results.scores > results.threshold)[results.anomalous].mean()))


class UpsideDownMetric(SoundMetric):
    complaint = "a perfect result gives -1.0, a wrong one -0.0"

    def __call__(self, results: LabelledResults) -> MetricValue:
        value = super().__call__(results)
        return MetricValue(None if value.value is None else -value.value, value.why_undefined)


class Blind(SoundMetric):
    complaint = "a perfect result gives 0.5, a wrong one 0.5"

    def __call__(self, results: LabelledResults) -> MetricValue:
        return MetricValue(0.5)


class NeverSays(SoundMetric):
    complaint = "a plain case is undefined"

    def __call__(self, results: LabelledResults) -> MetricValue:
        return MetricValue(None, "I do not know")


class Wordless(SoundMetric):
    complaint = "raised ValueError: a metric without a value must say why"

    def __call__(self, results: LabelledResults) -> MetricValue:
        return MetricValue(super().__call__(results).value)


class GivesANumber(SoundMetric):
    complaint = "a perfect result gives 0.5, expected a MetricValue"

    def __call__(self, results: LabelledResults) -> Any:
        return 0.5


class GivesAWord(SoundMetric):
    complaint = "raised TypeError: a metric's value is a number or None, and 'good' was given"

    def __call__(self, results: LabelledResults) -> MetricValue:
        word: Any = "good"
        return MetricValue(word)


class RaisesOfMetrics(SoundMetric):
    complaint = "RaisesOfMetrics, checked for metric, raised KeyError: 'scores'"

    def __call__(self, results: LabelledResults) -> MetricValue:
        raise KeyError("scores")


class DividesByZero(SoundMetric):
    complaint = "without anomalies: nan"

    def __call__(self, results: LabelledResults) -> MetricValue:
        return super().__call__(results) if results.anomalous.any() else MetricValue(float("nan"))


class StretchesInPlace(SoundMetric):
    complaint = "StretchesInPlace, checked for metric, raised ValueError: .*read-only"

    def __call__(self, results: LabelledResults) -> MetricValue:
        scores = results.scores
        scores -= scores.min()
        return super().__call__(results)


class BlursInPlace(SoundMetric):
    complaint = "BlursInPlace, checked for metric, raised ValueError: .*read-only"

    def __call__(self, results: LabelledResults) -> MetricValue:
        for _, one, _ in results.pixels():
            one /= 2
        return super().__call__(results)


BROKEN_METRICS = [
    *(UpsideDownMetric, Blind, NeverSays, Wordless, DividesByZero, RaisesOfMetrics),
    *(StretchesInPlace, BlursInPlace, GivesANumber, GivesAWord),
]


def test_a_sound_metric_passes() -> None:
    conformance.check_metric(SoundMetric)


@pytest.mark.parametrize("broken", BROKEN_METRICS)
def test_broken_metrics_are_caught(broken: Any) -> None:
    with pytest.raises(AssertionError, match=broken.complaint):
        conformance.check_metric(broken)


class Resampling(SoundMetric):
    """Gives resamples as well."""

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64] | None:
        found = results.anomalous & (results.scores > results.threshold)
        drawn = weights @ results.anomalous
        values = np.full(len(weights), np.nan)
        return np.divide(weights @ found, drawn, out=values, where=drawn > 0)  # type: ignore[no-any-return]


class IgnoresWeights(Resampling):
    complaint = r"samples drawn \[.*\] times give 0.66\d* resampled, but"

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64] | None:
        return super().resampled(results, np.ones_like(weights))


class DrawsOnce(Resampling):
    """Whether a sample is drawn counts, not how often."""

    complaint = "as results of their own"

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64] | None:
        return super().resampled(results, np.minimum(weights, 1))


class Shifted(Resampling):
    complaint = r"drawn \[1, 1, 1, 1, 1, 1\] times give 0.69\d* resampled, but 0.66\d* as results"

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64] | None:
        values = super().resampled(results, weights)
        return None if values is None else values + 0.03


class NeverUndefined(Resampling):
    complaint = r"give 0\.0 resampled, but nan"

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64] | None:
        values = super().resampled(results, weights)
        return None if values is None else np.nan_to_num(values)


class SingleResample(Resampling):
    complaint = r"28 resamples gave values of shape \(1,\)"

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64] | None:
        return super().resampled(results, weights[:1])


class WeighsInPlace(Resampling):
    complaint = "raised ValueError: .*read-only"

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64] | None:
        weights *= results.anomalous
        return super().resampled(results, weights)


class SinglePrecision(Resampling):
    complaint = "resampled values are float32, expected float64"

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64] | None:
        values = super().resampled(results, weights)
        return None if values is None else values.astype(np.float32)  # type: ignore[return-value]


def test_a_metric_that_judges_nothing_there_is_is_refused_where_it_is_defined() -> None:
    with pytest.raises(ValueError, match=r"Typo\.judges is 'stills', not one of images, clips, both"):

        class Typo(SoundMetric):
            judges = "stills"  # type: ignore[assignment]


def test_a_metric_with_resamples_passes() -> None:
    conformance.check_metric(Resampling)


@pytest.mark.parametrize(
    "broken", [IgnoresWeights, DrawsOnce, Shifted, NeverUndefined, SingleResample, SinglePrecision, WeighsInPlace]
)
def test_broken_resamples_are_caught(broken: Any) -> None:
    with pytest.raises(AssertionError, match=broken.complaint):
        conformance.check_metric(broken)


def test_a_metric_of_pixels_is_told_upside_down() -> None:
    class Pixels(Metric):
        sign: ClassVar[float] = 1.0

        def __call__(self, results: LabelledResults) -> MetricValue:
            if not results.has_masks:
                return MetricValue(None, "no masks")
            inside = [float(values[mask].mean()) for _, values, mask in results.pixels() if mask.any()]
            return MetricValue(self.sign * float(np.mean(inside)))

    class Wrong(Pixels):
        sign = -1.0

    conformance.check_metric(Pixels)
    with pytest.raises(AssertionError, match=r"a perfect result gives -1\.0"):
        conformance.check_metric(Wrong)


class SoundDataset(Dataset):
    """Three files, two to learn from; what `broken` names is wrong."""

    spec = "sound:set"

    def __init__(self, folder: Path, broken: str = "") -> None:
        self.folder = self.root = folder
        self.broken = broken
        self.asked = 0
        self.spec = "sound:other" if broken == "by spec and root" else self.spec

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        if selection == "set" and root:
            return [cls(root)]
        if selection == "other":
            return []
        raise DatasetError(f"there is no {selection}", hint="name another")

    def samples(self, split: Split) -> list[Sample]:
        self.asked += 1
        if self.broken.endswith("is lost"):
            raise OSError("it is lost")
        a, b, c = (self.folder / f"{name}.png" for name in "abc")
        train = [Sample.still("a", a, anomalous=self.broken == "trains on anomalous"), Sample.still("b", b)]
        test = [Sample.still("c", c, anomalous=True, kind="crack", mask=a)]
        if self.broken == "order changes" and self.asked > 2:
            train.reverse()
        if self.broken == "no training sample":
            train = []
        if self.broken == "two samples have the id":
            test = [Sample.still("a", c, anomalous=True)]
        if self.broken == "c is another sample too":
            test = [Sample.still("c", a, anomalous=True)]
        if self.broken == "a file that is not there":
            test = [Sample("c", FrameRef(self.folder / "gone.png"), "c")]
        if self.broken == "a mask that is not there":
            test = [Sample.still("c", c, anomalous=True, mask=self.folder / "gone.png")]
        if self.broken == "and it is not said whether that is anomalous":
            test = [Sample.still("c", c, kind="crack")]
        if self.broken == "is not anomalous, yet has a mask":
            test = [Sample.still("c", c, anomalous=False, mask=a)]
        return train if split == "train" else test


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"never decoded")
    return tmp_path


class Yields(SoundDataset):
    def samples(self, split: Split) -> Any:
        yield from super().samples(split)


@pytest.mark.parametrize("sort", [SoundDataset, Yields])
def test_a_sound_dataset_passes(files: Path, sort: type[SoundDataset]) -> None:
    dataset = sort(files)
    conformance.check_dataset(dataset)
    assert dataset.asked >= 3


@pytest.mark.parametrize(
    "complaint",
    [
        "no training sample",
        "two samples have the id",
        "c is another sample too",
        "by spec and root",
        "a file that is not there",
        "a mask that is not there",
        "is not anomalous, yet has a mask",
        "and it is not said whether that is anomalous",
        "trains on anomalous",
        "order changes",
        "SoundDataset, checked for dataset, raised OSError: it is lost",
    ],
)
def test_broken_datasets_are_caught(files: Path, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        conformance.check_dataset(SoundDataset(files, complaint))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, "a list of Sample was expected, got None"),
        (["a.png"], "a list of Sample was expected, got 'a.png'"),
        ([Sample.still("a", "a.png")], "the paths of a are texts, and pathlib.Path was expected"),  # type: ignore[arg-type]
        ([Sample.still("a", Path("a.png"))] * 2, "two samples have the id a"),
        ([Sample(3, FrameRef(Path("a.png")), "a")], "the id of 3 is 3, and a text was expected"),  # type: ignore[arg-type]
        ([Sample("a", FrameRef(Path("a.png")), "a", kind=5)], "the kind of a is 5, and a text"),  # type: ignore[arg-type]
        (
            [Sample("a", FrameRef(Path("a.png")), "a", anomalous="False")],  # type: ignore[arg-type]
            "anomalous of a is 'False', and True, False or None was expected",
        ),
    ],
)
def test_samples_that_no_command_could_use_are_told_where_they_are_asked_for(
    given: Any, told: str, tmp_path: Path
) -> None:
    class Odd(SoundDataset):
        def samples(self, split: Split) -> Any:
            return given

    with pytest.raises(DatasetError, match=rf"samples\('train'\) of Odd: {told}"):
        Odd(tmp_path).samples("train")


def test_a_dataset_that_ends_the_program_is_named(tmp_path: Path) -> None:
    class Ending(SoundDataset):
        def samples(self, split: Split) -> Any:
            yield sys.exit(0)

    with pytest.raises(PluginError, match=r"Ending ended the program \(exit code 0\)"):
        Ending(tmp_path).samples("train")


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([("a", 0, 0, 0.0), ("a", 1, 1, 0.1), ("b", 0, 0, 0.0)], None),
        ([("a", 1, 0, 0.1), ("a", 0, 1, 0.2)], "the frames of a are not in order: a 0"),
        ([("a", 0, 0, 0.2), ("a", 1, 1, 0.1)], "a 1 comes before the frame ahead of it"),
        ([("a", 0, 1, 0.0), ("a", 1, 0, 0.1)], "a 1 lies before a 0 in its file"),
        ([("a", 0, None, 0.0), ("a", 1, None, 0.1)], "a 1 is another sample too"),
        ([("a", 0, 0, 0.0), ("b", 0, 0, 0.0), ("a", 1, 1, 0.1)], "do not stand together"),
    ],
)
def test_frames_of_clips_out_of_order_are_caught(
    files: Path, frames: list[tuple[str, int, int | None, float]], complaint: str | None
) -> None:
    class Moving(SoundDataset):
        def samples(self, split: Split) -> list[Sample]:
            if split == "test":
                return [Sample.still("c", self.folder / "c.png", anomalous=True)]
            return [
                Sample(
                    f"{clip} {index}", FrameRef(self.folder / f"{clip}.png", number), clip, index, timestamp_s=time_s
                )
                for clip, index, number, time_s in frames
            ]

    if complaint is None:
        conformance.check_dataset(Moving(files))
    else:
        with pytest.raises(AssertionError, match=complaint):
            conformance.check_dataset(Moving(files))


@pytest.mark.parametrize(("given", "odd"), [(None, "None"), (["a"], "'a'"), ("a", "'a'")])
def test_what_selects_no_datasets_is_told(given: Any, odd: str) -> None:
    class Odd(SoundDataset):
        @classmethod
        def select(cls, selection: str, root: Path | None) -> Any:
            return given

    with pytest.raises(DatasetError, match=rf"select\('all'\) of Odd: a list of Dataset was expected, got {odd}"):
        Odd.select("all", None)


def test_a_dataset_that_selects_anything_is_caught(files: Path) -> None:
    class Careless(SoundDataset):
        @classmethod
        def select(cls, selection: str, root: Path | None) -> list[Dataset]:
            return [cls(root or Path())]

    with pytest.raises(AssertionError, match="must raise DatasetError"):
        conformance.check_dataset(Careless(files))
