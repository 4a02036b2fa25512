from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray

from adkit.report.charts import (
    MOST_DOTS,
    IntervalRow,
    Line,
    Mark,
    Strip,
    interval_chart,
    score_histogram,
    share_chart,
    strip_chart,
    thinned,
)
from adkit.report.svg import Ink, as_svg, house_style, new_axes, plain

SCORES: NDArray[np.float64] = np.random.default_rng(0).gamma(4, size=60)


def shares(name: str = "roc") -> str:
    lines = [Line((0, 1), (0, 1), Ink.line), Line((0, 0.1, 1), (0, 0.8, 1), Ink.good, steps=True)]
    return share_chart(name, "a curve", lines, [Mark(0.1, 0.8, Ink.text), Mark(0.5, 1, Ink.oracle, True)], "x", "y")


def strips(title: str = "good", threshold: float | None = 3.0) -> str:
    rows = [Strip(title, SCORES, Ink.good), Strip("none", np.empty(0), Ink.defect)]
    return strip_chart("strips", "scores", rows, threshold, "score", 400)


def intervals(*, shares: bool = True) -> str:
    rows = [IntervalRow("one", 0.0, 0.0, 0.09, Ink.good), IntervalRow("two", None, 0.2, 0.4, Ink.defect)]
    return interval_chart("intervals", "intervals", rows, "share", 400, shares=shares)


CHARTS: dict[str, Callable[[], str]] = {
    "shares": shares,
    "strips": strips,
    "intervals": intervals,
    "ranks": lambda: intervals(shares=False),
    "histogram": lambda: score_histogram("normals", "scores", SCORES, [float(SCORES.max())], 0, 400)[0],
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_sound_svg_of_the_pages_colours(name: str) -> None:
    text = CHARTS[name]()
    root = ElementTree.fromstring(text)
    assert root.tag == "svg"
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"]
    assert "width" not in root.attrib, "the page decides how wide it is"
    assert re.findall(r"(?:fill|stroke): #", text) == []
    assert "font-family" not in text
    assert "<style" not in text
    assert "://" not in text
    colours = set(re.findall(r"var\(--(\w+)\)", text))
    assert colours
    assert colours <= {ink.name for ink in Ink}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_the_same_each_time_whatever_matplotlib_is_set_to(name: str) -> None:
    first = CHARTS[name]()
    with mpl.rc_context({"font.size": 30, "axes.grid": True, "lines.linewidth": 9}):
        assert CHARTS[name]() == first
        assert mpl.rcParams["font.size"] == 30, "and leaves those settings as they were"


def test_ids_are_those_of_one_chart_only() -> None:
    text = shares("roc")
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert all(one.startswith("roc-") for one in ids)
    for target in re.findall(r'(?:href="#|url\(#)([^")]+)', text):
        assert target in ids
    assert not set(ids) & set(re.findall(r' id="([^"]+)"', shares("other")))


@pytest.mark.parametrize("title", ["<script>", "a & b", "$x^2$", "検査", 'say "x"', "two\nlines", "pr\udcfcf"])
def test_any_title_is_shown_as_it_is(title: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        root = ElementTree.fromstring(strips(title))
    texts = [element.text for element in root.iter("text")]
    assert plain(title) in texts


def test_a_label_is_escaped() -> None:
    with house_style():
        figure, _ = new_axes(100, 80, (10, 10, 10, 10))
        root = ElementTree.fromstring(as_svg(figure, "x", '<b> & "c"'))
    assert root.attrib["aria-label"] == '<b> & "c"'
    assert root.attrib["viewBox"] == "0 0 100 80"


def test_the_line_of_the_histogram_follows_the_thresholds() -> None:
    thresholds = sorted(SCORES.tolist())[-10:]
    text, positions = score_histogram("normals", "scores", SCORES, thresholds, 4, 400)
    assert positions == sorted(positions)
    steps = np.diff(positions) / np.diff(thresholds)
    assert np.allclose(steps, steps.mean(), rtol=0.05), "as the axis is"
    root = ElementTree.fromstring(text)
    (moving,) = [element for element in root.iter("g") if element.get("class") == "moving"]
    (line,), (area,) = moving.findall("line"), moving.findall("rect")
    assert float(line.attrib["x1"]) == float(line.attrib["x2"]) == float(area.attrib["x"]) == positions[4]
    assert float(area.attrib["x"]) + float(area.attrib["width"]) == float(moving.attrib["data-right"]) == 386


@pytest.mark.parametrize("scores", [[1.0], [2.0, 2.0, 2.0], [-1e-9, 1e-9], [0.0, 1e6]])
def test_odd_scores_are_drawn(scores: list[float]) -> None:
    values = np.array(scores)
    text, positions = score_histogram("normals", "scores", values, scores, 0, 400)
    assert all(0 < position < 400 for position in positions)
    assert "nan" not in text
    assert "nan" not in strip_chart("strips", "scores", [Strip("a", values, Ink.good)], scores[0], "score", 400)


def test_many_dots_are_thinned_and_the_ends_kept() -> None:
    many = np.random.default_rng(1).permutation(10_000).astype(float)
    few = thinned(many, MOST_DOTS)
    assert len(few) == MOST_DOTS
    assert (few[0], few[-1]) == (0, 9999)
    assert np.array_equal(thinned(SCORES, MOST_DOTS), np.sort(SCORES))
    dots = strip_chart("strips", "scores", [Strip("a", many, Ink.good)], None, "score", 400).count("<use")
    assert MOST_DOTS <= dots < MOST_DOTS + 20
    assert len(score_histogram("normals", "scores", many, [9999.0], 0, 400)[0]) < 150_000


def test_shares_begin_at_zero_and_end_at_one() -> None:
    def ticks(rows: list[IntervalRow]) -> list[str]:
        root = ElementTree.fromstring(interval_chart("intervals", "intervals", rows, "share", 400))
        return [element.text or "" for element in root.iter("text") if (element.text or "").endswith("%")]

    small = ticks([IntervalRow("one", 0.01, 0.002, 0.05, Ink.good)])
    assert small[0] == "0%"
    assert float(small[-1].rstrip("%")) <= 5.5
    assert ticks([IntervalRow("all", 1.0, 0.4, 1.0, Ink.good)])[-1] == "100%"
    assert ticks([IntervalRow("none", 0.0, 0.0, 0.0, Ink.good)])[-1] == "100%"


def test_a_hollow_mark_is_not_a_filled_one() -> None:
    text = shares()
    assert re.search(r"fill: var\(--card\); stroke: var\(--oracle\)", text)
    assert re.search(r"fill: var\(--text\); stroke: var\(--text\)", text)
