"""A video's packets in the order of decoding, with stamps by which time only goes on, and what is wrong with them."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from heapq import heappop, heappush
from itertools import chain, islice, pairwise
from pathlib import Path
from statistics import median
from typing import Any

from adkit.data.bitstreams import broken_frame
from adkit.stats.formatting import clock
from adkit.types import USUAL_RATE

LEAP_S = 10.0
"""A transport or programme stream whose clock jumps ahead by more than this was joined, as FFmpeg has it too."""
_UNREAD_BYTES = 200  # between two packets of a Matroska file: more than its headers take
_JOINT_PACKETS = 16  # what a joint breaks lies so near to it, or less
_REORDERED = 32  # packets, at least, between two that are not shown in the order in which they are decoded
_LEAD_PACKETS = 200
_MOST_UNREAD = 0.1  # of a file, behind its last packet: what comes there is no index any more
_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # of an ASF file; its length in bytes is among them
_HEAD_BYTES = 4096
_BEGINNING = re.compile(rb"....ftyp(?!avi|hei|hev|mif|msf)|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|#EXTM3U", re.DOTALL)
_BOXES = (b"ftyp", b"mdat", b"wide", b"free", b"skip")  # of MP4 and QuickTime files
_ENDS = {"gif": b";", "mjpeg": b"\xff\xd9"}
_TRANSPORT = {0: 188, 4: 192}  # bytes of a transport stream's packet, by where its first one begins (MTS: after a time)


@dataclass
class Packets:
    """The packets of one stream; walk them once, then read what was found on the way."""

    container: Any
    stream: Any
    jumps: list[tuple[float, float]] = field(default_factory=list, init=False)  # at which time, by how many seconds
    damages_s: list[float] = field(default_factory=list, init=False)  # when something is broken or missing
    count: int = field(default=0, init=False)
    _offset: int = field(default=0, init=False)  # what is added to the file's own stamps
    _first: int | None = field(default=None, init=False)  # the least mended stamp
    _highest: int | None = field(default=None, init=False)  # mended, as are all below
    _longest: int = field(default=0, init=False)  # from one frame to one that comes later
    _decoded: int | None = field(default=None, init=False)  # when the last packet was to be decoded
    _ends: float = field(default=0.0, init=False)  # in seconds by the file's own clock: of all its streams
    _recent: deque[int] = field(default_factory=lambda: deque(maxlen=_REORDERED), init=False)  # mended stamps
    _reached: int = field(default=0, init=False)  # in bytes of the file, the end of the last packet
    _broken: list[tuple[int, float]] = field(default_factory=list, init=False)  # number and time of broken packets

    def __post_init__(self) -> None:
        self._time_base = Fraction(self.stream.time_base or Fraction(1, 1000))  # of a second, in which stamps count
        self.tick_s = float(self._time_base)
        self._may_leap, self._is_matroska = self._flag("ts_discont"), "matroska" in str(self.container.format.name)

    def __iter__(self) -> Iterator[Any]:
        """Yield the packets of all frames, discarded ones too, then one without content, which ends the decoding."""
        own = self._own()
        early = list(islice(own, 1))
        if early and early[0].pts is None and not self._flag("no_timestamps"):
            # Some files tell no time of what lies before 0. It is shown before all that has one.
            early += islice(own, _LEAD_PACKETS)
            lowest = min((packet.pts for packet in early if packet.pts is not None), default=None)
            unknown = [packet for packet in early if packet.size and packet.pts is None]
            for before, packet in enumerate(reversed(unknown), 1):
                if lowest is not None:
                    packet.pts = packet.dts = lowest - before * self.step
        for packet in chain(early, own):
            yield self._mended(packet) if packet.size else packet

    def _flag(self, name: str) -> bool:
        """Say whether FFmpeg says so of the format."""
        import av

        return bool(self.container.format.flags & av.format.Flags[name].value)

    @cached_property  # asked for each packet
    def step(self) -> int:
        """Say how long a frame is usually shown, in the time base."""
        rate = self.stream.average_rate or self.stream.guessed_rate or USUAL_RATE
        return max(1, round(1 / (Fraction(rate) * self._time_base)))

    def seconds(self, stamp: int) -> float:
        """Return the seconds from the first packet that a mended stamp means."""
        return max(0.0, (stamp - (self._first or 0)) * self.tick_s)

    @property
    def without_stamps(self) -> bool:
        """Say whether no packet so far had a time."""
        return self._highest is None

    @property
    def reached_s(self) -> float:
        """Say when the last frame so far is shown, in seconds; of streams without times, by how many there are."""
        return self.count * self.step * self.tick_s if self._highest is None else self.seconds(self._highest)

    @property
    def missing_s(self) -> float:
        """Say how many seconds, by what the file says of itself, come after the last packet; 0: it is whole."""
        name, said = self.container.format.name, 0.0
        step_s = self.step * self.tick_s
        reached = 0.0 if self._highest is None else self.seconds(self._highest) + step_s
        if self.jumps:
            return 0.0
        if "mp4" in name and self.count < self.stream.frames:
            # Frames that an edit list leaves out are counted too and never come: the length tells the end.
            said = (self.stream.duration or 0) * self.tick_s
        elif name == "avi":
            said = self.stream.frames * step_s
        elif self._is_matroska:
            said, reached = (self.container.duration or 0) / 1e6, max(self._ends, reached)
        # The last frame may be shown for as long as another one was.
        slack_s = max(3 * step_s, 1.5 * self._longest * self.tick_s, 0.01 * said)
        return said - reached if said - reached > slack_s else 0.0

    @property
    def breaks_off(self) -> bool:
        """Say whether a file ends within a packet, a box or a frame, or goes on behind all that was read."""
        path, name = Path(self.container.name), self.container.format.name
        if not path.is_file():  # a stream
            return False
        if "mp4" in name:
            return videos_in(path)[1]
        if name == "flv":
            return bool(self._reached < (1 - _MOST_UNREAD) * self.container.size)
        if name not in ("asf", "mpegts", *_ENDS):
            return False
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            if name == "asf":
                at = head.find(_PROPERTIES)
                said = int.from_bytes(head[at + 40 : at + 48], "little") if at >= 0 else 0
                return said not in (0, self.container.size)
            if name in _ENDS:
                file.seek(max(0, self.container.size - 64))
                return not file.read().rstrip(b"\0").endswith(_ENDS[name])
        unit = next((size for at, size in _TRANSPORT.items() if head[at : at + 1] == b"G"), 1)
        return bool(self.container.size % unit)

    def _own(self) -> Iterator[Any]:
        """Yield this stream's packets; where frames are missing and bytes were passed over, something is broken."""
        whole = self._is_matroska
        end: int | None = None
        hole = False
        for packet in self.container.demux() if whole else self.container.demux(self.stream):
            if whole and packet.size:
                hole = hole or (end is not None and packet.pos is not None and packet.pos - end > _UNREAD_BYTES)
                end = None if packet.pos is None else packet.pos + packet.size
                if packet.pts is not None:
                    self._ends = max(self._ends, (packet.pts + (packet.duration or 0)) * float(packet.time_base))
            if packet.stream is not self.stream and packet.stream.index != self.stream.index:
                continue
            if not packet.size and packet.pts is not None:  # what is shown stays: Ogg writes nothing for it
                continue
            if hole and packet.pts is not None and self._highest is not None:
                gap = packet.pts + self._offset - self._highest
                if gap > (1.5 if packet.is_keyframe else 5.5) * self.step:  # else frames between may come later
                    self.damages_s.append(self.seconds(self._highest + self.step))
                hole = False
            yield packet

    def _mended(self, packet: Any) -> Any:
        self._reached = (packet.pos or 0) + packet.size
        self.count += 1
        if packet.is_discard:  # what an edit list leaves out has stamps among those of what it shows
            return packet
        if packet.pts is None and packet.dts is None:
            if self._highest is None:
                return packet  # raw streams carry no times
            packet.pts = packet.dts = self._highest + self.step - self._offset
        if self._is_jump(packet):
            self._jump(packet)
        if packet.pts is not None:
            packet.pts += self._offset
            while packet.pts in self._recent:  # programme streams tell the time of some frames only
                packet.pts += self.step
            self._recent.append(packet.pts)
            self._first = packet.pts if self._first is None else min(self._first, packet.pts)
            if self._highest is None or packet.pts > self._highest:
                before = packet.pts if self._highest is None else self._highest
                self._longest = max(self._longest, packet.pts - before)
                self._highest = packet.pts
        if packet.dts is not None:
            packet.dts += self._offset
            self._decoded = packet.dts
        if packet.is_corrupt:
            self._broken.append((self.count, self.reached_s))
        return packet

    def _is_jump(self, packet: Any) -> bool:
        """Say whether the clock was set anew before this packet."""
        if self._highest is not None and packet.pts is not None:
            stamp = packet.pts + self._offset
            # All that is decoded before a key frame is shown before it; others come after what was shown already.
            if packet.is_keyframe and stamp < self._highest - self.step:
                return True
            if len(self._recent) == _REORDERED and stamp < min(self._recent):
                return True
        if packet.dts is None or self._decoded is None or self._is_matroska:
            return False  # Matroska holds no times of decoding: FFmpeg guesses them
        ticks = packet.dts + self._offset - self._decoded
        if ticks < -self.step:
            return True
        if packet.pts is not None and self._highest is not None:  # of a pause in one recording, it leapt already
            ticks = min(ticks, packet.pts + self._offset - self._highest)
        return self._may_leap and ticks * self.tick_s > LEAP_S

    def _jump(self, packet: Any) -> None:
        own = packet.pts if packet.pts is not None else packet.dts
        highest = self._highest if self._highest is not None else self._decoded or 0
        shown = sorted(self._recent)
        # A header's rate may be that of what comes after.
        step = int(median(later - earlier for earlier, later in pairwise(shown))) if len(shown) > 1 else self.step
        moved = highest + step - (own + self._offset)
        self.jumps.append((self.seconds(highest + step), -moved * self.tick_s))
        self._offset += moved
        self._decoded = None
        self._recent.clear()
        self._broken = [(number, at_s) for number, at_s in self._broken if number < self.count - _JOINT_PACKETS]

    def broken_s(self) -> list[float]:
        """Return when packets are broken or missing, in their order, but for what a joint breaks."""
        found = [*self.damages_s, *(at_s for _, at_s in self._broken)]
        path = Path(self.container.name)
        if self.container.format.name == "gif" and path.is_file() and (number := broken_frame(path)) is not None:
            found.append(number * self.step * self.tick_s)
        return sorted(found)

    def notes(self, name: str) -> list[str]:
        """Say where the clock was set anew."""
        return [
            f"{name}: its clock jumps {'ahead' if by_s > 0 else 'back'} by {clock(abs(by_s))} at {clock(at_s)}, "
            "as where recordings were joined; time goes on from there"
            for at_s, by_s in self.jumps
        ]


