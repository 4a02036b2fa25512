"""What a method learns from and what is held out to set its threshold, in one category or in several together."""

import difflib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from adkit.data.boxes import Size
from adkit.data.clips import CUT_FROM_S, are_stills, at_steps, cut, frame_gap_s, lasting_s, spacing
from adkit.data.fingerprints import UNREADABLE, content_hashes, data_hash
from adkit.data.frame_source import frames_of
from adkit.data.images import FrameShapes
from adkit.data.view import View
from adkit.errors import DatasetError, OptionError, PromiseError
from adkit.interfaces import Dataset, Method, Progress, calibrates_itself, sees_motion
from adkit.runs.record import FitSettings, SeenData
from adkit.stats.calibration import ThresholdRule, mean_length_s
from adkit.stats.formatting import counted, seconds_text, verb
from adkit.stats.segments import grouped
from adkit.stats.smoothing import SMOOTHING_S
from adkit.types import Sample

HELD_OUT_SHARE = 0.2
"""Of the training data, at least, for methods that cannot calibrate themselves."""
HELD_OUT_MOST = 1 / 3
"""Of the training data: what the usual rule may take to do what it aims at."""
HELD_OUT_MOST_ON_DEMAND = 1 / 2
"""Of the training data: what a promise that the user asked for may take."""
_Parts = tuple[list[Sample], list[Sample]]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """One category's training split in two parts; what cannot be read and what is a copy is in neither."""

    dataset: Dataset
    learned: list[Sample]
    held_out: list[Sample]  # calibrates; empty where the method gives leave-one-out results on what it learned from
    shapes: list[Size]  # (height, width) px of each image that is learned from
    white: int  # what stands for white in images of more than 8 bits; 255: there are none
    hashes: Mapping[str, str]  # of both parts: what each file contains, as a checksum by sample id
    skipped: list[str]  # files that cannot be read
    copies: list[str]  # images and clips left out because others are the same
    left_out: list[str]  # images and clips left out by name, with all their copies
    stills: bool  # each sample is a clip of its own
    step_s: float  # between the frames that were taken of clips; 0: of stills
    segment_s: float | None  # long clips were cut into pieces of about so many seconds
    unit_s: float | None  # how long the clips last on average, as far as that is known

    @property
    def fingerprint(self) -> str:
        """Return a checksum of both parts' ids and files."""
        return data_hash(self.hashes)

    @property
    def calibration_source(self) -> str:
        """Say in words how out-of-sample results are had."""
        samples = [*self.learned, *self.held_out]
        unit = "images" if self.stills else "clips"
        if self.segment_s is not None:
            unit = f"pieces of {seconds_text(self.segment_s)}"
        if not self.held_out:
            return f"leave-one-out on the training {unit}"
        return f"{_clips(self.held_out)} of {_clips(samples)} training {unit}, held out from fitting"

    def hashes_of(self, samples: Sequence[Sample]) -> dict[str, str]:
        """Return the checksums of some of the samples, by their id."""
        return {sample.id: self.hashes[sample.id] for sample in samples}


