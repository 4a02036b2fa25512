"""Matplotlib figures as SVG text that takes its colours and fonts from the page around it."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FONT_PX = 12


class Ink(StrEnum):
    """Colours to draw with. In the SVG each becomes the page's variable of that name, such as var(--good)."""

    text = "#fe0a01"
    soft = "#fe0a02"  # less important text
    line = "#fe0a03"  # grids and borders
    card = "#fe0a04"  # what lies behind the chart
    normal = "#fe0a05"  # normal data that the run was calibrated with
    good = "#fe0a06"  # good parts of the test split
    defect = "#fe0a07"
    oracle = "#fe0a08"  # what only the test labels can tell


@contextmanager
def house_style() -> Iterator[None]:
    """Inside it, figures are drawn alike whatever matplotlib is set to on this machine."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "svg.fonttype": "none",  # text stays text, in the page's font
                "font.size": FONT_PX,
                "axes.edgecolor": Ink.line.value,
                "axes.labelcolor": Ink.soft.value,
                "axes.labelsize": FONT_PX,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "lines.solid_capstyle": "butt",
                "grid.color": Ink.line.value,
                "grid.linewidth": 0.8,
                "text.color": Ink.text.value,
                "xtick.color": Ink.line.value,
                "ytick.color": Ink.line.value,
                "xtick.labelcolor": Ink.soft.value,
                "ytick.labelcolor": Ink.soft.value,
                "xtick.labelsize": FONT_PX,
                "ytick.labelsize": FONT_PX,
                "xtick.major.size": 0,
                "xtick.major.pad": 6,
                "ytick.major.size": 0,
                "text.parse_math": False,  # a dollar in a folder's name is a dollar
            }
        )
        yield


def new_axes(width: float, height: float, margins: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """A figure of this many px with one pair of axes; the margins are left, right, top and bottom px."""
    left, right, top, bottom = margins
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    box = (left / width, bottom / height, (width - left - right) / width, (height - top - bottom) / height)
    axes = figure.add_axes(box)
    axes.set_axisbelow(True)
    return figure, axes


def plain(text: str) -> str:
    """The text as any font, file and terminal can take it: in one line, with odd bytes spelt out."""
    spelt = text.encode(errors="backslashreplace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in spelt)


def as_svg(figure: Figure, name: str, label: str, inside: str = "") -> str:
    """The figure as an `<svg>` element for a page, the same text for the same figure.

    `name` is unique within the page: it begins all ids. `label` says in a sentence what is to be seen, for those who
    do not see it. `inside` is SVG that comes last, above the rest. The figure was made within `house_style`.
    """
    buffer = io.StringIO()
    mpl.rcParams["svg.hashsalt"] = name
    with warnings.catch_warnings():
        # Its own fonts only measure the text; the page's fonts, which have more letters, show it.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    body = text[text.index("<svg") :]
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'style="[^"]*"', lambda found: _page_style(found[0]), body)
    body = re.sub(r' d="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), body)
    body = body.replace(' id="', f' id="{name}-').replace("url(#", f"url(#{name}-")
    body = body.replace('xlink:href="#', f'href="#{name}-')
    body = re.sub(r"\s*\n\s*", " ", body)
    width, height = figure.get_size_inches() * figure.dpi
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(label)}">{body}{inside}</svg>'


def _page_style(style: str) -> str:
    for ink in Ink:
        style = style.replace(ink.value, f"var(--{ink.name})")
    style = re.sub(r"font-family:[^;\"]*;?\s*", "", style)
    return re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", style)  # so writes matplotlib before 3.10
