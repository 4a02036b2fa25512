"""What a promise counts, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UnitName = Literal["image", "clip"]
"""As runs write it down."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Images, clips or pieces of clips, as a run's promise counts them; the words are singulars with a plural in s."""

    name: str  # "image", "clip", "30 s piece"
    sample: str  # what is scored
    good: str  # what a false alarm is counted by
    defect: str  # what can be missed

    @classmethod
    def of(cls, name: UnitName, segment_s: float | None = None) -> Unit:
        """Return the unit of that name, where long clips were cut into pieces of about so many seconds."""
        if name == "image":
            return cls("image", "image", "good part", "defect")
        piece = "clip" if segment_s is None else f"{segment_s:.0f} s piece"
        return cls(piece, "frame", f"normal {piece}", "event")
