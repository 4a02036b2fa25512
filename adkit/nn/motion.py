"""How things move in clips, and how far that is from how they moved in normal ones.

A frame and an earlier one are compared in cells of a small grey frame: where to and how fast its contents move
(OpenCV's DIS optical flow, Kroeger et al. 2016, arXiv 1603.03590) and how much its brightness changes, all per second,
so that a video of another frame rate looks the same. How often something was seen in normal clips is remembered with
its place, coarsely: a belt that stands still is odd, the wall beside it is not. A cell is as anomalous as the like of
it was rare. Velocities beside appearance are what leads on video (Reiss and Hoshen 2022, arXiv 2212.00789).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIDE_PX = 160  # frames are compared with as many pixels as a square of this side has
CELL_PX = 8
FIGURES = 3  # of each cell: pixels to the right and downwards, and grey levels, per second
LONGEST_SPAN_S = 0.5  # two frames further apart tell nothing of motion
MOVING_SHARE = 0.2  # the cells that move most say what counts as a large difference
LEAST_SCALES = (4.0, 4.0, 20.0)  # of the figures: smaller differences are noise, whatever the clips show
PLACE_WEIGHT = 12.0  # so many scales apart are the ends of the frame's longer side
STEP = 1.0
"""What was seen is counted on a lattice this fine, and blurred as much; coarser where it were more than MOST_ROWS."""
MOST_ROWS = 2000
USUAL_SHARE, MOST_OF_FRAME = 0.05, 0.2
"""Of a frame makes its score where nothing moves; and at most: in a mean over more, a single thing would be lost."""
WHOLE_SHARE, WHOLE_FRAMES = 0.8, 0.1
"""Where so many cells go one way, the whole frame moves; a clip of which so many frames do so has a moving camera."""
_NEVER = 1e-9  # instead of a count of none
_BLOCK = 4096


def cells_of(frames: Tensor, spans_s: Sequence[float]) -> NDArray[np.float32]:
    """Compare the first and last of frames, float32 (B, T, 3, H, W), RGB in 0..1, `spans_s` apart.

    Returns (B, h, w, 3), the figures of each cell; nan where the frames tell nothing of motion.
    """
    small = _small(int(frames.shape[-2]), int(frames.shape[-1]))
    found = np.full((len(frames), small[0] // CELL_PX, small[1] // CELL_PX, FIGURES), np.nan, np.float32)
    flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    for row, span_s in enumerate(spans_s):
        if 0 < span_s <= LONGEST_SPAN_S:
            before, now = (_grey(frames[row, place], small) for place in (0, -1))
            found[row, ..., :2] = -_mean_of_cells(flow.calc(now, before, None))
            found[row, ..., 2] = _mean_of_cells(cv2.absdiff(now, before).astype(np.float32)[..., None])[..., 0]
            found[row] /= span_s
    return found


def share_that_moves(cells: NDArray[np.float32]) -> float:
    """Say how much of a frame its moving things usually fill, up to `MOST_OF_FRAME`, by cells (N, h, w, 3).

    Where k of n cells change alike and the others do not, that is k / n: (Σ e)² / (n Σ e²), e the square of how much a
    cell's brightness changes beyond noise. `USUAL_SHARE` where nothing moves.
    """
    changes = np.abs(cells[..., 2].reshape(len(cells), -1)).astype(np.float64) - LEAST_SCALES[2]
    energies = changes[np.nanmax(changes, axis=1, initial=0.0) > 0].clip(0) ** 2  # nan: nothing is known
    if not len(energies):
        return USUAL_SHARE
    spread = energies.sum(axis=1) ** 2 / (energies.shape[1] * (energies**2).sum(axis=1))
    return min(float(np.median(spread)), MOST_OF_FRAME)


def clips_moving_as_a_whole(cells: NDArray[np.float32], clips: Tensor) -> list[int]:
    """Return the numbers of clips whose whole frame moves, from cells (N, h, w, 3) and each one's clip (N,)."""
    flow = cells[..., :2]
    main = np.median(flow, axis=(1, 2), keepdims=True)
    along = (flow * main).sum(axis=-1) / np.maximum(np.linalg.norm(main, axis=-1), 1e-6)
    whole = torch.from_numpy((along > LEAST_SCALES[0]).mean(axis=(1, 2)) > WHOLE_SHARE)  # not where they are nan
    return [clip for clip in torch.unique(clips).tolist() if whole[clips == clip].float().mean() > WHOLE_FRAMES]


def _small(height: int, width: int) -> tuple[int, int]:
    shrunk = min(1.0, SIDE_PX / (height * width) ** 0.5)
    tall, wide = (max(2, round(side * shrunk / CELL_PX)) * CELL_PX for side in (height, width))
    return tall, wide


