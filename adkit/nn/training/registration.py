"""Parts that lie any way, turned and moved so that all lie alike: what position means is then the part's, not the
image's.

A part on a plain ground is found by its difference to the ground, and its pose by its moments (Hu 1962): the centroid,
the long axis, and which end is heavier; the mean of the normal images has the last word on the two ends. Whether that
helps is for the normal images to say: of aligned ones, position explains most as they are; of textures, in no pose.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adkit.nn.normalisation import EXPLAINED_SHARE, explained_by_position
from adkit.nn.options import Choice

MULTIPLE = 16  # a cut-out's sides are multiples of this, in px
LEAST_FRAMES = 10  # with "auto", fewer images than this say too little about how parts lie
ROOM = 0.08  # what is cut out around a large part, as a share of its extent, on each side
COMMON = 0.95  # this share of the parts reaches no farther than what counts as large

_GROUND = 2  # px along the border of a halved image that show the ground
_ROUNDS = 2  # in which the mean of all decides which end is which

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Registration:
    """How all parts are laid: the cut-out's size, its scale, and what it usually looks like."""

    scale: float
    anchor: tuple[float, float]  # x, y in the cut-out of the part's centroid
    usual: Tensor  # float32 (h, w), grey, each image of mean 0 and spread 1

    @classmethod
    def learn(cls, frames: Sequence[Floats], most_px: int) -> "Registration":
        """Learn from normal frames (H, W, 3) in 0..1; the cut-out has about `most_px` px, or fewer, never enlarged."""
        poses = [_pose_of(frame) for frame in frames]
        # Now and then a shadow or dirt counts as part of the part.
        left, right, above, below = np.quantile([pose.reach for pose in poses], COMMON, axis=0) * (1 + 2 * ROOM)
        sides = across, down = left + right, above + below
        scale = min(1.0, math.sqrt(most_px / float(across * down)))
        width, height = (max(2 * MULTIPLE, math.ceil(side * scale / MULTIPLE) * MULTIPLE) for side in sides)
        anchor = (float(width * left / across), float(height * above / down))
        registration = cls(scale, anchor, torch.zeros(height, width))
        for _ in range(_ROUNDS):
            cut = np.stack([registration._lay(frame, pose)[0] for frame, pose in zip(frames, poses, strict=True)])
            registration = cls(scale, anchor, torch.from_numpy(_even(cut.mean(axis=3)).mean(axis=0)))
        return registration

    def __call__(self, frames: Tensor) -> tuple[Tensor, list[Floats]]:
        """Turn float32 (B, 3, H, W) into cut-outs (B, 3, h, w), and each one's matrix (2, 3) to there."""
        pictures = frames.permute(0, 2, 3, 1).cpu().numpy()
        laid = [self._lay(np.ascontiguousarray(picture), _pose_of(picture)) for picture in pictures]
        cut = torch.from_numpy(np.stack([one for one, _ in laid])).permute(0, 3, 1, 2)
        return cut.contiguous(), [matrix for _, matrix in laid]

    def state(self) -> dict[str, Tensor]:
        """Give it as tensors for a run."""
        where = torch.tensor([self.scale, *self.anchor], dtype=torch.float64)
        return {"registration_usual": self.usual, "registration_where": where}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Registration | None":
        """Return what `state` gave; None where there is none."""
        if "registration_usual" not in state:
            return None
        scale, x, y = state["registration_where"].tolist()
        return cls(scale, (x, y), state["registration_usual"])

    def _lay(self, frame: Floats, pose: "_Pose") -> tuple[Floats, Floats]:
        """Return the cut-out that looks more usual of the two that the axis allows, and its matrix."""
        laid: list[tuple[float, Floats, Floats]] = []
        for turn in (pose.turn, pose.turn + math.pi):
            matrix = self._matrix(pose, turn)
            size = self.usual.shape[::-1]
            cut = cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            likeness = float((_even(cut.mean(axis=2)[None])[0] * self.usual.numpy()).mean())
            laid.append((likeness, np.asarray(cut, np.float32), matrix))
        # Of equals the first: the heavier end is where it should be.
        return max(laid, key=itemgetter(0))[1:]

    def _matrix(self, pose: "_Pose", turn: float) -> Floats:
        cos, sin = self.scale * math.cos(turn), self.scale * math.sin(turn)
        x, y = pose.centre
        shift = (self.anchor[0] - cos * x - sin * y, self.anchor[1] + sin * x - cos * y)
        return np.array([[cos, sin, shift[0]], [-sin, cos, shift[1]]], np.float32)


