"""Numbers, times, lengths and units as people read them: one way to write each, for terminal, report and page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import jinja2

NOTHING = "–"  # what stands where there is no number
AS_A_WHOLE = "as a whole"  # where an image is anomalous though no place is: something is missing, extra or exchanged
UnitName = Literal["image", "clip"]  # as runs write it down
SLACK = 1e-9  # keeps 0.05 * 20 from falling below 1, and what is a little above a round number from going up


_OF_ONE = {"are": "is", "have": "has", "were": "was", "cannot": "cannot"}


def counted(number: int, thing: str, does: str = "") -> str:
    """Write a number with its noun, and verb: "1 image", "1,200 images", "1 image lies"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}{f' {verb(number, does)}' if does else ''}"


def verb(number: int, of_many: str) -> str:
    """Return a verb as it is of so many: "are", or of 1 "is"."""
    return _OF_ONE.get(of_many, f"{of_many}s") if number == 1 else of_many


def seconds_text(seconds: float) -> str:
    """Write seconds with two digits that count: "1.5 s", "30 s", "120 s"."""
    return f"{float(f'{seconds:.2g}'):g} s"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Write the first names, and how many more there are: "a, b, c and 2 more"; what is no letter is spelt out."""
    left, first = len(names) - most, ", ".join(names[:most])
    readable = "".join(one if one.isprintable() else repr(one)[1:-1] for one in first)  # a name may hold anything
    return readable + (f" and {left:,} more" if left > 0 else "")


def clock(time_s: float) -> str:
    """Write a time as on a clock: "0:07.3", "12:00.0", "1:02:03.5"."""
    tenths = round(time_s * 10)
    hours, rest = divmod(tenths, 36_000)
    minutes, rest = divmod(rest, 600)
    seconds = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{seconds}" if hours else f"{minutes}:{seconds}"


def duration_text(seconds: float) -> str:
    """Write a length of time with about two digits: "0.4 s", "12 s", "2.5 min", "10 min", "3 h"."""
    value, unit = seconds, "s"
    if seconds >= 90:
        value, unit = (seconds / 60, "min") if seconds < 5400 else (seconds / 3600, "h")
    return f"{value:.2g} {unit}" if 0.01 <= value < 9.95 else f"{value:.0f} {unit}"


def moment_text(when: datetime, *, local: bool = False) -> str:
    """Write a date with its time: "2026-11-22 02:45 UTC", or without the zone as this machine's clock shows it."""
    return f"{when.astimezone():%Y-%m-%d %H:%M}" if local else f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def size_text(size_bytes: int) -> str:
    """Write a number of bytes in the unit that suits it: "812 bytes", "1.8 MB"."""
    value, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{size_bytes} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def percent_text(share: float | None, digits: int = 1) -> str:
    """Write a share in percent: 0.0093 -> "0.9%"; a dash for None."""
    return NOTHING if share is None else f"{share:.{digits}%}"


def rate_text(rate: float) -> str:
    """Write an expected rate in percent, with two decimals, or two digits where those are more: "0.93%"."""
    percent = 100 * rate
    return f"{percent:.{max(2, _two_digits(percent))}f}%"


def bound_text(rate: float) -> str:
    """Write a bound in percent with two digits, rounded up: 0.0235 -> "2.4%", 0.000123 -> "0.013%"."""
    percent = 100 * rate
    decimals = _two_digits(percent)
    return f"{math.ceil(percent * 10**decimals - SLACK) / 10**decimals:.{decimals}f}%"


def often_text(rate: float) -> str:
    """Write a rate above 0 as how often something happens: 0.0106 -> "1 in 94", 0.41 -> "41 of 100"."""
    one_in = max(1, round(1 / rate))
    return f"1 in {one_in}" if rate <= 0.5 and abs(1 - one_in * rate) < 0.05 else f"{100 * rate:.0f} of 100"


def score_text(value: float | None) -> str:
    """Write a score or threshold with four significant digits: 0.5 -> "0.5000"; a dash for None."""
    return NOTHING if value is None else f"{value:#.4g}".rstrip(".")


def metric_text(value: float | None) -> str:
    """Write a metric with four decimals: "0.9731"; a dash for None."""
    return NOTHING if value is None else f"{value:.4f}"


def p_value_text(p_value: float, is_floor: bool | None = False) -> str:
    """Write a p-value with four decimals or as a power of ten, the lowest possible as a bound: "≤ 0.0106"."""
    text = f"{p_value:.4f}" if p_value >= 0.0001 else f"{p_value:.1e}"
    return f"≤ {text}" if is_floor else text


def p_value_in_words(p_value: float, count: int, good: str) -> str:
    """Say what a p-value from the scores of `count` good parts means: the lowest possible one is no rate."""
    if is_floor(p_value, count):
        return f"higher than all {counted(count, good)} (p {p_value_text(p_value, True)})"
    return f"about {percent_text(p_value)} of {good}s score as high (p {p_value_text(p_value)})"


def is_floor(p_value: float, count: int) -> bool:
    """Say whether a p-value is the lowest that `count` normal scores can give: 1 / (count + 1)."""
    return p_value * (count + 1) < 1.5


def _two_digits(value: float) -> int:
    """Return the decimals that show two significant digits of the value."""
    return max(0, 1 - math.floor(math.log10(value))) if value > 0 else 1


_WRITERS: Sequence[Callable[..., str]] = (
    *(bound_text, clock, counted, duration_text, metric_text, moment_text),
    *(p_value_text, p_value_in_words, percent_text, rate_text, score_text, size_text),
)
FILTERS: Mapping[str, Callable[..., str]] = {one.__name__.removesuffix("_text"): one for one in _WRITERS}
"""The ways to write, as the templates of report and page call them."""


def templates(package: str, folder: str, **filters: Callable[..., str]) -> jinja2.Environment:
    """Return what fills in a package's templates, with these filters too; every value is escaped, and none may lack."""
    import jinja2  # which no command line needs

    loader, lacking = jinja2.PackageLoader(package, folder), jinja2.StrictUndefined
    found = jinja2.Environment(loader=loader, undefined=lacking, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    found.filters |= {**FILTERS, **filters}
    return found


@dataclass(frozen=True, slots=True)
class Unit:
    """Images, clips or pieces of clips, as a run's promise counts them; nouns are singulars with a plural in s."""

    name: str  # "image", "clip", "30 s piece"
    whole: UnitName  # the same, uncut
    sample: str  # what is scored: "image", "frame"
    good: str  # what a false alarm is counted by: "good part", "normal 30 s piece"
    defect: str  # what can be missed
    thing: str  # that is right or wrong: "part", "clip"
    seen: str  # of such a thing, what is judged: "part", "frame"
    flaw: str  # such a thing that is wrong: "defect", "anomalous frame"
    normal: str  # the adjectives for what is right …
    anomalous: str  # … and wrong

    @classmethod
    def of(cls, name: UnitName, segment_s: float | None = None) -> Unit:
        """Return the unit of that name, where long clips were cut into pieces of about so many seconds."""
        if name == "image":
            return cls(name, name, "image", "good part", "defect", "part", "part", "defect", "good", "defective")
        piece = "clip" if segment_s is None else f"{seconds_text(segment_s)} piece"
        one = f"normal {piece}"
        return cls(piece, name, "frame", one, "event", "clip", "frame", "anomalous frame", "normal", "anomalous")

    @property
    def of_clips(self) -> bool:
        """Say whether what is scored are frames of clips."""
        return self.whole == "clip"
