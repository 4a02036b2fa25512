"""MVTec AD (Bergmann et al., CVPR 2019): <category>/{train/good, test/<kind>, ground_truth/<kind>}."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from adkit import Dataset, Sample, Split
from adkit.data.images import is_image
from adkit.data.locations import chosen_folders

GOOD = "good"
_PLACES = ("mvtec", "", "mvtec_anomaly_detection")
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
        folders = chosen_folders(selection, root, _PLACES, _is_category, owner="MVTec", thing="category", hint=_LAYOUT)
        return [cls(folder) for folder in folders]

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


def _is_category(folder: Path) -> bool:
    return (folder / "train").is_dir()


def _masks(folder: Path) -> dict[str, Path]:
    """The masks of one kind by the stem of their image: 003_mask.png and 003.png both belong to 003."""
    if not folder.is_dir():
        return {}
    return {path.stem.removesuffix("_mask"): path for path in sorted(folder.iterdir()) if is_image(path)}
