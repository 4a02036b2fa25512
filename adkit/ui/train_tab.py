"""Train: data, method, promise; then a job that goes on whatever becomes of the page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from adkit.data.clips import are_stills
from adkit.errors import FrameError, OptionError
from adkit.options import options_of
from adkit.runs.unfinished import discard_unfinished, find_unfinished
from adkit.stats.formatting import counted
from adkit.types import Sample
from adkit.ui.datasets import listed
from adkit.ui.faults import told
from adkit.ui.jobs import Jobs, fit_arguments, resume_arguments
from adkit.ui.jobs_panel import panel
from adkit.ui.markup import SENDING, data_uri, facts
from adkit.ui.options_form import Entry, changed, entries_of, shown
from adkit.ui.safety import confined_options, keep_upload, named_datasets
from adkit.ui.scoring import Judges

PREFERRED = ("patchknn",)
"""The method that a form begins with, where it is installed."""

_FIRST_FRAMES = 200


@dataclass(frozen=True, slots=True)
class TrainTab:
    """The parts of the tab that others change or listen to."""

    tab: gr.Tab
    jobs: gr.HTML
    dataset: gr.Dropdown


def train_tab(judges: Judges, jobs: Jobs) -> TrainTab:
    """Builds the tab."""
    settings, registry = judges.settings, judges.registry
    guarded = told(settings)
    methods = registry.methods.names()
    first = next((name for name in PREFERRED if name in methods), methods[0] if methods else None)
    with gr.Tab("Train", id="train") as tab, gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            gr.HTML("<h3>1 · Good parts</h3>", js_on_load=None)
            dataset = gr.Dropdown(
                [],
                label="Data on the server",
                info="folder:NAME is a folder below the server's data folder",
                allow_custom_value=True,
                interactive=True,
            )
            with gr.Accordion("Upload images of good parts, or videos of normal operation", open=False):
                name = gr.Textbox(label="Name", placeholder="washers", info="what these parts are called from now on")
                files = gr.File(
                    label="A hundred or more; or videos",
                    file_count="multiple",
                    height=150,
                    elem_id="ak-train-files",
                )
                keep = gr.Button("Keep them on the server", size="sm")
            look = gr.Button("Look at the data", size="sm")
            preview = gr.HTML(js_on_load=None)
            gr.HTML("<h3>2 · Method</h3>", js_on_load=None)
            method = gr.Dropdown(
                [(f"{one} – {registry.methods.entries[one].summary}", one) for one in methods],
                value=first,
                label="Method",
            )
            cost = gr.HTML(_cost(judges, first), js_on_load=None)
            gr.HTML("<h3>3 · Promise</h3>", js_on_load=None)
            with gr.Row():
                rate = gr.Textbox(
                    label="False alarms that are allowed",
                    placeholder="1%",
                    info="of good parts; of videos also 6/h; empty: 1%, or as few as the images support",
                    scale=3,
                )
                certain = gr.Checkbox(label="with 95 % certainty", info="needs more images", scale=2)
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, info="same seed, same data, same result")

            @gr.render(  # type: ignore[untyped-decorator]
                inputs=method, triggers=[tab.select, method.change]
            )
            def form(chosen: str | None) -> None:
                entries = entries_of(options_of(registry.methods.get(chosen).load())) if chosen else []
                with gr.Accordion(f"Options of {chosen}", open=False):
                    inputs = [_input(entry) for entry in entries]
                start = gr.Button("Start the training", variant="primary", elem_id="ak-start")

                @guarded
                def begin(spec: str | None, promised: str, sure: bool, number: float | None, *values: object) -> str:
                    _begin(judges, jobs, chosen, spec, promised, sure, int(number or 0), entries, values)
                    return panel(jobs, ["fit"])

                start.click(begin, [dataset, rate, certain, seed, *inputs], running, api_visibility="private")

        with gr.Column(scale=2, min_width=320):
            gr.HTML("<h3>Trainings</h3>", js_on_load=None)
            running = gr.HTML(panel(jobs, ["fit"]), js_on_load=SENDING, elem_id="ak-jobs")

    @guarded
    def keep_files(wanted: str, paths: list[str] | None) -> tuple[Any, ...]:
        spec = keep_upload(settings, (wanted or "").strip(), [Path(path) for path in paths or []])
        return gr.Dropdown(choices=listed(settings, registry), value=spec), None, ""

    @guarded
    def preview_data(spec: str | None) -> str:
        return _preview(judges, spec)

    def refresh(spec: str | None) -> Any:
        specs = listed(settings, registry)
        return gr.Dropdown(choices=specs, value=spec or next(iter(specs), None))

    keep.click(keep_files, [name, files], [dataset, files, name], api_visibility="private")
    look.click(preview_data, dataset, preview, api_visibility="private")
    tab.select(refresh, dataset, dataset, api_visibility="private")
    method.change(lambda chosen: _cost(judges, chosen), method, cost, queue=False, api_visibility="private")
    return TrainTab(tab, running, dataset)


def act(judges: Judges, jobs: Jobs, what: dict[str, Any]) -> None:
    """Does what a button of a job's card asks for; raises AdkitError for what is not there any more."""
    if isinstance(job := what.get("cancel"), str):
        jobs.cancel(job)
    elif isinstance(job := what.get("forget"), str):
        jobs.forget(job)
    elif isinstance(name := what.get("resume"), str):
        begun = find_unfinished(jobs.runs_root, name)
        specs = ", ".join(category.dataset for category in begun.categories)
        jobs.submit(
            "fit", f"{begun.settings.method} on {specs}, continued", resume_arguments(name, jobs.runs_root), result=name
        )
    elif isinstance(name := what.get("discard"), str):
        discard_unfinished(jobs.runs_root, name)


