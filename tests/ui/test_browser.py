"""The page as a person uses it: a server as it is started by hand, and a real Chromium without a window."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from adkit.files.outcome import running_process
from adkit.nn.training.checkpoints import FILE
from adkit.runs.store import list_runs
from adkit.runs.unfinished import FOLDER as UNFINISHED
from adkit.synthetic.parts import write_parts
from adkit.ui.jobs import FOLDER, Jobs
from tests.ui.test_safety import png_that_claims
from tests.videos import grey, write_video

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Asked for without importing them: the suite collects this file and leaves its tests out.
pytestmark = [
    pytest.mark.skipif(find_spec("gradio") is None, reason="the extra ui is not installed"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="playwright is not installed"),
    pytest.mark.skipif(BROWSER is None, reason="no browser: install chromium"),
    pytest.mark.browser,
    pytest.mark.flaky(reruns=2),  # a real browser, on a machine that may be busy
    pytest.mark.skipif(sys.platform == "win32", reason="the tests end processes as systems other than Windows do"),
]

LONG_MS = 120_000  # the machine may be busy
CUT = """[...document.querySelectorAll("label, td, dd, p")].filter((one) => one.offsetParent)
  .filter((one) => one.getBoundingClientRect().right > innerWidth || one.scrollWidth > one.clientWidth + 1)
  .map((one) => one.textContent.trim())"""
"""Words that a narrow page cuts off."""


@dataclass
class Server:
    """A server, and where its runs and data lie."""

    process: subprocess.Popen[str]
    address: str
    runs: Path
    data: Path

    def log(self) -> str:
        return (self.runs.parent / "server.log").read_text()


def start(folder: Path, *options: str, program: Sequence[str] = ("-m", "adkit")) -> Server:
    """`adkit ui`, as soon as it answers."""
    log = (folder / "server.log").open("w")
    command = [sys.executable, *program, "ui", "--no-browser", "--port", "0", "--device", "cpu", *options]
    command += ["--runs", str(folder / "runs"), "--root", str(folder / "data")]
    process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
    log.close()
    for _ in range(1200):
        if found := re.search(r"adkit ui: (http://\S+)", (folder / "server.log").read_text()):
            return Server(process, found[1], folder / "runs", folder / "data")
        assert process.poll() is None, (folder / "server.log").read_text()
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the server does not start")


@contextmanager
def serving(folder: Path, *options: str, **more: Any) -> Iterator[Server]:
    """A server, of which nothing is left however the test ends."""
    server = start(folder, *options, **more)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(30)
        end_jobs(server.runs)


def stop(server: Server) -> None:
    """Ends the server as Ctrl-C does."""
    server.process.send_signal(signal.SIGINT)
    server.process.wait(30)
    # The page's library tells of files that it refused in its own way.
    assert server.log().count("Traceback") == server.log().count("InvalidPathError:"), server.log()


def end_jobs(runs: Path) -> None:
    for job in Jobs(runs).list():
        process = running_process(runs / FOLDER / job.job.id)
        if process is not None:
            os.killpg(process, signal.SIGKILL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with synthetic washers to learn from."""
    folder = tmp_path_factory.mktemp("server")
    write_parts(folder / "data" / "mvtec" / "washer", "washer", seed=1, train=12, good=2, each_grade=1)
    with serving(folder) as started:
        yield started
        stop(started)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, server: Server) -> Iterator[Any]:
    """The page, opened anew; nothing may be asked of another host, and no script may fail."""
    with_context, opened, troubles = open_page(chromium, server)
    yield opened
    with_context.close()
    assert troubles == []


def open_page(chromium: Any, server: Server, **settings: Any) -> tuple[Any, Any, list[str]]:
    context = chromium.new_context(**settings)
    context.set_default_timeout(LONG_MS)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda asked: None if is_own(asked.url, server) else troubles.append(asked.url))
    page.goto(server.address)
    page.get_by_role("tab", name="Train").wait_for()
    return context, page, troubles


def is_own(address: str, server: Server) -> bool:
    return address.startswith((server.address, "data:", "blob:"))


def begin_training(page: Any, epochs: int) -> None:
    """A small autoencoder on the washers, from a form that was not touched yet."""
    page.get_by_role("tab", name="Train").click()
    choose(page, "Data on the server", "mvtec:washer")
    choose(page, "Method", "ae –")
    page.get_by_role("button", name="Options of ae").click()
    for name, value in (("size", "32"), ("width", "4"), ("epochs", str(epochs)), ("patience", "100000")):
        page.locator(f"#ak-option-{name}").locator("input, textarea").fill(value)
    choose(page, "precision", "32")
    page.get_by_role("button", name="Start the training").click()


