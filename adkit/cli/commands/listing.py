"""`adkit list` and `adkit show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument

from adkit.cli import options as o
from adkit.cli.output import MOST_ROWS, destination, print_table, say, warn
from adkit.errors import PluginError, RunError, nearest
from adkit.files.atomic import is_folder

if TYPE_CHECKING:
    from adkit.registry import Registry
    from adkit.runs.record import RunRecord

_READABLE = 500  # characters


def list_(
    what: Annotated[
        Literal["methods", "datasets", "scorers", "metrics", "plugins", "runs"],
        Argument(show_choices=False, help="methods, datasets, scorers, metrics, plugins or runs."),
    ],
    runs: o.RunsOption = None,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """List what is installed, or the runs that were made.

    Example: [bold]adkit list methods[/bold]
    """
    if what == "runs":
        rows = _run_rows(o.runs_folder(runs))
    elif what == "plugins":
        rows = [
            {
                "plugin": plugin.name,
                "module": plugin.module,
                "distribution": f"{plugin.distribution} {plugin.version}".strip(),
                "problem": plugin.problem,
            }
            for plugin in o.loaded_registry().plugins
        ]
    else:
        rows = _entry_rows(o.loaded_registry(), what)
    to = destination(format_)
    to.emit(rows, rows)
    if to.for_people:
        print_table(what, rows[-MOST_ROWS:], total=len(rows))  # of runs the newest are the last


def show(
    name: Annotated[str, Argument(help="A method, scorer, dataset or metric, or a run, by id or name.")],
    runs: o.RunsOption = None,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Show what something is and which options it has.

    Example: [bold]adkit show patchknn[/bold]
    """
    registry, about = o.loaded_registry(), ""
    catalogues: tuple[Any, ...] = (registry.methods, registry.scorers, registry.datasets, registry.metrics)
    named = [(one.get(name), one.sort) for one in catalogues if name in one.entries]
    if named:
        entry, sort = named[-1]
        model = getattr(entry.load(), "Options", None)  # datasets and metrics have none
        rows = _option_rows(model) if model else []
        title = f"{sort} {name}: {entry.summary} ({entry.origin})"
        document = {"sort": sort, "name": name, "summary": entry.summary, "options": rows}
        for what in ("cost", "example"):
            if (told := getattr(entry, what, None)) is not None:
                document[what], about = told, f"{what}: {told}" if told else ""
        if model:
            document["schema"] = model.model_json_schema()
    elif record := _run_record(name, runs):
        document = record.model_dump(mode="json")
        rows = [{"field": key, "value": value} for key, value in _flat(document) if not key.startswith("files.")]
        title = f"run {record.id}"
    else:
        known = [entry for one in catalogues for entry in one.entries]
        raise PluginError(f"there is nothing named {name!r} to show", hint=nearest(name, known))
    to = destination(format_)
    to.emit(rows, document)
    if to.for_people:
        if rows:
            readable = [{key: _shortened(value) for key, value in row.items()} for row in rows]
            print_table(title, readable, subtitle=about, most=len(rows))
        else:
            say("\n".join(filter(None, [title, about, "it has no options"])))


def _shortened(value: Any) -> Any:
    """Return a value as people read it: the bytes of a mask tell them nothing."""
    return f"{len(value):,} characters" if isinstance(value, str) and len(value) > _READABLE else value


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give the document's values with dotted names: calibration.threshold.value."""
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(number): one for number, one in enumerate(value, start=1)}
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", ", ".join(map(str, value)) if isinstance(value, list) else value


def _option_rows(model: Any) -> list[dict[str, Any]]:
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


def _entry_rows(registry: Registry, what: str) -> list[dict[str, Any]]:
    catalogue: Any = getattr(registry, what)
    rows = []
    for name in catalogue.names():
        entry = catalogue.entries[name]
        origins = [one.origin for one in catalogue.claims[name]]
        rows.append(
            {
                "name": name,
                "summary": entry.summary,
                **({"example": entry.example} if what == "datasets" else {}),
                "plugin": origins[0] if len(origins) == 1 else "CLAIMED TWICE: " + ", ".join(origins),
            }
        )
    return rows


def _run_rows(root: Path) -> list[dict[str, Any]]:
    """Return runs and unfinished fits, the newest last; those that cannot be read come first."""
    from adkit.evaluation.stored import stored_figures
    from adkit.runs.store import Run, list_runs
    from adkit.runs.unfinished import list_unfinished

    if not is_folder(root):
        warn(f"there is no folder {root.absolute()}")
    columns = ("run", "caught", "flagged", "promised", "method", "dataset", "images", "created", "problem")
    rows: list[tuple[Any, ...]] = []
    for folder, record in list_runs(root):
        if isinstance(record, RunError):
            rows.append((folder.name, *[None] * 7, record.message))
        else:
            judged, rate = stored_figures(Run(folder, record)), f"{record.threshold.expected_rate:.2%}"
            decided = [f"{one.count} of {one.total}" if one.total else None for one in (judged.caught, judged.flagged)]
            of_run = (record.method, record.dataset, record.train_count, record.created)
            rows.append((record.id, *decided, rate, *of_run, None))
    for fit in list_unfinished(root):
        problem = "still learning" if fit.is_running(root) else f"unfinished: {fit.command(root)}"
        specs = ", ".join(category.dataset for category in fit.categories)
        images = sum(category.images for category in fit.categories)
        rows.append((fit.id, None, None, None, fit.settings.method, specs, images, fit.created, problem))
    named = [dict(zip(columns, row, strict=True)) for row in rows]
    named.sort(key=lambda row: row["created"].timestamp() if row["created"] else 0)
    return [row | {"created": row["created"] and f"{row['created']:%Y-%m-%d %H:%M}"} for row in named]


def _run_record(name: str, runs: Path | None) -> RunRecord | None:
    """Return the record of that run, None where there is no folder of that name; a damaged run raises its RunError."""
    from adkit.runs.store import folders_called

    root = o.runs_folder(runs)
    found = name == "latest" or any(is_folder(place) for place in (root / name, Path(name)))
    if not found and not folders_called(root, name):
        return None
    return o.opened_run(name, runs).record
