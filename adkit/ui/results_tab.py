"""Results: runs and comparisons, their reports, and an end to those that nobody needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from adkit.errors import AdkitError, OptionError
from adkit.runs.record import EVALUATION, RECORD, REPORT, RunRecord
from adkit.runs.store import list_runs
from adkit.stats.formatting import rate_text
from adkit.ui.datasets import listed
from adkit.ui.faults import told
from adkit.ui.jobs import Jobs, compare_arguments, report_arguments
from adkit.ui.jobs_panel import panel
from adkit.ui.markup import SENDING, empty, facts, moment, promise, send, sortable_table
from adkit.ui.safety import (
    comparison_folder,
    comparisons_root,
    delete_comparison,
    delete_run,
    is_name,
    named_datasets,
    open_named_run,
    run_folder,
)
from adkit.ui.scoring import Judges
from adkit.ui.settings import Settings

COMPARISON_PAGE = "comparison.html"
MOST_SEEDS = 10

_COLUMNS = (
    ("run", "Run"),
    ("created", "Made"),
    ("method", "Method"),
    ("dataset", "Data"),
    ("images", "Images"),
    ("rate", "False alarms"),
    ("auroc", "AUROC"),
)


@dataclass(frozen=True, slots=True)
class ResultsTab:
    """The parts of the tab that others change or listen to."""

    tab: gr.Tab
    jobs: gr.HTML
    runs: gr.HTML
    inspect: gr.Button
    chosen: gr.State
    show: Any  # the function that shows a run or comparison, and what it changes
    shown: list[Any]


def results_tab(judges: Judges, jobs: Jobs) -> ResultsTab:
    """Builds the tab."""
    settings, registry = judges.settings, judges.registry
    guarded = told(settings)
    with gr.Tab("Results", id="results") as tab:
        chosen = gr.State(None)  # {"run": id} or {"comparison": name}
        runs = gr.HTML(js_on_load=SENDING, elem_id="ak-runs")
        detail = gr.HTML(js_on_load=None, elem_id="ak-detail")
        with gr.Row(visible=False) as actions:
            inspect = gr.Button("Inspect with it", size="sm")
            report = gr.Button("Report", size="sm", elem_id="ak-report")
            delete = gr.Button("Delete …", size="sm", elem_id="ak-delete")
        with gr.Row(visible=False) as confirmation:
            question = gr.HTML(js_on_load=None)
            yes = gr.Button("Delete it for good", size="sm", variant="stop", elem_id="ak-delete-yes")
            no = gr.Button("Keep it", size="sm")
        working = gr.HTML(js_on_load=SENDING)
        page = gr.HTML(js_on_load=None, elem_id="ak-page")
        with gr.Accordion("Compare methods", open=False):
            gr.Markdown(
                "Each method learns from the same data with several seeds; the result says which differences are noise."
            )
            methods = gr.CheckboxGroup(registry.methods.names(), label="Methods")
            with gr.Row():
                dataset = gr.Dropdown([], label="Data", allow_custom_value=True, interactive=True)
                seeds = gr.Number(3, label="Seeds", precision=0, minimum=1, maximum=MOST_SEEDS)
                name = gr.Textbox(label="Name", placeholder="washers-november")
            compare = gr.Button("Start the comparison", variant="primary")

    shown = [chosen, detail, actions, confirmation, page, runs, inspect, report]

    def show(what: dict[str, Any] | None) -> tuple[Any, ...]:
        """Everything below the tables for one run or comparison, or nothing for None."""
        table = tables(settings, what)
        if not what:
            return None, "", gr.Row(visible=False), gr.Row(visible=False), "", table, gr.skip(), gr.skip()
        is_run = isinstance(what.get("run"), str)
        text = about(settings, what)
        return (
            what,
            text,
            gr.Row(visible=True),
            gr.Row(visible=False),
            "" if is_run else frame(settings, what),
            table,
            gr.Button(visible=is_run),
            gr.Button(visible=is_run, value="Report" if not has_report(settings, what) else "Show the report"),
        )

    @guarded
    def choose(event: gr.EventData) -> tuple[Any, ...]:
        return show(event._data if isinstance(event._data, dict) else None)

    @guarded
    def make_report(what: dict[str, Any] | None) -> tuple[str, str]:
        if not what or "run" not in what:
            raise OptionError("no run is chosen", hint="choose one in the table")
        if has_report(settings, what):
            return frame(settings, what), panel(jobs, ["report", "compare"])
        folder = run_folder(settings, what["run"])
        arguments = report_arguments(folder, settings.runs_root, settings.device)
        jobs.submit("report", f"report of {what['run']}", arguments, result=what["run"])
        return "", panel(jobs, ["report", "compare"])

    @guarded
    def ask(what: dict[str, Any] | None) -> tuple[Any, ...]:
        name = (what or {}).get("run") or (what or {}).get("comparison") or ""
        return gr.Row(visible=True), f"<p>Delete <b>{escape(name)}</b> and all that was learned?</p>"

    @guarded
    def really_delete(what: dict[str, Any] | None) -> tuple[Any, ...]:
        if what and "run" in what:
            delete_run(settings, what["run"])
        elif what and "comparison" in what:
            delete_comparison(settings, what["comparison"])
        return show(None)

    @guarded
    def start(wanted: list[str], spec: str | None, count: float | None, called: str) -> str:
        _start_comparison(judges, jobs, wanted, spec, int(count or 0), (called or "").strip())
        return panel(jobs, ["report", "compare"])

    def refresh(what: dict[str, Any] | None, spec: str | None) -> tuple[Any, ...]:
        specs = listed(settings, registry)
        return tables(settings, what), gr.Dropdown(choices=specs, value=spec or next(iter(specs), None))

    quiet: dict[str, Any] = {"api_visibility": "private"}
    tab.select(refresh, [chosen, dataset], [runs, dataset], **quiet)
    runs.click(choose, None, shown, **quiet)
    report.click(make_report, chosen, [page, working], **quiet)
    delete.click(ask, chosen, [confirmation, question], queue=False, **quiet)
    no.click(lambda: gr.Row(visible=False), None, confirmation, queue=False, **quiet)
    yes.click(really_delete, chosen, shown, **quiet)
    compare.click(start, [methods, dataset, seeds, name], working, **quiet)
    return ResultsTab(tab, working, runs, inspect, chosen, guarded(show), shown)


def tables(settings: Settings, chosen: dict[str, Any] | None) -> str:
    """All runs, and all comparisons below them."""
    rows = [
        _run_row(folder, record, (chosen or {}).get("run") == folder.name)
        for folder, record in reversed(list_runs(settings.runs_root))
    ]
    text = sortable_table(_COLUMNS, rows) if rows else empty("No run yet", "Runs appear here when a training is done.")
    compared = _comparison_rows(settings, (chosen or {}).get("comparison"))
    if compared:
        columns = (("name", "Comparison"), ("created", "Made"), ("what", "Candidates"))
        text += "<h3>Comparisons</h3>" + sortable_table(columns, compared)
    return text


def _run_row(folder: Path, record: RunRecord | AdkitError, current: bool) -> tuple[dict[str, Any], str]:
    if not isinstance(record, RunRecord):
        cells = f'<td>{escape(folder.name)}</td><td colspan="6" class="ak-faint">cannot be read: it is damaged</td>'
        return {"run": folder.name}, cells
    auroc = stored_auroc(folder)
    values: dict[str, Any] = {
        "run": record.id,
        "created": record.created.isoformat(),
        "method": record.method,
        "dataset": record.dataset,
        "images": record.train_count,
        "rate": record.threshold.expected_rate,
        "auroc": auroc,
        "current": current,
    }
    cells = (
        f'<td><button type="button" class="ak-link" {send({"run": record.id})}>{escape(record.id)}</button></td>'
        f"<td>{moment(record.created)}</td><td>{escape(record.method)}</td><td>{escape(record.dataset)}</td>"
        f'<td class="ak-number">{record.train_count}</td>'
        f'<td class="ak-number">{rate_text(record.threshold.expected_rate)}</td>'
        f'<td class="ak-number">{"–" if auroc is None else f"{auroc:.4f}"}</td>'
    )
    return values, cells


def stored_auroc(folder: Path) -> float | None:
    """The image AUROC that an evaluation stored in the run, None without one."""
    try:
        index = json.loads((folder / EVALUATION / "evaluation.json").read_text(encoding="utf-8"))
        value = index["metrics"]["image_auroc"]["value"]
        return None if value is None else float(value)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _comparison_rows(settings: Settings, chosen: str | None) -> list[tuple[dict[str, Any], str]]:
    root = comparisons_root(settings)
    rows = []
    for folder in sorted(root.iterdir(), reverse=True) if root.is_dir() else ():
        path = folder / "comparison.json"
        try:
            candidates = [str(one["name"]) for one in json.loads(path.read_text(encoding="utf-8"))["candidates"]]
            created = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        what = ", ".join(candidates)
        cells = (
            f'<td><button type="button" class="ak-link" {send({"comparison": folder.name})}>'
            f"{escape(folder.name)}</button></td><td>{moment(created)}</td><td>{escape(what)}</td>"
        )
        values = {"name": folder.name, "created": created.isoformat(), "what": what, "current": folder.name == chosen}
        rows.append((values, cells))
    return rows


def about(settings: Settings, what: dict[str, Any]) -> str:
    """One run or comparison in short; raises RunError when it is gone or damaged."""
    if isinstance(name := what.get("comparison"), str):
        comparison_folder(settings, name)
        return f'<div class="ak-card"><h3>{escape(name)}</h3></div>'
    record = open_named_run(settings, str(what.get("run", ""))).record
    rows: list[tuple[str, object]] = [
        ("made", f"{moment(record.created)}, in {sum(record.timings_s.values()):.0f} s on {record.device}"),
        ("learned from", f"{record.train_count} images of {record.dataset}"),
        ("threshold", f"{record.threshold.value:.4f}, from {record.calibration.source}"),
        ("options", ", ".join(f"{name}={value}" for name, value in record.options.items()) or "none"),
    ]
    rows += [(name.replace("_", " "), value) for name, value in record.facts.items()]
    return f'<div class="ak-card"><h3>{escape(record.id)}</h3>{promise(record.threshold)}{facts(rows)}</div>'


def has_report(settings: Settings, what: dict[str, Any]) -> bool:
    """Whether the run has a report that is not older than its calibration."""
    if not isinstance(what.get("run"), str):
        return False
    folder = run_folder(settings, what["run"])
    try:
        return (folder / REPORT).stat().st_mtime >= (folder / RECORD).stat().st_mtime
    except OSError:
        return False


def frame(settings: Settings, what: dict[str, Any]) -> str:
    """The report's page inside this one."""
    kind, name = ("runs", what["run"]) if "run" in what else ("comparisons", what["comparison"])
    address = f"/reports/{kind}/{quote(str(name))}"
    return (
        f'<p class="ak-faint"><a href="{address}" target="_blank" rel="noopener">Open it in a tab of its own</a></p>'
        f'<iframe class="ak-report" title="report" src="{address}"></iframe>'
    )


def _start_comparison(judges: Judges, jobs: Jobs, methods: list[str], spec: str | None, seeds: int, name: str) -> None:
    settings = judges.settings
    if len(methods) < 2:
        raise OptionError(f"{len(methods)} method is chosen", hint="choose two or more to compare")
    if not spec:
        raise OptionError("no data is chosen", hint="choose some")
    if not 1 <= seeds <= MOST_SEEDS:
        raise OptionError(f"{seeds} seeds were asked for", hint=f"1 to {MOST_SEEDS}; 3 are usual")
    known = judges.registry.methods.names()
    for method in methods:
        if method not in known:
            raise OptionError(f"there is no method {method[:80]!r}", hint="reload the page")
    name = name or f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if not is_name(name):
        raise OptionError(f"{name[:80]!r} is no name for a comparison", hint="letters, digits, - and _")
    named_datasets(settings, spec, judges.registry)
    output = comparisons_root(settings) / name
    arguments = compare_arguments(methods, spec, seeds, output, settings.data_root, settings.runs_root, settings.device)
    jobs.submit("compare", f"comparison {name}", arguments, result=name)
