"""Methods that fit in milliseconds, a registry that offers them, and cells made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from torch import Tensor

from adkit.comparison.cells import RECORD, SCORES, Cell, Cost
from adkit.comparison.figures import Comparison, compare_cells
from adkit.comparison.grid import Candidate
from adkit.interfaces import Advance, Batches, Method, MethodEntry, Metric, MetricEntry, Progress, Workspace
from adkit.options import Options
from adkit.registry import Catalogue, Plugin, Registry, load_registry
from adkit.runs.record import FitSettings
from adkit.stats.calibration import Threshold
from adkit.stats.rates import decision_rates
from adkit.stats.significance import bootstrap_weights, delong
from adkit.types import Batch, LabelledResults, MetricValue, Prediction

FITTED: list[tuple[str, int]] = []
"""Every fit since the list was cleared: the method's class and the seed."""


def one_of(name: str, method: str, options: Mapping[str, Any] | None = None, **settings: Any) -> Candidate:
    """A candidate with the settings that are named, and no others."""
    return Candidate(name, FitSettings(method=method, **({"options": options} if options else {}), **settings))


def with_settings(candidate: Candidate, **settings: Any) -> Candidate:
    """The candidate, but for these settings."""
    own = candidate.settings.model_dump(exclude_unset=True)
    return replace(candidate, settings=FitSettings(**own | settings))


class FakeOptions(Options):
    side: int = Field(default=8, ge=1, le=64, description="frames are shrunk to this many px a side")
    strength: float = Field(default=1.0, gt=0, description="how strongly to react")


