"""`adkit demo` and `adkit doctor`: what adkit does, and whether it can on this computer."""

from typing import Annotated

import typer
from typer import Option

from adkit.cli import options as o
from adkit.cli.commands.evaluate import print_evaluation
from adkit.cli.commands.fit import print_fitted
from adkit.cli.output import destination, print_table, say
from adkit.errors import USER_FAULT


def demo(
    part: Annotated[str, Option(help="Which synthetic part; see: adkit inspect -d demo:all")] = "washer",
    method: Annotated[str, o.methods()] = "patchknn",
    runs: o.RunsOption = None,
) -> None:
    """Fit, judge and draw on synthetic parts, or clips of a conveyor, that adkit makes itself: no data, no network.

    Example: [bold]adkit demo --part connector[/bold]
    """
    from adkit.data.datasets import open_datasets
    from adkit.evaluation.evaluate import evaluate
    from adkit.evaluation.pictures import redraw, worth_seeing
    from adkit.report.page import write_report
    from adkit.runs.record import FitSettings
    from adkit.workflows.fit import fit

    workplace = o.workplace()
    say("making synthetic data, good and defective, and loading the network (a minute on the first call) …")
    for dataset in open_datasets(f"demo:{part}", None, workplace.registry):
        settings = FitSettings(method=method)
        run = fit(settings, dataset, o.runs_folder(runs), workplace.registry, workplace.progress)
        print_fitted(run)
        result = evaluate(run, workplace)
        print_evaluation(result)
        if result.maps is not None:
            folder, pictures = redraw(result, workplace)
            seen = zip(worth_seeing(result), pictures, strict=True)
            say(f"a picture: {next(path for position, path in seen if result.anomalous[position])}")
            say(f"all pictures: {folder}")
        say(f"the whole report, for a browser: {write_report(run, workplace).path}")
    own, data, new = "good parts", "folder:PATH_TO_GOOD_IMAGES", "NEW_IMAGES/"
    if result.unit.of_clips:
        own, data, new = "videos of normal operation in FOLDER/train/normal/", "clips:FOLDER", "NEW_VIDEO.mp4"
    heatmaps = " --heatmaps maps/" if result.maps is not None and not result.unit.of_clips else ""
    say(f"\nwhat to do next, with your own {own}:")
    say(f"  adkit inspect --dataset {data}")
    say(f"  adkit fit --method {method} --dataset {data}")
    say(f"  adkit score {new} --method {method}{heatmaps}")


def doctor(
    self_test: Annotated[bool, Option(help="Learn from a few drawn parts, and find defects.")] = True,
    runs: o.RunsOption = None,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Say whether this computer can do what adkit does: versions, devices, plugins, weights, data, disk, a self-test.

    Exit code 2 says that something is wrong. The self-test takes half a minute.

    Example: [bold]adkit doctor[/bold]
    """
    from adkit.cli.terminal import terminal_progress
    from adkit.workflows.doctor import examine

    to, registry = destination(format_), o.loaded_registry()
    findings = list(examine(o.runs_folder(runs), registry, terminal_progress(), self_test=self_test))
    rows = [{"what": one.what, "found": one.found, "problem": one.problem} for one in findings]
    to.emit(rows, rows)
    problems = [one for one in findings if one.problem]
    if to.for_people:
        print_table("this computer", [{"what": one.what, "found": one.found} for one in findings])
        for one in problems:
            say(f"{one.what}: {one.problem}", fg="red")
        if not problems:
            say("nothing is wrong", bold=True, fg="green")
    if problems:
        raise typer.Exit(USER_FAULT)
