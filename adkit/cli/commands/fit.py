"""`adkit fit`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from adkit.cli import options as o
from adkit.cli.calibration import print_left_out, print_threshold, promise_row, warn_of_suspects
from adkit.cli.output import destination, say, tell, warn
from adkit.errors import OptionError
from adkit.stats.formatting import counted, duration_text

if TYPE_CHECKING:
    from adkit.interfaces import Dataset
    from adkit.registry import Registry
    from adkit.runs.record import FitSettings
    from adkit.runs.store import Run
    from adkit.runs.unfinished import Unfinished

_FREE = {"resume", "runs", "device", "format_", "verbose", "profile"}
"""Options that do not change what is learned."""


def fit(
    context: typer.Context,
    method: Annotated[str | None, o.methods("of clips patchknn; else needed unless --resume is given")] = None,
    dataset: Annotated[list[str] | None, o.datasets("needed unless --resume is given")] = None,
    settings: o.SettingsOption = None,
    root: o.RootOption = None,
    scorer: o.ScorerOption = None,
    max_false_alarms: o.RateOption = None,
    certain: o.CertainOption = False,
    percentile: o.PercentileOption = None,
    joint: Annotated[
        bool,
        Option("--joint", help="Learn one model from all categories together; each still gets a threshold of its own."),
    ] = False,
    leave_out: Annotated[
        list[str] | None,
        Option(
            metavar="NAMES",
            help="Neither learn from these images or clips nor set the threshold by them: names with commas between, "
            "as fit prints them, their files, or a .txt file with a name on each line. May be given several times.",
        ),
    ] = None,
    robust: Annotated[
        bool,
        Option(
            "--robust",
            help="Leave out also what scores far apart from all the rest, as hidden defects do, and learn anew.",
        ),
    ] = False,
    few: Annotated[
        int | None,
        o.counting(
            "--few",
            "Learn from K images of each category only, drawn by the seed; all others set the threshold.",
            "all that the method may learn from",
        ),
    ] = None,
    roi: o.RoiOption = None,
    ignore: o.IgnoreOption = None,
    ignore_border: o.IgnoreBorderOption = 0,
    tiles: o.TilesOption = False,
    appearance_only: Annotated[
        bool, Option("--appearance-only", help="Of clips, judge what each frame looks like, and not how things move.")
    ] = False,
    every: Annotated[
        int | None,
        o.counting(
            "--every",
            "Of clips, learn from and judge one in K frames.",
            "about eight frames a second; all for methods with a memory",
        ),
    ] = None,
    smoothing: Annotated[
        float | None,
        o.seconds("--smoothing", "Of clips, smooth the frames' scores over the past by this time constant.", "0.2"),
    ] = None,
    seed: Annotated[int, Option(min=0, help="Same seed, same data, same result.")] = 0,
    name: Annotated[
        str | None, Option(metavar="NAME", help="Call the run that: --run NAME then means the newest run of that name.")
    ] = None,
    resume: Annotated[
        str | None,
        Option(
            metavar="RUN",
            help="Resume a training that was interrupted: its id, or latest. The other options are as they were.",
        ),
    ] = None,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    profile: o.ProfileOption = False,
    verbose: Annotated[bool, Option("--verbose", "-v", help="Say also what the method tells of itself.")] = False,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Learn from good images, and set the threshold from them.

    Writes one run folder for each category. Only the training split is read. When a category fails, the runs
    of those before it stay, and are printed; with --joint there are then none.

    Example: [bold]adkit fit --method patchknn --dataset folder:parts --max-false-alarms 1%[/bold]

    One model for two categories: [bold]adkit fit --method patchknn --dataset mvtec:bottle,screw --joint[/bold]

    From videos: [bold]adkit fit --dataset clips:videos/[/bold]

    From four images: [bold]adkit fit --method patchknn --dataset mvtec:bottle --few 4[/bold]

    After a training was interrupted: [bold]adkit fit --resume latest[/bold]
    """
    from adkit.cli.terminal import terminal_progress
    from adkit.data.datasets import open_datasets
    from adkit.workflows.fit import FOR_CLIPS, check_settings, fit_joint, usual_method

    to, registry, runs_root, begun = destination(format_), o.loaded_registry(), o.runs_folder(runs), None
    if resume is not None:
        begun, wanted, datasets = _resumed(resume, context, runs_root, registry)
        groups = [datasets]
    else:
        if not dataset:
            example = "for example: adkit fit --method patchknn --dataset folder:good_parts/"
            raise OptionError("--dataset is not given", hint=example)
        wanted = o.settings_of({**context.params, "method": method or FOR_CLIPS})
        check_settings(wanted, registry)
        datasets = [one for spec in wanted.dataset for one in open_datasets(spec, root, registry)]
        if not method:
            tell(usual_method(datasets))
        groups = _grouped(datasets, wanted)
    progress = terminal_progress()
    rows = list[dict[str, object]]()
    try:
        with progress.task("category", len(groups)) as advance:
            for group in groups:
                tell(*(note for one in group for note in one.notes()))
                for run in fit_joint(wanted, group, runs_root, registry, progress, resume=begun):
                    progress.hide()
                    rows.append(_row(run))
                    warn_of_suspects(run)
                    warn(*run.record.notes)
                    if to.for_people:
                        print_fitted(run, verbose=verbose)
                    elif to.format is not o.Format.json:
                        to.emit(rows[-1:], None, header=len(rows) == 1)
                advance(1)
    finally:
        if to.format is o.Format.json and rows:  # one document at the end, also when a later fit failed
            to.emit(rows, rows if len(datasets) > 1 else rows[0])


