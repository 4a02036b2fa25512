"""What was found in images, for people: verdict, viewer, gallery, CSV."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adkit.data.images import resize
from adkit.drawing.overlay import faded, fitted, heat, image_uri
from adkit.errors import AdkitError
from adkit.files.table import csv_text
from adkit.ui.markup import piece, render
from adkit.ui.scoring import UploadResult
from adkit.workflows.score import FittedModel, still_row

SHOWN_PX = 1400
"""Longer side of the image in the viewer; larger ones are shrunk for the way to the browser."""
THUMBNAIL_PX = 220
NOTHING_YET = piece("empty", "Drop an image of a part", "Its decision, p-value and heat map appear here.")


def verdict(model: FittedModel, finding: UploadResult) -> str:
    """Return the decision, what it is based on, and where the score lies among those of good parts."""
    result = finding.found
    if isinstance(result, AdkitError):
        return piece("fault", result.message, result.hint)
    normal = model.normal_scores
    every = [float(normal.min()), float(normal.max()), model.threshold.value, result.score]
    low, span = min(every), max(max(every) - min(every), 1e-12)
    counts, edges = np.histogram(normal, bins=36, range=(low, low + span))
    bars = [(int(count), float(edge)) for count, edge in zip(counts, edges[:-1], strict=True) if count]
    return render(
        "verdict.html",
        finding=finding,
        run=model.run.record,
        doubt=model.doubt(result),
        threshold=model.threshold,
        unit=model.threshold.words,
        low=low,
        span=span,
        bars=bars,
    )


def viewer(model: FittedModel, finding: UploadResult) -> str:
    """Return the image with its heat map and controls; "" when there is nothing to show."""
    result = finding.found
    if isinstance(result, AdkitError):
        return ""
    try:
        picture = image_uri(_shrunk(faded(finding.upload.image(model.view.white), model.view), SHOWN_PX))
    except AdkitError as error:
        return piece("fault", error.message, error.hint)
    rebuilt = result.reconstruction
    return render(
        "viewer.html",
        name=finding.upload.name,
        scale=model.scale,
        picture=picture,
        map=None if result.map is None or model.scale is None else packed(result.map),
        reconstruction=None if rebuilt is None else image_uri(_shrunk(rebuilt, SHOWN_PX)),
    )


def gallery(model: FittedModel, findings: Sequence[UploadResult]) -> str:
    """Return all findings as cards that can be sorted, the first one chosen; "" for one alone."""
    if len(findings) < 2:
        return ""
    return render("gallery.html", cards=[(finding, _thumbnail(model, finding)) for finding in findings])


def _thumbnail(model: FittedModel, finding: UploadResult) -> str | None:
    if isinstance(finding.found, AdkitError):
        return None
    try:
        image = _shrunk(faded(finding.upload.image(model.view.white), model.view), THUMBNAIL_PX)
    except AdkitError:
        return None
    if finding.found.map is not None and model.scale is not None:
        image = heat(image, finding.found.map, model.scale)
    return image_uri(image)


def as_csv(model: FittedModel, findings: Sequence[UploadResult]) -> str:
    """Return the findings as `adkit score --format csv` gives them."""
    threshold = model.threshold.value
    return csv_text([still_row(one.upload.name, threshold, one.found) for one in findings])


def packed(anomaly_map: NDArray[np.float32]) -> tuple[str, float, float]:
    """Return a map as the address of a PNG, and its range; red and green are the bytes of 65,536 levels.

    Browsers show 8 bits a channel, and a threshold that is moved by hand wants more.
    """
    low, high = float(anomaly_map.min()), float(anomaly_map.max())
    levels = np.round((anomaly_map - low) / max(high - low, 1e-12) * 65535).astype(np.uint16)
    pixels = np.stack([levels >> 8, levels & 255, np.zeros_like(levels)], axis=2).astype(np.uint8)
    return image_uri(pixels, "PNG"), low, high


def _shrunk(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    return image if max(image.shape) <= longest else resize(image, fitted(image.shape, longest))
