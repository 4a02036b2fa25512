"""The REST interface: an image in, a decision out; and the reports. `/api/openapi.json` describes it for programs."""

import asyncio
import base64
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from PIL import Image
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from adkit import __version__
from adkit.data.images import png_of, resize
from adkit.drawing.overlay import faded, heat
from adkit.errors import AdkitError, FrameError, RunError, said
from adkit.files.documents import read_file
from adkit.runs.record import RunRecord
from adkit.runs.store import REPORT, list_runs
from adkit.stats.formatting import UnitName
from adkit.ui.access import fault_response
from adkit.ui.markup import render
from adkit.ui.safety import folder_of, inside, two_lines
from adkit.ui.scoring import Judges, Upload
from adkit.ui.settings import ServerSettings
from adkit.workflows.score import FittedModel, FrameResult, still_row

MAP_PIXELS = 4_000_000
"""A picture of a map has no more than this."""
COMPARISON = "comparison.html"
_REPORT_POLICY = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'self'"
)
"""A report may run its own script and nothing else."""
_FIELDS = ("image", "run", "map")  # of a form


class RunInfo(BaseModel):
    """A run as a program sees it."""

    run: str = Field(description="its id, for /api/score")
    name: str | None = Field(description="what fit --name called it")
    created: str
    method: str
    dataset: str
    judges: UnitName = Field(description="image, or clip: then frames of a video, and a still image says little")
    images: int = Field(description="images that were learned from")
    threshold: float = Field(description="an image whose score is above it is anomalous")
    expected_false_alarm_rate: float
    certain_false_alarm_rate: float = Field(description="the rate that holds with 95 % certainty")
    promise: str = Field(description="the threshold in words")
    maps: bool = Field(description="whether it shows where")


class RegionInfo(BaseModel):
    """A connected part of the image in which the map is above pixel_threshold."""

    where: str = Field(description="in words: upper left")
    left: int = Field(description="of its box, in px of the image from its left side")
    top: int
    width: int
    height: int
    area_px: int = Field(description="of the region itself, in px of the image")
    area_share: float = Field(description="of the image's area")
    map_peak: float = Field(description="the highest value of the map in it")
    map_mean: float


class Answer(BaseModel):
    """What was found in one image."""

    run: str
    image: str = Field(description="the name that was sent with it")
    decision: Literal["anomalous", "normal"]
    score: float = Field(description="higher is more anomalous")
    threshold: float
    p_value: float = Field(description="the share of good images that score as high")
    p_value_is_floor: bool = Field(description="the score is higher than all good images': the p-value is a bound")
    where: str | None = Field(description="in words, the place to look at first; as a whole: no place is anomalous")
    doubt: str | None = Field(description="why the image is hardly one of those that the run is for")
    regions: list[RegionInfo] = Field(description="whatever the decision, the highest peak first")
    specks: int = Field(description="further parts above pixel_threshold, smaller than a cell of the map: no regions")
    map_png: str | None = Field(
        None,
        description="base64 of a PNG in the image's shape: `heat` as people see it, or `grey` with 16 bits, "
        "where 0 is map_low and 65535 is map_high",
    )
    map_low: float | None = None
    map_high: float | None = None
    pixel_threshold: float | None = Field(None, description="map values above it are outlined, and make regions")
    seconds: float = Field(description="from the whole upload to the answer, waiting for its turn included")


class Fault(BaseModel):
    """What is wrong, and what to do."""

    error: str
    hint: str


