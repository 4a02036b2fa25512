"""Connections over which nobody asks anything: each has a deadline, and an address only so many of them."""

import asyncio
import logging
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0
"""So long, and at most twice as long, a connection may be open without a whole request on its way."""
MOST_OF_ADDRESS = 200
"""Connections at once; a proxy before the server has one address for all who ask."""
SILENT_S = 60.0

log = logging.getLogger("adkit.ui")


class PatientProtocol(H11Protocol):
    """HTTP as uvicorn speaks it, but not for ever with those who say nothing."""

    def connection_made(self, transport: Any) -> None:
        """Take a connection, or close it where its address has too many."""
        super().connection_made(transport)
        others = [one for one in self.connections if one is not self and _address(one) == _address(self)]
        if len(others) >= MOST_OF_ADDRESS:
            transport.close()
            return
        self.loop.call_later(HEADERS_S, self._look, None)

    def _look(self, before: object) -> None:
        """Close the connection where it waits for headers as it did at the last look."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # it is a websocket by now
            return
        cycle: Any = self.cycle
        waits = cycle is None or cycle.response_complete
        if waits and (cycle is None or cycle is before):
            self.transport.close()
        else:
            self.loop.call_later(HEADERS_S, self._look, cycle)


def _address(connection: Any) -> str | None:
    return connection.client[0] if connection.client else None


def quiet_faults(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop tell of faults of its own, such as too many open files, once a minute at most."""
    told: dict[str, float] = {}

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        what, now = str(context.get("message")), time.monotonic()
        if now - told.get(what, -SILENT_S) >= SILENT_S:
            told[what] = now
            log.warning("%s: %s", what, context.get("exception"))

    loop.set_exception_handler(tell)
