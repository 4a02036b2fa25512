"""The page of a run, from the run's folder to a file."""

import base64
import hashlib
import shlex
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from adkit import __version__
from adkit.errors import DatasetError, PluginError
from adkit.evaluation.evaluate import STEPS, Evaluation, evaluate, kind_of
from adkit.evaluation.stored import skipped_bad
from adkit.files.atomic import require_output, write_whole
from adkit.report import contents, plots
from adkit.report.contents import plain, training_of
from adkit.report.examples import choose, colour_ramp
from adkit.report.thresholds import threshold_steps
from adkit.report.timelines import clips_of
from adkit.runs.store import MODEL, REPORT, Run
from adkit.stats import formatting
from adkit.stats.calibration import Threshold, ThresholdRule
from adkit.workflows.fit import PIXEL_SHARE
from adkit.workflows.score import Workplace, calibrating_scores


@dataclass(frozen=True, slots=True)
class Report:
    """A page that was written, and what its reader must know that the run's data did not give."""

    path: Path
    notes: tuple[str, ...]


def write_report(run: Run, workplace: Workplace, output: Path | None = None) -> Report:
    """Write the page of the run, `report.html` in its folder unless `output` names another file.

    The run is judged on its test split, with the answers of an earlier evaluation where there are any; without the data
    the page leaves that part out and says why. Raises AdkitError.
    """
    require_output(path := output or run.folder / REPORT)
    workplace = replace(workplace, skip_bad=workplace.skip_bad or skipped_bad(run))
    evaluation, why_not, notes = None, None, []
    with workplace.progress.plan([*STEPS, ("reconstructing", 2)]):
        try:
            evaluation = evaluate(run, workplace)
            notes += [f"the result is not stored in the run: {evaluation.not_stored}"] if evaluation.not_stored else []
            notes += evaluation.notes
        except (DatasetError, PluginError) as error:
            why_not = error.message
            notes.append(f"the report has no part on a test split: {why_not}")
        page = render_run(run, workplace, evaluation, why_not)
    write_whole(path, page.encode(errors="backslashreplace"))  # file names may be any bytes
    return Report(path, tuple(notes))


def render_run(run: Run, workplace: Workplace, evaluation: Evaluation | None, why_not: str | None = None) -> str:
    """Return the page's HTML; `why_not` says why there is no evaluation. The same run gives the same text."""
    record, threshold = run.record, run.record.threshold
    names, scores = calibrating_scores(run, workplace.registry)
    steps = threshold_steps(names, scores, threshold, evaluation)
    calibrate_command = plain(shlex.join(["adkit", "calibrate", run.argument]))
    unit = evaluation.unit if evaluation else threshold.words
    texts = contents.step_texts(steps, calibrate_command, evaluation, unit)
    start = next(position for position, step in enumerate(steps) if step.chosen)
    histogram = plots.histogram(scores, [step.threshold.value for step in steps], start)
    for text, step in zip(texts, steps, strict=True):
        text["x"] = histogram.x.at(step.threshold.value)
    context: dict[str, Any] = {
        "record": record,
        "threshold": threshold,
        "unit": unit,
        "clips": None if evaluation is None else clips_of(evaluation, steps),
        "wanted": _wanted(record.calibration.rule, threshold),
        "normal_names": names,
        "evaluation": evaluation,
        "why_not": why_not,
        "steps": texts,
        "start": start,
        "histogram": histogram,
        "distributions": plots.distributions(scores, threshold, evaluation),
        "examples": choose(run, workplace, evaluation),
        "colour_ramp": Markup(colour_ramp()),
        "training": training_of(record),
        "model": record.files.get(MODEL),
        "pixel_share": PIXEL_SHARE,
        "calibrate_command": calibrate_command,
        "fit_command": shlex.join(["adkit", "fit", *record.settings.command_line()]),
    }
    if evaluation is not None:
        context |= {
            "tiles": contents.tiles(evaluation),
            "promise_kept": contents.promise_kept(evaluation),
            "kinds": contents.kind_table(evaluation),
            "rate_chart": plots.rates(threshold, evaluation),
            "roc": plots.roc(evaluation),
            "precision_recall": plots.precision_recall(evaluation),
            "summaries": {name: workplace.registry.metrics.entries[name].summary for name in evaluation.apt},
            "undefined": {
                name: why for name in evaluation.apt if (why := evaluation.metrics[name].why_undefined) is not None
            },
        }
    return render("run.html.jinja", context)


def render(template: str, context: dict[str, Any]) -> str:
    """Return a template of this package filled in; everything that is not Markup is escaped.

    Style and script stand in the page, whose policy lets the browser load nothing else and run no other script.
    """
    style, script = (
        (files("adkit.report") / "templates" / name).read_text("utf-8") for name in ("page.css", "page.js")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    page = {"style": Markup(style), "script": Markup(script), "policy": Markup(policy), "version": __version__}
    return environment().get_template(template).render(context | page)


def environment() -> jinja2.Environment:
    """Return what fills in this package's templates."""
    return formatting.templates(
        "adkit.report",
        "templates",
        kind_of=kind_of,
        plain=lambda value: formatting.NOTHING if value is None else plain(str(value)),
    )


def _wanted(rule: ThresholdRule, threshold: Threshold) -> str | None:
    """Say how many normal scores the usual rule wants, and of clips how long they last, when there are fewer."""
    missing = rule.kind == "usual" and threshold.count < rule.scores_wanted
    return rule.in_units(threshold.unit_s).counted(rule.scores_wanted) if missing else None
