"""A comparison as rows (CSV), as JSON, as Markdown, and as LaTeX."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from adkit.comparison.cells import Cost
from adkit.comparison.differences import LEVEL, AcrossCategories, Figure
from adkit.comparison.figures import Comparison
from adkit.evaluation.tables import AUROCS, CAUGHT
from adkit.stats.calibration import CERTAINTY
from adkit.stats.rates import Rate, over_seeds
from adkit.stats.significance import Interval

Item = TypeVar("Item")


def legend(comparison: Comparison) -> str:
    """Say what the figures are, and what their intervals are of."""
    return (
        f"Means over seeds; {interval_sources(comparison)}. * is worse than the best of its category by more than the "
        f"noise of the {comparison.things} (p < {LEVEL:g} after Holm over all pairs)."
    )


def interval_sources(comparison: Comparison) -> str:
    """Say where intervals come from."""
    sources = (
        f"intervals of {CERTAINTY:.0%} from resampled test images, of what is caught or flagged after Clopper and "
        "Pearson, of image_auroc after DeLong"
    )
    if not comparison.of_clips:
        return sources
    by_clip = (
        f"intervals of {CERTAINTY:.0%} are by clip: whole test clips are resampled, their frames being alike; "
        "where nothing or all is caught, clips are counted"
    )
    return by_clip if comparison.things == "test clips" else f"{sources}; of videos, {by_clip}"


def metric_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each metric, category and candidate."""
    return [
        {
            "metric": metric,
            "category": category,
            "candidate": candidate,
            "value": figure.value,
            **_bounds("", figure.interval),
            "lowest_seed": min(figure.by_seed, default=None),
            "highest_seed": max(figure.by_seed, default=None),
            "best": figure.is_best,
            "difference_to_best": figure.difference,
            **_bounds("difference_", figure.difference_interval),
            "p_value": figure.p_value,
            "worse_than_best": figure.is_worse,
            "why_undefined": figure.why_undefined,
        }
        for (metric, category, candidate), figure in comparison.figures.items()
    ]


def decision_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each category and candidate: what the runs' thresholds do to the test split, seed by seed."""
    rows, uneven = [], len({one.at for one in comparison.decisions.values()}) > 1
    for (category, name), decisions in comparison.decisions.items():
        # Images and clips may stand in one table, so both have the same columns.
        events, clips = ("", "") if decisions.unit == "image" else (" events", f" normal {decisions.unit}s")
        interval: Interval | None
        share, interval = over_seeds(decisions.caught)
        if decisions.unit != "image":  # events of one clip are alike: the metric's interval is by clip
            figure = comparison.figures.get((CAUGHT, category, name), Figure(share))
            share, interval = figure.value, figure.interval
        rows.append(
            {
                "category": category,
                "candidate": name,
                "caught": f"{counts_text(decisions.caught)}{events}",
                "caught %": _percent(share, interval),
                "flagged": f"{counts_text(decisions.false_alarms)}{clips}",
                "flagged %": _percent(*over_seeds(decisions.false_alarms)),
                "promised": f"{decisions.promised:.1f}, ≤ {decisions.promised_most}",
                **({"at": decisions.at.replace("the promised ", "")} if uneven else {}),
            }
        )
    return rows


