"""Pieces of work done here and by a real Ray cluster of two workers on this machine."""

import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from adkit.cli.stopping import stopping
from adkit.errors import AdkitError, FrameError, OptionError, PromiseError
from adkit.workflows import engine
from adkit.workflows.engine import each, require_engine


def through_pickle(
    _: str, work: Callable[[Any], Any], items: Iterable[Any], *, gpu: bool, stop: object = None
) -> Iterator[Any]:
    """Do the work as a worker would, in this process: what cannot be sent there fails here too."""
    assert not gpu
    sent = pickle.dumps(work)
    for item in items:
        yield pickle.loads(pickle.dumps(engine._attempt(pickle.loads(sent), pickle.loads(pickle.dumps(item)))))


def squared(number: int, faulty: int = -1) -> int:
    if number == faulty:
        raise FrameError(f"{number} cannot be read", hint="leave it out")
    return number * number


def killed_once(number: int, marks: Path) -> tuple[int, int]:
    """Note who does it; the worker that is given number 3 dies of it the first time."""
    first = not (marks / str(number)).exists()
    with (marks / str(number)).open("a") as file:
        file.write("x")
    if number == 3 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    return number, os.getpid()


def until_interrupted(number: int, marks: Path) -> int:
    """Take long, and end in order when it is interrupted, as a clip does; the first ends by itself."""
    with stopping() as stop:
        deadline = time.monotonic() + 60
        while number and not stop.is_set() and time.monotonic() < deadline:
            time.sleep(0.05)
    (marks / str(number)).touch()
    return number


def killing(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.fixture(scope="module")
def two_workers() -> Iterator[None]:
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'adkit-vision[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def test_here_one_after_another() -> None:
    assert list(each("local", squared, range(4))) == [0, 1, 4, 9]
    found = list(each("local", partial(squared, faulty=1), range(3)))
    assert [found[0], found[2]] == [0, 4]
    assert isinstance(found[1], FrameError)


@pytest.mark.usefixtures("two_workers")
def test_a_cluster_gives_the_same_in_the_same_order() -> None:
    assert list(each("ray", squared, range(40))) == [number * number for number in range(40)]
    found = list(each("ray", partial(squared, faulty=1), range(3)))
    assert [found[0], found[2]] == [0, 4]
    assert isinstance(found[1], FrameError)
    assert (found[1].message, found[1].hint) == ("1 cannot be read", "leave it out")


@pytest.mark.usefixtures("two_workers")
def test_workers_of_other_versions_or_without_the_folder_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_installed", lambda: {"adkit": "0.0.1"})
    with pytest.raises(AdkitError, match=r"adkit is \d+\.\d+.* on the worker .*, and 0\.0\.1 on this machine"):
        list(each("ray", squared, range(1)))
    monkeypatch.undo()
    monkeypatch.setattr(Path, "cwd", lambda: Path("/not/shared"))
    with pytest.raises(AdkitError, match="there is no folder /not/shared on the worker") as fault:
        list(each("ray", squared, range(1)))
    assert "by the same path" in fault.value.hint


@pytest.mark.usefixtures("two_workers")
def test_what_a_killed_worker_had_is_done_again(tmp_path: Path) -> None:
    found = list(each("ray", partial(killed_once, marks=tmp_path), range(8)))
    assert [number for number, _ in found] == list(range(8))  # type: ignore[misc]
    assert os.getpid() not in {process for _, process in found}  # type: ignore[misc]
    assert (tmp_path / "3").read_text() == "xx"


@pytest.mark.usefixtures("two_workers")
def test_what_workers_give_when_they_are_stopped_still_comes(tmp_path: Path) -> None:
    stop, coming, started = threading.Event(), [], time.monotonic()
    for found in each("ray", partial(until_interrupted, marks=tmp_path), range(30), stop=stop):
        coming.append(found)
        stop.set()
    assert coming[0] == 0
    assert len(coming) <= 3  # the first, and what the two workers were at
    assert {path.name for path in tmp_path.iterdir()} == set(map(str, coming))
    assert time.monotonic() - started < 50


@pytest.mark.usefixtures("two_workers")
def test_a_piece_that_kills_every_worker_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TRIES", 1)
    with pytest.raises(AdkitError, match="every worker that had this piece of work died, 1 in all"):
        list(each("ray", killing, range(1)))


@pytest.mark.parametrize("listens", [False, True])
def test_a_cluster_that_does_not_answer_is_told_at_once(listens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens, or something that never says a word."""
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setattr(engine, "_ANSWER_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if listens:
            taken.listen()
        with pytest.raises(OptionError, match="no Ray cluster answers at 127") as fault:
            require_engine(f"ray=127.0.0.1:{taken.getsockname()[1]}")
    assert ("timed out" if listens else "refused") in fault.value.message
    assert "ray start --head" in fault.value.hint


def test_a_cluster_of_another_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: object, **__: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.60.0\n    Python: 3.12.1")

    ray = ModuleType("ray")
    monkeypatch.setitem(vars(ray), "init", init)
    monkeypatch.setitem(vars(ray), "is_initialized", lambda: False)
    monkeypatch.setitem(vars(ray), "exceptions", SimpleNamespace(RayError=ConnectionError))
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(OptionError, match=r"of other versions: .* Python: 3\.12\.1") as fault:
        list(each("ray", squared, range(1)))
    assert "same versions" in fault.value.hint


def test_what_listens_must_talk_as_ray_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(words: bytes) -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(100))
                connection.sendall(words)

        for words, usable in ((b"HTTP/1.1 400 Bad Request", False), (engine._SETTINGS, True)):
            thread = threading.Thread(target=answer, args=(words,))
            thread.start()
            with nullcontext() if usable else pytest.raises(OptionError, match="something else"):
                require_engine(f"ray=127.0.0.1:{server.getsockname()[1]}")
            thread.join()
    assert heard == [engine._GREETING] * 2


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match="needs ray, which is not installed") as fault:
        list(each("ray", squared, range(1)))
    assert "adkit-vision[ray]" in fault.value.hint


def test_another_engine_is_refused() -> None:
    with pytest.raises(OptionError, match="there is no engine 'dask'"):
        list(each("dask", squared, range(1)))


def test_faults_come_back_from_another_process_whole() -> None:
    error = PromiseError("too few", hint="add more", needs=7)
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is PromiseError
    assert (found.message, found.hint, found.needs) == ("too few", "add more", 7)
