"""Results as tables for people, or as CSV, JSON lines or JSON for programs; to stdout or a file."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import typer

from adkit.errors import OptionError
from adkit.files.atomic import require_output, storage_faults, whole_file, write_whole
from adkit.files.table import Rows, csv_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPED_WIDTH = 120
"""Characters a line where there is no terminal to ask; tables are wider if their words are."""
MOST_ROWS = 40
"""A table for people shows no more rows than this; files and machine formats hold all."""
# But for tabs, ends of lines, and what joins letters or emoji: the others are unseen, or turn the line around.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_COMMAND = re.compile(r"\b(?:adkit|python|pip) [a-z./-](?:(?!  |[,:;)·] | · ).)*")  # in a sentence: copied in one piece
_WHOLE = "\0"  # a space at which no line breaks; shown text holds none
_MOST_PARTS = 2  # of a table that is split: more are not read side by side
_GAP = 3  # characters between two columns
_NARROWEST = 16  # characters of a column of texts, if its texts are as long
_RESULTS: ContextVar[TextIO | None] = ContextVar("results", default=None)  # None: where all is printed
_COLOURS = {"anomalous": "red", "unreadable": "yellow", "look": "yellow"}


class Format(StrEnum):
    """How results are printed."""

    table = "table"
    csv = "csv"
    jsonl = "jsonl"
    json = "json"


def say(text: str = "", *, err: bool = False, used: int = 0, **style: Any) -> None:
    """Say something for people, on stderr with `err`; in a terminal, lines break between words.

    So many characters of the first line are `used`.
    """
    stream, text = sys.stderr if err else sys.stdout, shown(text)
    if stream is not None and stream.isatty():
        text = _filled("·" * used + text, shutil.get_terminal_size().columns)[used:]
    colour = False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None
    typer.secho(text, file=stream, err=err, color=colour, **style)  # for a stream that is named, a bar makes room


def tell(*texts: str, **style: Any) -> None:
    """Say on stderr what is not a result, each text on a line of its own."""
    for text in texts:
        say(text, err=True, **style)


def warn(*texts: str) -> None:
    """Say the same in yellow, where something may be wrong."""
    tell(*texts, fg="yellow")


def say_places(places: Mapping[str, Path | None]) -> None:
    """Say among the results where what was asked for lies, in a line; what is not there is left out."""
    if written := [f"{what}: {place}" for what, place in places.items() if place and place.exists()]:
        say("; ".join(written))


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the results of a command go; with a file for programs, stdout is still for people."""

    format: Format
    file: Path | None
    for_people: bool

    def emit(self, rows: Rows, document: Any, *, header: bool = True) -> None:
        """Write rows (CSV, below a `header`, or JSON lines) or the document (JSON); nothing where only people read."""
        text = json_text(document, indent=2) + "\n" if self.format is Format.json else self._lines(rows, header=header)
        if self.format is Format.table:
            return
        if self.file is None:
            _to_stdout(_encoded(text))
        else:
            write_whole(self.file, _encoded(text))

    @contextmanager
    def streamed(
        self, head: Mapping[str, Any], tail: Mapping[str, Any], *, live: bool = False
    ) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Give a function that adds a row; a JSON document has `head` before the rows, `tail` as it is at the end.

        The file appears when all is written; of a live source it is there from the start, and grows by whole rows.
        """
        if live and self.format is Format.json:
            raise OptionError("JSON is one document, and a live source has no end", hint="take csv or jsonl")
        with ExitStack() as stack:
            write: Callable[[bytes], Any] = _to_stdout
            if self.file is not None and live:
                stack.enter_context(storage_faults(self.file))
                self.file.parent.mkdir(parents=True, exist_ok=True)
                write = stack.enter_context(self.file.open("wb", buffering=0)).write
            elif self.file is not None:
                write = stack.enter_context(stack.enter_context(whole_file(self.file)).open("wb")).write
            count = 0

            def add(row: Mapping[str, Any]) -> None:
                nonlocal count
                text = self._lines([row], header=count == 0)
                if self.format is Format.json:
                    text = ("," if count else "") + "\n" + json_text(row)
                write(_encoded(text))
                count += 1

            if self.format is not Format.json:
                yield add
                return
            write(_encoded(json_text(head)[:-1] + ', "results": ['))
            yield add
            write(_encoded("\n], " + json_text(tail)[1:] + "\n"))

    def _lines(self, rows: Rows, *, header: bool) -> str:
        if self.format is Format.csv:
            return csv_text(rows, header=header)
        return "".join(json_text(row) + "\n" for row in rows) if self.format is Format.jsonl else ""


def destination(chosen: Format, file: Path | None = None) -> Destination:
    """Say where results go: in the format that the file's suffix names, unless another was asked for."""
    if file is None:
        return Destination(chosen, None, chosen is Format.table)
    suffix = file.suffix.lower().removeprefix(".")
    known = suffix in ("csv", "jsonl", "json")
    if chosen is Format.table and not known:
        hint = "rename it, or say --format csv"
        raise OptionError(f"the suffix of {file} names no format; .csv, .jsonl or .json was expected", hint=hint)
    if chosen is not Format.table and known and suffix != chosen:
        raise OptionError(f"{file} ends in .{suffix}, but --format says {chosen.value}", hint="leave one of them out")
    require_output(file)
    return Destination(Format(suffix) if chosen is Format.table else chosen, file, chosen is Format.table)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return the value as JSON, in UTF-8 where file names are."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8: JSON must be
        return json.dumps(value, indent=indent)
    return text


