"""Tells masks from images among the files of a folder, and finds the mask of each image.

A mask lies in a folder whose name means masks ("ground_truth", "mask_dir", "scratch_mask"), at any depth, or beside its
image under a name that says so ("003_mask.png", "003_GT.bmp"), or under its own or one that begins or ends with it
("003.png", "003_spot.png" beside "003.jpg", where only they hold as few values as a mask), or under its own in a folder
of any name that holds only such files, or in a file of outlines (`adkit.data.outlines`). In a folder of masks it is
found by the image's name, with or without such a word; the folders above it must all be above the image as well.
Several masks of an image, numbered or in a folder of its name (MVTec LOCO), are united.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from adkit.data.folder_names import (
    is_mask_folder,
    judges,
    mask_of,
    split_of_masks,
    without_mask,
    without_number,
    without_picture,
)
from adkit.data.images import frame_shape, has_few_values, is_black, is_image, read_mask
from adkit.data.mask_names import MOST_FOLDERS, Inside, folders_of_masks, masks_among, masks_beside, stem_of
from adkit.data.outline_formats import file_name
from adkit.data.outlines import is_outlined, is_outlines, outlined_in, outlines_of
from adkit.errors import DatasetError, FrameError
from adkit.stats.formatting import counted, listed, verb
from adkit.stats.segments import grouped
from adkit.types import FrameRef

_REPAIR = "save it again with the tool that made it; or move it away"
_LAST = ("object", "visualization", "viz", "vis")  # drawn for people, or numbered by object: others are better


@dataclass(frozen=True, slots=True)
class _Mask:
    ref: FrameRef
    above: Inside  # the folders in which it lies
    place: Inside  # what they tell of its image, in small letters
    splits: frozenset[str]  # that they name
    part: bool  # one of several of its image


def may_be_mask(path: Path) -> bool:
    """Say whether a file is an image, or holds outlines of what is in some."""
    return is_image(path) or is_outlines(path)


def mask_at(path: Path, image: Path) -> FrameRef:
    """Return the mask of an image in a file, or the union of those in a folder."""
    first, *others = (sorted(filter(is_image, path.iterdir())) if path.is_dir() else None) or [path]
    return FrameRef(first, others=tuple(others)) if others else outlines_of(first, image)


class MaskFiles:
    """The masks among such files of one folder, and the images."""

    def __init__(self, files: Iterable[tuple[Inside, Path]]) -> None:
        """Part the files; each with where it lies in the folder."""
        self.images: list[tuple[Inside, Path]] = []
        self._masks: dict[str, list[_Mask]] = defaultdict(list)  # by what their images may be called
        self.unused: dict[FrameRef, str] = {}  # by no image that was asked for; with where they are, in words
        self._spare: dict[FrameRef, str] = {}  # the same, of images that have a better one
        self._by_content: list[str] = []
        self._unreadable: list[str] = []  # why they are, in words
        self._lacking: list[str] = []
        self.told: list[str] = []  # by those who judged images by the masks
        self.left_out: list[Inside] = []  # images that are not learned from for what their masks say
        self._anomalous = 0
        others = {above: [path for _, path in of] for above, of in grouped(files, lambda one: one[0][:-1]).items()}
        masks, unread = list[tuple[Inside, Path]](), list[tuple[Inside, Path]]()
        for above, paths in others.items():
            of_masks = any(map(is_mask_folder, above))
            named = set(paths) if of_masks else masks_among(paths)
            beside = masks_beside([one for one in paths if is_image(one) and one not in named])
            for path in paths:
                if is_outlines(path):
                    for ref, name in outlined_in(path):
                        self._add(above, ref, name, apart=not any(map(is_image, paths)))
                elif not is_image(path):
                    unread += [(above, path)] if of_masks else []
                elif path in named:
                    masks.append((above, path))
                elif path in beside:
                    self._by_content.append("/".join((*above, path.name)))
                    self._add(above, FrameRef(path), beside[path].name, part=True)
                else:
                    self.images.append(((*above, path.name), path))
        of_others = folders_of_masks(self.images)
        for inside, path in self.images:
            for place, owner in of_others.get(inside[:-1], {}).items():
                self._add(inside[:-1], FrameRef(path), owner.get(stem_of(inside), ""), beside=place)
        self._by_content += ["/".join(inside) for inside, _ in self.images if inside[:-1] in of_others]
        self.images = [(inside, path) for inside, path in self.images if inside[:-1] not in of_others]
        self._paths = dict(self.images)
        stems = set(map(stem_of, self._paths)) if masks or unread else set()
        self.unused |= {
            FrameRef(path): "/".join((*above, path.name)) for above, path in unread if stem_of((path.name,)) in stems
        }
        for above, path in masks:
            self._add(above, FrameRef(path), stems=stems)
        for named_alike in self._masks.values():
            named_alike.sort(key=_rank)

    def _add(
        self,
        above: Inside,
        ref: FrameRef,
        of: str = "",
        *,
        apart: bool = False,
        part: bool = False,
        beside: Inside | None = None,
        stems: Collection[str] = (),
    ) -> None:
        """Note a mask; `of` is the image's path as a file of outlines has it, "" where its name is the mask's.

        Of such a path, and of that of a file that lies `apart` from all images, the last folders may be the image's.
        A number at its end is the image's own where one of the images' `stems` has it. `beside` is where those lie that
        a folder of any name belongs to.
        """
        path, where = ref.path, "/".join((*above, ref.path.name))
        self.unused[ref] = f"{where} of {of}" if of else where
        over = above if beside is None else tuple(one for one in above if one in beside)
        splits = _splits(above if beside is None else beside)
        # "defect_masks" may be beside "NG", and "ground_truth_1" tell of no image.
        kinds = [one for one in over if not (is_mask_folder(one) and _may_say_nothing(without_mask(one)))]
        *folders, _ = of.replace("\\", "/").split("/")
        stem = stem_of((file_name(of) if of else path.name,))
        wholes = [(*one, *folders[depth:]) for one in (over, kinds) for depth in range(len(folders) + 1)]
        wholes += [whole[depth:] for whole in wholes for depth in range(len(whole) + 1) if apart]
        names = dict(filter(None, [(stem, part), mask_of(stem), (file_name(of).lower(), False)]))
        if stems and stem not in stems:
            names.setdefault(without_number(stem), True)
        for place in set(map(_place, wholes)):
            for name, one_of_several in names.items():
                self._masks[name].append(_Mask(ref, above, place, splits, one_of_several))
            # It may be one of several masks of an image, in a folder of its own.
            if place and is_image(path) and above[-1] in kinds:
                self._masks[f"{place[-1]}/"].append(_Mask(ref, above, place[:-1], splits, part=True))

    def of(self, images: Sequence[tuple[Inside, bool | None]]) -> tuple[dict[Inside, FrameRef], set[Inside]]:
        """Return the masks of the images that are anomalous, and which ones in doubt have a mask that marks nothing.

        Images come as where they lie, and whether they are anomalous; None: in doubt, and so a mask decides. Raises
        DatasetError for a normal one in which something is marked, and for one in doubt whose mask cannot be read.
        """
        empty: set[Inside] = set()
        if not self._masks:
            return {}, empty
        bad = [inside for inside, anomalous in images if anomalous]
        names = grouped((inside for inside, anomalous in images if anomalous is not False), stem_of)
        found = {inside: mask for inside in bad if (mask := self._find(inside, names))}
        self._anomalous, self._lacking = len(bad), ["/".join(inside) for inside in bad if inside not in found]
        marked = []
        for inside, anomalous in images:
            none_left = anomalous is False and not self.unused  # several images may have one mask
            if anomalous or none_left or not (mask := self._find(inside, names)):
                continue
            try:
                marks = marks_any(mask, self._paths[inside])
            except FrameError as error:
                if anomalous is False:
                    self._unreadable.append(error.message)
                    continue
                name = "/".join(inside)
                told = f"whether {name} is good is told by its mask, which cannot be read: {error}"
                raise DatasetError(told, hint=error.hint) from None
            if anomalous is False and marks:
                marked.append(("/".join(inside), mask))
            elif anomalous is None and marks:
                found[inside] = mask
            elif anomalous is None:
                empty.add(inside)
        if marked:
            name, mask = marked[0]
            told = f"{counted(len(marked), 'image')} would be taken as good, and something is marked: {name}, by {mask}"
            hint = _unless_photo(mask, "move them to those with something wrong, or delete the marks of what is not")
            raise DatasetError(told, hint=hint)
        return found, empty

    def _find(self, inside: Inside, names: Mapping[str, Sequence[Inside]]) -> FrameRef | None:
        """Return the mask of an image; `names` are those that are anomalous or in doubt, by their stems."""
        place, stem, splits = _place(inside[:-1]), stem_of(inside), _splits(inside[:-1])
        used: dict[FrameRef, None] = {}
        for name in dict.fromkeys((stem, inside[-1].lower(), f"{stem}/", without_picture(stem))):
            for mask in self._masks.get(name, ()):
                if not (_lies_within(mask.place, place) and _may_be_of(mask.splits, splits)):
                    continue  # "train/003_mask" is not of "test/003"
                # What lies in no folder of a kind is the mask of an image only where no other has that name: not in
                # the tests, else in training.
                if not mask.place:
                    owners = [one for one in names.get(stem, ()) if _may_be_of(mask.splits, _splits(one[:-1]))]
                    owners = [one for one in owners if "train" not in _splits(one[:-1])] or owners
                    if owners not in ([], [inside]):
                        continue
                if not used:
                    folder = mask.ref.path.parent
                    parts = [one.ref for one in self._masks[name] if one.part and one.ref.path.parent == folder]
                    used = dict.fromkeys([mask.ref, *parts])
                    for ref in used:
                        self.unused.pop(ref, None)
                        self._spare.pop(ref, None)
                elif mask.ref in self.unused:
                    self._spare[mask.ref] = self.unused.pop(mask.ref)
        first, *others = used or [None]
        return first and replace(first, others=tuple(one.path for one in others if one))

    def require_readable(self, unsaid: Collection[str]) -> None:
        """Raise DatasetError where outlines cannot be read that may say of such images that they are not good."""
        if fault := next((fault for ref in self.unused if unsaid and (fault := _fault_of(ref))), None):
            raise DatasetError(f"whether images are good is told by a file that nobody can read: {fault}", hint=_REPAIR)

    def unless_photos(self, hint: str) -> str:
        """Return the hint, and more where what was taken for masks, by a name, may be photos."""
        masks = (mask for masks in self._masks.values() for mask in masks)
        return _unless_photo(first.ref, hint) if (first := next(masks, None)) else hint

    def require_none(self, folder: Path) -> None:
        """Raise DatasetError where masks mark something in what is not known: then not all images are good.

        So may images that hold as few values as masks, where those of other folders do not.
        """
        places = grouped(self.images, lambda one: one[0][:-1])
        ends = {place: (of[0][1], of[-1][1]) for place, of in places.items() if len(places) <= MOST_FOLDERS}
        few = [place for place, paths in ends.items() if all(has_few_values(path) for path in paths)]
        if 0 < len(few) < len(ends) and not is_black(FrameRef(ends[few[0]][0])):
            name = "/".join(few[0]) or "the folder itself"
            told = f"the images in {name} of {folder} hold as few values as masks, and those in other folders do not"
            hint = (
                "masks: call their folder 'masks', and them as their images; images: list all in a table, manifest:FILE"
            )
            raise DatasetError(told, hint=hint)
        if marking := [ref for ref in self.unused if not _is_empty(ref)]:
            if fault := _fault_of(marking[0]):
                told = f"a file beside the images of {folder} may mark what is wrong, and cannot be read: {fault}"
                raise DatasetError(told, hint=_REPAIR)
            raise DatasetError(
                f"masks lie beside the images of {folder} ({len(marking)}, the first: {marking[0].path.name}), so that "
                "not all are good",
                hint=_unless_photo(
                    marking[0],
                    "put good images into a folder 'good', others beside it into folders named by what is wrong",
                ),
            )

    def notes(self) -> list[str]:
        """Say which masks belong to no image, and which images have none although there are masks."""
        lines = list(self.told)
        if count := len(self.left_out):
            lines.append(
                f"{counted(count, 'training image', 'are')} left out, as something is marked there or the mask is "
                f"missing: {listed(list(map('/'.join, self.left_out)))}"
            )
        if unused := list(self.unused.values()):
            lines.append(f"{counted(len(unused), 'mask', 'belong')} to no image that was found: {listed(unused)}")
        if faults := self._unreadable + [fault for ref in self.unused if (fault := _fault_of(ref))]:
            lines.append(f"{counted(len(faults), 'mask')} cannot be read: {listed(faults)}")
        if count := len(self._spare):
            told = f"{counted(count, 'mask', 'are')} not used, as the same images have others"
            lines.append(f"{told}: {listed(list(self._spare.values()))}")
        if count := len(self._by_content):
            lines.append(
                f"{counted(count, 'file', 'hold')} as few values as masks and {verb(count, 'have')} names of images, "
                f"and so {verb(count, 'are')} taken for their masks: {listed(self._by_content)}"
            )
        if count := len(self._lacking):
            above = {mask.above for masks in self._masks.values() for mask in masks}
            places = listed(sorted("/".join(place) or "the folder itself" for place in above))
            stem = Path(self._lacking[0]).stem
            lines.append(
                f"{count} of {counted(self._anomalous, 'anomalous image')} {verb(count, 'have')} no mask: "
                f"{listed(self._lacking)}; files named {stem} or {stem}_mask and folders named {stem} were looked for "
                f"in {places}"
            )
        return lines


def _unless_photo(mask: FrameRef, hint: str) -> str:
    """Return the hint, and more where what was taken for a mask, by its name or its folder's, may be a photo."""
    if not is_image(mask.path) or has_few_values(mask.path):
        return hint
    if named := [name for name in mask.path.parent.parts if is_mask_folder(name)]:
        return f"{hint}; a folder named {named[-1]!r} is taken for masks: if it holds photos, give it another name"
    return f"{hint}; a file named {mask.path.name!r} is taken for a mask: if it is a photo, give it another name"


