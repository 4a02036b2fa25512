"""Where the pieces of a large work are done: here one after another, or by the workers of a Ray cluster.

Workers read and write files by the same paths as this machine, and must have the same versions of everything: then
the results are those that one machine gives. A piece whose worker dies is done again by another.
"""

import importlib
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from adkit.errors import AdkitError, OptionError
from adkit.registry import load_registry
from adkit.workflows.fit import versions

Item = TypeVar("Item")
Result = TypeVar("Result")
LOCAL = "local"
_SAME = "install the same versions on all machines of the cluster"
TRIES = 4
"""So many workers may die of one piece."""
_AHEAD = 4  # pieces for each core that are under way: results wait for their turn, and must fit into memory
_ANSWER_S = 5.0
_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _SETTINGS
"""How a connection by HTTP/2 begins, which Ray talks, with a frame of no settings. Whoever talks it sends one too."""
_LOOK_S = 0.5  # between looks at whether to stop
_STOP_S = 20.0  # for workers to end in order, before they are interrupted again


def each(
    engine: str,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    gpu: bool = False,
    stop: threading.Event | None = None,
) -> Iterator[Result | AdkitError]:
    """Yield what becomes of each item, in their order: the result of `work`, or the AdkitError that it raised.

    `engine` is "local", "ray" (the cluster that $RAY_ADDRESS names, else this machine's cores) or "ray=ADDRESS"; for
    Ray, `work` and items must be picklable. With `gpu`, each piece gets a GPU of its own. When `stop` is set no piece
    is begun any more, and workers are interrupted as by Ctrl-C: what they give then still comes. Raises AdkitError for
    a cluster that does not answer, one of other versions, and one that lost a piece several times.
    """
    require_engine(engine)
    stop = stop or threading.Event()
    items = (item for item in items if not stop.is_set())
    if engine == LOCAL:
        yield from (_attempt(work, item) for item in items)
        return
    with _cluster(engine.partition("=")[2]) as ray:
        yield from _on_cluster(ray, work, items, gpu, stop)


def require_engine(engine: str) -> None:
    """Raise OptionError for an engine that does not exist, is not installed or does not answer: Ray waits minutes."""
    name, _, address = engine.partition("=")
    if engine == LOCAL:
        return
    if name != "ray" or engine == "ray=":
        raise OptionError(f"there is no engine {engine!r}", hint="--engine local, ray or ray=HOST:PORT")
    try:
        _ray()
    except ImportError:
        hint = "pip install 'adkit-vision[ray]', or '.[ray]' in the folder of its source"
        raise OptionError("--engine ray needs ray, which is not installed", hint=hint) from None
    address = address or os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host:
        try:
            with socket.create_connection((host, int(port)), timeout=_ANSWER_S) as connection:
                connection.sendall(_GREETING)
                if "RAY_USE_TLS" not in os.environ and connection.recv(9)[3:4] != _SETTINGS[3:4]:
                    raise OSError("what listens there is something else")
        except (OSError, ValueError) as error:
            raise _unreachable(address, _in_a_line(error)) from None


def _attempt(work: Callable[[Item], Result], item: Item) -> Result | AdkitError:
    try:
        return work(item)
    except AdkitError as error:
        return error


def _on_cluster(
    ray: Any, work: Callable[[Item], Result], coming: Iterator[Item], gpu: bool, stop: threading.Event
) -> Iterator[Result | AdkitError]:
    task = ray.remote(max_retries=TRIES - 1, num_gpus=int(gpu))(_piece)
    shared, told = ray.put(work), (_installed(), str(Path.cwd()))
    waiting = deque[Any]()
    try:
        while True:
            most = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while len(waiting) < most and (item := next(coming, told)) is not told:
                waiting.append(task.remote(shared, item, *told))
            if not waiting:
                return
            while not ray.wait([waiting[0]], timeout=_LOOK_S)[0]:
                if stop.is_set():
                    _interrupt(ray, waiting)
            with suppress(ray.exceptions.TaskCancelledError):
                yield _result(ray, waiting.popleft())
    finally:
        _interrupt(ray, waiting)


def _interrupt(ray: Any, pieces: Iterable[Any]) -> None:
    """Drop pieces that have not begun, and raise KeyboardInterrupt in the workers of others; wait until they end."""
    for piece in pieces:
        ray.cancel(piece)
    if left := list(pieces):
        ray.wait(left, num_returns=len(left), timeout=_STOP_S)


def _result(ray: Any, piece: Any) -> Any:
    """Return what became of a piece; raises AdkitError where it cannot be done on this cluster."""
    try:
        usable, result = ray.get(piece)
    except (ray.exceptions.TaskCancelledError, ray.exceptions.RayTaskError):
        raise  # interrupted; or a bug, with the worker's traceback
    except ray.exceptions.RayError as error:
        first = str(error).partition("\n")[0]
        hint = "look at the cluster's logs; of memory, fewer workers a machine take less: ray start --num-cpus"
        raise AdkitError(f"every worker that had this piece of work died, {TRIES} in all: {first}", hint=hint) from None
    if not usable:
        raise result
    return result


def _piece(
    work: Callable[[Item], Result], item: Item, expected: dict[str, str], folder: str
) -> tuple[bool, Result | AdkitError]:
    """Do one piece in a worker; False with an AdkitError where this worker cannot be one."""
    host = socket.gethostname()
    if differing := sorted(dict(expected.items() ^ _installed().items())):
        own, there = expected.get(differing[0], "none"), _installed().get(differing[0], "none")
        message = f"{differing[0]} is {there} on the worker {host}, and {own} on this machine"
        return False, AdkitError(message, hint=_SAME)
    try:
        os.chdir(folder)
    except OSError:
        hint = "share data and results by the same path on all machines of the cluster"
        return False, AdkitError(f"there is no folder {folder} on the worker {host}", hint=hint)
    return True, _attempt(work, item)


@cache
def _installed() -> dict[str, str]:
    """Say what a result may depend on: versions of libraries and of plugins."""
    return versions() | {plugin.name: plugin.origin for plugin in load_registry().plugins}


def _ray() -> Any:
    """Import it, settled for what its environment does not say."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "5")  # a second each: whom a cluster refuses, it refuses again
    return importlib.import_module("ray")


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Give the library, connected; a cluster that was connected before stays so."""
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    on_end = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address or None, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        told = _in_a_line(error)
        if told.startswith("Version mismatch"):  # of Ray or of Python, of which nothing can be asked of a worker
            raise OptionError(f"the Ray cluster at {address} is of other versions: {told}", hint=_SAME) from None
        raise _unreachable(address or "this machine", told) from None
    if callable(on_end) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_end)  # Ray takes it for itself
    try:
        yield ray
    finally:
        ray.shutdown()


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _unreachable(address: str, why: str) -> OptionError:
    hint = (
        "look at `ray status` there; a cluster is begun by `ray start --head`, and named --engine ray=HOST:6379; "
        "of one that asks for a token: export RAY_AUTH_MODE=token"
    )
    return OptionError(f"no Ray cluster answers at {address}: {why}", hint=hint)