def _encoded(text: str) -> bytes:
    """Return the text in UTF-8; file names leave as the bytes that they have on disk."""
    return text.encode(errors="surrogateescape")


def results_shown() -> bool:
    """Return whether rows for programs go to a terminal, where a bar would get among them."""
    stream = _RESULTS.get()
    return stream is not None and stream.isatty()


@contextmanager
def results_only() -> Iterator[None]:
    """Keep stdout for what `Destination` writes: whatever else is printed, by a plugin say, goes to stderr."""
    token = _RESULTS.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _RESULTS.reset(token)


def _to_stdout(content: bytes) -> None:
    typer.echo(content, nl=False, file=_RESULTS.get())


def print_table(
    title: str,
    rows: Rows,
    *,
    subtitle: str = "",
    caption: str = "",
    keys: int = 1,
    most: int = MOST_ROWS,
    total: int = 0,
    others: str = "--format csv gives all",
) -> None:
    """Print a table in which no word and no number is cut; `others` says where rows beyond `most` of `total` are.

    Columns in which no row says anything are left out. A table that is too wide for the terminal is split into two
    that both begin with the first `keys` columns; where that is not enough, each row becomes lines of its own.
    """
    say(title if rows else f"{title}: none", bold=True)
    if subtitle:
        say(subtitle)
    if rows:
        console = _console()
        shown = rows[:most]
        columns = [
            _column(name, [_cell(row[name]) for row in shown], all(_is_number(row[name]) for row in rows))
            for number, name in enumerate(rows[0])
            if number < keys or any(row[name] not in (None, "") for row in rows)
        ]
        parts = _parts(columns, keys, console.width) if console.is_terminal else [columns]
        if parts and len(parts) <= _MOST_PARTS:
            for number, part in enumerate(parts):
                if number:
                    console.print()
                console.width = max(console.width, _width(part))
                console.print(_table(part))
        else:
            for cells in zip(*(column.cells for column in columns), strict=True):
                _print_turned(console, [column.name for column in columns], cells, keys)
    if caption:
        say(caption)
    if (more := (total or len(rows)) - most) > 0:
        say(f"… and {more:,} more: {others}")
    say()


class _Column(NamedTuple):
    """A column of a table, in characters."""

    name: str
    cells: list[str]
    numeric: bool
    width: int  # of its longest text
    least: int  # a narrower column would cut a word


