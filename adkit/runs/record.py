"""What a run says of itself: run.json, and the checksums of what it has seen."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, ValidationError, field_validator

from adkit.data.view import View
from adkit.errors import OptionError, brief, nearest, said
from adkit.files.atomic import plain_name
from adkit.options import option_text
from adkit.stats.calibration import Threshold, ThresholdRule, rule_of
from adkit.stats.formatting import score_text, verb
from adkit.stats.significance import looks_mixed
from adkit.stats.smoothing import SMOOTHING_S

FORMAT = 10
LATEST = "latest"  # means the newest run, whatever its name
SEEING = ("roi", "ignore", "ignore_border", "tiles")  # the settings that say what of an image is seen, and how
PART = "part"  # as a place to look: what stands out from its ground in the normal images
UNTRUSTED = "the run cannot be trusted: fit again, or restore the folder from a copy"
RateText = Annotated[str, Field(coerce_numbers_to_str=True)]
"""A rate as people write it: "1%", "6/h" or 0.01."""


class FitSettings(BaseModel, extra="forbid", frozen=True):
    """Everything that a fit depends on besides its data, by the names of `adkit fit`'s options; raises OptionError."""

    method: str
    dataset: tuple[str, ...] = ()  # specs, in the order of learning
    options: dict[str, str] = Field(default_factory=dict)  # of the method: those that were asked for
    root: str | None = None  # the folder that holds the datasets
    scorer: str | None = None  # None: the method's own
    max_false_alarms: RateText | None = None  # "1%", or for clips "6/h"; None: the usual rate
    certain: bool = False  # keep that rate with 95 % certainty
    percentile: float | None = None  # of the normal scores: instead of a promise
    joint: bool = False  # one model from all datasets together
    leave_out: tuple[str, ...] = ()  # images and clips that are neither learned from nor set the threshold
    robust: bool = False  # leave out also those whose scores lie far apart, as those of hidden defects would
    few: int | None = None  # learn from so many images (clips) drawn by the seed
    roi: str | None = None  # where to look: a box "x,y,w,h" in px, "part", or the path of a mask; None: everywhere
    ignore: str | None = None  # the path of a mask of what does not count
    ignore_border: int = Field(default=0, ge=0)  # px along the images' edges that do not count
    tiles: bool = False  # see images in overlapping tiles, at their full resolution
    appearance_only: bool = False  # of clips, each frame is judged by itself: not how things move
    every: int | None = Field(default=None, ge=1)  # of clips, one in so many frames; None: as many as are needed
    smoothing: float = Field(default=SMOOTHING_S, ge=0, allow_inf_nan=False)  # seconds; of the scores of clips' frames
    seed: int = Field(default=0, ge=0, lt=2**63)
    device: str = "auto"
    skip_bad: bool = False  # go on without files that cannot be read
    name: str | None = None  # by which commands find the newest run that has it

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            unknown = first["type"] == "extra_forbidden"
            hint = nearest(name, type(self).model_fields) if unknown else "see: adkit fit --help"
            told = f"{name}={brief(first['input'])} is refused: {said(first['msg'])}"
            raise OptionError(told, hint=hint) from None

    @field_validator("root", mode="before")
    @classmethod
    def _as_text(cls, root: Any) -> Any:
        return str(Path(root)) if root and isinstance(root, str | Path) else root  # "/data/." is "/data"

    @field_validator("roi", "ignore", mode="before")
    @classmethod
    def _from_anywhere(cls, value: Any) -> Any:
        if not isinstance(value, str | Path):
            return value
        is_path = value != PART and not re.fullmatch(r"[-\d.,\s]*", str(value))
        return str(Path(value).expanduser().absolute()) if is_path else str(value)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str | None) -> str | None:
        if name is not None and (plain_name(name) != name or name[:1] in ("", "-", ".") or name == LATEST):
            raise ValueError(
                "a name has letters, digits, '.', '_' and '-' only (no '.' or '-' first), and is not 'latest'"
            )
        return name

    @field_validator("options", mode="before")
    @classmethod
    def _as_texts(cls, options: Any) -> Any:
        if not isinstance(options, Mapping):
            return options
        return {name: option_text(value).strip() for name, value in options.items()}

    @property
    def rule(self) -> ThresholdRule:
        """Say how the threshold follows from normal scores; raises AdkitError for settings that contradict."""
        return rule_of(self.max_false_alarms, self.certain, self.percentile) or ThresholdRule()

    def command_line(self) -> list[str]:
        """Give the arguments of `adkit fit` that mean these settings; what is as usual is left out."""
        words = _pair("--method", self.method)
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            flag = "--" + name.replace("_", "-")
            if name == "method" or value == field.get_default(call_default_factory=True):
                continue
            if name == "options":
                words += [word for key, text in value.items() for word in _pair("--set", f"{key}={text}")]
            elif value is True:
                words.append(flag)
            else:
                values = value if isinstance(value, tuple) else [value]
                words += [word for one in values for word in _pair(flag, str(one))]
        return words


