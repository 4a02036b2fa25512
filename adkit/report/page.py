"""The page of a run, from the run's folder to a file."""

from __future__ import annotations

import base64
import hashlib
import shlex
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from adkit import __version__
from adkit.errors import DatasetError, PluginError
from adkit.evaluation.evaluate import Evaluation, evaluate
from adkit.files.atomic import refuse_folder, write_whole
from adkit.interfaces import Progress, Silent
from adkit.registry import Registry
from adkit.report import contents, plots, words
from adkit.report.exhibits import choose
from adkit.report.gallery import colour_ramp, kind_of
from adkit.report.svg import plain
from adkit.report.thresholds import threshold_steps
from adkit.report.timelines import clips_of
from adkit.report.training import training_of
from adkit.runs.record import REPORT
from adkit.runs.store import Run
from adkit.stats.calibration import Threshold, ThresholdRule
from adkit.stats.formatting import bound_text, clock, counted, rate_text
from adkit.stats.significance import looks_mixed
from adkit.workflows.fit import PIXEL_SHARE
from adkit.workflows.score import calibrating_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Report:
    """A page that was written, and what its reader must know that the run's data did not give."""

    path: Path
    notes: tuple[str, ...]


def write_report(
    run: Run,
    registry: Registry,
    output: Path | None = None,
    *,
    root: Path | None = None,
    device: str = "auto",
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Writes the page of the run, `report.html` in its folder unless `output` names another file.

    The run is judged on its test split, with the answers of an earlier evaluation where there are any. Without a
    test split, or when the data is no longer found, the page leaves that part out and says why. Raises AdkitError
    for what the user can mend.
    """
    refuse_folder(output)
    progress = progress or Silent()
    evaluation, why_not = _judged(run, registry, root, device, skip_bad, progress)
    page = render_run(run, registry, evaluation, why_not, root=root, device=device, progress=progress)
    path = output or run.folder / REPORT
    write_whole(path, page.encode(errors="backslashreplace"))  # file names may be any bytes
    notes = [] if why_not is None else [f"the report has no part on a test split: {why_not}"]
    if evaluation and evaluation.not_stored:
        notes.append(f"the result is not stored in the run: {evaluation.not_stored}")
    notes += [f"unreadable, left out: {path}" for path in evaluation.unreadable] if evaluation else []
    return Report(path, tuple(notes))


def render_run(
    run: Run,
    registry: Registry,
    evaluation: Evaluation | None,
    why_not: str | None = None,
    *,
    root: Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> str:
    """The page's HTML; `why_not` says why there is no evaluation. The same run gives the same text."""
    record, threshold = run.record, run.record.threshold
    names, scores = calibrating_scores(run, registry)
    steps = threshold_steps(names, scores, threshold, evaluation)
    calibrate_command = plain(shlex.join(["adkit", "calibrate", run.argument]))
    things = contents.things_of(threshold, evaluation)
    clips = None if evaluation is None else clips_of(evaluation, steps)
    texts = contents.step_texts(steps, calibrate_command, evaluation)
    start = next(position for position, step in enumerate(steps) if step.chosen)
    histogram = plots.histogram(scores, [step.threshold.value for step in steps], start)
    for text, xs in zip(texts, histogram.positions, strict=True):
        text["x"] = xs
    context: dict[str, Any] = {
        "record": record,
        "threshold": threshold,
        "things": things,
        "clips": clips,
        "wanted": _wanted(record.calibration.rule, threshold),
        "apart": _apart(names, scores),
        "evaluation": evaluation,
        "why_not": why_not,
        "steps": texts,
        "start": start,
        "histogram": _markup(histogram.charts),
        "distributions": _markup(plots.distributions(scores, threshold, evaluation)),
        "exhibits": choose(run, registry, evaluation, root, device, progress or Silent()),
        "colour_ramp": Markup(colour_ramp()),
        "training": training_of(record),
        "cost_rows": contents.cost_rows(record),
        "split_rows": contents.split_rows(record, evaluation),
        "provenance_rows": contents.provenance_rows(record, evaluation),
        "fact_rows": contents.fact_rows(record),
        "pixel_share": PIXEL_SHARE,
        "calibrate_command": calibrate_command,
        "fit_command": _fit_command(run),
    }
    if evaluation is not None:
        context |= {
            "headline": contents.headline(evaluation.rates, things),
            "outcomes": evaluation.rates,
            "tiles": contents.tiles(evaluation, things),
            "promise_kept": contents.promise_kept(evaluation, things),
            "rates": _markup(plots.rates(threshold, evaluation, things)),
            "roc": _markup(plots.roc(evaluation)),
            "precision_recall": _markup(plots.precision_recall(evaluation)),
            "oracle_rows": contents.oracle_rows(evaluation),
            "metric_rows": contents.metric_rows(evaluation, registry),
            "kind_rows": contents.kind_rows(evaluation),
        }
    return render("run.html.jinja", context)


def render(template: str, context: dict[str, Any]) -> str:
    """A template of this package filled in; everything that is not Markup is escaped.

    Style and script stand in the page itself, and its policy lets the browser load nothing else and run no other
    script, whatever a name may contain.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("adkit.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "percent": words.percent,
        "rate": rate_text,
        "bound": bound_text,
        "counted": counted,
        "figure": words.figure,
        "metric": words.metric,
        "chance": words.chance,
        "whole": words.whole,
        "moment": words.moment,
        "clock": clock,
        "kind_of": kind_of,
        "plain": lambda value: "–" if value is None else plain(str(value)),
    }
    style, script = (_text(name) for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    page = {"style": Markup(style), "script": Markup(script), "policy": Markup(policy), "version": __version__}
    return environment.get_template(template).render(context | page)


def _judged(
    run: Run, registry: Registry, root: Path | None, device: str, skip_bad: bool, progress: Progress
) -> tuple[Evaluation | None, str | None]:
    """The evaluation, or why there can be none."""
    try:
        judged = evaluate(run, registry, root=root, device=device, skip_bad=skip_bad, progress=progress)
    except (DatasetError, PluginError) as error:
        return None, error.message
    return judged, None


def _apart(names: tuple[str, ...], scores: NDArray[np.float64]) -> dict[str, Any] | None:
    """The normal samples whose scores lie apart, as those of anomalous ones would; None when none do."""
    found = looks_mixed(scores)
    if found is None:
        return None
    return {"names": [names[position] for position in found.positions], "from": found.gap_from, "to": found.gap_to}


def _wanted(rule: ThresholdRule, threshold: Threshold) -> int | None:
    """How many normal scores the usual rule wants, when there are fewer."""
    return rule.scores_wanted if rule.kind == "usual" and threshold.count < rule.scores_wanted else None


def _fit_command(run: Run) -> str:
    return shlex.join(["adkit", "fit", *run.record.settings.command_line()])


def _markup(chart: Any) -> Any:
    """SVG that goes into the page as it is: one chart, or several by name."""
    if isinstance(chart, dict):
        return {name: Markup(text) for name, text in chart.items()}
    return None if chart is None else Markup(chart)


def _text(name: str) -> str:
    return (files("adkit.report") / "templates" / name).read_text(encoding="utf-8")