def _column(name: str, cells: list[str], numeric: bool) -> _Column:
    from rich.cells import cell_len

    width = max(map(cell_len, [name, *cells]))
    longest_word = max(cell_len(word) for text in [name, *cells] for word in _words(text))
    return _Column(name, cells, numeric, width, min(width, max(longest_word, _NARROWEST)))


def _words(text: str) -> list[str]:
    """Split a text where it may be broken; a path with spaces is one word."""
    words = text.split() or [""]
    return [text] if "/" in words[0] or "\\" in words[0] else words


def _wrapped(columns: Sequence[_Column]) -> _Column:
    """Return the one column whose texts are wrapped where there is little room: that which gains most by it."""
    return max(columns, key=lambda column: column.width - column.least)


def _width(columns: Sequence[_Column]) -> int:
    """Return the characters that a table of these columns needs."""
    wrapped = _wrapped(columns)
    return sum(column.width for column in columns) - wrapped.width + wrapped.least + _GAP * (len(columns) - 1)


def _parts(columns: list[_Column], keys: int, width: int) -> list[list[_Column]] | None:
    """Split the columns into tables that fit, each with the keys; None where not even one column fits beside them."""
    parts = [columns[:keys]]
    for column in columns[keys:]:
        if _width([*parts[-1], column]) > width:
            parts.append(columns[:keys])
        parts[-1].append(column)
    return parts if all(_width(part) <= width for part in parts) else None


def _table(columns: Sequence[_Column]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    wrapped = _wrapped(columns)
    for column in columns:
        width = None if column is wrapped else column.width
        table.add_column(column.name, justify="right" if column.numeric else "left", width=width)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in cells))
    return table


def _print_turned(console: Console, names: Sequence[str], cells: Sequence[str], keys: int) -> None:
    """Print a row as a line of its keys, and below it what else it says; names and their values stay together."""
    from rich.cells import cell_len

    if len(names) == 2:  # themselves names and their values
        console.print(_filled(": ".join(cells), console.width), soft_wrap=True)
        return
    console.print(" · ".join(cells[:keys]), style="bold", soft_wrap=True)
    told = []
    for name, cell in zip(names[keys:], cells[keys:], strict=True):
        one = f"{name}: {cell}"
        breaks = cell_len(one) > console.width - 2 and len(_words(cell)) > 1
        told += [one if breaks else one.replace(" ", _WHOLE)] if cell not in ("", "–") else []
    for line in _filled(f"  {f'{_WHOLE}· '.join(told)}", console.width, 0).splitlines():
        console.print(line.removesuffix(" ·"), soft_wrap=True)


def _filled(text: str, width: int, more: int = 2) -> str:
    """Break lines between words, by the cells that these take; what follows a break is indented by `more`."""
    from rich.cells import cell_len

    lines = []
    for line in _COMMAND.sub(lambda found: found[0].replace(" ", _WHOLE), text).splitlines() or [""]:
        indent = " " * (len(line) - len(line.lstrip()) + more)
        lines.append("")
        for word in re.findall(" *[^ ]+", line):
            fits = not lines[-1] or cell_len((lines[-1] + word).replace(_WHOLE, " ")) <= width
            lines[-1:] = [lines[-1] + word] if fits else [lines[-1], indent + word.lstrip()]
    return "\n".join(lines).replace(_WHOLE, " ")


def _console() -> Console:
    from rich.console import Console

    console = Console(emoji=False, markup=False, highlight=False)
    # Of a terminal without colours Rich believes that it has 80 columns.
    console.size = shutil.get_terminal_size() if console.is_terminal else (PIPED_WIDTH, 25)
    return console


def shown(text: str) -> str:
    """Return the text with bytes that are not UTF-8 spelt out, and what would steer a terminal: names may hold any."""
    return _STEERING.sub(lambda found: repr(found[0])[1:-1], text.encode(errors="backslashreplace").decode())


def _is_number(value: Any) -> bool:
    text = str(value).removesuffix("%").removeprefix("≤ ")
    return value is None or isinstance(value, (int, float)) or text.replace(".", "", 1).isdecimal()


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:z.4f}" if isinstance(value, float) else shown(str(value)).replace("\n", "\\n")
