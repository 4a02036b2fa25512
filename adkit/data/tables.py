"""Tables of images: CSV files with a line for each image that says what it is.

path    from the table's own folder, or absolute
split   train, test, or nothing in all lines: good images are then parted as those of a folder without a test split
kind    good (normal, ok, 0, False), or what is wrong with it (1, True: an anomaly); nothing: good to learn from, and in
        tests what the mask says, else unknown
mask    marks what is anomalous; a path like the image's
group   images that belong together, such as those of one part: they are held out together

Other usual names of these columns are known too, in any case and order; commas, semicolons, tabs or bars part them.
What spreadsheets add is read as they mean it: UTF-16, a mark of the byte order, "sep=;", lines of separators only.
"""

import csv
import io
import json
import re
import unicodedata
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from adkit.data.contents import Contents
from adkit.data.folder_names import ANOMALY, GOOD, file_says, judges, may_be_labels, says, split_of
from adkit.data.images import is_image
from adkit.data.layouts import Placed
from adkit.data.mask_files import marks_any, mask_at, may_be_mask
from adkit.data.outline_formats import without_upload
from adkit.data.outlines import called_bad_in, is_outlines
from adkit.data.video import is_video
from adkit.errors import DatasetError
from adkit.stats.formatting import counted, listed
from adkit.stats.segments import grouped

COLUMNS = ("path", "split", "kind", "mask", "group")
TABLE_HINT = "columns: path, and if wanted split (train, test), kind (good, or what is wrong), mask, group"
LABEL_SUFFIXES = (".csv", ".json", ".jsonl", ".xml")  # of files that tell what images are
_UNREAD_TABLES = frozenset(
    {".accdb", ".db", ".h5", ".hdf5", ".mat", ".mdb", ".npy", ".npz", ".numbers", ".ods", ".parquet", ".pkl", ".sqlite"}
    | {".xls", ".xlsm", ".xlsx"}
)
_HEAD_BYTES, _MOST_BYTES = 4096, 1 << 20  # of a file that may tell of images
_WORD = re.compile(r"[^\s:=\"'<>,;|{}\[\]()/\\]+")
LINE = "\n"  # a key that no column has: where in the table a row stands

_ALSO = {
    "path": ("image", "image_path", "filename", "file_name", "file", "imageid"),
    "kind": ("label", "class", "defect", "category", "anomaly", "label_index", "is_anomaly", "is_defect"),
    "mask": ("mask_path",),
}
"""What columns are often named instead."""
_JUDGING = {"kind", *_ALSO["kind"], "classid", "encodedpixels", "target", "verdict"}
_JUDGING |= {"bbox", "region_shape_attributes", "xmin"}  # of tables of boxes and outlines
_OF_ANYTHING = frozenset(["id", "index", "name", "quality", "type"])
_OF_JUDGEMENTS = _OF_ANYTHING | {"befund", "category", "clase", "class", "classe", "grade", "judgement", "judgment"}
_OF_JUDGEMENTS |= {"kategorie", "klasse", "label", "labels", "target", "verdict"}
_NOTHING = {"", "-", "0", "0.0", "false", "nan", "no", "none", "null"}
_JUDGING_PART = re.compile("缺陷|类别|标签|判定|不良|欠陥|결함|판정")
_NUMBERS = {"0": GOOD, "0.0": GOOD, "false": GOOD, "1": ANOMALY, "1.0": ANOMALY, "true": ANOMALY}
_CLASS_BEHIND = re.compile(r"_\d+$")  # of an image and a class in one cell: "0a1b.jpg_3"

Row = Mapping[str, str]  # a line: its cells by their column's name, in small letters


def is_table(path: Path) -> bool:
    """Say whether a CSV file has a column named path."""
    try:
        return "path" in read_cells(path).names
    except (OSError, UnicodeDecodeError, csv.Error):
        return False


@dataclass(frozen=True, slots=True)
class Cells:
    """What a CSV file holds: the header's names in small letters, and the lines with their numbers."""

    names: list[str]
    lines: Sequence[tuple[int, Sequence[str]]]
    delimiter: str