def _pair(flag: str, value: str) -> list[str]:
    """Return two words, or one where the value would be taken for another flag."""
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


class FileRecord(BaseModel, extra="forbid", frozen=True):
    """Size and checksum of one file of a run."""

    bytes: int
    sha256: str


_ByName = Annotated[
    dict[str, float],
    # Not written as keys: where those are not UTF-8, as names of files may be, pydantic writes other letters.
    PlainSerializer(lambda found: [{"name": name, "score": score} for name, score in found.items()], when_used="json"),
    BeforeValidator(lambda told: {one["name"]: one["score"] for one in told} if isinstance(told, list) else told),
]


class Suspects(BaseModel, extra="forbid", frozen=True):
    """Normal images or clips whose scores lie apart from the rest, as if anomalous ones were among them."""

    scores: _ByName  # the highest first
    gap_from: float  # no score lies between this …
    gap_to: float  # … and this
    among: int  # scores that were looked at
    spreads: float  # how wide the gap is: `adkit.stats.significance.looks_mixed`

    @classmethod
    def among_scores(cls, names: Sequence[str], scores: NDArray[np.float64]) -> "Suspects | None":
        """Return those that lie apart, None where none do; `names` are unique."""
        apart = looks_mixed(scores)
        if apart is None:
            return None
        named = {names[position]: float(scores[position]) for position in apart.positions}
        return cls(scores=named, gap_from=apart.gap_from, gap_to=apart.gap_to, among=len(scores), spreads=apart.spreads)

    def __len__(self) -> int:
        return len(self.scores)

    def __str__(self) -> str:
        gap = f"none between {score_text(self.gap_from)} and {score_text(self.gap_to)}"
        return f"{len(self)} of {self.among} scores {verb(len(self), 'lie')} apart from the rest ({gap})"


class LeftOut(BaseModel, extra="forbid", frozen=True):
    """A training image or clip that was neither learned from nor had a say in the threshold."""

    name: str
    score: float | None  # by which it was found out; None: it was left out by name
    why: str  # in words


class CalibrationRecord(BaseModel, extra="forbid", frozen=True):
    """How the thresholds were set, and from what."""

    created: datetime
    source: str  # in words: how the normal scores were had
    leave_one_out: bool  # whether any are results on training samples, each as if it had not been learned from
    data: str  # the dataset's spec, or the folders that were given
    data_hash: str
    rule: ThresholdRule
    threshold: Threshold
    pixel_threshold: Threshold | None
    suspects: Suspects | None = None  # of those whose scores set the threshold

    @property
    def in_brackets(self) -> str:
        """Say behind scores that go on counting how they were had; nothing where they are from before themselves."""
        return "" if " from before" in self.source else f" ({self.source})"


class JointShare(BaseModel, extra="forbid", frozen=True):
    """What one dataset gave to a model that learned from several."""

    train_count: int  # images that were learned from
    data_hash: str  # as in the record of its own run


