"""The REST interface, and the gate before it."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adkit.runs.store import Run
from adkit.ui.access import AccessMiddleware
from adkit.ui.api import Answer, RunInfo, create_api
from adkit.ui.safety import delete_folder, folder_of
from adkit.ui.scoring import Judges
from adkit.ui.settings import ServerSettings
from tests.greys import paint
from tests.ui.test_safety import png_that_claims

pytest.importorskip("httpx", reason="the test client needs httpx")

TOKEN = "a token for tests"


def client_of(judges: Judges) -> Any:
    """A program that asks the server."""
    from fastapi.testclient import TestClient

    app = AccessMiddleware(create_api(judges), judges.settings)
    return TestClient(app, base_url="http://127.0.0.1:7860", raise_server_exceptions=False)


@pytest.fixture
def client(judges: Judges) -> Iterator[Any]:
    with client_of(judges) as client:
        yield client


@pytest.fixture
def guarded(settings: ServerSettings, judges: Judges) -> Iterator[Any]:
    """A server that asks for a token."""
    judges.settings = replace(settings, token=TOKEN)
    with client_of(judges) as client:
        yield client


def picture(tmp_path: Path, level: float) -> bytes:
    """A grey image as a file."""
    return paint(tmp_path / f"grey{level:.0f}", [level])[0].read_bytes()


def fault_of(response: Any, status: int) -> str:
    """The error, after looking that it is told in two lines and nothing more."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "hint"}
    assert body["error"]
    assert body["hint"]
    assert "Traceback" not in response.text
    return str(body["error"])


def test_the_interface_says_what_can_be_asked(client: Any) -> None:
    for path in ("/api", "/api/"):
        assert client.get(path).json()["score"] == "POST /api/score"


@pytest.mark.parametrize("sent", [{}, {"data": {"image": "part.png"}}, {"json": {"image": "x"}}])
def test_an_image_that_is_no_file_is_asked_for_as_one(client: Any, sent: dict[str, Any]) -> None:
    assert fault_of(client.post("/api/score", **sent), 422) == "no image came as a form's file"


@pytest.mark.parametrize(
    ("query", "fields", "named"),
    [
        ("?run=x", {}, "run"),
        ("", {"threshold": "3"}, "threshold"),
        ("", {"run": ["latest", "x"]}, "run"),
        ("?map=heat&map=grey", {"map": "heat"}, "map"),
    ],
)
def test_what_would_not_be_obeyed_is_refused(
    client: Any, run: Run, tmp_path: Path, query: str, fields: dict[str, Any], named: str
) -> None:
    files = {"image": ("part.png", picture(tmp_path, 100))}
    told = fault_of(client.post(f"/api/score{query}", files=files, data=fields), 422)
    assert told == f"'{named}' is not understood, or came twice"


def test_the_runs_are_listed_with_their_promise(client: Any, run: Run) -> None:
    (listed,) = client.get("/api/runs").json()
    assert (listed["run"], listed["name"]) == (run.record.id, run.record.settings.name)
    assert listed["threshold"] == run.record.threshold.value
    assert listed["promise"] == run.record.threshold.promise()
    assert listed["maps"] is True
    assert listed["judges"] == "image"


def test_the_documentation_names_every_field_and_loads_nothing(client: Any) -> None:
    answer = client.get("/api/docs")
    assert answer.headers["content-type"].startswith("text/html")
    for name in ("POST /api/score", "GET /api/runs", *RunInfo.model_fields, *Answer.model_fields):
        assert name in answer.text
    assert "://" not in answer.text


@pytest.mark.parametrize(("level", "decision"), [(120.0, "normal"), (200.0, "anomalous")])
def test_an_image_is_decided(client: Any, run: Run, tmp_path: Path, level: float, decision: str) -> None:
    sent = {"image": ("part.png", picture(tmp_path, level), "image/png")}
    answer = client.post("/api/score", files=sent).json()
    assert answer["decision"] == decision
    assert answer["run"] == run.record.id
    assert answer["image"] == "part.png"
    assert (answer["score"] > answer["threshold"]) == (decision == "anomalous")
    assert 0 < answer["p_value"] <= 1
    assert answer["p_value_is_floor"] == (decision == "anomalous")
    assert answer["where"] == ("most of the image" if decision == "anomalous" else None)
    assert answer["doubt"] == ("most of it looks like nothing that the run learned from" if answer["where"] else None)
    assert answer["map_png"] is None
    assert bool(answer["regions"]) == (decision == "anomalous")
    if decision == "anomalous":
        (region,) = answer["regions"]
        assert region["where"] == "most of the image"
        assert (region["left"], region["top"], region["width"], region["height"]) == (0, 0, 8, 8)
        assert region["map_peak"] == pytest.approx(answer["score"], abs=0.01)


