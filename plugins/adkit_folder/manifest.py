"""Reads the images that a table lists; `adkit.data.tables` says what its columns mean."""

from collections import defaultdict
from pathlib import Path

from adkit import DatasetError, Sample, Split, counted
from adkit.data.layouts import HELD_OUT_SHARE, told_kinds, with_held_out
from adkit.data.locations import OwnFolder
from adkit.data.tables import COLUMNS, LINE, TABLE_HINT, placed_rows, read_rows


class Manifest(OwnFolder):
    """The images of one table."""

    name, hint, thing = "manifest", "name a CSV file after manifest:", "file"

    def __init__(self, table: Path, spec: str, root: Path) -> None:
        super().__init__(table, spec, root)
        self.table = table
        self._rows = read_rows(table)
        self._placed, self._groups = placed_rows(table, self._rows, table.parent)
        self._parted = not any(row.get("split") for row in self._rows)
        if self._parted:
            self._placed = with_held_out(self._placed, self._groups)
            self.held_out_share = HELD_OUT_SHARE if any(one.anomalous for one in self._placed) else 0.0
        if not any(one.split == "train" for one in self._placed):
            told = f"no good image was found to learn from in {table}; it lists: {told_kinds(self._placed)}"
            raise DatasetError(told, hint=TABLE_HINT)

    def samples(self, split: Split) -> list[Sample]:
        """Return the images of one split."""
        return [one.sample("/".join(one.inside)) for one in self._placed if one.split == split]

    def notes(self) -> list[str]:
        """Say how many images of each kind there are, which columns are not read, and what is in both splits."""
        learned, told = len(self.samples("train")), told_kinds(self.samples("test"))
        lines = [f"read {self.table}: {learned} to learn from; to test with: {told}"]
        if self._parted:
            lines.append("there is no column split: where there are defects, a fifth of the good groups is for testing")
        if untold := sum(one.kind is None for one in self._placed):
            lines.append(f"{counted(untold, 'test image', 'have')} neither kind nor mask: evaluations leave that out")
        if unknown := sorted({name for row in self._rows for name in row} - {*COLUMNS, LINE, ""}):
            lines.append(f"columns that are not read: {', '.join(unknown)}; {TABLE_HINT}")
        splits: dict[str, set[Split]] = defaultdict(set)
        for one in self._placed:
            splits[self._groups[one.path]].add(one.split)
        if both := [group for group, found in splits.items() if len(found) > 1]:
            count = counted(len(both), "group", "are")
            lines.append(f"{count} in both training and test: results look too good: {both[0]}")
        return lines
