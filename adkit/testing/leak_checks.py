"""The check that a method learns nothing from the test split: see `adkit.testing.conformance`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from adkit.errors import DatasetError
from adkit.interfaces import Dataset, sees_motion
from adkit.options import options_of, parse_options
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run
from adkit.synthetic.parts import GOOD
from adkit.testing.synthetic import CLIP_FRAMES, CLIPS, TRAINING_FRAMES, drawn_part
from adkit.types import Sample, Split
from adkit.workflows.fit import fit


def check_no_leak(method: str, registry: Registry, options: Mapping[str, Any] | None = None) -> None:
    """Fit thrice, with the test split, with its truth upside down, and without it: all must be the same to the bit."""
    method_class = registry.methods.get(method).load()
    made = method_class(parse_options(options_of(method_class), options or {}, method))
    clip_frames = CLIP_FRAMES if sees_motion(method_class) or made.window > 1 else 0
    count = CLIPS * clip_frames or max(TRAINING_FRAMES, 2 * method_class.least_samples)
    settings = FitSettings(method=method, options=options or {}, seed=3, device="cpu")
    with TemporaryDirectory() as folder:
        parts = _draw_parts(Path(folder), count, clip_frames)

        def fitted(name: str, dataset: Dataset) -> Run:
            return fit(settings, dataset, Path(folder, name), registry)

        plain, locked = fitted("plain", parts), _PartDataset(parts.train, None)
        upside_down = _PartDataset(parts.train, _swapped(parts.samples("test")))
        _check_same_run(plain, fitted("upside_down", upside_down), "the truth of the test split is upside down")
        _check_same_run(plain, fitted("locked", locked), "there is no test split")
    assert not locked.asked, "fitting asked for the test split"


class _PartDataset(Dataset):
    """Drawn washers to learn from, and some to test with; None: asking for those fails, and is remembered."""

    spec = "parts:washer"

    def __init__(self, train: Sequence[Sample], test: Sequence[Sample] | None) -> None:
        self.train, self.test = train, test
        self.asked = False

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        raise DatasetError(f"there is no part {selection!r}", hint="this dataset is for checks only")

    def samples(self, split: Split) -> list[Sample]:
        if split == "train":
            return list(self.train)
        self.asked = True
        assert self.test is not None, "fitting asked for the test split"
        return list(self.test)


def _draw_parts(folder: Path, count: int, clip_frames: int) -> _PartDataset:
    """Draw so many to learn from, in clips of so many frames (0: stills), two good and two scratched to test with."""
    samples = []
    for number in range(count + 4):
        split, kind = "train" if number < count else "test", "scratch" if number >= count + 2 else None
        path, mask_path = folder / f"{number}.png", folder / f"{number}_mask.png"
        picture, mask = drawn_part("washer", 0, number, kind)
        Image.fromarray(picture).save(path)
        Image.fromarray(mask).save(mask_path)
        sample = Sample.still(
            f"{split}/{number}", path, anomalous=kind is not None, kind=kind or GOOD, mask=mask_path if kind else None
        )
        if clip_frames:
            clip, index = divmod(number, clip_frames)
            sample = replace(sample, clip=f"{split}/clip {clip}", index=index)
        samples.append(sample)
    return _PartDataset(samples[:count], samples[count:])


def _swapped(samples: Sequence[Sample]) -> list[Sample]:
    pairs = zip(samples, [*samples[2:], *samples[:2]], strict=True)
    return [replace(one, anomalous=other.anomalous, kind=other.kind, mask=other.mask) for one, other in pairs]


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
    changing: Any = {"id": True, "created": True, "timings_s": True, "calibration": {"created"}}
    one, other = (run.record.model_dump(exclude=changing) for run in (expected, found))
    for field, value in one.items():
        assert value == other[field], f"{field} of the run is {other[field]!r} when {when}, else {value!r}"
