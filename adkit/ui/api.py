"""The REST interface: an image in, a decision out; and the reports. `/api/openapi.json` describes it for programs."""

from __future__ import annotations

import asyncio
import base64
import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from adkit import __version__
from adkit.errors import AdkitError, FrameError, RunError
from adkit.runs.record import REPORT, RunRecord
from adkit.runs.store import list_runs
from adkit.ui.access import fault_response
from adkit.ui.safety import comparison_folder, inside, run_folder, two_lines
from adkit.ui.scoring import Finding, Judges, Ready, Upload
from adkit.ui.settings import ServerSettings

MapKind = Literal["none", "grey", "heat"]

COMPARISON = "comparison.html"

_REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'self'"
)
"""A report may run its own script and nothing else."""


class RunInfo(BaseModel):
    """A run as a program sees it."""

    run: str = Field(description="its id, for /api/score")
    created: str
    method: str
    dataset: str
    images: int = Field(description="images that were learned from")
    threshold: float = Field(description="an image whose score is above it is anomalous")
    expected_false_alarm_rate: float
    certain_false_alarm_rate: float = Field(description="the rate that holds with 95 % certainty")
    promise: str = Field(description="the threshold in words")
    maps: bool = Field(description="whether it shows where")

    @classmethod
    def of(cls, record: RunRecord) -> RunInfo:
        """Tell of the run with this record."""
        threshold = record.threshold
        return cls(
            run=record.id,
            created=record.created.isoformat(timespec="seconds"),
            method=record.method,
            dataset=record.dataset,
            images=record.train_count,
            threshold=threshold.value,
            expected_false_alarm_rate=threshold.expected_rate,
            certain_false_alarm_rate=threshold.certain_rate,
            promise=threshold.promise(),
            maps=record.pixel_threshold is not None,
        )


class Answer(BaseModel):
    """What was found in one image."""

    run: str
    image: str = Field(description="the name that was sent with it")
    decision: Literal["anomalous", "normal"]
    score: float = Field(description="higher is more anomalous")
    threshold: float
    p_value: float = Field(description="the share of good images that score as high")
    map_png: str | None = Field(
        None,
        description="base64 of a PNG in the image's shape: `heat` as people see it, or `grey` with 16 bits, "
        "where 0 is map_low and 65535 is map_high",
    )
    map_low: float | None = None
    map_high: float | None = None
    pixel_threshold: float | None = Field(None, description="map values above it are outlined")
    seconds: float = Field(description="from the whole upload to the answer, waiting for its turn included")


class Fault(BaseModel):
    """What is wrong, and what to do."""

    error: str
    hint: str


def create_api(judges: Judges) -> FastAPI:
    """Make the application with the routes below /api and /reports."""
    settings = judges.settings
    app = FastAPI(
        title="adkit",
        version=__version__,
        description="Visual anomaly detection: an image in, a decision with a p-value out.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
    )
    turn = asyncio.Semaphore(1)
    waiting = 0
    faults: dict[int | str, dict[str, Any]] = {code: {"model": Fault} for code in (404, 413, 422, 503)}

    @app.get("/api/runs", response_model=list[RunInfo])
    def runs() -> list[RunInfo]:
        """List the runs that can score, the newest first."""
        records = [record for _, record in list_runs(settings.runs_root) if isinstance(record, RunRecord)]
        return [RunInfo.of(record) for record in reversed(records)]

    @app.post("/api/score", response_model=Answer, responses=faults)
    async def score(
        image: Annotated[UploadFile, File(description="a PNG, JPEG, TIFF, BMP, WebP, GIF or PNM")],
        run: Annotated[str, Form(description="the id of a run, or latest")] = "latest",
        kind: Annotated[MapKind, Form(alias="map", description="whether to show where, and how")] = "none",
    ) -> Any:
        """Decide about one image. Requests are answered one after the other."""
        nonlocal waiting
        if waiting >= settings.limits.waiting:
            return fault_response(503, "the server has too many images to look at", "send the image again in a second")
        waiting += 1
        began = time.perf_counter()
        try:
            async with turn:
                return await run_in_threadpool(_answer, judges, run, image, kind, began)
        finally:
            waiting -= 1

    @app.get("/reports/runs/{name}", include_in_schema=False)
    def run_report(name: str) -> HTMLResponse:
        return _report(run_folder(settings, name), REPORT)

    @app.get("/reports/comparisons/{name}", include_in_schema=False)
    def comparison_report(name: str) -> HTMLResponse:
        return _report(comparison_folder(settings, name), COMPARISON)

    _tell_faults(app, settings)
    return app


def _tell_faults(app: FastAPI, settings: ServerSettings) -> None:
    """Let every fault be told in two lines."""

    @app.exception_handler(AdkitError)
    async def tellfault_response(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, AdkitError)
        return fault_response(404 if isinstance(error, RunError) else 422, *two_lines(error, settings))

    @app.exception_handler(RequestValidationError)
    async def tell_missing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return fault_response(422, f"{where}: {first['msg']}", "see /api/openapi.json")

    @app.exception_handler(HTTPException)
    async def tell_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return fault_response(error.status_code, f"{request.url.path}: {error.detail}", "see /api/openapi.json")

    @app.exception_handler(Exception)
    async def tell_bug(request: Request, error: Exception) -> JSONResponse:
        return fault_response(500, "something failed inside adkit", "the server's log says where")


def _report(folder: Path, name: str) -> HTMLResponse:
    path = inside(folder, folder / name)
    try:
        content = path.read_bytes()
    except OSError:
        raise RunError(f"{folder.name} has no report yet", hint="make it on the page, under Results") from None
    return HTMLResponse(content, headers={"content-security-policy": _REPORT_POLICY})


def _answer(judges: Judges, run: str, image: UploadFile, kind: MapKind, began: float) -> Answer:
    ready = judges.ready(run)
    name = Path(image.filename or "image").name
    with tempfile.TemporaryDirectory(prefix="adkit-") as folder:
        path = Path(folder) / f"image{Path(name).suffix.lower()[:8]}"
        with path.open("wb") as file:
            shutil.copyfileobj(image.file, file)
        (finding,) = judges.findings(ready, [Upload(name, path)])
        if finding.error is not None:
            raise finding.error
        picture = None if kind == "none" else map_picture(ready, finding, kind)
    low, high = finding.map_range if picture else (None, None)
    assert finding.score is not None
    assert finding.p_value is not None
    return Answer(
        run=ready.record.id,
        image=name,
        decision="anomalous" if finding.anomalous else "normal",
        score=finding.score,
        threshold=ready.judge.threshold.value,
        p_value=finding.p_value,
        map_png=base64.b64encode(picture).decode() if picture else None,
        map_low=low,
        map_high=high,
        pixel_threshold=ready.record.pixel_threshold.value if ready.record.pixel_threshold else None,
        seconds=round(time.perf_counter() - began, 3),
    )


def map_picture(ready: Ready, finding: Finding, kind: MapKind) -> bytes:
    """Return the map of a finding as a PNG in the image's shape; raises FrameError where the method gives none."""
    from PIL import Image

    from adkit.drawing.overlay import heat

    if finding.map_png is None or ready.scale is None:
        raise FrameError(f"{ready.record.method} gives no maps", hint="ask with map=none, or choose another run")
    image = finding.image()
    values = finding.map_over(image)
    if kind == "heat":
        picture = Image.fromarray(heat(image, values, ready.scale))
    else:
        low, high = finding.map_range
        levels = np.round((values - low) / max(high - low, 1e-12) * 65535)
        picture = Image.fromarray(levels.clip(0, 65535).astype(np.uint16))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
