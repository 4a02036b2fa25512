"""Signs of damage in what was coded, which decoders pass over without a word; sound videos of any encoder have none."""

import re
from pathlib import Path

_ZEROES = bytes(32)
_ZEROES_WITHIN = re.compile(rb"\x00{32}[^\x00\x01]")  # but not before a start code, where any number may stand
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_NO_MARKER = re.compile(rb"\xff[\x01-\xbf]")
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_SCAN_ENDS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_BETWEEN_SCANS = frozenset((0xC4, *range(0xD9, 0xDE), *range(0xE0, 0xF0), 0xFE, 0xFF))  # markers
_FLAT_BYTES = 256  # of zeroes: half a block of a disk; shorter ones are flat parts of an image, as a rule
_LEFT_OVER_BYTES = 1024  # more than the last block of an image takes


def is_broken(codec: str, coded: bytes) -> bool:
    """Say whether a packet of MJPEG, H.264 or HEVC holds what no encoder writes."""
    if codec == "mjpeg":
        return _is_broken_jpeg(coded)
    return codec in ("h264", "hevc") and _ZEROES in coded and any(map(_ZEROES_WITHIN.search, _units(coded)))


def _units(coded: bytes) -> list[bytes]:
    """Split a packet with lengths before its units; one with start codes, as in streams, is searched as a whole."""
    units, at = [], 0
    while at < len(coded):
        length = int.from_bytes(coded[at : at + 4])
        units.append(coded[at + 4 : at + 4 + length])
        at += 4 + length
    if at == len(coded):
        return units
    return [coded] if coded.startswith((b"\0\0\1", b"\0\0\0\1")) else []  # else lengths are of another size


def _is_broken_jpeg(coded: bytes) -> bool:
    """Look at its coded pixels: at markers that cannot stand there, and whether some are left when it is whole."""
    start = coded.find(b"\xff\xda") + 2
    if start < 2:
        return False
    ends = coded.rfind(b"\xff\xd9", start)
    if _MARKER.search(coded, start, len(coded) if ends < 0 else ends):  # in most there is none
        ends = coded.find(b"\xff\xd9", start)  # of the first of two half frames
        scan = coded[start:ends] if ends > 0 else coded[start:]
        restarts = enumerate(_RESTART.findall(scan))
        if _NO_MARKER.search(scan) or any(marker[0] != 0xD0 + number % 8 for number, marker in restarts):
            return True
    whole = coded if ends < 0 else coded[:ends]
    return whole.find(bytes(_FLAT_BYTES), start) > 0 and _is_whole(whole[:-_LEFT_OVER_BYTES])


def is_broken_photo(coded: bytes) -> bool:
    """Say whether a JPEG file's coded pixels hold what no encoder writes; what lies before and behind may be all."""
    at, start, scans, progressive, restarting = 2, 0, 0, False, False
    while (place := coded.find(b"\xff", at)) >= 0 and (marker := coded[place + 1]) != 0xD9:
        if scans and (place > at or marker not in _BETWEEN_SCANS):
            return True
        if marker == 0xFF:  # filled up
            at = place + 1
            continue
        progressive |= marker == 0xC2
        restarting |= marker == 0xDD
        at = place + 2 + int.from_bytes(coded[place + 2 : place + 4])
        if marker != 0xDA:
            continue
        scans, start = scans + 1, at
        ends = (_SCAN_ENDS if restarting else _MARKER).search(coded, at)
        at = ends.start() if ends else len(coded)
        restarts = enumerate(_RESTART.findall(coded, start, at)) if restarting else ()
        if any(one[0] != 0xD0 + number % 8 for number, one in restarts):
            return True
    flat = scans == 1 and not progressive and coded.find(bytes(_FLAT_BYTES), start, at) > 0
    return flat and (_is_whole(coded[: at - _LEFT_OVER_BYTES]) or not _is_whole(coded[:at]))


def _is_whole(coded: bytes) -> bool:
    """Say whether a JPEG can be decoded to its end; if it can although its end was taken away, that was none of it."""
    import av

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        return bool(decoder.decode(av.Packet(coded + b"\xff\xd9")))
    except av.error.FFmpegError:
        return False


def broken_frame(path: Path) -> int | None:
    """Return the number, from 0, of a GIF's first frame that is not whole; None: all are."""
    from PIL import Image  # only where there is a GIF

    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            try:
                image.seek(number)
                image.load()
            except (OSError, EOFError, SyntaxError, ValueError):
                return number
    return None
