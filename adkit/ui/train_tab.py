"""Train: data, method, promise; then a job that goes on whatever becomes of the page."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from adkit.data.clips import are_stills
from adkit.data.contents import has_rows, is_of_adkit
from adkit.data.datasets import open_datasets
from adkit.data.images import image_to_look_at, is_image
from adkit.data.layouts import refuse_several
from adkit.data.tables import is_table
from adkit.data.video import is_video
from adkit.drawing.contact_sheet import ContactSheet
from adkit.drawing.overlay import image_uri
from adkit.errors import AdkitError, DatasetError, FrameError, OptionError
from adkit.options import OptionRow, Options, option_rows, option_text, options_of
from adkit.registry import Registry
from adkit.runs.record import PART, FitSettings
from adkit.stats.formatting import counted
from adkit.types import Sample
from adkit.ui.faults import listen
from adkit.ui.jobs import Jobs, fit_arguments, panel
from adkit.ui.markup import SENDING, piece, render
from adkit.ui.safety import confined_options, keep_upload, named_datasets
from adkit.ui.scoring import Judges
from adkit.ui.settings import ServerSettings
from adkit.workflows.fit import check_settings

PREFERRED = "patchknn"
"""The method that a form begins with, where it is installed."""
START = "Start the training"
_NUMBERS = {"whole number": 0, "number": None}  # options' types, and the decimals that an input rounds to
_FIRST_FRAMES = 200
MOST_LISTED = 200
_MOST_LOOKED_AT = 4000  # files and folders; a data root may be large


def train_tab(judges: Judges, jobs: Jobs) -> gr.HTML:
    """Build the tab; returns the list of trainings."""
    methods = judges.registry.methods.names()
    first = PREFERRED if PREFERRED in methods else next(iter(methods), None)
    with gr.Tab("Train", id="train") as tab, gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=320):
            gr.HTML("<h3>1 · Good parts</h3>", js_on_load=None)
            dataset = _data(judges, tab)
            gr.HTML("<h3>2 · Method</h3>", js_on_load=None)
            titles = [(f"{one} – {judges.registry.methods.entries[one].summary}", one) for one in methods]
            method = gr.Dropdown(titles, value=first, label="Method")
            cost = gr.HTML(_cost(judges, first), js_on_load=None)
            gr.HTML("<h3>3 · What is seen</h3>", js_on_load=None)
            with gr.Row():
                roi = gr.Textbox(
                    label="Part to look at",
                    placeholder="x,y,w,h",
                    info="a box in px, or part: what stands out from its ground; empty: everywhere",
                    scale=3,
                )
                border = gr.Number(0, label="Border to ignore", precision=0, minimum=0, info="px", scale=2)
                tiles = gr.Checkbox(label="in tiles", info="full resolution, slower", scale=2)
            gr.HTML("<h3>4 · Promise</h3>", js_on_load=None)
            with gr.Row():
                rate = gr.Textbox(
                    label="False alarms that are allowed",
                    placeholder="1%",
                    info="of good parts; of videos also 6/h; empty: 1%, or as few as the images support",
                    scale=3,
                )
                certain = gr.Checkbox(label="with 95 % certainty", info="needs more images", scale=2)
            robust = gr.Checkbox(
                label="Leave out hidden defects", info="what scores far apart from all the rest; learns anew without it"
            )
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, info="same seed, same data, same result")

            given = {"dataset": dataset, "max_false_alarms": rate, "certain": certain, "robust": robust, "roi": roi}
            given |= {"ignore_border": border, "tiles": tiles, "seed": seed}

            @gr.render(  # type: ignore[untyped-decorator]
                inputs=method, triggers=[tab.select, method.change]
            )
            def form(chosen: str | None) -> None:
                _options(judges, jobs, chosen, given, running)

        with gr.Column(scale=2, min_width=320):
            gr.HTML("<h3>Trainings</h3>", js_on_load=None)
            running = gr.HTML(panel(jobs, trainings=True), js_on_load=SENDING, elem_id="ak-jobs")
    listen(judges.settings, method.change, lambda chosen: _cost(judges, chosen), method, cost, queue=False)
    return running


def data_choice(judges: Judges, tab: gr.Tab, label: str, info: str | None = None) -> gr.Dropdown:
    """Build what data is chosen with; what there is, is looked up whenever the tab is opened."""
    choice = gr.Dropdown([], label=label, info=info, allow_custom_value=True, interactive=True)

    def look_up(chosen: str | None) -> gr.Dropdown:
        specs = listed(judges.settings, judges.registry)
        return gr.Dropdown(choices=specs, value=chosen or next(iter(specs), None))

    listen(judges.settings, tab.select, look_up, choice, choice)
    return choice


def _data(judges: Judges, tab: gr.Tab) -> gr.Dropdown:
    """Build what the data is chosen, uploaded and looked at with; returns the choice."""
    settings = judges.settings
    on = partial(listen, settings)
    dataset = data_choice(judges, tab, "Data on the server", "folder:NAME is a folder below the server's data folder")
    with gr.Accordion("Upload images of good parts, or videos of normal operation", open=False):
        name = gr.Textbox(label="Name", placeholder="washers", info="what these parts are called from now on")
        label = "A hundred or more; or videos"
        files = gr.File(label=label, file_count="multiple", height=150, elem_id="ak-train-files")
        part = gr.Textbox(
            label="Part of one video to learn from",
            placeholder="0:00-2:00",
            info="the rest is for Inspect: it knows what was learned; empty: all",
        )
        keep = gr.Button("Keep them on the server", size="sm")
    look = gr.Button("Look at the data", size="sm")
    shown = gr.HTML(js_on_load=None)

    def keep_files(wanted: str, paths: list[str] | None, part: str) -> tuple[Any, ...]:
        files = [Path(path) for path in paths or []]
        spec, left_out = keep_upload(settings, (wanted or "").strip(), files, (part or "").strip())
        if left_out:
            lines = [*left_out[:8], *([f"and {len(left_out) - 8} more"] if len(left_out) > 8 else [])]
            gr.Warning(piece("lines", lines), title=f"Left out: {counted(len(left_out), 'file')}", duration=None)
        return gr.Dropdown(choices=listed(settings, judges.registry), value=spec), None, "", ""

    on(keep.click, keep_files, [name, files, part], [dataset, files, name, part])
    looked = gr.State("")
    looking = on(look.click, lambda spec: (preview(judges, spec), spec), dataset, [shown, looked])
    # What was looked at is shown as long as it is chosen, and not when another was chosen meanwhile.
    for change in (dataset.change, looking.then):
        on(change, lambda spec, of: gr.skip() if spec == of else "", [dataset, looked], shown, queue=False)
    return dataset


def _options(judges: Judges, jobs: Jobs, method: str | None, given: dict[str, Any], running: gr.HTML) -> None:
    """Build the form of a method's options, and the button that starts a training by them and what is `given`."""
    options = options_of(judges.registry.methods.get(method).load()) if method else Options
    rows, schema = option_rows(options), options.model_json_schema()
    with gr.Accordion(f"Options of {method}", open=False):
        inputs = [input_of(row) for row in rows]
    start = gr.Button(START, variant="primary", elem_id="ak-start")

    def begin(filled: dict[Any, Any]) -> str:
        """Queue a training, after all that can be refused before it begins."""
        settings, registry = judges.settings, judges.registry
        texts = {name: value.strip() if isinstance(value := filled[one], str) else value for name, one in given.items()}
        asked = {name: value for name, value in texts.items() if value not in ("", None)}  # else it is as usual
        spec = asked.pop("dataset", None)
        if not spec or not method:
            raise OptionError("no data is chosen" if method else "no method is chosen", hint="choose one, then start")
        if asked["certain"] and "max_false_alarms" not in asked:
            raise OptionError("certainty says nothing without a rate", hint="fill in the false alarms: 5%")
        _require_box(asked.get("roi", PART))
        options = confined_options(settings, schema, changed(rows, [filled[one] for one in inputs]))
        root, device = str(settings.data_root.resolve()), settings.device
        wanted = FitSettings(method=method, dataset=(spec,), options=options, root=root, device=device, **asked)
        check_settings(wanted, registry)
        named_datasets(settings, spec, registry)
        jobs.submit("fit", f"{method} on {spec}", fit_arguments(settings, wanted.command_line()))
        return panel(jobs, trainings=True)

    # The first look at data may take half a minute: it is drawn, or has many files.
    on = partial(listen, judges.settings)
    looking = on(start.click, lambda: gr.Button("Looking at the data …", interactive=False), None, start, queue=False)
    begun = on(looking.then, begin, {*given.values(), *inputs}, running)
    show = "() => window.adkit.show('ak-jobs')"
    on(begun.then, lambda: gr.Button(START, interactive=True), None, start, queue=False, js=show)


