"""The synthetic parts as a dataset: drawn on first use, kept in the cache."""

from __future__ import annotations

from pathlib import Path

from adkit.cache import cache_root
from adkit.errors import DatasetError, nearest
from adkit.interfaces import Dataset
from adkit.storage import whole_folder
from adkit.testing.parts import GOOD, GRADES, PART_NAMES, PARTS_VERSION, write_parts
from adkit.types import Sample, Split

SEED = 0
COUNTS = {"train": 60, "good": 30, "each grade": 5}


class Demo(Dataset):
    """One sort of synthetic part."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.spec = f"demo:{part}"

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Parts by name, comma-separated, or "all"."""
        names = list(PART_NAMES) if selection == "all" else [name.strip() for name in selection.split(",")]
        for name in names:
            if name not in PART_NAMES:
                raise DatasetError(f"there is no synthetic part {name!r}", hint=nearest(name, PART_NAMES))
        return [cls(name) for name in dict.fromkeys(names)]

    def samples(self, split: Split) -> list[Sample]:
        """The images of one split; they are drawn first if the cache lacks them."""
        folder = self._folder()
        found = []
        for kind in sorted(path.name for path in (folder / split).iterdir()):
            for image in sorted((folder / split / kind).glob("*.png")):
                mask = folder / "ground_truth" / kind / f"{image.stem}_mask.png"
                found.append(
                    Sample.still(
                        f"{split}/{kind}/{image.stem}",
                        image,
                        anomalous=kind != GOOD,
                        kind=kind,
                        mask=mask if kind != GOOD else None,
                    )
                )
        return found

    def notes(self) -> list[str]:
        """Where the parts come from."""
        grades = ", ".join(GRADES)
        return [f"synthetic {self.part}s, drawn with seed {SEED}; defects are {grades}: {self._folder()}"]

    def _folder(self) -> Path:
        folder = cache_root() / "demo" / f"{PARTS_VERSION}-{SEED}" / self.part
        if not folder.is_dir():
            with whole_folder(folder) as temporary:
                write_parts(
                    temporary,
                    self.part,
                    seed=SEED,
                    train=COUNTS["train"],
                    good=COUNTS["good"],
                    each_grade=COUNTS["each grade"],
                )
        return folder