def training_data(
    datasets: Sequence[Dataset], settings: FitSettings, method_class: type[Method[Any]], progress: Progress
) -> list[TrainingData]:
    """Part the training splits of all datasets, without copies across them; raises AdkitError for one too small."""
    require_few(settings, method_class)
    specs = [dataset.spec for dataset in datasets]
    if twice := [spec for spec in specs if specs.count(spec) > 1]:
        raise DatasetError(f"{twice[0]} is named twice", hint="name each category once")
    taken: set[tuple[str, ...]] = set()
    leaving_out = LeavingOut(settings.leave_out)
    found = []
    for dataset in datasets:
        samples = _normal_samples(dataset, settings.method, method_class)
        stills, temporal = are_stills(samples), sees_motion(method_class)
        smoothing = settings.smoothing not in (0, SMOOTHING_S)  # both change nothing, and need not be asked for
        flags = {"--every": settings.every, "--appearance-only": settings.appearance_only, "--smoothing": smoothing}
        if stills and (given := next((flag for flag, value in flags.items() if value), None)):
            told = f"{given} is for videos, and {dataset.spec} holds still images"
            raise OptionError(told, hint=f"leave {given} out")
        step_s = frame_gap_s(samples) * (settings.every or spacing(samples, temporal=temporal))
        lengths_s, samples = lasting_s(samples), at_steps(samples, step_s)
        hashes = content_hashes(samples)
        samples, left_out = leaving_out.split(samples, hashes, dataset.spec)
        samples, skipped = _readable(samples, progress) if settings.skip_bad else (samples, [])
        samples, copies = without_copies(samples, hashes, taken)
        samples, segment_s = cut(samples)
        if segment_s is not None:  # pieces have names of their own
            samples, pieces = leaving_out.split(samples, hashes, dataset.spec)
            left_out += pieces
        unit_s = mean_length_s([one.clip for one in samples], [one.timestamp_s for one in samples], lengths_s)
        missing = {"that cannot be read": skipped, "of which there are copies": copies, "left out": left_out}
        _require_enough(samples, missing, dataset, settings, method_class)
        try:
            own = settings.rule.in_units(unit_s)
            learned, held_out = _part(samples, settings, method_class, own)
        except PromiseError as error:
            hint = _hint_in_files(error, dataset, len(samples))
            raise PromiseError(f"{dataset.spec}: {error.message}", hint=hint) from None
        shape_of = FrameShapes()
        shapes = [shape_of(sample.frame) for sample in [*learned, *held_out]][: len(learned)]
        found.append(
            TrainingData(
                dataset,
                learned,
                held_out,
                shapes=shapes,
                white=shape_of.white,
                hashes={sample.id: hashes[sample.id] for sample in samples},
                skipped=skipped,
                copies=copies,
                left_out=left_out,
                stills=stills,
                step_s=round(step_s, 4),
                segment_s=segment_s,
                unit_s=unit_s,
            )
        )
    leaving_out.require_all_found()
    return found


def _hint_in_files(error: PromiseError, dataset: Dataset, usable: int) -> str:
    """Return the hint, counted in files where the dataset holds some of them out to test with."""
    share = dataset.held_out_share
    if not (share and error.needs):
        return error.hint
    learned = len(dataset.samples("train"))
    wanted = error.needs + learned - usable  # copies and others that are left out
    total = next(number for number in count(wanted) if number - int(share * number) >= wanted)
    there = learned + sum(sample.anomalous is False for sample in dataset.samples("test"))
    _, _, asked = error.hint.rpartition(", or ")
    return (
        f"add {total - there:,} more good files, {total:,} in all, of which {100 * share:.0f} % "
        f"are held out to test with; or {asked}"
    )


def require_few(settings: FitSettings, method_class: type[Method[Any]]) -> None:
    """Raise OptionError when the method cannot learn from so few images as are asked for."""
    few, least = settings.few, max(1, method_class.least_samples)
    if few is not None and few < least:
        told = f"{settings.method} was to learn from {counted(few, 'image')} only, and needs at least {least}"
        raise OptionError(told, hint=f"ask for {least} or more")


def learned_together(data: Sequence[TrainingData]) -> list[Sample]:
    """Return all that a method learns from, category after category; ids and clips begin with its spec."""
    return [
        replace(sample, id=_in_union(one, sample.id), clip=_in_union(one, sample.clip))
        for one in data
        for sample in one.learned
    ]


def seen_by(own: TrainingData, data: Sequence[TrainingData]) -> SeenData:
    """Return what the run of a category has seen: its own samples by ids, the others' by their spec and ids."""
    training = own.hashes_of(own.learned)
    for other in data:
        if other is not own:
            training |= {_in_union(other, sample.id): other.hashes[sample.id] for sample in other.learned}
    return SeenData(training, own.hashes_of(own.held_out))


def _in_union(data: TrainingData, name: str) -> str:
    return f"{data.dataset.spec} {name}"


def _clips(samples: Sequence[Sample]) -> int:
    return len({sample.clip for sample in samples})


