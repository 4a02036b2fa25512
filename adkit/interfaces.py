"""What a plugin writes: a Method, a Dataset, a Scorer or a Metric, and the entry that announces it.

Entries are cheap: they name the class, which is imported when it is needed, so that listing methods loads no torch.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from importlib import import_module
from inspect import signature
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar, get_args, runtime_checkable

from adkit.containment import list_of, plugin_code
from adkit.errors import OptionError, PluginError, brief

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel
    from torch import Tensor
    from torch.nn import Module

    from adkit.types import Batch, FitReport, LabelledResults, MetricValue, Prediction, Sample, Split

Advance = Callable[[int], None]
"""Call it with the number of steps that were just done."""


class Progress(ABC):
    """Where a long step reports how far it is. The terminal draws it; `Silent` does not."""

    @abstractmethod
    def task(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Open a step of `total` units: `with progress.task("coreset", n) as advance: advance(1)`."""

    def plan(self, steps: Sequence[tuple[str, float]]) -> AbstractContextManager[None]:
        """Tell which steps follow, and how long each takes in proportion: `progress.plan([("features", 3), …])`.

        One bar goes over all of them. A plan within a step parts that step; a planned step may be left out.
        """
        return nullcontext()

    def status(self, text: str, figures: Mapping[str, float] | None = None) -> None:
        """Say how the innermost open step goes ("loss 0.012"); shown beside its bar until the next text.

        `figures` are the next points of curves ({"loss": 0.012}), for programs that draw them.
        """
        return


class Silent(Progress):
    """Reports to nobody."""

    def task(self, label: str, total: int) -> AbstractContextManager[Advance]:
        """Open a step that nobody watches."""
        return nullcontext(lambda _: None)


SILENT = Silent()
Workspace = Callable[[], Path]
"""Gives a folder that lasts until the run is written, whatever happens: the first call makes it, or finds it again."""
Stream = Callable[["Batch"], "Prediction"]
"""Judges batches of a clip's frames in their order, each frame once; what it remembers ends with the clip."""


class Batches(Protocol):
    """Batches that may be walked any number of times, in the same order each time."""

    def __iter__(self) -> Iterator[Batch]:
        """Walk the batches from the start."""

    def __len__(self) -> int:
        """Count the samples of all batches together."""


OptionsType = TypeVar("OptionsType", bound="BaseModel")


class Method(ABC, Generic[OptionsType]):
    """Finds anomalies: learns from normal frames, then gives a map and/or a score per sample.

    A method sees pixels and identities only (`Batch`), never the truth.
    """

    Options: ClassVar[type[BaseModel] | None] = None
    """The model of its options, an `adkit.options.Options`; None when it has none."""
    window: int = 1
    """How many consecutive frames it sees at once; 1 for a still-image method. A class with more learns from clips."""
    default_scorer: ClassVar[str | None] = None
    """The scorer that turns its maps into scores when the user names none; None: its own scores."""
    least_samples: ClassVar[int] = 2
    """With fewer training frames than this, fitting is refused."""
    reconstructs: bool = False
    """Whether predict() also gives images: the reconstruction, shown beside the input. True of the class: it may; an
    instance may say otherwise, where the options decide."""

    def __init__(self, options: OptionsType, *, seed: int = 0, device: str = "cpu") -> None:
        self.options = options
        self.seed = seed
        self.device = device

    @property
    @abstractmethod
    def frame_size(self) -> tuple[int, int]:
        """Return (height, width) in px to which frames are resized before the method sees them."""

    @abstractmethod
    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> FitReport | None:
        """Learn from normal data; return what is worth knowing of the fitted model, if anything is.

        `batches` may be walked again and again. A training that can go on when it was interrupted keeps what it needs
        in `workspace`; None: nothing shall be kept.
        """

    @abstractmethod
    def predict(self, batch: Batch) -> Prediction:
        """Judge every sample of the batch; each independently of the others beside it."""

    def stream(self) -> Stream:
        """Return what judges the frames of clips as they come: by default `predict`, whose windows hold all it needs.

        A method with memory overrides it, and then learns from clips only: it takes a step for each frame and starts
        afresh where `batch.clips` changes. Its answers must not depend on how the frames are parted into batches, and
        be those of `predict` when `batch.frames` holds all frames from the clip's start to the one that is judged.
        """
        return self.predict

    def calibration(self) -> Prediction | None:
        """Return results on the training samples as if each had not been trained on, in training order.

        A memory bank gives leave-one-image-out results, available after `fit` (not after `load_state`).
        A method that cannot do this leaves it as it is: then the core holds training data out.
        """
        return None

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Return all that was learned, as tensors. There is no pickle anywhere."""

    @abstractmethod
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave; the method was made with the same options."""


