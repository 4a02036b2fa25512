"""Reads a folder of your own images, in the first of these ways that fits.

1. split folders:  train/[good/]…, test/<kind>/…, also training/, testing/, test_public/, validation/
2. named folders:  normal/ (or good/, ok/) beside folders of any other name, each of them a kind of defect; at any depth
3. plain images:   every image in it, at any depth, is a good one

`adkit.data.folder_names` says which names mean what, `adkit.data.mask_files` where masks are found. What lies in test/
itself, in no folder of a kind, is of unknown truth. Where a name says that something is bad, and the layout does not
say what is good, the folder is refused.

Where there are defects and no test split (2), a fifth of the good images is held out for testing.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Literal

from adkit import DatasetError, Sample, Split, counted
from adkit.data import layouts
from adkit.data.contents import Contents, contents_of
from adkit.data.folder_names import GOOD, NORMAL_NAMES, groups_of_names, is_mask_folder, says, split_of
from adkit.data.images import by_page
from adkit.data.layouts import Placed, told_kinds
from adkit.data.locations import OwnFolder
from adkit.data.mask_files import may_be_mask
from adkit.data.mask_names import Inside
from adkit.data.tables import require_no_table, unread_labels

_MOST_NAMES = 5

Layout = Literal["split folders", "named folders", "plain images"]


class Folder(OwnFolder):
    """A folder of one's own images."""

    name, hint = "folder", "check the path after folder:"

    def __init__(self, folder: Path, spec: str, root: Path) -> None:
        super().__init__(folder, spec, root)
        self._contents = contents_of(folder)
        self.layout: Layout = _layout_of(self._contents)
        self._masks = layouts.masks_in(self._contents)
        below = layouts.place_of_splits(_of_images(self._contents))
        images, depth = self._masks.images, 0
        if self.layout == "split folders":
            placed, depth = list(layouts.in_splits(images, below)), len(below) + 1
        elif self.layout == "named folders":
            placed = _in_named_folders(images)
        else:
            placed = [Placed("train", inside, path, GOOD, certain=False) for inside, path in images]
        wanted = None if self.layout == "split folders" else GOOD
        tests = any(one.split == "test" and one.kind == (wanted or one.kind) for one in placed)
        placed = layouts.with_masks(placed, self._masks)
        layouts.require_good(folder, (one.inside for one in placed if one.kind == GOOD), depth=depth)
        if self.layout == "plain images":
            self._masks.require_none(folder)
        unsaid = {name for one in placed if one.kind == GOOD and not one.certain for name in one.inside}
        self._masks.require_readable(unsaid)
        require_no_table(self._contents, unsaid, masked=bool(self._masks.told))
        self._unread = unread_labels(self._contents, unsaid)
        self._placed = placed if tests else layouts.with_held_out(placed)
        self.held_out_share = layouts.HELD_OUT_SHARE if self._placed != placed else 0.0
        self._samples: dict[Split, list[Sample]] = {"train": [], "test": []}
        for one in self._placed:
            self._samples[one.split] += by_page(one.sample("/".join(one.inside)))
        if not self._samples["train"]:
            told = "; ".join(
                [
                    f"(read as {self.layout})",
                    *layouts.doubts(self._placed, self._masks),
                    *self._contents.notes(may_be_mask),
                ]
            )
            hint = "put good images, unpacked, into the folder itself, or into train/good/ or normal/ inside it"
            levels = zip(*(inside[:-1] for inside, _ in images), strict=False)
            all_in = [names[0] for names in takewhile(lambda names: len({*names}) == 1, levels)]
            if any(says(name) == "bad" for name in all_in):
                hint += f"; if {all_in[-1]!r} is only the name of all of them: folder:{folder.joinpath(*all_in)}"
            hint = self._masks.unless_photos(hint)
            raise DatasetError(f"no good image was found to learn from in {folder} {told}", hint=hint)

    def samples(self, split: Split) -> list[Sample]:
        """Return the images of one split."""
        return self._samples[split]

    def notes(self) -> list[str]:
        """Say how the folder was read, how many of each kind it holds, and what was left out."""
        train, test = self._samples["train"], self._samples["test"]
        kinds = Counter(sample.kind for sample in test if sample.kind)
        lines = [f"read {self.folder} as {self.layout}: {len(train)} to learn from; to test with: {told_kinds(test)}"]
        if self.held_out_share:
            held = f"{counted(kinds[GOOD], 'good image', 'were')} held out for testing"
            lines.append(f"there is no test split: {held}")
        tops = Counter(one.inside[0] for one in self._placed if one.kind == GOOD and len(one.inside) > 2)
        if self.layout == "named folders" and len(tops) > 1:
            lines.append(f"good images of several folders are learned together: {_counted(tops)}")
        if self.layout == "plain images" and not self._masks.told:
            above = [one.inside[:-1] for one in self._placed if len(one.inside) > 1]
            few = len({*above}) <= _MOST_NAMES
            lines += _taken_as_good(self.folder, Counter("/".join(place if few else place[:1]) for place in above))
            if named := groups_of_names(one.path.stem for one in self._placed):
                lines.append(f"all images are taken as good, whatever their names begin or end with: {_counted(named)}")
        return lines + self._unread + layouts.doubts(self._placed, self._masks) + self._contents.notes(may_be_mask)


def _of_images(contents: Contents) -> list[Inside]:
    return [place for place in contents.folders if not any(map(is_mask_folder, place))]


def _layout_of(contents: Contents) -> Layout:
    folder, places = contents.folder, _of_images(contents)
    tops = {place[0] for place in places}
    good_on_top = any(says(top) == GOOD for top in tops)
    splits = {split_of(top) for top in tops}
    if "train" in splits or ("test" in splits and good_on_top) or layouts.place_of_splits(places):
        return "split folders"
    layouts.refuse_several(folder, places)
    wanted = f"train, {', '.join(NORMAL_NAMES)}"
    if not good_on_top:
        layouts.require_no_doubt(folder, (place for place in places if split_of(place[0])), wanted)
    if any(says(name) == GOOD for place in places for name in place):
        return "named folders"
    # Defects and masks must not be learned as good parts because the folder beside them has an unusual name.
    layouts.require_no_doubt(folder, places, wanted)
    return "plain images"


def _in_named_folders(images: Sequence[tuple[Inside, Path]]) -> list[Placed]:
    kinds = layouts.kinds_of(inside[:-1] for inside, _ in images)
    placed = []
    for inside, path in images:
        if kind := kinds[inside[:-1]]:
            tested = kind != GOOD or "test" in map(split_of, inside[:-1])  # "good/test"
            placed.append(Placed("test" if tested else "train", inside, path, kind))
    return placed


def _taken_as_good(folder: Path, counts: Counter[str]) -> list[str]:
    """Say which folders are learned from as good, and whether the name of the folder itself is at odds with that."""
    lines = [f"all images are taken as good, those in {_counted(counts)} too"] if counts else []
    if says(folder.resolve().name) == "bad":
        lines.append(f"the name of {folder.resolve()} says bad, yet all its images are taken as good")
    return lines


def _counted(counts: Counter[str]) -> str:
    told = ", ".join(f"{name} ({count})" for name, count in counts.most_common(_MOST_NAMES))
    return told + (f" and {len(counts) - _MOST_NAMES} more" if len(counts) > _MOST_NAMES else "")
