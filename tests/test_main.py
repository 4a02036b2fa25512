"""How the command begins."""

from __future__ import annotations

import importlib
import signal
from pathlib import Path

import pytest

from adkit.__main__ import _interrupt, main


def test_a_current_folder_that_was_deleted_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)  # else the tests' own would be another
    folder.rmdir()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[0] == "error: the current folder was deleted"


def test_ctrl_c_ends_at_once_while_something_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def end(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("adkit.__main__._exit", end)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "interrupted_one.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        with pytest.raises(SystemExit, match="130"):
            importlib.import_module("interrupted_one")
        assert capfd.readouterr().err == "interrupted: nothing was left half-written\n"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
