"""What the places of files in folders say: splits, kinds, what is good, and what nobody knows."""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from adkit.data.contents import Contents, contents_of
from adkit.data.folder_names import (
    ANOMALY,
    GOOD,
    doubtful_among,
    is_drawn,
    is_false_alarm,
    is_mask_folder,
    is_neutral,
    is_of_either,
    is_of_photos,
    is_other_view,
    judges,
    part_good_from_bad,
    says,
    says_nothing,
    says_where_or_when,
    split_of,
)
from adkit.data.images import is_image
from adkit.data.mask_files import MaskFiles, may_be_mask
from adkit.data.mask_names import Inside
from adkit.data.outlines import OUTLINE_SUFFIXES
from adkit.errors import DatasetError
from adkit.files.atomic import checksum
from adkit.stats.formatting import counted, listed
from adkit.stats.segments import grouped
from adkit.types import FrameRef, Sample, Split

TO_TELL_APART = (
    "put good ones, or whole folders of them, into a folder 'good', others beside it into folders named by what is "
    "wrong, or list all of them: manifest:FILE.csv"
)

_MOST_PLACES = 5  # that are named whole

HELD_OUT_SHARE = 0.2  # of the good images of a dataset that has no test split


def kinds_of(places: Iterable[Inside]) -> dict[Inside, str | None]:
    """Return the kind that each folder's place means: GOOD, the name of a kind of defect, or None where none does.

    That is the first name in it that says good or bad, or that stands beside one that says good; below one that only
    judges ("NG"), it is the next name, if that may be a defect's: batches and parts have digits.
    """
    places = set(places)
    beside_good = {place[:depth] for place in places for depth, name in enumerate(place) if says(name) == GOOD}
    found: dict[Inside, str | None] = {}
    for place in places:
        drawn = any(place[:depth] in beside_good and is_drawn(name) for depth, name in enumerate(place))
        if drawn or any(map(is_false_alarm, place)):
            found[place] = None
            continue
        telling = [name for name in place if not (says_nothing(name) or says_where_or_when(name))]
        kinds = (
            name for depth, name in enumerate(place) if says(name) or (place[:depth] in beside_good and name in telling)
        )
        kind = next(kinds, None)
        if kind is not None and judges(kind) == "bad":
            below = place[place.index(kind) + 1 :]
            kind = next((name for name in below[:1] if name in telling and _may_name_a_defect(name)), kind)
        found[place] = GOOD if kind is not None and says(kind) == GOOD else kind
    return found


def _may_name_a_defect(name: str) -> bool:
    neutral = is_neutral(name) or is_of_photos(name) or is_other_view(name)
    return not (says(name) == GOOD or split_of(name) or neutral or any(map(str.isdigit, name)))


def require_good(folder: Path, good: Iterable[Inside], hint: str = TO_TELL_APART, depth: int = 0) -> None:
    """Raise DatasetError where files that are to be good lie under a name that says otherwise, or have one.

    So does a folder's name beside one that says good. A folder that says good is believed when a file's name only
    describes: "good/bent pipe.png". The first `depth` folders are of splits, and each of these is looked at by itself.
    """
    by_folder: dict[Inside, list[str]] = defaultdict(list)
    by_split: dict[Inside, set[Inside]] = defaultdict(set)
    for inside in good:
        by_folder[inside[:-1]].append(inside[-1])
        by_split[inside[:depth]].add(inside[depth:-1])
    bad: list[str] = []
    kinds = {(*split, *above): kind for split, places in by_split.items() for above, kind in kinds_of(places).items()}
    for place, names in by_folder.items():
        above = place[depth:]
        believed = any(says(one) == GOOD for one in above)
        doubtful = kinds[place] not in (None, GOOD) or any(_is_doubtful(one, believed) for one in above)
        stems = {name: Path(name).stem for name in names}
        wrong = (
            {stem for stem in stems.values() if judges(stem) == "bad"} if believed else doubtful_among(stems.values())
        )
        bad += ["/".join((*place, name)) for name, stem in stems.items() if doubtful or stem in wrong]
    if bad:
        told = f"{counted(len(bad), 'file')} in {folder} would be taken as good, and the names say otherwise: {bad[0]}"
        raise DatasetError(told, hint=hint)


