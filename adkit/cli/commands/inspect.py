"""`adkit inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from adkit.cli import options as o
from adkit.cli.output import destination, print_table, say
from adkit.errors import OptionError
from adkit.files.atomic import plain_name, write_whole
from adkit.stats.formatting import clock, counted, listed

if TYPE_CHECKING:
    from adkit.workflows.inspect import Inspection

MOST_SIZES = 5


def inspect(
    dataset: o.DatasetOption,
    root: o.RootOption = None,
    method: Annotated[str, o.methods()] = "patchknn",
    settings: o.SettingsOption = None,
    sheet: Annotated[
        Path | None, Option(help="Where the contact sheet goes.", show_default="./inspect-NAME.png")
    ] = None,
    format_: o.FormatOption = o.Format.table,
) -> None:
    """Look at a dataset: counts, sizes, kinds, lengths of clips, a contact sheet, and what looks wrong.

    It also says how large the method would see the images, and what it can see in them.

    Example: [bold]adkit inspect --dataset folder:./parts[/bold]
    """
    from adkit.cli.terminal import terminal_progress
    from adkit.data.boxes import px
    from adkit.data.datasets import open_datasets
    from adkit.data.images import png_of
    from adkit.data.outputs import require_picture
    from adkit.options import split_assignments
    from adkit.runs.record import FitSettings
    from adkit.workflows.inspect import inspect_dataset
    from adkit.workflows.seeing import method_and_view, tiles_instead

    if sheet is not None and sheet.suffix.lower() != ".png":
        raise OptionError(f"the contact sheet {sheet} is a PNG, yet its suffix is another", hint="name it SHEET.png")
    require_picture(sheet)
    to, documents, sheets = destination(format_), [], {}
    registry = o.loaded_registry()
    wanted = FitSettings(method=method, options=split_assignments(settings or [], example="--set size=512"))
    method_class = registry.methods.get(method).load()
    categories = open_datasets(dataset, root, registry)
    for category in categories:
        found = inspect_dataset(category, terminal_progress())
        path = _sheet_path(sheet, category.spec, several=len(categories) > 1) if found.sheet else None
        view = method_and_view(method_class, wanted, found.shapes)[1] if found.shapes else None
        seen = {} if view is None else {"frame": px(view.frame), "smallest_defect_px": view.smallest_px}
        document = {**_document(found), **seen, "sheet": str(path) if path else None}
        documents.append(document)
        if to.for_people:
            _print(found, document["counts"])
            if view:
                say(f"{method}: {view.in_words()}")
            if tiled := tiles_instead(method_class, wanted, found.shapes, view):
                say(f"for smaller ones: fit --tiles, {tiled.frames} times as slow: {tiled.in_words()}")
        if path and found.sheet:
            sheets[path] = found.sheet
    rows = [{"dataset": document["dataset"], **row} for document in documents for row in document["counts"]]
    names = dict.fromkeys(name for row in rows for name in row)  # some datasets may count images, others clips
    to.emit([{key: row.get(key) for key in names} for row in rows], documents if len(documents) > 1 else documents[0])
    for path, drawn in sheets.items():  # last: what was found is told even where nothing can be written
        write_whole(path, png_of(drawn))
        if to.for_people:
            say(f"contact sheet: {path}")


def _sheet_path(chosen: Path | None, spec: str, *, several: bool) -> Path:
    source, _, selection = spec.partition(":")
    name = f"{source}-{plain_name(Path(selection).name)}"
    if chosen is None:
        return Path(f"inspect-{name}.png")
    return chosen.with_stem(f"{chosen.stem}-{name}") if several else chosen


def _document(found: Inspection) -> dict[str, Any]:
    lengths_s = found.lengths_s.values()
    counts = [
        {
            "split": split,
            "kind": kind,
            **({"clips": found.clips[split, kind], "frames": count} if lengths_s else {"images": count}),
            "masks": found.masks.get(kind, 0) if split == "test" else 0,
        }
        for (split, kind), count in found.counts.items()
    ]
    clips = {"shortest_s": min(lengths_s), "longest_s": max(lengths_s), "total_s": sum(lengths_s)} if lengths_s else {}
    return {
        "dataset": found.spec,
        "notes": found.notes,
        "counts": counts,
        **({"clips": {"count": len(lengths_s), **clips}} if lengths_s else {}),
        "sizes": dict(found.sizes),
        "formats": dict(found.formats),
        "findings": found.findings,
    }


def _print(found: Inspection, counts: list[dict[str, Any]]) -> None:
    for finding in found.findings:
        say(f"looks wrong: {finding}", fg="yellow")
    if not found.findings:
        say("nothing looks wrong", fg="green")
    print_table(found.spec, counts, keys=2)
    for note in found.notes:
        say(note)
    if found.lengths_s:
        shortest, longest, total = (clock(pick(found.lengths_s.values())) for pick in (min, max, sum))
        each = shortest if shortest == longest else f"{shortest} to {longest}"
        say(f"clips: {len(found.lengths_s)}, each {each} long (minutes:seconds), {total} in all")
    sizes = [f"{count} of {size}" for size, count in found.sizes.most_common()]
    say(f"{counted(len(sizes), 'size')}: {listed(sizes, MOST_SIZES)}")
    say("pixel formats: " + ", ".join(f"{count} {mode}" for mode, count in found.formats.most_common()))
