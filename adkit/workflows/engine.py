"""Where the pieces of a large work are done: here one after another, or by the workers of a Ray cluster.

Workers read and write files by the same paths as this machine, and must have the same versions of everything: then
the results are those that one machine gives. A piece whose worker dies is done again by another.
"""

import importlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from adkit.errors import AdkitError, OptionError
from adkit.registry import load_registry
from adkit.workflows.fit import versions

Item = TypeVar("Item")
Result = TypeVar("Result")

LOCAL = "local"
TRIES = 4
"""So many workers may die of one piece."""
_AHEAD = 4  # pieces for each core that are under way: results wait for their turn, and must fit into memory
_ANSWER_S = 5.0


def each(
    engine: str, work: Callable[[Item], Result], items: Iterable[Item], *, gpu: bool = False
) -> Iterator[Result | AdkitError]:
    """Yield what becomes of each item, in their order: the result of `work`, or the AdkitError that it raised.

    `engine` is "local", "ray" (the cluster that $RAY_ADDRESS names, else this machine's cores) or "ray=ADDRESS"; for
    Ray, `work` and items must be picklable. With `gpu`, each piece gets a GPU of its own. Raises AdkitError for a
    cluster that does not answer, one of other versions, and one that lost a piece several times.
    """
    require_engine(engine)
    if engine == LOCAL:
        for item in items:
            yield _attempt(work, item)
        return
    with _cluster(engine.partition("=")[2]) as ray:
        yield from _on_cluster(ray, work, items, gpu)


def require_engine(engine: str) -> None:
    """Raise OptionError for an engine that does not exist, is not installed or does not answer: Ray waits minutes."""
    name, _, address = engine.partition("=")
    if engine == LOCAL:
        return
    if name != "ray":
        raise OptionError(f"there is no engine {engine!r}", hint="--engine local, ray or ray=HOST:PORT")
    try:
        importlib.import_module("ray")
    except ImportError:
        hint = "pip install 'adkit-vision[ray]', or '.[ray]' in the folder of its source"
        raise OptionError("--engine ray needs ray, which is not installed", hint=hint) from None
    address = address or os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host:
        try:
            socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
        except (OSError, ValueError) as error:
            raise _unreachable(address, _first_line(error)) from None


def _attempt(work: Callable[[Item], Result], item: Item) -> Result | AdkitError:
    try:
        return work(item)
    except AdkitError as error:
        return error


def _on_cluster(
    ray: Any, work: Callable[[Item], Result], items: Iterable[Item], gpu: bool
) -> Iterator[Result | AdkitError]:
    task = ray.remote(max_retries=TRIES - 1, num_gpus=int(gpu))(_piece)
    shared, told = ray.put(work), (_installed(), str(Path.cwd()))
    coming, waiting = iter(items), deque[Any]()
    while True:
        most = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        while len(waiting) < most and (item := next(coming, told)) is not told:
            waiting.append(task.remote(shared, item, *told))
        if not waiting:
            return
        try:
            usable, result = ray.get(waiting.popleft())
        except ray.exceptions.RayTaskError:
            raise  # a bug, with the worker's traceback
        except ray.exceptions.RayError as error:
            first = str(error).partition("\n")[0]
            hint = "look at the cluster's logs; of memory, fewer workers a machine take less: ray start --num-cpus"
            raise AdkitError(
                f"every worker that had this piece of work died, {TRIES} in all: {first}", hint=hint
            ) from None
        if not usable:
            raise result
        yield result


def _piece(
    work: Callable[[Item], Result], item: Item, expected: dict[str, str], folder: str
) -> tuple[bool, Result | AdkitError]:
    """Do one piece in a worker; False with an AdkitError where this worker cannot be one."""
    host = socket.gethostname()
    if differing := sorted(dict(expected.items() ^ _installed().items())):
        own, there = expected.get(differing[0], "none"), _installed().get(differing[0], "none")
        message = f"{differing[0]} is {there} on the worker {host}, and {own} on this machine"
        return False, AdkitError(message, hint="install the same versions on all machines of the cluster")
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


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Give the library, connected; a cluster that was connected before stays so."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    ray = importlib.import_module("ray")
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(address or None, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _unreachable(address or "this machine", _first_line(error)) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _unreachable(address: str, why: str) -> OptionError:
    hint = "look at `ray status` there; a cluster is begun by `ray start --head`, and named --engine ray=HOST:6379"
    return OptionError(f"no Ray cluster answers at {address}: {why}", hint=hint)