_FAULTS: dict[int | str, dict[str, Any]] = {code: {"model": Fault} for code in (400, 401, 403, 404, 408, 413, 422, 503)}


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

    @app.get("/api")
    @app.get("/api/", include_in_schema=False)
    def about() -> dict[str, str]:
        """Say what can be asked."""
        asked = {"runs": "GET /api/runs", "score": "POST /api/score", "description": "GET /api/openapi.json"}
        return {"adkit": __version__, **asked, "documentation": "GET /api/docs"}

    @app.get("/api/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        """Say the same for people; nothing is loaded from elsewhere."""
        return HTMLResponse(render("api.html", document=app.openapi()))

    @app.get("/api/runs", response_model=list[RunInfo], responses={code: _FAULTS[code] for code in (400, 401, 403)})
    def runs() -> list[RunInfo]:
        """List the runs that can score, the newest first."""
        records = [record for _, record in list_runs(settings.runs_root) if isinstance(record, RunRecord)]
        return [_run_info(record) for record in reversed(records)]

    @app.post("/api/score", response_model=Answer, responses=_FAULTS)
    async def score(
        request: Request,
        image: Annotated[UploadFile, File(description="a PNG, JPEG, TIFF, BMP, WebP, GIF or PNM")],
        run: Annotated[str, Form(description="the id of a run, or latest")] = "latest",
        kind: Annotated[
            Literal["none", "grey", "heat"], Form(alias="map", description="whether to show where, and how")
        ] = "none",
    ) -> Any:
        """Decide about one image. Requests are answered one after the other."""
        nonlocal waiting
        if told := await _not_obeyed(request):
            return fault_response(422, told, "send image, run and map as fields of the form, each once")
        if waiting >= settings.limits.waiting:
            return fault_response(503, "the server has too many images to look at", "send the image again in a second")
        waiting += 1
        began = time.perf_counter()
        try:
            async with turn:
                if await request.is_disconnected():
                    return fault_response(499, "nobody waits for the answer any more", "send the image again")
                return await run_in_threadpool(_answer, judges, run, image, kind, began)
        finally:
            waiting -= 1

    _serve_reports(app, settings)
    _tell_faults(app, settings)
    return app


async def _not_obeyed(request: Request) -> str | None:
    """Say what would be answered as if it had not been sent; None where all is obeyed."""
    form = await request.form()  # as it was read for the parameters
    odd = (name for name in form if name not in _FIELDS or len(form.getlist(name)) > 1)
    name = next(iter(request.query_params), next(odd, None))
    return None if name is None else f"{name[:80]!r} is not understood, or came twice"


def _serve_reports(app: FastAPI, settings: ServerSettings) -> None:
    @app.get("/reports/runs/{name}", include_in_schema=False)
    def run_report(name: str) -> HTMLResponse:
        return _report(folder_of(settings, "run", name), REPORT)

    @app.get("/reports/comparisons/{name}", include_in_schema=False)
    def comparison_report(name: str) -> HTMLResponse:
        return _report(folder_of(settings, "comparison", name), COMPARISON)


def _tell_faults(app: FastAPI, settings: ServerSettings) -> None:
    """Let the application answer every fault with two lines."""

    async def tell(request: Request, error: Exception) -> JSONResponse:
        match error:
            case AdkitError():
                return fault_response(404 if isinstance(error, RunError) else 422, *two_lines(error, settings))
            case RequestValidationError():
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"][1:])
                if where == "image":
                    return fault_response(422, "no image came as a form's file", "send it as: curl -F image=@part.png")
                return fault_response(422, f"{where}: {said(first['msg'])}", "see /api/openapi.json")
            case HTTPException():
                told = fault_response(error.status_code, f"{request.url.path}: {error.detail}", "see /api/openapi.json")
                told.headers.update(error.headers or {})
                return told
        return fault_response(500, "something failed inside adkit", "the server's log says where")

    for sort in (AdkitError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(sort, tell)


def _run_info(record: RunRecord) -> RunInfo:
    threshold = record.threshold
    return RunInfo(
        run=record.id,
        name=record.settings.name,
        created=record.created.isoformat(timespec="seconds"),
        method=record.method,
        dataset=record.dataset,
        judges=threshold.unit,
        images=record.train_count,
        threshold=threshold.value,
        expected_false_alarm_rate=threshold.expected_rate,
        certain_false_alarm_rate=threshold.certain_rate,
        promise=threshold.promise(),
        maps=record.pixel_threshold is not None,
    )


def _report(folder: Path, name: str) -> HTMLResponse:
    path = inside(folder, folder / name)
    try:
        content = read_file(path)
    except OSError:
        raise RunError(f"{folder.name} has no report yet", hint="make it on the page, under Results") from None
    return HTMLResponse(content, headers={"content-security-policy": _REPORT_POLICY})


def _answer(judges: Judges, run: str, image: UploadFile, kind: str, began: float) -> Answer:
    model = judges.ready(run)
    name = Path((image.filename or "").replace("\0", "")).name or "image"
    with tempfile.TemporaryDirectory(prefix="adkit-") as folder:
        path = Path(folder) / f"image{Path(name).suffix.lower()[:8]}"
        with path.open("wb") as file:
            shutil.copyfileobj(image.file, file)
        (finding,) = judges.findings(model, [Upload(name, path)])
        result = finding.found
        if isinstance(result, AdkitError):
            raise result
        shown = {} if kind == "none" else _map_of(model, finding.upload, result, kind)
    return Answer(
        **still_row(name, model.threshold.value, result),
        run=model.run.record.id,
        image=name,
        doubt=model.doubt(result),
        pixel_threshold=model.outline,
        seconds=round(time.perf_counter() - began, 3),
        **shown,
    )


def _map_of(model: FittedModel, upload: Upload, result: FrameResult, kind: str) -> dict[str, Any]:
    """Return a result's map as a PNG, of a large image a smaller one, and its range; raises FrameError for no map."""
    if result.map is None or model.scale is None:
        method = model.run.record.method
        raise FrameError(f"{method} gives no maps", hint="ask with map=none, or choose another run")
    image, values = upload.image(model.view.white), result.map
    low, high = float(values.min()), float(values.max())
    factor = min(1.0, math.sqrt(MAP_PIXELS / (image.shape[0] * image.shape[1])))
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    if kind == "heat":
        picture = heat(resize(faded(image, model.view), (height, width)), values, model.scale)
    else:
        large = cv2.resize(values, (width, height))
        picture = np.round((large - low) / max(high - low, 1e-12) * 65535).clip(0, 65535).astype(np.uint16)
    return {"map_png": base64.b64encode(png_of(Image.fromarray(picture))).decode(), "map_low": low, "map_high": high}
