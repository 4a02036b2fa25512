"""A run as one ONNX graph: from the pixels of pictures to their maps and scores."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from adkit.data.tiles import placed, weights
from adkit.errors import OptionError
from adkit.interfaces import Exportable
from adkit.nn.features.onnx_session import traced
from adkit.workflows.score import FittedModel


class PictureGraph(nn.Module):
    """What a run says of pictures that lie on its canvas: their maps, if the method has any, and their scores."""

    def __init__(self, model: FittedModel, method: nn.Module, grid: tuple[int, int] | None) -> None:
        super().__init__()
        self.method, self.view = method, model.view
        self.of_tensors = None if model.scorer is None else model.scorer.of_tensors
        view = model.view
        if grid and not view.everywhere and view.picture:
            self.counts: Tensor | None = torch.from_numpy(view.counting_positions(view.picture, grid).copy())
        else:
            self.counts = None

    def forward(self, pixels: Tensor, rows: Tensor | None = None, columns: Tensor | None = None) -> tuple[Tensor, ...]:
        """Turn uint8 (N, H, W, 3), RGB, into maps (N, h, w) and scores (N,).

        `rows` (h, h) and `columns` (w, w) say where a map's positions lie, as `View.cuts` gives them.
        """
        found, *whole = self._judged(pixels.permute(0, 3, 1, 2).to(torch.float32) / 255)
        if self.of_tensors is None or rows is None or columns is None:
            return (found,)
        maps = rows @ found @ columns.T
        if self.counts is not None:
            lowest = torch.where(self.counts, maps, torch.inf).amin(dim=(1, 2), keepdim=True)
            maps = torch.where(self.counts, maps, lowest)
            whole = []
        scores = self.of_tensors(maps)
        if not whole:
            return maps, scores
        places = maps.flatten(1)  # as in `raw_scores`
        return maps, scores + (whole[0] - places.topk(math.ceil(places.shape[1] / 100)).values.mean(dim=1)).clamp_min(0)

    def _judged(self, canvases: Tensor) -> tuple[Tensor, ...]:
        """Turn canvases (N, 3, H, W) into what the method says of them: with tiles of all, blended as a run does it."""
        tiles = self.view.tiles
        if not tiles:
            return _parts(self.method(canvases))
        seen = [canvases[:, :, one.top : one.top + one.height, one.left : one.left + one.width] for one in tiles]
        found = [part.reshape(len(tiles), -1, *part.shape[1:]) for part in _parts(self.method(torch.cat(seen)))]
        if found[0].ndim == 2:
            return (found[0].amax(dim=0),)
        parts = zip(found[0], self._shares(found[0]), strict=True)
        maps = torch.stack([F.pad(part * share, border) for part, (share, border) in parts]).sum(dim=0)
        return (maps, *(part.amax(dim=0) for part in found[1:]))

    def _shares(self, maps: Tensor) -> list[tuple[Tensor, list[int]]]:
        """Return how much each tile's map (h, w) counts at its positions, and how far it is from the canvas's edges."""
        height, width = maps.shape[2:]
        places = placed((height, width), self.view.tiles, self.view.frame)
        rows, columns = max(one.top + one.height for one in places), max(one.left + one.width for one in places)
        weight = torch.from_numpy(weights(height, width))
        borders = [[one.left, columns - one.left - width, one.top, rows - one.top - height] for one in places]
        total = torch.stack([F.pad(weight, border) for border in borders]).sum(dim=0)
        return [
            (weight / total[one.top : one.top + height, one.left : one.left + width], border)
            for one, border in zip(places, borders, strict=True)
        ]


def to_onnx(model: FittedModel) -> tuple[bytes, tuple[int, int] | None]:
    """Return a run's ONNX model and the grid (h, w) of its maps, None without maps.

    It takes any number of pictures. `rows` and `columns` may be left out for pictures of the usual shape. Raises
    OptionError for a method or scorer that cannot be exported.
    """
    height, width = model.view.canvas
    if not isinstance(model.method, Exportable):
        raise OptionError(
            f"{model.run.record.method} cannot be exported: it offers no graph of what it computes",
            hint="take a method that does, such as patchknn; its author can add one: graph()",
        )
    method = model.method.graph().eval().requires_grad_(False)  # nothing of it is to be learned: easier to trace
    with torch.no_grad():
        found, *_ = PictureGraph(model, method, None)._judged(torch.zeros(1, 3, height, width))
    grid = (found.shape[1], found.shape[2]) if found.ndim == 3 else None
    if (grid is None) != (model.scorer is None):
        raise OptionError(
            "the run's scores are not those that the method's graph leads to: it gives "
            + ("scores, and a scorer takes maps" if grid is None else "maps, and the run has no scorer"),
            hint="fit again with --scorer top1, or without",
        )
    usual = dict(zip(("rows", "columns"), _usual_cuts(model, grid), strict=True)) if grid else {}
    example = (torch.zeros(2, height, width, 3, dtype=torch.uint8), *map(torch.from_numpy, usual.values()))
    names = ["map", "score"] if grid else ["score"]
    return _exported(PictureGraph(model, method, grid), example, usual, names), grid


def _parts(found: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


def _usual_cuts(model: FittedModel, grid: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    view = model.view
    return view.cuts(view.box.size if view.box else view.picture or view.canvas, grid)


def _exported(
    graph: PictureGraph, example: tuple[Tensor, ...], usual: dict[str, NDArray[np.float32]], outputs: list[str]
) -> bytes:
    proto = traced(
        graph,
        example,
        input_names=["pixels", *usual],
        output_names=outputs,
        dynamic_shapes=({0: torch.export.Dim("pictures")}, *({} for _ in usual)),
    )
    if not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise OptionError(
            "the method's graph takes one number of pictures only, and any number was expected",
            hint="tell its author: shape[0] can be traced where len() cannot",
        )
    for name, values in usual.items():  # an input with a value of its own may be left out
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return bytes(proto.SerializeToString())
