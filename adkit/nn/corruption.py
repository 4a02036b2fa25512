"""Images of good parts, spoilt: what a reconstruction learns to repair, so that it cannot just copy.

And what tells, without any label, which of several ways to judge finds more. Stains as in Collin and De Vleeschouwer
(arXiv 2008.12977), patches pasted from elsewhere with some opacity, and Gaussian noise over the whole image.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Corruption = Literal["stain", "paste", "noise"]
Floats = NDArray[np.float32]
Random = np.random.Generator

CLEAN_SHARE = 0.1  # of the images stay as they are: those must come out unchanged
MOST_BLOBS = 3  # stains or patches on one image, at most
SMALLEST, LARGEST = 0.02, 0.2
"""Radius of a stain or patch, as a share of the image's shorter side; drawn uniformly in its logarithm."""
OPACITY = (0.1, 1)  # of a stain or patch, inside
MOST_NOISE = 0.06  # standard deviation of the noise, at most, in a range of 0..1

SMALL, MIDDLING = 0.015, 0.1
"""Radius of the one thing that is wrong in a spoilt image, likewise: defects are mostly small."""

_CORNERS = 24  # of a blob's outline


def corrupt(frames: Tensor, kinds: Sequence[Corruption], rng: Random, clean_share: float = CLEAN_SHARE) -> Tensor:
    """Turn float32 (B, 3, H, W), RGB in 0..1 into the same spoilt by blobs and noise; that share of them is clean."""
    if not kinds:
        return frames
    pictures = frames.permute(0, 2, 3, 1).cpu().numpy().copy()
    for row, picture in enumerate(pictures):
        if rng.random() < clean_share:
            continue
        blobs = [_BLOBS[kind] for kind in kinds if kind in _BLOBS]
        for _ in range(int(rng.integers(1, MOST_BLOBS + 1)) if blobs else 0):
            donor = pictures[int(rng.integers(len(pictures)))]
            blobs[int(rng.integers(len(blobs)))](picture, donor, rng)
        if "noise" in kinds:
            noise = rng.standard_normal(picture.shape, dtype=np.float32) * (MOST_NOISE * rng.random())
            pictures[row] = np.clip(picture + noise, 0, 1)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).to(frames.device)


def spoilt(frame: Tensor, donor: Tensor, seed: Sequence[int]) -> Tensor:
    """Turn one image, float32 (3, H, W), RGB in 0..1 into copies, each spoilt at one place in one way of `SPOILT`.

    `donor` is another image of a normal part. Returns (ways, 3, H, W), on the same device.
    """
    rng = np.random.default_rng(seed)
    clean, other = (one.permute(1, 2, 0).cpu().numpy() for one in (frame, donor))
    copies = np.stack([clean] * len(SPOILT))
    for copy, way in zip(copies, SPOILT, strict=True):
        # A scratch is a blob that is many times as long as it is wide.
        stretch = 40 if way == "scratch" else 4
        inside = _soft(_outline(clean.shape[:2], rng, (SMALL, MIDDLING), stretch), rng)
        copy += inside[:, :, None] * (_WAYS[way](clean, other, inside, rng) - copy)
    return torch.from_numpy(np.clip(copies, 0, 1)).permute(0, 3, 1, 2).contiguous().to(frame.device)


def _elsewhere(picture: Floats, rng: Random) -> Floats:
    """Return an image moved by any way, around its edges."""
    steps = (int(rng.integers(picture.shape[0])), int(rng.integers(picture.shape[1])))
    return np.roll(picture, steps, axis=(0, 1))


def _moved(picture: Floats, inside: Floats, rng: Random) -> Floats:
    """Return an image moved by about the size of what is inside: what should be here lies a little beside."""
    step = math.sqrt(float(inside.sum())) / 2
    turn = rng.uniform(0, 2 * math.pi)
    return np.roll(picture, (round(step * math.sin(turn)), round(step * math.cos(turn))), axis=(0, 1))


