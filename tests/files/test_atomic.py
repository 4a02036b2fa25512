from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from adkit.errors import StorageError
from adkit.files.atomic import (
    checksum,
    is_folder,
    plain_name,
    remove_abandoned,
    require_folder_of_results,
    require_output,
    require_writable,
    storage_faults,
    whole_folder,
    write_text,
    write_whole,
)
from tests.greys import left_by_a_killed_process


def names_in(folder: Path) -> list[str]:
    """The names in a folder, hidden ones included."""
    return sorted(path.name for path in folder.iterdir())


def refuse(number: int) -> object:
    """A stand-in for a function of the file system that fails in this way."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "one"
    with whole_folder(target) as temporary:
        (temporary / "a.txt").write_text("a", encoding="utf-8")
        assert not target.exists()
    assert names_in(tmp_path / "runs") == ["one"]
    assert (target / "a.txt").read_text(encoding="utf-8") == "a"


def test_a_folder_replaces_an_older_one_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with whole_folder(tmp_path / "x") as temporary:
            (temporary / name).touch()
    assert names_in(tmp_path) == ["x"]
    assert names_in(tmp_path / "x") == ["new"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("bug"), SystemExit(1)])
def test_of_a_folder_that_fails_nothing_remains(tmp_path: Path, fault: BaseException) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()

    def write() -> None:
        with whole_folder(tmp_path / "x") as temporary:
            (temporary / "new").touch()
            raise fault

    with pytest.raises(type(fault)):
        write()
    assert names_in(tmp_path) == ["x"]
    assert names_in(tmp_path / "x") == ["old"]


def test_the_older_folder_stays_when_the_last_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x"
    target.mkdir()
    (target / "old").touch()
    rename = Path.rename

    def rename_nothing_new(self: Path, other: Path) -> Path:
        if (self / "new").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", rename_nothing_new)
    with pytest.raises(StorageError, match="the disk is full"), whole_folder(target) as temporary:
        (temporary / "new").touch()
    assert names_in(tmp_path) == ["x"]
    assert names_in(target) == ["old"]


def test_a_file_in_a_folders_place_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("precious", encoding="utf-8")
    with pytest.raises(StorageError, match="a file stands where a folder was expected"), whole_folder(tmp_path / "x"):
        raise AssertionError("the block must not run")
    assert names_in(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text(encoding="utf-8") == "precious"


def test_a_file_in_the_parents_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(StorageError, match="a file stands where a folder was expected"):
        write_whole(tmp_path / "x" / "y", b"")
    with pytest.raises(StorageError, match="a file stands"), whole_folder(tmp_path / "x" / "y"):
        raise AssertionError("the block must not run")


def test_whether_a_folder_can_be_written_is_asked_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_writable(tmp_path / "not" / "there")
    require_writable(tmp_path)
    assert names_in(tmp_path) == []
    monkeypatch.setattr("adkit.files.atomic.tempfile.mkdtemp", refuse(errno.EROFS))
    with pytest.raises(StorageError, match=r"cannot write .*there: the disk is read-only"):
        require_writable(tmp_path / "there")


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_files_and_folders_get_ordinary_modes(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "a", b"")
        with whole_folder(tmp_path / "b"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o750


def test_a_file_is_written_whole_and_replaced_whole(tmp_path: Path) -> None:
    for content in (b"longer than the next", b"short", b""):
        write_whole(tmp_path / "new" / "a.bin", content)
        assert (tmp_path / "new" / "a.bin").read_bytes() == content
    assert names_in(tmp_path / "new") == ["a.bin"]


@pytest.mark.parametrize("step", ["fsync", "replace", "write_bytes"])
def test_of_a_file_that_fails_nothing_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    write_whole(tmp_path / "a", b"old")
    owner = os if step == "fsync" else Path
    monkeypatch.setattr(owner, step, refuse(errno.ENOSPC))
    with pytest.raises(StorageError, match=r"cannot write .*a: the disk is full") as caught:
        write_whole(tmp_path / "a", b"new")
    assert "nothing was left half-written" in caught.value.hint
    assert names_in(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EACCES, "no permission to write"),
        (errno.ENAMETOOLONG, "the path is too long"),
        (errno.EISDIR, "a folder stands where a file was expected"),
        (errno.EBUSY, "it is in use"),
    ],
)
def test_what_a_user_can_mend_is_said(number: int, message: str) -> None:
    with pytest.raises(StorageError, match=f"cannot write here: {message}"), storage_faults(Path("here")):
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("name", [".", "..", "x", "/"])
def test_a_folder_in_a_files_place_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    for write in (require_output, lambda path: write_whole(path, b"")):
        with pytest.raises(StorageError, match="a folder stands where a file was expected"):
            write(Path(name))
    assert names_in(tmp_path / "here") == ["x"]
    for absent in (None, Path("new")):
        require_output(absent)


def test_other_faults_keep_their_traceback() -> None:
    with pytest.raises(OSError, match="Input/output error") as caught, storage_faults(Path("here")):
        raise OSError(errno.EIO, "Input/output error")
    assert not isinstance(caught.value, StorageError)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="the path is too long"):
        write_whole(tmp_path / ("x" * 300), b"")
    assert names_in(tmp_path) == []


def test_a_plain_name_keeps_letters_of_all_scripts_and_no_separators() -> None:
    assert plain_name("Teil_ü 1/..\\x:*?.png") == "Teil_ü-1-..-x---.png"
    assert plain_name("a-b c", "_") == "a-b_c"


def test_a_text_keeps_the_bytes_of_names_that_are_no_utf_8(tmp_path: Path) -> None:
    write_text(tmp_path / "x", os.fsdecode(b"caf\xe9") + "ü")
    assert (tmp_path / "x").read_bytes() == b"caf\xe9" + "ü".encode()


def test_the_checksum_is_sha256() -> None:
    assert checksum(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_without_replace_what_is_there_stays(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "x"
    if kind == "file":
        target.touch()
    else:
        target.mkdir()
    with pytest.raises(FileExistsError, match="x exists already"), whole_folder(target, replace=False):
        raise AssertionError("the block must not run")
    assert names_in(tmp_path) == ["x"]
    assert is_folder(target) is (kind == "folder")


def test_without_replace_a_free_name_is_taken(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "x", replace=False) as temporary:
        (temporary / "new").touch()
    assert names_in(tmp_path / "x") == ["new"]


@pytest.mark.parametrize("noticed", [True, False])
def test_without_replace_what_appears_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noticed: bool
) -> None:
    """Even when it appears between the last look and the renaming."""
    target = tmp_path / "x"
    rename = Path.rename

    def appear() -> None:
        target.mkdir()
        (target / "other").touch()

    def rename_late(self: Path, other: Path) -> Path:
        appear()
        return rename(self, other)

    if not noticed:
        monkeypatch.setattr(Path, "rename", rename_late)

    def write() -> None:
        with whole_folder(target, replace=False) as temporary:
            (temporary / "new").touch()
            if noticed:
                appear()

    with pytest.raises(FileExistsError, match="x exists already"):
        write()
    assert names_in(tmp_path) == ["x"]
    assert names_in(target) == ["other"]


def test_a_folder_is_told_from_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert is_folder(tmp_path)
    assert not any(map(is_folder, (tmp_path / "a", tmp_path / "absent", tmp_path / ("x" * 300))))


def test_what_a_killed_process_left_is_removed_and_an_older_folder_comes_back(tmp_path: Path) -> None:
    target, keep = tmp_path / "target", tmp_path / ".adkit-of-somebody"
    left = left_by_a_killed_process(target)
    (left / "half").touch()
    left.with_name(left.name + "-old").mkdir()
    keep.mkdir()
    with pytest.raises(FileExistsError), whole_folder(target, replace=False):
        pass  # the older one had no name when the process was killed, and has it again
    assert {path.name for path in tmp_path.iterdir()} == {"target", keep.name}
    remove_abandoned.cache_clear()
    half = left_by_a_killed_process(tmp_path / "file.txt")
    half.rmdir()
    half.touch()
    write_whole(tmp_path / "file.txt", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"target", "file.txt", keep.name}


def test_places_where_nothing_can_or_may_be_written_are_told_before(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for path, told in (
        (tmp_path, "a folder stands where a file was expected"),
        (tmp_path / "run" / "model.safetensors", "lies in the run run"),
        (tmp_path / "run" / "maps" / "a.csv", "lies in the run run"),
        (tmp_path / "loop" / "a.csv", "the link leads to itself"),
        (tmp_path / "file" / "a.csv", "a file stands where a folder was expected"),
        (tmp_path / ("x" * 300), "the path is too long"),
        (tmp_path / "pipe", "is a device or a pipe"),
        (tmp_path / ("x" * 300) / "a.csv", "the path is too long"),
    ):
        with pytest.raises(StorageError, match=told):
            require_output(path)
    (tmp_path / "maps" / "result").mkdir(parents=True)
    require_folder_of_results(tmp_path / "maps", tmp_path / "maps")
    with pytest.raises(StorageError, match="run lies in the run run"):
        require_folder_of_results(tmp_path / "run", tmp_path / "run")
    require_output(tmp_path / "run" / "report.html")
    require_output(tmp_path / "new" / "folder" / "a.csv")
    assert not (tmp_path / "new").exists()
