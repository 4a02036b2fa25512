"""What comes from outside is looked at here before it names a file: ids, dataset specs, paths, uploads."""

import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from adkit.data.datasets import open_datasets
from adkit.data.images import pixel_count
from adkit.data.spans import VideoSpans, parse_spans
from adkit.data.video import Video, is_video
from adkit.errors import SKIPPING, AdkitError, DatasetError, FrameError, OptionError, RunError, StorageError
from adkit.files.atomic import is_folder, storage_faults, whole_folder
from adkit.files.cache import cache_root
from adkit.interfaces import Dataset
from adkit.registry import Registry
from adkit.runs.record import LATEST
from adkit.runs.store import RECORD, folders_called, newest_folder
from adkit.stats.formatting import counted
from adkit.types import FrameRef
from adkit.ui.settings import Limits, ServerSettings

_NAME = re.compile(r"[\w][\w.\- ]{0,79}")


def is_name(text: str) -> bool:
    """Say whether the text may name something new in a folder: no path, nothing hidden, and not too long."""
    return bool(_NAME.fullmatch(text))


def _is_in_folder(text: str) -> bool:
    """Say whether the text can only mean something directly in a folder, whatever its owner called it."""
    return bool(text) and text == PurePosixPath(text).name == PureWindowsPath(text).name and text[0] != "."


def inside(root: Path, path: Path) -> Path:
    """Follow every link of the path; raises OptionError where that is not below the root."""
    try:
        found, base = path.resolve(), root.resolve()
    except (OSError, RuntimeError, ValueError):  # a circle of links, a null byte
        raise OptionError("the path cannot be followed", hint="name a file below the server's folders") from None
    if found != base and base not in found.parents:
        raise OptionError(f"{path.name} lies outside the server's folders", hint=f"put it below {base.name}/")
    return found


def folder_of(settings: ServerSettings, kind: Literal["run", "comparison"], name: str) -> Path:
    """Return the folder of that run or comparison; raises RunError for what is not one directly where they lie."""
    root = settings.runs_root if kind == "run" else comparisons_root(settings)
    folder = root / name
    with suppress(OSError, ValueError):
        is_there = _is_in_folder(name) and folder.resolve().parent == root.resolve() and folder.is_dir()
        if is_there and (kind == "comparison" or (folder / RECORD).is_file()):
            return folder
    where = "the list of runs" if kind == "run" else "the list"
    raise RunError(f"there is no {kind} {name[:80]!r}", hint=f"it may have been deleted; reload {where}")


def named_folder(settings: ServerSettings, run_id: str) -> Path:
    """Return the folder of a run by its id, its name (the newest) or "latest"; raises RunError when there is none."""
    if run_id == LATEST:
        run_id = newest_folder(settings.runs_root).name
    elif is_name(run_id) and not is_folder(settings.runs_root / run_id):
        run_id = next((folder.name for folder in folders_called(settings.runs_root, run_id)[-1:]), run_id)
    return folder_of(settings, "run", run_id)


def comparisons_root(settings: ServerSettings) -> Path:
    """Return where comparisons that were started from the page lie; hidden, because they are no runs."""
    return settings.runs_root / ".comparisons"


def delete_folder(folder: Path) -> None:
    """Delete a run, or a comparison with all that was fitted for it: at once for whoever looks, then file by file."""
    doomed = folder.with_name(f".{folder.name}-deleted")
    with storage_faults(folder):
        folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def named_datasets(settings: ServerSettings, spec: str, registry: Registry) -> list[Dataset]:
    """Open the datasets that the spec names below the data root; raises DatasetError for files that lie elsewhere.

    Only the samples tell where a dataset's files are, so all of them are looked at, links followed. What adkit
    itself drew in its cache is allowed.
    """
    selection = spec.partition(":")[2]
    if (
        ".." in (*PurePosixPath(selection).parts, *PureWindowsPath(selection).parts)
        or selection.startswith(("/", "\\", "~"))
        or PureWindowsPath(selection).drive
        or "\0" in spec
    ):
        hint = "name a folder by its path below the data folder"
        raise DatasetError(f"{spec[:80]!r} leads out of the server's data folder", hint=hint)
    datasets = open_datasets(spec, settings.data_root.resolve(), registry)
    allowed = [settings.data_root.resolve(), cache_root().resolve()]
    for dataset in datasets:
        samples = chain(dataset.samples("train"), dataset.samples("test"))
        refs = filter(None, (ref for sample in samples for ref in (sample.frame, sample.mask)))
        for path in (path for ref in refs for path in (ref.path, *ref.others)):
            if not any(base in path.resolve().parents for base in allowed):
                hint = "copy the files into the data folder; links out of it are not followed"
                raise DatasetError(f"{dataset.spec}: {path.name} lies outside the server's data folder", hint=hint)
    return datasets


