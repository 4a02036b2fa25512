"""Your own videos, or folders of frames."""

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> list[DatasetEntry]:
    clips = "your own videos, or folders of frames"
    span = "parts of one video in which all is normal, as score --learn takes them"
    return [
        DatasetEntry("clips", clips, "adkit_clips.dataset:Clips", example="clips:./press_line"),
        DatasetEntry("span", span, "adkit.data.spans:VideoSpans", example="span:line.mp4@0:00-2:00"),
    ]
