"""Tables of images: CSV files with a line for each image that says what it is.

path    from the table's own folder, or absolute
split   train, test, or nothing in all lines: good images are then parted as those of a folder without a test split
kind    good (normal, ok, 0), or what is wrong with it (1: an anomaly); nothing: good to learn from, unknown in tests
mask    marks what is anomalous; a path like the image's
group   images that belong together, such as those of one part: they are held out together

The header's case and the order of columns do not matter; commas, semicolons or tabs part them.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from adkit.data.folder_names import GOOD, says, split_of
from adkit.data.layouts import Placed
from adkit.data.outlines import outlines_of
from adkit.data.video import is_video
from adkit.errors import DatasetError

ANOMALY = "anomaly"
COLUMNS = ("path", "split", "kind", "mask", "group")
TABLE_HINT = "columns: path, and if wanted split (train, test), kind (good, or what is wrong), mask, group"
LINE = "\n"
"""A key that no column has: where in the table a row stands."""

Row = Mapping[str, str]
"""A line: its cells by their column's name, in small letters."""


def is_table(path: Path) -> bool:
    """Say whether a CSV file has a column named path."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return "path" in map(str.strip, re.split("[,;\t]", file.readline().lower()))
    except (OSError, UnicodeDecodeError):
        return False


def read_rows(table: Path) -> list[Row]:
    """Return the lines of a CSV file by their column's name in small letters; raises DatasetError for what is none."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{table} cannot be read as a table: {error}", hint="save it as CSV in UTF-8") from None
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    names = [name.strip().lower() for name in next(reader, [])]
    if "path" not in names and "image" not in names:
        raise DatasetError(f"{table} has no column named path; its first line is {header.strip()!r}", hint=TABLE_HINT)
    rows: list[Row] = []
    for cells in reader:
        if any(cell.strip() for cell in cells):
            if len(cells) > len(names):
                raise DatasetError(
                    f"{table}, line {reader.line_num}: {len(cells)} cells for {len(names)} columns", hint=TABLE_HINT
                )
            row = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
            rows.append({**row, LINE: str(reader.line_num)})
    return rows


def placed_rows(table: Path, rows: Sequence[Row], base: Path) -> tuple[list[Placed], dict[Path, str]]:
    """Return the images of the rows, paths from `base`, and the group of each; raises DatasetError for bad rows."""
    placed: dict[Path, Placed] = {}
    groups = {}
    with_splits = any(row.get("split") for row in rows)
    for row in rows:
        where = f"{table}, line {row[LINE]}"
        path = _existing(base, row["path"], where)
        if path in placed:
            raise DatasetError(f"{where}: {row['path']} was listed before", hint="list each image once")
        if is_video(path):
            raise DatasetError(f"{where}: {path} is a video", hint="a manifest lists images; for videos: clips:FOLDER")
        named, kind = row.get("split", ""), _kind(row.get("kind", ""))
        split = split_of(named) if named else "train" if kind == GOOD else "test"
        if split not in ("train", "test", "validation") or (with_splits and not named):
            raise DatasetError(f"{where}: the split {named!r} is neither train nor test", hint=TABLE_HINT)
        if not with_splits and kind is None:
            raise DatasetError(f"{where}: neither split nor kind is given", hint=TABLE_HINT)
        learned = split == "train" or (split == "validation" and kind == GOOD)
        if learned and kind is None:
            kind = GOOD
        mask = outlines_of(_existing(base, row["mask"], where), path) if row.get("mask") else None
        inside = path.relative_to(base).parts if path.is_relative_to(base) else path.parts[1:]
        marks = mask if kind not in (None, GOOD) else None
        placed[path] = Placed("train" if learned else "test", inside, path, kind, marks)
        groups[path] = row.get("group") or "/".join(inside)
    return list(placed.values()), groups


def _kind(word: str) -> str | None:
    """Return GOOD, the kind of defect, or None where nothing is said."""
    if word == "0" or says(word) == GOOD:
        return GOOD
    return ANOMALY if word == "1" else word or None


def _existing(base: Path, name: str, where: str) -> Path:
    """Return the path of a file that a row names; backslashes are read as Windows means them."""
    for one in (name, name.replace("\\", "/")):
        if name and (path := base / one).exists():
            return path
    raise DatasetError(f"{where}: there is no file {base / name}", hint="paths are taken from the folder of the table")
