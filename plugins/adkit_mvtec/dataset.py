"""MVTec's anomaly detection datasets, as they are downloaded.

AD (Bergmann et al., CVPR 2019):    <category>/{train/good, test/<kind>, ground_truth/<kind>/000_mask.png}
LOCO AD (Bergmann et al., IJCV 2022): the same with validation/good, and a folder of masks for each image
AD 2 (Heckler-Kram et al., 2025):   <category>/{train/good, validation/good, test_public/{good,bad,ground_truth/bad}}

What validation/ holds is good, and is learned from as well. The private tests of AD 2 have no truth and are left out.
"""

from functools import cached_property

from adkit import Sample, Split
from adkit.data.layouts import SplitFolders
from adkit.data.locations import Benchmark


class MVTec(Benchmark):
    """One category of MVTec AD, LOCO AD or AD 2."""

    name, owner, thing = "mvtec", "MVTec", "category"
    places = (
        *("mvtec", "", "mvtec_anomaly_detection", "mvtec_loco_anomaly_detection"),
        *("mvtec_ad", "mvtec_loco", "mvtec_loco_ad", "mvtec_ad_2"),
    )
    mark = "train"
    expected = "<root>/mvtec/<category>/{train/good, test/<kind>, ground_truth/<kind>}"

    @cached_property
    def _found(self) -> SplitFolders:
        return SplitFolders(self.folder)

    def samples(self, split: Split) -> list[Sample]:
        """Return the images of train/ or test/; the folder's name is the kind."""
        return self._found.samples[split]

    def notes(self) -> list[str]:
        """Say what was left out, and of which images masks are missing."""
        return self._found.notes()
