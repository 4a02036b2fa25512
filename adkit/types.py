"""The values that core and plugins pass to each other. Shapes are checked where a value is born."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from adkit.errors import brief

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Split = Literal["train", "test"]
Scalar = TypeVar("Scalar", bound="np.generic")
USUAL_RATE = 25.0
"""Frames a second of a clip that does not say, such as a folder of images."""


@dataclass(frozen=True, slots=True)
class FrameRef:
    """Where one frame lies: an image file, `page` (from 0) of one, or frame `number` (from 0) of a video file."""

    path: Path
    number: int | None = None
    page: int | None = None  # None: the file holds one image
    others: tuple[Path, ...] = ()  # the further files of a mask, which is the union of all

    def __str__(self) -> str:
        if self.page is not None:
            return f"{self.path} page {self.page + 1}"
        return str(self.path) if self.number is None else f"{self.path}#{self.number}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame to learn from or to score, and what is known of its truth.

    `id` is unique within a dataset and stable between machines ("test/crack/003").
    `clip` and `index` say where in which video the frame stands, `timestamp_s` when, in seconds from the clip's
    start (None: it follows from the index); a still image is a clip of length one.
    `anomalous` is None where the truth is not known; `kind` names the defect ("crack") for tables;
    `mask` marks the anomalous pixels (None: no mask is known, or nothing is anomalous).
    """

    id: str
    frame: FrameRef
    clip: str
    index: int = 0
    anomalous: bool | None = None
    kind: str | None = None
    mask: FrameRef | None = None
    timestamp_s: float | None = None

    @property
    def time_s(self) -> float:
        """Return seconds from the clip's start; where nobody says, 25 frames make a second."""
        return self.index / USUAL_RATE if self.timestamp_s is None else self.timestamp_s

    @classmethod
    def still(
        cls,
        sample_id: str,
        path: Path,
        *,
        anomalous: bool | None = None,
        kind: str | None = None,
        mask: Path | None = None,
    ) -> Sample:
        """Make a still image a sample: a clip of its own."""
        mask_ref = None if mask is None else FrameRef(mask)
        return cls(sample_id, FrameRef(path), sample_id, 0, anomalous, kind, mask_ref)


def odd_among(samples: Sequence[Sample]) -> str | None:
    """Say what no command could use among what a dataset gives; None: nothing."""
    ids = set[str]()
    for sample in samples:
        if not all(isinstance(frame.path, Path) for frame in (sample.frame, sample.mask) if frame):
            return f"the paths of {sample.id} are texts, and pathlib.Path was expected"
        for name in ("id", "clip", "kind"):
            if not isinstance(value := getattr(sample, name), str) and (name, value) != ("kind", None):
                return f"the {name} of {sample.id} is {value!r}, and a text was expected"
        if sample.anomalous not in (True, False, None):  # "False" would count as true
            return f"anomalous of {sample.id} is {sample.anomalous!r}, and True, False or None was expected"
        if sample.id in ids:
            return f"two samples have the id {sample.id}"
        ids.add(sample.id)
    return None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a method sees: pixels, and which of them are of one clip. Labels cannot leak through it.

    `ids` and `clips` are numbers that the core makes anew for each walk: they tell no path and no name of a kind.
    `frames[:, -1]` is the frame being scored; the ones before it are its past, padded at a clip's start.
    """

    frames: Tensor  # float32 (B, T, 3, H, W), RGB in 0..1
    ids: tuple[str, ...]  # B of them
    clips: tuple[str, ...]  # B of them
    spans_s: tuple[float, ...] = ()  # B of them: seconds from the window's first frame to its last; (): not known

    def __post_init__(self) -> None:
        shape = tuple(self.frames.shape)
        if len(shape) != 5 or shape[2] != 3:
            raise ValueError(f"Batch.frames must be (B, T, 3, H, W), got {shape}")
        if not len(self.ids) == len(self.clips) == shape[0]:
            raise ValueError(f"{shape[0]} frames but {len(self.ids)} ids and {len(self.clips)} clips")
        if self.spans_s and len(self.spans_s) != shape[0]:
            raise ValueError(f"{shape[0]} frames but {len(self.spans_s)} spans of time")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class FitReport:
    """What is worth knowing of a fitted model: stored with its run, and shown in its report."""

    facts: Mapping[str, str | int | float | bool] = field(default_factory=dict)  # sizes, decisions taken
    curves: Mapping[str, list[float]] = field(default_factory=dict)  # a number for each epoch, by name ("loss")
    scorer: str | None = None  # how a map becomes a score, where what was learned says so: "top:percent=3"
    notes: Sequence[str] = ()  # what a user should know of the normal data, a sentence each: `fit` warns of it

    def __post_init__(self) -> None:
        """Make numbers of numpy's and torch's; raises TypeError, where the plugin does it, for what no run can keep."""
        facts = {name: one if isinstance(one, str | int) else _number(name, one) for name, one in self.facts.items()}
        object.__setattr__(self, "facts", facts)
        curves = {name: [_number(name, one) for one in values] for name, values in self.curves.items()}
        object.__setattr__(self, "curves", curves)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):  # the last is torch's
        told = f"FitReport: {name!r} is of type {type(value).__name__}; a number, or of facts a text, was expected"
        raise TypeError(told) from None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a method answers for B samples; higher means more anomalous.

    At least one of `maps` and `scores` is there. Maps may have any resolution: the core resizes them. Scores beside
    maps say what no place shows, in the unit of the mean of a map's highest hundredth: what exceeds it is added.
    """

    maps: Tensor | None = None  # float32 (B, h, w)
    scores: Tensor | None = None  # float32 (B,): of the sample as a whole
    images: Tensor | None = None  # float32 (B, 3, H, W), RGB in 0..1: the reconstruction, where there is one

    def __post_init__(self) -> None:
        if self.maps is None and self.scores is None:
            raise ValueError("a Prediction needs maps, scores or both; got neither")
        lengths = {}
        for name, expected in (("maps", "(B, h, w)"), ("scores", "(B,)"), ("images", "(B, 3, H, W)")):
            if (tensor := getattr(self, name)) is None:
                continue
            kind = str(getattr(tensor, "dtype", ""))
            if kind != "torch.float32":
                raise ValueError(f"Prediction.{name} must be a float32 tensor, got {type(tensor).__name__} {kind}")
            shape = tuple(tensor.shape)
            if len(shape) != expected.count(",") + (name != "scores") or 0 in shape[1:]:
                raise ValueError(f"Prediction.{name} must be {expected}, got {shape}")
            lengths[name] = shape[0]
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the parts of a Prediction differ in length: {lengths}")

    def __len__(self) -> int:
        part = self.maps if self.maps is not None else self.scores
        assert part is not None
        return int(part.shape[0])