def choose(page: Any, label: str, wanted: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.wait_for()
    page.wait_for_timeout(500)  # a list that is being refreshed closes
    box.click()
    page.get_by_role("option").filter(has_text=wanted).first.click()


def job(page: Any, state: str) -> Any:
    return page.locator(f"#ak-jobs [data-state={state}]").first


def drop(page: Any, *files: Path) -> None:
    page.set_input_files("#ak-files input[type=file]", [str(path) for path in files])


@pytest.fixture
def trained(page: Any, server: Server) -> str:
    """The id of a run that was trained on the page."""
    if not list_runs(server.runs):
        begin_training(page, 2)
        job(page, "done").wait_for()
        page.get_by_role("tab", name="Inspect").click()
    return list_runs(server.runs)[0][0].name


@pytest.fixture
def washers(server: Server) -> list[Path]:
    return sorted((server.data / "mvtec" / "washer" / "test").glob("*/*.png"))


def test_training_is_watched_and_its_run_inspects(page: Any, server: Server, washers: list[Path]) -> None:
    begin_training(page, 2)
    job(page, "done").get_by_role("button", name="Inspect with it").click()
    page.get_by_text("Flags about 1 in").first.wait_for()
    drop(page, washers[0])
    page.locator("adkit-viewer[data-drawn]").wait_for()
    decision = page.locator(".ak-verdict strong").inner_text()
    assert decision in ("✓ Normal", "✕ Anomalous")
    page.get_by_role("button", name="Reconstruction").click()
    page.get_by_label("Outline above").press("ArrowRight")
    page.get_by_role("button", name="Larger").click()


def test_a_batch_is_sorted_opened_and_downloaded(page: Any, trained: str, washers: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "text.png"
    bad.write_text("no image")
    drop(page, *washers[:4], bad)
    page.locator(".ak-cards button").nth(4).wait_for()
    assert "of 4 images" in page.locator("#ak-gallery [role=status]").inner_text()
    page.get_by_label("Sort by").select_option("score down")
    scores = [one.get_attribute("data-score") for one in page.locator(".ak-cards button").all()]
    assert scores[-1] == ""  # the unreadable one
    assert [float(score) for score in scores[:-1]] == sorted((float(score) for score in scores[:-1]), reverse=True)
    page.locator(".ak-cards button").last.focus()
    page.keyboard.press("Enter")
    page.get_by_text("text.png is not an image").wait_for()
    page.locator(".ak-cards button").first.click()
    page.locator(".ak-verdict").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    assert Path(download.value.path()).read_text().count("\n") == 6


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("part.png", b"a text", "part.png is not an image"),
        ("large.png", png_that_claims(20_000, 15_000), "above the limit"),
        ("bomb.zip", b"PK\x03\x04" + bytes(10_000), "bomb.zip is not an image"),
        ("line.mp4", b"\0\0\0\x18ftypmp42", "line.mp4"),
    ],
    ids=["text", "megapixels", "zip", "video"],
)
def test_a_bad_upload_is_told_in_two_lines(
    page: Any, trained: str, tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    drop(page, tmp_path / name)
    page.get_by_text(told).wait_for()
    page.get_by_text("hint:").wait_for()
    assert "Traceback" not in page.content()


def test_a_video_is_watched(page: Any, trained: str, tmp_path: Path) -> None:
    video = write_video(tmp_path / "line.mp4", [grey(value, (64, 64)) for value in [120] * 10 + [250] * 10])
    drop(page, video)
    page.locator(".ak-watched video").wait_for()
    page.wait_for_function("document.querySelector('.ak-watched video').readyState >= 1")
    page.wait_for_function("document.querySelector('.ak-watched video').duration > 1")
    page.locator(".ak-timeline").click()
    page.wait_for_function("document.querySelector('.ak-watched video').currentTime > 0.2")


def test_a_training_survives_reload_and_is_cancelled_and_continued(page: Any, server: Server) -> None:
    begin_training(page, 100_000)
    job(page, "running").locator("svg").wait_for()  # the curve of two epochs
    page.get_by_role("button", name="Start the training").click()  # a second time: told, and not queued
    page.get_by_text("the same runs already").wait_for()
    page.get_by_label("Seed").fill("1")
    page.get_by_role("button", name="Start the training").click()
    job(page, "waiting").wait_for()
    page.reload()
    page.get_by_role("tab", name="Train").click()
    job(page, "waiting").get_by_role("button", name="Cancel").click()
    page.wait_for_function("document.querySelector('#ak-jobs [data-state=cancelled]')")
    folder = server.runs / UNFINISHED
    for _ in range(600):  # what a training keeps is written some seconds after it began
        if list(folder.glob(f"*/{FILE}")):
            break
        time.sleep(0.1)
    job(page, "running").get_by_role("button", name="Cancel").click()
    page.locator("[data-unfinished]").get_by_role("button", name="Resume").click()
    job(page, "running").wait_for()
    stop_all(page)
    page.locator("[data-unfinished]").get_by_role("button", name="Discard").click()
    page.wait_for_function("!document.querySelector('[data-unfinished]')")
    assert not folder.exists() or not list(folder.iterdir())
    assert "Traceback" not in page.content()


def stop_all(page: Any) -> None:
    page.wait_for_function("document.querySelector('#ak-jobs [data-state=running] .ak-progress')")
    job(page, "running").get_by_role("button", name="Cancel").click()
    page.locator("[data-unfinished]").wait_for()


def test_a_run_is_deleted_while_another_browser_has_it_open(
    page: Any, chromium: Any, server: Server, trained: str, washers: list[Path], tmp_path: Path
) -> None:
    copy = server.runs / "copied"  # with an id of its own folder: what is deleted is not what other tests need
    shutil.copytree(server.runs / trained, copy)
    context, other, troubles = open_page(chromium, server)
    drop(page, washers[0])
    page.locator("adkit-viewer[data-drawn]").wait_for()
    assert other.locator("adkit-viewer").count() == 0  # what one browser sees is its own
    other.get_by_role("tab", name="Results").click()
    other.locator("#ak-runs").get_by_role("button", name=trained).first.click()
    other.get_by_role("button", name="Delete …").click()
    other.get_by_role("button", name="Keep it").click()
    assert (server.runs / trained).exists()
    other.get_by_role("button", name="Delete …").click()
    other.get_by_role("button", name="Delete it for good").click()
    for _ in range(100):
        if not (server.runs / trained).exists():
            break
        time.sleep(0.1)
    drop(page, washers[1])
    page.get_by_text("there is no run").first.wait_for()
    page.get_by_text("it may have been deleted").first.wait_for()
    context.close()
    assert troubles == []
    copy.rename(server.runs / trained)


def test_the_report_opens_inside(page: Any, server: Server, trained: str) -> None:
    page.get_by_role("tab", name="Results").click()
    report = page.locator("#ak-report")  # its name tells whether there is a report
    for _ in range(20):  # a click while the list is drawn anew is lost
        page.locator("#ak-runs").get_by_role("button", name=trained).first.click()
        page.wait_for_timeout(1000)
        if report.is_visible():
            break
    report.click()
    page.get_by_role("button", name="Open the report").first.click()
    inside = page.frame_locator("iframe.ak-report")
    inside.locator("h1").first.wait_for()
    assert trained in inside.locator("body").inner_text()


SLOW_END = """
import asyncio, sys
from adkit.__main__ import main
from adkit.ui.server import Server
front = Server._front
async def slow(server, scope, receive, send):
    async def tell(message):
        await asyncio.sleep(b'"close_stream"' in message.get("body", b""))
        await send(message)
    await front(server, scope, receive, tell)
Server._front = slow
main()
"""
"""A server whose streams of answers say a second too late that they end."""


def test_an_answer_that_no_stream_brings_is_fetched(chromium: Any, tmp_path: Path) -> None:
    with serving(tmp_path, program=("-c", SLOW_END)) as server:
        context, page, troubles = open_page(chromium, server)
        page.get_by_role("tab", name="Train").click()  # while the answers to the page's opening end
        page.get_by_role("button", name="Start the training").wait_for(timeout=LONG_MS / 2)
        context.close()
    assert troubles == []


def test_a_link_opens_a_comparison(page: Any, server: Server) -> None:
    folder = server.runs / ".comparisons" / "a & ü"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comparison.json").write_text('{"candidates": [{"name": "few"}, {"name": "many"}]}')
    (folder / "comparison.html").write_text("<h1>few · many</h1>")
    page.goto(f"{server.address}/?comparison=a%20%26%20%C3%BC")
    page.frame_locator("iframe.ak-report").get_by_role("heading", name="few · many").wait_for()
    assert page.locator("#ak-runs [aria-current=true]").inner_text().startswith("a & ü")
    page.goto(f"{server.address}/?comparison=none#results")
    page.get_by_text("there is no comparison 'none'").wait_for()
    page.locator("#ak-runs").get_by_role("button", name="a & ü").click()
    page.frame_locator("iframe.ak-report").get_by_role("heading", name="few · many").wait_for()
    assert page.url.endswith("/?comparison=a%20%26%20%C3%BC#results")


def test_faults_of_the_form_are_told_before_anything_is_queued(page: Any, server: Server) -> None:
    page.get_by_role("tab", name="Train").click()
    page.get_by_role("button", name="Start the training").wait_for()
    queued = len(list((server.runs / ".page-jobs").glob("*/job.json"))) if (server.runs / ".page-jobs").exists() else 0
    box = page.get_by_label("Data on the server", exact=True)
    page.wait_for_timeout(500)
    box.fill("folder:../..")
    box.press("Enter")
    page.get_by_role("button", name="Start the training").click()
    page.get_by_text("leads out of the server's data folder").wait_for()
    assert len(list((server.runs / ".page-jobs").glob("*/job.json"))) == queued


def test_it_fits_a_phone_in_the_dark(chromium: Any, server: Server) -> None:
    context, page, troubles = open_page(chromium, server, viewport={"width": 390, "height": 844}, color_scheme="dark")
    for tab in ("Inspect", "Train", "Results", "Help"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), tab
        assert page.evaluate(CUT) == [], tab
    page.get_by_role("tab", name="Results").click()
    for cell in page.locator(".ak-stacked td").all()[:3]:
        assert cell.evaluate("one => getComputedStyle(one).borderBottomWidth") == "0px"
    assert page.evaluate("document.body.classList.contains('dark')")
    context.close()
    assert troubles == []


def test_tabs_are_reached_by_keyboard(page: Any) -> None:
    page.get_by_role("tab", name="Inspect").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.get_by_role("tab", name="Train").get_attribute("aria-selected") == "true"


def test_a_page_that_is_loaded_again_shows_the_tab_that_was_open(page: Any, server: Server) -> None:
    page.get_by_role("tab", name="Help").click()
    assert page.url.endswith("#help")
    page.reload()
    page.get_by_role("tab", name="Help", selected=True).wait_for()
    assert page.locator("[data-address]").inner_text() == server.address  # and not the usual port


def test_the_pages_library_opens_no_other_file(page: Any, server: Server, trained: str) -> None:
    secret = server.runs.parent / "secret.txt"
    secret.write_text("secret")
    for path in (secret, "/etc/passwd", server.runs / trained / "run.json", server.data / "../secret.txt"):
        for route in ("/gradio_api/file=", "/file="):
            response = page.request.get(f"{server.address}{route}{path}")
            assert response.status in (403, 404), (route, path)


def test_the_pages_library_takes_uploads_only(page: Any, server: Server) -> None:
    """A request that names a file or an address where an upload is expected, as no browser would send it."""
    config = page.request.get(f"{server.address}/config").json()
    sort = {component["id"]: component["type"] for component in config["components"]}
    wanted = ["dropdown", "file"]
    (drop_it,) = [one["id"] for one in config["dependencies"] if [sort[part] for part in one["inputs"]] == wanted]
    picture = next((server.data / "mvtec").rglob("*.png"))
    files = [{"path": path, "is_stream": streamed} for path in (str(picture), "/etc/passwd") for streamed in (0, 1)]
    for number, named in enumerate([*files, {"path": f"{server.address}/api/runs"}]):
        sent = {**named, "orig_name": "x.png", "meta": {"_type": "gradio.FileData"}}
        body = {"data": [None, [sent]], "fn_index": drop_it, "session_hash": f"test{number}"}
        assert page.request.post(f"{server.address}/gradio_api/queue/join", data=body).ok
        told = page.request.get(f"{server.address}/gradio_api/queue/data?session_hash=test{number}").text()
        (done,) = [json.loads(line[6:]) for line in told.splitlines() if '"process_completed"' in line]
        assert done["success"] is False, told


def test_a_server_that_is_killed_leaves_a_training_that_the_next_one_finds(chromium: Any, tmp_path: Path) -> None:
    write_parts(tmp_path / "data" / "mvtec" / "washer", "washer", seed=1, train=12, good=2, each_grade=1)
    with serving(tmp_path) as first:
        context, page, _ = open_page(chromium, first)
        begin_training(page, 3)
        job(page, "running").locator(".ak-progress").wait_for()
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait(30)
        context.close()
        assert "Traceback" not in first.log()
        with serving(tmp_path) as second:
            context, page, troubles = open_page(chromium, second)
            page.get_by_role("tab", name="Train").click()
            job(page, "done").wait_for()
            ((_, record),) = list_runs(tmp_path / "runs")
            assert not isinstance(record, Exception)
            context.close()
            stop(second)
            assert troubles == []


def test_a_token_opens_the_page(chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADKIT_TOKEN", "a token for tests")
    with serving(tmp_path, "--host", "0.0.0.0") as guarded:
        address = guarded.address.replace("0.0.0.0", "127.0.0.1")
        context = chromium.new_context()
        page = context.new_page()
        page.set_default_timeout(LONG_MS)
        page.goto(address)
        page.get_by_label("Token or password").fill("wrong")
        page.get_by_role("button", name="Enter").click()
        page.get_by_text("That is not the token").wait_for()
        page.get_by_label("Token or password").fill("a token for tests")
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("tab", name="Train").wait_for()
        context.close()
        stop(guarded)