def decide_registration(
    frames: Sequence[Floats], choice: Choice, most_px: int
) -> tuple[Registration | None, dict[str, Any]]:
    """Return how to lay parts of frames (H, W, 3), None where they lie alike or cannot, and how that was decided."""
    if choice == "off" or (choice == "auto" and len(frames) < LEAST_FRAMES):
        return None, {"registered": False}
    as_they_are = _explained([cv2.resize(one, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for one in frames])
    facts = {"pictures_explained_by_position": round(as_they_are, 4)}
    if choice == "auto" and as_they_are >= EXPLAINED_SHARE:
        return None, {"registered": False, **facts}
    registration = Registration.learn(frames, most_px)
    laid = _explained([registration._lay(frame, _pose_of(frame))[0] for frame in frames])
    facts["registered_explained_by_position"] = round(laid, 4)
    if choice == "auto" and laid < EXPLAINED_SHARE:
        return None, {"registered": False, **facts}
    return registration, {"registered": True, **facts}


@dataclass(frozen=True)
class _Pose:
    centre: tuple[float, float]  # x, y in px
    turn: float  # of the long axis, from the x axis, towards the longer tail
    reach: tuple[float, float, float, float]  # px from the centre: back and forth along the axis, and across it


def _pose_of(frame: Floats) -> _Pose:
    half = cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    ys, xs = (2 * places + 0.5 for places in np.nonzero(foreground(np.asarray(half, np.float32))))
    x, y = float(xs.mean()), float(ys.mean())
    from_x, from_y = xs - x, ys - y
    turn = 0.5 * math.atan2(2 * float((from_x * from_y).mean()), float((from_x**2 - from_y**2).mean()))
    along = from_x * math.cos(turn) + from_y * math.sin(turn)
    across = from_y * math.cos(turn) - from_x * math.sin(turn)
    if (along**3).mean() < 0:
        turn, along, across = turn + math.pi, -along, -across
    reach = (-along.min(), along.max(), -across.min(), across.max())
    return _Pose((x, y), turn, (reach[0] + 1, reach[1] + 1, reach[2] + 1, reach[3] + 1))


def foreground(frame: Floats) -> NDArray[np.bool_]:
    """Find the largest thing (H, W) unlike the ground, a plane through the border; all of it where there is none."""
    height, width = frame.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    plane = np.stack([np.ones_like(x), x / width, y / height], axis=2)
    border = np.ones((height, width), bool)
    border[_GROUND:-_GROUND, _GROUND:-_GROUND] = False
    ground, *_ = np.linalg.lstsq(plane[border], frame[border], rcond=None)
    unlike = cv2.GaussianBlur(np.abs(frame - plane @ ground).mean(axis=2), (0, 0), 1.5)
    levels = (unlike / max(float(unlike.max()), 1e-6) * 255).astype(np.uint8)
    _, found = cv2.threshold(levels, 0, 1, cv2.THRESH_OTSU)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(found)
    if count < 2:
        return np.ones((height, width), bool)
    return np.asarray(labels == 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax()))


def _even(grey: Floats) -> Floats:
    """Return (N, H, W), each of mean 0 and spread 1: light is no structure."""
    even = grey - grey.mean(axis=(1, 2), keepdims=True)
    return np.asarray(even / np.maximum(even.std(axis=(1, 2), keepdims=True), 1e-6), np.float32)


def _explained(pictures: Sequence[Any]) -> float:
    return explained_by_position(torch.from_numpy(_even(np.stack([picture.mean(axis=2) for picture in pictures]))))


def laid_back(
    cut: Tensor, matrices: Sequence[Floats], size: tuple[int, int], border: int = cv2.BORDER_CONSTANT
) -> Tensor:
    """Turn (B, h, w, ...) of cut-outs into (B, *size, ...) of images, with the least value or the border around."""
    back, flags = [], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for one, matrix in zip(cut.contiguous().numpy(), matrices, strict=True):
        lowest = float(one.min())
        back.append(cv2.warpAffine(one, matrix, size[::-1], None, flags, border, lowest))
    return torch.from_numpy(np.stack(back))