def decision_counts(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each category, candidate and seed, for programs: what is caught and flagged, of how many."""
    return [
        {
            "category": category,
            "candidate": name,
            "seed": seed,
            "caught": caught.count,
            "anomalous": caught.total,
            "flagged": flagged.count,
            "good": flagged.total,
            "promised": one.promised,
            "promised_most": one.promised_most,
            "at": one.at,
        }
        for (category, name), one in comparison.decisions.items()
        for seed, caught, flagged in zip(one.seeds, one.caught, one.false_alarms, strict=True)
    ]


def cost_figures(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each category and candidate, for programs: what it costs."""
    return _placed(comparison.expenses, asdict)


def decisions_legend(comparison: Comparison) -> str:
    """Say what the columns of the decisions are."""
    rules = {one.at for one in comparison.decisions.values()}
    where = f"All at {rules.pop()}." if len(rules) == 1 else "Where promises differ, the looser one catches more."
    return (
        f"{where} Caught: of what is anomalous; flagged: of what is good; a count for each seed, their mean in percent "
        f"and its {CERTAINTY:.0%} interval. Promised: how many of the good are flagged on average and, with "
        f"{CERTAINTY:.0%} certainty, at most."
    )


def _percent(share: float | None, interval: Interval | None) -> str | None:
    """Write "67 (58 to 76)", below ten with a decimal: "6.2 (0.8 to 21)"; None without a share."""
    if share is None:
        return None
    shares = [share, interval.low, interval.high] if interval else [share]
    texts = [f"{100 * one:.0f}" if one >= 0.0995 else f"{100 * one:.1f}" for one in shares]
    return f"{texts[0]} ({texts[1]} to {texts[2]})" if interval else texts[0]


def cost_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a row for each category and candidate: time, memory and size."""

    def cells(expense: Cost) -> dict[str, str | None]:
        return {
            "fit s": f"{expense.fit_s:.1f}",
            "ms/frame" if comparison.of_clips else "ms/image": f"{expense.predict_ms:.1f}",
            "decode ms": f"{expense.decode_ms:.1f}",
            "peak MB": f"{expense.peak_memory_bytes / 1e6:.0f}" if expense.peak_memory_bytes else None,
            "model MB": f"{expense.model_bytes / 1e6:.3g}",
        }

    return _placed(comparison.expenses, cells)


def _placed(found: Mapping[tuple[str, str], Item], cells: Callable[[Item], Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each category and candidate, in which `cells` stand after their names."""
    return [{"category": category, "candidate": name, **cells(one)} for (category, name), one in found.items()]


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything, for programs."""
    return {
        "candidates": [
            {"name": one.name, **one.settings.model_dump(mode="json", exclude_defaults=True)}
            for one in comparison.candidates
        ],
        "categories": list(comparison.categories),
        "seeds": list(comparison.seeds),
        "of_clips": sorted(comparison.of_clips),
        "figures": metric_rows(comparison),
        "by_seed": [
            {"metric": metric, "category": category, "candidate": name, "values": list(figure.by_seed)}
            for (metric, category, name), figure in comparison.figures.items()
        ],
        "decisions": _placed(comparison.decisions, asdict),
        "cost": cost_figures(comparison),
        "across_categories": {metric: _across(test) for metric, test in comparison.across.items()},
        "runs": _placed(comparison.runs, lambda folders: {"folders": list(folders)}),
        "failures": [
            {"category": category, "candidate": name, "seed": seed, "why": why}
            for (category, name, seed), why in comparison.failures.items()
        ],
    }


def as_markdown(comparison: Comparison) -> str:
    """Return tables for a README: decisions, then one for each metric, then cost."""
    lines = [
        "# Comparison",
        "",
        f"{legend(comparison)} The best is bold. Seeds: {', '.join(map(str, comparison.seeds))}.",
        "",
    ]
    lines += _section("Caught and flagged", decision_rows(comparison), decisions_legend(comparison))
    for metric in comparison.metrics:
        lines += [f"## {metric}", "", *_table(["candidate", *map(_escaped, comparison.rows)])]
        for candidate in comparison.candidates:
            figures = [comparison.figures[metric, row, candidate.name] for row in comparison.rows]
            lines.append(_line([_escaped(candidate.name), *map(figure_text, figures)]))
        lines += ["", across_text(comparison.across[metric], comparison), ""]
    lines += _section("Cost", cost_rows(comparison))
    return "\n".join(lines).rstrip() + "\n"


def as_latex(comparison: Comparison) -> str:
    """Return a table for a paper, to \\input beside booktabs: each metric's means and intervals, the best in bold."""
    columns = ["metric", "candidate", *comparison.rows]
    lines = [rf"\begin{{tabular}}{{{'l' * len(columns)}}}", r"\toprule", _latex_line(map(_latex, columns))]
    for metric in comparison.metrics:
        lines.append(r"\midrule")
        for candidate in comparison.candidates:
            figures = (comparison.figures[metric, row, candidate.name] for row in comparison.rows)
            texts = (figure_text(one) if one.value is not None else "–" for one in figures)
            bold = (re.sub(r"\*\*(.*)\*\*", r"\\textbf{\1}", text) for text in texts)
            lines.append(_latex_line([_latex(metric), _latex(candidate.name), *bold]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _latex(name: str) -> str:
    """Return a name, which may be any text, as LaTeX that shows it."""
    words = {"\\": "textbackslash", "~": "textasciitilde", "^": "textasciicircum"}
    return re.sub(r"[\\~^&%$#_{}]", lambda one: rf"\{words[one[0]]}{{}}" if one[0] in words else "\\" + one[0], name)


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(" ".join(cell.split()) for cell in cells) + r" \\"


def _section(title: str, rows: list[dict[str, Any]], text: str = "") -> list[str]:
    if not rows:  # no candidate has all its seeds
        return []
    cells = [_line(["–" if value is None else _escaped(str(value)) for value in row.values()]) for row in rows]
    return [f"## {title}", "", *_table(list(rows[0])), *cells, "", *([text, ""] if text else [])]


def headline(comparison: Comparison) -> str:
    """Return the metric that stands for the others where there is room for one."""
    return next((name for name in (CAUGHT, *AUROCS) if name in comparison.metrics), comparison.metrics[0])


def figure_text(figure: Figure) -> str:
    """Write a figure in Markdown: "**0.983** (0.962 to 0.995)", or why there is none."""
    if figure.value is None:
        return f"– ({figure.why_undefined})"
    value = f"**{figure.value:z.4f}**" if figure.is_best else f"{figure.value:z.4f}{'*' if figure.is_worse else ''}"
    return f"{value} ({interval_text(figure.interval)})" if figure.interval else value


def interval_text(interval: Interval | None) -> str:
    """Write "0.962 to 0.995", or a dash."""
    return f"{interval.low:z.4f} to {interval.high:z.4f}" if interval else "–"


def across_text(test: AcrossCategories, comparison: Comparison) -> str:
    """Write the test across categories in a sentence."""
    if test.p_value is None:
        return f"No test across categories: {test.why_not}."
    across = f"Across {test.categories} categories"
    if test.friedman is None:
        return f"{across}: Wilcoxon signed-rank, p = {test.p_value:.3g} after Holm over the metrics."
    ranks = ", ".join(
        f"{candidate.name} {rank:.2f}"
        for candidate, rank in sorted(
            zip(comparison.candidates, test.friedman.mean_ranks.tolist(), strict=True), key=lambda pair: pair[1]
        )
    )
    return (
        f"{across}: Friedman, p = {test.p_value:.3g} after Holm over the metrics; mean ranks {ranks}; "
        f"Nemenyi: ranks that differ by less than {test.friedman.critical_difference:.2f} are noise at 5%."
    )


def counts_text(rates: tuple[Rate, ...]) -> str:
    """Write one count for each seed: "0, 1, 0 of 41"."""
    return f"{', '.join(str(rate.count) for rate in rates)} of {rates[0].total}"


def _across(test: AcrossCategories) -> dict[str, Any]:
    found = test.friedman
    return {
        "why_not": test.why_not,
        "categories": test.categories,
        "p_value": test.p_value,
        "mean_ranks": found.mean_ranks.tolist() if found else None,
        "critical_difference": found.critical_difference if found else None,
        "nemenyi": found.pairwise.tolist() if found else None,
    }


def _bounds(prefix: str, interval: Interval | None) -> dict[str, float | None]:
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {f"{prefix}low": low, f"{prefix}high": high}


def _escaped(name: str) -> str:
    """Return a name, which may be any text, as Markdown that shows it."""
    return re.sub(r"([\\`*<>\[\]])", r"\\\1", name)


def _table(headings: list[str]) -> list[str]:
    return [_line(headings), _line(["---"] * len(headings))]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").splitlines()) for cell in cells) + " |"
