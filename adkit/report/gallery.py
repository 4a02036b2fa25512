"""Samples as small pictures inside the page: input, heat map, reconstruction, truth."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from adkit.data.images import read_image, read_mask
from adkit.drawing.overlay import Scale, colours, fitted, heat, rebuilt, truth
from adkit.types import Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

PANEL_PX = 320
"""Longer side of each picture."""
QUALITY = 80
"""Of the JPEG files, 1 to 95."""
MOST_BYTES = 2_800_000
"""Of all pictures of a page, as text: a page is to be mailed."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample with what the run said of it."""

    sample: Sample
    score: float
    anomalous: bool  # the run's decision
    map: NDArray[np.float32] | None  # (h, w)
    p_value: float | None = None
    reconstruction: NDArray[np.uint8] | None = None  # RGB (H, W, 3), at any resolution


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: what it is, and itself as a data URI."""

    title: str
    source: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Picture:
    """A sample's panels, and what stands under them."""

    shown: Shown
    panels: tuple[Panel, ...]
    about: str = ""  # why it is shown: "clearest"

    @property
    def verdict(self) -> str:
        """The decision against the truth, in two words."""
        if self.shown.sample.anomalous is None:
            return "flagged" if self.shown.anomalous else "passed"
        if self.shown.sample.anomalous:
            return "caught" if self.shown.anomalous else "missed defect"
        return "false alarm" if self.shown.anomalous else "passed"

    @property
    def mistaken(self) -> bool:
        """Whether decision and truth differ."""
        return self.shown.sample.anomalous is not None and self.shown.sample.anomalous != self.shown.anomalous


@dataclass
class Gallery:
    """Draws pictures of one colour scale until the page has enough of them."""

    scale: Scale | None  # None: the method gives no maps
    bytes: int = 0
    left_out: int = field(default=0, init=False)

    def draw(self, shown: Sequence[Shown], about: Mapping[str, str] | None = None) -> list[Picture]:
        """A picture of each, with what `about` says of the sample's id; those that no longer fit are counted.

        Raises FrameError for an image or mask that cannot be read.
        """
        pictures = []
        for one in shown:
            if self.bytes >= MOST_BYTES:
                self.left_out += 1
                continue
            picture = Picture(one, _panels(one, self.scale), (about or {}).get(one.sample.id, ""))
            self.bytes += sum(len(panel.source) for panel in picture.panels)
            pictures.append(picture)
        return pictures


def kind_of(sample: Sample) -> str:
    """What the sample is in truth, in a word: the kind of its defect, or "good"."""
    return sample.kind or ("anomalous" if sample.anomalous else "good")


def jpeg_uri(pixels: NDArray[np.uint8]) -> str:
    """RGB pixels (H, W, 3) as a JPEG file inside an address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def colour_ramp(steps: int = 9) -> str:
    """The heat map's colours from low to high, as a CSS gradient to the right."""
    row = colours(np.linspace(0, 1, steps, dtype=np.float32)[None, :])[0]
    return f"linear-gradient(to right, {', '.join('#' + bytes(colour.tolist()).hex() for colour in row)})"


def _panels(shown: Shown, scale: Scale | None) -> tuple[Panel, ...]:
    sample = shown.sample
    image = read_image(sample.frame)
    height, width = fitted(image.shape[:2], PANEL_PX)
    small = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    named = f"{sample.id} ({'truth not known' if sample.anomalous is None else kind_of(sample)})"
    panels = [_panel("input", small, f"input image {named}")]
    if shown.reconstruction is not None:
        pixels = rebuilt(shown.reconstruction, (height, width))
        panels.append(_panel("reconstruction", pixels, f"what the method makes of {named}"))
    if shown.map is not None and scale is not None:
        values = np.asarray(cv2.resize(shown.map, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        panels.append(_panel("heat map", heat(small, values, scale), f"heat map of {named}"))
    if sample.mask is not None:
        mask = read_mask(sample.mask, (image.shape[0], image.shape[1]))
        panels.append(_panel("truth", truth(small, mask), f"true defect of {named}"))
    return tuple(panels)


def _panel(title: str, pixels: NDArray[np.uint8], alt: str) -> Panel:
    return Panel(title, jpeg_uri(pixels), alt, pixels.shape[1], pixels.shape[0])
