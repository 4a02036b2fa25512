"""VisA (Zou et al., ECCV 2022): <object>/Data/{Images/{Normal,Anomaly}, Masks/Anomaly}, and split_csv/1cls.csv beside.

The split is that of 1cls.csv; without it, a fifth of the good images is held out. image_anno.csv names what is wrong.
"""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from adkit import Sample, Split
from adkit.data.contents import contents_of
from adkit.data.folder_names import ANOMALY, GOOD
from adkit.data.layouts import Placed, masks_in, told_kinds, with_held_out, with_masks
from adkit.data.locations import Benchmark
from adkit.data.tables import placed_rows, read_rows


class VisA(Benchmark):
    """One object of VisA."""

    name, owner, thing = "visa", "VisA", "object"
    places, mark = ("visa", "VisA_20220922", ""), "Data/Images/Normal"
    expected = "<root>/visa/<object>/Data/Images/{Normal,Anomaly}, Data/Masks/Anomaly; split_csv/1cls.csv beside"

    @cached_property
    def _table(self) -> Path | None:
        table = self.folder.parent / "split_csv" / "1cls.csv"
        return table if table.is_file() else None

    @cached_property
    def _placed(self) -> list[Placed]:
        if self._table:
            rows = [row for row in read_rows(self._table) if row.get("object") == self.folder.name]
            placed, _ = placed_rows(self._table, rows, self.folder.parent)
        else:
            placed = _unlisted(self.folder)
        kinds = _kinds(self.folder)
        return [one if one.kind == GOOD else replace(one, kind=kinds.get(one.path.name, one.kind)) for one in placed]

    def samples(self, split: Split) -> list[Sample]:
        """Return the images of one split."""
        return [one.sample("/".join(one.inside[-2:])) for one in self._placed if one.split == split]

    def notes(self) -> list[str]:
        """Say where the split comes from."""
        held_out = "a fifth of the good images held out: no split_csv/1cls.csv"
        of = f"as {self._table} parts it" if self._table else held_out
        learned, told = len(self.samples("train")), told_kinds(self.samples("test"))
        return [f"read {self.folder}, {of}: {learned} to learn from; to test with: {told}"]


def _unlisted(folder: Path) -> list[Placed]:
    contents = contents_of(folder / "Data")
    masks = masks_in(contents)
    placed = []
    for inside, path in masks.images:
        good = inside[-2] == "Normal"
        placed.append(Placed("train" if good else "test", inside, path, GOOD if good else ANOMALY))
    return with_held_out(with_masks(placed, masks))


def _kinds(folder: Path) -> dict[str, str]:
    """Return what image_anno.csv says is wrong, by the name of the anomalous image."""
    table = folder / "image_anno.csv"
    rows = read_rows(table) if table.is_file() else []
    anomalous = [row for row in rows if row.get("kind") and "anomaly" in row["path"].lower()]
    return {Path(row["path"]).name: "combined" if "," in row["kind"] else row["kind"] for row in anomalous}
