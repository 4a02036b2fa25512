"""Rows that are written as they come, however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import typer

from adkit.cli.options import Format
from adkit.cli.output import csv_text, json_text
from adkit.errors import OptionError
from adkit.files.atomic import refuse_folder, storage_faults, whole_file


class RowWriter:
    """Writes rows as CSV, JSON lines or one JSON document, whose first entries are `head` and whose last `tail`.

    A table has no rows here: it is printed at the end.
    """

    def __init__(self, chosen: Format, file: IO[bytes] | None, head: Mapping[str, Any]) -> None:
        self._format, self._file = chosen, file
        self._count = 0
        self.tail: dict[str, Any] = {}
        if chosen is Format.json:
            self._write(json_text(head)[:-1] + ', "results": [')

    def add(self, row: Mapping[str, Any]) -> None:
        """The next row."""
        if self._format is Format.csv:
            self._write(csv_text([row], header=self._count == 0))
        elif self._format is Format.jsonl:
            self._write(json_text(row) + "\n")
        elif self._format is Format.json:
            self._write(("," if self._count else "") + "\n" + json_text(row))
        self._count += 1

    def end(self) -> None:
        """After the last row."""
        if self._format is Format.json:
            self._write("\n], " + json_text(self.tail)[1:] + "\n" if self.tail else "\n]}\n")

    def _write(self, text: str) -> None:
        content = text.encode(errors="surrogateescape")  # file names leave as the bytes that they have on disk
        if self._file is None:
            typer.echo(content, nl=False)
        else:
            self._file.write(content)


@contextmanager
def written_rows(
    chosen: Format, output: Path | None, head: Mapping[str, Any], *, live: bool = False
) -> Iterator[RowWriter]:
    """Where to add rows; they go to the file, or to stdout.

    The file appears when all is written; of a live source it is there from the start, and grows by whole rows.
    """
    if live and chosen is Format.json:
        raise OptionError("JSON is one document, and a live source has no end", hint="take csv or jsonl")
    refuse_folder(output)
    with ExitStack() as stack:
        file: IO[bytes] | None = None
        if output is not None and live:
            stack.enter_context(storage_faults(output))
            output.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(output.open("wb", buffering=0))
        elif output is not None:
            file = stack.enter_context(stack.enter_context(whole_file(output)).open("wb"))
        rows = RowWriter(chosen, file, head)
        yield rows
        rows.end()
