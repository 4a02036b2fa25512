"""`adkit calibrate`, `restore`, `update`, `feedback` and `audit`: what further good images are for."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from adkit.cli import options as o
from adkit.cli.calibration import name_suspects, print_threshold, promise_row, warn_of_scores
from adkit.cli.output import destination, print_table, say, say_places, tell, warn
from adkit.errors import PROMISE_BROKEN, OptionError
from adkit.stats.formatting import counted, verb


def calibrate(
    run: o.RunArgument,
    normal: o.NormalOption = None,
    max_false_alarms: Annotated[str | None, o.rate("the rule that the run has")] = None,
    certain: o.CertainOption = False,
    percentile: o.PercentileOption = None,
    keep: Annotated[bool, Option("--keep", help="Add the images to those that set the threshold so far.")] = False,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Set a run's threshold anew from good images; the model is not touched.

    Without --normal the scores that the run has are used with another rate. Images that the run learned from
    are left out.

    Example: [bold]adkit calibrate latest --normal more_good_images/ --max-false-alarms 0.5%[/bold]
    """
    from adkit.stats.calibration import rule_of
    from adkit.workflows.calibrate import recalibrate

    rule = rule_of(max_false_alarms, certain, percentile)
    if not normal and rule is None:
        hint = "add --normal DIR, --max-false-alarms 0.5%, or both"
        raise OptionError("calibrate was given neither images nor a rate, so nothing would change", hint=hint)
    to, workplace = destination(format_), o.workplace(device=device, skip_bad=skip_bad)
    result = recalibrate(o.opened_run(run, runs), workplace, normal or (), rule=rule, keep=keep)
    tell(*(result.fresh.notes() if result.fresh else ()))
    if result.warning:
        warn(result.warning)
    record = result.run.record
    name_suspects(record.calibration.suspects)
    row: dict[str, object] = {
        "run": record.id,
        "threshold_before": result.before.value,
        **promise_row(record),
        "normal_scores": record.threshold.count,
        "unit": record.threshold.unit,
        "rule": str(record.calibration.rule),
        "source": record.calibration.source,
        "data": record.calibration.data,
        "drift_p_value": result.drift.p_value if result.drift else None,
    }
    to.emit([row], row)
    if to.for_people:
        say(f"run {record.id}", bold=True)
        print_threshold(record, result.before)
        if normal and not keep and record.threshold.expected_rate > result.before.expected_rate:
            say("  the promise is weaker than it was: --keep adds images instead of replacing them", fg="yellow")


def restore(run: o.RunArgument, runs: o.RunsOption = None) -> None:
    """Undo the last `adkit calibrate` or `adkit update` of a run: what was before counts again.

    Example: [bold]adkit restore latest[/bold]
    """
    from adkit.runs.store import HIDDEN
    from adkit.workflows.calibrate import restore as undo

    opened = o.opened_run(run, runs)
    restored = undo(opened)
    if restored.record.id != opened.record.id:
        say(f"run {opened.record.id} was put away, into {restored.folder.parent / HIDDEN}")
    say(f"run {restored.record.id}: set from {restored.record.calibration.source}")
    print_threshold(restored.record)


