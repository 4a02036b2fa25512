"""Tells masks from images among the files of a folder, and finds the mask of each image.

A mask lies in a folder whose name means masks ("ground_truth", "masks", "mask_dir", "scratch_mask"), at any depth, or
beside its image under a name that says so ("003_mask.png", "003_GT.bmp"), or in a file of outlines, as labelling tools
save them (`adkit.data.outlines`). In a folder of masks it is found by the image's name, with or without such a word,
and by the folders between: those above the mask must all be above the image as well. A folder that has the image's name
and holds several masks is their union (MVTec LOCO).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adkit.data.folder_names import is_mask_folder, judges, mask_of, split_of_masks, without_mask
from adkit.data.images import frame_shape, is_image, read_mask
from adkit.data.outlines import file_name, is_outlines, outlined_in
from adkit.errors import DatasetError, FrameError
from adkit.types import FrameRef

Inside = tuple[str, ...]
"""Where a file lies: its path from the folder that is read, in parts."""

_LAST = ("object", "visualization", "viz", "vis")  # drawn for people, or numbered by object: others are better
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class _Mask:
    ref: FrameRef
    above: Inside  # the folders in which it lies
    place: Inside  # what they tell of its image, in small letters
    splits: frozenset[str]  # that they name


def may_be_mask(path: Path) -> bool:
    """Say whether a file is an image, or holds outlines of what is in some."""
    return is_image(path) or is_outlines(path)


class MaskFiles:
    """The masks among such files of one folder, and the images."""

    def __init__(self, files: Iterable[tuple[Inside, Path]]) -> None:
        """Part the files; each with where it lies in the folder."""
        self.images: list[tuple[Inside, Path]] = []
        self._masks: dict[str, list[_Mask]] = defaultdict(list)  # by what their images may be called
        self._unused: dict[FrameRef, str] = {}  # with where they are, in words
        self._lacking: list[str] = []
        self._anomalous = 0
        others: dict[Inside, list[Path]] = defaultdict(list)
        for inside, path in files:
            others[inside[:-1]].append(path)
        for above, paths in others.items():
            of_masks = any(map(is_mask_folder, above))
            stems = set() if of_masks else {path.stem.lower() for path in paths}
            for path in paths:
                if not is_image(path):
                    for ref, name in outlined_in(path):
                        self._add(above, ref, name, apart=not any(map(is_image, paths)))
                elif of_masks or mask_of(path.stem) in stems:
                    self._add(above, FrameRef(path))
                else:
                    self.images.append(((*above, path.name), path))
        self._paths = dict(self.images)
        for masks in self._masks.values():
            masks.sort(key=_rank)

    def _add(self, above: Inside, ref: FrameRef, of: str = "", *, apart: bool = False) -> None:
        """Note a mask; `of` is the image's path as a file of outlines has it, "" where its name is the mask's.

        Of such a path, and of that of a file that lies `apart` from all images, the last folders may be the image's.
        """
        path, where = ref.path, "/".join((*above, ref.path.name))
        self._unused[ref] = f"{where} of {of}" if of else where
        # "defect_masks" may be beside "NG".
        kinds = [one for one in above if not (is_mask_folder(one) and judges(without_mask(one)))]
        *folders, _ = of.replace("\\", "/").split("/")
        stem = Path(file_name(of) if of else path).stem.lower()
        wholes = [(*one, *folders[depth:]) for one in (above, kinds) for depth in range(len(folders) + 1)]
        wholes += [whole[depth:] for whole in wholes for depth in range(len(whole) + 1) if apart]
        for place in set(map(_place, wholes)):
            for name in {stem, mask_of(stem) or "", file_name(of).lower()} - {""}:
                self._masks[name].append(_Mask(ref, above, place, _splits(above)))
            if place and is_image(path):  # it may be one of several masks of an image, in a folder of its own
                self._masks[f"{place[-1]}/"].append(_Mask(ref, above, place[:-1], _splits(above)))

    def of(self, images: Sequence[tuple[Inside, bool | None]]) -> dict[Inside, FrameRef]:
        """Return the masks of the anomalous ones of all images: files, or folders whose images are parts of one mask.

        Images come as where they lie, and whether they are anomalous. Raises DatasetError for a normal one in which
        something is marked.
        """
        if not self._masks:
            return {}
        bad = [inside for inside, anomalous in images if anomalous]
        names = Counter(_stem(inside) for inside in bad)
        found = {inside: mask for inside in bad if (mask := self._find(inside, names))}
        self._anomalous, self._lacking = len(bad), ["/".join(inside) for inside in bad if inside not in found]
        marked = []
        for inside, anomalous in images:
            if not anomalous and self._unused:
                mask = self._find(inside, names)
                if mask and anomalous is False and _marks(mask, self._paths[inside]):
                    marked.append(("/".join(inside), mask))
        if marked:
            name, mask = marked[0]
            raise DatasetError(
                f"{len(marked)} images that would be taken as good have something marked in them: {name}, by {mask}",
                hint="move them to those with something wrong, or delete the marks of what is not",
            )
        return found

    def _find(self, inside: Inside, names: Mapping[str, int]) -> FrameRef | None:
        place, stem, splits = _place(inside[:-1]), _stem(inside), _splits(inside[:-1])
        for name in (stem, inside[-1].lower(), f"{stem}/"):
            for mask in self._masks.get(name, ()):
                if splits and mask.splits and splits.isdisjoint(mask.splits):
                    continue  # "train/003_mask" is not of "test/003"
                # What lies in no folder of a kind is the mask of an image only where no other has that name.
                if _lies_within(mask.place, place) and (mask.place or names.get(stem, 0) <= 1):
                    if not name.endswith("/"):
                        self._unused.pop(mask.ref, None)
                        return mask.ref
                    for part in self._masks[name]:
                        if part.ref.path.parent == mask.ref.path.parent:
                            self._unused.pop(part.ref, None)
                    return FrameRef(mask.ref.path.parent)
        return None

    def require_none(self, folder: Path) -> None:
        """Raise DatasetError where there are masks: then not all images are good."""
        if self._unused:
            (ref, *_), count = self._unused, len(self._unused)
            raise DatasetError(
                f"masks lie beside the images of {folder} ({count}, the first: {ref.path.name}), so that "
                "not all are good",
                hint="put good images into a folder 'good', others beside it into folders named by what is wrong",
            )

    def notes(self) -> list[str]:
        """Say which masks belong to no image, and which images have none although there are masks."""
        lines = []
        if unused := list(self._unused.values()):
            lines.append(f"{len(unused)} masks belong to no image that was found: {_some(unused)}")
        if self._lacking:
            places = {"/".join(mask.above) or "the folder itself" for masks in self._masks.values() for mask in masks}
            stem = Path(self._lacking[0]).stem
            lines.append(
                f"{len(self._lacking)} of {self._anomalous} anomalous images have no mask: {_some(self._lacking)}; "
                f"files named {stem} or {stem}_mask and folders named {stem} were looked for in {_some(sorted(places))}"
            )
        return lines


def _marks(mask: FrameRef, image: Path) -> bool:
    """Say whether anything is marked in an image; what cannot be read is told elsewhere."""
    if not (mask.path.is_dir() or is_image(mask.path)):
        return True  # of outlines only those are listed that mark something
    try:
        return bool(read_mask(mask, frame_shape(FrameRef(image))).any())
    except FrameError:
        return False


def _place(above: Iterable[str]) -> Inside:
    """Return the folders that tell of what an image is, in small letters."""
    return tuple(name for name in map(without_mask, above) if name)


def _splits(above: Iterable[str]) -> frozenset[str]:
    return frozenset(split for split in map(split_of_masks, above) if split)


def _lies_within(place: Inside, above: Inside) -> bool:
    """Say whether the folders of a mask are all among those of the image, in their order."""
    rest = iter(above)
    return all(name in rest for name in place)


def _stem(inside: Inside) -> str:
    return Path(inside[-1]).stem.lower()


def _rank(mask: _Mask) -> tuple[int, bool, bool, bool]:
    """Order the masks of an image: the nearest first, and the one that is best made."""
    above = [name.lower() for name in mask.above]
    for_people, truth = any(name.endswith(_LAST) for name in above), any(name.startswith("ground") for name in above)
    return -len(mask.place), for_people, not truth, not is_image(mask.ref.path)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
