"""Reads the arguments of a command: still images, each by itself, or clips to watch from beginning to end.

    part.png, 'photos/*.jpg'    still images
    line.mp4                    a clip
    folder                      its videos, each a clip; or its images: stills, but for a run that learned from clips
                                the frames of one clip (of several, where they lie in folders of their own)
    rtsp://…, http://…, tcp://… a stream
    0                           a camera, by its number

Stills and clips in one command are refused: their results are different tables.
"""

import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adkit.data.contents import contents_of, is_moving
from adkit.data.folder_names import GOOD
from adkit.data.images import by_page, is_image
from adkit.data.layouts import in_numeric_order, kinds_of, masks_in, require_good
from adkit.data.mask_files import MaskFiles
from adkit.data.packets import begins_as_video
from adkit.data.tables import require_no_table
from adkit.data.video import is_video, video_times
from adkit.errors import DatasetError, FrameError, OptionError, said
from adkit.stats.formatting import counted
from adkit.stats.segments import grouped
from adkit.types import USUAL_RATE, FrameRef, Sample

ANYTHING = "give images, videos, folders or 'globs/*.png', or a stream"
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
        """Say whether it comes as it happens: it cannot wait, and has no end."""
        return self.address is not None

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files that it is made of; of a stream there are none."""
        return self.frames if self.video is None else (self.video,)

    def samples(self) -> list[Sample]:
        """Return its frames as samples of unknown truth, numbered in order; raises FrameError for what is no video."""
        if self.live:
            raise FrameError(f"{self.name} has no end, and cannot be read as a file", hint="watch it: adkit score")
        if self.video is not None:
            return [
                Sample(f"{self.name}#{number}", FrameRef(self.video, number), self.name, number, timestamp_s=time)
                for number, time in enumerate(video_times(self.video).tolist())
            ]
        return [
            Sample(str(path), FrameRef(path), self.name, number, timestamp_s=number / USUAL_RATE)
            for number, path in enumerate(self.frames)
        ]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What arguments name: still images or clips, never both, and what was left out of the folders among them."""

    stills: list[Sample]
    clips: list[VideoInput]
    notes: list[str]


def find_inputs(arguments: Iterable[str], *, of_clips: bool = False, hint: str = ANYTHING) -> Inputs:
    """Return the still images, or the clips, that the arguments name; `of_clips`: for a run that learned from clips.

    Each file comes once, in the order of the arguments; one that is named directly is taken whatever its suffix. Raises
    DatasetError, with the `hint`, when an argument names nothing, and OptionError for stills and clips together.
    """
    stills: dict[Path, Path] = {}  # by resolved path: each file once, whatever it is called
    clips: dict[str, VideoInput] = {}
    notes: list[str] = []
    for argument in arguments:
        try:
            for found in _named(argument, of_clips, notes, hint):
                if isinstance(found, VideoInput):
                    clips.setdefault(found.name, found)
                else:
                    stills.setdefault(found.resolve(), found)
        except OSError as error:
            raise DatasetError(
                f"cannot look for {argument}: {said(str(error.strerror))}", hint="check the path"
            ) from None
    if stills and clips:
        raise OptionError(
            f"{next(iter(stills.values()))} is a still image and {next(iter(clips))} a clip: "
            "they are scored in different ways",
            hint="score them with two commands",
        )
    images = [page for path in stills.values() for page in by_page(Sample.still(str(path), path))]
    return Inputs(images, list(clips.values()), notes)


def require_good_inputs(arguments: Iterable[str], found: Inputs) -> None:
    """Raise DatasetError where names, masks or tables in a folder say that not all that was found in it is good."""
    paths = [one.frame.path for one in found.stills] + [path for clip in found.clips for path in clip.files]
    for folder in filter(Path.is_dir, map(Path, arguments)):
        inside = [path.relative_to(folder).parts for path in paths if path.is_relative_to(folder)]
        require_good(folder, inside)
        kinds = kinds_of(one[:-1] for one in inside)
        unsaid = [one for one in inside if kinds[one[:-1]] is None]
        if unsaid and GOOD in kinds.values():
            told = f"{counted(len(unsaid), 'file', 'lie')} in {folder} beside folders that say good, in none of them"
            raise DatasetError(f"{told}: {'/'.join(unsaid[0])}", hint="name the folders of good ones")
        contents = contents_of(folder)
        masks_in(contents).require_none(folder)
        require_no_table(contents, {name for one in unsaid for name in one})


