"""Rows of a score, kept beside their file until all are there: `score --resume` goes on from them.

scores.csv.unfinished/
    asked.json       what they were judged by
    rows.jsonl       a line of JSON for each row
    lock             held by the process that judges
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from adkit.cli.output import warn
from adkit.errors import OptionError
from adkit.files.atomic import storage_faults, write_whole
from adkit.files.documents import read_signed, signed
from adkit.files.lock import lock
from adkit.line.journal import Journal

_ASKED, _ROWS, _LOCK = "asked.json", "rows.jsonl", "lock"


class KeptRows:
    """The rows that there are already, and those that come; without a journal nothing is kept."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self.paths = {row["path"] for row in journal.rows()} if journal else set()
        self.whole = False

    def through(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Keep the rows as they come; when the last has come, walk all that are kept."""
        if self._journal is None:
            yield from rows
            return
        for row in rows:
            self._journal.append(row)
        yield from self._journal.rows()


@contextmanager
def kept_rows(file: Path | None, asked: Mapping[str, Any], *, resume: bool) -> Iterator[KeptRows]:
    """Give the rows that are kept for a file; they are deleted when the block says that they are whole.

    `asked` are the things that rows depend on, by their names. Raises OptionError where nothing can be resumed, where
    rows were judged by something else, and where they would be lost or another process writes them.
    """
    if file is None:
        if resume:
            raise OptionError("--resume goes on with a file of rows, and none is named", hint="add --output FILE.csv")
        yield KeptRows(None)
        return
    folder = file.with_name(f"{file.name}.unfinished")
    with ExitStack() as held:
        _enter(folder, file, asked, held, resume=resume)
        journal = held.enter_context(Journal(folder / _ROWS))
        kept = KeptRows(journal)
        if resume and kept.paths:
            warn(f"{len(kept.paths):,} rows are there already")
        try:
            yield kept
        except BaseException as error:
            if journal.parts:
                error.add_note(f"rows until then are kept in {folder}: the same command with --resume goes on")
            else:
                shutil.rmtree(folder, ignore_errors=True)
            raise
    if kept.whole:
        shutil.rmtree(folder, ignore_errors=True)


def _enter(folder: Path, file: Path, asked: Mapping[str, Any], held: ExitStack, *, resume: bool) -> None:
    """Lock the folder, made if it is not there, and make sure that it is of what is asked."""
    begun = (folder / _ASKED).is_file()
    if resume and not begun and file.exists():
        raise OptionError(f"{file} is whole: there is nothing to resume", hint="leave --resume out to score anew")
    with storage_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        taken = OptionError(f"{file} is being written by another score", hint="name another --output")
        held.enter_context(lock(folder / _LOCK, otherwise=taken))
    if not begun:
        write_whole(folder / _ASKED, signed(asked))
        return
    if not resume:
        hint = "go on with --resume, or delete that folder to begin anew"
        raise OptionError(f"{folder} holds rows of a score that was interrupted", hint=hint)
    try:
        then = read_signed(folder / _ASKED)
    except (OSError, ValueError) as error:
        raise OptionError(f"{folder / _ASKED}: {error}", hint="delete that folder, and score anew") from None
    for name, now in asked.items():
        if then.get(name) != now:
            hint = "score with what was taken then, or name another --output"
            raise OptionError(f"{file} cannot be resumed: {name} was {then.get(name)}, and is {now}", hint=hint)
