"""MVTec AD (Bergmann et al., CVPR 2019): <category>/{train/good, test/<kind>, ground_truth/<kind>}."""

from __future__ import annotations

from pathlib import Path

from adkit import Sample, Split
from adkit.data.layouts import samples_by_kind
from adkit.data.locations import Benchmark


class MVTec(Benchmark):
    """One category of MVTec AD."""

    name, owner, thing = "mvtec", "MVTec", "category"
    places = ("mvtec", "", "mvtec_anomaly_detection")
    expected = "<root>/mvtec/<category>/{train/good, test/<kind>, ground_truth/<kind>}"

    @staticmethod
    def is_one(folder: Path) -> bool:
        """Say whether the folder holds a training split."""
        return (folder / "train").is_dir()

    def samples(self, split: Split) -> list[Sample]:
        """Return the images of train/ or test/; the folder's name is the kind."""
        return samples_by_kind(self.folder, split)
