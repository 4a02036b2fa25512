"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from adkit.comparison.documents import across_text, cost_rows, decision_rows, headline, interval_text
from adkit.comparison.figures import ALL, LEVEL, Comparison, Figure
from adkit.report.charts import IntervalRow, interval_chart
from adkit.report.page import render
from adkit.report.ranks import critical_difference_chart
from adkit.report.svg import Ink

WIDE, NARROW = 860, 360


def render_comparison(comparison: Comparison) -> str:
    """The page's HTML; the same comparison gives the same text."""
    chief = headline(comparison)
    metrics = [chief, *(metric for metric in comparison.metrics if metric != chief)]
    rows = sorted(comparison.rows, key=lambda row: row != ALL)  # the summary first
    return render(
        "comparison.html.jinja",
        {
            "comparison": comparison,
            "chief": chief,
            "title": " · ".join(candidate.name for candidate in comparison.candidates),
            "sentences": _sentences(comparison, chief, rows),
            "charts": {row: _intervals(comparison, chief, row, number) for number, row in enumerate(rows)},
            "sections": [_section(comparison, metric, number) for number, metric in enumerate(metrics)],
            "decisions": decision_rows(comparison),
            "costs": cost_rows(comparison),
            "level": LEVEL,
        },
    )


def _sentences(comparison: Comparison, metric: str, rows: Sequence[str]) -> list[str]:
    """For each category, and for all, which candidate is best and which are not told apart from it."""
    found = []
    for row in rows:
        figures = {one.name: comparison.figures[metric, row, one.name] for one in comparison.candidates}
        best = next((name for name, figure in figures.items() if figure.is_best), None)
        if best is None:
            found.append(f"{row}: {metric} is not defined.")
            continue
        if row == ALL:
            found.append(f"{row}: {best} is highest on average ({figures[best].value:.4f}).")
            continue
        worse = [name for name, figure in figures.items() if figure.is_worse]
        noise = [
            name for name, one in figures.items() if one.value is not None and not one.is_best and not one.is_worse
        ]
        parts = [f"{row}: {best} is highest ({figures[best].value:.4f})"]
        if worse:
            parts.append(f"above {', '.join(worse)} by more than the {comparison.things}' noise")
        if noise:
            parts.append(f"not told apart from {', '.join(noise)}")
        found.append("; ".join(parts) + ".")
    return found


def _intervals(comparison: Comparison, metric: str, row: str, number: int) -> dict[str, Markup] | None:
    """The headline figures of one category as a chart, wide and narrow; None when no interval is known."""
    rows = [
        IntervalRow(candidate.name, figure.value, figure.interval.low, figure.interval.high, _ink(figure))
        for candidate in comparison.candidates
        if (figure := comparison.figures[metric, row, candidate.name]).interval is not None
    ]
    if not rows:
        return None
    label = f"{metric} on {row}, with 95% intervals: " + ", ".join(f"{one.title} {one.value:.4f}" for one in rows)
    return {
        name: Markup(interval_chart(f"intervals-{name}-{number}", label, rows, metric, width, shares=False))
        for name, width in (("wide", WIDE), ("narrow", NARROW))
    }


def _ink(figure: Figure) -> Ink:
    if figure.is_best:
        return Ink.good
    return Ink.defect if figure.is_worse else Ink.normal


def _section(comparison: Comparison, metric: str, number: int) -> dict[str, Any]:
    """One metric: a row for each category and candidate, and the test across categories."""
    test = comparison.across[metric]
    diagram = None
    if test.friedman is not None:
        names = [candidate.name for candidate in comparison.candidates]
        diagram = {
            name: Markup(
                critical_difference_chart(
                    f"ranks-{name}-{number}",
                    across_text(test, comparison),
                    names,
                    test.friedman.mean_ranks.tolist(),
                    test.friedman.critical_difference,
                    width,
                )
            )
            for name, width in (("wide", WIDE), ("narrow", NARROW))
        }
    return {
        "metric": metric,
        "rows": [
            _row(row, candidate.name, comparison.figures[metric, row, candidate.name])
            for row in comparison.rows
            for candidate in comparison.candidates
        ],
        "across": across_text(test, comparison),
        "diagram": diagram,
    }


def _row(category: str, candidate: str, figure: Figure) -> dict[str, Any]:
    return {
        "category": category,
        "candidate": candidate,
        "figure": figure,
        "interval": interval_text(figure.interval),
        "seeds": _spread(figure.by_seed),
        "difference_interval": interval_text(figure.difference_interval),
        "p": "–" if figure.p_value is None else f"{figure.p_value:.3g}",
    }


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.4f} to {max(values):.4f}" if values else "–"
