"""One's own images, in a folder or listed in a table."""

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> list[DatasetEntry]:
    images = "a folder of your own images, in any of three layouts"
    table = "your own images, listed in a CSV file: path, split, kind, mask, group"
    return [
        DatasetEntry("folder", images, "adkit_folder.dataset:Folder", example="folder:./parts"),
        DatasetEntry("manifest", table, "adkit_folder.manifest:Manifest", example="manifest:parts.csv"),
    ]