class Level(Method[FakeOptions]):
    """Scores only: how far a few random sums over the pixels lie from those of the normal frames."""

    Options = FakeOptions

    def __init__(self, options: FakeOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        random = torch.Generator().manual_seed(seed)
        self._weights = torch.randn(3 * options.side**2, 4, generator=random)
        self._mean = torch.zeros(4)

    @property
    def frame_size(self) -> tuple[int, int]:
        return (self.options.side, self.options.side)

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        FITTED.append((type(self).__name__, self.seed))
        self._mean = torch.cat([self._sums(batch) for batch in batches]).mean(dim=0)

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(scores=self.options.strength * (self._sums(batch) - self._mean).abs().mean(dim=1))

    def state(self) -> dict[str, Tensor]:
        return {"mean": self._mean}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._mean = state["mean"]

    def _sums(self, batch: Batch) -> Tensor:
        return (batch.frames[:, -1].flatten(1)[:, :, None] * self._weights).sum(dim=1)


class Shade(Method[FakeOptions]):
    """Maps: the distance to the mean of the normal frames, channels weighted at random."""

    Options = FakeOptions
    default_scorer = "max"

    def __init__(self, options: FakeOptions, *, seed: int = 0, device: str = "cpu") -> None:
        super().__init__(options, seed=seed, device=device)
        random = torch.Generator().manual_seed(seed)
        self._weights = torch.rand(3, 1, 1, generator=random)
        self._known = torch.empty(0)
        self._mean = torch.empty(0)

    @property
    def frame_size(self) -> tuple[int, int]:
        return (self.options.side, self.options.side)

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        FITTED.append((type(self).__name__, self.seed))
        self._known = torch.cat([self._shades(batch) for batch in batches])
        self._mean = self._known.mean(dim=0)

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(maps=self.options.strength * (self._shades(batch) - self._mean).abs())

    def calibration(self) -> Prediction | None:
        others = (self._known.sum(dim=0) - self._known) / (len(self._known) - 1)
        return Prediction(maps=self.options.strength * (self._known - others).abs())

    def state(self) -> dict[str, Tensor]:
        return {"mean": self._mean}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._mean = state["mean"]

    def _shades(self, batch: Batch) -> Tensor:
        return (batch.frames[:, -1] * self._weights).sum(dim=1)


class Hungry(Level):
    """Needs more images than the washers have to learn from."""

    least_samples = 8


class Margin(Metric):
    """How far the mean anomalous score lies above the mean normal one; nobody resamples it."""

    def __call__(self, results: LabelledResults) -> MetricValue:
        if not results.anomalous.any() or results.anomalous.all():
            return MetricValue(None, "one sort is missing")
        scores, anomalous = results.scores, results.anomalous
        return MetricValue(float(scores[anomalous].mean() - scores[~anomalous].mean()))


class Highest(Metric):
    """The mean of the anomalous samples' highest map values."""

    def __call__(self, results: LabelledResults) -> MetricValue:
        if results.maps is None:
            return MetricValue(None, "the method gives no maps")
        if not results.anomalous.any():
            return MetricValue(None, "nothing is anomalous")
        return MetricValue(float(self._highest(results)[results.anomalous].mean()))

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        chosen = weights[:, results.anomalous]
        return np.asarray(chosen @ self._highest(results)[results.anomalous] / chosen.sum(axis=1))

    @staticmethod
    def _highest(results: LabelledResults) -> NDArray[np.float64]:
        assert results.maps is not None
        return np.asarray(results.maps.max(axis=(1, 2)), dtype=np.float64)


def fake_registry(
    *,
    methods: str = "1.0",
    scorers: str | None = None,
    metrics: str | None = None,
    more: Mapping[str, type[Metric]] | None = None,
) -> Registry:
    """The fake methods, two of the installed metrics, two fake ones and `more`; the texts are versions of plugins."""
    registry = load_registry()
    installed = registry.metrics
    registry.methods, registry.metrics = Catalogue("method"), Catalogue("metric")
    ours = Plugin("fakes", "tests.comparison.fakes", "adkit-fakes", methods)
    for name, method in {"level": Level, "shade": Shade, "hungry": Hungry}.items():
        registry.methods.add(MethodEntry(name, "a fake", method), ours)
    theirs = installed.origin("image_auroc")
    plugin = Plugin(theirs.name, theirs.module, theirs.distribution, metrics or theirs.version)
    for name in ("image_auroc", "average_precision"):
        registry.metrics.add(installed.get(name), plugin)
    for name, metric in {"margin": Margin, "highest": Highest, **(more or {})}.items():
        registry.metrics.add(MetricEntry(name, "a fake", metric), Plugin("fakes", "", "adkit-fakes", "1.0"))
    if scorers:
        for claims in registry.scorers.claims.values():
            claims[:] = [Plugin(claim.name, claim.module, claim.distribution, scorers) for claim in claims]
    return registry


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes | None]]] = {
    "no record": (RECORD, lambda _: None),
    "half a record": (RECORD, lambda content: content[: len(content) // 2]),
    "another record": (RECORD, lambda _: b"[1]"),
    "a record that lacks a part": (RECORD, lambda content: content.replace(b'"fit_s"', b'"other"')),
    "a record that is no text": (RECORD, lambda _: b"\xff\xfe"),
    "no scores": (SCORES, lambda _: None),
    "altered scores": (SCORES, lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:]),
    "cut scores": (SCORES, lambda content: content[:-20]),
}
"""What may befall a cell: the file, and what becomes of its content; None: it is gone."""


def damage(cell: Path, how: str) -> None:
    """Do it to the cell in that folder."""
    name, change = DAMAGES[how]
    before = (cell / name).read_bytes()
    after = change(before)
    assert after != before
    if after is None:
        (cell / name).unlink()
    else:
        (cell / name).write_bytes(after)


class Told(Progress):
    """Remembers the steps that were opened and how far they came."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.done: dict[str, int] = {}

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        self.totals[label], self.done[label] = total, 0

        def advance(steps: int) -> None:
            self.done[label] += steps

        yield advance


def same_cell(one: Cell, other: Cell) -> bool:
    """Whether two cells hold the same, whatever they cost and wherever they lie."""
    plain = ("category", "seed", "test_hash", "metrics", "why_undefined", "threshold", "at", "ids")
    return (
        all(getattr(one, name) == getattr(other, name) for name in plain)
        and np.array_equal(one.scores, other.scores)
        and np.array_equal(one.anomalous, other.anomalous)
        and one.replicates.keys() == other.replicates.keys()
        and all(np.array_equal(one.replicates[name], other.replicates[name], equal_nan=True) for name in one.replicates)
    )


def part_of_category(source: Path, target: Path, *, keep: Callable[[str], bool]) -> Path:
    """A copy of a category in MVTec's layout with only those kinds of test images that are kept."""
    shutil.copytree(source, target)
    for folder in [*(target / "test").iterdir(), *(target / "ground_truth").iterdir()]:
        if not keep(folder.name):
            shutil.rmtree(folder)
    return target


def resampled_auroc(scores: ArrayLike, anomalous: ArrayLike, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """(R,) AUROCs of weighted samples, all pairs compared."""
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(anomalous, dtype=bool)
    apart = values[truth][:, None] - values[~truth]
    wins = (apart > 0) + 0.5 * (apart == 0)
    high, low = weights[:, truth], weights[:, ~truth]
    found: NDArray[np.float64] = np.einsum("ra,an,rn->r", high, wins, low) / (high.sum(axis=1) * low.sum(axis=1))
    return found


def made_cell(
    candidate: str,
    scores: Sequence[float],
    anomalous: Sequence[bool],
    *,
    category: str = "x:a",
    seed: int = 0,
    threshold: float = 0.5,
    metrics: Mapping[str, float | None] | None = None,
    why_undefined: Mapping[str, str] | None = None,
    replicates: Mapping[str, ArrayLike] | None = None,
    test_hash: str = "5eed",
    ids: Sequence[str] | None = None,
    cost: Cost | None = None,
) -> Cell:
    """A cell of these scores, with their AUROC and 400 resamples of it unless other metrics are given."""
    truth = np.array(anomalous, dtype=bool)
    if metrics is None:
        metrics = {"image_auroc": float(delong([[scores]], truth).aurocs[0])}
        replicates = {"image_auroc": resampled_auroc(scores, truth, bootstrap_weights(truth, 400, seed=1))}
    found = decision_rates(np.array(scores, dtype=np.float64), truth, threshold)
    return Cell(
        candidate,
        category,
        seed,
        f"cells/{candidate}-{category}-{seed}/run",
        test_hash,
        metrics,
        why_undefined or {},
        Threshold(threshold, 2, 19, 0.1, 0.23),
        "the promised 10%",
        "image",
        found.caught,
        found.false_alarms,
        cost or Cost(1.5, 3.0, 2.0, 100_000_000, 1_000_000),
        tuple(ids or map(str, range(len(scores)))),
        np.array(scores, dtype=np.float64),
        truth,
        {name: np.asarray(values, dtype=np.float64) for name, values in (replicates or {}).items()},
    )


def compared(
    cells: Sequence[Cell],
    *,
    names: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    failures: Mapping[tuple[str, str, int], str] | None = None,
) -> Comparison:
    """The comparison of these cells, candidates and categories in the order in which they come."""
    names = names or list(dict.fromkeys(cell.candidate for cell in cells))
    categories = categories or list(dict.fromkeys(cell.category for cell in cells))
    seeds = list(dict.fromkeys(cell.seed for cell in cells))
    return compare_cells([one_of(name, name) for name in names], categories, seeds, cells, failures or {})


def valued(candidate: str, category: str, value: float | None, **more: Any) -> Cell:
    """A cell with two metrics of given values that nobody resamples; the second runs against the first."""
    other = None if value is None else -value
    reasons = {} if value is not None else {"up": "no masks", "down": "no masks"}
    return made_cell(
        candidate,
        [0.0, 1.0],
        [False, True],
        category=category,
        metrics={"up": value, "down": other},
        why_undefined=reasons,
        **more,
    )


def several(values: Mapping[str, Sequence[float]]) -> Comparison:
    """Candidates with one value in each of several categories, in the metric "up"; "down" is its negative."""
    return compared(
        [valued(name, f"x:{number}", one) for name, row in values.items() for number, one in enumerate(row)]
    )
