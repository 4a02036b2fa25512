"""H.264 and HEVC as a camera writes them, without a container: only its frames say what is missing."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

_UNIT = re.compile(rb"\x00\x00\x01")
_HEAD_BYTES = 96  # of a unit: all that is read here
_MOST_GAPS = 0.1  # of all frames; with more, the encoder counts in its own way
_WITH_CHROMA = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)  # profiles of H.264


class RawFrames:
    """Watches what is sent to a decoder and what comes back, and says which frames were lost on the way.

    Frames tell their place in the order in which they are shown (H.264, 7.4.3; HEVC, 7.4.7.1): where places are
    empty, some were lost in the file. A decoder drops others without a word.
    """

    def __init__(self, codec: str) -> None:
        self._is_hevc = codec == "hevc"
        self._reads = codec in ("h264", "hevc")
        self._place_bits = 0  # 0: they cannot be read
        self._passed_over = 0  # bits in the head of each slice
        self._gives_output = False
        self._number_bits, self._only_frames = 4, True
        self._waiting: set[int] = set()  # numbers of packets, in the order of decoding
        self._begins = 2**63  # the least that was shown
        self._places: dict[int, int] = {}  # and the numbers of the packets, since they were last counted from 0
        self._last = 0  # place
        self._count = 0
        self._gaps: list[int] = []  # one for each frame

    def sent(self, packet: Any, number: int) -> None:
        """Note a packet that carries no time."""
        if not self._reads:
            return
        self._count += 1
        leading = self._look(bytes(packet), number)
        if self._is_hevc:  # of H.264, a packet may be half a frame, and all that can be shown is shown
            packet.pts = number
            if not leading:
                self._waiting.add(number)

    def shown(self, frames: Iterable[Any]) -> None:
        """Note frames that came back."""
        if self._is_hevc:
            for frame in frames:
                self._waiting.discard(frame.pts)
                self._begins, frame.pts = min(self._begins, frame.pts), None

    def lost(self) -> list[int]:
        """Return for each frame that is missing the number of the packet about which it should be."""
        self._start_anew()
        gaps = self._gaps if len(set(self._gaps)) <= max(2, _MOST_GAPS * self._count) else []
        return sorted([*gaps, *(number for number in self._waiting if number > self._begins)])

    def _look(self, coded: bytes, number: int) -> bool:
        """Read the place of a frame; say whether it is shown only if what lies before its key frame was decoded."""
        for found in _UNIT.finditer(coded):
            unit = coded[found.end() : found.end() + _HEAD_BYTES].replace(b"\0\0\3", b"\0\0")
            try:
                if (place := self._read(_Bits(unit))) is None:
                    continue
            except ValueError:  # it ends too early
                return False
            if place >= 0:
                half = 1 << max(0, self._place_bits - 1)
                self._last += (place - self._last + half) % (2 * half) - half
                if self._last in self._places and self._only_frames:
                    self._gaps.append(number)  # a frame that is counted from was lost
                    self._start_anew()
                self._places.setdefault(self._last, number)
            return self._is_hevc and unit[0] >> 1 in (8, 9)
        return False

    def _read(self, bits: "_Bits") -> int | None:
        """Return the place that a slice's head tells, without its upper bits; -1: unknown, None: it is no slice."""
        kind = bits(8) >> 1 & 63 if self._is_hevc else bits(8) & 31
        if self._is_hevc:
            bits(8)
            if kind == 33:
                self._place_bits = _hevc_place_bits(bits)
            elif kind == 34:
                bits.number(), bits.number(), bits(1)
                self._gives_output, self._passed_over = bool(bits(1)), bits(3)
            return self._hevc_place(bits, kind) if kind < 32 else None
        if kind == 7:
            self._place_bits, self._number_bits, self._only_frames = _h264_sizes(bits)
        return self._h264_place(bits, kind) if kind in (1, 5) else None

    def _hevc_place(self, bits: "_Bits", kind: int) -> int:
        bits(2 if 16 <= kind <= 23 else 1)
        bits.number(), bits(self._passed_over), bits.number(), bits(self._gives_output)
        if kind in (19, 20):  # counted from here
            self._start_anew()
            self._last = 0
            return 0
        return bits(self._place_bits) if self._place_bits else -1

    def _h264_place(self, bits: "_Bits", kind: int) -> int:
        bits.number(), bits.number(), bits.number(), bits(self._number_bits)
        if not self._only_frames and bits(1):
            bits(1)
        if kind == 5:
            bits.number()
            self._start_anew()
            self._last = 0
        return bits(self._place_bits) if self._place_bits else -1

    def _start_anew(self) -> None:
        """Look for empty places among those since the last frame that was counted from."""
        places = sorted(self._places.items())
        steps = Counter(later - one for (one, _), (later, _) in pairwise(places))
        step = min((step for step, count in steps.items() if 2 * count >= len(places) - 1), default=0)
        if step:
            for (one, number), (later, _) in pairwise(places):
                self._gaps += [number] * ((later - one) // step - 1)
        self._places.clear()


class _Bits:
    """The bits of a unit, one after the other; raises ValueError behind its end."""

    def __init__(self, unit: bytes) -> None:
        self._value, self._left = int.from_bytes(unit), 8 * len(unit)

    def __call__(self, count: int) -> int:
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def number(self) -> int:
        """Read one of the numbers whose length is told by zeroes before them."""
        zeroes = 0
        while not self(1):
            zeroes += 1
        return (1 << zeroes) - 1 + self(zeroes)


def _hevc_place_bits(bits: _Bits) -> int:
    bits(4)
    layers = bits(3)
    bits(1), bits(96)
    told = [(bits(1), bits(1)) for _ in range(layers)]
    bits(2 * (8 - layers) if layers else 0)
    for profile, level in told:
        bits(88 * profile + 8 * level)
    bits.number()
    if bits.number() == 3:
        bits(1)
    bits.number(), bits.number()
    if bits(1):
        bits.number(), bits.number(), bits.number(), bits.number()
    bits.number(), bits.number()
    return bits.number() + 4


def _h264_sizes(bits: _Bits) -> tuple[int, int, bool]:
    """Return the bits of a place and of a frame's number, and whether there are only whole frames."""
    profile = bits(8)
    bits(16), bits.number()
    if profile in _WITH_CHROMA:
        if bits.number() == 3:
            bits(1)
        bits.number(), bits.number(), bits(1)
        if bits(1):
            return 0, 4, True  # tables for quantization stand here
    number_bits = bits.number() + 4
    if bits.number():
        return 0, 4, True  # shown in the order of decoding, or in one that is computed
    place_bits = bits.number() + 4
    bits.number(), bits(1), bits.number(), bits.number()
    return place_bits, number_bits, bool(bits(1))
