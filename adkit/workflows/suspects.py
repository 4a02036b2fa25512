"""Leaves out hidden defects: images and clips whose scores lie far apart from those of all others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from adkit.containment import plugin_code
from adkit.errors import DatasetError, PromiseError
from adkit.interfaces import Dataset, Progress, Scorer
from adkit.runs.record import FitSettings, LeftOut, Suspects
from adkit.stats.calibration import unit_scores
from adkit.stats.formatting import counted
from adkit.workflows.learning import Learned, learn, made_for, second_look
from adkit.workflows.score import sample_scores
from adkit.workflows.training_data import TrainingData, training_data

SURE_SPREADS = 10.0
"""So wide a gap is asked for before anything is left out; docs/thresholds.md says how many clean sets have one."""
MOST_LEFT_OUT = 0.1
"""Of the images or clips. More that lie apart are a second sort of parts rather than hidden defects."""
MOST_ROUNDS = 5
"""As often it is learned anew: defects that are alike hide each other until the first of them are out."""


def why_kept(suspects: Suspects, out: int) -> str | None:
    """Say why suspects are not left out by themselves, where `out` units are out already; None when they are."""
    if suspects.spreads < SURE_SPREADS:
        return f"the gap is {suspects.spreads:.1f} spreads wide, and {SURE_SPREADS:g} are asked for to be sure"
    if out + len(suspects) > MOST_LEFT_OUT * (out + suspects.among):
        return f"they are more than {MOST_LEFT_OUT:.0%} of all: a second sort of good parts?"
    return None


def without_suspects(
    learned: Learned,
    settings: FitSettings,
    datasets: Sequence[Dataset],
    scorer: Scorer[Any] | None,
    origin: str,
    progress: Progress,
) -> tuple[Learned, dict[str, list[LeftOut]]]:
    """Learn anew without suspects until there are none; return them, by spec. Raises AdkitError for too few others."""
    from adkit.nn.moving import class_of  # loads torch

    found: dict[str, list[LeftOut]] = {one.dataset.spec: [] for one in learned.data}
    timings_s = learned.timings_s
    for _ in range(MOST_ROUNDS):
        new = _sure_suspects(learned, found, scorer, settings.smoothing, origin, progress)
        if not any(new.values()):
            break
        found = {spec: [*before, *new[spec]] for spec, before in found.items()}
        names = tuple(f"{spec} {suspect.name}" for spec, suspects in found.items() for suspect in suspects)
        kind, without = class_of(learned.method), settings.model_copy(update={"leave_out": settings.leave_out + names})
        try:
            data = training_data(datasets, without, kind, progress)
        except (DatasetError, PromiseError) as error:
            message = f"without {counted(len(names), 'suspect')} (the first: {names[0]}), {error.message}"
            raise type(error)(message, hint=f"{error.hint}, or leave --robust out") from None
        method, view = made_for(data, kind, settings, learned.method.device)
        learned = learn(method, view, data, origin, progress, None)
        timings_s = {name: round(took + learned.timings_s[name], 3) for name, took in timings_s.items()}
    return replace(learned, timings_s=timings_s), found


def _sure_suspects(
    learned: Learned,
    found: dict[str, list[LeftOut]],
    scorer: Scorer[Any] | None,
    smoothing_s: float,
    origin: str,
    progress: Progress,
) -> dict[str, list[LeftOut]]:
    """Return those to leave out besides what is `found`, by the spec of their dataset."""
    new: dict[str, list[LeftOut]] = {spec: [] for spec in found}
    with plugin_code(origin):
        looks = [learned.predictions, *second_look(learned, progress)]
    for look in looks:
        for one, predictions in zip(learned.data, look, strict=True):
            spec = one.dataset.spec
            scores, _ = unit_scores(sample_scores(predictions, scorer, smoothing_s), predictions.clips)
            suspects = Suspects.among_scores(list(dict.fromkeys(predictions.clips)), scores)
            if suspects is None or why_kept(suspects, len(found[spec])):
                continue
            why = f"{suspects}, a gap of {suspects.spreads:.0f} spreads"
            new[spec] += [LeftOut(name=name, score=score, why=why) for name, score in suspects.scores.items()]
    return new


def left_out_of(data: TrainingData, suspects: Sequence[LeftOut]) -> list[LeftOut]:
    """Return all that was left out of a category: the suspects, then what was named, copies included."""
    known = {suspect.name for suspect in suspects}
    others = [name for name in data.left_out if name not in known]
    return [*suspects, *(LeftOut(name=name, score=None, why="named, or a copy of what is out") for name in others)]