def _require_box(roi: str) -> None:
    """Raise OptionError for the path of a mask: none is uploaded."""
    if roi != PART and not all(letter.isdecimal() or letter in ", " for letter in roi):
        raise OptionError(f"{roi} is no box", hint="four whole numbers of px: x,y,w,h, as in 100,40,640,480")


def input_of(row: OptionRow) -> Any:
    """Return the part of the form that takes the option."""
    named: dict[str, Any] = {
        "value": value_shown(row),
        "label": row.name.replace("_", " "),
        "info": row.description + (f" ({row.bounds})" if row.bounds else ""),
        "elem_id": f"ak-option-{row.name}",
        "interactive": True,
    }
    if row.choices:
        return gr.Dropdown(list(row.choices), **named)
    if row.type in _NUMBERS:
        return gr.Number(precision=_NUMBERS[row.type], **named)
    return gr.Checkbox(**named) if row.type == "true/false" else gr.Textbox(**named)


def _cost(judges: Judges, method: str | None) -> str:
    return piece("cost", getattr(judges.registry.methods.entries.get(method or ""), "cost", ""))


def preview(judges: Judges, spec: str | None) -> str:
    """Return how the data is read, and examples of it."""
    if not spec:
        raise OptionError("no data is chosen", hint="choose some, or upload images of good parts")
    datasets = []
    for dataset in named_datasets(judges.settings, spec, judges.registry):
        train, test = dataset.samples("train"), dataset.samples("test")
        thing = "image" if are_stills([*train, *test]) else "frame"
        known = sum(one.anomalous is not None for one in test)
        datasets.append((dataset.spec, thing, len(train), known, _examples([*train, *test])))
    return render("preview.html", datasets=datasets)


