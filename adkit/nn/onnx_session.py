"""A torch network in onnxruntime: exported once per input size, checked against torch, cached on disk."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from adkit.cache import cache_root
from adkit.errors import StorageError
from adkit.storage import write_whole

RELATIVE_TOLERANCE = 1e-3
"""The exported network may differ from torch by this share of the largest feature, not more."""

_log = logging.getLogger(__name__)


class OnnxSession:
    """A network that runs in onnxruntime on the CPU."""

    def __init__(self, model: bytes) -> None:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # errors only
        self._session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, frames: Tensor) -> list[Tensor]:
        """float32 (B, 3, H, W) -> the network's outputs."""
        outputs = self._session.run(None, {self._input: np.ascontiguousarray(frames.numpy())})
        return [torch.from_numpy(output) for output in outputs]


def open_session(key: str, network: Callable[[], nn.Module], size: tuple[int, int]) -> OnnxSession | None:
    """The network, which gives a list of tensors, as a session for inputs of `size` = (height, width).

    `key` names it in the cache; `network` is called only when the cache lacks it. Where the exported
    network disagrees with torch, the result is None: the caller then stays with torch.
    """
    path = cache_root() / "onnx" / f"{key}.onnx"
    if path.is_file():
        try:
            return OnnxSession(path.read_bytes())
        # onnxruntime has an exception for each of its status codes; any of them means: export again.
        except Exception as error:
            _log.warning("the cached network %s cannot be used (%s); exporting it again", path, error)
    example = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    model = _export(network(), example)
    session = OnnxSession(model)
    if not _agrees(session, network(), example):
        _log.warning("onnxruntime's results differ from torch's for %s: torch is used, which is slower", key)
        return None
    try:
        write_whole(path, model)
    except StorageError as error:
        _log.warning("%s: the network will be exported again next time", error)
    return session


def _export(network: nn.Module, example: Tensor) -> bytes:
    buffer = io.BytesIO()
    # The exporter prints its progress and warns of its own internals: nothing that a user could act on.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            input_names=["frames"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
        )
        assert program is not None
        program.save(buffer)
    return buffer.getvalue()


def _agrees(session: OnnxSession, network: nn.Module, example: Tensor) -> bool:
    with torch.inference_mode():
        expected = network(example)
    return all(
        float((found - level).abs().max()) <= RELATIVE_TOLERANCE * float(level.abs().max())
        for found, level in zip(session(example), expected, strict=True)
    )