def _begin(
    judges: Judges,
    jobs: Jobs,
    method: str | None,
    spec: str | None,
    rate: str,
    certain: bool,
    seed: int,
    entries: Sequence[Entry],
    values: Sequence[object],
) -> None:
    """Queues a training after everything that can be refused was looked at."""
    from adkit.runs.record import FitSettings
    from adkit.workflows.fit import check_settings

    settings, registry = judges.settings, judges.registry
    if not spec or not method:
        raise OptionError("no data is chosen" if method else "no method is chosen", hint="choose one, then start")
    model = options_of(registry.methods.get(method).load())
    options = confined_options(settings, model.model_json_schema(), changed(entries, values))
    if certain and not rate.strip():
        raise OptionError("certainty says nothing without a rate", hint="fill in the false alarms: 5%")
    if seed < 0:
        raise OptionError(f"the seed is {seed}", hint="a seed is 0 or more")
    wanted = FitSettings(
        method=method,
        dataset=(spec,),
        options=options,
        root=str(settings.data_root.resolve()),
        max_false_alarms=rate.strip() or None,
        certain=certain,
        seed=seed,
        device=settings.device,
    )
    check_settings(wanted, registry)
    named_datasets(settings, spec, registry)
    jobs.submit("fit", f"{method} on {spec}", fit_arguments(wanted, settings.runs_root))


def _input(entry: Entry) -> Any:
    value: Any = shown(entry)
    named: dict[str, Any] = {
        "label": entry.label,
        "info": entry.help + (f" ({entry.bounds})" if entry.bounds else ""),
        "elem_id": f"ak-option-{entry.name}",
        "interactive": True,
    }
    if entry.input == "switch":
        return gr.Checkbox(value, **named)
    if entry.input == "choice":
        return gr.Dropdown(list(entry.choices), value=value, **named)
    if entry.input in ("whole", "number"):
        return gr.Number(value, precision=0 if entry.input == "whole" else None, **named)
    return gr.Textbox(value, **named)


def _cost(judges: Judges, method: str | None) -> str:
    entry = judges.registry.methods.entries.get(method or "")
    cost = getattr(entry, "cost", "")
    return f'<p class="ak-faint">Cost: {escape(cost)}</p>' if cost else ""


def _preview(judges: Judges, spec: str | None) -> str:
    """How the data is read, and examples of it."""
    if not spec:
        raise OptionError("no data is chosen", hint="choose some, or upload images of good parts")
    parts = []
    for dataset in named_datasets(judges.settings, spec, judges.registry):
        train, test = dataset.samples("train"), dataset.samples("test")
        thing = "image" if are_stills([*train, *test]) else "frame"
        rows: list[tuple[str, object]] = [("to learn from", counted(len(train), thing))]
        rows.append(("to judge with", counted(sum(one.anomalous is not None for one in test), thing)))
        picture = _examples([*train, *test])
        parts.append(f'<div class="ak-card ak-sheet"><h4>{escape(dataset.spec)}</h4>{facts(rows)}{picture}</div>')
    return "".join(parts)


def _examples(samples: Sequence[Sample]) -> str:
    """Examples of each kind as a picture; "" when there are none to see."""
    from adkit.data.images import read_image
    from adkit.drawing.contact_sheet import ContactSheet

    sheet = ContactSheet(samples)
    for sample in samples:
        # A frame of a video is found by decoding all before it.
        if sheet.wants(sample) and (sample.frame.number or 0) < _FIRST_FRAMES:
            with suppress(FrameError):
                sheet.add(sample, read_image(sample.frame))
    picture = sheet.draw()
    if picture is None:
        return ""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f'<img alt="examples" src="{data_uri(buffer.getvalue(), "image/jpeg")}">'
