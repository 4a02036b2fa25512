"""Jobs as cards: how far each is, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from adkit.runs.unfinished import Unfinished, list_unfinished
from adkit.ui.jobs import Jobs, Kind, Status
from adkit.ui.markup import button, duration, empty, fault, moment, sparkline

_CHIPS = {
    "waiting": ("", "waiting"),
    "running": ("ak-good", "running"),
    "stopping": ("ak-odd", "stopping"),
    "done": ("ak-good", "✓ done"),
    "failed": ("ak-bad", "✕ failed"),
    "cancelled": ("ak-odd", "cancelled"),
}
_DRAWN = ("loss", "held out")


def panel(jobs: Jobs, kinds: Sequence[Kind]) -> str:
    """The jobs of these kinds, the newest first, and what was broken off and can go on."""
    statuses = [status for status in jobs.list() if status.job.kind in kinds]
    cards = [card(status) for status in reversed(statuses)]
    if "fit" in kinds:
        begun = [one for one in list_unfinished(jobs.runs_root) if not one.is_running(jobs.runs_root)]
        waiting = {status.job.result for status in statuses if not status.ended}
        cards = [_unfinished_card(one) for one in reversed(begun) if one.id not in waiting] + cards
    if not cards:
        return (
            empty("Nothing runs", "Jobs go on when this page is closed; they are listed here.")
            if "fit" in kinds
            else ""
        )
    return f'<div class="ak-jobs">{"".join(cards)}</div>'


def card(status: Status) -> str:
    """One job."""
    sort, word = _CHIPS[status.state]
    if status.state == "waiting" and status.ahead:
        word = f"waiting, {status.ahead} before it"
    head = (
        f"<header><b>{escape(status.job.title)}</b>"
        f'<span class="ak-chip {sort}" role="status">{escape(word)}</span></header>'
        f'<p class="ak-faint">begun {moment(status.job.created)}</p>'
    )
    actions = "".join(_actions(status))
    return (
        f'<article class="ak-card ak-job" data-job="{status.job.id}" data-state="{status.state}">'
        f'{head}{_body(status)}{f"""<div class="ak-actions">{actions}</div>""" if actions else ""}</article>'
    )


def _body(status: Status) -> str:
    steps, outcome = status.steps, status.outcome
    curve = sparkline({name: steps.curves[name] for name in _DRAWN if name in steps.curves})
    if status.state in ("running", "stopping"):
        return _progress(status) + curve
    if status.state == "failed":
        return fault(outcome.message, outcome.hint) + curve
    notes = "".join(f'<p class="ak-faint">{escape(note)}</p>' for note in outcome.notes[:3]) if outcome.done else ""
    return notes + curve


def _progress(status: Status) -> str:
    steps = status.steps
    if not steps.path:
        return '<p class="ak-faint">starting</p>'
    share = steps.share or 0.0
    words = [f"{' › '.join(steps.path)}: {steps.inner_done} of {steps.inner_total}"]
    if steps.left_s is not None and steps.done < steps.total:
        words.append(f"about {duration(steps.left_s)} left")
    if steps.status:
        words.append(steps.status)
    return (
        f'<div class="ak-progress" role="progressbar" aria-label="done" aria-valuenow="{100 * share:.0f}" '
        f'aria-valuemin="0" aria-valuemax="100"><i style="width:{share:.1%}"></i></div>'
        f'<p class="ak-faint">{escape(" · ".join(words))}</p>'
    )


def _actions(status: Status) -> list[str]:
    job = status.job
    if not status.ended:
        return [] if status.state == "stopping" else [button("Cancel", {"cancel": job.id})]
    found = [button("Remove from the list", {"forget": job.id})]
    if status.state == "done":
        made = {"fit": ("Inspect with it", "inspect"), "report": ("Open the report", "report")}
        title, what = made.get(job.kind, ("Open the comparison", "comparison"))
        found = [button(title, {what: run}, main=True) for run in made_by(status)[:1]] + found
    return found


def made_by(status: Status) -> list[str]:
    """The ids of the runs, or the name of what else the job made."""
    result: Any = status.outcome.result
    rows = result if isinstance(result, list) else [result]
    runs = [str(row["run"]) for row in rows if isinstance(row, dict) and "run" in row]
    return runs if status.job.kind == "fit" else [status.job.result] if status.job.result else []


def _unfinished_card(begun: Unfinished) -> str:
    specs = ", ".join(category.dataset for category in begun.categories)
    actions = button("Go on", {"resume": begun.id}, main=True) + button("Discard", {"discard": begun.id})
    return (
        f'<article class="ak-card ak-job" data-unfinished="{escape(begun.id)}"><header>'
        f"<b>{escape(begun.settings.method)} on "
        f'{escape(specs)}</b><span class="ak-chip ak-odd">broken off</span></header>'
        f'<p class="ak-faint">begun {moment(begun.created)}; what it learned is kept</p>'
        f'<div class="ak-actions">{actions}</div></article>'
    )
