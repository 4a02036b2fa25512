"""What a run says of itself: run.json, and the checksums of what it has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from adkit.stats.calibration import Threshold, ThresholdRule

FORMAT = 6
RECORD = "run.json"
MODEL = "model.safetensors"
CALIBRATION = "calibration.safetensors"
DATA = "data.json"
EVALUATION = "evaluation"
PICTURES = "pictures"
REPORT = "report.html"

UNTRUSTED = "the run cannot be trusted: fit again, or restore the folder from a copy"


class FileRecord(BaseModel):
    """Size and checksum of one file of a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int
    sha256: str


class CalibrationRecord(BaseModel):
    """How the thresholds were set, and from what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    created: datetime
    source: str  # in words: how the normal scores were had
    leave_one_out: bool  # whether any are results on training samples, each as if it had not been learned from
    data: str  # the dataset's spec, or the folders that were given
    data_hash: str
    rule: ThresholdRule
    threshold: Threshold
    pixel_threshold: Threshold | None


class JointShare(BaseModel):
    """What one dataset gave to a model that learned from several."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train_count: int  # images that were learned from
    data_hash: str  # as in the record of its own run


class RunRecord(BaseModel):
    """What run.json says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    id: str
    created: datetime
    method: str
    origin: str  # the plugin and distribution that brought the method
    options: dict[str, Any]
    scorer: str | None  # None: the method's own scores
    dataset: str  # spec
    root: str | None
    seed: int
    device: str
    frame_size: tuple[int, int]  # (height, width) px
    window: int
    train_count: int  # images of this dataset that were learned from
    data_hash: str  # of this dataset's training samples' ids and their files' contents, the held-out ones' too
    every: int = 1  # of each clip's frames, one in so many was learned from and is judged
    smoothing_s: float = 0.0  # the time constant by which scores of a clip's frames are smoothed
    segment_s: float | None = None  # long clips were cut into pieces of about so many seconds; None: none was
    few: int | None = None  # so many images (clips) were drawn by the seed to learn from; None: all that could be
    joint: dict[str, JointShare] = Field(default_factory=dict)  # by spec, in the order of learning; {}: of one dataset
    skipped: list[str] = Field(default_factory=list)  # training files that could not be read
    copies: list[str] = Field(default_factory=list)  # training images and clips left out: others are the same
    calibration: CalibrationRecord
    earlier_calibrations: list[CalibrationRecord] = Field(default_factory=list)  # the oldest first
    facts: dict[str, str | int | float | bool]
    curves: dict[str, list[float]] = Field(default_factory=dict)  # how learning went, a number for each epoch
    timings_s: dict[str, float]  # of all datasets together where the model learned from several
    versions: dict[str, str]
    files: dict[str, FileRecord] = Field(default_factory=dict)

    @property
    def threshold(self) -> Threshold:
        """The score above which a sample is called anomalous."""
        return self.calibration.threshold

    @property
    def pixel_threshold(self) -> Threshold | None:
        """The map value above which a place is outlined; None without maps."""
        return self.calibration.pixel_threshold

    @property
    def learned_with(self) -> dict[str, int]:
        """How many images of other datasets the model learned from as well, by their specs."""
        return {spec: share.train_count for spec, share in self.joint.items() if spec != self.dataset}


@dataclass(frozen=True, slots=True)
class SeenData:
    """Checksums of files that a run has seen, by sample id: no promise holds for judging them again."""

    training: Mapping[str, str]
    calibration: Mapping[str, str]  # empty as long as only the training samples themselves calibrate

    def to_bytes(self) -> bytes:
        """As JSON."""
        return (json.dumps({"training": self.training, "calibration": self.calibration}, indent=0) + "\n").encode()