class UpdateRecord(BaseModel, extra="forbid", frozen=True):
    """What a run learned besides, after a run before it."""

    of: str  # the id of the run before
    created: datetime
    data: str  # the folders that were given
    images: int  # so many were learned
    removed: list[str]  # names of images whose part of the model was taken out
    drift: str | None = None  # in words: that the new images score otherwise than those before; None: they do not


class RunRecord(BaseModel, extra="forbid", frozen=True):
    """What run.json says."""

    format: int = FORMAT
    id: str
    created: datetime
    settings: FitSettings  # what was asked for, of all datasets that were learned from
    origin: str  # the plugin and distribution that brought the method
    options: dict[str, Any]  # of the method: all of them, with the defaults of its time
    dataset: str  # this run's own, as a spec
    root: str | None  # where it lies
    device: str  # on which it was fitted
    view: View  # how images become what the method sees
    window: int
    train_count: int  # images of this dataset that were learned from
    data_hash: str  # of this dataset's training samples' ids and their files' contents, the held-out ones' too
    step_s: float = 0.0  # between the frames of clips that were learned from, and those that are judged; 0: stills
    smoothing_s: float = 0.0  # the time constant by which scores of a clip's frames are smoothed
    segment_s: float | None = None  # long clips were cut into pieces of about so many seconds; None: none was
    joint: dict[str, JointShare] = Field(default_factory=dict)  # by spec, in the order of learning; {}: of one dataset
    skipped: list[str] = Field(default_factory=list)  # training files that could not be read
    copies: list[str] = Field(default_factory=list)  # training images and clips left out: others are the same
    left_out: list[LeftOut] = Field(default_factory=list)  # by name, or as suspects
    calibration: CalibrationRecord
    earlier_calibrations: list[CalibrationRecord] = Field(default_factory=list)  # the oldest first
    updates: list[UpdateRecord] = Field(default_factory=list)  # after the fit, the oldest first
    facts: dict[str, str | int | float | bool]
    notes: list[str] = Field(default_factory=list)  # what a user should know of the normal data, a sentence each
    curves: dict[str, list[float]] = Field(default_factory=dict)  # how learning went, a number for each epoch
    timings_s: dict[str, float]  # of all datasets together where the model learned from several
    versions: dict[str, str]
    files: dict[str, FileRecord] = Field(default_factory=dict)

    @property
    def method(self) -> str:
        """Return the method's name."""
        return self.settings.method

    @property
    def scorer(self) -> str | None:
        """Return what turned maps into scores; None: the method's own scores."""
        return self.settings.scorer

    @property
    def threshold(self) -> Threshold:
        """Return the score above which a sample is called anomalous."""
        return self.calibration.threshold

    @property
    def pixel_threshold(self) -> Threshold | None:
        """Return the map value above which a place is outlined; None without maps."""
        return self.calibration.pixel_threshold

    @property
    def suspects(self) -> list[str]:
        """Return the names of normal units that set the threshold although their scores lie apart."""
        return list(self.calibration.suspects.scores) if self.calibration.suspects else []

    @property
    def learned_with(self) -> dict[str, int]:
        """Say how many images of other datasets the model learned from as well, by their specs."""
        return {spec: share.train_count for spec, share in self.joint.items() if spec != self.dataset}


@dataclass(frozen=True, slots=True)
class SeenData:
    """Checksums of files that a run has seen, by sample id: no promise holds for judging them again."""

    training: Mapping[str, str]
    calibration: Mapping[str, str]  # empty as long as only the training samples themselves calibrate

    @property
    def all(self) -> dict[str, str]:
        """Return both."""
        return {**self.training, **self.calibration}

    def to_bytes(self) -> bytes:
        """Give it as JSON."""
        return (json.dumps({"training": self.training, "calibration": self.calibration}, indent=0) + "\n").encode()
