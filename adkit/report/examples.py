"""Which samples the page of a run shows, as small pictures: input, heat map, reconstruction, truth."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from adkit.data.fingerprints import content_hashes
from adkit.data.images import read_image, read_mask
from adkit.data.view import EVERYWHERE, View, counting_px
from adkit.drawing.overlay import Scale, colours, faded, image_uri, panels
from adkit.drawing.regions import Outline, outline_of
from adkit.errors import DatasetError, PluginError
from adkit.evaluation.evaluate import MOST_MISTAKES, Evaluation
from adkit.evaluation.pictures import ends_of_kinds, reconstructed
from adkit.evaluation.split_results import FALSE_ALARM
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.types import Sample
from adkit.workflows.score import FrameResult, Judged, Workplace, colour_scale, open_scorer, sample_scores

PANEL_PX = 320
"""Longer side of each picture."""
QUALITY = 80
"""Of the JPEG files, 1 to 95."""
MOST_BYTES = 2_800_000
"""Of all pictures of a page, as text: a page is to be mailed."""
MOST_NORMALS = 3
"""Of the normal samples that set the threshold, those of the highest scores."""
MOST_LEFT_OUT = 6
"""Of what was left out as anomalous, stills only."""


@dataclass(frozen=True, slots=True)
class Example:
    """A sample with what the run said of it."""

    sample: Sample
    result: Judged
    verdict: str  # the decision against the truth, in words; of frames it is their event's
    of_frame: bool = False  # of a test clip, where no frame is decided on by itself

    @property
    def mistaken(self) -> bool:
        """Say whether decision and truth differ."""
        return self.verdict == FALSE_ALARM or self.verdict.startswith("missed")


@dataclass(frozen=True, slots=True)
class ExamplePicture:
    """An example's panels, all of one size, and what stands under them."""

    example: Example
    panels: dict[str, str]  # by title: "input", "heat map"; each as an address that holds the picture itself
    width: int
    height: int
    outline: Outline
    about: str = ""  # why it is shown: "clearest"


@dataclass
class Gallery:
    """Draws pictures of one colour scale until the page has enough of them."""

    scale: Scale | None  # None: the method gives no maps
    view: View = EVERYWHERE
    bytes: int = 0
    left_out: int = field(default=0, init=False)

    def draw(self, examples: Sequence[Example], abouts: Sequence[str] = ()) -> list[ExamplePicture]:
        """Return a picture of each, with what it is shown for, without those that no longer fit; raises FrameError."""
        pictures = []
        for example, about in zip(examples, abouts or [""] * len(examples), strict=True):
            if self.bytes >= MOST_BYTES:
                self.left_out += 1
                continue
            image = read_image(example.sample.frame, self.view.white)
            sample, result, shape = example.sample, example.result, (image.shape[0], image.shape[1])
            mask = None if sample.mask is None else read_mask(sample.mask, shape)
            picture = faded(image, self.view)
            found = panels(picture, PANEL_PX, result.map, self.scale, mask, result.reconstruction)
            height, width = found["input"].shape[:2]
            addresses = {title: image_uri(pixels, quality=QUALITY, optimize=True) for title, pixels in found.items()}
            self.bytes += sum(map(len, addresses.values()))
            outline = Outline()
            if result.map is not None and self.scale is not None:
                outline = outline_of(result.map, self.scale.threshold, shape, counting_px(self.view, shape))
            pictures.append(ExamplePicture(example, addresses, width, height, outline, about))
        return pictures


def colour_ramp(steps: int = 9) -> str:
    """Return the heat map's colours from low to high, as a CSS gradient to the right."""
    row = colours(np.linspace(0, 1, steps, dtype=np.float32)[None, :])[0]
    return f"linear-gradient(to right, {', '.join('#' + bytes(colour.tolist()).hex() for colour in row)})"


@dataclass(frozen=True, slots=True)
class KindPictures:
    """The clearest and the least clear sample of a kind; `elsewhere` are ids of those that are shown as mistakes."""

    kind: str
    pictures: list[ExamplePicture]
    elsewhere: list[tuple[str, str]]  # (what it is, id)


@dataclass(frozen=True, slots=True)
class Examples:
    """All pictures of a page."""

    mistakes: list[ExamplePicture]
    mistake_count: int
    kinds: list[KindPictures]
    normals: list[ExamplePicture]
    suspects: list[ExamplePicture]  # left out, and judged by the model that has not learned from them
    left_out: int  # chosen, but the page had enough
    scale: Scale | None