def require_no_doubt(folder: Path, places: Iterable[Inside], wanted: str, hint: str = TO_TELL_APART) -> None:
    """Raise DatasetError where a folder's name says that not all is good, or its neighbour's that it is not.

    `wanted` are the names that would say which are good, and that are not there.
    """
    places = set(places)
    kinds, beside_good = kinds_of(places), {place[:-1] for place in places if says(place[-1]) == GOOD}
    beside = grouped(places, lambda place: place[:-1])
    if doubtful := [
        place
        for place, kind in kinds.items()
        if kind not in (None, GOOD)
        or any(map(_is_doubtful, place))
        or (place[:-1] in beside_good and says_nothing(place[-1]))
        or part_good_from_bad(other[-1] for other in beside[place[:-1]])
    ]:
        first = min(doubtful, key=lambda place: (len(place), place))
        if split_of(first[-1]):
            hint = f"if all in it are good, name that folder itself: {folder.joinpath(*first)}; else {hint}"
        raise DatasetError(f"{folder} has the folder {'/'.join(first)!r} but none named {wanted}", hint=hint)


def _is_doubtful(name: str, believed: bool = False) -> bool:
    """Say whether a folder's name puts in doubt that it is good; `believed`: that of tests, "good/test", does not."""
    tested = not believed and split_of(name) not in (None, "train")
    return says(name) == "bad" or is_mask_folder(name) or is_of_either(name) or tested


def in_numeric_order(paths: Iterable[Path]) -> list[Path]:
    """Sort paths as people number files: 2.jpg before 10.jpg, in each folder."""

    def key(path: Path) -> list[tuple[list[str | int], str]]:
        # Texts and numbers take turns, beginning with a text, so that only like is compared with like.
        parts = [(re.split(r"([0-9]+)", part.lower()), part) for part in path.parts]
        return [([int(text) if place % 2 else text for place, text in enumerate(texts)], part) for texts, part in parts]

    return sorted(paths, key=key)


@dataclass(frozen=True, slots=True)
class Placed:
    """An image of a split, and what its place says of it."""

    split: Split
    inside: Inside
    path: Path
    kind: str | None  # None: unknown
    mask: FrameRef | None = None
    certain: bool = True  # False: taken as good, unless a mask says otherwise

    @property
    def anomalous(self) -> bool | None:
        """Say whether it is anomalous; None: unknown."""
        return None if self.kind is None else self.kind != GOOD

    def sample(self, name: str) -> Sample:
        """Return it as a sample of that id."""
        return Sample(name, FrameRef(self.path), name, 0, self.anomalous, self.kind, self.mask)


def masks_in(contents: Contents) -> MaskFiles:
    """Part the images and masks of a folder."""
    files = ((contents.inside(path), path) for path in contents.files)
    return MaskFiles(
        (inside, path)
        for inside, path in files
        if is_image(path) or path.suffix.lower() in OUTLINE_SUFFIXES or any(map(is_mask_folder, inside[:-1]))
    )


def with_masks(placed: Iterable[Placed], masks: MaskFiles) -> list[Placed]:
    """Return the images with their masks, as far as there are some; raises DatasetError for good ones in doubt.

    Where no name says what an image is, its mask does: an empty one says good. None at all says so too among others
    that are marked, if no mask of the split is empty and every one is of an image. What is marked is not learned from:
    it is a test, or left out where the data have tests of their own.
    """
    placed = list(placed)
    doubtful = [one for one in placed if one.kind is None or not one.certain]
    found, empty = masks.of([(one.inside, one.anomalous if one.certain else None) for one in placed])
    with_empty = {one.split for one in doubtful if one.inside in empty}
    marked = {one.split for one in doubtful if one.inside in found}
    unmasked = {split: GOOD for split in marked - with_empty if not masks.unused}
    tests = any(one.split == "test" for one in placed)
    judged, kinds = [], Counter[str]()
    for one in placed:
        kind, split = one.kind, one.split
        if one.split in marked | with_empty and (one.kind is None or not one.certain):
            unsaid = unmasked.get(split) if split in marked else kind
            kind = ANOMALY if one.inside in found else GOOD if one.inside in empty else unsaid
            kinds[kind or "unknown"] += 1
            if split == "train" and kind != GOOD:
                if tests or kind is None:
                    masks.left_out.append(one.inside)
                    continue
                split = "test"
        judged.append(replace(one, split=split, kind=kind, mask=found.get(one.inside)))
    if kinds:
        count = kinds.total()
        masks.told.append(
            f"{counted(count, 'image', 'lie')} in no folder that says good or bad, so masks decide: "
            f"{told_kinds(kinds)} ({'with an empty mask' if with_empty else 'without a mask'}: good)"
        )
    return judged