def confined_options(settings: ServerSettings, schema: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Make options that are paths absolute below the data root; raises OptionError for one that is not."""
    confined = dict(values)
    for name, text in values.items():
        field = schema.get("properties", {}).get(name, {})
        is_path = any("path" in part.get("format", "") for part in (field, *field.get("anyOf", ())))
        if is_path and text not in ("", "none"):
            confined[name] = str(inside(settings.data_root, settings.data_root / text))
    return confined


def require_image(path: Path, name: str, limits: Limits) -> None:
    """Raise FrameError, by the file's own name, for what is no image or has too many pixels; decodes nothing."""
    try:
        count = pixel_count(FrameRef(path))
    except FrameError as error:
        hint = "upload a PNG, JPEG, TIFF, BMP or WebP" if error.hint.endswith(SKIPPING) else error.hint
        raise FrameError(error.message.replace(str(path), name), hint=hint) from None
    if count > limits.pixels:
        told = f"{name} has {count / 1e6:.0f} megapixels; this server takes {limits.pixels / 1e6:.0f}"
        raise FrameError(told, hint="cut the image into tiles, or shrink it")


def require_video(path: Path, name: str, limits: Limits) -> int:
    """Return about how many frames there are, as the file says; raises FrameError for what is no video or too large."""
    with Video(path) as video:
        height, width = video.coded_shape
        expected, rate = video.expected_frames or 0, video.rate
    if height * width > limits.video_pixels:
        raise FrameError(
            f"{name} has {height * width / 1e6:.1f} megapixels a frame; "
            f"this server takes {limits.video_pixels / 1e6:.0f}",
            hint="shrink the video",
        )
    if expected > limits.video_s * rate * 1.02:
        raise too_long(name, limits)
    return expected


def too_long(name: str, limits: Limits) -> FrameError:
    """Return what is said of a video that is too long."""
    return FrameError(
        f"{name} is longer than {limits.video_s / 60:.0f} minutes", hint="cut it, or use: adkit score VIDEO"
    )


def keep_upload(settings: ServerSettings, name: str, files: Sequence[Path], part: str = "") -> tuple[str, list[str]]:
    """Copy good images, or normal videos, into the data root as a dataset of that name.

    Returns its spec, and why files were left out that are no image, or no video where the first one that can be read
    is one. Of one video a `part` such as "0:00-2:00" may be what is learned from. Raises AdkitError for a name that is
    taken or no name, and where no file is left.
    """
    if not is_name(name):
        told = f"{name[:80]!r} is no name for a dataset"
        raise OptionError(told, hint="letters, digits, - and _: for example washers")
    if not files:
        raise DatasetError("no image was uploaded", hint="drop the images of good parts first")
    if len(files) > settings.limits.files:
        hint = "put the folder below the server's data folder, and choose it there"
        raise DatasetError(f"{len(files):,} files were uploaded; {settings.limits.files:,} are the most", hint=hint)
    target, spans = settings.uploads / name, parse_spans(part.split(",")) if part else ()
    inside(settings.data_root, target)
    kept, left_out = _sound_files(files, settings.limits)
    moving = is_video(kept[0])
    if spans and not (moving and len(kept) == 1):
        found = counted(len(kept), "video" if moving else "image")
        raise OptionError(f"{part} is a part of one video, and {found} came", hint="upload one video, or name no part")
    place = "train" if moving else "normal"
    names = [f"{name if spans else f'{number:04d}'}{path.suffix.lower()}" for number, path in enumerate(kept)]
    try:
        with whole_folder(target, replace=False) as temporary:
            (temporary / place).mkdir()
            for path, called in zip(kept, names, strict=True):
                shutil.copyfile(path, temporary / place / called)
    except FileExistsError:
        raise StorageError(f"there is a dataset {name!r} already", hint="choose another name") from None
    below = target.relative_to(settings.data_root).as_posix()
    if spans:
        return f"{VideoSpans.name}:{below}/{place}/{names[0]}@{','.join(map(str, spans))}", left_out
    return f"{'clips' if moving else 'folder'}:{below}", left_out


def _sound_files(files: Sequence[Path], limits: Limits) -> tuple[list[Path], list[str]]:
    """Return the files that are of the first sound one's sort, and why the others are not; raises where none is."""
    kept: list[Path] = []
    left_out: list[str] = []
    for path in files:
        moving = is_video(path)
        try:
            (require_video if moving else require_image)(path, path.name, limits)
        except AdkitError as error:
            if path is files[-1] and not kept:
                raise
            left_out.append(error.message.replace(str(path), path.name))
            continue
        if kept and moving != is_video(kept[0]):
            left_out.append(f"{path.name} is {'a video' if moving else 'an image'} among others")
        else:
            kept.append(path)
    return kept, left_out


def two_lines(error: AdkitError, settings: ServerSettings) -> tuple[str, str]:
    """Return what is wrong and what to do, without the paths of this machine."""
    message, hint = error.message, error.hint
    for root in (settings.runs_root, settings.data_root):
        for path in {str(root.resolve()), str(root.absolute())}:
            message, hint = message.replace(path, root.name), hint.replace(path, root.name)
    return message, hint