def test_the_map_comes_when_it_is_asked_for(client: Any, run: Run, tmp_path: Path) -> None:
    sent = {"image": ("part.png", picture(tmp_path, 200), "image/png")}
    for kind, mode in (("heat", "RGB"), ("grey", "I;16")):
        answer = client.post("/api/score", files=sent, data={"map": kind, "run": run.record.id}).json()
        shown = Image.open(io.BytesIO(base64.b64decode(answer["map_png"])))
        assert shown.size == (8, 8)
        assert shown.mode == mode
        assert answer["map_low"] < answer["map_high"]
        if kind == "grey":
            values = np.asarray(shown) / 65535 * (answer["map_high"] - answer["map_low"]) + answer["map_low"]
            assert values.max() == pytest.approx(answer["score"], abs=0.01)


def test_bad_images_are_told_in_two_lines(client: Any, run: Run) -> None:
    for name, content in (("part.png", b"a text"), ("part.png", b""), ("bomb.zip", b"PK\x03\x04" + bytes(999))):
        told = fault_of(client.post("/api/score", files={"image": (name, content)}), 422)
        assert "/tmp" not in told
    told = fault_of(client.post("/api/score", files={"image": ("x.png", png_that_claims(20_000, 15_000))}), 422)
    assert "megapixels" in told
    assert "part.png" in fault_of(client.post("/api/score", files={"image": ("../../part.png", b"x")}), 422)
    assert "image" in fault_of(client.post("/api/score"), 422)
    assert "map" in fault_of(client.post("/api/score", files={"image": ("x.png", b"x")}, data={"map": "blue"}), 422)
    fault_of(client.get("/api/nothing"), 404)
    fault_of(client.get("/api/score"), 405)


@pytest.mark.parametrize("name", ["../../etc", "/etc", "nothing", "", "a\0b"])
def test_no_run_is_opened_elsewhere(client: Any, run: Run, tmp_path: Path, name: str) -> None:
    sent = {"image": ("part.png", picture(tmp_path, 120), "image/png")}
    response = client.post("/api/score", files=sent, data={"run": name})
    assert response.status_code == (200 if name == "" else 404)  # an empty field is a field left out


def test_a_run_that_is_deleted_while_it_is_open_is_gone(
    client: Any, run: Run, settings: ServerSettings, tmp_path: Path
) -> None:
    sent = {"image": ("part.png", picture(tmp_path, 120), "image/png")}
    assert client.post("/api/score", files=sent, data={"run": run.record.id}).status_code == 200
    delete_folder(folder_of(settings, "run", run.record.id))
    assert "there is no run" in fault_of(client.post("/api/score", files=sent, data={"run": run.record.id}), 404)
    assert client.get("/api/runs").json() == []


def test_a_large_request_is_refused(client: Any, run: Run) -> None:
    assert "larger than" in fault_of(client.post("/api/score", files={"image": ("x.png", bytes(400_000))}), 413)

    def parts() -> Iterator[bytes]:  # without a length
        yield b'--x\r\ncontent-disposition: form-data; name="image"; filename="x.png"\r\n\r\n'
        for _ in range(40):
            yield bytes(10_000)
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert "larger than" in fault_of(client.post("/api/score", content=parts(), headers=headers), 413)


