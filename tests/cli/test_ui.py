"""What keeps `adkit ui` from starting is told in two lines; and progress as a program reads it."""

from __future__ import annotations

import json
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

from adkit.cli.commands import ui
from adkit.cli.terminal import JsonLines, terminal_progress
from tests.cli.invoking import refused


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ui, "find_spec", lambda name: None if name == "gradio" else name)
    error, hint = refused("ui")
    assert error == "the page needs gradio, not installed here"
    assert hint == "pip install 'adkit-vision[ui]', or '.[ui]' in the folder of its source"
    monkeypatch.setattr(ui, "find_spec", lambda _: None)
    error, _ = refused("ui", "--api-only")
    assert "fastapi" in error
    assert "gradio" not in error


@pytest.fixture
def installed() -> None:
    if find_spec("gradio") is None:
        pytest.skip("the extra ui is not installed")


@pytest.mark.usefixtures("installed")
def test_other_machines_need_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADKIT_TOKEN", raising=False)
    error, hint = refused("ui", "--host", "0.0.0.0", "--port", 0)
    assert "no token is set" in error
    assert "ADKIT_TOKEN" in hint
    error, _ = refused("ui", "--host", "0.0.0.0", "--token", "1234")
    assert "4 characters" in error


@pytest.mark.usefixtures("installed")
def test_a_port_that_is_taken_and_a_host_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error, hint = refused("ui", "--port", port, "--runs", tmp_path)
    assert f"port {port}" in error
    assert f"--port {port + 1}" in hint
    error, hint = refused("ui", "--host", "nowhere.invalid", "--token", "long enough")
    assert "nowhere.invalid" in error
    assert "an address of this machine" in hint


def test_progress_for_programs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ADKIT_PROGRESS", "json")
    progress = terminal_progress()
    assert isinstance(progress, JsonLines)
    progress.status("nothing is open")
    with progress.task("cells", 2) as outer:
        with progress.task("training", 3) as inner:
            inner(1)  # too soon after the last line
            progress.status("epoch 2: loss 0.1", {"loss": 0.123})
            inner(1)
            outer(1)  # of an outer step: told when it is the innermost again
        outer(1)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["steps"][-1], line["done"], line["status"]) for line in lines] == [
        ("cells", 0, ""),
        ("training", 0, ""),
        ("training", 2, "epoch 2: loss 0.1"),
        ("training", 2, "epoch 2: loss 0.1"),
        ("cells", 2, ""),
    ]
    assert [line["figures"] for line in lines] == [{}, {}, {"loss": 0.123}, {}, {}]
    assert lines[1]["steps"] == ["cells", "training"]
    assert {line["total"] for line in lines} == {2, 3}
    assert all(line["elapsed_s"] >= 0 for line in lines)


def test_a_step_that_fails_is_closed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    progress = JsonLines()
    with progress.task("outer", 1), pytest.raises(ValueError, match="x"), progress.task("inner", 1):
        raise ValueError("x")
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["steps"] == ["outer"]