def _normal_samples(dataset: Dataset, method: str, method_class: type[Method[Any]]) -> list[Sample]:
    """Return the training samples; raises DatasetError for none, anomalous ones, and stills where clips are due."""
    samples = dataset.samples("train")
    if not samples:
        raise DatasetError(f"{dataset.spec} has no training image", hint="adkit inspect shows how the folder was read")
    anomalous = [sample for sample in samples if sample.anomalous]
    if anomalous:
        raise DatasetError(
            f"{len(anomalous)} of {counted(len(samples), 'training image')} {verb(len(anomalous), 'are')} marked "
            f"anomalous, the first: {anomalous[0].frame}",
            hint="learning takes good parts only: move the others to the test split",
        )
    if sees_motion(method_class) and are_stills(samples):
        hint = "name a dataset of clips, such as clips:FOLDER, or a method for stills: adkit list methods"
        raise DatasetError(f"{method} learns from motion, and {dataset.spec} has still images only", hint=hint)
    return samples


def _readable(samples: list[Sample], progress: Progress) -> tuple[list[Sample], list[str]]:
    """Return the samples that can be decoded, and the paths of those that cannot."""
    bad: list[str] = []
    readable: list[Sample] = []
    by_id = {sample.id: sample for sample in samples}
    with progress.task("checking files", len(samples)) as advance:
        # Tiny frames: only whether each can be decoded matters here.
        for frame in frames_of(samples, View(frame=(1, 1)), lambda sample, _: bad.append(str(sample.frame))):
            readable.append(by_id[frame.id])
            advance(1)
    return readable, bad


def without_copies(
    samples: list[Sample], hashes: Mapping[str, str], taken: set[tuple[str, ...]]
) -> tuple[list[Sample], list[str]]:
    """Return each clip (a still is one) once, and the copies, whose scores would be too low; `taken` gets contents."""
    kept: list[Sample] = []
    copies: list[str] = []
    for clip, frames in grouped(samples, lambda sample: sample.clip).items():
        contents = tuple(hashes[sample.id] for sample in frames)
        if contents in taken:
            copies.append(str(frames[0].frame) if len(frames) == 1 else clip)
            continue
        if UNREADABLE not in contents:
            taken.add(contents)
        taken.update((content,) for content in contents if content != UNREADABLE)  # a still may copy a clip's frame
        kept += frames
    return kept, copies


def _require_enough(
    samples: list[Sample],
    missing: Mapping[str, list[str]],
    dataset: Dataset,
    settings: FitSettings,
    method_class: type[Method[Any]],
) -> None:
    """Raise DatasetError for too few clips (a still is one) to fit and to calibrate; `missing`: what else is there."""
    clips, few = _clips(samples), settings.few
    if few is None:
        least = method_class.least_samples
        # A threshold needs a second one even where one would do to learn: of one, leaving it out leaves nothing.
        needed = max(2, least) if calibrates_itself(method_class) else least + 1
        needs, hint = f"{settings.method} needs at least {needed}", "add more images of good parts"
    else:
        needed = few + 1
        needs = f"learning from {few} needs at least {needed}, for the others set the threshold"
        hint = "learn from fewer, or add more images of good parts"
    if clips < needed:
        count = counted(len(samples), "training image")
        if clips != len(samples):
            count = f"{counted(clips, 'clip')} of {counted(len(samples), 'frame')} to learn from"
            needs = needs if few else f"{needs} clips"
            hint = f"add more normal clips, or longer ones: one of {CUT_FROM_S:g} s or more is cut into several"
        besides = "".join(f" besides {len(names)} {why}" for why, names in missing.items() if names)
        raise DatasetError(f"{dataset.spec} has {count}{besides}; {needs}", hint=hint)


