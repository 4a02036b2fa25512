"""A method that gives maps, and beside it how things move: two maps of clips, calibrated alike, make one.

Any method becomes one that sees motion: nothing of it lies in the methods. Each map is counted in the spread of what
makes the scores of normal frames, and at each place the two are added: normal clips that were spoilt stand out better
so than by the higher of the two, on a walkway and on a conveyor alike (benchmarks/spoilt_clips.py).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from adkit.interfaces import Batches, Method, Progress, Stream, Workspace, sees_motion
from adkit.nn.motion import USUAL_SHARE, MotionMemory, cells_of, clips_moving_as_a_whole, share_that_moves
from adkit.nn.normalisation import PositionNormalisation
from adkit.nn.options import LEAST_PX
from adkit.nn.samples import Changed, gather
from adkit.types import Batch, FitReport, Prediction

PREFIX = "motion."  # before the names of what is known of motion, in a run's state
MOVING_CLIPS = "clips_that_move_as_a_whole"
"""Of these a fit tells the names, by their numbers in the order of what was learned from."""
LAG = 3  # frames, at which a method that looks at every frame is far enough from an earlier one; others look at fewer
LEAST_SPREAD = 0.1
"""Of the scores of normal motion, in which 1 is far: clips that move all alike leave some room for others."""
LOOKED_AT = 200
"""Training frames that say how high maps usually are, of a method that cannot judge those as if they were new."""


class WithMotion(Method[Any]):
    """Looks at motion beside a method's map, both in spreads of normal frames' scores above what is usual."""

    default_scorer = f"top:percent={100 * USUAL_SHARE:g}"

    def __init__(self, method: Method[Any]) -> None:
        super().__init__(method.options, seed=method.seed, device=method.device)
        self.inner = method
        self.reconstructs = method.reconstructs
        self._remembers = sees_motion(type(method))
        self.window = max(method.window, 1 + (LAG if self._remembers else 1))
        self._memory = MotionMemory()
        self._usual = [PositionNormalisation(torch.zeros(()), torch.ones(()))] * 2  # of the method's maps, of motion
        self._left_out = torch.empty(0)  # (N, h, w): motion of the training frames

    @property
    def frame_size(self) -> tuple[int, int]:
        """Return the method's."""
        return self.inner.frame_size

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> FitReport:
        """Let the method learn, then learn how things move."""
        with progress.plan([("appearance", 5), ("motion", 1)]):
            with progress.task("appearance", 1):
                report = self.inner.fit(Changed(batches, self._narrow), progress, workspace) or FitReport()
            parts = ((batch.clips, torch.from_numpy(cells_of(batch.frames, batch.spans_s))) for batch in batches)
            cells, clips = gather(parts, len(batches), progress, "motion", Tensor.new_empty)
        self._memory = MotionMemory.learn(cells.numpy(), clips)
        self._left_out = self._memory.left_out(cells.numpy(), clips)
        appearance = self.inner.calibration()
        maps = self._some_maps(batches) if appearance is None else _maps_of(appearance)
        share = float(f"{share_that_moves(cells.numpy()):.2g}")
        self._usual = [_usual(maps, share, 1e-6), _usual(self._enlarged(self._left_out, maps), share, LEAST_SPREAD)]
        motions, whole = len(self._memory.rows), " ".join(map(str, clips_moving_as_a_whole(cells.numpy(), clips)))
        facts: dict[str, str | float] = {"motions": motions, "share_of_frame_that_moves": share, MOVING_CLIPS: whole}
        return replace(report, facts={**report.facts, **facts}, scorer=f"top:percent={100 * share:g}")

    def predict(self, batch: Batch) -> Prediction:
        """Judge every sample of the batch."""
        return self._joined(self.inner.predict(self._narrow(batch)), batch)

    def stream(self) -> Stream:
        """Judge frames as the method's own stream does."""
        judge = self.inner.stream()
        return lambda batch: self._joined(judge(self._narrow(batch)), batch)

    def calibration(self) -> Prediction | None:
        """Return the method's results on its training samples with their motion; None where it gives none."""
        found = self.inner.calibration()
        return None if found is None else self._together(found, self._left_out)

    def state(self) -> dict[str, Tensor]:
        """Return what the method learned, and what is known of motion."""
        usual = torch.stack([value for one in self._usual for value in (one.mean, one.spread)])
        own = {**self._memory.state(), "usual": usual}
        return {**self.inner.state(), **{PREFIX + name: tensor for name, tensor in own.items()}}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        own = {name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)}
        self.inner.load_state({name: tensor for name, tensor in state.items() if not name.startswith(PREFIX)})
        self._memory = MotionMemory.from_state(own)
        self._usual = [PositionNormalisation(*pair) for pair in own["usual"].reshape(2, 2)]

    def _narrow(self, batch: Batch) -> Batch:
        """Return what the method itself sees of a batch."""
        return batch if self._remembers else replace(batch, frames=batch.frames[:, -self.inner.window :], spans_s=())

    def _joined(self, found: Prediction, batch: Batch) -> Prediction:
        return self._together(found, self._memory.maps(cells_of(batch.frames, batch.spans_s)))

    def _together(self, found: Prediction, motion: Tensor) -> Prediction:
        maps = _maps_of(found)
        moves = self._usual[1](self._enlarged(motion, maps))
        scores = None if found.scores is None else self._usual[0](found.scores)
        return replace(found, maps=self._usual[0](maps) + moves.nan_to_num(0.0), scores=scores)  # nan: not known

    @staticmethod
    def _enlarged(motion: Tensor, maps: Tensor) -> Tensor:
        size = (maps.shape[1], maps.shape[2])
        return F.interpolate(motion[:, None], size, mode="bilinear", align_corners=False)[:, 0]

    def _some_maps(self, batches: Batches) -> Tensor:
        judge, parts, seen = self.inner.stream(), [], 0
        for batch in batches:
            parts.append(_maps_of(judge(self._narrow(batch))))
            seen += len(batch)
            if seen >= LOOKED_AT:
                break
        return torch.cat(parts)


def with_motion(method: Method[Any]) -> Method[Any]:
    """Return the method with motion beside it; one that gives no maps, or sees next to nothing, stays as it is."""
    sees_it = method.default_scorer is not None and min(method.frame_size) >= LEAST_PX
    return WithMotion(method) if sees_it else method


def restored(kind: type[Method[Any]], options: Any, seed: int, device: str, state: Mapping[str, Tensor]) -> Method[Any]:
    """Make a method that knows what a run kept of it, with motion beside it where the run knows of motion."""
    method = kind(options, seed=seed, device=device)
    if any(name.startswith(PREFIX) for name in state):
        method = WithMotion(method)
    method.load_state(state)
    return method


def class_of(method: Method[Any]) -> type[Method[Any]]:
    """Return the class of a method that may have motion beside it."""
    return type(method.inner if isinstance(method, WithMotion) else method)


def _maps_of(found: Prediction) -> Tensor:
    assert found.maps is not None  # a method with a scorer of its own
    return found.maps


def _usual(maps: Tensor, share: float, least_spread: float) -> PositionNormalisation:
    """Return mean and spread of the highest `share` of normal frames' maps (N, h, w), as scores are; nan: left out."""
    known = maps[~maps[:, 0, 0].isnan()]
    if not len(known):
        return PositionNormalisation(torch.zeros(()), torch.ones(()))
    positions = known.flatten(1)
    scores = positions.topk(max(1, round(share * positions.shape[1])), dim=1).values.mean(dim=1)
    return PositionNormalisation(scores.mean(), scores.std(correction=0).clamp_min(least_spread))
