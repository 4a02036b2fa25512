"""Pictures for people: the image, its reconstruction and its heat map, with legend, threshold contour and truth."""

import base64
import io
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from adkit.data.boxes import Map, Marks, Pixels
from adkit.data.images import resize
from adkit.data.view import View
from adkit.drawing.regions import highest_place
from adkit.stats.formatting import AS_A_WHOLE, p_value_text, score_text

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
PANEL_PX = 420  # longer side of each panel
_LEAST_PANEL_PX = 64  # a line-scan image of extreme aspect is stretched rather than invisible
_MARGIN = 14
_TEXT = 15
_BAR = 16
INK = (32, 36, 40)
FAINT = (110, 118, 126)
_CONTOUR = (255, 255, 255)
_HALO = (20, 20, 20)  # on both sides of the contour, which is else lost on bright parts
_MOST_COVER = 0.6
_TRUTH = (0, 200, 120)
_PALE, _EDGE = (150, 156, 162), (235, 238, 240)
RED = (200, 40, 40)
GREEN = (20, 130, 70)


@dataclass(frozen=True, slots=True)
class Scale:
    """How map values become colours: `low` is dark, `high` bright; the contour is drawn at `threshold`."""

    low: float
    high: float
    threshold: float | None

    @classmethod
    def of_run(cls, normal_maps: Map, threshold: float | None) -> "Scale":
        """Reach from usual normal values to twice as far above them as the threshold: the same for all pictures."""
        low = float(np.median(normal_maps))
        top = threshold if threshold is not None else float(normal_maps.max())
        return cls(low, low + 2 * max(top - low, 1e-6), threshold)

    def unit(self, values: Map) -> Map:
        """Map values to 0..1."""
        return np.asarray(np.clip((values - self.low) / (self.high - self.low), 0, 1), np.float32)

    def text(self, value: float) -> str:
        """Write a map value with as many decimals as tell colours apart: a hundredth of the scale."""
        return f"{value:z.{max(0, 2 - math.floor(math.log10(self.high - self.low)))}f}"


@dataclass(frozen=True, slots=True)
class Caption:
    """What stands over a picture."""

    name: str
    score: float
    p_value: float
    anomalous: bool
    threshold: float
    truth: str | None = None
    whole: bool = False  # no place makes it anomalous, but the image as a whole
    p_value_is_floor: bool = False  # the score is higher than all normal ones
    highest: str = ""  # where the map is highest, of what is anomalous and has no outline

    @property
    def verdict(self) -> str:
        """Return the decision in words."""
        return f"ANOMALOUS{f' {AS_A_WHOLE}' if self.whole else ''}" if self.anomalous else "normal"

    @property
    def details(self) -> str:
        """Return the numbers behind it."""
        equals = "at most" if self.p_value_is_floor else "="  # the font that Pillow brings has no ≤
        truth = f"   truth: {self.truth}" if self.truth else ""
        numbers = f"score {score_text(self.score)}   threshold {score_text(self.threshold)}"
        why = "no place is odd by itself" if self.whole else f"the map is highest at: {self.highest}"
        bare = f"   nothing outlined, {why}" if self.highest else ""
        return f"{numbers}   p {equals} {p_value_text(self.p_value)}{truth}{bare}"


def draw(
    image: Pixels,
    values: Map,
    scale: Scale,
    caption: Caption,
    mask: Marks | None = None,
    rebuilt: Pixels | None = None,
    counts: Marks | None = None,
) -> Image.Image:
    """Return the picture for one sample: a caption, its panels side by side, and the heat map's legend.

    The caption names no place of which none of the image's px `counts`.
    """
    found = panels(image, PANEL_PX, values, scale, mask, rebuilt)
    height, width = found["input"].shape[:2]
    outlined = scale.threshold is not None and (_resized(values, (height, width)) > scale.threshold).any()
    if caption.anomalous and not outlined:
        caption = replace(caption, highest=highest_place(values, (image.shape[0], image.shape[1]), counts).words)
    top = _MARGIN + 2 * (_TEXT + 6) + 4
    legend = _BAR + 110
    total_width = _MARGIN + len(found) * (width + _MARGIN) + legend
    total_height = top + _TEXT + 6 + height + _MARGIN
    written = _caption_texts(caption)
    texts_px = max(round(at[0] + font.getlength(text)) for at, text, _, font in written) + _MARGIN
    sheet = Image.new("RGB", (max(total_width, texts_px, 640), total_height), "white")
    pen = ImageDraw.Draw(sheet)
    for at, text, colour, font in written:
        pen.text(at, text, fill=colour, font=font)
    for number, (title, pixels) in enumerate(found.items()):
        left = _MARGIN + number * (width + _MARGIN)
        pen.text((left, top), title, fill=FAINT, font=letters(_TEXT))
        sheet.paste(Image.fromarray(pixels), (left, top + _TEXT + 6))
    left = _MARGIN + len(found) * (width + _MARGIN)
    _draw_legend(sheet, pen, scale, (left, top + _TEXT + 6), height)
    return sheet


