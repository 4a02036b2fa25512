"""Help: how to take pictures, what can be detected, and how a program asks."""

from __future__ import annotations

import gradio as gr

from adkit.ui.texts import text_of


def help_tab() -> None:
    """Builds the tab."""
    with gr.Tab("Help", id="help"):
        gr.HTML(text_of("help.html"), js_on_load=None)
