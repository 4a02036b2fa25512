"""Says before the work where pictures must not be written: over, or among, those of others."""

from pathlib import Path

from adkit.data.images import is_drawn_by_adkit, is_image
from adkit.errors import OptionError
from adkit.files.atomic import is_folder, require_folder_of_results, require_output


def require_picture(path: Path | None) -> None:
    """Raise AdkitError where a picture cannot be written, or would replace one that adkit did not draw."""
    require_output(path)
    if path is not None and path.exists() and not is_drawn_by_adkit(path):
        raise OptionError(f"{path} is there, and adkit did not draw it", hint="choose another name: it would be lost")


def require_folder(folder: Path | None) -> None:
    """Raise AdkitError where a folder of results cannot be written, or holds images that adkit did not draw."""
    if folder is None:
        return
    require_folder_of_results(folder, folder)
    if is_folder(folder):
        own = (path for path in sorted(folder.iterdir()) if is_image(path) and not is_drawn_by_adkit(path))
        if (first := next(own, None)) is not None:
            hint = "choose a folder of its own for the results"
            raise OptionError(f"{folder} holds images of yours, such as {first.name}", hint=hint)