def update(
    run: o.RunArgument,
    normal: o.NormalOption = None,
    feedback: Annotated[
        bool, Option("--feedback", help="Learn what adkit feedback kept; it has no say in the threshold.")
    ] = False,
    remove: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help="Take out what came from an image that was learned, by its name: train/good/000.png. May be given "
            "several times.",
        ),
    ] = None,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Let a run learn further good images, without those that it learned from; the threshold is set anew.

    A new run is written; the one before stays, and adkit restore makes it count again.

    Example: [bold]adkit update latest --normal new_good_images/[/bold]
    """
    from adkit.workflows.calibrate import LOOK
    from adkit.workflows.update import update as go_on

    if not normal and not feedback:
        hint = "add --normal DIR, --feedback, or both"
        if remove:
            hint += "; to learn anew without some: adkit fit … --leave-out NAMES"
        raise OptionError("update was given no images to learn", hint=hint)
    to, workplace = destination(format_), o.workplace(device=device, skip_bad=skip_bad)
    done = go_on(o.opened_run(run, runs), workplace, normal or (), remove=remove or (), feedback=feedback)
    tell(*done.fresh.notes())
    record, last = done.run.record, done.run.record.updates[-1]
    if done.flagged:
        told = f"{len(done.flagged)} of {last.images} {verb(len(done.flagged), 'were')} anomalous to the run before"
        warn_of_scores(f"{told}; if they are not good: adkit restore, then update", done.flagged)
    if last.drift:
        warn(f"{last.drift}; {LOOK}")
    name_suspects(record.calibration.suspects)
    row: dict[str, object] = {
        "run": record.id,
        "before": last.of,
        "images": last.images,
        "threshold_before": done.before.value,
        **promise_row(record),
        "flagged_before": list(done.flagged),
        "drift_p_value": done.drift.p_value if done.drift else None,
    }
    to.emit([row], row)
    if to.for_people:
        say(f"run {record.id}: {last.of}, and {counted(last.images, 'further normal image')}", bold=True)
        print_threshold(record, done.before)
        if last.removed:
            what = f"{counted(len(last.removed), 'image')} taken out"
            say(f"  {what}: scores from before could be too low now, so the new images alone set the threshold")
        say(f"  rows in the bank: {record.facts.get('bank')}, new of these: {record.facts.get('rows_added')}")


def feedback(
    run: o.RunArgument,
    good: Annotated[list[str], Option(metavar="FILE", help="An image that a person found to be of a good part.")],
    runs: o.RunsOption = None,
) -> None:
    """Keep images of parts that were flagged and are good, for the run's next update.

    They have no say in a threshold: who is looked at because of a high score is no random part.

    Example: [bold]adkit feedback latest --good moved/anomalous/0042.png[/bold]

    Then: [bold]adkit update latest --feedback[/bold]
    """
    from adkit.workflows.update import keep_feedback

    opened = o.opened_run(run, runs)
    kept, known, waiting = keep_feedback(opened, good, o.loaded_registry())
    rest = f"; {opened.record.id} has {'the others' if kept else 'learned or kept them'} already" if known else ""
    say(f"kept {kept} of {counted(kept + known, 'image')}{rest}")
    if waiting:
        say(f"next, with {counted(waiting, 'image')}: adkit update {opened.argument} --feedback")


def audit(
    context: typer.Context,
    run: o.RunArgument,
    normal: o.NormalOption = None,
    follow: Annotated[
        Path | None,
        Option(metavar="FOLDER", help="Say when what adkit watch decides of this folder drifts, until Ctrl-C."),
    ] = None,
    drift: Annotated[float, o.drift("With --follow: wrong in at most this share of lines.", "0.01")] = 0.01,
    device: o.DeviceOption = "auto",
    runs: o.RunsOption = None,
    skip_bad: o.SkipBadOption = False,
    format_: o.FormatOption = o.Format.table,
    output: o.OutputOption = None,
) -> None:
    """Check the promise on fresh images of good parts. Exit code 4: it is broken, by false alarms or drift.

    Images that the run learned from or was calibrated with are left out. With --follow, parts need not be known to be
    good: those that pass count, one by one, as a watch judges them.

    Example: [bold]adkit audit latest --normal fresh_good_images/[/bold]

    On a running line: [bold]adkit audit latest --follow inbox/[/bold]
    """
    from adkit.cli.line import follow as follow_watch
    from adkit.runs.record import Suspects
    from adkit.workflows.audit import audit as hold_against

    if follow:
        o.refuse_given(context, ["normal", "device", "skip_bad"], "judges images, and --follow those of a watch")
        follow_watch(o.opened_run(run, runs), o.loaded_registry(), follow, drift, destination(format_, output))
        return
    o.refuse_given(context, ["drift"], "is for --follow")
    if not normal:
        raise OptionError("audit was given no images of good parts", hint="add --normal DIR, or --follow FOLDER")
    to = destination(format_, output)
    result = hold_against(o.opened_run(run, runs), o.workplace(device=device, skip_bad=skip_bad), normal)
    tell(*result.fresh.notes())
    name_suspects(Suspects.among_scores(result.names, result.scores))
    rows = [
        {"path": name, "score": float(score), "flagged": bool(score > result.threshold.value)}
        for name, score in zip(result.names, result.scores, strict=True)
    ]
    to.emit(rows, result.as_json())
    if to.for_people:
        verdict, *details = result.sentences()
        say(verdict, bold=True, fg="green" if result.verdict == "kept" else "red")
        for sentence in details:
            say(f"  {sentence}")
        flagged = [{result.threshold.unit: row["path"], "score": row["score"]} for row in rows if row["flagged"]]
        if flagged:
            print_table("flagged", sorted(flagged, key=lambda row: -float(str(row["score"]))))
        say_places({"rows": to.file})
    if result.verdict != "kept":
        raise typer.Exit(PROMISE_BROKEN)
