"""Results as a table for people, or as CSV, JSON lines or JSON for programs; to stdout or a file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adkit.cli.options import Format
from adkit.errors import OptionError
from adkit.files.atomic import write_whole

Rows = Sequence[Mapping[str, Any]]

PIPED_WIDTH = 120
"""Characters a line where there is no terminal to ask."""

MOST_ROWS = 40
"""A table for people shows no more rows than this; files and machine formats hold all."""


def format_of(chosen: Format, output: Path | None) -> Format:
    """The format that an output file's suffix names, unless another was asked for."""
    if output is None:
        return chosen
    suffix = output.suffix.lower().removeprefix(".")
    known = suffix in ("csv", "jsonl", "json")
    if chosen is not Format.table:
        if known and suffix != chosen:
            raise OptionError(
                f"{output} ends in .{suffix}, but --format says {chosen.value}", hint="leave one of them out"
            )
        return chosen
    if not known:
        raise OptionError(
            f"the suffix of {output} names no format; .csv, .jsonl or .json was expected",
            hint="rename it, or say --format csv",
        )
    return Format(suffix)


def emit(chosen: Format, output: Path | None, rows: Rows, document: Any, *, header: bool = True) -> None:
    """Writes rows (CSV, JSON lines) or the document (JSON) to the file or to stdout; no tables.

    `header` False leaves out the CSV's first line, for rows that follow others.
    """
    if chosen is Format.csv:
        text = csv_text(rows, header=header)
    elif chosen is Format.jsonl:
        text = "".join(json_text(row) + "\n" for row in rows)
    else:
        text = json_text(document, indent=2) + "\n"
    # A file name that is not UTF-8 leaves as the bytes that it has on disk.
    content = text.encode(errors="surrogateescape")
    if output is None:
        typer.echo(content, nl=False)
    else:
        write_whole(output, content)


def print_table(
    title: str, rows: Rows, *, subtitle: str = "", caption: str | None = None, most: int = MOST_ROWS
) -> None:
    """A table on stdout, numbers to the right; rows beyond `most` are counted.

    Only the column of the longest texts is wrapped; the others keep their words whole.
    """
    console = Console(emoji=False)
    if not console.is_terminal:
        console = Console(emoji=False, width=PIPED_WIDTH)
    if not rows:
        console.print(f"{_shown(title)}: none")
        if subtitle:
            console.print(_shown(subtitle))
        return
    heading = _shown(title) + (f"\n[not bold]{_shown(subtitle)}[/]" if subtitle else "")
    table = Table(title=heading, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.caption = _shown(caption) if caption else None
    table.caption_justify = "left"
    shown = [[_cell(value) for value in row.values()] for row in rows[:most]]
    longest = max(range(len(rows[0])), key=lambda column: max(len(cells[column]) for cells in shown))
    for column, name in enumerate(rows[0]):
        numeric = all(_is_number(row[name]) for row in rows)
        table.add_column(
            _shown(name), justify="right" if numeric else "left", no_wrap=column != longest, overflow="fold"
        )
    for cells in shown:
        table.add_row(*cells)
    console.print(table)
    if len(rows) > most:
        console.print(f"… and {len(rows) - most} more: --output FILE.csv holds all")


def _shown(text: str) -> str:
    """The text as Rich prints it unchanged: brackets are no markup, and bytes that are not UTF-8 are spelt out."""
    return escape(text.encode(errors="backslashreplace").decode())


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, (int, float)) or str(value).replace(".", "", 1).isdecimal()


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else _shown(str(value))


def csv_text(rows: Rows, *, header: bool = True) -> str:
    """Rows as CSV, with the names of the first row's columns."""
    buffer = io.StringIO()
    if rows:
        writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
    return buffer.getvalue()


def json_text(value: Any, indent: int | None = None) -> str:
    """The value as JSON, in UTF-8 where file names are."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8: JSON must be
        return json.dumps(value, indent=indent)
    return text