def place_of_splits(folders: Iterable[Inside]) -> Inside:
    """Return the one folder below which the splits lie; () where they lie on top, or in several folders."""
    found = _places_of_splits(folders)
    return found.pop() if len(found) == 1 else ()


def _places_of_splits(folders: Iterable[Inside]) -> set[Inside]:
    """Return the folders with a training split in them; "good" beside "NG" is none, if no kinds lie in its splits."""
    folders = set(folders)
    found = {place[:-1] for place in folders if split_of(place[-1]) == "train"}
    for above in [place for place in found if place and says(place[-1]) == GOOD]:
        depth = len(above)
        beside = any(place != above and place[:-1] == above[:-1] for place in folders)
        inside = [place[depth + 1] for place in folders if place[:depth] == above and len(place) > depth + 1]
        if beside and all(map(is_neutral, inside)):
            found.discard(above)
    return found


def in_splits(images: Collection[tuple[Inside, Path]], below: Inside = ()) -> Iterator[Placed]:
    """Place images below folders of splits (train, training, test, test_public, validation, …).

    Where no name between says good or bad, the first folder in the split names the kind; what lies in a split itself,
    or in its "images", is good to learn from, and unknown in tests. So is what nobody looked at ("unsorted"), which is
    not learned from; what programs drew is left out. Good images of a validation split are learned from as well where
    there are tests besides. A folder beside the splits that says good is learned from, one that says bad is a kind to
    test with. Images that do not lie `below` the folder of the splits are left out.
    """
    depth = len(below)
    images = [(inside, path) for inside, path in images if inside[:depth] == below]
    with_tests = any(split_of(inside[depth]) == "test" for inside, _ in images if len(inside) > depth + 1)
    by_top: dict[str, list[Inside]] = defaultdict(list)
    for inside, _ in images:
        by_top[inside[depth] if len(inside) > depth + 1 else ""].append(inside[depth + 1 : -1])
    kinds = {top: kinds_of(places) for top, places in by_top.items()}  # "good" of tests says nothing of training
    for inside, path in images:
        top, place = inside[depth] if len(inside) > depth + 1 else "", inside[depth + 1 : -1]
        said = says(top)
        split = "test" if said == "bad" else split_of(top) or (said and "train")
        if split is None or split == "private" or any(map(is_false_alarm, place)):
            continue
        unseen = any(map(says_nothing, place))
        telling = [name for name in place if not (is_neutral(name) or says_nothing(name))]
        unsaid = telling[0] if telling else GOOD if split == "train" else None
        kind = top if said == "bad" else kinds[top][place] or (GOOD if said else unsaid)
        if unseen and not (said or telling) and (split == "train" or any(map(is_drawn, place))):
            continue
        learned = split == "train" or (split == "validation" and kind == GOOD and with_tests)
        yield Placed("train" if learned else "test", inside, path, kind, certain=bool(said or telling))


def with_held_out(placed: Sequence[Placed], groups: Mapping[Path, str] | None = None) -> list[Placed]:
    """Move a fifth of the good ones, `groups` whole, chosen by a hash of their places, to tests that have defects."""
    if not any(one.anomalous for one in placed):
        return list(placed)
    names = {one.path: groups[one.path] if groups else "/".join(one.inside) for one in placed if one.kind == GOOD}

    def by_hash(name: str) -> bytes:
        return hashlib.sha256(name.encode(errors="surrogateescape")).digest()  # names may be any bytes

    good = sorted(set(names.values()), key=by_hash)
    held_out = set(good[: int(HELD_OUT_SHARE * len(good))])
    return [replace(one, split="test") if names.get(one.path) in held_out else one for one in placed]


