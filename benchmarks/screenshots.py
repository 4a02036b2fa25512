"""The pictures of docs/web.md and the README: every tab of the page, light and dark, wide and on a phone; a report.

python benchmarks/screenshots.py [--output docs/images]; needs playwright and chromium
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

from _server import fitted, serving
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.registry import load_registry
from adkit.report.page import write_report
from adkit.runs.store import find_run
from adkit.workflows.score import Workplace

REPORT: dict[str, Any] = {"viewport": {"width": 1060, "height": 820}}
WIDE = {"width": 1440, "height": 1160}
PHONE = {"width": 390, "height": 844}
MOST_BYTES = 150_000
PATIENCE_MS = 180_000


def main() -> None:
    """Fits, serves, and walks through the tabs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no browser: install chromium")
    arguments.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        runs = Path(folder) / "runs"
        fitted(runs, "connector", "ae", epochs=4, size="64")
        fitted(runs, "conveyor", "subspace", size="128")
        fitted(runs, "washer")
        report = write_report(find_run(runs), Workplace(load_registry(), progress=terminal_progress())).path
        parts = _parts()
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(**REPORT).new_page()
        page.goto(report.absolute().as_uri())
        page.wait_for_timeout(1000)
        page.screenshot(path=arguments.output / "report.png")
        with serving(runs) as served:
            for theme in ("light", "dark"):
                page = _opened(browser, served.address, WIDE, theme)
                _inspect(page, parts)
                if theme == "light":
                    _keep(page, arguments.output / "web-inspect-light.jpg")
                _train(page, theme)
                if theme == "dark":  # with those that were cancelled before
                    _keep(page, arguments.output / "web-train-dark.jpg")
                _cancel(page)
                if theme == "light":
                    _watch(page)
                    _keep(page, arguments.output / "web-video-light.jpg")
                    _results(page)
                    _keep(page, arguments.output / "web-results-light.jpg")
                    page.get_by_role("tab", name="Help").click()
                    page.wait_for_timeout(500)
                    _keep(page, arguments.output / "web-help-light.jpg")
                page.context.close()
            page = _opened(browser, served.address, PHONE, "dark", scale=2)
            _inspect(page, parts[:1])
            page.locator("#ak-decision").scroll_into_view_if_needed()
            page.evaluate("document.querySelector('#ak-decision').scrollIntoView()")
            _keep(page, arguments.output / "web-phone.jpg", width=PHONE["width"])
            page.context.close()
        browser.close()


def _parts() -> list[Path]:
    """Washers of every kind."""
    (dataset,) = open_datasets("demo:washer", None, load_registry())
    by_kind = {sample.kind: sample.frame.path for sample in dataset.samples("test")}
    good = [sample.frame.path for sample in dataset.samples("test") if not sample.anomalous][:4]
    clear = [path for kind, path in by_kind.items() if kind and kind.startswith("clear")]
    return [*clear, *(path for path in by_kind.values() if path not in clear), *good]


def _opened(browser: Browser, address: str, size: dict[str, int], theme: str, scale: int = 1) -> Page:
    settings: dict[str, Any] = {"viewport": size, "color_scheme": theme, "device_scale_factor": scale}
    page = browser.new_context(**settings).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.get_by_text("Flags about").wait_for()
    return page


def _inspect(page: Page, parts: list[Path]) -> None:
    page.set_input_files("#ak-files input[type=file]", [str(path) for path in parts])
    page.locator("adkit-viewer[data-drawn]").wait_for()
    page.wait_for_timeout(1000)


def _watch(page: Page) -> None:
    """Return a clip in which something foreign rides by, at that time."""
    (dataset,) = open_datasets("demo:conveyor", None, load_registry())
    video = next(sample.frame.path for sample in dataset.samples("test") if sample.kind == "foreign_object")
    page.get_by_role("tab", name="Inspect").click()
    _choose(page, "Run", "demo:conveyor")
    page.set_input_files("#ak-files input[type=file]", str(video))
    page.locator(".ak-watched [data-seek]").first.click()
    page.wait_for_timeout(2000)


def _train(page: Page, theme: str) -> None:
    """Return a training that runs, and one that waits for it."""
    page.get_by_role("tab", name="Train").click()
    _choose(page, "Data on the server", "demo:connector")
    _choose(page, "Method", "ae –")
    if not page.locator("#ak-option-size").is_visible():
        page.get_by_role("button", name="Options of ae").click()
    page.locator("#ak-option-size textarea, #ak-option-size input").fill("96")
    page.get_by_role("button", name="Options of ae").click()
    page.get_by_role("button", name="Start the training").click()
    page.locator("#ak-jobs [data-state=running] svg").first.wait_for()
    if theme == "light":
        _choose(page, "Data on the server", "demo:fabric")
        page.get_by_role("button", name="Start the training").click()
        page.locator("#ak-jobs [data-state=waiting]").first.wait_for()
    page.get_by_role("button", name="Look at the data").click()
    page.locator(".ak-sheet").wait_for()
    page.wait_for_timeout(4000)


def _cancel(page: Page) -> None:
    """End the trainings, which nobody wants."""
    for state in ("waiting", "running"):
        for _ in range(page.locator(f"#ak-jobs [data-state={state}]").count()):
            page.locator(f"#ak-jobs [data-state={state}]").first.get_by_role("button", name="Cancel").click()
            page.wait_for_timeout(2000)


def _results(page: Page) -> None:
    page.get_by_role("tab", name="Results").click()
    page.locator("#ak-runs button.ak-link", has_text="patchknn-washer").first.click()
    page.wait_for_timeout(1500)
    page.locator("#ak-report").click()
    page.frame_locator("iframe.ak-report").locator("h1").first.wait_for()
    page.wait_for_timeout(1000)


def _choose(page: Page, label: str, wanted: str) -> None:
    page.wait_for_timeout(700)
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option").filter(has_text=wanted).first.click()
    page.wait_for_timeout(700)


def _keep(page: Page, path: Path, width: int | None = None) -> None:
    """Write what is seen as a JPEG that is small enough for the docs."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    if width is None:
        picture.thumbnail((1200, 1200))
    for quality in (88, 80, 72, 60, 50):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= MOST_BYTES:
            break
    path.write_bytes(buffer.getvalue())
    print(path, len(buffer.getvalue()), flush=True)


if __name__ == "__main__":
    main()
