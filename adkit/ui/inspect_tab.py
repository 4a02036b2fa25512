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
from adkit.runs.store import list_runs
from adkit.ui import videos
from adkit.ui.faults import PageProgress, told
from adkit.ui.markup import SENDING, empty, facts, fault, moment, promise
from adkit.ui.safety import two_lines
from adkit.ui.scoring import Finding, Judges, Upload
from adkit.ui.showing import NOTHING_YET, as_csv, gallery, verdict, viewer

NO_RUN = empty("There is no run yet", "Learn from good parts first: open Train.")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What one browser has before it."""

    run: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class InspectTab:
    """The parts of the tab that others change."""

    run: gr.Dropdown
    about: gr.HTML
    tab: gr.Tab


def inspect_tab(judges: Judges) -> InspectTab:
    """Builds the tab."""
    settings = judges.settings
    guarded = told(settings)
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

    def look(run_id: str | None, uploads: Sequence[Upload], progress: gr.Progress) -> tuple[Any, ...]:
        """Everything right of the box, for these files; what is wrong with them stands there as well."""
        try:
            return found(run_id or "latest", uploads, PageProgress(progress))
        except AdkitError as error:
            return None, fault(*two_lines(error, settings)), "", "", gr.DownloadButton(visible=False)

    def found(run_id: str, uploads: Sequence[Upload], progress: PageProgress) -> tuple[Any, ...]:
        if len(uploads) > settings.limits.files:
            raise OptionError(
                f"{len(uploads):,} files were dropped; {settings.limits.files:,} are the most",
                hint="drop them in parts, or use: adkit score FOLDER",
            )
        if not uploads:
            return None, NOTHING_YET, "", "", gr.DownloadButton(visible=False)
        ready = judges.ready(run_id)
        if is_video(uploads[0].path):
            seen = videos.watch(judges, ready, uploads[0], _own_folder(), progress)
            address = f"/gradio_api/file={quote(str(seen.annotated))}"
            return None, videos.verdict(seen), videos.panel(seen, address), "", gr.DownloadButton(visible=False)
        findings = judges.findings(ready, uploads, progress)
        several = len(findings) > 1
        return (
            Inspected(ready.record.id, findings),
            verdict(ready, findings[0]),
            viewer(ready, findings[0]),
            gallery(ready, findings),
            gr.DownloadButton(visible=several, value=_csv_file(as_csv(ready, findings)) if several else None),
        )

    @guarded
    def drop(run_id: str | None, paths: list[str] | None, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        uploads = [Upload(Path(path).name, Path(path)) for path in paths or []]
        return (*look(run_id, uploads, progress), None)

    @guarded
    def drop_folder(
        run_id: str | None,
        paths: list[str] | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> tuple[Any, ...]:
        uploads = [Upload(Path(path).name, Path(path)) for path in paths or [] if is_image(Path(path))]
        if paths and not uploads:
            raise OptionError("there is no image in the folder", hint="choose a folder of images")
        return look(run_id, uploads, progress)

    @guarded
    def change_run(run_id: str, before: Inspected | None, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        if before is None or before.run == run_id or not run_id:
            return (gr.skip(),) * len(shown)
        uploads = [Upload(one.name, one.path) for one in before.findings if one.path.exists()]
        return look(run_id, uploads, progress)

    @guarded
    def open_card(before: Inspected | None, event: gr.EventData) -> tuple[str, str]:
        number = event._data.get("open") if isinstance(event._data, dict) else None
        if before is None or not isinstance(number, int) or not 0 <= number < len(before.findings):
            raise OptionError("that image is no longer there", hint="drop the images again")
        ready = judges.ready(before.run)
        return verdict(ready, before.findings[number]), viewer(ready, before.findings[number])

    def describe(run_id: str | None) -> str:
        return about_run(judges, run_id)

    files.upload(drop, [run, files], [*shown, files], concurrency_id="score", api_visibility="private")
    folder.upload(drop_folder, [run, folder], shown, concurrency_id="score", api_visibility="private")
    run.change(describe, run, about, queue=False, api_visibility="private")
    run.change(change_run, [run, inspected], shown, concurrency_id="score", api_visibility="private")
    cards.click(open_card, inspected, [decision, picture], api_visibility="private")
    return InspectTab(run, about, tab)


def run_choices(judges: Judges) -> list[tuple[str, str]]:
    """(what people read, id) of the runs that can score, the newest first."""
    records = [record for _, record in list_runs(judges.settings.runs_root) if isinstance(record, RunRecord)]
    return [(f"{one.dataset} · {one.method} · {moment(one.created)[5:]}", one.id) for one in reversed(records)]


def about_run(judges: Judges, run_id: str | None) -> str:
    """The run's promise and what it learned from; reads its record only."""
    from adkit.runs.store import find_run
    from adkit.ui.safety import run_folder

    if not run_id:
        return NO_RUN
    try:
        record = find_run(judges.settings.runs_root, run_folder(judges.settings, run_id).name).record
    except AdkitError as error:
        return fault(*two_lines(error, judges.settings))
    rows: list[tuple[str, object]] = [
        ("method", record.method),
        ("made", moment(record.created)),
        ("learned from", f"{record.train_count} images of {record.dataset}"),
    ]
    rows += [("shows", "where, by a heat map" if record.pixel_threshold else "a score, no map")]
    return f'<div class="ak-card">{promise(record.threshold)}{facts(rows)}</div>'


def _csv_file(text: str) -> str:
    path = _own_folder() / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def _own_folder() -> Path:
    """A new folder where the page's library serves files from; it empties it in time."""
    place = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    return Path(tempfile.mkdtemp(dir=place, prefix="adkit-"))
