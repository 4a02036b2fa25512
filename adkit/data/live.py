"""Streams and cameras: frames as they come, over as many connections as it takes."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from adkit.data.inputs import VideoInput
from adkit.data.video import Video, VideoFrame
from adkit.errors import FrameError
from adkit.stats.formatting import clock

STALLED_S = 5.0  # a source that sends nothing for so long is taken to be lost
PATIENCE_S = 60.0  # a source that does not come back within this time is given up, when nobody says
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nothing came, in seconds from the first frame, and why."""

    start_s: float  # the last frame before
    end_s: float | None  # the first frame after; None: it did not come back
    reason: str


@dataclass
class LiveFeed:
    """The frames of a live source until `stop` is set, `limit_s` have passed, or it is lost for `patience_s`.

    Numbers and times go on over all connections: times by the source's own clock, after a gap by this machine's. A
    recording that a server offers ends at its end. Raises FrameError when it cannot be opened in the first place, when
    a recording breaks off, and when the source was given up.
    """

    video: VideoInput
    stop: threading.Event = field(default_factory=threading.Event)
    limit_s: float | None = None
    patience_s: float = PATIENCE_S
    stalled_s: float = STALLED_S
    tell: Callable[[str], None] | None = None  # called with the reason whenever the source is lost
    gaps: list[Gap] = field(default_factory=list, init=False)

    def __iter__(self) -> Iterator[VideoFrame]:
        number, connection, last_s = 0, 0, 0.0
        began = 0.0  # on this machine's clock
        lost: FrameError | None = None
        lost_at, pause_s = 0.0, _FIRST_PAUSE_S
        recorded = False
        while not self.stop.is_set():
            offset_s: float | None = None
            try:
                with self._opened() as video:
                    recorded = video.is_recording
                    for decoded in video:
                        if offset_s is None:
                            offset_s, pause_s = 0.0, _FIRST_PAUSE_S
                            if number == 0:
                                began = time.monotonic()
                            else:
                                offset_s = max(last_s + 1 / video.rate, time.monotonic() - began)
                                connection += 1
                                self.gaps.append(Gap(last_s, offset_s, lost.message if lost else "it ended"))
                            lost = None
                        last_s = offset_s + decoded.time_s
                        yield replace(decoded, number=number, time_s=last_s, connection=connection)
                        number += 1
                        if self.stop.is_set() or (self.limit_s is not None and last_s >= self.limit_s):
                            return
                    if recorded:
                        return
                    raise FrameError(f"{self.video.name} ended", hint="")
            except FrameError as error:
                if number == 0 or recorded:  # from its beginning again, it would be judged twice
                    raise FrameError(error.message, hint="check the source, its address and the network") from None
                if lost is None:
                    lost_at = time.monotonic()
                    lost = error
                    if self.tell:
                        self.tell(error.message)
            left_s = math.inf if self.limit_s is None else began + self.limit_s - time.monotonic()
            if left_s <= 0:
                self.gaps.append(Gap(last_s, None, lost.message))
                return
            if time.monotonic() - lost_at + pause_s > self.patience_s:
                self.gaps.append(Gap(last_s, None, lost.message))
                raise FrameError(
                    f"{self.video.name} was lost after {clock(last_s)} and did not come back "
                    f"within {self.patience_s:g} s: {lost.message}",
                    hint="check the source and the network; --reconnect-timeout SECONDS waits longer",
                )
            self.stop.wait(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _opened(self) -> Video:
        assert self.video.address is not None
        options = {"rtsp_transport": "tcp"} if self.video.address.startswith("rtsp") else {}
        return Video(self.video.address, format=self.video.format, options=options, timeout=self.stalled_s)
