"""Results: runs and comparisons, their reports, and an end to those that nobody needs."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import gradio as gr

from adkit.errors import OptionError
from adkit.evaluation.stored import stored_figures
from adkit.files.documents import read_json
from adkit.runs.record import RunRecord
from adkit.runs.store import RECORD, REPORT, Run, list_runs, open_run
from adkit.ui.faults import listen
from adkit.ui.jobs import Jobs, compare_arguments, panel, report_arguments
from adkit.ui.markup import SENDING, piece, render
from adkit.ui.safety import comparisons_root, delete_folder, folder_of, is_name, named_datasets
from adkit.ui.scoring import Judges
from adkit.ui.settings import ServerSettings
from adkit.ui.train_tab import data_choice

IN_TURN = "results"
"""Whoever draws the list knows what is chosen by then: they are answered one after the other."""
MOST_SEEDS = 10
Chosen = tuple[Literal["run", "comparison"], str] | None
"""What is shown: ("run", its id), ("comparison", its name), or nothing."""
Updates = dict[Any, Any]
"""New values by the part of the page."""


@dataclass(frozen=True, slots=True)
class ResultsTab:
    """The parts of the tab that others change or listen to."""

    jobs: gr.HTML
    inspect: gr.Button
    chosen: gr.State
    show: Callable[..., Updates]  # of a choice, with the report, where there is one
    shown: list[Any]  # what `show` changes


def results_tab(judges: Judges, jobs: Jobs) -> ResultsTab:
    """Build the tab."""
    settings, on = judges.settings, partial(listen, judges.settings)
    with gr.Tab("Results", id="results") as tab:
        chosen = gr.State(None)
        runs = gr.HTML(js_on_load=SENDING, elem_id="ak-runs")
        detail = gr.HTML(js_on_load=None, elem_id="ak-detail")
        with gr.Row(visible=False) as actions:
            inspect = gr.Button("Inspect with it", size="sm")
            report = gr.Button("Report", size="sm", elem_id="ak-report")
            delete = gr.Button("Delete …", size="sm", elem_id="ak-delete")
        confirmation, yes = _confirmation(on, chosen, delete)
        working = gr.HTML(js_on_load=SENDING)
        page = gr.HTML(js_on_load=None, elem_id="ak-page")
        _comparing(judges, jobs, tab, working)
    shown = [chosen, runs, detail, actions, inspect, report, confirmation, page]

    def show(what: Chosen, *, with_report: bool = True) -> Updates:
        closed = {chosen: what, runs: _tables(settings, what), confirmation: gr.Row(visible=False), page: ""}
        if not what:
            return {**closed, detail: "", actions: gr.Row(visible=False)}
        kind, name = what
        folder, is_run = folder_of(settings, kind, name), kind == "run"
        run = open_run(folder) if is_run else None
        reported = not is_run or _has_report(folder)
        return {
            **closed,
            detail: render("about.html", title=name, record=run and run.record, judged=run and stored_figures(run)),
            actions: gr.Row(visible=True),
            inspect: gr.Button(visible=is_run),
            report: gr.Button("Show the report" if reported else "Report", visible=is_run),
            page: _frame(what) if with_report and reported else "",
        }

    def choose(event: gr.EventData) -> Updates:
        what = _chosen(event)
        return show(what, with_report=not what or what[0] != "run")

    def open_report(what: Chosen) -> Updates:
        if not what:
            raise OptionError("no run is chosen", hint="choose one in the table")
        folder = folder_of(settings, "run", what[1])
        if _has_report(folder):
            return {page: _frame(what)}
        jobs.submit("report", f"report of {what[1]}", report_arguments(settings, folder), result=what[1])
        return {page: "", working: panel(jobs, trainings=False)}

    def really_delete(what: Chosen) -> Updates:
        if what:
            delete_folder(folder_of(settings, *what))
        return show(None)

    on(tab.select, lambda what: _tables(settings, what), chosen, runs, concurrency_id=IN_TURN, concurrency_limit=1)
    on(runs.click, choose, None, shown, concurrency_id=IN_TURN)
    on(report.click, open_report, chosen, [page, working])
    on(yes.click, really_delete, chosen, shown)
    return ResultsTab(working, inspect, chosen, show, shown)


def _has_report(folder: Path) -> bool:
    """Say whether there is a report, and of the run as it is now: calibrating it makes an older one untrue."""
    with suppress(OSError):
        return (folder / REPORT).stat().st_mtime_ns >= (folder / RECORD).stat().st_mtime_ns
    return False


def _chosen(event: gr.EventData) -> Chosen:
    sent = event._data if isinstance(event._data, dict) else {}  # it comes from a browser
    return next(((kind, str(sent[kind])) for kind in ("run", "comparison") if kind in sent), None)


def _confirmation(on: Callable[..., Any], chosen: gr.State, delete: gr.Button) -> tuple[gr.Row, gr.Button]:
    """Build what asks once more after `delete`; returns it, and the button that says yes."""
    with gr.Row(visible=False) as row:
        question = gr.HTML(js_on_load=None)
        yes = gr.Button("Delete it for good", size="sm", variant="stop", elem_id="ak-delete-yes")
        no = gr.Button("Keep it", size="sm")

    def ask(what: Chosen) -> tuple[gr.Row, str]:
        return gr.Row(visible=True), piece("question", what[1] if what else "")

    on(delete.click, ask, chosen, [row, question], queue=False)
    on(no.click, lambda: gr.Row(visible=False), None, row, queue=False)
    return row, yes


def _comparing(judges: Judges, jobs: Jobs, tab: gr.Tab, working: gr.HTML) -> None:
    settings, registry = judges.settings, judges.registry
    with gr.Accordion("Compare methods", open=False):
        gr.Markdown(
            "Each method learns from the same data with several seeds; the result says which differences are noise."
        )
        methods = gr.CheckboxGroup(registry.methods.names(), label="Methods")
        with gr.Row():
            dataset = data_choice(judges, tab, "Data")
            seeds = gr.Number(3, label="Seeds", precision=0, minimum=1, maximum=MOST_SEEDS)
            name = gr.Textbox(label="Name", placeholder="washers-november")
        compare = gr.Button("Start the comparison", variant="primary")

    def start(wanted: list[str], spec: str | None, count: float | None, called: str) -> str:
        called = (called or "").strip() or f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
        count = int(count or 0)
        if len(wanted) < 2:
            raise OptionError(f"{len(wanted)} method is chosen", hint="choose two or more to compare")
        if not spec:
            raise OptionError("no data is chosen", hint="choose some")
        if not 1 <= count <= MOST_SEEDS:
            raise OptionError(f"{count} seeds were asked for", hint=f"1 to {MOST_SEEDS}; 3 are usual")
        if not is_name(called):
            raise OptionError(f"{called[:80]!r} is no name for a comparison", hint="letters, digits, - and _")
        for method in wanted:
            registry.methods.get(method)
        named_datasets(settings, spec, registry)
        arguments = compare_arguments(settings, wanted, spec, count, comparisons_root(settings) / called)
        jobs.submit("compare", f"comparison {called}", arguments, result=called)
        return panel(jobs, trainings=False)

    listen(settings, compare.click, start, [methods, dataset, seeds, name], working)


def _tables(settings: ServerSettings, chosen: Chosen) -> str:
    runs = [
        (folder.name, one, stored_figures(Run(folder, one)))
        if isinstance(one, RunRecord)
        else (folder.name, None, None)
        for folder, one in reversed(list_runs(settings.runs_root))
    ]
    return render("runs.html", runs=runs, comparisons=_comparisons(settings), chosen=chosen)


def _comparisons(settings: ServerSettings) -> list[tuple[str, datetime, str]]:
    """Return name, time and candidates of each comparison, the newest name first."""
    found = []
    for path in sorted(comparisons_root(settings).glob("*/comparison.json"), reverse=True):
        with suppress(OSError, ValueError, KeyError, TypeError):
            candidates = [str(one["name"]) for one in read_json(path)["candidates"]]
            found.append((path.parent.name, datetime.fromtimestamp(path.stat().st_mtime, UTC), ", ".join(candidates)))
    return found


def _frame(what: tuple[str, str]) -> str:
    return render("report.html", address=f"reports/{what[0]}s/{quote(what[1])}")
