"""Samples as small pictures inside the page: input, heat map, reconstruction, truth."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adkit.data.images import read_image, read_mask
from adkit.data.view import EVERYWHERE, View
from adkit.drawing.overlay import Scale, colours, faded, panels
from adkit.drawing.regions import Outline, outline_of
from adkit.types import Sample
from adkit.workflows.score import Judged

PANEL_PX = 320
"""Longer side of each picture."""
QUALITY = 80
"""Of the JPEG files, 1 to 95."""
MOST_BYTES = 2_800_000
"""Of all pictures of a page, as text: a page is to be mailed."""
MISSED_EVENT, FALSE_ALARM = "missed event", "false alarm"


@dataclass(frozen=True, slots=True)
class Example:
    """A sample with what the run said of it."""

    sample: Sample
    result: Judged
    as_event: str | None = None  # of a frame of a clip: what its event is worth, which decides there

    @property
    def verdict(self) -> str:
        """Return the decision against the truth, in two words."""
        if self.as_event is not None:
            return self.as_event
        if self.sample.anomalous is None:
            return "flagged" if self.result.anomalous else "passed"
        if self.sample.anomalous:
            return "caught" if self.result.anomalous else "missed defect"
        return FALSE_ALARM if self.result.anomalous else "passed"

    @property
    def mistaken(self) -> bool:
        """Say whether decision and truth differ."""
        if self.as_event is not None:
            return self.as_event in (MISSED_EVENT, FALSE_ALARM)
        return self.sample.anomalous is not None and self.sample.anomalous != self.result.anomalous


@dataclass(frozen=True, slots=True)
class Picture:
    """An example's panels, all of one size, and what stands under them."""

    example: Example
    panels: dict[str, str]  # by title: "input", "heat map"; each as an address that holds the picture itself
    width: int
    height: int
    outline: Outline
    about: str = ""  # why it is shown: "clearest"


@dataclass
class Gallery:
    """Draws pictures of one colour scale until the page has enough of them."""

    scale: Scale | None  # None: the method gives no maps
    view: View = EVERYWHERE
    bytes: int = 0
    left_out: int = field(default=0, init=False)

    def draw(self, examples: Sequence[Example], abouts: Sequence[str] = ()) -> list[Picture]:
        """Return a picture of each, with what it is shown for, without those that no longer fit; raises FrameError."""
        pictures = []
        for number, example in enumerate(examples):
            if self.bytes >= MOST_BYTES:
                self.left_out += 1
                continue
            image = read_image(example.sample.frame, self.view.white)
            sample, result, shape = example.sample, example.result, (image.shape[0], image.shape[1])
            mask = None if sample.mask is None else read_mask(sample.mask, shape)
            picture = faded(image, self.view)
            found = panels(picture, PANEL_PX, result.map, self.scale, mask, result.reconstruction)
            height, width = found["input"].shape[:2]
            addresses = {title: jpeg_uri(pixels) for title, pixels in found.items()}
            self.bytes += sum(map(len, addresses.values()))
            outline = Outline()
            if result.map is not None and self.scale is not None:
                outline = outline_of(result.map, self.scale.threshold, shape)
            pictures.append(Picture(example, addresses, width, height, outline, abouts[number] if abouts else ""))
        return pictures


def jpeg_uri(pixels: NDArray[np.uint8]) -> str:
    """Return RGB pixels (H, W, 3) as a JPEG file inside an address."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def colour_ramp(steps: int = 9) -> str:
    """Return the heat map's colours from low to high, as a CSS gradient to the right."""
    row = colours(np.linspace(0, 1, steps, dtype=np.float32)[None, :])[0]
    return f"linear-gradient(to right, {', '.join('#' + bytes(colour.tolist()).hex() for colour in row)})"
