"""Which frames of a clip are anomalous, from a file beside it with its name (press.mp4: press.csv, press.mp4.csv).

- .csv: a header, and a line for each anomaly. The columns are either `start_s` and `end_s`, in seconds from the clip's
  first frame: a frame belongs to the anomaly when, to a thousandth, start_s ≤ its time < end_s; or `first_frame` and
  `last_frame`, both counted from 0, both anomalous. A column `kind` may name the anomaly; where it says nothing, the
  folder does. A header alone says that all frames are normal. Commas, semicolons or tabs part the columns; but for
  commas, 1,5 is 1.5.
- .json: a list of objects with the same names: [{"start_s": 3.2, "end_s": 5.0, "kind": "stop"}].
- .npy: a one-dimensional array with 0 (normal) or 1 (anomalous) for each frame.
- .mat: `volLabel`, a mask for each frame, as Avenue has it (Lu et al., ICCV 2013). 1_label.mat, in any folder, is
  that of testing_videos/01.avi.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import read_array
from numpy.typing import NDArray

from adkit.data.tables import read_cells
from adkit.errors import DatasetError

LABEL_SUFFIXES = (".csv", ".json", ".mat", ".npy")

_SECONDS = ("start_s", "end_s")
_FRAMES = ("first_frame", "last_frame")
_FORMAT = "a label has start_s and end_s (seconds), or first_frame and last_frame (from 0), and may have kind"
_ROUNDING_S = 1.0  # an end may lie behind the last frame by this much: lengths of videos are often rounded up
_WRITTEN_S = 0.0006  # times are written with three decimals, as `score` writes those of events


def is_labels(path: Path) -> bool:
    """Say whether the file's name says that it holds labels."""
    return path.suffix.lower() in LABEL_SUFFIXES


def labels_by_clip(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """Return the files of labels by the path of their clip, with or without its suffix."""
    found: dict[Path, list[Path]] = {}
    for path in filter(is_labels, files):
        number = path.stem.removesuffix("_label")
        of_avenue = path.suffix.lower() == ".mat" and number.isdecimal()
        clip = Path(f"testing_videos/{int(number):02d}") if of_avenue else path.with_suffix("")
        found.setdefault(clip, []).append(path)
    return found


def labels_of(clip: Path, labels: Mapping[Path, list[Path]], *, folder: bool) -> Path | None:
    """Return the file with a clip's labels, if there is one; raises DatasetError where there are several."""
    stems = {clip} if folder else {clip, clip.with_suffix(""), Path(clip.parent.name, clip.stem)}
    found = [path for stem in stems for path in labels.get(stem, ())]
    if len(found) > 1:
        names = ", ".join(sorted(path.name for path in found))
        raise DatasetError(f"{clip} has several files of labels: {names}", hint="keep one of them")
    return found[0] if found else None


def read_labels(path: Path, times_s: NDArray[np.float64], kind: str) -> list[str | None]:
    """Return the kind of each frame's anomaly (`kind`: unnamed) or None; raises DatasetError for what does not fit."""
    try:
        if path.suffix.lower() == ".npy":
            return [kind if anomalous else None for anomalous in read_flags(path, len(times_s))]
        if path.suffix.lower() == ".mat":
            return [kind if anomalous else None for anomalous in _from_masks(path, len(times_s))]
        labels = _from_csv(path) if path.suffix.lower() == ".csv" else _from_json(path)
        found: list[str | None] = [None] * len(times_s)
        for label in labels:
            for index in _frames_of(label, times_s):
                found[index] = str(label.get("kind") or "").strip() or kind
        return found
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as labels: {error}", hint=_FORMAT) from None
    except ValueError as error:
        raise DatasetError(f"{path} does not fit its clip: {error}", hint=_FORMAT) from None


def read_flags(path: Path, frames: int) -> NDArray[np.bool_]:
    """Return which frames (N,) a .npy file says are anomalous; raises OSError, or ValueError where it does not fit."""
    with path.open("rb") as file:
        values = read_array(file, allow_pickle=False)
    if values.shape != (frames,):
        raise ValueError(f"{frames} frames, but labels of shape {values.shape}")
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ValueError("labels other than 0 and 1")
    return values.astype(bool)


def _from_masks(path: Path, frames: int) -> list[bool]:
    from scipy.io import loadmat  # takes a while to import

    try:
        masks = loadmat(path, variable_names=["volLabel"])["volLabel"].ravel()
    except (KeyError, NotImplementedError) as error:  # another name, or another version of the format
        raise ValueError(f"volLabel was expected in it ({error})") from None
    if len(masks) != frames:
        raise ValueError(f"{frames} frames, but {len(masks)} masks")
    return [bool(np.any(mask)) for mask in masks]


def _from_csv(path: Path) -> Sequence[Mapping[str, Any]]:
    found = read_cells(path)
    _require_known(found.names)
    for number, cells in found.lines:
        if len(cells) != len(found.names):
            raise ValueError(f"line {number} has another number of columns than the header")
    rows = [dict(zip(found.names, cells, strict=True)) for _, cells in found.lines]
    if found.delimiter == ",":
        return rows
    # Where a comma parts no columns, spreadsheets of many countries write 1,5 for one and a half.
    return [{name: cell if name == "kind" else cell.replace(",", ".") for name, cell in row.items()} for row in rows]


def _from_json(path: Path) -> Sequence[Mapping[str, Any]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, list) or not all(isinstance(label, dict) for label in content):
        raise ValueError("a list of objects was expected")
    for label in content:
        _require_known(label)
    return content


def _require_known(names: Sequence[str] | Mapping[str, Any]) -> None:
    if len(set(names)) < len(names) or set(names) - {"kind"} not in ({*_SECONDS}, {*_FRAMES}):
        raise ValueError(f"its names are {', '.join(names) or 'missing'}")


def _frames_of(label: Mapping[str, Any], times_s: NDArray[np.float64]) -> range:
    """Return the numbers of a label's frames: at least one."""
    count = len(times_s)
    if _FRAMES[0] in label:
        first, last = (_number(label, name) for name in _FRAMES)
        if not (first.is_integer() and last.is_integer() and 0 <= first <= last < count):
            raise ValueError(f"frames {first:g} to {last:g}; they are numbered 0 to {count - 1}")
        return range(int(first), int(last) + 1)
    start_s, end_s = (_number(label, name) for name in _SECONDS)
    last_s = float(times_s[-1])
    slack_s = float(np.diff(times_s).min(initial=2 * _WRITTEN_S)) / 2
    inside = np.flatnonzero((times_s >= start_s - slack_s) & (times_s < end_s - slack_s))
    if start_s < 0 or end_s > last_s + _ROUNDING_S or not inside.size:
        raise ValueError(f"seconds {start_s:g} to {end_s:g}; its frames are from 0 to {last_s:g} s")
    return range(int(inside[0]), int(inside[-1]) + 1)


def _number(label: Mapping[str, Any], name: str) -> float:
    try:
        value = float(label[name])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {label[name]!r}, a number was expected")
    return value
