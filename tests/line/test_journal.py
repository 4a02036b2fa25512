"""Rows are on the disk whole or not at all, and each follower sees each of them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from threading import Event

import pytest

from adkit.errors import StorageError
from adkit.line.journal import Journal


def stopped() -> Event:
    event = Event()
    event.set()
    return event


def test_a_line_that_was_broken_off_is_as_if_it_had_never_begun(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        for number in range(3):
            journal.append({"part": number})
    with path.open("ab") as file:
        file.write(b'{"part": 3, "sco')
    with Journal(path) as journal:
        assert [row["part"] for row in journal.rows()] == [0, 1, 2]
        journal.append({"part": 3})
    with Journal(path) as journal:
        assert [row["part"] for row in journal.rows()] == [0, 1, 2, 3]


def test_a_damaged_line_is_named_and_a_damaged_note_makes_rows_come_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        journal.append({"part": 1})
        (tmp_path / "journal.hook").write_text("\0\0")
        assert [row for row, _ in journal.follow("hook", stopped())] == [{"part": 1}]
    path.write_bytes(path.read_bytes() + b'\0\0ed": 1}\n{"part": 3}\n')
    for damaged in (b'\0\0ed": 1}\n{"part": 3}\n', b'{"part": 2, "sco", "part": 3}\n', b"[2]\n"):
        path.write_bytes(b'{"part": 1}\n' + damaged)
        with pytest.raises(StorageError, match=r"line 2 of .* is damaged"):
            Journal(path)


def test_a_journal_that_was_deleted_while_it_is_written_is_told(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.record({"path": "a"})
        journal.path.unlink()
        with pytest.raises(StorageError, match="was deleted while it was written"):
            journal.record({"path": "b"})


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.record({"path": "a"})
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StorageError, match="the disk is full"):
                journal.record({"path": "b"})
        journal.record({"path": "b"})
        assert [(row["part"], row["path"]) for row in journal.rows()] == [(1, "a"), (2, "b")]


def test_a_follower_goes_on_where_it_was(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        for number in range(4):
            journal.append({"part": number})
        seen = []
        for row, end in journal.follow("hook", stopped()):
            seen.append(row["part"])
            if row["part"] == 1:
                break  # ended before it was noted
            journal.note("hook", end)
        assert seen == [0, 1]
        journal.append({"part": 4})
    with Journal(journal.path) as again:
        assert [row["part"] for row, _ in again.follow("hook", stopped())] == [1, 2, 3, 4]
        again.append({"part": 5})
        later = [row["part"] for row, _ in again.follow("other", stopped())]
        assert later == [5], "who comes later gets what comes from then on"


def test_a_new_journal_is_followed_from_its_start(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.append({"part": 1, "long": "x" * 50})
        for _, end in journal.follow("hook", stopped()):
            journal.note("hook", end)
    journal.path.unlink()
    with Journal(journal.path) as journal:
        journal.append({"part": 1})
        assert [row["part"] for row, _ in journal.follow("hook", stopped())] == [1]
