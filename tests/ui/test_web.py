"""What strangers do to the server: half a request, slow ones, paths that lead elsewhere, and all that is described."""

from __future__ import annotations

import asyncio
import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis.errors import Unsatisfiable
from starlette.exceptions import HTTPException

from adkit.runs.store import Run
from adkit.ui import access
from adkit.ui import server as ui_server
from adkit.ui.access import AccessMiddleware
from adkit.ui.api import create_api
from adkit.ui.jobs import Jobs
from adkit.ui.scoring import Judges
from adkit.ui.server import listen
from adkit.ui.settings import TOKEN_VARIABLE
from tests.greys import bytes_below
from tests.ui.test_api import TOKEN, client_of, picture

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("httpx", reason="the test client needs httpx")


@pytest.fixture
def served(judges: Judges, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A server that listens, asks for a token and has little patience."""
    for module, name, value in (
        (ui_server, "HEADERS_S", 0.2),
        (ui_server, "MOST_OF_ADDRESS", 20),
        (access, "LOGIN_S", 0.3),
        (access, "SILENT_S", 0.3),
    ):
        monkeypatch.setattr(module, name, value)
    judges.settings = replace(judges.settings, token=TOKEN)
    listening = listen("127.0.0.1", 0)
    app = AccessMiddleware(create_api(judges), judges.settings)
    config = uvicorn.Config(app, http=ui_server.PatientProtocol, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()
    server.should_exit = True
    thread.join()
    listening.close()


def said(place: tuple[str, int], *parts: bytes) -> bytes:
    """All that the server answers until it closes the connection; b"" where it says nothing."""
    with socket.create_connection(place, timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


HEAD = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n".encode()


@pytest.mark.parametrize("begun", [b"", b"GET /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"GET / HTTP/1.1\r\nX: "])
def test_half_a_request_is_not_waited_for(served: tuple[str, int], begun: bytes) -> None:
    assert said(served, begun) == b""


def test_a_second_half_request_on_a_connection_is_not_waited_for(served: tuple[str, int]) -> None:
    whole = b"GET /api/runs HTTP/1.1\r\n" + HEAD + b"\r\n"
    assert said(served, whole, b"GET /api").startswith(b"HTTP/1.1 200")


def test_head_is_answered_as_get_is_without_a_body(served: tuple[str, int]) -> None:
    head, _, body = said(served, b"HEAD /api/runs HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n").partition(
        b"\r\n\r\n"
    )
    assert head.startswith(b"HTTP/1.1 200")
    assert b"content-length: 0" not in head.lower()
    assert body == b""


@pytest.mark.parametrize("path", ["/login", "/api/score"])
def test_a_body_that_does_not_come_is_not_waited_for(served: tuple[str, int], path: str) -> None:
    kind = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n"
    assert said(served, b"POST %s HTTP/1.1\r\n" % path.encode() + HEAD + kind).startswith(b"HTTP/1.1 408")


def test_an_address_has_so_many_connections_and_no_more(served: tuple[str, int]) -> None:
    held = [socket.create_connection(served, timeout=10) for _ in range(60)]
    time.sleep(0.05)
    ended = 0
    for connection in held:
        connection.settimeout(0.005)
        try:
            ended += connection.recv(1) == b""
        except (TimeoutError, ConnectionError) as error:
            ended += isinstance(error, ConnectionError)
        connection.close()
    assert ended >= 60 - 20
    time.sleep(0.2)
    whole = b"GET /api/runs HTTP/1.1\r\n" + HEAD + b"Connection: close\r\n\r\n"
    assert said(served, whole).startswith(b"HTTP/1.1 200")


TRAVERSALS = [
    "..",
    "../..",
    "/etc/passwd",
    "..%2f..",
    "%2e%2e/%2e%2e",
    "....//",
    "a\0b",
    "C:\\x",
    "\\\\host\\x",
    "~root",
]


@pytest.mark.parametrize("where", TRAVERSALS)
def test_no_parameter_leads_elsewhere(judges: Judges, run: Run, tmp_path: Path, where: str) -> None:
    (tmp_path / "passwd").write_text("secret")
    sent = picture(tmp_path / "sent", 120)
    before = bytes_below(tmp_path)
    with client_of(judges) as client:
        for path in (f"/reports/runs/{where}", f"/reports/comparisons/{where}", f"/api/{where}"):
            found = client.get(path.replace("\0", "%00"))
            assert found.status_code in (400, 404, 405, 422), found.text
        image = ("part.png", sent, "image/png")
        assert client.post("/api/score", files={"image": image}, data={"run": where}).status_code in (404, 422)
        answer = client.post("/api/score", files={"image": (where, sent, "image/png")})
        assert answer.status_code in (200, 422), answer.text
    assert bytes_below(tmp_path) == before


def test_uploads_are_gone_when_they_are_answered(judges: Judges, run: Run, tmp_path: Path) -> None:
    before = set(Path(tempfile.gettempdir()).glob("adkit-*"))
    with client_of(judges) as client:
        for content in (picture(tmp_path, 120), b"no image"):
            client.post("/api/score", files={"image": ("part.png", content, "image/png")})
    assert set(Path(tempfile.gettempdir()).glob("adkit-*")) <= before


@pytest.mark.parametrize("host", ["[", "[::1", "evil.example", "127.0.0.1.evil.example", "localhost:x", "\xe9"])
def test_odd_hosts_and_origins_are_refused_or_served(judges: Judges, run: Run, host: str) -> None:
    with client_of(judges) as client:
        for headers in ({"host": host.encode("latin-1")}, {"origin": f"http://{host}".encode("latin-1")}):
            assert client.post("/api/score", headers=headers).status_code in (400, 403, 422)


def test_a_wrong_method_names_the_right_one(judges: Judges, run: Run) -> None:
    with client_of(judges) as client:
        found = client.delete("/api/runs")
    assert (found.status_code, found.headers["allow"]) == (405, "GET")


def test_cookies_of_other_programs_lock_nobody_out(judges: Judges, run: Run) -> None:
    judges.settings = replace(judges.settings, token=TOKEN)
    entry = access._entry(TOKEN)
    with client_of(judges) as client:
        for other in ("a b=c; ", "[x]={1}; ", "=; ", "n@m(e)=1; "):
            headers = {"cookie": f"{other}adkit_entry={entry}"}
            assert client.get("/api/runs", headers=headers).status_code == 200, other


def test_jobs_do_not_learn_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    job = Jobs(tmp_path, command=("env",)).submit("report", "a title", [])
    told = (tmp_path / ".page-jobs" / job.id / "stdout").read_text()
    assert re.search("^ADKIT_PROGRESS=json$", told, re.MULTILINE)
    assert TOKEN not in told


@pytest.mark.web
def test_all_that_the_description_allows_is_answered_as_it_says(served: tuple[str, int]) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    checks, modes = pytest.importorskip("schemathesis.specs.openapi.checks"), schemathesis.GenerationMode
    wrong = [checks.positive_data_acceptance]  # no description says which bytes are an image
    headers = {"authorization": f"Bearer {TOKEN}"}
    schema: Any = schemathesis.openapi.from_url(f"http://127.0.0.1:{served[1]}/api/openapi.json", headers=headers)
    tried: list[str] = []
    for operation, mode in product(schema.get_all_operations(), (modes.POSITIVE, modes.NEGATIVE)):

        @tries(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            tried.append(case.path)
            case.call_and_validate(headers=headers, excluded_checks=wrong)

        with suppress(Unsatisfiable):  # a request without parameters has no wrong ones
            ask()
    assert set(tried) == {"/api", "/api/runs", "/api/score"}


@pytest.mark.parametrize("cause", [HTTPException(404), ValueError()], ids=repr)
def test_a_stream_of_a_browser_that_has_gone_ends_without_a_traceback(judges: Judges, cause: Exception) -> None:
    async def refuses(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("response already started") from cause

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    server = ui_server.Server(judges.settings)
    server._page = refuses
    with nullcontext() if isinstance(cause, HTTPException) else pytest.raises(RuntimeError):
        asyncio.run(server._front({"type": "http", "path": "/queue/data"}, None, send))  # type: ignore[arg-type]
    assert len(sent) == 1 + isinstance(cause, HTTPException)
