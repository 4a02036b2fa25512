"""Inspect: images in, decisions and heat maps out."""

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from adkit.data.images import is_image
from adkit.data.video import is_video
from adkit.errors import AdkitError, OptionError
from adkit.interfaces import Progress
from adkit.runs.record import RunRecord
from adkit.runs.store import list_runs, open_run
from adkit.stats.formatting import moment_text
from adkit.ui import videos
from adkit.ui.faults import PageProgress, fault_on_page, listen
from adkit.ui.markup import SENDING, piece, render
from adkit.ui.safety import named_folder
from adkit.ui.scoring import Judges, Upload, UploadResult
from adkit.ui.settings import ServerSettings
from adkit.ui.showing import NOTHING_YET, as_csv, gallery, verdict, viewer
from adkit.workflows.score import FittedModel

PROGRESS = gr.Progress()
"""What the library puts in its place, in a function that has it as a default, shows a step on the page."""
SHOW = "() => window.adkit.show('ak-results')"
"""Brings what was found into sight, where it is below."""
NO_RUN = piece("empty", "There is no run yet", "Learn from good parts first: open Train.")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What one browser has before it."""

    run: str
    uploads: Sequence[Upload]
    findings: Sequence[UploadResult] = ()  # of the images among them


class Turns:
    """What each browser asked for last: it can be stopped, and the answer to an older question is not shown."""

    def __init__(self) -> None:
        self._last: dict[str, threading.Event] = {}

    def begin(self, request: gr.Request) -> threading.Event:
        """Stop what this browser asked for before; what is returned is set when the new question is to stop too."""
        self.stop(request)
        found = self._last[request.session_hash or ""] = threading.Event()
        return found

    def stop(self, request: gr.Request) -> None:
        """Stop what this browser asked for."""
        if stop := self._last.pop(request.session_hash or "", None):
            stop.set()

    def is_old(self, request: gr.Request, stop: threading.Event) -> bool:
        """Say whether the browser asked for something else in the meantime."""
        return self._last.get(request.session_hash or "", stop) is not stop


class _Layout:
    """What stands in the tab."""

    def __init__(self) -> None:
        with gr.Tab("Inspect", id="inspect") as self.tab:
            self.inspected = gr.State(None, time_to_live=6 * 3600)
            with gr.Row(equal_height=False):
                with gr.Column(scale=1, min_width=290):
                    self.run = gr.Dropdown([], label="Run", interactive=True, elem_id="ak-run")
                    self.about = gr.HTML()
                    self.files = gr.File(
                        label="Images, or videos",
                        file_count="multiple",
                        height=150,
                        elem_id="ak-files",
                        interactive=True,
                    )
                    self.cancel = gr.Button("Cancel", size="sm", visible=False, elem_id="ak-cancel")
                    self.folder = gr.UploadButton("Choose a folder", file_count="directory", size="sm")
                    gr.HTML('<adkit-camera for="ak-files"></adkit-camera>', js_on_load=None)
                with gr.Column(scale=3, min_width=320, elem_id="ak-results"):
                    decision = gr.HTML(NOTHING_YET, elem_id="ak-decision")
                    picture = gr.HTML(elem_id="ak-picture")
                    self.gallery = gr.HTML(js_on_load=SENDING, elem_id="ak-gallery")
                    clips = gr.HTML(js_on_load=None, elem_id="ak-videos")
                    table = gr.DownloadButton("Download as CSV", size="sm", visible=False)
        self.shown = [self.inspected, decision, picture, self.gallery, clips, table]  # what an answer fills


def inspect_tab(judges: Judges, turns: Turns) -> tuple[gr.Dropdown, gr.HTML]:
    """Build the tab; returns the choice of a run, and what is said of it."""
    on, at = partial(listen, judges.settings), _Layout()

    def answer(run_id: str | None, uploads: Sequence[Upload], progress: gr.Progress, request: gr.Request) -> Any:
        stop = turns.begin(request)
        parts = _look(judges, run_id, uploads, progress, stop)
        return gr.skip() if turns.is_old(request, stop) else parts

    def drop(run_id: str | None, paths: list[str] | None, request: gr.Request, progress: gr.Progress = PROGRESS) -> Any:
        parts = answer(run_id, _uploads(paths or []), progress, request)
        return (*parts, None) if isinstance(parts, tuple) else parts  # the box is empty again

    def drop_folder(
        run_id: str | None, paths: list[str] | None, request: gr.Request, progress: gr.Progress = PROGRESS
    ) -> Any:
        return answer(run_id, _in_folder(paths or []), progress, request)

    def change_run(run_id: str, before: Inspected | None, request: gr.Request, progress: gr.Progress = PROGRESS) -> Any:
        """Judge what is there with the run that is chosen now, if it was not."""
        if before is None or before.run == run_id or not run_id:
            return gr.skip()
        return answer(run_id, [one for one in before.uploads if one.path.exists()], progress, request)

    def open_card(before: Inspected | None, event: gr.EventData) -> tuple[str, str]:
        number = event._data.get("open") if isinstance(event._data, dict) else None
        if before is None or not isinstance(number, int) or not 0 <= number < len(before.findings):
            raise OptionError("that image is no longer there", hint="drop the images again")
        model = judges.ready(before.run)
        return verdict(model, before.findings[number]), viewer(model, before.findings[number])

    def judging(trigger: Callable[..., Any], handler: Callable[..., Any], inputs: list[Any], *more: Any) -> None:
        """Judge when it is asked for, with a button to stop; with another run, where that was chosen meanwhile."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        began = on(
            trigger, lambda *given: gr.Button(visible=None not in given), inputs[1:], at.cancel, queue=False, **quiet
        )
        judged = on(began.then, handler, inputs, [*at.shown, *more], concurrency_id="score")
        again = on(judged.then, change_run, [at.run, at.inspected], at.shown, concurrency_id="score", **quiet)
        on(again.then, lambda: gr.Button(visible=False), None, at.cancel, queue=False, js=SHOW)

    judging(at.files.upload, drop, [at.run, at.files], at.files)
    judging(at.folder.upload, drop_folder, [at.run, at.folder])
    judging(at.run.change, change_run, [at.run, at.inspected])
    on(at.run.change, lambda run_id: about_run(judges.settings, run_id), at.run, at.about, queue=False)
    on(at.run.input, None, at.run, None, js="(run) => window.adkit.address(`?run=${run}`)")
    on(at.cancel.click, turns.stop, None, None, queue=False)
    on(at.gallery.click, open_card, at.inspected, at.shown[1:3])
    on(at.tab.select, lambda chosen: choice_of_runs(judges.settings, chosen)[0], at.run, at.run)
    return at.run, at.about


