"""Charts as data, and as the template draws them."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from adkit.report.charts import MOST_DOTS, Axis, Chart, ChartRow, evenly_chosen, path_of, round_numbers, row_chart
from adkit.report.contents import plain
from adkit.report.page import environment
from adkit.report.plots import critical_difference, epochs, histogram, joined, score_chart, share_chart
from adkit.stats.rates import Curve

SCORES: NDArray[np.float64] = np.random.default_rng(0).gamma(4, size=60)
INKS = {"text", "soft", "line", "normal", "good", "defect", "oracle"}


def drawn(chart: Chart) -> ElementTree.Element:
    """The chart as the page's template draws it."""
    text = environment().get_template("macros.html.jinja").module.draw(chart)  # type: ignore[attr-defined]
    return ElementTree.fromstring(text)


def texts(chart: Chart) -> list[str]:
    return [element.text or "" for element in drawn(chart).iter("text")]


def shares() -> Chart:
    return share_chart(
        "a curve", ("x", "y"), Curve((0, 0.1, 1), (0, 0.8, 1)), [(0, 0), (1, 1)], [(0.1, 0.8)], [(0.5, 1)]
    )


def strips(title: str = "good") -> Chart:
    return score_chart(
        "scores", [ChartRow.of_scores(title, "good", SCORES), ChartRow.of_scores("none", "defect", np.empty(0))], 3.0
    )


def intervals(*, as_shares: bool = True) -> Chart:
    axis = Axis.of_shares("share", 0.4) if as_shares else Axis.around("share", [0, 0.4])
    return row_chart(
        "intervals", [ChartRow("one", "good", 0.0, 0.0, 0.09), ChartRow("two", "defect", 0.2, None, 0.4)], axis
    )


