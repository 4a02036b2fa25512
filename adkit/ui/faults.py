"""Faults on the page: the user's in two lines, all others in the server's log and never in the browser."""

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr

from adkit.errors import AdkitError
from adkit.ui.markup import piece
from adkit.ui.safety import two_lines
from adkit.ui.settings import ServerSettings
from adkit.workflows.progress import OneBar, Standing

log = logging.getLogger("adkit.ui")
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""For every event: what the page asks of its server is no interface for programs."""
Handler = TypeVar("Handler", bound=Callable[..., Any])


def told(settings: ServerSettings) -> Callable[[Handler], Handler]:
    """Decorate what the page calls: a fault becomes a notice that stays until it is closed, and nothing changes."""

    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def called(*arguments: Any, **named: Any) -> Any:
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

        return called  # type: ignore[return-value]

    return decorate


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
