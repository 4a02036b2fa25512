"""The page: four tabs, how they hang together, and how they look."""

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr
import numpy as np
from gradio.blocks import Block

from adkit.drawing.overlay import colours
from adkit.ui.faults import listen
from adkit.ui.inspect_tab import Turns, about_run, choice_of_runs, inspect_tab
from adkit.ui.jobs import Jobs, act, panel
from adkit.ui.markup import text_of
from adkit.ui.results_tab import IN_TURN, results_tab
from adkit.ui.safety import named_folder
from adkit.ui.scoring import Judges
from adkit.ui.train_tab import train_tab

TICK_S = 1.0
"""How often the page looks how far its jobs are."""
FETCH_S = 2.0
"""How long an answer that the library left behind may be missing."""
TOP = '<div class="ak-top"><h1>adkit</h1><span>visual anomaly detection from good parts only</span></div>'
_SHOWN = {"report": "run", "results": "run", "comparison": "comparison"}
"""What the cards of jobs ask Results to show, and the kind of that."""


def build_page(judges: Judges, jobs: Jobs, opened: Callable[[], None]) -> gr.Blocks:
    """Build the page; `opened` is called when a browser shows it, and what it has to show at first is there."""
    settings, on, turns = judges.settings, partial(listen, judges.settings), Turns()
    with gr.Blocks(analytics_enabled=False, title="adkit", delete_cache=(600, 6 * 3600), fill_width=True) as page:
        gr.HTML(TOP, js_on_load=None)
        with gr.Tabs(selected="inspect") as tabs:
            run, about = inspect_tab(judges, turns)
            trainings = train_tab(judges, jobs)
            results = results_tab(judges, jobs)
            with gr.Tab("Help", id="help"):
                gr.HTML(text_of("help.html"), js_on_load=None, elem_id="ak-help")
        seen, clock = gr.State(""), gr.Timer(TICK_S)

    def load(chosen: str | None, request: gr.Request) -> tuple[Any, str]:
        choice, value = choice_of_runs(settings, request.query_params.get("run") or chosen)
        return choice, about_run(settings, value)

    def show_linked(request: gr.Request) -> Any:
        named = ((kind, request.query_params.get(kind)) for kind in ("run", "comparison"))  # ?run=ID, ?comparison=NAME
        return next((results.show((kind, name)) for kind, name in named if name), gr.skip())

    def lists() -> dict[Any, Any]:
        return {trainings: panel(jobs, trainings=True), results.jobs: panel(jobs, trainings=False)}

    def tick(before: str) -> dict[Any, Any]:
        now = lists()
        shown = "".join(now.values())
        return gr.skip() if shown == before else {seen: shown, **now}  # nothing is drawn anew that stays as it is

    def inspect_with(run_id: str | None) -> dict[Any, Any]:
        if run_id:
            named_folder(settings, run_id)  # else another one would be chosen
        return {tabs: gr.Tabs(selected="inspect"), run: choice_of_runs(settings, run_id)[0]}

    def press(event: gr.EventData) -> dict[Any, Any]:
        what = event._data if isinstance(event._data, dict) else {}
        act(settings, jobs, what)
        if "inspect" in what:
            return lists() | inspect_with(what["inspect"])
        if (asked := next((one for one in _SHOWN if one in what), None)) is None:
            return lists()
        shown = results.show((_SHOWN[asked], what[asked]), with_report=asked != "results")
        return lists() | {tabs: gr.Tabs(selected="results")} | shown

    with page:
        page.unload(turns.stop)
        loaded = on(page.load, load, run, [run, about], queue=False)
        on(loaded.then, lambda: opened(), None, None, queue=False)
        # By the queue, as all that may have something to tell: a notice does not arrive otherwise.
        on(page.load, show_linked, None, results.shown, show_progress="hidden", concurrency_id=IN_TURN)
        # The library's server ends a stream of answers that has nothing more to say; what the browser asks just then
        # waits for a stream that nobody opens, until something else is asked by the queue.
        on(gr.Timer(FETCH_S).tick, lambda: None, None, None, show_progress="hidden", trigger_mode="multiple")
        on(clock.tick, tick, seen, [seen, trainings, results.jobs], queue=False, show_progress="hidden")
        pressed = [trainings, results.jobs, tabs, run, *results.shown]
        for listed in (trainings, results.jobs):
            on(listed.click, press, None, pressed, show_progress="hidden")
        on(results.inspect.click, lambda what: inspect_with(what and what[1]), results.chosen, [tabs, run])
    built: gr.Blocks = page
    return built


def confine(page: gr.Blocks) -> None:
    """Let an upload be nothing but a file that was uploaded; a browser could else name any file, or an address.

    The library looks at what is named only once it has launched a page itself, and does not think of one that is
    part of another application as launched.
    """
    page.has_launched = True
    Block.async_move_resource_to_block_cache = _uploaded  # type: ignore[method-assign, assignment]


_original: Any = Block.async_move_resource_to_block_cache


async def _uploaded(block: Block, named: str | None) -> str | None:
    if named is not None and "://" in str(named)[:12]:
        raise gr.Error("only files that are uploaded are read", print_exception=False)
    kept: str | None = await _original(block, named)
    return kept


def theme() -> gr.themes.Base:
    """Return colours and letters; no font is loaded from anywhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(
        color_accent="*primary_700",
        color_accent_soft_dark="#115e5966",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_text_color="white",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
    )


def head() -> str:
    """Return the script of the page's own elements, with the heat map's colours."""
    ramp = colours(np.linspace(0, 1, 256, dtype=np.float32)[None])[0]
    script = text_of("page.js").replace("{{colours}}", base64.b64encode(ramp.tobytes()).decode())
    script = script.replace("{{viewer_style}}", text_of("viewer.css"))
    return f"<script>{script}</script>"