def read_cells(table: Path) -> Cells:
    """Return the cells of a CSV file; raises OSError, UnicodeDecodeError and csv.Error for what is none."""
    content = table.read_bytes()
    return _cells(content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"))


def _cells(text: str) -> Cells:
    lines = list(io.StringIO(text, newline=None))
    first = 1 if lines and re.fullmatch("sep=.", lines[0].strip()) else 0
    delimiter = max(",;\t|", key="".join(lines[first : first + 1]).count)
    reader = csv.reader(lines[first:], delimiter=delimiter)
    names = [name.strip().lower() for name in next(reader, [])]
    found = [(first + reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    return Cells(names, [(number, cells) for number, cells in found if any(cells)], delimiter)


def require_no_table(contents: Contents, images: Collection[str], *, masked: bool = False) -> None:
    """Raise DatasetError where a table tells what such images are that nothing else says are good."""
    lists = () if masked else (".tsv", ".txt")  # beside masks a list is mostly theirs
    for path in contents.files:
        if images and path.suffix.lower() in (*LABEL_SUFFIXES, *lists) and judges_any(path, images):
            told = f"{path} tells what images are that would be taken as good in {contents.folder}"
            made_of = "write a CSV file of it, which manifest:FILE.csv reads, with"
            reads = made_of if path.suffix.lower() in LABEL_SUFFIXES[1:] else f"manifest:{path} reads it if it has"
            raise DatasetError(told, hint=f"{reads} the {TABLE_HINT}; or move it away")


def judges_any(table: Path, images: Collection[str]) -> bool:
    """Say whether a file of text tells what images are, by the names of files or folders, with or without suffix."""
    lowered = {one for name in map(str.lower, images) for one in (name, Path(name).stem)}
    suffix, undeciphered = table.suffix.lower(), False
    if is_outlines(table):
        return any(name.lower() in lowered for name in called_bad_in(table))
    if suffix == ".xml":
        return False
    try:
        try:
            found = _read_json(table) if suffix in (".json", ".jsonl") else read_cells(table)
        except UnicodeDecodeError:  # words may be in letters that nobody knows; names are mostly plain
            found, undeciphered = _cells(table.read_bytes().decode("latin-1")), True
    except (OSError, ValueError, RecursionError, csv.Error):
        return False
    judging = undeciphered or says(table.stem) == "bad" or (not found.delimiter and any(map(_judges, found.names)))
    columns = [_judges(name) for name in found.names] if len(found.names) > 1 else []  # one alone may be a text

    def names_one(cell: str) -> bool:
        name = without_upload(re.split(r"[/\\]", cell.lower())[-1])
        if name.isdigit() and not (judging or any(columns) or name.startswith("0")):
            return False  # any number may be the name of one
        stem = Path(name).stem if is_image(Path(name)) else name  # they may have been saved in another format since
        return not lowered.isdisjoint((name, stem, _CLASS_BEHIND.sub("", name)))

    rows = [found.names] * bool(found.delimiter) + [cells for _, cells in found.lines]
    if max(map(len, rows), default=0) < 2:  # parted by spaces, if by anything
        rows = ["".join(cells).split() for cells in rows]
    of_images = [cells for cells in rows if table.stem.lower() in lowered or any(map(names_one, cells))]
    for alike in grouped(of_images, type).values():  # what JSON has of an object, and of a name
        judging |= any(map(_may_be_truths, zip_longest(*alike, fillvalue="")))
    of_columns = (cell for cells in of_images for cell, judged in zip(cells, columns, strict=False) if judged)
    judging |= bool(found.delimiter) and any(_tells(cell) for cell in of_columns if cell.lower() not in found.names)
    said = (cells[isinstance(cells, tuple) :] for cells in of_images)  # below a name
    return any(judging or any(says(cell) == "bad" for cell in cells if cell not in images) for cells in said)


def unread_labels(contents: Contents, images: Collection[str]) -> list[str]:
    """Say which files that are not read may tell what such images are: tables, and lists with words of bad or tests."""
    stems = {Path(name).stem.lower() for name in images if is_image(Path(name))}
    named = {name.lower() for name in images} | {stem for stem in stems if not stem.isdigit()}
    others = (path for path in contents.files if images and not may_be_mask(path))
    unread = ["/".join(contents.inside(path)) for path in others if _may_judge(path, named)]
    told = f"{counted(len(unread), 'file', 'were')} not read that may tell what images are: {listed(unread)}"
    return [f"{told}; what it tells can be listed in a CSV file: manifest:FILE.csv"] if unread else []


def _may_judge(path: Path, images: Collection[str]) -> bool:
    if path.suffix.lower() in _UNREAD_TABLES or may_be_labels(path.stem):
        return True
    if path.suffix.lower() in LABEL_SUFFIXES[:3]:  # they were read
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            text = b"" if b"\0" in head else head + file.read(_MOST_BYTES)
        words = set(_WORD.findall(text.decode("utf-8", "replace").lower()))
    except OSError:
        return False
    told = split_of(path.stem) is not None or any(judges(word) == "bad" for word in words)
    return told and not words.isdisjoint(images)


def _judges(column: str) -> bool:
    """Say whether a column's name means what is wrong: "class_id", "Fehlerart", "n_defects", not "label_printer"."""
    words = re.findall(r"[^\W\d_]+", column)
    if column in _JUDGING or (_OF_JUDGEMENTS.issuperset(words) and not _OF_ANYTHING.issuperset(words)):
        return True
    of_camera = "pixel" in column  # that corrects its bad ones
    return not of_camera and (any(judges(word) == "bad" for word in words) or bool(_JUDGING_PART.search(column)))


def _tells(value: object) -> bool:
    """Say whether what stands below such a name says that something is wrong, or may."""
    return bool(value) and str(value).lower() not in _NOTHING and says(str(value)) != GOOD


def _may_be_truths(column: Sequence[str]) -> bool:
    """Say whether all cells are 0, 1, true or false, or shares between, some 0 and some not."""
    try:
        values = {float({"false": 0, "true": 1}.get(cell.lower(), cell)) for cell in column}
    except ValueError:
        return False
    return min(values) == 0 < max(values) <= 1


def _read_json(path: Path) -> Cells:
    """Return a line for each object in a file of JSON, or of a JSON a line, and a tuple of each name and its values."""
    text = path.read_text(encoding="utf-8-sig")
    saved = json.loads(text) if path.suffix.lower() == ".json" else list(map(json.loads, text.splitlines()))
    names, lines, left = set[str](), list[Sequence[str]](), [saved]
    while left:
        one = left.pop()
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        left += inner
        if isinstance(one, dict):
            names |= {name.lower() for name, value in one.items() if _tells(value)}
            lines += [_plain(inner), *((name, *_plain(value)) for name, value in one.items())]
    return Cells(sorted(names), list(enumerate(lines)), "")


def _plain(value: Any) -> list[str]:
    """Return what a value of JSON says by itself, or what the values in it do."""
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return [str(one) for one in values if not isinstance(one, (dict, list))]


def read_rows(table: Path) -> list[Row]:
    """Return the lines of a CSV file by their column's name; raises DatasetError for what is none."""
    try:
        found = read_cells(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table} cannot be read as a table: {error}", hint="save it as CSV in UTF-8") from None
    names = list(found.names)
    for name, others in _ALSO.items():
        if name not in names and (other := next((one for one in others if one in names), None)):
            names[names.index(other)] = name
    if "path" not in names:
        first = found.delimiter.join(names)
        raise DatasetError(f"{table} has no column named path; its first line is {first!r}", hint=TABLE_HINT)
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise DatasetError(f"{table} has two columns named {twice[0]}", hint=TABLE_HINT)
    for number, cells in found.lines:
        if len(cells) > len(names):
            raise DatasetError(f"{table}, line {number}: {len(cells)} cells for {len(names)} columns", hint=TABLE_HINT)
    return [{**dict(zip(names, cells, strict=False)), LINE: str(number)} for number, cells in found.lines]


def placed_rows(table: Path, rows: Sequence[Row], base: Path) -> tuple[list[Placed], dict[Path, str]]:
    """Return the images of the rows, paths from `base`, and the group of each; raises DatasetError for bad rows."""
    placed: dict[Path, Placed] = {}
    groups, listed = {}, set[Path]()
    with_splits = any(row.get("split") for row in rows)
    for row in rows:
        where = f"{table}, line {row[LINE]}"
        path = _existing(base, row["path"], where)
        if not path.is_file():
            raise DatasetError(f"{where}: {path} is a folder", hint="list each image; for folders: folder:FOLDER")
        if (file := path.resolve()) in listed:
            raise DatasetError(f"{where}: {row['path']} was listed before", hint="list each image once")
        listed.add(file)
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
            if any(says(name) == "bad" for name in Path(row["path"]).parts[:-1]) or file_says(path.stem) == "bad":
                told = f"{where}: {row['path']} would be taken as good, and its name says otherwise"
                raise DatasetError(told, hint="say what it is in a column kind (good, or what is wrong)")
            kind = GOOD
        mask = mask_at(_existing(base, row["mask"], where), path) if row.get("mask") else None
        inside = path.relative_to(base).parts if path.is_relative_to(base) else path.parts[1:]
        marked = marks_any(mask, path) if mask and kind in (None, GOOD) else None
        if kind == GOOD and marked:
            told = f"{where}: {row['path']} is said to be good, and {mask} marks something in it"
            raise DatasetError(told, hint="say what is wrong in the column kind, or leave out the mask")
        if kind is None and marked is not None:
            kind = ANOMALY if marked else GOOD
        marks = mask if kind not in (None, GOOD) else None
        placed[path] = Placed("train" if learned else "test", inside, path, kind, marks)
        groups[path] = row.get("group") or "/".join(inside)
    return list(placed.values()), groups


def _kind(word: str) -> str | None:
    """Return GOOD, the kind of defect, or None where nothing is said."""
    return GOOD if says(word) == GOOD else _NUMBERS.get(word.lower(), word) or None


def _existing(base: Path, name: str, where: str) -> Path:
    """Return the path of a file that a row names; as Windows means backslashes, and any system "é"."""
    slashed = name.replace("\\", "/")
    for one in (name, slashed, unicodedata.normalize("NFC", slashed), unicodedata.normalize("NFD", slashed)):
        if name and (path := base / one).exists():
            return path
    raise DatasetError(f"{where}: there is no file {base / name}", hint="paths are taken from the folder of the table")
