"""The list of jobs on the page, and what its buttons do."""

from collections.abc import Mapping
from typing import Any

from adkit.runs.unfinished import discard_unfinished, find_unfinished, list_unfinished
from adkit.ui.jobs import Jobs, resume_arguments
from adkit.ui.markup import render
from adkit.ui.settings import ServerSettings


def panel(jobs: Jobs, *, trainings: bool) -> str:
    """Return these, or all other jobs as HTML, the newest first; with interrupted trainings that can be resumed."""
    statuses = [status for status in jobs.list() if (status.job.kind == "fit") == trainings]
    begun = []
    if trainings:
        waiting = {status.job.result for status in statuses if not status.ended}
        unfinished = [one for one in list_unfinished(jobs.runs_root) if not one.is_running(jobs.runs_root)]
        begun = [one for one in unfinished if one.id not in waiting]
    return render("jobs.html", statuses=statuses[::-1], begun=begun[::-1], trainings=trainings)


def act(settings: ServerSettings, jobs: Jobs, what: Mapping[str, Any]) -> None:
    """Do what a button of a job's card asks for; raises AdkitError for what is not there any more."""
    if isinstance(job := what.get("cancel"), str):
        jobs.cancel(job)
    elif isinstance(job := what.get("forget"), str):
        jobs.forget(job)
    elif isinstance(name := what.get("resume"), str):
        begun = find_unfinished(settings.runs_root, name)
        specs = ", ".join(category.dataset for category in begun.categories)
        title = f"{begun.settings.method} on {specs}, continued"
        jobs.submit("fit", title, resume_arguments(settings, name), result=name)
    elif isinstance(name := what.get("discard"), str):
        discard_unfinished(settings.runs_root, name)
