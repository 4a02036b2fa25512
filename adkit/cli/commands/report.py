"""`adkit report` and `adkit export`: a run for people, and for programs without adkit."""

from pathlib import Path
from typing import Annotated

from typer import Argument

from adkit.cli import options as o
from adkit.cli.output import say, warn


def report(
    run: o.RunArgument = "latest",
    output: Annotated[
        Path | None,
        o.place("--output", "-o", help="Write the page to this file.", show_default="report.html in the run"),
    ] = None,
    root: o.RootOption = None,
    runs: o.RunsOption = None,
    device: o.DeviceOption = "auto",
    skip_bad: o.SkipBadOption = False,
) -> None:
    """Make a page of a run for people: one HTML file with all charts and pictures, which needs no network.

    The run is judged as eval does it; what an earlier eval stored is used again.

    Example: [bold]adkit report latest --output report.html[/bold]
    """
    from adkit.report.page import write_report

    page = write_report(o.opened_run(run, runs), o.workplace(root, device, skip_bad=skip_bad), output)
    warn(*page.notes)
    say(f"report: {page.path}")


def export(
    run: o.RunArgument,
    out: Annotated[Path, Argument(metavar="OUT", help="A new folder, or a .zip.")],
    root: o.RootOption = None,
    runs: o.RunsOption = None,
) -> None:
    """Take a run out: a folder that judges images, or clips, without adkit and torch, and decides the same.

    It holds an ONNX model, its threshold, some images to check it with, and score.py, which needs numpy, onnxruntime
    and pillow only, and av for videos. Normal images of the run, and spoilt ones, are judged by both; where they
    decide differently, nothing is written. A run on clips can leave where it was fitted with --appearance-only.

    Example: [bold]adkit export latest bracket.adkit[/bold], then [bold]python bracket.adkit/score.py parts/*.png[/bold]
    """
    from adkit.export.export import export as export_run

    opened = o.opened_run(run, runs)
    done = export_run(opened, o.workplace(root), out)
    unit = opened.record.threshold.words
    what = "frames of clips" if unit.of_clips else "images"
    say(
        f"{out} decides as the run does: no other decision on {done.normal} normal and {done.spoilt} spoilt {what}",
        bold=True,
        fg="green",
    )
    size = f"the model has {done.model_mb:.0f} MB"
    say(f"  scores differ by at most {done.difference:.1g} of the threshold; {size}")
    first, script = ("unpack it; then", "score.py") if out.suffix.lower() == ".zip" else ("next", out / "score.py")
    say(f"  {first}: python {script} {unit.whole.upper()}S   or   python {script} --check")
