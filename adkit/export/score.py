"""Judge images, or clips, by the model beside this file; needs numpy, onnxruntime and pillow only.

python score.py parts/*.png    a line of CSV for each image: path, score, threshold, p-value, decision
python score.py clip/ a.mp4    by a model of clips: a line for each frame of a folder of images, or of a video (by av)
python score.py --check        judges the images in golden/ and compares with what was found when they were exported
"""

import csv
import glob
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before it is imported: it would call home, and keep a database
try:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray
    from PIL import Image, ImageOps, ImageSequence
except ImportError as error:
    if __name__ == "__main__":
        print(f"error: {error}\nhint:  python -m pip install numpy onnxruntime pillow", file=sys.stderr)
        sys.exit(2)
    raise

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Undecoded = tuple[tuple[int, int], Callable[[int, int], Pixels]]
"""An image's height and width, and what gives its pixels at another height and width."""
FORMAT = 4
UNREADABLE = "unreadable"


class Model:
    """An exported model, from its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if self.facts.get("format") != FORMAT:
            raise ValueError(f"format {self.facts.get('format')}, and {FORMAT} was expected")
        self.threshold: float = self.facts["threshold"]
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(str(self.folder / "model.onnx"), settings)
        self.outputs = [one.name for one in self.session.get_outputs()]
        self.doubts: dict[str, str] = {}  # why images are hardly those that the model is for, and the first of them

    def judge(self, path: str | Path) -> tuple[float, Floats | None]:
        """Return an image's score and its map (h, w), None for a method without maps."""
        if Path(path).is_dir():
            raise ValueError("a folder; its images are expected: FOLDER/*.png")
        image, sizes = still(path, self.facts["white"]), self.facts["sizes"]
        score, found = Clip(self).judge(image)
        why = "most of it looks like nothing that the run learned from"
        sides = zip(sizes[0], image[0], sizes[1], strict=True) if sizes else ()
        if not all(0.75 * least < own < most / 0.75 for least, own, most in sides):
            told = " to ".join({f"{width}×{height}": 0 for height, width in sizes})
            why = f"it is of another size than what the run learned from ({told} px)"
        elif found is None or self.facts["unusual"] is None or (found > self.facts["unusual"]).mean() <= 0.5:
            return score, found
        self.doubts.setdefault(why, str(path))
        return score, found

    def play(self, path: str | Path) -> Iterator[tuple[int, float, float]]:
        """Walk a clip, a folder of images or a video: the number, time in seconds and score of each judged frame."""
        clip, taken_s, before_s = Clip(self), -math.inf, -math.inf
        for number, time_s, image in frames_in(Path(path), self.facts["white"]):
            gap_s, before_s = time_s - before_s, time_s
            if time_s - taken_s >= self.facts["step_s"] - gap_s / 2 - 1e-6:  # the nearest to a step after the last one
                taken_s = time_s
                yield number, time_s, clip.judge(image, time_s)[0]

    def p_value(self, score: float) -> float:
        """Return the share of normal images that score as high."""
        normal = np.array(self.facts["normal_scores"])
        return (1 + int((normal >= score).sum())) / (1 + len(normal))

    def same(self, score: float, expected: float) -> bool:
        """Say whether two scores mean the same decision, and differ by rounding only."""
        close: bool = abs(score - expected) <= self.facts["tolerance"] * abs(self.threshold)
        return close and (score > self.threshold) == (expected > self.threshold)

    def see(self, image: Undecoded) -> tuple[Pixels, Floats, Floats]:
        """Lay an image on the canvas in its shape, the rest mirrored; and say where a map's positions then lie."""
        only, box, canvas = self.facts["only_size"], self.facts["box"], self.facts["canvas"]
        own, pixels = image
        if only and list(own) != only:
            raise ValueError(f"{own[1]}×{own[0]} px; {only[1]}×{only[0]} px was expected")
        if box:
            part = pixels(*own)[box["top"] : box["top"] + box["height"], box["left"] : box["left"] + box["width"]]
            own, pixels = image_of(part)
        scales = [side / one for side, one in zip(canvas, own, strict=True)]
        sides = canvas
        if max(scales) > self.facts["most_stretch"] * min(scales):
            sides = [max(1, min(canvas[axis], round(own[axis] * min(scales)))) for axis in (0, 1)]
        starts = [(canvas[axis] - sides[axis]) // 2 for axis in (0, 1)]
        around = [(starts[axis], canvas[axis] - starts[axis] - sides[axis]) for axis in (0, 1)]
        rows, columns = (cut(self.facts["grid"][axis], starts[axis], sides[axis], canvas[axis]) for axis in (0, 1))
        return np.pad(pixels(*sides), [*around, (0, 0)], mode="reflect"), rows, columns


class Clip:
    """What came before in a clip: what the model remembers of it, and its score; a still is a clip of one image."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.states = {name: np.zeros((1, *shape), np.float32) for name, shape in model.facts["states"].items()}
        self.before: tuple[float, float] | None = None

    def judge(self, image: Undecoded, time_s: float = 0.0) -> tuple[float, Floats | None]:
        """Return the score of the clip's next frame, smoothed over those before, and its map as `Model.judge` does."""
        model = self.model
        canvas, rows, columns = model.see(image)
        inputs: dict[str, Any] = {"pixels": canvas[None], **self.states}
        if "map" in model.outputs:
            inputs |= {"rows": rows, "columns": columns}
        found = dict(zip(model.outputs, model.session.run(None, inputs), strict=True))
        self.states = {name: found["next_" + name] for name in self.states}
        score = float(found["score"][0])
        if self.before and model.facts["smoothing_s"]:
            share = 1 - math.exp(-max(0.0, time_s - self.before[0]) / model.facts["smoothing_s"])
            score = self.before[1] + share * (score - self.before[1])
        self.before = time_s, score
        return score, found["map"][0] if "map" in found else None


def frames_in(clip: Path, white: int) -> Iterator[tuple[int, float, Undecoded]]:
    """Walk a folder's images in the order of their numbers, 25 a second, or a video: number, seconds, image."""
    if not clip.is_dir():
        yield from video(clip)
        return
    known = Image.registered_extensions()
    files = [one for one in clip.iterdir() if one.suffix.lower() in known and not one.name.startswith(".")]
    if not files:
        raise ValueError("there is no image in this folder")
    for number, file in enumerate(sorted(files, key=lambda one: by_number(one.name))):
        yield number, number / 25, still(file, white)


def by_number(name: str) -> list[str | int]:
    """Return what 2.png comes before 10.png by: texts and numbers in turn."""
    return [int(one) if place % 2 else one for place, one in enumerate(re.split("([0-9]+)", name.lower()))]


def video(path: Path) -> Iterator[tuple[int, float, Undecoded]]:
    """Walk a video's frames; FFmpeg resizes them as it makes them RGB, as adkit lets it do."""
    if path.suffix.lower() in Image.registered_extensions():
        raise ValueError("an image; a folder of frames or a video was expected")
    try:
        import av
    except ImportError:
        raise ValueError("videos need PyAV (pip install av), or a folder of their frames instead") from None

    def pixels(frame: Any, height: int, width: int) -> Pixels:
        area = height <= frame.height and width <= frame.width
        size = {"height": height, "width": width, "interpolation": "AREA" if area else "BILINEAR"}
        return np.asarray(frame.reformat(format="rgb24", **size).to_ndarray(), np.uint8)

    try:
        with av.open(str(path)) as container:
            stream, first_s = container.streams.video[0], 0.0
            stream.thread_type = "AUTO"
            for number, frame in enumerate(container.decode(stream)):
                if frame.is_corrupt or frame.side_data.get("DISPLAYMATRIX"):
                    why = "damaged there" if frame.is_corrupt else "stored on its side"
                    raise ValueError(f"frame {number}: the video is {why}; adkit itself reads it")
                time_s = number / float(stream.average_rate or 25) if frame.time is None else frame.time
                first_s = first_s if number else time_s
                yield number, time_s - first_s, ((frame.height, frame.width), partial(pixels, frame))
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"no video that can be read: {error}") from None