def _in_folder(paths: Sequence[str]) -> list[Upload]:
    found = [path for path in paths if is_image(Path(path)) or is_video(Path(path))]
    if paths and not found:
        raise OptionError("there is no image in the folder", hint="choose a folder of images")
    return _uploads(found)


def _uploads(paths: Sequence[str]) -> list[Upload]:
    return [Upload(Path(path).name, Path(path)) for path in paths]


def _parts(
    inspected: Inspected | None,
    decision: str = "",
    picture: str = "",
    cards: str = "",
    moving: str = "",
    table: Path | None = None,
) -> tuple[Any, ...]:
    return inspected, decision, picture, cards, moving, gr.DownloadButton(visible=table is not None, value=table)


def _look(
    judges: Judges, run_id: str | None, uploads: Sequence[Upload], show: gr.Progress, stop: threading.Event
) -> tuple[Any, ...]:
    """Return the new parts right of the box for these files, which may be what is wrong with them."""
    most, progress = judges.settings.limits.files, PageProgress(show)
    if not uploads:
        return _parts(None, NOTHING_YET)
    try:
        if len(uploads) > most:
            hint = "drop them in parts, or use: adkit score FOLDER"
            raise OptionError(f"{len(uploads):,} files were dropped; {most:,} are the most", hint=hint)
        model = judges.ready(run_id or "latest")
        images = [one for one in uploads if not is_video(one.path)]
        findings = judges.findings(model, images, progress, stop)
        moving = [_video(judges, model, one, progress, stop) for one in uploads if is_video(one.path)]
    except AdkitError as error:
        return _parts(Inspected(run_id or "", uploads), fault_on_page(error, judges.settings))
    table = None
    if len(findings) > 1:
        table = _own_folder() / "scores.csv"
        table.write_text(as_csv(model, findings), encoding="utf-8")
    inspected = Inspected(model.run.record.id, uploads, findings)
    first = (verdict(model, findings[0]), viewer(model, findings[0])) if findings else ("", "")
    if len(findings) < len(images):
        first = (piece("cancelled", len(findings), len(images)) + first[0], first[1])
    return _parts(inspected, *first, gallery(model, findings), "".join(moving), table)


def _video(judges: Judges, model: FittedModel, upload: Upload, progress: Progress, stop: threading.Event) -> str:
    """Return what is shown of a video, which may be what is wrong with it."""
    try:
        seen = videos.watch(judges, model, upload, _own_folder(), progress, stop)
    except AdkitError as error:
        return fault_on_page(error, judges.settings)
    return videos.panel(seen, lambda path: f"gradio_api/file={quote(str(path))}")


def choice_of_runs(settings: ServerSettings, chosen: str | None) -> tuple[gr.Dropdown, str | None]:
    """Return the runs that can score, the newest first, and the chosen one, else the newest; tells where it is gone."""
    records = [record for _, record in list_runs(settings.runs_root) if isinstance(record, RunRecord)]
    texts = {one.id: f"{one.dataset} · {one.method} · {moment_text(one.created, local=True)[5:]}" for one in records}
    choices = [(text, run_id) for run_id, text in reversed(texts.items())]
    value = chosen if chosen in texts else next((run_id for _, run_id in choices), None)
    if chosen and chosen != value:
        gr.Warning(
            f"The run {chosen} is there no more. Chosen now: {value or 'none'}", title="Another run", duration=None
        )
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