def choose(run: Run, workplace: Workplace, evaluation: Evaluation | None) -> Examples:
    """Draw the worst mistakes, the ends of each kind, and the oddest normal samples, all in the run's colours."""
    calibrating = _calibrating(run, workplace)
    mistakes = evaluation.mistakes() if evaluation else []
    worst, ends = mistakes[:MOST_MISTAKES], _ends(evaluation) if evaluation else {}
    chosen = dict.fromkeys([*worst, *(position for kind in ends.values() for position in kind.values())])
    examples = [_example(evaluation, position) for position in chosen] if evaluation else []
    examples += _oddest_normals(run, workplace.registry, calibrating)
    all_frames = (evaluation.samples if evaluation else []) + calibrating
    images = reconstructed(run, workplace, [one.sample for one in examples], all_frames=all_frames)
    rebuilt = [
        replace(one, result=replace(one.result, reconstruction=image))
        for one, image in zip(examples, images, strict=True)
    ]
    found = dict(zip(chosen, rebuilt, strict=False))  # the rest are normal ones

    gallery = Gallery(colour_scale(run), run.record.view)
    drawn = gallery.draw([found[position] for position in worst])
    kinds = []
    for kind, positions in ends.items():
        new = {about: found[position] for about, position in positions.items() if position not in worst}
        elsewhere = [(about, found[position].sample.id) for about, position in positions.items() if position in worst]
        kinds.append(KindPictures(kind, gallery.draw(list(new.values()), list(new)), elsewhere))
    odd = gallery.draw(rebuilt[len(found) :])
    suspects = gallery.draw(_left_out(run, workplace))
    return Examples(drawn, len(mistakes), kinds, odd, suspects, gallery.left_out, gallery.scale)


def _left_out(run: Run, workplace: Workplace) -> list[Example]:
    """Return the first stills that the run left out, as far as they are there, with what its model says of them."""
    known = {sample.id: sample for sample in _training(run, workplace) if sample.clip == sample.id}
    samples = [known[one.name] for one in run.record.left_out if one.name in known][:MOST_LEFT_OUT]
    if not samples:
        return []
    return [
        Example(
            replace(sample, anomalous=None, kind="not known"),
            replace(found, reconstruction=None),
            "flagged" if found.anomalous else "passed",
        )
        for sample, found in workplace.model(run).stills(samples)
        if isinstance(found, FrameResult)
    ]


def _example(evaluation: Evaluation, position: int) -> Example:
    judged, verdict = evaluation.result_at(position), evaluation.split.verdict(position)
    return Example(evaluation.samples[position], judged, verdict, of_frame=evaluation.unit.of_clips)


def _ends(evaluation: Evaluation) -> dict[str, dict[str, int]]:
    """Return by kind, good parts first, the positions of its clearest and its least clear sample, by what they are."""
    found, ends = ends_of_kinds(evaluation), {}
    for kind in (row.kind for row in evaluation.kinds if row.kind in found):
        high, low = found[kind]
        names = ("clearest", "least clear") if evaluation.anomalous[high] else ("highest score", "lowest score")
        ends[kind] = dict(zip(names, dict.fromkeys((high, low)), strict=False))  # a single sample is both
    return ends


def _oddest_normals(run: Run, registry: Registry, calibrating: Sequence[Sample]) -> list[Example]:
    """Return the highest-scoring samples that set the threshold, one a clip, whose files are still the same."""
    record, predictions, expected = run.record, run.calibration(), run.seen().all
    scores = sample_scores(predictions, open_scorer(record.scorer, registry), record.smoothing_s)
    known = {sample.id: sample for sample in calibrating}
    highest: dict[str, int] = {}
    for row in np.argsort(-scores, kind="stable").tolist():
        highest.setdefault(predictions.clips[row], row)
    odd = []
    for row in list(highest.values())[:MOST_NORMALS]:
        name = predictions.ids[row]
        # Images that were given to `adkit calibrate` have their path as their id.
        sample = known.get(name) or Sample.still(name, Path(name), anomalous=False, kind="good")
        if content_hashes([sample])[name] == expected.get(name):
            anomaly_map = None if predictions.maps is None else record.view.whole(predictions.maps[row])
            score = float(scores[row])
            flagged = score > record.threshold.value
            verdict = FALSE_ALARM if flagged else "passed"
            odd.append(Example(sample, Judged(score, None, flagged, anomaly_map), verdict))
    return odd


def _calibrating(run: Run, workplace: Workplace) -> list[Sample]:
    """Return what set the threshold, as far as it is of the training split; long clips as they were cut."""
    known = {sample.id: sample for sample in _training(run, workplace)}
    predictions = run.calibration()
    pairs = zip(predictions.ids, predictions.clips, strict=True)
    return [replace(known[name], clip=clip) for name, clip in pairs if name in known]


def _training(run: Run, workplace: Workplace) -> list[Sample]:
    """Return the training split that the run learned from; [] where it is gone, which the page says elsewhere."""
    try:
        return workplace.dataset(run).samples("train")
    except (DatasetError, PluginError):
        return []