def read_only(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """Return the array for a plugin to look at: what it writes into it raises ValueError, and spoils nothing."""
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, slots=True)
class LabelledResults:
    """What a metric judges: N samples whose truth is known.

    Pixels are read one sample at a time, so memory does not grow with N. `pixels()` yields, for each
    sample whose anomalous pixels are known, its index, its map enlarged bilinearly to the mask's resolution
    (float32 (H, W); but for rounding, no value leaves the range of `maps`) and its mask (bool (H, W); all False
    for a normal sample).

    The frames of a clip stand side by side in their order; still images are clips of one frame. All metrics judge the
    same arrays, so that none can be written to: work on a copy.
    """

    scores: NDArray[np.float64]  # (N,)
    anomalous: NDArray[np.bool_]  # (N,)
    kinds: tuple[str, ...]  # N of them; "good" for normal samples
    threshold: float  # a score above it is called anomalous
    pixel_threshold: float | None
    maps: NDArray[np.float32] | None  # (N, h, w), at the method's own resolution
    has_masks: bool  # at least one anomalous sample has a mask
    pixels: Callable[[], Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]]
    clips: tuple[str, ...]  # N of them: whose frame each sample is
    times_s: NDArray[np.float64]  # (N,) since the start of the sample's clip
    alarms: NDArray[np.bool_]  # (N,) what belongs to an event that the run found; of stills, what is called anomalous
    ends_s: Mapping[str, float] = field(default_factory=dict)
    """When clips end, where it is known: else their last frame lasts as long as the one before."""
    counting: Callable[[tuple[int, int]], NDArray[np.bool_] | None] = lambda _: None
    """Which pixels of an image (height, width) count; None: all. Where none count, nothing is found: what a mask marks
    there is missed, and good pixels are not judged."""

    def __post_init__(self) -> None:
        for name in ("scores", "anomalous", "maps", "times_s", "alarms"):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, read_only(array))
        walk = self.pixels
        object.__setattr__(self, "pixels", lambda: ((row, *map(read_only, both)) for row, *both in walk()))

    @property
    def of_clips(self) -> bool:
        """Say whether they are frames of clips; False: each is a still image."""
        return len(set(self.clips)) < len(self.clips)

    def spans(self, flags: NDArray[np.bool_]) -> list[range]:
        """Return the runs of frames of one clip for which `flags` (N,) is True, as their positions.

        `spans(anomalous)` are the events in truth, `spans(alarms)` those that were found.
        """
        of_row = list(zip(flags.tolist(), self.clips, strict=True))
        runs = ((flag, list(rows)) for (flag, _), rows in groupby(range(len(of_row)), key=of_row.__getitem__))
        return [range(rows[0], rows[-1] + 1) for flag, rows in runs if flag]

    def spans_beside(self, flags: NDArray[np.bool_], others: NDArray[np.bool_]) -> list[range]:
        """Return the spans of `flags` in which none of `others` (N,) is True.

        `spans_beside(anomalous, alarms)` are missed events, `spans_beside(alarms, anomalous)` false alarms.
        """
        return [span for span in self.spans(flags) if not others[span.start : span.stop].any()]


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric's result; `value` is None where it is not defined, and `why_undefined` says why."""

    value: float | None
    why_undefined: str | None = None
    details: Mapping[str, float | None] = field(default_factory=dict)
    """More figures of the same unit, for example one per defect kind."""

    def __post_init__(self) -> None:
        if self.value is None and not self.why_undefined:
            raise ValueError('a metric without a value must say why: MetricValue(None, "no masks")')
        if self.value is not None and not hasattr(self.value, "__float__"):
            raise TypeError(f"a metric's value is a number or None, and {brief(self.value)} was given")
