"""Work that is done ahead by another thread: what is slow to make waits ready when it is asked for."""

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")


def ahead(
    items: Generator[Item],
    most: int,
    dropped: Callable[[Item], None] | None = None,
    waits: Callable[[Item], bool] = lambda _: False,
) -> Generator[Item]:
    """Yield the items, made by a thread at most `most` ahead of who asks for them, and any exception in its turn.

    The thread waits while so many wait. With `dropped` it does so for an item that `waits`, and goes on for others: the
    oldest that waits is dropped and told to that (from the thread). When the walk ends early, the thread closes `items`
    and ends too.
    """
    waiting: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(most)
    over = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> None:
        late = dropped is not None and error is None and not waits(item)  # type: ignore[arg-type]
        while not over.is_set():
            try:
                waiting.put((item, error), timeout=0 if late else 0.1)
            except queue.Full:
                if late and dropped is not None:
                    with suppress(queue.Empty):  # it was taken in the meantime
                        dropped(waiting.get_nowait()[0])  # type: ignore[arg-type]
                continue
            return

    def make() -> None:
        try:
            for item in items:
                put(item, None)
                if over.is_set():
                    return
            put(None, StopIteration())
        except BaseException as error:  # whatever it is belongs to the thread that asks
            put(None, error)
        finally:
            items.close()

    thread = threading.Thread(target=make, name="ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        over.set()
        thread.join()
