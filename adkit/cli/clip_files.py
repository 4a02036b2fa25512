"""Which files are written for clips, and that none of them is an input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adkit.errors import OptionError

if TYPE_CHECKING:
    from adkit.data.inputs import VideoInput


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that were asked for. With several clips, `annotate` and `timeline` are folders."""

    annotate: Path | None
    events: Path | None
    timeline: Path | None
    rows: Path | None

    def require(self, clips: Sequence[VideoInput]) -> None:
        """Raises AdkitError for a file that cannot be meant: a wrong suffix, an input, or the same file twice."""
        from adkit.data.video_writer import require_video_file
        from adkit.watching.event_files import require_event_file

        if self.events:
            require_event_file(self.events, len(clips))
        inputs = {path.resolve() for clip in clips for path in (clip.video, *clip.frames) if path is not None}
        taken: dict[Path, str] = {}
        for clip in clips:
            if annotate := self.annotated(clip, len(clips)):
                require_video_file(annotate)
            for option, path in (
                ("--annotate", annotate),
                ("--timeline", self.timeline_of(clip, len(clips))),
            ):
                _claim(path, f"{option} for {clip.name}", inputs, taken)
        _claim(self.events, "--events", inputs, taken)
        _claim(self.rows, "--output", inputs, taken)

    def annotated(self, clip: VideoInput, clips: int) -> Path | None:
        """Where the clip's annotated video goes."""
        return _for_clip(self.annotate, clip, clips, ".mp4")

    def timeline_of(self, clip: VideoInput, clips: int) -> Path | None:
        """Where the clip's timeline goes."""
        path = _for_clip(self.timeline, clip, clips, ".png")
        if path and path.suffix.lower() != ".png":
            raise OptionError(f"{path} does not end in .png", hint=f"for example {path.with_suffix('.png')}")
        return path


def _for_clip(path: Path | None, clip: VideoInput, clips: int, suffix: str) -> Path | None:
    from adkit.files.atomic import is_folder

    if path is None or (clips == 1 and path.suffix and not is_folder(path)):
        return path
    if clips > 1 and path.suffix.lower() == suffix:
        raise OptionError(f"{path} is one file, and there are {clips} clips", hint="name a folder for them")
    plain = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in clip.name).strip("._")
    return path / f"{plain[-100:] or 'clip'}{suffix}"


def _claim(path: Path | None, what: str, inputs: set[Path], taken: dict[Path, str]) -> None:
    if path is None:
        return
    whole = path.resolve()
    if whole in inputs:
        raise OptionError(f"{path} ({what}) is the input itself", hint="choose another name")
    if whole in taken:
        raise OptionError(f"{path} is named twice: {what} and {taken[whole]}", hint="choose another name")
    taken[whole] = what
