"""Tells which images of folders are masks of others, by their names and by what they hold."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path

from adkit.data.folder_names import composed, mask_of, without_picture
from adkit.data.images import has_few_values, is_black, is_image
from adkit.stats.segments import grouped
from adkit.types import FrameRef

Inside = tuple[str, ...]  # where a file lies: its path from the folder that is read, in parts

_PARTS = re.compile(r"(?<=\d)(?=\D)|(?<=\D)(?=\d)|(?=[\W_])|(?<=[\W_])")  # where a name may end within another
MOST_FOLDERS = 50  # more are of parts or days, and would take long


def masks_among(paths: Sequence[Path]) -> set[Path]:
    """Return the masks among the files of a folder by their names, or by what they hold where two have one name."""
    by_stem = grouped(filter(is_image, paths), lambda path: stem_of((path.name,)))
    masked = {stem: of[0] for stem in by_stem if (of := mask_of(stem))}
    stems = by_stem.keys() | set(map(without_picture, by_stem) if masked else ())
    found = {path for stem, of in masked.items() if of in stems for path in by_stem[stem]}
    for pair in by_stem.values():
        few = {path for path in pair if has_few_values(path)} if len(pair) > 1 else set[Path]()
        if len(few) < len(pair):
            found |= few
    return found


def folders_of_masks(images: Iterable[tuple[Inside, Path]]) -> dict[Inside, dict[Inside, dict[str, str]]]:
    """Return the folders whose images are masks of those elsewhere, and where those may be, with their names by stems.

    Names are the same, or that of a mask begins or ends with its image's. Of those that two folders share, the first
    and the last are looked at; "test_lab" is rather of "test_img".
    """
    by_place = grouped(images, lambda one: one[0][:-1])
    places = {place: {stem_of(inside): path for inside, path in of} for place, of in by_place.items()}
    few, found, dark = cache(has_few_values), dict[Inside, dict[Inside, dict[str, str]]](), set[Inside]()
    for place, marks in places.items() if len(places) <= MOST_FOLDERS else ():
        near: dict[int, dict[Inside, dict[str, str]]] = defaultdict(dict)
        for other in [one for one in places if one != place] if few(next(iter(marks.values()))) else ():
            owners = places[other]
            found_in = ((stem, stem if stem in owners else _within(stem, owners)) for stem in sorted(marks))
            owned = {stem: of for stem, of in found_in if of}
            ends = [*owned][:1] + [*owned][-1:] if 2 * len(owned) >= len(marks) else []
            if ends and all(few(marks[stem]) and not few(owners[owned[stem]]) for stem in ends):
                names = {stem: owners[of].name for stem, of in owned.items()}
                near[len(_words(place) & _words(other))][other] = names
        if near:
            found[place] = near[max(near)]
            if all(is_black(FrameRef(path)) for path in marks.values()):
                dark.add(place)
    # Black images alone may be those of a dark camera: masks that mark nothing lie beside some that do.
    marking = {place[:-1] for place in found.keys() - dark}
    return {place: of for place, of in found.items() if place not in dark or place[:-1] in marking}


def _within(stem: str, images: Collection[str]) -> str | None:
    """Return the longest of the images' stems, but the same one, with which a stem begins or ends."""
    cuts = [cut.start() for cut in _PARTS.finditer(stem)]
    parts = (part for cut in cuts for part in (stem[:cut], stem[cut:]) if part in images and part != stem)
    return max(parts, key=len, default=None)


def _words(place: Inside) -> set[str]:
    return set(re.findall(r"[^\W_]+", "/".join(place).lower()))


def masks_beside(images: Sequence[Path]) -> dict[Path, Path]:
    """Return the masks among the images of a folder that have names such as "003_spot" or "spot3", each with its image.

    Names that differ from their image's alike are judged together, by the first and the last: all would take long.
    """
    by_stem = {stem_of((path.name,)): path for path in images}
    alike: dict[str, list[tuple[Path, Path]]] = defaultdict(list)
    for stem, path in by_stem.items():
        if owner := _within(stem, by_stem):
            alike[stem.replace(owner, "/", 1)].append((path, by_stem[owner]))
    masks: dict[Path, Path] = {}
    for pairs in alike.values():
        if all(has_few_values(path) and not has_few_values(owner) for path, owner in (pairs[0], pairs[-1])):
            masks.update(pairs)
    return masks


def stem_of(inside: Inside) -> str:
    """Return a file's name without its suffix, its letters composed."""
    return composed(os.path.splitext(inside[-1])[0])  # noqa: PTH122 (paths are slow)
