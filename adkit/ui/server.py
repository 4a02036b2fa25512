"""The server: answers at once, loads the page's library beside that, and torch when the page is up."""

import asyncio
import errno
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import webbrowser
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from adkit.errors import OptionError, said
from adkit.files.atomic import owned_prefix, remove_abandoned
from adkit.ui.access import AccessMiddleware, fault_response
from adkit.ui.api import create_api
from adkit.ui.jobs import Jobs
from adkit.ui.markup import text_of
from adkit.ui.scoring import Judges
from adkit.ui.settings import ServerSettings, require_token

HEADERS_S = 10.0
"""So long, and at most twice as long, a connection may be open without a whole request on its way."""
MOST_OF_ADDRESS = 200
"""Connections at once; a proxy before the server has one address for all who ask."""
SILENT_S = 60.0
log = logging.getLogger("adkit.ui")
WARM_UP_AFTER_S = 10.0
"""So long it is waited for a browser before torch is loaded."""


class PatientProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, but not for ever with those who say nothing."""

    def connection_made(self, transport: Any) -> None:
        """Take a connection, or close it where its address has too many."""
        super().connection_made(transport)
        others = [one for one in self.connections if one is not self and _address(one) == _address(self)]
        if len(others) >= MOST_OF_ADDRESS:
            transport.close()
            return
        self.loop.call_later(HEADERS_S, self._look, None)

    def _look(self, before: object) -> None:
        """Close the connection where it waits for headers as it did at the last look."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # it is a websocket by now
            return
        cycle: Any = self.cycle
        waits = cycle is None or cycle.response_complete
        if waits and (cycle is None or cycle is before):
            self.transport.close()
        else:
            self.loop.call_later(HEADERS_S, self._look, cycle)


def _address(connection: Any) -> str | None:
    return connection.client[0] if connection.client else None


def quiet_faults(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop tell of faults of its own, such as too many open files, once a minute at most."""
    told: dict[str, float] = {}

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        what, now = str(context.get("message")), time.monotonic()
        if now - told.get(what, -SILENT_S) >= SILENT_S:
            told[what] = now
            log.warning("%s: %s", what, context.get("exception"))

    loop.set_exception_handler(tell)


class Server:
    """What belongs to one server."""

    def __init__(self, settings: ServerSettings) -> None:
        require_token(settings.host, settings.token)
        self.settings = settings
        self.judges = Judges(settings)
        self.jobs = Jobs(settings.runs_root)
        self.app = AccessMiddleware(self._front, settings)
        self._api = create_api(self.judges)
        self._page: ASGIApp | None = None  # while its library is loaded
        self._seen = threading.Event()
        self._ended = threading.Event()

    async def _front(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a request to the REST interface or to the page; show a splash until the page is there."""
        path = scope["path"]
        answer: ASGIApp
        if f"{path}/".startswith(("/api/", "/reports/")) or scope["type"] == "lifespan":
            answer = self._api
        elif path == "/ready":
            answer = Response(status_code=503 if self._page is None else 204)
        elif self._page is not None:
            answer = self._page
        elif path == "/":
            answer = HTMLResponse(text_of("splash.html"))
        else:
            answer = PlainTextResponse("not ready yet", 503)
        try:
            await answer(scope, receive, send)
        except RuntimeError as error:
            if not isinstance(error.__cause__, HTTPException):
                raise
            # The page's library refuses, in the midst of it, a stream of answers of a browser that has gone.
            await send({"type": "http.response.body"})

    def page(self) -> FastAPI:
        """Build the page as an application; loads its library."""
        import gradio as gr

        from adkit.ui.page import build_page, confine, head, theme

        blocks = build_page(self.judges, self.jobs, self._seen.set)
        blocks.queue(default_concurrency_limit=4, api_open=False)
        page: FastAPI = gr.mount_gradio_app(
            FastAPI(openapi_url=None, docs_url=None, redoc_url=None),
            blocks,
            path="",
            root_path=self.settings.root_path,
            footer_links=[],
            theme=theme(),
            css=text_of("page.css"),
            head=head(),
            show_error=False,
            max_file_size=self.settings.limits.request_bytes,
            ssr_mode=False,
            enable_monitoring=False,
            run_history=False,
            pwa=False,
        )
        confine(blocks)
        return page

    async def serve(self, listening: socket.socket, started: Any) -> None:
        """Serve until interrupted; `started` is called as soon as it answers."""

        class Quiet(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                # Pages that are open keep a connection, and each would be told of with a traceback.
                logging.getLogger("uvicorn.error").disabled = True
                await super().shutdown(sockets)

        quiet_faults(asyncio.get_running_loop())
        config = uvicorn.Config(
            self.app, http=PatientProtocol, log_level="warning", lifespan="off", timeout_graceful_shutdown=1
        )
        server = Quiet(config)
        threading.Thread(target=self._look_after, daemon=True).start()
        try:
            async with AsyncExitStack() as stack:
                serving = asyncio.create_task(server.serve(sockets=[listening]))
                while not server.started and not serving.done():
                    await asyncio.sleep(0.01)
                started()
                if self.settings.api_only:
                    hint = "ask /api/openapi.json, or start adkit ui without --api-only"
                    self._page = fault_response(404, "there is no page here", hint)
                    self._seen.set()
                else:
                    page = await asyncio.to_thread(self.page)
                    await stack.enter_async_context(page.router.lifespan_context(page))
                    self._page = page
                await serving
        finally:
            self._ended.set()

    def _look_after(self) -> None:
        """Start jobs that wait; load torch once, when a browser has the page before it."""
        warm, began = False, time.monotonic()
        while not self._ended.wait(1.0):
            try:
                self.jobs.advance()
            except Exception:
                log.exception("the jobs could not be looked after")
            if not warm and (self._seen.is_set() or time.monotonic() - began > WARM_UP_AFTER_S):
                warm = True
                threading.Thread(target=self.judges.warm_up, daemon=True).start()


def run_server(settings: ServerSettings, *, browser: bool, told: Any) -> None:
    """Serve until Ctrl-C; `told` gets the page's address when it answers. Raises OptionError for a taken port."""
    server = Server(settings)
    listening = listen(settings.host, settings.port)
    # Before the library is loaded: it reads them once.
    remove_abandoned(Path(tempfile.gettempdir()))
    temporary = tempfile.mkdtemp(prefix=owned_prefix("adkit-ui"))
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": temporary}
    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.root_path}"

    def started() -> None:
        told(address)
        if browser and not settings.api_only:
            threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

    # A service that is ended tidies up as one that is interrupted does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(server.serve(listening, started))
    finally:
        listening.close()
        shutil.rmtree(temporary, ignore_errors=True)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raises OptionError where that is not possible."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        both = family is socket.AF_INET6  # "::" answers to IPv4 too
        return socket.create_server(place, family=family, backlog=256, dualstack_ipv6=both)
    except (OSError, ValueError) as error:
        found = (getattr(error, "strerror", None) or str(error)).partition(" (while ")[0]
        hint = "name an address of this machine: --host 127.0.0.1, or 0.0.0.0 for all that it has"
        if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES):
            hint = f"choose another: --port {7860 if port < 1024 else min(port + 1, 65535)}"
        raise OptionError(f"cannot listen on {host} port {port}: {said(found)}", hint=hint) from None
