from __future__ import annotations

import gc
import logging
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from adkit.nn.features import onnx_session
from adkit.nn.features.onnx_session import OnnxSession, exported_model, facts_of, shared_session

SIZE = (8, 12)
FACTS: dict[str, Any] = {"lengths": [4], "note": "héllo"}


class Doubling(nn.Module):
    """A network of one layer whose result is easy to foretell."""

    def forward(self, frames: Tensor) -> Tensor:
        return 2 * frames + 1


class Calls:
    """Gives the network and the facts, and counts how often it was asked."""

    def __init__(self) -> None:
        self.count = 0

    def network(self) -> nn.Module:
        self.count += 1
        return Doubling().eval()

    def model(self, key: str = "doubling", size: tuple[int, int] = SIZE) -> bytes | None:
        return exported_model(key, self.network, size, lambda: FACTS)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "onnx" / "doubling-8x12.onnx"


@pytest.fixture(scope="module")
def doubling() -> bytes:
    """The network, exported, with its facts."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADKIT_CACHE", folder)
        model = Calls().model()
    assert model is not None
    return model


@pytest.fixture
def quick_export(doubling: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the export is not what matters, there is one for all."""

    def traced(*_: object, **__: object) -> onnx.ModelProto:
        model = onnx.load_from_string(doubling)
        model.metadata_props.clear()
        return model

    monkeypatch.setattr(onnx_session, "quickly_traced", traced)


def assert_doubles(model: bytes | None) -> None:
    assert model is not None
    frames = torch.rand(1, 3, *SIZE)
    (found,) = OnnxSession(model)(frames=frames)
    torch.testing.assert_close(found, 2 * frames + 1)


def test_the_export_is_cached_with_its_facts(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    calls = Calls()
    model = calls.model()
    assert_doubles(model)
    assert model == cache.read_bytes()
    assert facts_of(cache.read_bytes()) == FACTS
    asked = calls.count
    assert calls.model() == model
    assert calls.count == asked, "the cached one is taken"
    assert [path.name for path in cache.parent.iterdir()] == ["doubling-8x12.onnx"]
    assert capfd.readouterr().out == "", "the exporter's chatter must not reach a command's output"


def test_where_the_older_exporter_fails_the_newer_one_is_taken(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export, asked = torch.onnx.export, []

    def newer_only(*arguments: Any, dynamo: bool, **settings: Any) -> Any:
        asked.append(dynamo)
        if not dynamo:
            raise TypeError("dynamo=False is gone")
        return export(*arguments, dynamo=True, **settings)

    monkeypatch.setattr(torch.onnx, "export", newer_only)
    assert_doubles(Calls().model())
    assert asked == [False, True]
    assert cache.exists()


@pytest.mark.parametrize("size", [(8, 16), (6, 12)])
def test_what_hangs_on_the_size_is_exported_for_each(cache: Path, size: tuple[int, int]) -> None:
    class Places(nn.Module):
        def forward(self, frames: Tensor) -> Tensor:
            return frames + torch.arange(frames.shape[-1]) if frames.shape[-2] == SIZE[0] else 2 * frames

    models = [exported_model("places", Places().eval, each, lambda: FACTS) for each in (SIZE, size)]
    assert None not in models
    frames = torch.rand(1, 3, *size)
    torch.testing.assert_close(OnnxSession(models[1] or b"")(frames=frames)[0], Places()(frames))


def test_a_session_is_shared_while_anybody_uses_it(doubling: bytes) -> None:
    first = shared_session(doubling)
    assert shared_session(bytes(bytearray(doubling))) is first
    held = weakref.ref(first)
    del first
    gc.collect()
    assert held() is None


def test_inputs_need_not_be_contiguous(doubling: bytes) -> None:
    session = OnnxSession(doubling)
    frames = torch.rand(12, 8, 3, 1).permute(3, 2, 1, 0)
    torch.testing.assert_close(session(frames=frames)[0], 2 * frames + 1)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_frames_by_a_thread_each_give_what_they_give_alone(doubling: bytes, count: int) -> None:
    session, frames = OnnxSession(doubling), torch.rand(count, 3, *SIZE)
    found = session.each(frames)
    for frame, (output,) in zip(frames, found, strict=True):
        assert torch.equal(output, session(frames=frame[None])[0])


def test_only_the_threads_that_are_needed_are_made_ready(doubling: bytes) -> None:
    live, files = OnnxSession(doubling), OnnxSession(doubling)
    live.each(torch.rand(1, 3, *SIZE))
    files.each(torch.rand(2, 3, *SIZE))
    assert "_apart" not in vars(live)
    assert "_together" not in vars(files)


def test_all_threads_work_on_a_single_frame_also_after_several(
    doubling: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, asked = OnnxSession(doubling), []
    session.each(torch.rand(2, 3, *SIZE))
    monkeypatch.setattr(OnnxSession, "__call__", lambda self, **inputs: asked.append(self) or [inputs["frames"]])
    session.each(torch.rand(1, 3, *SIZE))
    assert asked == [session]


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("content", ["empty", "text", "cut", "without facts"])
def test_a_damaged_cached_file_is_exported_again(
    cache: Path, caplog: pytest.LogCaptureFixture, content: str, doubling: bytes
) -> None:
    bare = doubling.replace(b"adkit", b"other")
    cache.parent.mkdir(parents=True)
    cache.write_bytes({"empty": b"", "text": b"hello", "cut": doubling[:40], "without facts": bare}[content])
    with caplog.at_level(logging.WARNING):
        model = Calls().model()
    assert_doubles(model)
    assert cache.read_bytes() == doubling
    assert "cannot be used" in caplog.text
    assert str(cache) in caplog.text


@pytest.mark.usefixtures("quick_export")
def test_where_the_cache_cannot_be_written_a_folder_of_the_users_own_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file stands here")
    monkeypatch.setenv("ADKIT_CACHE", str(blocked))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    calls = Calls()
    assert_doubles(calls.model())
    asked = calls.count
    assert_doubles(calls.model())
    assert calls.count == asked
    assert caplog.text.count("the network is kept in") == 1
    (own,) = tmp_path.glob("adkit-cache*/onnx")
    own.parent.chmod(0o777)  # others may write it: it is not trusted
    assert_doubles(calls.model())
    assert calls.count > asked
    assert "will be exported again next time" in caplog.text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.usefixtures("quick_export")
def test_a_cache_without_permission_costs_only_time(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.parent.mkdir(parents=True)
    cache.parent.chmod(0o500)
    try:
        with caplog.at_level(logging.WARNING):
            assert_doubles(Calls().model())
    finally:
        cache.parent.chmod(0o700)
    assert "no permission to write" in caplog.text


def test_results_that_differ_from_torch_are_not_used(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Fickle(Calls):
        def network(self) -> nn.Module:
            self.count += 1
            # What is exported first is not what torch computes when both are compared.
            return Doubling() if self.count == 1 else nn.Sequential(Doubling(), nn.Softplus())

    with caplog.at_level(logging.WARNING):
        assert Fickle().model() is None
    assert "results differ from torch's" in caplog.text
    assert not cache.exists()


def test_results_that_are_not_finite_are_not_used(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(nn.Module):
        def forward(self, frames: Tensor) -> Tensor:
            return (frames - 2).log()

    with caplog.at_level(logging.WARNING):
        assert exported_model("doubling", lambda: Broken().eval(), SIZE, lambda: FACTS) is None
    assert not cache.exists()
