"""Reports of runs and comparisons as pages that may run their own script and nothing else."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from adkit.errors import RunError
from adkit.runs.record import REPORT
from adkit.ui.safety import comparison_folder, inside, run_folder
from adkit.ui.settings import Settings

COMPARISON = "comparison.html"

_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'self'"
)


def add_reports(app: FastAPI, settings: Settings) -> None:
    """Adds the routes below /reports."""

    @app.get("/reports/runs/{name}", include_in_schema=False)
    def run_report(name: str) -> HTMLResponse:
        return _page(run_folder(settings, name), REPORT)

    @app.get("/reports/comparisons/{name}", include_in_schema=False)
    def comparison_report(name: str) -> HTMLResponse:
        return _page(comparison_folder(settings, name), COMPARISON)


def _page(folder: Path, name: str) -> HTMLResponse:
    path = inside(folder, folder / name)
    try:
        content = path.read_bytes()
    except OSError:
        raise RunError(f"{folder.name} has no report yet", hint="make it on the page, under Results") from None
    return HTMLResponse(content, headers={"content-security-policy": _POLICY})