def _around(picture: Floats, inside: Floats) -> Floats:
    """Return what usually lies around the place, all over: what was here is missing."""
    ring = (cv2.dilate(inside, np.ones((9, 9), np.uint8)) > 0) & (inside == 0)
    middle = np.median(picture[ring], axis=0) if ring.any() else picture.mean(axis=(0, 1))
    return np.broadcast_to(np.asarray(middle, np.float32), picture.shape)


def _tinted(picture: Floats, rng: Random) -> Floats:
    """Return an image in another light, and where it has colours in another colour."""
    change = rng.choice([-0.1, 0.1]) + 0.07 * rng.standard_normal(3) * bool(np.ptp(picture, axis=2).max() > 0)
    return np.asarray(picture + change, np.float32)


def _rough(picture: Floats, rng: Random) -> Floats:
    """Return an image with a coarse grain."""
    height, width = picture.shape[:2]
    coarse = rng.standard_normal((height // 3 + 1, width // 3 + 1), dtype=np.float32)
    grain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return picture + np.float32(rng.uniform(0.06, 0.18)) * grain[:, :, None]


_WAYS: dict[str, Callable[[Floats, Floats, Floats, Random], Floats]] = {
    "pasted": lambda _, other, __, rng: _elsewhere(other, rng),
    "missing": lambda picture, _, inside, __: _around(picture, inside),
    "shifted": lambda picture, _, inside, rng: _moved(picture, inside, rng),
    "scratch": lambda picture, _, __, rng: picture + np.float32(rng.choice([-0.3, -0.2, 0.2, 0.3])),
    "tinted": lambda picture, _, __, rng: _tinted(picture, rng),
    "rough": lambda picture, _, __, rng: _rough(picture, rng),
}
SPOILT = tuple(_WAYS)  # the ways in which `spoilt` spoils an image


def _stain(picture: Floats, _: Floats, rng: Random) -> None:
    opacity = _soft(_outline(picture.shape[:2], rng), rng) * np.float32(rng.uniform(*OPACITY))
    colour = rng.random(3, dtype=np.float32)
    if rng.random() < 0.5:
        colour[:] = colour.mean()  # dirt, wear and holes are mostly grey
    picture += opacity[:, :, None] * (colour - picture)


def _paste(picture: Floats, donor: Floats, rng: Random) -> None:
    """Return a patch of an image of the batch, turned by quarters and moved."""
    height, width = picture.shape[:2]
    turned = donor[::-1, ::-1] if rng.random() < 0.5 else donor
    if height == width and rng.random() < 0.5:
        turned = turned.transpose(1, 0, 2)
    moved = np.roll(turned, (int(rng.integers(height)), int(rng.integers(width))), axis=(0, 1))
    opacity = _soft(_outline((height, width), rng), rng) * np.float32(rng.uniform(*OPACITY))
    picture += opacity[:, :, None] * (moved - picture)


_BLOBS: dict[str, Callable[[Floats, Floats, Random], None]] = {"stain": _stain, "paste": _paste}


def _outline(
    shape: tuple[int, int], rng: Random, radii: tuple[float, float] = (SMALLEST, LARGEST), most_stretch: float = 4
) -> Floats:
    """Return float32 (H, W), 1 inside a blob with an irregular edge: now roundish, now long like a scratch."""
    height, width = shape
    radius = min(shape) * np.exp(rng.uniform(*np.log(radii)))
    stretch = np.exp(rng.uniform(0, np.log(most_stretch)))
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    wobble = 1 + 0.35 * rng.standard_normal(_CORNERS)
    along, across = radius * stretch**0.5 * wobble * np.cos(angles), radius / stretch**0.5 * wobble * np.sin(angles)
    turn = rng.uniform(0, np.pi)
    x = rng.uniform(0, width) + along * np.cos(turn) - across * np.sin(turn)
    y = rng.uniform(0, height) + along * np.sin(turn) + across * np.cos(turn)
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.stack([x, y], axis=1).round().astype(np.int32)], 1)
    return mask.astype(np.float32)


def _soft(inside: Floats, rng: Random) -> Floats:
    """Return a blob whose edge is soft half of the time."""
    return np.asarray(cv2.GaussianBlur(inside, (0, 0), 1.5), np.float32) if rng.random() < 0.5 else inside
