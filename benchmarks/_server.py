"""A server for benchmarks: `adkit ui` as it is started by hand, on a free port, with a run to ask."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from adkit.cli.terminal import terminal_progress
from adkit.data.datasets import open_datasets
from adkit.registry import load_registry
from adkit.runs.record import FitSettings
from adkit.workflows.fit import fit


@dataclass(frozen=True)
class Served:
    """A server that answers."""

    address: str
    process: subprocess.Popen[bytes]
    began: float  # time.perf_counter() before it was started


def fitted(runs: Path, part: str, method: str = "patchknn", **options: object) -> None:
    """Return a run on synthetic parts."""
    registry = load_registry()
    (dataset,) = open_datasets(f"demo:{part}", None, registry)
    fit(FitSettings(method=method, options=options), dataset, runs, registry, terminal_progress())


@contextmanager
def serving(runs: Path, *options: str, data: Path | None = None) -> Iterator[Served]:
    """Serve inside the block; its trainings are ended with it."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "adkit", "ui", "--no-browser", "--port", "0", "--runs", str(runs)]
        command += ["--root", str(data or Path(folder) / "data"), *options]
        began = time.perf_counter()
        with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
            try:
                yield Served(_address(log, process), process, began)
            finally:
                process.send_signal(signal.SIGINT)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        if found := re.search(r"(http://[\w.:]+)", log.read_text(encoding="utf-8")):
            return found[1]
        time.sleep(0.005)
    raise SystemExit(log.read_text(encoding="utf-8"))
