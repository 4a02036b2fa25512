"""Inspect: images in, decisions and heat maps out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from adkit.data.images import is_image
from adkit.data.video import is_video
from adkit.errors import AdkitError, OptionError
from adkit.runs.record import RunRecord
from adkit.runs.store import list_runs, open_run
from adkit.stats.formatting import moment_text
from adkit.ui import videos
from adkit.ui.faults import PRIVATE, PageProgress, fault_on_page, told
from adkit.ui.markup import SENDING, piece, render
from adkit.ui.safety import named_folder
from adkit.ui.scoring import Finding, Judges, Upload
from adkit.ui.settings import ServerSettings
from adkit.ui.showing import NOTHING_YET, as_csv, gallery, verdict, viewer

PROGRESS = gr.Progress()
"""What the library puts in its place, in a function that has it as a default, shows a step on the page."""

NO_RUN = piece("empty", "There is no run yet", "Learn from good parts first: open Train.")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What one browser has before it."""

    run: str
    findings: Sequence[Finding]


def inspect_tab(judges: Judges) -> tuple[gr.Dropdown, gr.HTML]:
    """Build the tab; returns the choice of a run, and what is said of it."""
    guarded = told(judges.settings)
    with gr.Tab("Inspect", id="inspect") as tab:
        inspected = gr.State(None, time_to_live=6 * 3600)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=290):
                run = gr.Dropdown([], label="Run", interactive=True)
                about = gr.HTML()
                files = gr.File(
                    label="Images, or a video", file_count="multiple", height=150, elem_id="ak-files", interactive=True
                )
                folder = gr.UploadButton("Choose a folder", file_count="directory", size="sm")
                gr.HTML('<adkit-camera for="ak-files"></adkit-camera>', js_on_load=None)
            with gr.Column(scale=3, min_width=320):
                decision = gr.HTML(NOTHING_YET, elem_id="ak-decision")
                picture = gr.HTML(elem_id="ak-picture")
                cards = gr.HTML(js_on_load=SENDING, elem_id="ak-gallery")
                table = gr.DownloadButton("Download as CSV", size="sm", visible=False)
    shown = [inspected, decision, picture, cards, table]

    @guarded
    def drop(run_id: str | None, paths: list[str] | None, progress: gr.Progress = PROGRESS) -> tuple[Any, ...]:
        return (*_look(judges, run_id, paths or [], progress), None)

    @guarded
    def drop_folder(run_id: str | None, paths: list[str] | None, progress: gr.Progress = PROGRESS) -> tuple[Any, ...]:
        images = [path for path in paths or [] if is_image(Path(path))]
        if paths and not images:
            raise OptionError("there is no image in the folder", hint="choose a folder of images")
        return _look(judges, run_id, images, progress)

    @guarded
    def change_run(run_id: str, before: Inspected | None, progress: gr.Progress = PROGRESS) -> Any:
        if before is None or before.run == run_id or not run_id:
            return gr.skip()
        kept = [one.upload.path for one in before.findings if one.upload.path.exists()]
        return _look(judges, run_id, kept, progress)

    @guarded
    def open_card(before: Inspected | None, event: gr.EventData) -> tuple[str, str]:
        number = event._data.get("open") if isinstance(event._data, dict) else None
        if before is None or not isinstance(number, int) or not 0 <= number < len(before.findings):
            raise OptionError("that image is no longer there", hint="drop the images again")
        ready = judges.ready(before.run)
        return verdict(ready, before.findings[number]), viewer(ready, before.findings[number])

    files.upload(drop, [run, files], [*shown, files], concurrency_id="score", **PRIVATE)
    folder.upload(drop_folder, [run, folder], shown, concurrency_id="score", **PRIVATE)
    run.change(lambda run_id: about_run(judges.settings, run_id), run, about, queue=False, **PRIVATE)
    run.change(change_run, [run, inspected], shown, concurrency_id="score", **PRIVATE)
    cards.click(open_card, inspected, [decision, picture], **PRIVATE)
    tab.select(lambda chosen: choice_of_runs(judges.settings, chosen)[0], run, run, queue=False, **PRIVATE)
    return run, about


def _parts(
    decision: str = NOTHING_YET,
    picture: str = "",
    cards: str = "",
    table: Path | None = None,
    inspected: Inspected | None = None,
) -> tuple[Any, ...]:
    return inspected, decision, picture, cards, gr.DownloadButton(visible=table is not None, value=table)


def _look(judges: Judges, run_id: str | None, paths: Sequence[str | Path], show: gr.Progress) -> tuple[Any, ...]:
    """Return the new parts right of the box for these files, which may be what is wrong with them."""
    uploads = [Upload(Path(path).name, Path(path)) for path in paths]
    most = judges.settings.limits.files
    try:
        if len(uploads) > most:
            raise OptionError(
                f"{len(uploads):,} files were dropped; {most:,} are the most",
                hint="drop them in parts, or use: adkit score FOLDER",
            )
        if not uploads:
            return _parts()
        ready = judges.ready(run_id or "latest")
        if is_video(uploads[0].path):
            seen = videos.watch(judges, ready, uploads[0], _own_folder(), PageProgress(show))
            return _parts(videos.verdict(seen), videos.panel(seen, f"/gradio_api/file={quote(str(seen.annotated))}"))
        findings = judges.findings(ready, uploads, PageProgress(show))
    except AdkitError as error:
        return _parts(fault_on_page(error, judges.settings))
    table = None
    if len(findings) > 1:
        table = _own_folder() / "scores.csv"
        table.write_text(as_csv(ready, findings), encoding="utf-8")
    inspected = Inspected(ready.model.run.record.id, findings)
    return _parts(verdict(ready, findings[0]), viewer(ready, findings[0]), gallery(ready, findings), table, inspected)


def choice_of_runs(settings: ServerSettings, chosen: str | None) -> tuple[gr.Dropdown, str | None]:
    """Return the choice of runs that can score, the newest first, and its value: the chosen one, or the newest."""
    records = [record for _, record in list_runs(settings.runs_root) if isinstance(record, RunRecord)]
    texts = {one.id: f"{one.dataset} · {one.method} · {moment_text(one.created, local=True)[5:]}" for one in records}
    choices = [(text, run_id) for run_id, text in reversed(texts.items())]
    value = chosen if chosen in texts else next((run_id for _, run_id in choices), None)
    return gr.Dropdown(choices=choices, value=value), value


def about_run(settings: ServerSettings, run_id: str | None) -> str:
    """Return the run's promise and what it learned from."""
    if not run_id:
        return NO_RUN
    try:
        return render("about.html", title="", record=open_run(named_folder(settings, run_id)).record)
    except AdkitError as error:
        return fault_on_page(error, settings)


def _own_folder() -> Path:
    """Make a new folder where the page's library serves files from; it empties it in time."""
    return Path(tempfile.mkdtemp(dir=os.environ.get("GRADIO_TEMP_DIR") or None, prefix="adkit-"))