def still(path: str | Path, white: int) -> Undecoded:
    """Read an image, as `read` does."""
    return image_of(read(path, white))


def image_of(pixels: Pixels) -> Undecoded:
    """Return RGB pixels (H, W, 3) as an image."""
    return (pixels.shape[0], pixels.shape[1]), partial(resize, pixels)


def read(path: str | Path, white: int = 65535) -> Pixels:
    """Return an image as RGB, uint8 (H, W, 3), upright and on white; of 16 bits the value `white` becomes 255.

    255 stands for a run that knows 8 bits only, which refuses values that could be of 10, 12 or 14.
    """
    with Image.open(path) as image:
        if image.format not in ("GIF", "MPO") and images_in(image) > 1:
            raise ValueError("several images in one file")
        if white not in (255, 65535) and image.mode.startswith("RGB") and any(";16" in str(one) for one in image.tile):
            raise ValueError("colours of 16 bits; a grey image, or one of 8 bits, was expected")
        negative = image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(262) == 0  # 0 is white
        padded = image.format in ("BMP", "DIB", "TGA") and "A" in image.mode and not image.getchannel("A").getbbox()
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "F" or upright.mode.startswith("I"):
            grey = 65535 - np.asarray(upright) if negative else np.asarray(upright)
            if upright.mode == "F" or not 0 <= grey.min() <= grey.max() <= 65535:
                raise ValueError("8 or 16 bits were expected")
            if white == 255 and 255 < grey.max() <= 16383:
                raise ValueError("which value of 16 bits is white is not known")
            white = 65535 if white == 255 and grey.max() > 255 else white
            shown = np.minimum((grey.astype(np.int64) * 255 + white // 2) // white, 255)
            return np.repeat(shown.astype(np.uint8)[:, :, None], 3, axis=2)
        if upright.has_transparency_data and not padded:
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright.convert("RGBA"))
        return np.asarray(upright.convert("RGB"))


def images_in(image: Image.Image) -> int:
    """Count the images in a file, without a TIFF's smaller copies and masks of others."""
    found = sum(not getattr(page, "tag_v2", {}).get(254, 0) & 0b101 for page in ImageSequence.Iterator(image))
    image.seek(0)
    return found


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """Resize as OpenCV does: by means over areas, or bilinearly where a side grows."""
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image
    shrinks = rows >= height and columns >= width
    if shrinks and rows % height == columns % width == 0:
        high, wide = rows // height, columns // width
        sums = np.zeros((height, width, image.shape[2]), np.uint32)
        for place in range(high * wide):
            sums += image[place // wide :: high, place % wide :: wide]
        means = sums.astype(np.float32) * np.float32(1 / (high * wide))
        # Halves are rounded to even numbers, but upwards where each px comes of four.
        return np.asarray(np.rint(means + (0.125 if high == wide == 2 else 0)), np.uint8)
    found: Any = image.astype(np.float32 if shrinks else np.float64).reshape(rows, -1)
    for axis, old, new in ((1, columns, width), (0, rows, height)):
        places, weights = taps(old, new, shrinks)
        if axis:  # colours lie beside each other
            places = (3 * places[:, :, None] + np.arange(3)).reshape(len(places), -1)
            weights = weights.repeat(3, axis=1)
        total: Any = 0
        for at, weight in zip(places, weights, strict=True):
            total += np.take(found, at, axis) * (weight if axis else weight[:, None])
        found = total
    # Halves are rounded upwards where a side grows.
    return np.asarray(np.rint(found + (0 if shrinks else 0.0020123)), np.uint8).reshape(height, width, 3)


@lru_cache
def taps(old: int, new: int, shrinks: bool) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Say of which of `old` px each of `new` px is made, (k, new), and how much of it each of them is."""
    scale = old / new
    if not shrinks:
        middles = ((np.arange(new) + 0.5) * scale - 0.5).clip(0, old - 1)
        first = np.floor(middles).astype(int)
        share = middles - first
        return np.stack([first, np.minimum(first + 1, old - 1)]), np.stack([1 - share, share])
    starts = np.arange(new) * scale
    places = np.floor(starts).astype(int) + np.arange(math.ceil(scale) + 1)[:, None]
    covered = np.minimum(places + 1, np.minimum(starts + scale, old)) - np.maximum(places, starts)
    weights = np.where(covered > 1e-3, covered, 0) / np.minimum(scale, old - starts)
    return np.minimum(places, old - 1), weights.astype(np.float32)


@lru_cache
def cut(count: int, start: int, side: int, canvas: int) -> Floats:
    """Return weights (count, count) by which a canvas's map becomes one of its `side` px from `start` on."""
    first, end = (math.ceil(px * count / canvas - 0.5) for px in (start, start + side))
    middles = (start + side * (np.arange(count) + 0.5) / count) * count / canvas - 0.5
    middles = middles.clip(first, max(first, end - 1))
    return np.asarray(np.maximum(0, 1 - np.abs(middles[:, None] - np.arange(count))), np.float32)


def check(model: Model) -> int:
    """Judge the golden images again; the exit code is 1 where one is judged otherwise."""
    wrong = count = 0
    for one in model.facts["golden"]:
        clip = Clip(model)
        for name, time_s, expected in zip(one["files"], one["times_s"], one["scores"], strict=True):
            score, _ = clip.judge(still(model.folder / name, model.facts["white"]), time_s)
            same = model.same(score, expected)
            print(f"{name}: {score:.6f}, expected {expected:.6f}{'' if same else ': NOT THE SAME'}")
            wrong, count = wrong + (not same), count + 1
    print(f"{wrong} of {count} golden images are judged otherwise")
    return int(wrong > 0)


def rows_of(model: Model, path: str) -> Iterator[list[Any]]:
    """Judge an image, or a clip frame by frame; the last row of what cannot be read says so."""
    clips = model.facts["unit"] == "clip"
    try:
        judged: Iterator[tuple[float, ...]] = model.play(path) if clips else iter([(model.judge(path)[0],)])
        for *frame, score in judged:
            decision = "anomalous" if score > model.threshold else "normal"
            yield [path, *frame, score, model.threshold, model.p_value(score), decision]
    except Exception as error:  # of each format its own: one damaged file does not end the others' rows
        print(f"{path}: {error}", file=sys.stderr)
        yield [path, *(["", ""] if clips else []), "", model.threshold, "", UNREADABLE]


def main(arguments: list[str]) -> int:
    """Judge what the command line names; the exit code is 3 where one cannot be read, 2 where nothing can be judged."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__, file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may be any bytes, and each row is there when it is known
        errors = "surrogateescape" if sys.stdout.encoding.lower() == "utf-8" else "backslashreplace"
        sys.stdout.reconfigure(errors=errors, newline="", line_buffering=True)
    folder, code = Path(__file__).absolute().parent, 0
    try:
        model = Model(folder)
        if arguments == ["--check"]:
            return check(model)
    except Exception as error:  # onnxruntime's are of many classes
        print(f"error: {folder} is not all there: {error}\nhint:  copy the exported folder again", file=sys.stderr)
        return 2
    table = csv.writer(sys.stdout)
    frame = ["frame", "time_s"] if model.facts["unit"] == "clip" else []
    table.writerow(["path", *frame, "score", "threshold", "p_value", "decision"])
    for argument in arguments:
        # A name that is a file's is no pattern.
        for path in [argument] if os.path.lexists(argument) else sorted(glob.glob(argument)) or [argument]:  # noqa: PTH207
            for row in rows_of(model, path):
                table.writerow(row)
                code = 3 if row[-1] == UNREADABLE else code
    for why, path in model.doubts.items():
        print(f"{path}: {why}; is the model of {model.facts['learned_from']} the one for it?", file=sys.stderr)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except OSError as error:  # of stdout, which must not be flushed at the end again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"error: the rows cannot be written: {error}\nhint:  write them elsewhere", file=sys.stderr)
        sys.exit(2)
