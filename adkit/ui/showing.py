"""What was found, for people: verdict, viewer, gallery, CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from adkit.errors import FrameError
from adkit.stats.formatting import counted
from adkit.ui.markup import data_uri, empty, fault, send
from adkit.ui.scoring import Finding, Ready, unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN_PX = 1400
"""Longer side of the image in the viewer; larger ones are shrunk for the way to the browser."""

THUMBNAIL_PX = 220

NOTHING_YET = empty("Drop an image of a part", "Its decision, p-value and heat map appear here.")

_WORDS = {
    "anomalous": ("ak-bad", "✕ Anomalous"),
    "normal": ("ak-good", "✓ Normal"),
    "unreadable": ("ak-odd", "? Unreadable"),
}


def verdict(ready: Ready, finding: Finding) -> str:
    """The decision, what it is based on, and where the score lies among those of good parts."""
    if finding.error is not None:
        return fault(finding.error.message, finding.error.hint)
    sort, words = _WORDS[finding.decision]
    assert finding.score is not None
    assert finding.p_value is not None
    threshold = ready.judge.threshold
    return (
        f'<div class="ak-verdict {sort}" role="status"><div><strong>{words}</strong>'
        f"<small>score {finding.score:.4f} · threshold {threshold.value:.4f} · p = {finding.p_value:.3f}</small>"
        f"<small>{escape(finding.name)}: about {finding.p_value:.1%} of good parts score as high</small></div>"
        f"{_strip(ready.judge.normal_scores, threshold.value, finding.score)}</div>"
    )


def _strip(normal: NDArray[np.float64], threshold: float, score: float) -> str:
    """The scores of good parts as bars, the threshold as a line and this score as a mark."""
    low = min(float(normal.min()), score, threshold)
    high = max(float(normal.max()), score, threshold)
    span = max(high - low, 1e-12)
    counts, edges = np.histogram(normal, bins=36, range=(low, low + span))

    def x(value: float) -> float:
        return 10 + (value - low) / span * 380

    top = max(1, int(counts.max()))
    bars = "".join(
        f'<rect x="{x(left):.1f}" y="{48 - 34 * count / top:.1f}" width="9.6" height="{34 * count / top:.1f}" rx="1"/>'
        for count, left in zip(counts, edges[:-1], strict=True)
        if count
    )
    side = "end" if x(threshold) > 320 else "start" if x(threshold) < 80 else "middle"
    return (
        '<svg viewBox="0 0 400 70" role="img" aria-label="where the score lies among those of good parts">'
        f'<g fill="var(--body-text-color-subdued)" opacity=".55">{bars}</g>'
        '<line x1="10" x2="390" y1="48" y2="48" stroke="var(--border-color-primary)"/>'
        f'<line x1="{x(threshold):.1f}" x2="{x(threshold):.1f}" y1="8" y2="52" stroke="currentColor" '
        'stroke-dasharray="4 3"/>'
        f'<text x="{x(threshold):.1f}" y="65" text-anchor="{side}">threshold · bars: good parts</text>'
        f'<path d="M {x(score):.1f} 47 l -6 -11 h 12 z" fill="var(--ak)"/></svg>'
    )


def viewer(ready: Ready, finding: Finding) -> str:
    """The image with its heat map and controls; "" when it cannot be shown."""
    if finding.error is not None:
        return ""
    try:
        picture = data_uri(_jpeg(_image(finding), SHOWN_PX), "image/jpeg")
    except FrameError as error:
        return fault(error.message.replace(str(finding.path), finding.name), "upload it again")
    parts = [f'image="{picture}"', f'label="{escape(finding.name)}"']
    if finding.map_png is not None and ready.scale is not None:
        low, high = finding.map_range
        parts.append(f'map="{data_uri(finding.map_png, "image/png")}" map-low="{low!r}" map-high="{high!r}"')
        parts.append(f'scale-low="{ready.scale.low!r}" scale-high="{ready.scale.high!r}"')
        if ready.scale.threshold is not None:
            parts.append(f'threshold="{ready.scale.threshold!r}"')
    if finding.reconstruction is not None:
        parts.append(f'reconstruction="{data_uri(_jpeg(finding.reconstruction, SHOWN_PX), "image/jpeg")}"')
    missing = "" if finding.map_png is not None else '<p class="ak-faint">This method gives a score, and no map.</p>'
    return f"<adkit-viewer {' '.join(parts)}></adkit-viewer>{missing}"


def gallery(ready: Ready, findings: Sequence[Finding]) -> str:
    """All findings as cards that can be sorted, the first one chosen; "" for one alone."""
    if len(findings) < 2:
        return ""
    cards = "".join(_card(ready, number, finding) for number, finding in enumerate(findings))
    anomalous = sum(finding.decision == "anomalous" for finding in findings)
    unreadable = sum(finding.decision == "unreadable" for finding in findings)
    told = f"<b>{anomalous} of {counted(len(findings) - unreadable, 'image')}</b> anomalous"
    told += f", {unreadable} unreadable" if unreadable else ""
    return (
        f'<div data-sorting><div class="ak-bar"><span role="status">{told}</span>'
        '<label class="ak-faint">Sort by <select data-sort-list aria-label="Sort by">'
        '<option value="number up">order of upload</option><option value="score down">highest score first</option>'
        '<option value="score up">lowest score first</option><option value="name up">name</option>'
        f'</select></label></div><div class="ak-cards" data-list>{cards}</div></div>'
    )


def _card(ready: Ready, number: int, finding: Finding) -> str:
    sort, words = _WORDS[finding.decision]
    score = "" if finding.score is None else f"{finding.score:.4f}"
    known = f" · {score} · p {finding.p_value:.3f}" if finding.score is not None else ""
    return (
        f'<button type="button" class="{sort}" {send({"open": number})} data-number="{number}" data-score="{score}" '
        f'data-name="{escape(finding.name)}" aria-current="{str(number == 0).lower()}" title="{escape(finding.name)}">'
        f"{_thumbnail(ready, finding)}<span>{escape(finding.name)}</span>"
        f"<span><b>{words}</b></span><span>{known.removeprefix(' · ') or '–'}</span></button>"
    )


def _thumbnail(ready: Ready, finding: Finding) -> str:
    if finding.error is not None:
        return '<div class="ak-none">no image</div>'
    try:
        image = _shrunk(_image(finding), THUMBNAIL_PX)
    except FrameError:
        return '<div class="ak-none">gone</div>'
    if finding.map_png is not None and ready.scale is not None:
        import cv2

        from adkit.drawing.overlay import heat

        values = cv2.resize(unpacked(finding.map_png, finding.map_range), (image.shape[1], image.shape[0]))
        image = heat(image, np.asarray(values, np.float32), ready.scale)
    return f'<img alt="" loading="lazy" src="{data_uri(_jpeg(image, THUMBNAIL_PX), "image/jpeg")}">'


def as_csv(ready: Ready, findings: Sequence[Finding]) -> str:
    """The findings as `adkit score --format csv` gives them."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", "score", "threshold", "p_value", "decision", "error"])
    for one in findings:
        error = one.error.message if one.error else None
        writer.writerow([one.name, one.score, ready.judge.threshold.value, one.p_value, one.decision, error])
    return buffer.getvalue()


def _image(finding: Finding) -> NDArray[np.uint8]:
    from adkit.data.images import read_image
    from adkit.types import FrameRef

    return read_image(FrameRef(finding.path))


def _shrunk(image: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    from adkit.data.images import resize

    factor = longest / max(image.shape[:2])
    if factor >= 1:
        return image
    return resize(image, (max(1, round(image.shape[0] * factor)), max(1, round(image.shape[1] * factor))))


def _jpeg(image: NDArray[np.uint8], longest: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(_shrunk(image, longest)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
