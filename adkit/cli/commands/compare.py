"""`adkit compare`."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from adkit.cli import options as o
from adkit.cli.output import destination, print_table, say, tell
from adkit.errors import DatasetError, OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adkit.comparison.figures import Comparison
    from adkit.comparison.grid import Plan
    from adkit.interfaces import Dataset
    from adkit.registry import Registry

DEFAULT_DATASETS = ("mvtec:bottle", "demo:all")
"""The first that is at hand."""
_OF_FITS = ("methods", "grid", "dataset", "settings", "seeds", "max_false_alarms")


def compare(
    context: typer.Context,
    runs_named: Annotated[
        list[str] | None, Argument(metavar="[RUNS]...", help="Runs that were fitted before, instead of --methods.")
    ] = None,
    methods: Annotated[
        str | None,
        Option(
            "--methods", "-m", help="Methods with their defaults, with commas between them; see: adkit list methods"
        ),
    ] = None,
    grid: Annotated[Path | None, Option(help="A TOML file of candidates with options; see docs/comparing.md.")] = None,
    dataset: Annotated[
        list[str] | None, o.datasets("mvtec:bottle where it is found, else the synthetic demo:all")
    ] = None,
    settings: o.SettingsOption = None,
    seeds: Annotated[int | None, Option(min=1, max=1000, help="How often each is fitted.", show_default="3")] = None,
    output: Annotated[
        Path, o.place("--output", "-o", help="Folder of the cells and the results.", show_default="comparison")
    ] = Path("comparison"),
    max_false_alarms: o.RateOption = None,
    roi: o.RoiOption = None,
    ignore: o.IgnoreOption = None,
    ignore_border: o.IgnoreBorderOption = 0,
    tiles: o.TilesOption = False,
    root: o.RootOption = None,
    device: o.DeviceOption = "auto",
    engine: o.EngineOption = "local",
    runs: o.RunsOption = None,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Compare methods on categories with several seeds, and say which differences are noise.

    Finished cells in the output folder are used again: after Ctrl-C the same command resumes. Writes
    comparison.csv, .json, .md, .tex and .html, decisions.csv (caught and flagged, by seed) and cost.csv. --set is
    for all candidates that do not set the option themselves.

    Example: [bold]adkit compare --grid ablation.toml --dataset mvtec:bottle,screw --root DATA --output compare/[/bold]
    """
    from adkit.comparison.compare import compare as compare_candidates
    from adkit.comparison.compare import compare_runs
    from adkit.comparison.documents import as_json, metric_rows
    from adkit.comparison.grid import DEFAULT_SEEDS
    from adkit.data.outputs import require_folder
    from adkit.runs.record import SEEING

    require_folder(output)
    workplace = o.workplace(root, device)
    if runs_named:
        if methods and set(runs_named) <= set(workplace.registry.methods.entries):
            hint = f"write --methods {','.join([methods.strip(','), *runs_named])}"
            raise OptionError(f"{', '.join(runs_named)} stands behind --methods, as runs would", hint=hint)
        o.refuse_given(context, [*_OF_FITS, *SEEING], "is for fitting anew, and runs are compared as they are")
        opened = [o.opened_run(name, runs) for name in runs_named]
        result = compare_runs(opened, workplace)
    else:
        plan = _plan(methods, grid, settings or [], {name: context.params[name] for name in SEEING})
        try:
            result = compare_candidates(
                plan.candidates,
                _datasets(dataset or plan.datasets, root, workplace.registry),
                range(seeds) if seeds else plan.seeds or range(DEFAULT_SEEDS),
                output,
                workplace,
                max_false_alarms=max_false_alarms or plan.max_false_alarms,
                engine=engine,
                note=tell,
            )
        except KeyboardInterrupt:
            tell(f"finished cells stay in {output}: the same command resumes from there")
            raise
    write_comparison(result, output)
    to = destination(format_)
    to.emit(metric_rows(result), as_json(result))
    if to.for_people:
        _print(result)
        say(f"results: {output}/comparison.html, .md, .tex, .csv, .json; decisions.csv, cost.csv")


