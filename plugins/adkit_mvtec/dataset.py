"""MVTec AD (Bergmann et al., CVPR 2019): <category>/{train/good, test/<kind>, ground_truth/<kind>}."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from adkit.errors import DatasetError, nearest
from adkit.frames import is_image
from adkit.interfaces import Dataset
from adkit.types import Sample, Split

GOOD = "good"
_LAYOUT = "expected <root>/mvtec/<category>/{train/good, test/<kind>, ground_truth/<kind>}; set --root or $ADKIT_DATA"


class MVTec(Dataset):
    """One category of MVTec AD."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = f"mvtec:{folder.name}"
        self.root = folder.parent.resolve()

    @classmethod
    def select(cls, selection: str, root: Path | None) -> list[Dataset]:
        """Categories by name, comma-separated, or "all" of those that are there."""
        places = _places(root)
        known = {
            folder.name: folder
            for place in reversed(places)
            if place.is_dir()
            for folder in sorted(place.iterdir())
            if (folder / "train").is_dir()
        }
        if not known:
            tried = ", ".join(str(place) for place in places)
            raise DatasetError(f"no MVTec category was found in any of: {tried}", hint=_LAYOUT)
        names = sorted(known) if selection == "all" else [name.strip() for name in selection.split(",")]
        for name in names:
            if name not in known:
                raise DatasetError(f"MVTec has no category {name!r} here", hint=nearest(name, known))
        return [cls(known[name]) for name in dict.fromkeys(names)]

    def samples(self, split: Split) -> list[Sample]:
        """The images of train/ or test/; the folder's name is the kind."""
        found = []
        folder = self.folder / split
        for kind in sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else ():
            images = sorted(path for path in kind.iterdir() if is_image(path))
            stems = Counter(image.stem for image in images)
            masks = _masks(self.folder / "ground_truth" / kind.name) if kind.name != GOOD else {}
            found += [
                Sample.still(
                    f"{split}/{kind.name}/{image.stem if stems[image.stem] == 1 else image.name}",
                    image,
                    anomalous=kind.name != GOOD,
                    kind=kind.name,
                    mask=masks.get(image.stem),
                )
                for image in images
            ]
        return found


def _places(root: Path | None) -> list[Path]:
    """The folders that may hold categories, the most likely first."""
    bases = [root] if root else [Path(os.environ["ADKIT_DATA"])] if os.environ.get("ADKIT_DATA") else []
    bases = bases or [Path("data"), Path()]
    return [place for base in bases for place in (base / "mvtec", base, base / "mvtec_anomaly_detection")]


def _masks(folder: Path) -> dict[str, Path]:
    """The masks of one kind by the stem of their image: 003_mask.png and 003.png both belong to 003."""
    if not folder.is_dir():
        return {}
    return {path.stem.removesuffix("_mask"): path for path in sorted(folder.iterdir()) if is_image(path)}
