"""Videos in the containers that people have, and what happens to videos: cut, joined, damaged, turned; made by code.

`TABLE` says what becomes of each; tests hold it true, and docs/video.md shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = (48, 64)
RATE = 25
FRAMES = 40
CODECS: dict[str, tuple[str, str | None]] = {
    "mp4": ("libx264", "aac"),
    "mov": ("libx264", "aac"),
    "mkv": ("libx264", "aac"),
    "avi": ("mpeg4", "mp2"),
    "webm": ("libvpx-vp9", "libopus"),
    "ts": ("libx264", "aac"),
    "mpg": ("mpeg2video", "mp2"),
    "h264": ("libx264", None),
    "h265": ("libx265", None),
    "mjpeg": ("mjpeg", None),
    "gif": ("gif", None),
}
RAW = ("h264", "h265", "mjpeg", "gif")
"""They hold frames only; all but GIF without times."""
_GROUP = "10"  # frames from key frame to key frame
_OPTIONS = {
    "libx264": {"preset": "veryfast", "bf": "2", "g": _GROUP, "keyint_min": _GROUP, "sc_threshold": "0"},
    "mpeg4": {"bf": "2", "g": _GROUP, "sc_threshold": "1000000000", "b": "2000000"},
    "mpeg2video": {"bf": "2", "g": _GROUP, "sc_threshold": "1000000000", "b": "2000000"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "g": _GROUP, "b": "500000"},
    "libx265": {"preset": "ultrafast", "x265-params": f"keyint={_GROUP}:bframes=2:pools=none:log-level=none"},
    "mjpeg": {},
}

ALL, TOLD, LEFT = "all frames", "what is left; told, exit 3", "—"
JOINED, FIRST = "all frames, time goes on; told", "the first video; told, exit 3"
CUT = "all frames that can be shown; told"
REFUSED = "refused: no index; exit 3"
SPOILT = "all frames; what is spoilt is seen, and not told"

TABLE: dict[str, dict[str, str]] = {
    "with sound": dict.fromkeys(CODECS, ALL) | dict.fromkeys(RAW, LEFT),
    "without sound": dict.fromkeys(CODECS, ALL),
    "variable rate": dict.fromkeys(CODECS, ALL) | dict.fromkeys(("avi", "mpg", *RAW), LEFT) | {"gif": ALL},
    "open groups of pictures": dict.fromkeys(CODECS, ALL) | dict.fromkeys(("avi", "webm", "mpg", "mjpeg", "gif"), LEFT),
    "begins before 0": dict.fromkeys(CODECS, LEFT) | dict.fromkeys(("mkv", "webm"), ALL),
    "trimmed at a key frame": dict.fromkeys(CODECS, ALL) | {"avi": CUT, "mpg": LEFT} | dict.fromkeys(RAW, LEFT),
    "trimmed elsewhere": dict.fromkeys(CODECS, LEFT) | dict.fromkeys(("mkv", "ts", "mpg"), CUT),
    "joined end to end": dict.fromkeys(CODECS, JOINED)
    | {"mp4": FIRST, "mov": FIRST, "avi": ALL}
    | dict.fromkeys(RAW, ALL),
    "turned, mirrored": dict.fromkeys(CODECS, LEFT) | dict.fromkeys(("mp4", "mov", "mkv"), "upright"),
    "zeroes within": dict.fromkeys(CODECS, TOLD),
    "noise within": dict.fromkeys(CODECS, TOLD) | {"h265": SPOILT},
    "a part cut out": dict.fromkeys(CODECS, TOLD) | {"h265": SPOILT} | dict.fromkeys(("mp4", "mov"), REFUSED),
    "cut off": dict.fromkeys(CODECS, TOLD) | dict.fromkeys(("mp4", "mov"), REFUSED),
}
"""By circumstance and container."""


def table() -> Iterator[str]:
    """The lines of `TABLE` in Markdown, each outcome with the containers of which it is true."""
    yield "| a video … | what is read, and what is said |"
    yield "|---|---|"
    for circumstance, outcomes in TABLE.items():
        groups: dict[str, list[str]] = {}
        for container, outcome in outcomes.items():
            if outcome != LEFT:
                groups.setdefault(outcome, []).append(container)
        told = "<br>".join(f"{', '.join(names)}: {what}" for what, names in groups.items())
        yield f"| {circumstance} | {told} |"


def level(number: int) -> int:
    """The grey by which a frame can be known."""
    return 20 + 4 * number


def known_by(pixels: NDArray[np.uint8]) -> float:
    """The number of the frame that an image shows."""
    return (float(pixels[:, 4:28].mean()) - 20) / 4


def write_container(
    path: Path,
    *,
    sound: bool = False,
    times_s: Sequence[float] | None = None,
    open_groups: bool = False,
    turned: tuple[int, bool] | None = None,
    starts_s: float = 0.0,
) -> Path:
    """Write 40 frames, half of each a grey and half noise; `turned` is by how much counter-clockwise, and mirrored."""
    codec, audio_codec = CODECS[path.suffix[1:]]
    if codec == "gif":
        return _write_gif(path, times_s or [number / RATE for number in range(FRAMES)])
    options = _OPTIONS[codec] | ({"x264-params": "open-gop=1"} if open_groups else {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1  # several write other bytes on a busy machine: cuts fall elsewhere
        tick = Fraction(1, 1000 if times_s else RATE)
        stream.codec_context.time_base = tick
        if turned:
            stream.set_display_rotation(turned[0], hflip=turned[1])
        audio = container.add_stream(audio_codec, rate=48000, layout="mono") if sound and audio_codec else None
        heard = 0
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(pixels_of(number), format="rgb24")
            frame.time_base = tick
            frame.pts = round((starts_s + (times_s[number] if times_s else number / RATE)) / tick)
            container.mux(stream.encode(frame))
            while audio and heard < (number + 1) * 48000 / RATE:
                length = audio.codec_context.frame_size or 1024
                kind = audio.codec_context.format.name
                silence = np.zeros((1, length), np.float32 if kind.startswith("flt") else np.int16)
                quiet = av.AudioFrame.from_ndarray(silence, format=kind, layout="mono")
                quiet.sample_rate, quiet.time_base, quiet.pts = 48000, Fraction(1, 48000), heard
                container.mux(audio.encode(quiet))
                heard += length
        container.mux(stream.encode(None))
        if audio:
            container.mux(audio.encode(None))
    return path


def pixels_of(number: int) -> NDArray[np.uint8]:
    """Return the frame of this number: half a grey, half noise."""
    pixels = np.random.default_rng(number).integers(60, 200, (*SIZE, 3), dtype=np.uint8)
    pixels[:, :32] = level(number)
    return pixels


def _write_gif(path: Path, times_s: Sequence[float]) -> Path:
    first, *others = [Image.fromarray(pixels_of(number)).convert("L") for number in range(FRAMES)]
    durations = [round(1000 * (later - time_s)) for time_s, later in pairwise(times_s)]
    first.save(path, save_all=True, append_images=others, duration=[*durations, durations[-1]])
    return path


def trim(
    source: Path,
    target: Path,
    start_s: float,
    *,
    keep_negative: bool = False,
    anywhere: bool = False,
    movflags: str = "",
) -> Path:
    """Copy without coding again, from the key frame before `start_s`, which becomes 0, or from `anywhere` behind it."""
    options = {"avoid_negative_ts": "disabled"} if keep_negative else {"movflags": movflags} if movflags else {}
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        assert stream.time_base is not None
        skipped = round(start_s / stream.time_base) + (stream.start_time or 0)
        packets = [packet for packet in old.demux(stream) if packet.dts is not None]
        early = [place for place, one in enumerate(packets) if one.is_keyframe and (one.pts or 0) <= skipped]
        for packet in packets[early[-1] + (3 if anywhere else 0) :]:
            packet.pts, packet.dts = (packet.pts or 0) - skipped, (packet.dts or 0) - skipped
            packet.stream = copy
            new.mux(packet)
    return target


def join(first: Path, second: Path, target: Path) -> Path:
    """As `cat first second > target`."""
    target.write_bytes(first.read_bytes() + second.read_bytes())
    return target


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "zeroes within": lambda part: bytes(len(part)),
    "noise within": lambda part: np.random.default_rng(0).bytes(len(part)),
    "a part cut out": lambda _: b"",
}


def damage(source: Path, target: Path, how: Callable[[bytes], bytes] = DAMAGES["zeroes within"]) -> Path:
    """Replace 1,500 bytes in the middle."""
    content = source.read_bytes()
    middle = len(content) // 2
    target.write_bytes(content[:middle] + how(content[middle : middle + 1500]) + content[middle + 1500 :])
    return target


def cut_off(source: Path, target: Path) -> Path:
    """Keep the first 60 %."""
    content = source.read_bytes()
    target.write_bytes(content[: len(content) * 6 // 10])
    return target
