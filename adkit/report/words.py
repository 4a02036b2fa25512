"""Numbers and names as the page writes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Things:
    """What a page is about: parts in pictures, or events in clips. All in the singular, all with a plural in s."""

    sample: str
    good: str  # what a false alarm is counted by
    defective: str  # what can be missed
    defect: str


PARTS = Things("image", "good part", "defective part", "defect")


def of_clips(unit: str) -> Things:
    """The words for clips of which the threshold counts such units."""
    return Things("frame", f"normal {unit}", "event", "event")


def percent(share: float | None, digits: int = 1) -> str:
    """0.0093 -> "0.9%"; a dash for None."""
    return "–" if share is None else f"{share:.{digits}%}"


def figure(value: float | None) -> str:
    """A score in four significant digits; a dash for None."""
    return "–" if value is None else f"{value:#.4g}".rstrip(".")


def metric(value: float | None) -> str:
    """A metric in four decimals, as the other commands print it; a dash for None."""
    return "–" if value is None else f"{value:.4f}"


def chance(p_value: float) -> str:
    """A p-value in four decimals, or as a power of ten where those would be zero."""
    return f"{p_value:.4f}" if p_value >= 0.0001 else f"{p_value:.1e}"


def whole(count: int) -> str:
    """12345 -> "12,345"."""
    return f"{count:,}"


def size(count: int) -> str:
    """Bytes in the unit that suits them: "1.8 MB"."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def seconds(duration_s: float) -> str:
    """ "12.3 s", from two minutes on also in minutes."""
    return f"{duration_s:.1f} s" if duration_s < 120 else f"{duration_s:.0f} s ({duration_s / 60:.1f} min)"


def moment(when: datetime) -> str:
    """ "2026-11-22 02:45 UTC"."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def of_thousand(rate: float, things: str) -> str:
    """A rate in words: "about 9 of 1,000 good parts"."""
    count = 1000 * rate
    return f"about {count:.0f} of 1,000 {things}" if count >= 1 else f"about {10 * count:.0f} of 10,000 {things}"