@dataclass
class InOrder:
    """Gives frames in the order in which they are shown growing stamps: those that they have, in their order."""

    most: int  # frames that wait
    _frames: deque[Any] = field(default_factory=deque)
    _stamps: list[int] = field(default_factory=list)  # a heap

    def __call__(self, frames: Iterable[Any], *, last: bool) -> Iterator[tuple[Any, int | None]]:
        """Take further frames, and yield those that need not wait any longer, all of them at the `last` call."""
        for frame in frames:
            self._frames.append(frame)
            if frame.pts is not None:
                heappush(self._stamps, frame.pts)
        while len(self._frames) > (0 if last else self.most):
            frame = self._frames.popleft()
            yield frame, None if frame.pts is None else heappop(self._stamps)


def videos_in(path: Path) -> tuple[int, bool]:
    """Count the indexes of an MP4 or QuickTime file, one for each video, and say whether it ends within its frames."""
    found, size, kind = 0, 0, b""
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, kind = int.from_bytes(head[:4]), head[4:]
            found += kind == b"moov"
            if size == 1:
                size = int.from_bytes(file.read(8)) - 8
            if size < 8:
                break
            file.seek(size - 8, 1)
        breaks_off = kind in (b"mdat", b"moof") and file.tell() > path.stat().st_size
    return found, breaks_off


def lacks_index(path: Path) -> bool:
    """Say whether a file begins as an MP4 or QuickTime one and has no index: it was cut off, or never ended."""
    with path.open("rb") as file:
        return file.read(8)[4:] in _BOXES and videos_in(path)[0] == 0


def begins_as_video(path: Path) -> bool:
    """Say whether a file under any name begins as the usual containers do, or is a playlist of them."""
    with path.open("rb") as file:
        return _BEGINNING.match(file.read(16)) is not None
