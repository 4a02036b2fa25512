"""The files beside the code: pages, style sheets, the script."""

from __future__ import annotations

from importlib.resources import files


def text_of(name: str) -> str:
    """The file of that name in `adkit/ui/assets`."""
    return (files("adkit.ui") / "assets" / name).read_text(encoding="utf-8")