def test_a_bug_is_told_without_its_traceback(
    client: Any, run: Run, judges: Judges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(judges, "findings", broken)
    sent = {"image": ("part.png", picture(tmp_path, 120), "image/png")}
    told = fault_of(client.post("/api/score", files=sent), 500)
    assert "inside adkit" in told
    assert "ZeroDivisionError" not in told


def test_too_many_that_wait_are_sent_away(
    client: Any, run: Run, judges: Judges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judges.settings = replace(judges.settings, limits=replace(judges.settings.limits, waiting=1))
    slow, finding = threading.Event(), judges.findings
    entered = threading.Event()

    def wait(*arguments: Any) -> Any:
        entered.set()
        assert slow.wait(20)
        return finding(*arguments)

    monkeypatch.setattr(judges, "findings", wait)
    sent = {"image": ("part.png", picture(tmp_path, 120), "image/png")}
    with client_of(judges) as busy:
        first: list[Any] = []
        thread = threading.Thread(target=lambda: first.append(busy.post("/api/score", files=sent)))
        thread.start()
        assert entered.wait(20)
        second = busy.post("/api/score", files=sent)
        slow.set()
        thread.join()
    assert "too many" in fault_of(second, 503)
    assert second.headers["retry-after"] == "1"
    assert first[0].status_code == 200


def test_the_interface_describes_itself_and_loads_nothing_from_elsewhere(client: Any) -> None:
    described = client.get("/api/openapi.json").json()
    assert set(described["paths"]) == {"/api", "/api/runs", "/api/score"}
    assert client.get("/docs").status_code == 404
    response = client.get("/api/runs")
    assert "default-src 'self'" in response.headers["content-security-policy"]


def test_a_report_is_served_in_a_sandbox(client: Any, run: Run, tmp_path: Path) -> None:
    address = f"/reports/runs/{run.record.id}"
    assert "has no report yet" in fault_of(client.get(address), 404)
    (run.folder / "report.html").write_text("<p>a report</p>")
    response = client.get(address)
    assert response.text == "<p>a report</p>"
    assert response.headers["content-security-policy"].startswith("sandbox allow-scripts")
    (tmp_path / "secret.html").write_text("secret")
    (run.folder / "report.html").unlink()
    (run.folder / "report.html").symlink_to(tmp_path / "secret.html")
    assert client.get(address).status_code in (404, 422)
    for name in ("..", "%2e%2e", "..%2f..", "%2fetc"):
        assert client.get(f"/reports/runs/{name}").status_code == 404
        assert client.get(f"/reports/comparisons/{name}").status_code == 404


def test_another_machines_name_is_refused(client: Any) -> None:
    assert "not this machine" in fault_of(client.get("/api/runs", headers={"host": "evil.example"}), 403)
    assert client.get("/api/runs", headers={"host": "localhost:7860"}).status_code == 200
    assert client.get("/api/runs", headers={"host": "[::1]:7860"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
def test_another_sites_page_can_change_nothing(client: Any, run: Run, origin: str) -> None:
    response = client.post("/api/score", files={"image": ("x.png", b"x")}, headers={"origin": origin})
    assert "another site" in fault_of(response, 403)
    own = {"origin": "http://127.0.0.1:7860"}
    assert client.post("/api/score", files={"image": ("x.png", b"x")}, headers=own).status_code == 422


def test_a_token_is_asked_for(guarded: Any, run: Run) -> None:
    fault_of(guarded.get("/api/runs"), 401)
    fault_of(guarded.get("/api/runs", headers={"authorization": "Bearer wrong"}), 401)
    fault_of(guarded.get("/api/runs", headers={"authorization": f"Basic {TOKEN}"}), 401)
    fault_of(guarded.get("/api/runs", headers={"cookie": f"adkit_entry={TOKEN}"}), 401)
    assert guarded.get("/api/runs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_browser_logs_in(guarded: Any) -> None:
    page = guarded.get("/", headers={"accept": "text/html"})
    assert page.status_code == 401
    assert "password" in page.text
    assert 'action="login"' in page.text
    assert 'action="../../login"' in guarded.get("/reports/runs/one", headers={"accept": "text/html"}).text
    wrong = guarded.post("/login", data={"token": "wrong <b>"}, follow_redirects=False)
    assert wrong.status_code == 401
    assert "That is not the token." in wrong.text
    assert "adkit_entry" not in guarded.cookies
    right = guarded.post("/login", data={"token": TOKEN}, follow_redirects=False)
    assert (right.status_code, right.headers["location"]) == (303, "./")
    assert TOKEN not in right.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict"} <= set(right.headers["set-cookie"].split("; "))
    assert guarded.get("/api/runs").status_code == 200


def test_a_proxy_may_show_it_below_a_path(settings: ServerSettings, judges: Judges) -> None:
    judges.settings = replace(settings, root_path="/adkit")
    with client_of(judges) as client:
        answers = [client.get(f"{below}/api/runs").status_code for below in ("", "/adkit", "/adkitty", "/adkit/adkit")]
    assert answers == [200, 200, 404, 404]


def asked(settings: ServerSettings, scope: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """What the application behind the middleware got, and what was sent by the middleware itself."""
    reached: list[Any] = []
    sent: list[Any] = []

    async def app(scope: Any, *_: Any) -> None:
        reached.append(scope)

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    asyncio.run(AccessMiddleware(app, settings)({"path": "/", **scope}, receive, send))
    return reached, sent


@pytest.mark.parametrize("headers", [[(b"host", b"evil")], [(b"host", b"localhost"), (b"content-length", b"12x")]])
def test_what_is_refused_reaches_nobody(settings: ServerSettings, headers: list[tuple[bytes, bytes]]) -> None:
    reached, sent = asked(settings, {"type": "http", "method": "POST", "headers": headers})
    assert reached == []
    assert sent[0]["status"] in (400, 403)


@pytest.mark.parametrize(
    ("host", "origin", "let_through"),
    [
        (b"evil", None, False),
        (b"127.0.0.1:7860", b"http://evil.example", False),
        (b"127.0.0.1:7860", b"null", False),
        (b"127.0.0.1:7860", b"http://127.0.0.1:9999", False),
        (b"127.0.0.1:7860", b"http://127.0.0.1:7860", True),
        (b"127.0.0.1:7860", None, True),
    ],
)
def test_another_sites_page_opens_no_websocket(
    settings: ServerSettings, host: bytes, origin: bytes | None, let_through: bool
) -> None:
    headers = [(b"host", host)] + ([] if origin is None else [(b"origin", origin)])
    reached, sent = asked(settings, {"type": "websocket", "headers": headers})
    assert bool(reached) == let_through
    assert [message["type"] for message in sent] == ([] if let_through else ["websocket.close"])


def test_a_websocket_needs_the_token_as_well(settings: ServerSettings) -> None:
    settings = replace(settings, token=TOKEN)
    host = (b"host", b"factory.example")
    assert asked(settings, {"type": "websocket", "headers": [host]})[0] == []
    bearer = (b"authorization", b"Bearer " + TOKEN.encode())
    assert asked(settings, {"type": "websocket", "headers": [host, bearer]})[0] != []
