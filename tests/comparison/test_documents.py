"""A comparison as rows, as JSON and as Markdown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adkit.cli.output import csv_text
from adkit.comparison.cells import Cost
from adkit.comparison.differences import AcrossCategories, Figure
from adkit.comparison.documents import (
    across_text,
    as_json,
    as_latex,
    as_markdown,
    cost_rows,
    counts_text,
    decision_rows,
    decisions_legend,
    figure_text,
    headline,
    interval_text,
    legend,
    metric_rows,
)
from adkit.comparison.figures import ALL, Comparison, compare_cells
from adkit.stats.rates import Rate
from adkit.stats.significance import Interval
from tests.comparison.fakes import compared, made_cell, one_of, several, valued

TRUTH = [False] * 20 + [True] * 20
GOOD = [number / 40 for number in range(40)]
POOR = [number * 7 % 40 / 40 for number in range(40)]


@pytest.fixture(scope="module")
def two() -> Comparison:
    """A good and a poor candidate on two categories with two seeds; a third failed on the second category."""
    cells = [
        made_cell(name, scores, TRUTH, category=category, seed=seed, threshold=0.7)
        for name, scores in (("good", GOOD), ("poor", POOR), ("lost", GOOD))
        for category in ("x:a", "x:b")
        for seed in (0, 1)
        if (name, category) != ("lost", "x:b")
    ]
    return compared(cells, failures={("x:b", "lost", seed): "too few images" for seed in (0, 1)})


def reread(document: dict[str, Any]) -> dict[str, Any]:
    """What a program reads of the document, which must be JSON without extensions."""
    found: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False))
    return found


def test_there_is_a_row_for_each_metric_category_and_candidate(two: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(metric_rows(two)))))
    assert [(row["category"], row["candidate"]) for row in rows] == [
        (category, name) for category in ("x:a", "x:b", ALL) for name in ("good", "poor", "lost")
    ]
    best, poor, lost = rows[3:6]
    assert float(best["value"]) == float(best["lowest_seed"]) == float(best["highest_seed"]) == 1
    assert (best["best"], best["worse_than_best"], best["difference_to_best"]) == ("True", "False", "")
    assert float(poor["low"]) < float(poor["value"]) < float(poor["high"])
    assert float(poor["difference_to_best"]) == pytest.approx(float(poor["value"]) - 1)
    assert float(poor["difference_low"]) < float(poor["difference_high"]) < 0
    assert 0 < float(poor["p_value"]) < 0.05
    assert (poor["best"], poor["worse_than_best"], poor["why_undefined"]) == ("False", "True", "")
    assert {name: value for name, value in lost.items() if value} == {
        "metric": "image_auroc",
        "category": "x:b",
        "candidate": "lost",
        "best": "False",
        "worse_than_best": "False",
        "why_undefined": "too few images",
    }


def test_rows_are_the_same_whatever_it_cost() -> None:
    costs = (Cost(3, 4, 3, 5, 6), Cost(15, 10, 9, 11, 12))
    first, second = (metric_rows(compared([made_cell("a", GOOD, TRUTH, cost=cost)])) for cost in costs)
    assert first == second


def test_json_holds_everything(two: Comparison) -> None:
    document = reread(as_json(two))
    assert document["categories"] == ["x:a", "x:b"]
    assert document["seeds"] == [0, 1]
    assert [candidate["name"] for candidate in document["candidates"]] == ["good", "poor", "lost"]
    assert document["figures"] == metric_rows(two)
    values = {(row["category"], row["candidate"]): row["values"] for row in document["by_seed"]}
    assert values["x:a", "good"] == [1, 1]
    assert values["x:b", "lost"] == []
    decisions = {(row["category"], row["candidate"]): row for row in document["decisions"]}
    assert decisions["x:a", "good"]["caught"][0]["count"] == 11
    assert decisions["x:a", "good"]["caught"][0]["total"] == 20
    assert decisions[ALL, "good"]["caught"][0]["total"] == 40
    assert (ALL, "lost") not in decisions
    assert {row["candidate"] for row in document["cost"] if row["category"] == "x:b"} == {"good", "poor"}
    assert document["across_categories"]["image_auroc"]["p_value"] is None
    assert "1 category" in document["across_categories"]["image_auroc"]["why_not"]
    assert document["runs"][0] == {
        "category": "x:a",
        "candidate": "good",
        "folders": ["cells/good-x:a-0/run", "cells/good-x:a-1/run"],
    }
    assert document["failures"] == [
        {"category": "x:b", "candidate": "lost", "seed": seed, "why": "too few images"} for seed in (0, 1)
    ]


def test_json_holds_the_tests_across_categories() -> None:
    eight = np.linspace(0.2, 0.9, 8)
    three = several({"a": eight.tolist(), "b": (eight - 0.1).tolist(), "c": (eight - 0.2).tolist()})
    across = reread(as_json(three))["across_categories"]["up"]
    assert across["mean_ranks"] == [1, 2, 3]
    assert across["critical_difference"] == pytest.approx(1.172, abs=1e-3)
    assert np.array(across["nemenyi"]).shape == (3, 3)
    assert across["categories"] == 8
    two = reread(as_json(several({"a": eight.tolist(), "b": (eight - 0.1).tolist()})))["across_categories"]["up"]
    assert two["p_value"] == pytest.approx(2 * 2 / 2**8)
    assert two["why_not"] is two["mean_ranks"] is None


def test_json_needs_no_number_that_json_lacks() -> None:
    nothing = {"aupro": np.full(400, np.nan)}
    cells = [
        made_cell("a", [0, 1], [False, True], metrics={"aupro": 0.5}, replicates=nothing),
        made_cell("b", [0, 1], [False, True], metrics={"aupro": 0.4}, replicates=nothing),
        made_cell("c", [0, 1], [False, True], metrics={"aupro": None}, why_undefined={"aupro": "no masks"}),
    ]
    document = reread(as_json(compared(cells)))
    assert [row["low"] for row in document["figures"]] == [None] * 3
    assert [row["value"] for row in document["figures"]] == [0.5, 0.4, None]


def test_json_says_nothing_of_samples_that_are_not_there() -> None:
    cell = made_cell("a", [0, 1], [False, False], metrics={"up": None}, why_undefined={"up": "nothing anomalous"})
    (decisions,) = reread(as_json(compared([cell])))["decisions"]
    assert decisions["caught"] == [{"count": 0, "total": 0, "interval": {"low": 0.0, "high": 1.0}}]


def test_one_anomalous_sample_leaves_a_difference_without_a_p_value() -> None:
    truth = [False] * 10 + [True]
    cells = [made_cell("a", [*range(10), 11], truth), made_cell("b", [*range(10), 4.5], truth)]
    row = reread(as_json(compared(cells)))["figures"][1]
    assert row["difference_to_best"] == -0.5
    assert row["p_value"] is None


def lines_of(text: str, heading: str) -> list[str]:
    """The table under a heading of Markdown."""
    part = text.partition(f"## {heading}\n\n")[2]
    return part.partition("\n\n")[0].splitlines()


def test_markdown_has_decisions_a_table_for_each_metric_and_cost(two: Comparison) -> None:
    text = as_markdown(two)
    assert legend(two) in text
    assert "Seeds: 0, 1." in text
    table = lines_of(text, "image_auroc")
    assert table[0] == f"| candidate | x:a | x:b | {ALL} |"
    assert table[1] == "| --- | --- | --- | --- |"
    assert table[2].startswith("| good | **1.0000** (0.8316 to 1.0000) | **1.0000** (0.8316 to 1.0000) |")
    poor = two.figures["image_auroc", "x:a", "poor"]
    assert poor.value is not None
    assert poor.interval is not None
    assert f"| {poor.value:.4f}* ({poor.interval.low:.4f} to {poor.interval.high:.4f}) |" in table[3]
    assert table[4].endswith("| – (too few images) | – (not defined on every category: too few images) |")
    table = lines_of(text, "Caught and flagged")
    assert table[0] == "| category | candidate | caught | caught % | flagged | flagged % | promised |"
    assert table[2] == "| x:a | good | 11, 11 of 20 | 55 (32 to 77) | 0, 0 of 20 | 0.0 (0.0 to 17) | 2.0, ≤ 6 |"
    assert table[-2].startswith(f"| {ALL} | good | 22, 22 of 40 | 55 (")
    assert "All at the promised 10%." in text
    assert text.index("## Caught and flagged") < text.index("## image_auroc")
    assert lines_of(text, "Cost")[2] == "| x:a | good | 1.5 | 3.0 | 2.0 | 100 | 1 |"
    assert text.endswith("|\n")


def test_where_rules_differ_the_table_says_so() -> None:
    loose = replace(made_cell("b", POOR, TRUTH), at="the promised 20%")
    result = compared([made_cell("a", GOOD, TRUTH), loose])
    assert [row["at"] for row in decision_rows(result)] == ["10%", "20%"]
    assert decisions_legend(result).startswith("Where promises differ, the looser one catches more.")


def test_markdown_survives_any_name() -> None:
    names = ["a|b", "two\nlines", "with / slash", "*stars*"]
    text = as_markdown(compared([made_cell(name, GOOD, TRUTH) for name in names]))
    for heading in ("image_auroc", "Caught and flagged", "Cost"):
        table = lines_of(text, heading)
        assert len(table) == 2 + len(names)
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    assert "| a\\|b |" in text
    assert "| two lines |" in text


def test_latex_has_the_figures_of_the_markdown_and_survives_any_name(two: Comparison) -> None:
    lines = as_latex(two).splitlines()
    assert lines[:4] == [
        r"\begin{tabular}{lllll}",
        r"\toprule",
        rf"metric & candidate & x:a & x:b & {ALL} \\",
        r"\midrule",
    ]
    assert lines[4].startswith(r"image\_auroc & good & \textbf{1.0000} (0.8316 to 1.0000) & \textbf{1.0000} (")
    assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
    text = as_latex(compared([made_cell(name, GOOD, TRUTH) for name in ["a&b", "50%", "x_{1}", "~^\\", "two\nlines"]]))
    for name in (r"a\&b", r"50\%", r"x\_\{1\}", r"\textasciitilde{}\textasciicircum{}\textbackslash{}", "two lines"):
        assert f" & {name} & " in text


def test_csv_survives_any_name() -> None:
    names = ["a,b", "two\nlines", 'with "quotes"', "ünï"]
    text = csv_text(metric_rows(compared([made_cell(name, GOOD, TRUTH) for name in names])))
    assert [row["candidate"] for row in csv.DictReader(io.StringIO(text, newline=""))] == names


def test_documents_without_any_complete_candidate_say_why() -> None:
    result = compared([made_cell("a", GOOD, TRUTH)], failures={("x:a", "a", 1): "broken"})
    assert decision_rows(result) == cost_rows(result) == []
    text = as_markdown(result)
    assert "| a | – (broken) |" in text
    assert "## Caught and flagged" not in text
    assert reread(as_json(result))["failures"] == [{"category": "x:a", "candidate": "a", "seed": 1, "why": "broken"}]


def test_the_headline_is_the_image_auroc_where_there_is_one(two: Comparison) -> None:
    assert headline(two) == "image_auroc"
    assert headline(several({"a": [0.5]})) == "up"


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (Figure(0.98304, None, Interval(0.962, 0.9951), is_best=True), "**0.9830** (0.9620 to 0.9951)"),
        (Figure(0.5, None, Interval(0.4, 0.6), p_value=0.001), "0.5000* (0.4000 to 0.6000)"),
        (Figure(0.5, None, Interval(0.4, 0.6), p_value=0.05), "0.5000 (0.4000 to 0.6000)"),
        (Figure(0.5), "0.5000"),
        (Figure(-1e-6, None, Interval(-1e-6, 1e-6)), "0.0000 (0.0000 to 0.0000)"),
        (Figure(None, "no masks"), "– (no masks)"),
    ],
)
def test_a_figure_in_words(figure: Figure, expected: str) -> None:
    assert figure_text(figure) == expected


def test_an_interval_in_words() -> None:
    assert interval_text(Interval(-0.25, 0.5)) == "-0.2500 to 0.5000"
    assert interval_text(None) == "–"


def test_the_test_across_categories_in_words(two: Comparison) -> None:
    assert across_text(AcrossCategories("there is one candidate only"), two) == (
        "No test across categories: there is one candidate only."
    )
    assert across_text(two.across["image_auroc"], two) == (
        "No test across categories: 1 category has a value for every candidate, and with fewer than 3 no difference "
        "could become significant."
    )
    eight = np.linspace(0.2, 0.9, 8)
    pair = several({"a": eight.tolist(), "b": (eight - 0.1).tolist()})
    assert across_text(pair.across["up"], pair) == (
        "Across 8 categories: Wilcoxon signed-rank, p = 0.0156 after Holm over the metrics."
    )
    three = several({"c": (eight - 0.2).tolist(), "a": eight.tolist(), "b": (eight - 0.1).tolist()})
    assert across_text(three.across["up"], three) == (
        "Across 8 categories: Friedman, p = 0.000671 after Holm over the metrics; mean ranks a 1.00, b 2.00, c 3.00; "
        "Nemenyi: ranks that differ by less than 1.17 are noise at 5%."
    )


def test_the_sentence_counts_the_categories_that_were_tested() -> None:
    values = {"a": np.linspace(0.2, 0.8, 7), "b": np.linspace(0.1, 0.7, 7)}
    cells = [valued(name, f"x:{number}", one) for name, row in values.items() for number, one in enumerate(row)]
    cells += [valued("a", "x:7", None), valued("b", "x:7", 0.5)]
    result = compared(cells)
    assert across_text(result.across["up"], result).startswith("Across 7 categories: Wilcoxon")


def test_counts_in_words() -> None:
    rates = tuple(Rate(count, 20, Interval(0, 1)) for count in (3, 0, 20))
    assert counts_text(rates) == "3, 0, 20 of 20"
    assert counts_text((Rate(0, 0, Interval(0, 1)),)) == "0 of 0"


def test_memory_that_nobody_measured_is_left_out() -> None:
    cell = made_cell("a", GOOD, TRUTH, cost=Cost(3, 4, 3, 0, 1_234_567))
    (row,) = cost_rows(compared([cell]))
    assert row["peak MB"] is None
    assert row["model MB"] == "1.23"
    assert lines_of(as_markdown(compared([cell])), "Cost")[2] == "| x:a | a | 3.0 | 4.0 | 3.0 | – | 1.23 |"


def test_options_of_candidates_are_told() -> None:
    candidate = one_of("k ratio=0.1", "patchknn", {"ratio": 0.1, "levels": [8, 16]}, scorer="max", few=4, tiles=True)
    cell = made_cell(candidate.name, GOOD, TRUTH)
    document = reread(as_json(compare_cells([candidate], ["x:a"], [0], [cell], {})))
    assert document["candidates"] == [
        {
            "name": "k ratio=0.1",
            "method": "patchknn",
            "options": {"ratio": "0.1", "levels": "8,16"},
            "scorer": "max",
            "few": 4,
            "tiles": True,
        }
    ]
