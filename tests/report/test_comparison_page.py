from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from adkit.comparison.figures import Comparison, compare_cells
from adkit.report.comparison_page import render_comparison
from tests.comparison.fakes import compared, made_cell, one_of
from tests.report.conftest import Page

TRUTH = [False] * 20 + [True] * 20


def scores_of(shift: float, seed: int) -> list[float]:
    random = np.random.default_rng(seed)
    return [float(score) for score in random.normal(size=40) + shift * np.array(TRUTH)]


@pytest.fixture(scope="module")
def several() -> Comparison:
    """Three candidates on seven categories."""
    shifts = {"strong": 4.0, "weak": 0.2, "weak too": 0.1}
    return compared(
        [
            made_cell(name, scores_of(shift, number), TRUTH, category=f"x:{number}")
            for number in range(7)
            for name, shift in shifts.items()
        ]
    )


def test_the_page_is_sound_html_and_needs_no_network(several: Comparison) -> None:
    text = render_comparison(several)
    page = Page(text)
    linked = [value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")]
    assert all(value is not None and value.startswith(("#", "data:")) for value in linked)
    assert not re.search(r"@import|url\(\s*['\"]?https?:", text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_the_same_comparison_gives_the_same_page(several: Comparison) -> None:
    assert render_comparison(several) == render_comparison(several)


def test_it_says_which_is_highest_and_what_is_noise(several: Comparison) -> None:
    text = " ".join(Page(render_comparison(several)).texts)
    assert re.search(
        r"x:0: strong is highest \(\d\.\d{4}\); above weak, weak too by more than the test images' noise", text
    )
    assert re.search(r"all categories: strong is highest on average \(0\.\d{4}\)\.", text)
    assert "Friedman" in text
    assert "critical difference" in text


def test_candidates_that_tie_are_equally_high() -> None:
    scores = {"a": scores_of(9, 0), "b": scores_of(9, 1), "c": scores_of(0, 2)}
    text = render_comparison(compared([made_cell(name, values, TRUTH) for name, values in scores.items()]))
    assert text.count("<td>best") == 2
    assert "x:a: a, b are equally high (1.0000); above c by more than the test images" in " ".join(Page(text).texts)


def test_the_chart_shows_the_best_though_its_interval_is_not_known_and_without_a_chart_there_is_no_legend() -> None:
    cells = [
        made_cell(name, [0, 1], [False, True], metrics={"f": value}, replicates={"f": np.linspace(low, 1, 400)})
        for name, value, low in (("sure", 1.0, 1.0), ("unsure", 0.9, 0.8))
    ]
    text = render_comparison(compared(cells))
    assert "f on x:a, with 95% intervals: sure 1.0000, unsure 0.9000" in text
    assert text.count("<circle") == 2
    assert 'class="legend"' in text
    assert 'class="legend"' not in render_comparison(compared([replace(one, replicates={}) for one in cells]))


def test_a_looser_promise_is_told_beside_what_it_catches() -> None:
    cells = [made_cell(name, scores_of(2, 0), TRUTH, metrics={"caught_at_promise": 0.9}) for name in ("a", "b")]
    looser = "Their promises differ, and the looser one catches more."
    assert looser not in render_comparison(compared(cells))
    assert looser in render_comparison(compared([cells[0], replace(cells[1], at="the promised 20%")]))


def test_every_figure_stands_in_its_table(several: Comparison) -> None:
    text = " ".join(Page(render_comparison(several)).texts)
    for figure in several.figures.values():
        assert figure.value is not None
        assert f"{figure.value:.4f}" in text


def test_one_category_is_named_once_has_no_test_across_and_says_why_once(several: Comparison) -> None:
    both = [made_cell(name, scores_of(1, seed), TRUTH) for seed, name in enumerate(("a", "b"))]
    html = render_comparison(compared(both))
    assert "<th colspan" not in html
    assert "<th colspan" in render_comparison(several)
    text = " ".join(Page(html).texts)
    assert text.count("No test across categories: 1 category") == 1
    assert "critical difference" not in text


def test_what_is_undefined_or_failed_says_why() -> None:
    cell = made_cell("a", scores_of(1, 0), TRUTH)
    failures = {("x:a", "b", 0): "too few <images>"}
    result = compare_cells([one_of("a", "a"), one_of("b", "b")], ["x:a"], [0], [cell], failures)
    text = render_comparison(result)
    assert "too few &lt;images&gt;" in text
    assert "too few <images>" not in text


def test_names_are_escaped() -> None:
    name = "<script>alert(1)</script>"
    text = render_comparison(compared([made_cell(name, scores_of(1, 0), TRUTH)]))
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
