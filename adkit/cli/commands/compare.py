"""`adkit compare`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adkit.cli import options as o
from adkit.cli.output import destination, print_table
from adkit.errors import DatasetError, OptionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adkit.comparison.figures import Comparison
    from adkit.comparison.grid import Plan
    from adkit.interfaces import Dataset
    from adkit.registry import Registry

DEFAULT_DATASETS = ("mvtec:bottle", "demo:all")
"""The first that is at hand."""


def compare(
    runs_named: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUNS]...", help="Runs that were fitted before, instead of --methods."),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods", "-m", help="Methods with their defaults, with commas between them; see: adkit list methods"
        ),
    ] = None,
    grid: Annotated[
        Path | None, typer.Option("--grid", help="A TOML file of candidates with options; see docs/comparing.md.")
    ] = None,
    dataset: Annotated[
        list[str] | None, o.datasets("mvtec:bottle where it is found, else the synthetic demo:all")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="How often each is fitted.", show_default="3")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the cells and the results.")] = Path(
        "comparison"
    ),
    max_false_alarms: o.RateOption = None,
    roi: o.RoiOption = None,
    ignore: o.IgnoreOption = None,
    ignore_border: o.IgnoreBorderOption = 0,
    tiles: o.TilesOption = False,
    root: o.RootOption = None,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Compare methods on categories with several seeds, and say which differences are noise.

    Finished cells in the output folder are used again: after Ctrl-C the same command resumes. Writes
    comparison.csv, .json, .md and .html.

    Example: [bold]adkit compare --grid ablation.toml --dataset mvtec:bottle,screw --root DATA --output compare/[/bold]
    """
    from adkit.cli.terminal import terminal_progress
    from adkit.comparison.compare import compare as compare_candidates
    from adkit.comparison.compare import compare_runs
    from adkit.comparison.documents import as_json, metric_rows

    registry, progress = o.loaded_registry(), terminal_progress()
    if runs_named:
        _refuse_both(methods, grid, dataset, seeds, max_false_alarms, roi, ignore, ignore_border or None, tiles or None)
        opened = [o.opened_run(name, runs) for name in runs_named]
        result = compare_runs(opened, registry, root=root, device=device, progress=progress)
    else:
        seeing = {"roi": roi, "ignore": ignore, "ignore_border": ignore_border, "tiles": tiles}
        plan = _plan(methods, grid, seeing)
        try:
            result = compare_candidates(
                plan.candidates,
                _datasets(dataset or plan.datasets, root, registry),
                _seeds(seeds, plan),
                output,
                registry,
                max_false_alarms=max_false_alarms or plan.max_false_alarms,
                device=device,
                progress=progress,
                note=lambda sentence: typer.echo(sentence, err=True),
            )
        except KeyboardInterrupt:
            typer.echo(f"finished cells stay in {output}: the same command resumes from there", err=True)
            raise
    write_comparison(result, output)
    to = destination(format_)
    to.emit(metric_rows(result), as_json(result))
    if to.for_people:
        _print(result)
        typer.echo(f"results: {output}/comparison.html, .md, .csv, .json")


def _refuse_both(*others: Any) -> None:
    if any(other is not None for other in others):
        raise OptionError(
            "runs are compared as they are; --methods, --grid, --dataset, --seeds, --max-false-alarms and places to "
            "look at are for fitting new ones",
            hint="leave the runs out, or the options",
        )


def _plan(methods: str | None, grid: Path | None, seeing: Mapping[str, Any]) -> Plan:
    """Read what is compared; `seeing` says what a candidate sees that does not say so itself."""
    from adkit.comparison.grid import Plan, candidates_of, read_grid

    if (methods is None) == (grid is None):
        found = "both --methods and --grid" if grid else "neither runs nor --methods nor --grid"
        raise OptionError(
            f"compare was given {found}",
            hint="for example: adkit compare --methods patchknn,padim --dataset demo:all; or --grid FILE.toml",
        )
    plan = read_grid(grid) if grid else Plan(candidates_of(methods or ""))
    given = {name: value for name, value in seeing.items() if value}
    return replace(plan, candidates=tuple(replace(one, seeing={**given, **one.seeing}) for one in plan.candidates))


def _seeds(count: int | None, plan: Plan) -> Sequence[int]:
    from adkit.comparison.grid import DEFAULT_SEEDS

    return range(count) if count else plan.seeds or range(DEFAULT_SEEDS)


def _datasets(specs: list[str] | tuple[str, ...] | None, root: Path | None, registry: Registry) -> list[Dataset]:
    """Open the categories that are named, or those of the first default that is at hand, said aloud."""
    from adkit.data.datasets import open_datasets

    if specs:
        return [dataset for spec in specs for dataset in open_datasets(spec, root, registry)]
    first, last = DEFAULT_DATASETS
    try:
        found = open_datasets(first, root, registry)
        typer.echo(f"no --dataset is named: comparing on {first}", err=True)
    except DatasetError:
        typer.echo(f"no --dataset is named and no {first} found: comparing on {last}", err=True)
        found = open_datasets(last, root, registry)
    return found


def write_comparison(result: Comparison, folder: Path) -> None:
    """Write the four files of a comparison."""
    from adkit.comparison.documents import as_json, as_markdown, metric_rows
    from adkit.files.atomic import write_text, write_whole
    from adkit.files.table import csv_text
    from adkit.report.comparison_page import render_comparison

    write_text(folder / "comparison.csv", csv_text(metric_rows(result)))
    write_text(folder / "comparison.json", json.dumps(as_json(result), indent=2) + "\n")
    write_text(folder / "comparison.md", as_markdown(result))
    write_whole(folder / "comparison.html", render_comparison(result).encode(errors="backslashreplace"))


def _print(result: Comparison) -> None:
    """Print decisions, the headline metric with its intervals, all means and cost; the files hold all the rest."""
    from adkit.comparison.documents import (
        across_text,
        cost_rows,
        decision_rows,
        decisions_legend,
        headline,
        interval_text,
        legend,
    )
    from adkit.stats.formatting import metric_text

    means, compared, metric = [], [], headline(result)
    # A column of dashes tells less than the caption, which has the reason.
    defined = {metric for (metric, _, _), figure in result.figures.items() if figure.value is not None}
    for row in result.rows:
        for candidate in result.candidates:
            names = {"category": row, "candidate": candidate.name}
            figures = {one: result.figures[one, row, candidate.name] for one in result.metrics}
            means.append(
                names
                | {
                    one: metric_text(figure.value) + ("*" if figure.is_worse else "")
                    for one, figure in figures.items()
                    if one in defined
                }
            )
            figure = figures[metric]
            compared.append(
                {
                    **names,
                    "mean": figure.value,
                    "interval": interval_text(figure.interval),
                    "seeds": f"{min(figure.by_seed):.4f} to {max(figure.by_seed):.4f}" if figure.by_seed else None,
                    "to the best": "best" if figure.is_best else figure.difference,
                    "its interval": interval_text(figure.difference_interval),
                    "p": None if figure.p_value is None else f"{figure.p_value:.3g}",
                }
            )
    undefined = sorted({figure.why_undefined for figure in result.figures.values() if figure.why_undefined})
    lacking = f" Not shown: {'; '.join(undefined)}." if undefined else ""
    title = "caught and flagged at the runs' own thresholds"
    print_table(title, decision_rows(result), caption=decisions_legend(result), keys=2)
    print_table(metric, compared, caption=across_text(result.across[metric], result), keys=2)
    print_table("means over seeds", means, caption=legend(result) + lacking, keys=2)
    print_table("cost", cost_rows(result), keys=2)
