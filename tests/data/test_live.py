"""Streams, served on this machine: they stall, drop, come back, or outrun the method."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from adkit.data.inputs import VideoInput
from adkit.data.live import LiveFeed
from adkit.data.video import video_times
from adkit.errors import FrameError
from adkit.types import Batch, Prediction
from adkit.watching.watch import Settings, Watch
from adkit.workflows.score import open_model
from tests.watched import fit_video, video_of, watched_registry

Serve = Callable[[socket.socket, int], None]
"""What is done with each connection, and its number."""


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Six seconds as MPEG-TS."""
    return video_of(tmp_path_factory.mktemp("stream") / "a.ts", 60, [range(20, 30)]).read_bytes()


@contextmanager
def served(serve: Serve) -> Iterator[int]:
    """A port at which connections are answered one after another."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def answer() -> None:
            number = 0
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection, suppress(OSError):  # who listened has left
                    serve(connection, number)
                number += 1

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


def feed(port: int, *, scheme: str = "tcp", **settings: float) -> LiveFeed:
    address = f"{scheme}://127.0.0.1:{port}"
    return LiveFeed(VideoInput(address, address=address), **settings)  # type: ignore[arg-type]


def collected(source: LiveFeed) -> tuple[list[tuple[int, float, int]], FrameError | None]:
    found = []
    try:
        for frame in source:
            found.append((frame.number, frame.time_s, frame.connection))
    except FrameError as error:
        return found, error
    return found, None


def test_a_source_that_ends_comes_back_with_numbers_and_times_going_on(stream: bytes) -> None:
    with served(lambda connection, number: connection.sendall(stream) if number < 2 else time.sleep(0.1)) as port:
        source = feed(port, patience_s=2.0, stalled_s=1.0)
        found, error = collected(source)
    numbers, times, connections = zip(*found, strict=True)
    assert list(numbers) == list(range(len(found)))
    assert list(times) == sorted(times)
    assert connections.count(0) > 50
    assert connections.count(1) > 50
    first, last = source.gaps
    assert first.start_s == pytest.approx(5.9, abs=0.3)
    assert first.end_s == times[connections.index(1)]
    assert (last.end_s, last.start_s) == (None, times[-1])
    assert error is not None
    assert "did not come back within 2 s" in error.message


def test_a_source_that_stalls_is_opened_anew(stream: bytes) -> None:
    def serve(connection: socket.socket, number: int) -> None:
        connection.sendall(stream if number else stream[: len(stream) // 2])
        if number == 0:
            time.sleep(2)  # silence, the connection being open

    with served(serve) as port:
        source = feed(port, patience_s=5.0, stalled_s=0.5)
        frames = iter(source)
        found = [next(frames) for _ in range(50)]
        source.stop.set()
        assert list(frames) == []
    assert found[-1].connection == 1
    (gap,) = source.gaps
    assert gap.reason.endswith(": nothing came in time")


def test_a_source_can_be_watched_over_http(stream: bytes) -> None:
    def serve(connection: socket.socket, _: int) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + stream)

    with served(serve) as port:
        found, error = collected(feed(port, scheme="http", limit_s=3.0))
    assert error is None
    assert found[-1][1] == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
def test_a_recording_on_a_server_is_walked_once(name: str, share: float, tmp_path: Path) -> None:
    """It was played again for ever. One that breaks off is told: from its beginning again, it would count twice."""
    content = video_of(tmp_path / name, 60, [range(20, 30)]).read_bytes()

    def serve(connection: socket.socket, _: int) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        connection.sendall(content[: int(share * len(content))])

    with served(serve) as port:
        source = feed(port, scheme="http", patience_s=3.0)
        found, error = collected(source)
    assert (error is None) == (share == 1)
    assert len(found) == 60 if share == 1 else 0 < len(found) < 60
    assert {connection for _, _, connection in found} == {0}
    assert source.gaps == []


def test_a_source_that_is_not_there_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found, error = collected(feed(port))
    assert not found
    assert error is not None
    assert "cannot be read as a video: connection refused" in error.message
    assert error.hint == "check the source, its address and the network"


def test_a_source_that_stays_away_is_left_when_its_time_is_over(stream: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = feed(server.getsockname()[1], limit_s=2.0, patience_s=20.0)
        threading.Thread(target=_serve_once, args=(server, stream[: len(stream) // 4])).start()
        began = time.monotonic()
        found, error = collected(source)
    assert error is None
    assert found
    assert time.monotonic() - began < 10
    assert [gap.end_s for gap in source.gaps] == [None]


def _serve_once(server: socket.socket, content: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(content)
    server.close()


def test_events_end_with_the_connection_and_the_video_plays(stream: bytes, tmp_path: Path) -> None:
    registry = watched_registry()
    model = open_model(
        fit_video(registry, video_of(tmp_path / "n.mp4", 220), tmp_path / "runs"), registry, device="cpu"
    )
    wrong = video_of(tmp_path / "b.ts", 20, [range(10, 20)]).read_bytes()  # it breaks off while something is wrong
    with served(lambda connection, number: connection.sendall((wrong, stream)[min(number, 1)])) as port:
        address = f"tcp://127.0.0.1:{port}"
        settings = Settings(annotate=tmp_path / "out.mp4", duration_s=5.0, every=1)
        watch = Watch(model, VideoInput(address, address=address), settings)
        results = list(watch)
    assert len(watch.gaps) == 1
    first, second = watch.events
    assert first.end_s == pytest.approx(2.0)  # its last frame is shown for as long as the one before
    assert watch.gaps[0].start_s == pytest.approx(1.9)
    assert watch.gaps[0].end_s < second.start_s  # type: ignore[operator]
    assert [first.number, second.number] == [1, 2]
    assert len(results) + watch.dropped == watch.source.seen
    assert len(video_times(tmp_path / "out.mp4")) == len(results)


def test_a_slow_method_loses_the_oldest_frames_and_counts_them(
    stream: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = watched_registry()
    model = open_model(
        fit_video(registry, video_of(tmp_path / "n.mp4", 220), tmp_path / "runs"), registry, device="cpu"
    )
    quick = model.method.predict

    def slow(batch: Batch) -> Prediction:
        assert len(batch) == 1
        time.sleep(0.1)
        return quick(batch)

    monkeypatch.setattr(model.method, "predict", slow)
    with served(lambda connection, _: connection.sendall(stream)) as port:
        address = f"tcp://127.0.0.1:{port}"
        watch = Watch(model, VideoInput(address, address=address), Settings(duration_s=5.0))
        frames = [result.index for result in watch]
    assert watch.dropped > 20
    assert frames[:15] == list(range(15))  # of what a connection held back
    assert len(frames) + watch.dropped == watch.source.seen
    assert frames == sorted(frames)
    assert frames[-1] == watch.source.seen - 1  # the newest is judged
