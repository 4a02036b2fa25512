"""Faults on the page: the user's in two lines, all others in the server's log and never in the browser."""

import functools
import logging
from collections.abc import Callable
from typing import Any

import gradio as gr

from adkit.errors import AdkitError
from adkit.ui.markup import piece
from adkit.ui.safety import two_lines
from adkit.ui.settings import ServerSettings
from adkit.workflows.progress import OneBar, Standing

log = logging.getLogger("adkit.ui")


def listen(settings: ServerSettings, event: Callable[..., Any], handler: Any, *places: Any, **more: Any) -> Any:
    """Let a handler answer an event of the page, or None the browser alone; programs cannot call it.

    A fault becomes a notice that stays until it is closed, and nothing changes.
    """

    def guarded(*arguments: Any, **named: Any) -> Any:
        try:
            return handler(*arguments, **named)
        except AdkitError as error:
            message, hint = two_lines(error, settings)
        except Exception:
            log.exception("the page's %s failed", handler.__name__)
            message, hint = "something failed inside adkit", "the server's log says where"
        # Not as the library's error, which covers everything that the handler would have changed.
        gr.Warning(piece("notice", message, hint), title="That did not work", duration=None)
        return gr.skip()

    answer = functools.wraps(handler)(guarded) if handler else None
    return event(answer, *places, api_visibility="private", **more)


def fault_on_page(error: AdkitError, settings: ServerSettings) -> str:
    """Return a fault as a part of the page."""
    return piece("fault", *two_lines(error, settings))


class PageProgress(OneBar):
    """Shows how far it is on the part of the page that waits for it."""

    def __init__(self, show: gr.Progress) -> None:
        super().__init__()
        self._show = show

    def show(self, standing: Standing, *, advanced: bool) -> None:
        """Draw it."""
        self._show(standing.share, desc=standing.text)
