"""What is new in a clip that is being watched."""

from collections.abc import Iterator
from typing import Literal

from adkit.data.live import Gap
from adkit.watching.events import Event
from adkit.watching.watch import Watch

What = Literal["began", "ended", "back"]


class News:
    """Each call tells what happened since the one before: events that began or ended, and times without the source."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._begun = self._ended = self._gaps = 0

    def __call__(self) -> Iterator[tuple[What, Event | Gap]]:
        """Yield what is new, in its order."""
        watch = self._watch
        for gap in watch.gaps[self._gaps :]:
            self._gaps += 1
            yield "back", gap
        for event in watch.events[self._ended :]:
            yield from self._begin(event)
            self._ended += 1
            yield "ended", event
        if watch.under_way:
            yield from self._begin(watch.under_way)

    def _begin(self, event: Event) -> Iterator[tuple[What, Event]]:
        if event.number > self._begun:
            self._begun = event.number
            yield "began", event