def _examples(samples: Sequence[Sample]) -> str | None:
    """Return examples of each kind as a picture; None when there are none to see."""
    sheet = ContactSheet(samples)
    for sample in samples:
        # A frame of a video is found by decoding all before it.
        if sheet.wants(sample) and (sample.frame.number or 0) < _FIRST_FRAMES:
            with suppress(FrameError):
                sheet.add(sample, image_to_look_at(sample.frame))
    picture = sheet.draw()
    return None if picture is None else image_uri(np.asarray(picture))


def value_shown(row: OptionRow) -> bool | float | str:
    """Return the default as the input takes it."""
    if row.type == "true/false":
        return row.default == "true"
    return float(row.default) if row.type in _NUMBERS else row.default


def changed(rows: Sequence[OptionRow], values: Sequence[object]) -> dict[str, str]:
    """Return what was filled in and is not the default, as texts by name; an empty field means the default."""
    given = {}
    for row, value in zip(rows, values, strict=True):
        filled = value.strip() if isinstance(value, str) else value
        if filled not in (None, "", value_shown(row)):
            given[row.name] = option_text(filled)
    return given


def listed(settings: ServerSettings, registry: Registry) -> list[str]:
    """Return what can be chosen: folders, uploads first, tables of images, and each dataset's categories."""
    folders = [f"{sort}:{path.relative_to(settings.data_root).as_posix()}" for path, sort in _folders(settings)]
    categories = []
    for name in registry.datasets.names():
        with suppress(AdkitError):  # by name only: which files they hold is looked at when one is chosen
            categories += [one.spec for one in open_datasets(f"{name}:all", settings.data_root.resolve(), registry)]
    root = settings.data_root
    tables = [f"manifest:{path.name}" for path in sorted(root.glob("*.csv")) if is_table(path) and not has_rows(path)]
    return list(dict.fromkeys([*folders, *tables, *categories]))[:MOST_LISTED]


def _folders(settings: ServerSettings) -> Iterator[tuple[Path, str]]:
    """Yield folders directly in the uploads and in the data root that hold images or videos, and the dataset for it."""
    for parent in (settings.uploads, settings.data_root):
        if not parent.is_dir():
            continue
        for folder in sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink()):
            if folder != settings.uploads and not folder.name.startswith(".") and (sort := _sort_of(folder)):
                yield folder, sort


def _sort_of(folder: Path) -> str | None:
    """Return the dataset for such folders, by their first image or video; None: neither, or datasets of their own."""
    found, places = None, set()
    for path in islice(folder.rglob("*"), _MOST_LOOKED_AT):
        sort = "folder" if is_image(path) else "clips" if is_video(path) else None
        found = found or (None if sort and is_of_adkit(path, folder) else sort)
        inside = path.relative_to(folder).parts[:-1] if sort else ()
        places |= {inside[: depth + 1] for depth in range(len(inside))}
    with suppress(DatasetError):
        refuse_several(folder, places)
        return found
    return None