def misdeclared(method: Method[Any]) -> str | None:
    """Say what of the frames that a method sees cannot be as it says; None: all can."""
    size: Any = method.frame_size
    if not (isinstance(size, tuple) and len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)):
        return f"frame_size is {brief(size)}, not (height, width) in whole px"
    window: Any = method.window
    return None if isinstance(window, int) and window >= 1 else f"window is {brief(window)}, not a number of frames"


@runtime_checkable
class Exportable(Protocol):
    """A method that `adkit export` can take out."""

    def graph(self) -> Module:
        """Return `predict` as a module that torch.onnx.export can trace; raise OptionError where there is none.

        Its `forward` turns frames, float32 (B, 3, H, W), RGB in 0..1, into what `predict` gives: maps (B, h, w), scores
        (B,), or a tuple of both. A method with memory gives one step of its `stream`, for the next frames of B clips:
        `states` of the module names what is remembered of a clip, and its shape; `forward` takes it as float32
        (B, *shape) each, zeros at a clip's start, and gives it anew behind what `predict` gives.
        """


@runtime_checkable
class Updatable(Protocol):
    """A method that `adkit update` can teach further still images, without those that it learned from."""

    def update(self, batches: Batches, progress: Progress, *, first: int, removed: Sequence[int]) -> FitReport:
        """Learn further normal images besides; then `calibration` gives results on them, each as if it were not there.

        Images are counted as they were learned: the new ones from `first` on. What came from those `removed` goes.
        """


def calibrates_itself(method: type[Method[Any]]) -> bool:
    """Say whether a method gives out-of-sample results on its own training data."""
    return method.calibration is not Method.calibration


def sees_motion(method: type[Method[Any]]) -> bool:
    """Say whether every method of the class looks at more than one frame of a clip: it cannot learn from stills."""
    return method.stream is not Method.stream or (isinstance(method.window, int) and method.window > 1)


def _listed(samples: Callable[[Any, Split], Iterable[Sample]]) -> Any:
    @wraps(samples)
    def listed(dataset: Any, split: Split) -> list[Sample]:
        from adkit.types import Sample, odd_among

        by = f"samples({split!r}) of {type(dataset).__name__}"
        with plugin_code(type(dataset)):
            return list_of(Sample, samples(dataset, split), by, odd_among)

    return listed


def _selected(select: Callable[[Any, str, Path | None], Iterable[Dataset]]) -> Any:
    @wraps(select)
    def selected(cls: Any, selection: str, root: Path | None) -> list[Dataset]:
        by = f"select({selection!r}) of {cls.__name__}"
        return list_of(Dataset, select(cls, selection, root), by)  # type: ignore[type-abstract]

    return selected