CHARTS: dict[str, Callable[[], Chart]] = {
    "shares": shares,
    "strips": strips,
    "intervals": intervals,
    "figures": lambda: intervals(as_shares=False),
    "histogram": lambda: histogram(SCORES, [float(SCORES.max())], 0),
    "epochs": lambda: epochs("loss", {"loss": [1.0, 0.4], "held_out_loss": [1.1, 0.5]}, 2),
    "ranks": lambda: critical_difference("ranks", ["one", "two"], [1.25, 1.75], 1.0),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_sound_svg_of_the_pages_colours(name: str) -> None:
    root = drawn(CHARTS[name]())
    (picture,) = [element for element in root.iter("svg") if element.get("aria-hidden") != "true"]
    assert picture.attrib["role"] == "img"
    assert picture.attrib["aria-label"]
    assert "width" not in picture.attrib, "the page decides how wide it is"
    text = ElementTree.tostring(root, encoding="unicode")
    assert re.findall(r"(?:fill|stroke|color): ?#", text) == []
    assert "font-family" not in text
    assert "<style" not in text
    assert "://" not in text
    assert "nan" not in text
    colours = set(re.findall(r"var\(--(\w+)\)", text))
    assert colours
    assert colours <= INKS


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_the_same_each_time_and_gives_away_no_ids(name: str) -> None:
    first = ElementTree.tostring(drawn(CHARTS[name]()), encoding="unicode")
    assert ElementTree.tostring(drawn(CHARTS[name]()), encoding="unicode") == first
    assert re.search(r'\bid="|href|url\(', first) is None, "two charts of one page have no id in common"


def test_pages_are_drawn_without_matplotlib_whatever_it_is_set_to() -> None:
    code = "import sys, adkit.report.page, adkit.report.comparison_page; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("title", ["<script>", "a & b", "$x^2$", "検査", 'say "x"', "two\nlines", "pr\udcfcf"])
def test_any_title_is_shown_as_it_is(title: str) -> None:
    assert plain(title) in texts(strips(title))


def test_a_label_is_escaped() -> None:
    picture = drawn(Chart('<b> & "c"', 80, Axis("", 0, 1))).find("svg")
    assert picture is not None
    assert picture.attrib["aria-label"] == '<b> & "c"'
    assert picture.attrib["height"] == "80"


def test_the_line_of_the_histogram_follows_the_thresholds() -> None:
    thresholds = sorted(SCORES.tolist())[-10:]
    chart = histogram(SCORES, thresholds, 4)
    positions = [chart.x.at(value) for value in thresholds]
    assert positions == sorted(positions)
    steps = np.diff(positions) / np.diff(thresholds)
    assert np.allclose(steps, steps.mean(), rtol=0.05), "as the axis is"
    (moving,) = [element for element in drawn(chart).iter("g") if element.get("class") == "moving"]
    (line,), (area,) = moving.findall("line"), moving.findall("rect")
    assert line.attrib["x1"] == line.attrib["x2"] == area.attrib["x"] == f"{positions[4]}%"
    assert positions[4] + float(area.attrib["width"].rstrip("%")) == pytest.approx(100)


@pytest.mark.parametrize("scores", [[1.0], [2.0, 2.0, 2.0], [-1e-9, 1e-9], [0.0, 1e6]])
def test_odd_scores_are_drawn(scores: list[float]) -> None:
    values = np.array(scores)
    for chart in (
        histogram(values, scores, 0),
        score_chart("scores", [ChartRow.of_scores("a", "good", values)], scores[0]),
    ):
        assert all(0 < chart.x.at(score) < 100 for score in scores)
        assert "nan" not in ElementTree.tostring(drawn(chart), encoding="unicode")


def test_many_dots_are_thinned_and_the_ends_kept() -> None:
    many = np.random.default_rng(1).permutation(10_000).astype(float)
    few = evenly_chosen(many, MOST_DOTS)
    assert len(few) == MOST_DOTS
    assert (few[0], few[-1]) == (0, 9999)
    assert np.array_equal(evenly_chosen(SCORES, MOST_DOTS), np.sort(SCORES))
    chart = score_chart("scores", [ChartRow.of_scores("a", "good", many)], 5000.0)
    assert len(list(drawn(chart).iter("circle"))) == MOST_DOTS
    assert len(ElementTree.tostring(drawn(histogram(many, [9999.0], 0)))) < 150_000


def test_shares_begin_at_zero_and_end_at_one() -> None:
    def ticks(highest: float) -> list[str]:
        return [text for _, text in Axis.of_shares("share", highest).ticks]

    assert ticks(0.05)[0] == "0%"
    assert float(ticks(0.05)[-1].rstrip("%")) <= 5.5
    assert ticks(1.0)[-1] == "100%"
    assert ticks(0.0)[-1] == "100%"


def test_a_hollow_mark_is_not_a_filled_one() -> None:
    groups = [group for group in drawn(shares()).iter("g") if len(group)]
    assert [(group.get("class"), group.get("style")) for group in groups] == [
        ("hollow", "color: var(--oracle)"),
        (None, "color: var(--text)"),
    ]


def test_a_path_leaves_gaps_and_takes_steps() -> None:
    assert path_of([(0, 1), (1, 2), (2, float("nan")), (3, 4), (4, 5)]) == "M0 1L1 2M3 4L4 5"
    assert path_of([(0, 1), (1, 2)], steps=True) == "M0 1H1L1 2"


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e9), st.integers(2, 8))
def test_round_numbers_lie_between_in_equal_steps(low: float, length: float, most: int) -> None:
    found = round_numbers(low, low + length, most)
    assert len(found) <= most + 1
    assert all(low - 1e-6 * length <= number <= low + length * (1 + 1e-6) for number in found)
    assert len(round_numbers(0, 7, 4, whole=True)) == 4
    assert round_numbers(0, 1.05, 4, whole=True) == [0, 1]


def test_bars_join_what_is_not_told_apart() -> None:
    assert joined([1.0, 2.0, 3.0], 1.5) == [(0, 1), (1, 2)]
    assert joined([1.0, 2.0, 3.0], 2.5) == [(0, 2)]
    assert joined([1.0, 2.0, 3.0], 0.5) == []
    assert joined([2.0, 2.0], 0.1) == [(0, 1)]


@given(st.lists(st.floats(1, 9), min_size=1, max_size=9).map(sorted), st.floats(0.01, 5))
def test_two_share_a_bar_exactly_when_they_lie_within_the_difference(ranks: list[float], difference: float) -> None:
    bars = joined(ranks, difference)
    for first in range(len(ranks)):
        for last in range(first + 1, len(ranks)):
            together = any(start <= first and last <= end for start, end in bars)
            assert together == (ranks[last] - ranks[first] < difference)


def test_the_chart_of_ranks_names_every_candidate_and_its_rank() -> None:
    chart = critical_difference("a label", ["one", "a <two>", "three"], [1.25, 1.75, 3.0], 1.0)
    assert {"one  1.25", "a <two>  1.75", "three  3.00", "critical difference 1.00"} <= set(texts(chart))