def _plan(methods: str | None, grid: Path | None, settings: list[str], seeing: Mapping[str, Any]) -> Plan:
    """Read what is compared; `settings`, and `seeing`, are for each candidate that does not say so itself."""
    from adkit.comparison.grid import Plan, candidates_of, read_grid
    from adkit.options import split_assignments
    from adkit.runs.record import FitSettings

    if (methods is None) == (grid is None):
        found = "both --methods and --grid" if grid else "neither runs nor --methods nor --grid"
        hint = "for example: adkit compare --methods patchknn,padim --dataset demo:all; or --grid FILE.toml"
        raise OptionError(f"compare was given {found}", hint=hint)
    plan = read_grid(grid) if grid else Plan(candidates_of(methods or ""))
    options = split_assignments(settings, example="--set size=256")
    given = {name: value for name, value in seeing.items() if value}
    candidates = []
    for one in plan.candidates:
        own = one.settings.model_dump(exclude_unset=True)
        own["options"] = options | one.settings.options
        candidates.append(replace(one, settings=FitSettings(**given | own)))
    return replace(plan, candidates=tuple(candidates))


def _datasets(specs: list[str] | tuple[str, ...] | None, root: Path | None, registry: Registry) -> list[Dataset]:
    """Open the categories that are named, or those of the first default that is at hand, said aloud."""
    from adkit.data.datasets import open_datasets

    if specs:
        return [dataset for spec in specs for dataset in open_datasets(spec, root, registry)]
    first, last = DEFAULT_DATASETS
    try:
        found = open_datasets(first, root, registry)
        tell(f"no --dataset is named: comparing on {first}")
    except DatasetError:
        tell(f"no --dataset is named and no {first} found: comparing on {last}")
        found = open_datasets(last, root, registry)
    return found


def write_comparison(result: Comparison, folder: Path) -> None:
    """Write the files of a comparison."""
    from adkit.comparison.documents import as_json, as_latex, as_markdown, cost_figures, decision_counts, metric_rows
    from adkit.files.atomic import write_text, write_whole
    from adkit.files.table import csv_text
    from adkit.report.comparison_page import render_comparison

    write_text(folder / "comparison.csv", csv_text(metric_rows(result)))
    write_text(folder / "decisions.csv", csv_text(decision_counts(result)))
    write_text(folder / "cost.csv", csv_text(cost_figures(result)))
    write_text(folder / "comparison.json", json.dumps(as_json(result), indent=2) + "\n")
    write_text(folder / "comparison.md", as_markdown(result))
    write_text(folder / "comparison.tex", as_latex(result))
    write_whole(folder / "comparison.html", render_comparison(result).encode(errors="backslashreplace"))


def _print(result: Comparison) -> None:
    """Print decisions, the headline metric with its intervals, all means and cost; the files hold all the rest."""
    from adkit.comparison import documents

    metric = documents.headline(result)
    shown = (figure for (_, category, _), figure in result.figures.items() if category in result.categories)
    undefined = sorted({figure.why_undefined for figure in shown if figure.why_undefined})
    lacking = f" Not shown: {'; '.join(undefined)}." if undefined else ""
    title, decided = "caught and flagged at the runs' own thresholds", documents.decision_rows(result)
    print_table(title, decided, caption=documents.decisions_legend(result), keys=2)
    across = documents.across_text(result.across[metric], result)
    print_table(metric, _compared(result, metric), caption=across, keys=2)
    print_table("means over seeds", _means(result), caption=documents.legend(result) + lacking, keys=2)
    print_table("cost", documents.cost_rows(result), keys=2)


def _means(result: Comparison) -> list[dict[str, Any]]:
    """Return a row of means for each category and candidate."""
    from adkit.stats.formatting import metric_text

    # A column of dashes tells less than the caption, which has the reason.
    defined = {metric for (metric, _, _), figure in result.figures.items() if figure.value is not None}
    rows = []
    for row, candidate in product(result.rows, result.candidates):
        figures = {name: result.figures[name, row, candidate.name] for name in result.metrics if name in defined}
        shown = {name: metric_text(one.value) + ("*" if one.is_worse else "") for name, one in figures.items()}
        rows.append({"category": row, "candidate": candidate.name, **shown})
    return rows


def _compared(result: Comparison, metric: str) -> list[dict[str, Any]]:
    """Return a row of one metric for each category and candidate, with intervals and differences."""
    from adkit.comparison.documents import interval_text

    return [
        {
            "category": row,
            "candidate": candidate.name,
            "mean": (figure := result.figures[metric, row, candidate.name]).value,
            "interval": interval_text(figure.interval),
            "seeds": f"{min(figure.by_seed):.4f} to {max(figure.by_seed):.4f}" if figure.by_seed else None,
            "to the best": "best" if figure.is_best else figure.difference,
            "its interval": interval_text(figure.difference_interval),
            "p": None if figure.p_value is None else f"{figure.p_value:.3g}",
        }
        for row, candidate in product(result.rows, result.candidates)
    ]
