"""How soon the page is there: first paint and full page after the start, and an image of 1024² px against the CLI.

python benchmarks/page.py [--rounds 3]; needs playwright and chromium
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _server import fitted, serving
from _setting import heading
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from adkit.data.datasets import open_datasets
from adkit.registry import load_registry

PART = "washer"


def one_round(browser: Browser, runs: Path, images: list[Path]) -> list[float]:
    """Return seconds to the first paint, to the page with its run, of the first image, and of the next."""
    page = browser.new_page()
    with serving(runs) as served:
        page.goto(served.address, wait_until="commit")
        page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
        first = time.perf_counter() - served.began
        page.get_by_text("Flags about").wait_for(timeout=60_000)
        whole = time.perf_counter() - served.began
        taken = []
        for image in images:
            page.wait_for_timeout(1000)
            page.evaluate("document.querySelector('adkit-viewer')?.removeAttribute('data-drawn')")
            began = time.perf_counter()
            page.set_input_files("#ak-files input[type=file]", str(image))
            page.locator("adkit-viewer[data-drawn]").wait_for(timeout=60_000)
            taken.append(time.perf_counter() - began)
        page.close()
    return [first, whole, *taken]


def main() -> None:
    """Start the server some times, and the command beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no browser: install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        runs, images = Path(folder) / "runs", [Path(folder) / name for name in ("one.png", "other.png")]
        fitted(runs, PART)
        (dataset,) = open_datasets(f"demo:{PART}", None, load_registry())
        for image, sample in zip(images, dataset.samples("test"), strict=False):
            Image.open(sample.frame.path).resize((1024, 1024)).save(image)
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        rounds, commands = [], []
        for _ in range(arguments.rounds):
            rounds.append(one_round(browser, runs, images))
            began = time.perf_counter()
            command = [sys.executable, "-m", "adkit", "score", str(images[0]), "--runs", str(runs)]
            subprocess.run(command, check=True, capture_output=True)
            commands.append(time.perf_counter() - began)
        browser.close()
    heading("the page: seconds, the median and the longest")
    print("| what | median | longest |\n|---|---|---|")
    names = ("start to first paint", "start to the page with its run", "first image of 1024² px, drawn", "the next")
    for name, times in zip((*names, "`adkit score` of it"), [*zip(*rounds, strict=True), commands], strict=True):
        print(f"| {name} | {statistics.median(times):.2f} | {max(times):.2f} |")


if __name__ == "__main__":
    main()