def _may_say_nothing(of_masks: str) -> bool:
    return judges(of_masks) is not None or of_masks.isdigit()


def _is_empty(mask: FrameRef) -> bool:
    try:
        return is_image(mask.path) and is_black(mask)
    except FrameError:
        return False


def _fault_of(mask: FrameRef) -> str | None:
    """Say why a file of outlines cannot be read; None where it can, and of an image."""
    try:
        if not is_image(mask.path):
            is_outlined(mask)
    except FrameError as error:
        return error.message
    return None


def marks_any(mask: FrameRef, image: Path) -> bool | None:
    """Say whether a mask marks anything in an image, None: its file outlines others; FrameError for a bad one."""
    if not is_image(mask.path):
        return is_outlined(mask)
    if not mask.others and is_black(mask):
        return False
    return bool(read_mask(mask, frame_shape(FrameRef(image))).any())


def _place(above: Iterable[str]) -> Inside:
    """Return the folders that tell of what an image is, in small letters."""
    return tuple(name for name in map(without_mask, above) if name)


def _splits(above: Iterable[str]) -> frozenset[str]:
    return frozenset(split for split in map(split_of_masks, above) if split)


def _may_be_of(mask: frozenset[str], image: frozenset[str]) -> bool:
    """Say whether the splits that are named above a mask may be those above an image."""
    return not (mask and image) or not mask.isdisjoint(image)


def _lies_within(place: Inside, above: Inside) -> bool:
    """Say whether the folders of a mask are all among those of the image, in their order."""
    rest = iter(above)
    return all(name in rest for name in place)


def _rank(mask: _Mask) -> tuple[int, bool, bool, bool, bool]:
    """Order the masks of an image: the nearest first, and the one that is best made."""
    above = [name.lower() for name in mask.above]
    for_people, truth = any(name.endswith(_LAST) for name in above), any(name.startswith("ground") for name in above)
    return -len(mask.place), mask.part, for_people, not truth, not is_image(mask.ref.path)