def _named(argument: str, of_clips: bool, notes: list[str], hint: str) -> Iterator[VideoInput | Path]:
    path = Path(argument)
    if path.is_dir():
        contents = contents_of(path)
        pictures = MaskFiles((contents.inside(file), file) for file in contents.files if is_image(file)).images
        left_out = {*filter(is_image, contents.files)} - {file for _, file in pictures}
        if left_out:
            contents.passed["mask{s}"] = sorted(left_out)
        told = contents.notes(lambda file: is_image(file) or is_moving(file))
        notes += told
        yield from _in_folder(path, [file for file in contents.files if file not in left_out], of_clips, told)
    elif path.is_file():
        yield _file(path, of_clips)
    elif path.exists():
        raise DatasetError(f"{argument} is neither a file nor a folder", hint="give images, videos or folders of them")
    elif "://" in argument:
        yield _stream(argument)
    elif argument.isdecimal():
        yield _camera(int(argument))
    else:
        named = [match for match in _matches(path) if is_video(match) or is_image(match)]
        if not named:
            source, colon, _ = argument.partition(":")
            if colon and len(source) > 1 and source.isidentifier():
                hint = f"no dataset is meant here ({source}:…), but files and folders: {hint}"
            raise DatasetError(f"there is no file {argument}", hint=hint)
        for match in named:
            yield _file(match, of_clips)


def _matches(pattern: Path) -> list[Path]:
    """Return the files that a pattern fits, sorted; as much of it as there is stands for itself, [brackets] too."""
    place = next(folder for folder in pattern.parents if folder.is_dir())
    names = glob.glob(str(pattern.relative_to(place)), root_dir=place, recursive=True)  # noqa: PTH207
    return sorted(match for name in names if (match := place / name).is_file())


def _file(path: Path, of_clips: bool) -> VideoInput | Path:
    moves = _moves(path, of_clips) or (not is_image(path) and begins_as_video(path))
    return VideoInput(str(path), video=path) if moves else path


def _moves(path: Path, of_clips: bool) -> bool:
    """Say whether a file is a video; an animation is one to those who learned from clips."""
    return is_moving(path) if of_clips else is_video(path)


def _in_folder(folder: Path, files: Sequence[Path], of_clips: bool, told: Sequence[str]) -> Iterator[VideoInput | Path]:
    videos = [path for path in files if _moves(path, of_clips)]
    images = [path for path in files if is_image(path) and not _moves(path, of_clips)]
    if videos and images:
        both = f"the folder {folder} holds videos ({videos[0].name}) and images ({images[0].name})"
        raise OptionError(both, hint=f"name one sort: '{folder}/*{videos[0].suffix}' or '{folder}/*{images[0].suffix}'")
    if not videos and not images:
        none = "; ".join([f"there is no image in the folder {folder}", *told])
        raise DatasetError(none, hint="name a folder of images")
    if videos:
        yield from (VideoInput(str(path), video=path) for path in in_numeric_order(videos))
    elif of_clips:
        clips = grouped(in_numeric_order(images), lambda path: path.parent)
        yield from (VideoInput(str(parent), frames=tuple(frames)) for parent, frames in clips.items())
    else:
        yield from images


def _stream(argument: str) -> VideoInput:
    scheme = argument.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise DatasetError(f"{argument} is not a stream that can be opened", hint=f"known: {', '.join(SCHEMES)}")
    return VideoInput(argument, address=argument)


def _camera(number: int) -> VideoInput:
    if sys.platform != "linux":
        hint = "let a program such as ffmpeg or OBS offer the camera as a stream, and name its address"
        raise DatasetError(f"cameras are known by number on Linux only, and camera {number} was asked for", hint=hint)
    device = f"/dev/video{number}"
    if not Path(device).exists():
        raise DatasetError(f"there is no camera {number}: {device} is missing", hint="list them: ls /dev/video*")
    return VideoInput(f"camera {number}", address=device, format="v4l2")
