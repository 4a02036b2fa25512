"""The page of a comparison."""

from collections.abc import Sequence

from adkit.comparison import documents
from adkit.comparison.differences import LEVEL
from adkit.comparison.figures import ALL, Comparison
from adkit.evaluation.tables import CAUGHT
from adkit.report import plots
from adkit.report.charts import Axis, Chart, ChartRow, Ink, row_chart
from adkit.report.page import render


def render_comparison(comparison: Comparison) -> str:
    """Return the page's HTML; the same comparison gives the same text."""
    chief = documents.headline(comparison)
    rows = sorted(comparison.rows, key=lambda row: row != ALL)  # the summary first
    return render(
        "comparison.html.jinja",
        {
            "comparison": comparison,
            "title": " · ".join(candidate.name for candidate in comparison.candidates),
            "sentences": [_sentence(comparison, chief, row) for row in rows],
            "charts": {row: _intervals(comparison, chief, row) for row in rows},
            "undefined": _undefined(comparison),
            "metrics": [chief, *(metric for metric in comparison.metrics if metric != chief)],
            "across": {name: documents.across_text(test, comparison) for name, test in comparison.across.items()},
            "diagrams": {name: _diagram(comparison, name) for name in comparison.across},
            "documents": documents,
            "level": LEVEL,
        },
    )


def _undefined(comparison: Comparison) -> dict[str, str]:
    """Say why, for each metric that has no value anywhere."""
    figures = {name: [one for key, one in comparison.figures.items() if key[0] == name] for name in comparison.metrics}
    return {
        name: str(found[0].why_undefined)
        for name, found in figures.items()
        if found and all(one.value is None for one in found)
    }


def _sentence(comparison: Comparison, metric: str, row: str) -> str:
    """Say which candidate is best in a category, or in all, and which are not told apart from it."""
    figures = {one.name: comparison.figures[metric, row, one.name] for one in comparison.candidates}
    best = [name for name, one in figures.items() if one.is_best]
    if not best:
        return f"{row}: {metric} is not defined."
    value = next(one.value for one in figures.values() if one.is_best)
    promises = {one.at for (place, _), one in comparison.decisions.items() if place == row and metric == CAUGHT}
    promise = " Their promises differ, and the looser one catches more." if len(promises) > 1 else ""
    highest = f"{best[0]} is highest" if len(best) == 1 else f"{', '.join(best)} are equally high"
    if row == ALL:
        return f"{row}: {highest} on average ({value:.4f}).{promise}"
    worse = [name for name, one in figures.items() if one.is_worse]
    noise = [name for name, one in figures.items() if one.value is not None and name not in (*best, *worse)]
    text = f"{row}: {highest} ({value:.4f})"
    if worse:
        text += f"; above {', '.join(worse)} by more than the {comparison.things}' noise"
    if noise:
        text += f"; not told apart from {', '.join(noise)}"
    return f"{text}.{promise}"


def _intervals(comparison: Comparison, metric: str, row: str) -> Chart | None:
    """Draw the headline figures of one category; None when no interval is known."""
    rows = []
    for candidate in comparison.candidates:
        figure = comparison.figures[metric, row, candidate.name]
        ink: Ink = "good" if figure.is_best else "defect" if figure.is_worse else "normal"
        if figure.value is not None:
            low, high = (figure.interval.low, figure.interval.high) if figure.interval else (None, None)
            rows.append(ChartRow(candidate.name, ink, low, figure.value, high))
    if all(row.low is None for row in rows):
        return None
    label = f"{metric} on {row}, with 95% intervals: " + ", ".join(f"{one.title} {one.middle:.4f}" for one in rows)
    return row_chart(label, rows, Axis.around(metric, [value for one in rows for value in one.values()]))


def _diagram(comparison: Comparison, metric: str) -> Chart | None:
    found = comparison.across[metric].friedman
    if found is None:
        return None
    names: Sequence[str] = [candidate.name for candidate in comparison.candidates]
    label = documents.across_text(comparison.across[metric], comparison)
    return plots.critical_difference(label, names, found.mean_ranks.tolist(), found.critical_difference)
