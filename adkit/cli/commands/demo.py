"""`adkit demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from adkit.cli import options as o
from adkit.cli.commands.evaluate import print_evaluation
from adkit.cli.faults import loaded_registry
from adkit.cli.fitted import print_fitted


def demo(
    part: Annotated[
        str, typer.Option("--part", help="Which synthetic part; see: adkit inspect -d demo:all")
    ] = "washer",
    method: Annotated[str, typer.Option("--method", "-m", help="How to find anomalies.")] = "patchknn",
    runs: o.RunsOption = None,
) -> None:
    """Fit, judge and draw on synthetic parts, or clips of a conveyor, that adkit makes itself: no data, no network.

    Example: [bold]adkit demo --part connector[/bold]
    """
    from adkit.cli.terminal import terminal_progress
    from adkit.data.datasets import open_datasets
    from adkit.evaluation.evaluate import evaluate
    from adkit.evaluation.pictures import redraw, worth_seeing
    from adkit.report.page import write_report
    from adkit.runs.record import FitSettings
    from adkit.runs.store import default_runs_root
    from adkit.workflows.fit import fit

    registry = loaded_registry()
    root = runs or default_runs_root()
    typer.echo("making synthetic data, good and defective, and loading the network (a minute on the first call) …")
    for dataset in open_datasets(f"demo:{part}", None, registry):
        run = fit(FitSettings(method=method), dataset, root, registry, terminal_progress())
        print_fitted(run)
        result = evaluate(run, registry, progress=terminal_progress())
        print_evaluation(result)
        if result.maps is not None:
            folder, pictures = redraw(result, registry)
            seen = zip(worth_seeing(result), pictures, strict=True)
            defect = next(path for position, path in seen if result.anomalous[position])
            typer.echo(f"a picture: {defect}")
            typer.echo(f"all pictures: {folder}")
        typer.echo(f"the whole report, for a browser: {write_report(run, registry).path}")
    if result.clips:
        typer.echo("\nwhat to do next, with your own videos of normal operation in FOLDER/train/normal/:")
        typer.echo("  adkit inspect --dataset clips:FOLDER")
        typer.echo(f"  adkit fit --method {method} --dataset clips:FOLDER")
        typer.echo(f"  adkit score NEW_VIDEO.mp4 --method {method}")
        return
    typer.echo("\nwhat to do next, with your own good parts:")
    typer.echo("  adkit inspect --dataset folder:PATH_TO_GOOD_IMAGES")
    typer.echo(f"  adkit fit --method {method} --dataset folder:PATH_TO_GOOD_IMAGES")
    heatmaps = " --heatmaps maps/" if result.maps is not None else ""
    typer.echo(f"  adkit score NEW_IMAGES/ --method {method}{heatmaps}")
