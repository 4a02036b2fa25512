"""The synthetic parts and clips as datasets: drawn on first use, kept in the cache."""

from collections.abc import Callable
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
    """One sort of synthetic part, or a tray of loose ones, where parts are missing, too many or exchanged."""

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
        return [Conveyor(name) if name == CONVEYOR else Demo(name) for name in dict.fromkeys(names)]

    def samples(self, split: Split) -> list[Sample]:
        """Return the images of one split; they are drawn first if the cache lacks them."""
        return SplitFolders(self._folder()).samples[split]

    def notes(self) -> list[str]:
        """Say where the pictures come from."""
        what, kinds = f"synthetic {self.part}s", f"defects are {', '.join(GRADES)}"
        if self.part == TRAY:
            what, kinds = "a synthetic tray of loose parts", f"anomalies are {', '.join(TRAY_KINDS)}"
        return [f"{what}, drawn with seed {SEED}; {kinds}: {self._folder()}"]

    def _folder(self) -> Path:
        if self.part == TRAY:
            return _drawn(f"{TRAY}-{TRAY_VERSION}-{SEED}", lambda folder: write_tray(folder, seed=SEED, **TRAY_COUNTS))
        name = f"{PARTS_VERSION}-{SEED}/{self.part}"
        return _drawn(name, lambda folder: write_parts(folder, self.part, seed=SEED, **COUNTS))


class Conveyor(Demo):
    """Synthetic clips of a conveyor belt."""

    def samples(self, split: Split) -> list[Sample]:
        """Return the frames of one split, clip by clip; the clips are drawn first if the cache lacks them."""
        folder = self._folder()
        return [
            sample
            for kind in sorted(path.name for path in (folder / split).iterdir())
            for film in sorted((folder / split / kind).glob("*.mp4"))
            for sample in _frames(film, film.relative_to(folder).with_suffix("").as_posix(), kind)
        ]

    def notes(self) -> list[str]:
        """Say where the clips come from."""
        kinds = ", ".join(CONVEYOR_KINDS)
        return [
            f"synthetic clips of a conveyor belt, drawn with seed {SEED}; anomalies are {kinds}: {self._folder()}",
            "in a clip with an anomaly, only the frames that show it are anomalous",
        ]

    def _folder(self) -> Path:
        name = f"{CONVEYOR}-{CONVEYOR_VERSION}-{SEED}"
        return _drawn(name, lambda folder: write_conveyor(folder, seed=SEED, **CLIP_COUNTS))


def _drawn(name: str, draw: Callable[[Path], None]) -> Path:
    """Return the folder of that name in the cache, drawn first if it is not there."""
    folder = cache_root() / "demo" / name
    if not folder.is_dir():
        with whole_folder(folder) as temporary:
            draw(temporary)
    return folder


def _frames(film: Path, clip: str, kind: str) -> list[Sample]:
    times_s, labels = video_times(film), film.with_suffix(".csv")
    kinds = read_labels(labels, times_s, kind) if labels.is_file() else [None] * len(times_s)
    samples = []
    for number, (of, time_s) in enumerate(zip(kinds, times_s, strict=True)):
        name, ref = f"{clip}/{number:05d}", FrameRef(film, number)
        samples.append(Sample(name, ref, clip, number, of is not None, of or GOOD, timestamp_s=float(time_s)))
    return samples
