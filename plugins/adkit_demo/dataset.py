"""The synthetic parts and clips as datasets: drawn on first use, kept in the cache."""

from functools import partial
from pathlib import Path

from adkit import Dataset, DatasetError, FrameRef, Sample, Split, nearest
from adkit.data.folder_names import GOOD
from adkit.data.frame_labels import read_labels
from adkit.data.layouts import SplitFolders
from adkit.data.video import video_times
from adkit.files.atomic import whole_folder
from adkit.files.cache import cache_root
from adkit.synthetic.conveyor import CONVEYOR_VERSION, write_conveyor
from adkit.synthetic.conveyor import KINDS as CONVEYOR_KINDS
from adkit.synthetic.parts import GRADES, PART_NAMES, PARTS_VERSION, write_parts
from adkit.synthetic.tray import KINDS as TRAY_KINDS
from adkit.synthetic.tray import TRAY_VERSION, write_tray

SEED = 0
COUNTS = {"train": 60, "good": 30, "each_grade": 5}
CONVEYOR = "conveyor"
TRAY = "tray"
TRAY_COUNTS = {"train": 60, "good": 30, "each_kind": 12}
CLIP_COUNTS = {"train": 24, "good": 6, "each_kind": 3}


class Demo(Dataset):
    """One sort of synthetic part; a tray of loose ones, missing, too many or exchanged; or a conveyor belt."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.spec = f"demo:{part}"

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Return parts by name, with commas between, or "all" the plain ones: no tray, no conveyor."""
        known = [*PART_NAMES, TRAY, CONVEYOR]
        names = list(PART_NAMES) if selection == "all" else [name.strip() for name in selection.split(",")]
        for name in names:
            if name not in known:
                raise DatasetError(f"there is no synthetic part {name!r}", hint=nearest(name, known))
        return [cls(name) for name in dict.fromkeys(names)]

    def samples(self, split: Split) -> list[Sample]:
        """Return the images of one split, or the frames, clip by clip; they are drawn first if the cache lacks them."""
        if self.part != CONVEYOR:
            return SplitFolders(self._folder()).samples[split]
        return [sample for video in sorted((self._folder() / split).glob("*/*.mp4")) for sample in _frames(video)]

    def notes(self) -> list[str]:
        """Say where the images come from."""
        what, kinds = {
            TRAY: ("a synthetic tray of loose parts", f"anomalies are {', '.join(TRAY_KINDS)}"),
            CONVEYOR: ("synthetic clips of a conveyor belt", f"anomalies are {', '.join(CONVEYOR_KINDS)}"),
        }.get(self.part, (f"synthetic {self.part}s", f"defects are {', '.join(GRADES)}"))
        told = f"{what}, drawn with seed {SEED}; {kinds}: {self._folder()}"
        frames = "in a clip with an anomaly, only the frames that show it are anomalous"
        return [told, frames] if self.part == CONVEYOR else [told]

    def _folder(self) -> Path:
        """Return its folder in the cache, drawn first if it is not there."""
        name, write, counts = {
            TRAY: (f"{TRAY}-{TRAY_VERSION}-{SEED}", write_tray, TRAY_COUNTS),
            CONVEYOR: (f"{CONVEYOR}-{CONVEYOR_VERSION}-{SEED}", write_conveyor, CLIP_COUNTS),
        }.get(self.part, (f"{PARTS_VERSION}-{SEED}/{self.part}", partial(write_parts, part=self.part), COUNTS))
        folder = cache_root() / "demo" / name
        if not folder.is_dir():
            with whole_folder(folder) as temporary:
                write(temporary, seed=SEED, **counts)
        return folder


def _frames(video: Path) -> list[Sample]:
    times_s, labels = video_times(video), video.with_suffix(".csv")
    clip, kind = "/".join(video.with_suffix("").parts[-3:]), video.parent.name
    kinds = read_labels(labels, times_s, kind) if labels.is_file() else [None] * len(times_s)
    samples = []
    for number, (of, time_s) in enumerate(zip(kinds, times_s, strict=True)):
        name, ref = f"{clip}/{number:05d}", FrameRef(video, number)
        samples.append(Sample(name, ref, clip, number, of is not None, of or GOOD, timestamp_s=float(time_s)))
    return samples
