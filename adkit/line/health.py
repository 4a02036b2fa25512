"""A line now and then that says that a watch lives, and how far it is."""

from collections import Counter
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from threading import Event

from adkit.line.journal import Journal, following
from adkit.stats.formatting import counted


def tell_health(
    every_s: float, journal: Journal, receivers: Collection[str], stop: Event, tell: Callable[[str], None]
) -> None:
    """Say every so often how parts were decided since the start, when last, and who waits; until `stop` is set."""
    counts, read, last, at_once = Counter[str](), journal.path.stat().st_size, "", Event()
    at_once.set()
    while not stop.wait(every_s):
        for row, end in following(journal.path, at_once, read):
            counts[row["decision"]] += 1
            last, read = f", the last at {row['time'][11:19]}", end
        decided = ", ".join(f"{count:,} {decision}" for decision, count in sorted(counts.items()))
        waiting = ", ".join(name for name in receivers if journal.noted(name) < read)
        tell(
            f"{datetime.now(UTC):%H:%M:%S} UTC: {counted(counts.total(), 'decision')} since the start"
            + (f" ({decided}){last}" if decided else "")
            + (f"; some wait for: {waiting}" if waiting else "")
        )