def told_kinds(test: Iterable[Placed] | Iterable[Sample] | Counter[str]) -> str:
    """Say how many images of each kind there are to test with."""
    kinds = test if isinstance(test, Counter) else Counter(one.kind for one in test if one.kind)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing"


def doubts(placed: Collection[Placed], masks: MaskFiles) -> list[str]:
    """Say which images are in no split or kind, of unknown truth or good and bad, and what is to be said of masks."""
    unknown = [one.inside for one in placed if one.kind is None]
    taken = {one.inside for one in placed} | {*masks.left_out}
    left = [inside for inside, _ in masks.images if inside not in taken]
    lines = []
    if left:
        lines.append(f"left out, as no name says whether they are good: {_by_place(left)}")
    if unknown:
        told = "evaluations leave out what is not known to be good or bad; use test/good/ and test/KIND/"
        lines.append(f"{_by_place(unknown)}: {told}")
    both = [sorted((one for one in placed if one.kind is not None), key=lambda one: one.kind != GOOD)]
    for key in (lambda one: os.path.getsize(one.path), _beginning, _content):  # noqa: PTH202 (paths are slow)
        both = [alike for of in both for alike in _good_and_bad(of, key)]
    if both:
        names = listed([" = ".join("/".join(one.inside) for one in same) for same in both], _MOST_PLACES)
        told = "the same file is good and anomalous, and what is learned from is missed later; remove one"
        lines.append(f"{told}: {names}")
    return lines + masks.notes()


def _good_and_bad(placed: Iterable[Placed], key: Callable[[Placed], object]) -> list[list[Placed]]:
    """Group images by a key, and return the groups with good and with anomalous ones."""
    return [alike for alike in grouped(placed, key).values() if len({one.anomalous for one in alike}) > 1]


def _content(one: Placed, most: int = -1) -> str:
    with suppress(OSError), one.path.open("rb") as file:
        return checksum(file.read(most))
    return str(one.path)  # like no other


_beginning = partial(_content, most=4096)  # tells nearly all photos of one size from each other


def _by_place(images: Sequence[Inside]) -> str:
    """Count images by the folders they lie in, or by the first of these where there are many."""
    places = Counter("/".join(inside[:-1]) for inside in images)
    if len(places) > _MOST_PLACES:
        places = Counter("/".join(inside[:-1][:1]) for inside in images)
    return ", ".join(
        f"{counted(count, 'image')} in {f'{place}/' if place else 'no folder'}" for place, count in places.most_common()
    )


def refuse_several(folder: Path, places: Iterable[Inside]) -> None:
    """Raise DatasetError for a folder whose folders are datasets of their own."""
    places = set(places)
    several = sorted(
        set(map("/".join, _places_of_splits(places) - {()}))
        | {"/".join(place[:-3]) for place in places if len(place) > 3 and place[-3:-1] == ("Data", "Images")}
    )
    if several:
        one, name = f"{folder}/{several[0]}", Path(several[0]).name
        hint = f"take one of them: folder:{one}; if MVTec or VisA made them: mvtec:{name} or visa:{name}"
        told = f"{folder} holds {counted(len(several), 'separate dataset')}: {', '.join(several[:5])}"
        raise DatasetError(told, hint=hint)


class SplitFolders:
    """The still images of <split>/<kind>/ in a folder, masks anywhere in it; ids have no suffixes."""

    def __init__(self, folder: Path) -> None:
        self._contents = contents_of(folder)
        self._masks = masks_in(self._contents)
        self._placed = with_masks(in_splits(self._masks.images), self._masks)
        require_good(folder, (one.inside for one in self._placed if one.kind == GOOD), depth=1)
        places = ["/".join(one.inside) for one in self._placed]
        stems = Counter(os.path.splitext(place)[0] for place in places)  # noqa: PTH122 (paths are slow)
        self.samples: dict[Split, list[Sample]] = {"train": [], "test": []}
        for one, place in zip(self._placed, places, strict=True):
            stem = os.path.splitext(place)[0]  # noqa: PTH122
            self.samples[one.split].append(one.sample(stem if stems[stem] == 1 else place))

    def notes(self) -> list[str]:
        """Say which images and files were left out, and of which images masks are missing."""
        return doubts(self._placed, self._masks) + self._contents.notes(may_be_mask)
