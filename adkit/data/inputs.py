"""What the arguments of a command mean: still images, each by itself, or clips to watch from beginning to end.

    part.png, 'photos/*.jpg'    still images
    line.mp4                    a clip
    folder                      its videos, each a clip; or its images: stills, but for a run that learned from clips
                                the frames of one clip (of several, where they lie in folders of their own)
    rtsp://…, http://…, tcp://… a stream
    0                           a camera, by its number

Stills and clips in one command are refused: their results are different tables.
"""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adkit.data.images import is_image
from adkit.data.video import is_video, video_times
from adkit.errors import DatasetError, OptionError
from adkit.types import USUAL_RATE, FrameRef, Sample

SCHEMES = ("http", "https", "rtmp", "rtsp", "rtsps", "srt", "tcp", "udp")


@dataclass(frozen=True, slots=True)
class VideoInput:
    """One clip to watch: a video file, a folder of frames, or what is live. One of the three is given."""

    name: str  # as the user named it
    video: Path | None = None
    frames: tuple[Path, ...] = ()  # image files in their order, 25 a second
    address: str | None = None  # of a stream or camera, as FFmpeg takes it
    format: str | None = None  # FFmpeg's word for what is there, where it must be told

    @property
    def live(self) -> bool:
        """Whether it comes as it happens: it cannot wait, and has no end."""
        return self.address is not None

    def samples(self) -> list[Sample]:
        """Its frames as samples of unknown truth, numbered in order; raises FrameError for what is no video."""
        if self.video is not None:
            return [
                Sample(f"{self.name}#{number}", FrameRef(self.video, number), self.name, number, timestamp_s=time)
                for number, time in enumerate(video_times(self.video).tolist())
            ]
        return [
            Sample(str(path), FrameRef(path), self.name, number, timestamp_s=number / USUAL_RATE)
            for number, path in enumerate(self.frames)
        ]


def meant_by(arguments: Sequence[str], *, of_clips: bool) -> list[Sample] | list[VideoInput]:
    """The still images, or the clips, that the arguments name; `of_clips`: for a run that learned from clips.

    Raises DatasetError when an argument names nothing, OptionError for stills and clips together.
    """
    stills: list[str] = []
    clips: dict[str, VideoInput] = {}
    for argument in arguments:
        try:
            for found in _meant(argument, of_clips):
                if isinstance(found, VideoInput):
                    clips.setdefault(found.name, found)
                else:
                    stills.append(found)
        except OSError as error:
            raise DatasetError(f"cannot look for {argument}: {error.strerror}", hint="check the path") from None
    if stills and clips:
        raise OptionError(
            f"{stills[0]} is a still image and {next(iter(clips))} a clip: they are scored in different ways",
            hint="score them with two commands",
        )
    return list(clips.values()) if clips else loose_samples(stills)


def in_numeric_order(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted as people number files: 2.jpg before 10.jpg."""

    def key(path: Path) -> list[tuple[int, int | str]]:
        parts = re.split(r"(\d+)", str(path))
        return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]

    return sorted(paths, key=key)


def _meant(argument: str, of_clips: bool) -> Iterator[VideoInput | str]:
    path = Path(argument)
    if path.is_dir():
        yield from _in_folder(path, of_clips)
    elif path.exists():
        yield _file(path, of_clips)
    elif "://" in argument:
        yield _stream(argument)
    elif argument.isdecimal():
        yield _camera(int(argument))
    else:
        matches = [Path(match) for match in sorted(glob.glob(argument, recursive=True))]  # noqa: PTH207
        named = [match for match in matches if match.is_file() and (is_video(match) or is_image(match))]
        if not named:
            raise DatasetError(
                f"there is no file {argument}", hint="give images, videos, folders or 'globs/*.png', or a stream"
            )
        for match in named:
            yield _file(match, of_clips)


def _file(path: Path, of_clips: bool) -> VideoInput | str:
    return VideoInput(str(path), video=path) if _moves(path, of_clips) else str(path)


def _moves(path: Path, of_clips: bool) -> bool:
    """Whether a file is a video; an animation is one to those who learned from clips."""
    return is_video(path) or (of_clips and is_image(path) and path.suffix.lower() == ".gif")


def _in_folder(folder: Path, of_clips: bool) -> Iterator[VideoInput | str]:
    files = [inner for inner in folder.rglob("*") if inner.is_file() and (is_video(inner) or is_image(inner))]
    videos = [path for path in files if _moves(path, of_clips)]
    images = [path for path in files if not _moves(path, of_clips)]
    if videos and images:
        raise OptionError(
            f"the folder {folder} holds videos ({videos[0].name}) and images ({images[0].name})",
            hint=f"name one sort: '{folder}/*{videos[0].suffix}' or '{folder}/*{images[0].suffix}'",
        )
    if videos:
        yield from (VideoInput(str(path), video=path) for path in in_numeric_order(videos))
    elif images and of_clips:
        clips: dict[Path, list[Path]] = {}
        for path in in_numeric_order(images):
            clips.setdefault(path.parent, []).append(path)
        yield from (VideoInput(str(parent), frames=tuple(frames)) for parent, frames in clips.items())
    else:
        yield str(folder)  # an empty one is refused with the stills


def _stream(argument: str) -> VideoInput:
    scheme = argument.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise DatasetError(f"{argument} is not a stream that can be opened", hint=f"known: {', '.join(SCHEMES)}")
    return VideoInput(argument, address=argument)


def _camera(number: int) -> VideoInput:
    if sys.platform != "linux":
        raise DatasetError(
            f"cameras are known by number on Linux only, and camera {number} was asked for",
            hint="let a program such as ffmpeg or OBS offer the camera as a stream, and name its address",
        )
    device = f"/dev/video{number}"
    if not Path(device).exists():
        raise DatasetError(f"there is no camera {number}: {device} is missing", hint="list them: ls /dev/video*")
    return VideoInput(f"camera {number}", address=device, format="v4l2")


def loose_samples(arguments: Iterable[str]) -> list[Sample]:
    """Images named by paths, folders (searched with all they contain) and glob patterns, each file once.

    A file that is named directly is taken whatever its suffix. Raises DatasetError when an argument names
    nothing.
    """
    paths: dict[Path, Path] = {}  # by resolved path: each file once, whatever it is called
    for argument in arguments:
        try:
            for path in _images_of(argument):
                paths.setdefault(path.resolve(), path)
        except OSError as error:
            raise DatasetError(f"cannot look for {argument}: {error.strerror}", hint="check the path") from None
    return [Sample.still(str(path), path) for path in paths.values()]


def _images_of(argument: str) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        found = sorted(inner for inner in path.rglob("*") if inner.is_file() and is_image(inner))
        if not found:
            raise DatasetError(f"there is no image in the folder {argument}", hint="name a folder of images")
    elif path.exists():
        found = [path]
    else:
        found = sorted(Path(match) for match in glob.glob(argument, recursive=True))  # noqa: PTH207
        found = [match for match in found if match.is_file() and is_image(match)]
        if not found:
            raise DatasetError(f"there is no file {argument}", hint="give images, folders or 'globs/*.png'")
    return found
