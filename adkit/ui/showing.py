"""What was found in images, for people: verdict, viewer, gallery, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adkit.errors import FrameError
from adkit.ui.markup import data_uri, jpeg_uri, piece, render
from adkit.ui.scoring import Finding, Ready

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN_PX = 1400
"""Longer side of the image in the viewer; larger ones are shrunk for the way to the browser."""

THUMBNAIL_PX = 220

NOTHING_YET = piece("empty", "Drop an image of a part", "Its decision, p-value and heat map appear here.")


def verdict(ready: Ready, finding: Finding) -> str:
    """Return the decision, what it is based on, and where the score lies among those of good parts."""
    threshold, normal = ready.judge.threshold.value, ready.judge.normal_scores
    score = threshold if finding.score is None else finding.score
    every = [float(normal.min()), float(normal.max()), threshold, score]
    low, span = min(every), max(max(every) - min(every), 1e-12)
    counts, edges = np.histogram(normal, bins=36, range=(low, low + span))
    bars = [(int(count), float(edge)) for count, edge in zip(counts, edges[:-1], strict=True) if count]
    return render("verdict.html", finding=finding, threshold=threshold, low=low, span=span, bars=bars)


def viewer(ready: Ready, finding: Finding) -> str:
    """Return the image with its heat map and controls; "" when it cannot be shown."""
    if finding.error is not None:
        return ""
    try:
        picture = jpeg_uri(_shrunk(finding.image(), SHOWN_PX))
    except FrameError as error:
        return piece("fault", error.message.replace(str(finding.path), finding.name), "upload it again")
    shows_map = finding.map_png is not None and ready.scale is not None
    rebuilt = finding.reconstruction
    return render(
        "viewer.html",
        finding=finding,
        scale=ready.scale,
        picture=picture,
        map=data_uri(finding.map_png or b"", "image/png") if shows_map else None,
        reconstruction=None if rebuilt is None else jpeg_uri(_shrunk(rebuilt, SHOWN_PX)),
    )


def gallery(ready: Ready, findings: Sequence[Finding]) -> str:
    """Return all findings as cards that can be sorted, the first one chosen; "" for one alone."""
    if len(findings) < 2:
        return ""
    decisions = [finding.decision for finding in findings]
    return render(
        "gallery.html",
        cards=[(finding, _thumbnail(ready, finding)) for finding in findings],
        anomalous=decisions.count("anomalous"),
        readable=len(findings) - decisions.count("unreadable"),
    )


def _thumbnail(ready: Ready, finding: Finding) -> str | None:
    from adkit.drawing.overlay import heat

    if finding.error is not None:
        return None
    try:
        image = _shrunk(finding.image(), THUMBNAIL_PX)
    except FrameError:
        return None
    if finding.map_png is not None and ready.scale is not None:
        image = heat(image, finding.map_over(image), ready.scale)
    return jpeg_uri(image)


def as_csv(ready: Ready, findings: Sequence[Finding]) -> str:
    """Return the findings as `adkit score --format csv` gives them."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", "score", "threshold", "p_value", "decision", "error"])
    for one in findings:
        error = one.error.message if one.error else None
        writer.writerow([one.name, one.score, ready.judge.threshold.value, one.p_value, one.decision, error])
    return buffer.getvalue()


def _shrunk(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    from adkit.data.images import resize

    factor = longest / max(image.shape[:2])
    if factor >= 1:
        return image
    return resize(image, (max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor))))