def _grey(frame: Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    shrunk = cv2.resize(frame.mean(dim=0).cpu().numpy(), size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(shrunk * 255), np.uint8)


def _mean_of_cells(values: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width, channels = values.shape
    shape = (height // CELL_PX, CELL_PX, width // CELL_PX, CELL_PX, channels)
    return np.asarray(values.reshape(shape).mean(axis=(1, 3)), np.float32)


@dataclass(frozen=True)
class MotionMemory:
    """What cells of normal clips did, and where: how often each point of a lattice was near."""

    scales: Tensor = field(default_factory=lambda: torch.ones(FIGURES))  # (3,): what counts as one apart
    rows: Tensor = field(default_factory=lambda: torch.empty(0, FIGURES + 2))  # (M, 5): scaled figures, and place
    counts: Tensor = field(default_factory=lambda: torch.empty(0, 1))  # (M, clips): how often seen in each
    step: float = STEP

    @classmethod
    def learn(cls, cells: NDArray[np.float32], clips: Tensor) -> "MotionMemory":
        """Learn from cells (N, h, w, 3) of normal frames, nan where they tell nothing, and each one's clip (N,)."""
        known = torch.from_numpy(~np.isnan(cells[:, 0, 0, 0]))
        if not known.any():
            return cls()
        figures, of_clip = torch.from_numpy(cells)[known], clips[known]
        flat = figures.flatten(0, 2)
        speeds = flat[:, :2].square().sum(dim=1)
        moving = flat[speeds >= speeds.kthvalue(max(1, round((1 - MOVING_SHARE) * len(speeds)))).values]
        scales = torch.maximum(moving.std(dim=0, correction=0), torch.tensor(LEAST_SCALES))
        placed, step = _placed(figures / scales), STEP
        while True:
            rows, counts = _lattice(placed, of_clip, step)
            if len(rows) <= MOST_ROWS:
                return cls(scales, rows, counts, step)
            step *= 1.25

    def maps(self, cells: NDArray[np.float32], without: int | None = None) -> Tensor:
        """Say how rare cells (B, h, w, 3) are: (B, h, w), nan where they tell nothing.

        It is a distance: that from its middle at which a Gaussian has sunk as far as the density of what was seen,
        beside where it is highest. With `without`, by what other clips than the one of this number showed.
        """
        figures = torch.from_numpy(cells)
        counts = self.counts.sum(dim=1)
        if without is not None and len(counts):
            counts = counts - self.counts[:, without]
        if not counts.any():
            return torch.full(figures.shape[:3], torch.nan)
        weights = (counts / counts.max()).clamp_min(_NEVER).log()
        rows, queries = self.rows / self.step, _placed(figures / self.scales).flatten(0, 2) / self.step
        norms = weights - rows.square().sum(dim=1) / 2
        parts = [
            torch.logsumexp(torch.addmm(norms, part, rows.T), dim=1) - part.square().sum(dim=1) / 2
            for part in torch.split(queries, _BLOCK)
        ]
        return (-2 * torch.cat(parts)).clamp_min(0).sqrt().reshape(figures.shape[:3])

    def left_out(self, cells: NDArray[np.float32], clips: Tensor) -> Tensor:
        """Return the maps (N, h, w) of the very cells that were learned from, each as if its clip had not been."""
        found = torch.full(cells.shape[:3], torch.nan)
        for clip in torch.unique(clips).tolist():
            own = clips == clip
            found[own] = self.maps(cells[own.numpy()], clip)
        return found

    def state(self) -> dict[str, Tensor]:
        """Give it as tensors for a run; in which clip something was seen is no longer needed."""
        counts = self.counts.sum(dim=1, keepdim=True)
        return {"scales": self.scales, "rows": self.rows, "counts": counts, "step": torch.tensor(self.step)}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "MotionMemory":
        """Return what `state` gave."""
        return cls(state["scales"], state["rows"], state["counts"], float(state["step"]))


def _placed(figures: Tensor) -> Tensor:
    """Put each cell's place behind its figures: (B, h, w, C) -> (B, h, w, C + 2)."""
    height, width = figures.shape[1:3]
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([down, across], dim=-1) * (PLACE_WEIGHT / (max(height, width) - 1))
    return torch.cat([figures, places.expand(len(figures), -1, -1, -1)], dim=-1)


def _lattice(placed: Tensor, clips: Tensor, step: float) -> tuple[Tensor, Tensor]:
    """Return the points (M, D) of a lattice that are nearest to anything, and how often (M, clips) in each clip."""
    points, counts, of_clip = [], [], []
    for clip in torch.unique(clips):  # clip by clip: all cells together are many
        lattice = (placed[clips == clip].flatten(0, 2) / step).round()
        found, often = torch.unique(lattice, dim=0, return_counts=True)
        points.append(found)
        counts.append(often)
        of_clip.append(torch.full((len(found),), int(clip)))
    rows, row_of = torch.unique(torch.cat(points), dim=0, return_inverse=True)
    table = torch.zeros(len(rows), int(clips.max()) + 1)
    table[row_of, torch.cat(of_clip)] = torch.cat(counts).to(torch.float32)
    return rows * step, table
