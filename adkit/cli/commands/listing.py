"""`adkit list` and `adkit show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adkit.cli import options as o
from adkit.cli.faults import loaded_registry
from adkit.errors import RunError
from adkit.interfaces import MethodEntry

if TYPE_CHECKING:
    from pydantic import BaseModel

    from adkit.registry import Registry
    from adkit.runs.record import RunRecord
    from adkit.runs.unfinished import Unfinished

_FAR_PAST = datetime.min.replace(tzinfo=UTC)


class Listable(StrEnum):
    """What can be listed."""

    methods = "methods"
    datasets = "datasets"
    scorers = "scorers"
    metrics = "metrics"
    plugins = "plugins"
    runs = "runs"


def list_(
    what: Annotated[Listable, typer.Argument(help="What to list.")],
    runs: o.RunsOption = None,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """List what is installed, or the runs that were made.

    Example: [bold]adkit list methods[/bold]
    """
    from adkit.cli.output import emit, print_table

    if what is Listable.runs:
        from adkit.runs.store import default_runs_root

        rows = _run_rows(runs or default_runs_root())
    elif what is Listable.plugins:
        rows = [
            {
                "plugin": plugin.name,
                "module": plugin.module,
                "distribution": f"{plugin.distribution} {plugin.version}".strip(),
                "problem": plugin.problem,
            }
            for plugin in loaded_registry().plugins
        ]
    else:
        rows = _entry_rows(loaded_registry(), what)
    if format_ is o.Format.table:
        print_table(what.value, rows)
    else:
        emit(format_, None, rows, rows)


def show(
    name: Annotated[str, typer.Argument(help="A method, scorer, dataset or metric, or the id of a run.")],
    runs: o.RunsOption = None,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Show what something is and which options it has.

    Example: [bold]adkit show patchknn[/bold]
    """
    from adkit.cli.output import emit, print_table
    from adkit.errors import PluginError, nearest

    registry = loaded_registry()
    catalogues = (registry.methods, registry.scorers, registry.datasets, registry.metrics)
    catalogue = next((one for one in catalogues if name in one.entries), None)
    if catalogue is None:
        record = _run_record(name, runs)
        if record is None:
            known = [entry for one in catalogues for entry in one.entries]
            raise PluginError(f"there is nothing named {name!r} to show", hint=nearest(name, known))
        document = record.model_dump(mode="json")
        rows = [{"field": key, "value": value} for key, value in _flat(document) if not key.startswith("files.")]
        title, cost = f"run {record.id}", ""
    else:
        entry = catalogue.get(name)
        loaded = entry.load()
        model = getattr(loaded, "Options", None)  # datasets and metrics have none
        rows = _option_rows(model) if model else []
        title = f"{catalogue.sort} {name}: {entry.summary} ({catalogue.origin(name).origin})"
        document = {"sort": catalogue.sort, "name": name, "summary": entry.summary, "options": rows}
        cost = ""
        if isinstance(entry, MethodEntry):
            document["cost"] = cost = entry.cost
        if model:
            document["schema"] = model.model_json_schema()
    if format_ is o.Format.table:
        print_table(title, rows, subtitle=f"cost: {cost}" if cost else "", most=len(rows))
    else:
        emit(format_, None, rows, document)


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The document's values with dotted names: calibration.threshold.value."""
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else value


def _option_rows(model: type[BaseModel]) -> list[dict[str, Any]]:
    from adkit.options import option_rows

    return [
        {
            "option": row.name,
            "default": row.default,
            "takes": f"{row.type} {row.bounds}".strip(),
            "what it does": row.description,
        }
        for row in option_rows(model)
    ]


def _entry_rows(registry: Registry, what: Listable) -> list[dict[str, Any]]:
    catalogue: Any = getattr(registry, what.value)
    rows = []
    for name in catalogue.names():
        entry = catalogue.entries[name]
        row = {"name": name, "summary": entry.summary}
        if what is Listable.datasets:
            row["example"] = entry.example
        claims = catalogue.claims[name]
        origin = claims[0].origin if len(claims) == 1 else "CLAIMED TWICE: " + ", ".join(one.origin for one in claims)
        rows.append({**row, "plugin": origin})
    return rows


def _run_rows(root: Path) -> list[dict[str, Any]]:
    """Runs and unfinished fits, the newest last; those that cannot be read come first."""
    from adkit.runs.store import list_runs
    from adkit.runs.unfinished import list_unfinished

    dated: list[tuple[datetime, dict[str, Any]]] = []
    for folder, record in list_runs(root):
        if isinstance(record, RunError):
            empty = dict.fromkeys(("created", "method", "dataset", "images", "false alarms"))
            dated.append((_FAR_PAST, {"run": folder.name, **empty, "problem": record.message}))
        else:
            rate = f"{record.threshold.expected_rate:.2%}"
            dated.append((record.created, _run_row(record, record.dataset, record.train_count, rate, None)))
    for fit in list_unfinished(root):
        problem = "still learning" if fit.is_running(root) else f"unfinished: {fit.command(root)}"
        specs = ", ".join(category.dataset for category in fit.categories)
        images = sum(category.images for category in fit.categories)
        dated.append((fit.created, _run_row(fit, specs, images, None, problem)))
    return [row for _, row in sorted(dated, key=lambda item: item[0])]


def _run_row(
    record: RunRecord | Unfinished, dataset: str, images: int, false_alarms: str | None, problem: str | None
) -> dict[str, Any]:
    return {
        "run": record.id,
        "created": f"{record.created:%Y-%m-%d %H:%M}",
        "method": record.settings.method,
        "dataset": dataset,
        "images": images,
        "false alarms": false_alarms,
        "problem": problem,
    }


def _run_record(name: str, runs: Path | None) -> RunRecord | None:
    """The record of that run, None where there is no folder of that name; a damaged run raises its RunError."""
    from adkit.files.atomic import is_folder
    from adkit.runs.store import default_runs_root, find_run

    root = runs or default_runs_root()
    if name != "latest" and not any(is_folder(place) for place in (root / name, Path(name))):
        return None
    return find_run(root, name).record
