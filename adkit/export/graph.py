"""A run as one ONNX graph: from the pixels of images to their maps and scores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor, nn

from adkit.containment import plugin_code
from adkit.data.boxes import Map
from adkit.data.tiles import placed, weights
from adkit.data.view import counting_positions
from adkit.errors import OptionError
from adkit.interfaces import Exportable
from adkit.nn.features.onnx_session import traced
from adkit.workflows.score import FittedModel


class ImageGraph(nn.Module):
    """What a run says of images that lie on its canvas: their maps, if the method has any, and their scores."""

    def __init__(self, model: FittedModel, method: nn.Module, grid: tuple[int, int] | None) -> None:
        super().__init__()
        self.method, self.view = method, model.view
        self.of_tensors = None if model.scorer is None else model.scorer.of_tensors
        view = model.view
        if grid and not view.everywhere and view.picture:
            self.counts: Tensor | None = torch.from_numpy(counting_positions(view, view.picture, grid).copy())
        else:
            self.counts = None

    def forward(
        self, pixels: Tensor, rows: Tensor | None = None, columns: Tensor | None = None, states: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, ...]:
        """Turn uint8 (N, H, W, 3), RGB, into maps (N, h, w) and scores (N,), and what is remembered then.

        `rows` (h, h) and `columns` (w, w) say where a map's positions lie, as `View.cuts` gives them; `states` is what
        a method with memory remembers of each of N clips.
        """
        found, *more = self._judged(pixels.permute(0, 3, 1, 2).to(torch.float32) / 255, states)
        after = len(more) - len(states)
        return (*self._scored(found, more[:after], rows, columns), *more[after:])

    def _scored(
        self, found: Tensor, whole: list[Tensor], rows: Tensor | None, columns: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Turn maps of canvases, and scores of the images as wholes, into maps of the images and scores."""
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

    def _judged(self, canvases: Tensor, states: Sequence[Tensor] = ()) -> tuple[Tensor, ...]:
        """Turn canvases (N, 3, H, W) into what the method says of them: with tiles of all, blended as a run does it."""
        tiles = self.view.tiles
        if not tiles:
            return _parts(self.method(canvases, *states))
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


@dataclass(frozen=True)
class OnnxModel:
    """A run as an ONNX model of any number of images, or of the next frames of as many clips."""

    proto: bytes
    grid: tuple[int, int] | None  # (h, w) of its maps; None without maps
    states: Mapping[str, tuple[int, ...]]  # what is remembered of a clip, by name: its shape; zeros at a clip's start


def to_onnx(model: FittedModel) -> OnnxModel:
    """Return a run's ONNX model, `rows` and `columns` optional; raises OptionError for what cannot be exported."""
    view = model.view
    if not isinstance(model.method, Exportable):
        told = f"{model.run.record.method} cannot be exported: it offers no graph of what it computes"
        raise OptionError(told, hint="take a method that does, such as patchknn; its author can add one: graph()")
    method = model.method.graph().eval().requires_grad_(False)  # nothing of it is to be learned: easier to trace
    states: Mapping[str, tuple[int, ...]] = getattr(method, "states", {})
    with torch.no_grad():
        start = tuple(torch.zeros(1, *shape) for shape in states.values())
        found, *_ = ImageGraph(model, method, None)._judged(torch.zeros(1, 3, *view.canvas), start)
    grid = (found.shape[1], found.shape[2]) if found.ndim == 3 else None
    if (grid is None) != (model.scorer is None):
        raise OptionError(
            "the run's scores are not those that the method's graph leads to: it gives "
            + ("scores, and a scorer takes maps" if grid is None else "maps, and the run has no scorer"),
            hint="fit again with --scorer top1, or without",
        )
    if model.scorer is not None:
        with plugin_code(type(model.scorer)):
            model.scorer.of_tensors(found)  # asked here: what is raised while it is traced comes out as torch's
    seen = view.box.size if view.box else view.picture or view.canvas
    usual = dict(zip(("rows", "columns"), view.cuts(seen, grid), strict=True)) if grid else {}
    names = [*(["map", "score"] if grid else ["score"]), *(f"next_{name}" for name in states)]
    return OnnxModel(_exported(ImageGraph(model, method, grid), usual, states, names), grid, states)


def _parts(found: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return found if isinstance(found, tuple) else (found,)


def _exported(
    graph: ImageGraph, usual: Mapping[str, Map], states: Mapping[str, tuple[int, ...]], outputs: list[str]
) -> bytes:
    cuts = [None if usual.get(name) is None else torch.from_numpy(usual[name]) for name in ("rows", "columns")]
    any_number = {0: torch.export.Dim("pictures")}
    pixels = torch.zeros(2, *graph.view.canvas, 3, dtype=torch.uint8)
    example: tuple[Any, ...] = (pixels, *cuts, [torch.zeros(2, *shape) for shape in states.values()])
    shapes = (any_number, *(None if one is None else {} for one in cuts), [any_number] * len(states))
    inputs = ["pixels", *usual, *states]
    proto = traced(graph, example, input_names=inputs, output_names=outputs, dynamic_shapes=shapes)
    if not proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        told = "the method's graph takes one number of images only, and any number was expected"
        raise OptionError(told, hint="tell its author: shape[0] can be traced where len() cannot")
    for name, values in usual.items():  # an input with a value of its own may be left out
        proto.graph.initializer.append(numpy_helper.from_array(values, name))
    return bytes(proto.SerializeToString())