class Dataset(ABC):
    """One category of a dataset: finds files and their truth on disk, never decodes them."""

    spec: str
    """How the user names it: `mvtec:bottle`."""
    root: Path | None = None
    """The absolute folder from which `select` finds it again, wherever the user then stands; None: needs none."""
    held_out_share: float = 0.0
    """Of the normal samples, those that it moves from training to the tests, as there is no split."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make lists of what `select` and `samples` give, and look at what is in them."""
        super().__init_subclass__(**kwargs)
        if "samples" in vars(cls):
            cls.samples = _listed(cls.samples)  # type: ignore[method-assign]
        if isinstance(select := vars(cls).get("select"), classmethod):
            cls.select = classmethod(_selected(select.__func__))  # type: ignore[assignment]

    @classmethod
    @abstractmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Find the categories that a spec's second half names, in the user's `root`, if any; DatasetError for none."""

    @abstractmethod
    def samples(self, split: Split) -> list[Sample]:
        """Return the samples of one split in a stable order; those of "train" are meant to be normal.

        What is no list is made one: a generator will do.
        """

    def notes(self) -> list[str]:
        """Say how the files were read, in sentences: shown before fitting, so that surprises come early."""
        return []


class Scorer(ABC, Generic[OptionsType]):
    """Turns anomaly maps into one number each."""

    Options: ClassVar[type[BaseModel] | None] = None
    """The model of its options, an `adkit.options.Options`; None when it has none."""

    def __init__(self, options: OptionsType) -> None:
        self.options = options

    @abstractmethod
    def __call__(self, maps: NDArray[np.float32]) -> NDArray[np.float64]:
        """Turn (N, h, w) maps into (N,) scores. The maps cannot be written to: sort a copy."""

    def of_tensors(self, maps: Tensor) -> Tensor:
        """Do the same in torch, float32 (N, h, w) to (N,), for an export. By default OptionError: it cannot."""
        told = f"the scorer {type(self).__name__} cannot be exported: it is not written for tensors"
        raise OptionError(told, hint="fit again with --scorer top1; its author can add it: Scorer.of_tensors")


_Judges = Literal["images", "clips", "both"]


class Metric(ABC):
    """Judges scores or maps against the truth."""

    higher_is_better: ClassVar[bool] = True
    judges: ClassVar[_Judges] = "both"
    """What it is defined for: still images, frames of clips, or both. Tables leave out what cannot be had."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Raise ValueError for what no metric can judge."""
        super().__init_subclass__(**kwargs)
        if cls.judges not in get_args(_Judges):
            raise ValueError(f"{cls.__name__}.judges is {cls.judges!r}, not one of {', '.join(get_args(_Judges))}")

    @abstractmethod
    def __call__(self, results: LabelledResults) -> MetricValue:
        """Return the figure, or the reason why there is none."""

    def resampled(self, results: LabelledResults, weights: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Return the metric in each of R resamples, for intervals.

        `weights` (R, N) says how often each sample is drawn. Clips are drawn whole: then all frames of a clip have the
        same weight; they cannot be written to. (R,) values, nan where undefined. None (the default): the metric cannot
        be resampled.
        """
        return None


Announced = TypeVar("Announced")


@dataclass(frozen=True, slots=True)
class Entry(Generic[Announced]):
    """How a plugin announces something: its name, one line about it, and its class.

    `target` is "package.module:Class", which is imported when it is needed, or the class itself where that costs
    nothing. `origin` is filled in by the registry: the plugin and the distribution that it came with.
    """

    kind: ClassVar[type]
    name: str
    summary: str
    target: str | type[Announced]
    origin: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.target, str | type):
            raise TypeError(f'{self.name} must name its class, target="package.module:Class", got {self.target!r}')

    def load(self) -> type[Announced]:
        """Import the class; raise PluginError, which names plugin and target, when that fails."""
        try:
            with plugin_code(self.origin or self.name):
                found: Any = _named(self.target) if isinstance(self.target, str) else self.target
            fits = isinstance(found, type) and issubclass(found, self.kind)
            if not fits:
                raise TypeError(f"it is no {self.kind.__name__}")
            if issubclass(found, Method):
                _require_workspace(found)
        # A plugin may fail in any way, sys.exit() at import included; only Ctrl-C goes through.
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                f"cannot load {self.name!r} ({self.target}) of {self.origin or 'a plugin'}: "
                f"{type(error).__name__}: {error}",
                hint="fix or uninstall that plugin; every other name still works",
            ) from error
        return found  # type: ignore[no-any-return]


def _named(target: str) -> Any:
    """Return what "module:Class" names; pkgutil takes no module that is no identifier, as of a file my-method.py."""
    module, colon, name = target.partition(":")
    return attrgetter(name)(import_module(module)) if colon else pkgutil.resolve_name(target)


def _require_workspace(method: type[Method[Any]]) -> None:
    """Raise TypeError for a `fit` that cannot be called as `Method.fit` is: it would end each fit with a traceback."""
    found = signature(method.fit)
    try:
        found.bind(None, None, None, None)
    except TypeError:
        name = method.__name__
        raise TypeError(f"{name}.fit must be fit(self, batches, progress, workspace), and is fit{found}") from None


@dataclass(frozen=True, slots=True)
class MethodEntry(Entry[Method[Any]]):
    """Announces a method.

    `cost` is a line of what to expect, measured and with its conditions: how long it learns, how long an image takes,
    how large the model is. "" says nothing. What `draws` nothing at random is the same with every seed: a comparison
    needs one fit of it.
    """

    kind = Method
    cost: str = ""
    draws: bool = True


@dataclass(frozen=True, slots=True)
class DatasetEntry(Entry[Dataset]):
    """Announces a dataset; `example` is a spec that a user can copy."""

    kind = Dataset
    example: str = ""


@dataclass(frozen=True, slots=True)
class ScorerEntry(Entry[Scorer[Any]]):
    """Announces a scorer."""

    kind = Scorer


@dataclass(frozen=True, slots=True)
class MetricEntry(Entry[Metric]):
    """Announces a metric."""

    kind = Metric