def _part(samples: list[Sample], settings: FitSettings, method_class: type[Method[Any]], rule: ThresholdRule) -> _Parts:
    """Part the samples into what to learn from, and what to hold out because the method cannot calibrate itself.

    Whole clips are held out, as their frames are alike: a fifth, or as many more as the rule needs; of `few` all
    others: with one seed, a smaller number is part of a larger one. Raises PromiseError when the rule needs too many.
    """
    clips, random = sorted({sample.clip for sample in samples}), np.random.default_rng(settings.seed)
    if settings.few is not None:
        rule.rank(len(clips) - settings.few)
        return _parted(samples, set(random.permutation(clips)[settings.few :]))
    if calibrates_itself(method_class):
        rule.rank(len(clips))  # raises PromiseError now rather than after the fit
        return samples, []
    share = HELD_OUT_MOST if rule.kind == "usual" else HELD_OUT_MOST_ON_DEMAND
    most = max(1, min(int(share * len(clips)), len(clips) - method_class.least_samples))
    if rule.scores_needed > most:
        learned = math.ceil(rule.scores_needed * (1 / HELD_OUT_MOST_ON_DEMAND - 1))
        total = rule.scores_needed + max(method_class.least_samples, learned)
        raise PromiseError(
            f"a promise of {rule} needs {rule.counted(rule.scores_needed)} held out from learning; "
            f"{settings.method} can spare {most} of {len(clips)}",
            hint=f"take {rule.lasting(total)} in all, or ask for {rule.supported(most)}",
            needs=total,
        )
    count = min(max(1, round(HELD_OUT_SHARE * len(clips)), rule.scores_wanted), most)
    if rule.scores_wanted > most:
        count = min(max(1, round(HELD_OUT_SHARE * len(clips))), most)  # out of reach: keep more to learn from
    return _parted(samples, set(random.choice(clips, size=count, replace=False)))


def _parted(samples: list[Sample], held_out: set[str]) -> _Parts:
    """Return the samples in their order without those of the held-out clips, and those."""
    return (
        [sample for sample in samples if sample.clip not in held_out],
        [sample for sample in samples if sample.clip in held_out],
    )


class LeavingOut:
    """Takes what is named out of samples, and knows in the end which names meant nothing.

    A name is an image's id or a clip's name, as `fit` prints them, with its dataset's spec before it or without; or the
    path of its file. Several may be one word with commas between, where that is no name itself.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = list(words)
        self._specs: dict[str, set[str]] = defaultdict(set)  # by name: of the datasets in which it means something
        self._known: list[str] = []

    def split(self, samples: list[Sample], hashes: Mapping[str, str], spec: str) -> tuple[list[Sample], list[str]]:
        """Return a dataset's samples without what is named, and the names of the clips (a still is one) left out.

        Clips of the same content as one that is named are left out too; `hashes` are those of files, by sample id.
        """
        if not self._words:
            return samples, []
        clips = grouped(samples, lambda sample: sample.clip)
        self._known += clips
        meaning: dict[str, set[str]] = defaultdict(set)
        for clip, frames in clips.items():
            path = frames[0].frame.path
            of_file = [str(path), str(path.resolve())] if len(frames) == 1 or frames[0].frame.number is not None else []
            for name in (clip, f"{spec} {clip}", *of_file):
                meaning[name].add(clip)
        named: set[str] = set()
        for word in self._words:
            for name in [word] if word in meaning else word.split(","):
                if found := meaning.get(name) or meaning.get(str(Path(name).resolve())):
                    named |= found
                    self._specs[name].add(spec)
        contents = {clip: tuple(hashes[sample.id] for sample in frames) for clip, frames in clips.items()}
        unwanted = {contents[clip] for clip in named if UNREADABLE not in contents[clip]}
        left_out = [clip for clip in clips if clip in named or contents[clip] in unwanted]
        return [sample for sample in samples if sample.clip not in set(left_out)], left_out

    def require_all_found(self) -> None:
        """Raise OptionError for a name that meant nothing in all datasets, or something in several."""
        for word in self._words:
            for name in [word] if word in self._specs else word.split(","):
                specs = sorted(self._specs.get(name, ()))
                if not specs:
                    same = [known for known in self._known if Path(known).stem == Path(name).stem]
                    close = [*same, *difflib.get_close_matches(name, self._known, n=1)][:1]
                    hint = "it is not learned from: adkit inspect shows how the folder was read"
                    hint = f"did you mean {close[0]}?" if close else hint
                    raise OptionError(f"--leave-out {name!r} names no training image or clip", hint=hint)
                if len(specs) > 1:
                    told = f"--leave-out {name!r} is in several datasets: {', '.join(specs)}"
                    raise OptionError(told, hint=f"say which: --leave-out '{specs[0]} {name}'")
