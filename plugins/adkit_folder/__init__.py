"""One's own images, in a folder or listed in a table."""

from adkit import DatasetEntry, hookimpl


@hookimpl
def adkit_datasets() -> list[DatasetEntry]:
    return [
        DatasetEntry(
            "folder",
            "a folder of your own images, in any of three layouts",
            "adkit_folder.dataset:Folder",
            example="folder:./parts",
        ),
        DatasetEntry(
            "manifest",
            "your own images, listed in a CSV file: path, split, kind, mask, group",
            "adkit_folder.manifest:Manifest",
            example="manifest:parts.csv",
        ),
    ]