def _grouped(datasets: list[Dataset], settings: FitSettings) -> list[list[Dataset]]:
    """Put together what is learned from together; raises OptionError where that does not go with the categories."""
    if settings.name and len(datasets) > 1:
        hint = "fit them one after another, each with a name of its own"
        raise OptionError(f"--name is for one run, and there are {len(datasets)} categories", hint=hint)
    if not settings.joint:
        if settings.leave_out and len(datasets) > 1:
            hint = "fit them one after another, or --joint"
            raise OptionError(f"--leave-out is for one category, and there are {len(datasets)}", hint=hint)
        return [[dataset] for dataset in datasets]
    if len(datasets) == 1:
        told = f"--joint learns from several categories, and {datasets[0].spec} is one"
        raise OptionError(told, hint="leave --joint out, or name more: --dataset mvtec:bottle,screw")
    return [datasets]


def _resumed(
    name: str, context: typer.Context, runs_root: Path, registry: Registry
) -> tuple[Unfinished, FitSettings, list[Dataset]]:
    """Find the unfinished fit of that name, what it was asked for, and its data, which the command line may not say."""
    from adkit.data.datasets import open_datasets
    from adkit.runs.unfinished import find_unfinished

    settled = (parameter for parameter in context.params if parameter not in _FREE)
    for option in (o.option_of(context, parameter) for parameter in settled if o.is_given(context, parameter)):
        told = f"--resume takes the options that the fit began with, and {option} was given"
        raise OptionError(told, hint=f"leave {option} out, or fit anew without --resume")
    begun = find_unfinished(runs_root, name)
    device = {"device": context.params["device"]} if o.is_given(context, "device") else {}
    datasets = [
        dataset
        for category in begun.categories
        for dataset in open_datasets(category.dataset, Path(category.root) if category.root else None, registry)
    ]
    return begun, begun.settings.model_copy(update=device), datasets


def print_fitted(run: Run, *, verbose: bool = False) -> None:
    """Print what the run promises, what was learned, and what to do next."""
    from adkit.runs.store import folders_called

    record = run.record
    say(f"run {record.id}", bold=True)
    if record.settings.name and (earlier := folders_called(run.folder.parent, record.settings.name)[:-1]):
        say(f"  --run {record.settings.name} means this one by now, and no longer {earlier[-1].name}")
    print_threshold(record)
    took = duration_text(sum(record.timings_s.values()))
    learned = counted(record.train_count, f"normal {record.threshold.words.sample}")
    say(f"  learned from {learned} of {record.dataset} in {took} ({record.origin})")
    say(f"  {record.view.in_words()}")
    if record.settings.few is not None:
        seed = record.settings.seed
        say(f"  drawn by seed {seed} of the training split, whose other images set the threshold")
    if record.joint:
        others = ", ".join(f"{count} of {spec}" for spec, count in record.learned_with.items())
        say(f"  and from {others}: one model; the threshold is of {record.dataset} alone")
    if record.skipped:
        files = counted(len(record.skipped), "file")
        say(f"  left out {files} that cannot be read: {', '.join(record.skipped[:3])}")
    if record.copies:
        copies = counted(len(record.copies), record.threshold.unit)
        say(f"  left out {copies} of which there are copies: {', '.join(record.copies[:3])}")
    print_left_out(record)
    for name, value in record.facts.items():
        if verbose or name.endswith("recall"):
            shown = f"{value:.1%}" if isinstance(value, float) and name.endswith("recall") else value
            say(f"  {name.replace('_', ' ')}: {shown}")
    say(f"  folder {run.folder}")
    name = shlex.quote(run.argument)
    say(f"  next: adkit score FILES --run {name}   or, where there are test images, adkit eval --run {name}")


def _row(run: Run) -> dict[str, object]:
    record = run.record
    return {
        "run": record.id,
        "folder": str(run.folder),
        "method": record.method,
        "dataset": record.dataset,
        "train_count": record.train_count,
        "few": record.settings.few,
        "left_out": [one.name for one in record.left_out],
        "learned_with": ", ".join(record.learned_with),  # other categories; as text: CSV knows no lists
        "learned_with_count": sum(record.learned_with.values()),
        **promise_row(record),
        "fit_s": record.timings_s["fit"],
        "calibrate_s": record.timings_s["calibrate"],
    }