def panels(
    image: Pixels,
    longer_px: int,
    anomaly_map: Map | None,
    scale: Scale | None,
    mask: Marks | None = None,
    reconstruction: Pixels | None = None,
) -> dict[str, Pixels]:
    """Return the pictures of one sample by title, all of one size: what is not known has none.

    image, reconstruction: RGB uint8 (H, W, 3); anomaly_map: float32 (h, w), any resolution; mask: bool (H, W).
    """
    height, width = fitted(image.shape[:2], longer_px)
    small = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    found = {"input": small}
    if reconstruction is not None:
        found["reconstruction"] = resize(reconstruction, (height, width))
    if anomaly_map is not None and scale is not None:
        found["heat map"] = heat(small, anomaly_map, scale)
    if mask is not None:
        found["truth"] = truth(small, mask)
    return found


_FIRST_ASIAN = "\u2e80"  # as of here, letters are Chinese, Japanese or Korean, as a rule
_ASIAN_FONTS = (  # files that systems have, each with all or most of these; without one, boxes are drawn
    *("NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf"),
    *("msyh.ttc", "msgothic.ttc", "malgun.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),
)


def letters(size: int, text: str = "") -> Font:
    """Return the font of all pictures, in px, which has no ≥ and no –; or one that has more, where a text needs it."""
    return _font(size, plain=text.replace("…", "").isascii(), asian=max(text, default="") >= _FIRST_ASIAN)


@lru_cache
def _font(size: int, *, plain: bool, asian: bool) -> Font:
    if plain:
        return ImageFont.load_default(size)
    for name in _ASIAN_FONTS if asian else ():
        with suppress(OSError):
            return ImageFont.truetype(name, size)
    package = find_spec("matplotlib")  # not imported: that takes half a second
    assert package is not None
    assert package.origin is not None
    return ImageFont.truetype(Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def write(picture: Pixels, left: float, top: int, text: str, size: int, colour: tuple[int, int, int]) -> None:
    """Write text, `size` px high, into a picture (H, W, 3), moved so that it lies between its left and right border."""
    opacity = _written(text, size)
    height, width = opacity.shape[:2]
    first, top = max(0, round(min(max(left, 1), picture.shape[1] - width - 1))), max(0, top)
    place = picture[top : top + height, first : first + width]
    shown = opacity[: place.shape[0], : place.shape[1]]
    place[:] = place + shown * (np.array(colour) - place)


@lru_cache(maxsize=256)
def _written(text: str, size: int) -> Map:
    """Return how much the letters cover, (h, w, 1) in 0..1; kept, for in a video most is written on every frame."""
    _, _, right, bottom = letters(size).getbbox(text)
    image = Image.new("L", (math.ceil(right), math.ceil(bottom)))
    ImageDraw.Draw(image).text((0, 0), text, fill=255, font=letters(size))
    return np.asarray(np.asarray(image)[..., None] / 255, np.float32)


def fitted(shape: tuple[int, ...], longer_px: int) -> tuple[int, int]:
    """Return (height, width) of a panel whose longer side has this many px, for an image of shape (H, W, ...)."""
    factor = longer_px / max(shape[:2])
    return max(_LEAST_PANEL_PX, round(shape[0] * factor)), max(_LEAST_PANEL_PX, round(shape[1] * factor))


def image_uri(image: Pixels, kind: str = "JPEG", quality: int = 88, *, optimize: bool = False) -> str:
    """Return an image, RGB (H, W, 3), as an address that holds it: a JPEG of this quality (1 to 95), or a whole PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, quality=quality, optimize=optimize)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def colours(unit: Map) -> Pixels:
    """Turn values in 0..1 into the heat map's colours: (H, W) -> RGB (H, W, 3)."""
    mapped = cv2.applyColorMap((unit * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(mapped, cv2.COLOR_BGR2RGB), np.uint8)


def heat(image: Pixels, anomaly_map: Map, scale: Scale) -> Pixels:
    """Lay a map's colours (h, w) over an image (H, W, 3), the more the higher, and outline the scale's threshold."""
    values = _resized(anomaly_map, (image.shape[0], image.shape[1]))
    unit = scale.unit(values)
    opacity = np.minimum(np.float32(_MOST_COVER), 1.2 * unit)
    result = np.asarray(cv2.blendLinear(np.ascontiguousarray(image), colours(unit), 1 - opacity, opacity), np.uint8)
    if scale.threshold is not None:
        region = values > scale.threshold
        _outline(result, region, _HALO, 4)
        _outline(result, region, _CONTOUR)
    return result


def _resized(anomaly_map: Map, size: tuple[int, int]) -> Map:
    return np.asarray(cv2.resize(anomaly_map, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def truth(image: Pixels, mask: Marks) -> Pixels:
    """Mark the mask's anomalous pixels in the image (h, w, 3); the mask has any resolution."""
    height, width = image.shape[:2]
    small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    result = np.ascontiguousarray(image.copy())
    result[small] = (result[small] * 0.6 + np.array(_TRUTH) * 0.4).astype(np.uint8)
    _outline(result, small, _TRUTH)
    return result


def faded(image: Pixels, view: View, shape: tuple[int, int] | None = None) -> Pixels:
    """Return an image (h, w, 3), of one that has `shape`, in which what the view leaves out is paler."""
    if view.everywhere:
        return image
    counts = _counting(view, shape or (image.shape[0], image.shape[1]), (image.shape[0], image.shape[1]))
    result = np.ascontiguousarray(image.copy())
    result[~counts] = (result[~counts] * 0.45 + np.array(_PALE) * 0.55).astype(np.uint8)
    contours, _ = cv2.findContours(counts.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(result, contours, -1, _EDGE, max(1, round(max(image.shape[:2]) / 500)), cv2.LINE_AA)
    return result


@lru_cache(maxsize=8)
def _counting(view: View, shape: tuple[int, int], size: tuple[int, int]) -> Marks:
    counts = view.counting(shape).astype(np.uint8)
    return np.asarray(cv2.resize(counts, size[::-1], interpolation=cv2.INTER_NEAREST) > 0)


def _outline(image: Pixels, region: Marks, colour: tuple[int, int, int], px: int = 2) -> None:
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(image, contours, -1, colour, px, cv2.LINE_AA)


def _caption_texts(caption: Caption) -> list[tuple[tuple[float, float], str, tuple[int, int, int], Font]]:
    """Return what is written above a picture: where, the text, its colour and font."""
    name, details = (text.replace("\n", " ") for text in (caption.name, caption.details))
    name = name if len(name) <= 78 else "…" + name[-77:]
    line, font = _MARGIN + _TEXT + 6, letters(_TEXT)
    after = _MARGIN + font.getlength(caption.verdict) + 14
    return [
        ((_MARGIN, _MARGIN), name, INK, letters(_TEXT, name)),
        ((_MARGIN, line), caption.verdict, RED if caption.anomalous else GREEN, font),
        ((after, line), details, INK, letters(_TEXT, details)),
    ]


def _draw_legend(sheet: Image.Image, pen: ImageDraw.ImageDraw, scale: Scale, at: tuple[int, int], height: int) -> None:
    left, top = at
    ramp = np.linspace(1, 0, height, dtype=np.float32)[:, None].repeat(_BAR, axis=1)
    sheet.paste(Image.fromarray(colours(ramp)), (left, top))
    marks = [(scale.high, ""), (scale.low, "")]
    if scale.threshold is not None:
        marks.append((scale.threshold, " outlined"))  # the font that Pillow brings has no ≥ and no –
    for value, meaning in marks:
        y = top + round((1 - (value - scale.low) / (scale.high - scale.low)) * (height - _TEXT))
        pen.text((left + _BAR + 6, y - 2), f"{scale.text(value)}{meaning}", fill=INK, font=letters(_TEXT))
