"""A torch network in onnxruntime: exported once, checked against torch for each input size, cached on disk."""

import io
import json
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from weakref import WeakValueDictionary

import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from adkit.errors import StorageError
from adkit.files.atomic import require_writable, write_whole
from adkit.files.cache import cache_root, temporary_cache
from adkit.nn.profile import current_profile

RELATIVE_TOLERANCE = 1e-3  # the exported network may differ from torch by this share of the largest feature, not more

_FACTS = "adkit"
_log = logging.getLogger(__name__)


class OnnxSession:
    """An ONNX model that runs in onnxruntime on the CPU."""

    def __init__(self, model: bytes) -> None:
        self._model = model

    def __call__(self, **inputs: Tensor) -> list[Tensor]:
        """Return the model's outputs for CPU tensors by name."""
        return _outputs(self._together, inputs)

    def each(self, frames: Tensor, **shared: Tensor) -> list[list[Tensor]]:
        """Return the outputs of a model of one frame for each of `frames` (B, ...); what is `shared` all of them take.

        Several frames are worked on at a time, by a thread each: a network has many small steps, and threads that
        share one wait for each other after each of them.
        """
        split = torch.split(frames, 1)
        # On a single frame, which may be a camera's, all threads work. A profile tells apart what follows each other.
        if len(split) == 1 or current_profile():
            return [self(frames=frame, **shared) for frame in split]
        session = self._apart
        return list(_pool().map(lambda frame: _outputs(session, {"frames": frame, **shared}), split))

    @cached_property
    def _together(self) -> onnxruntime.InferenceSession:
        """What all threads work on together, as many as torch takes."""
        threads = os.environ.get("OMP_NUM_THREADS", "")
        return _session(self._model, int(threads) if threads.isdigit() else 0)

    @cached_property
    def _apart(self) -> onnxruntime.InferenceSession:
        """What works in the thread that calls it."""
        return _session(self._model, 1)


def _session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4  # errors are raised too
    # Threads that wait by spinning take the cores from those that decode the next images.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.intra_op_num_threads = threads  # 0: one for each core
    _share_memory()
    settings.add_session_config_entry("session.use_env_allocators", "1")
    if profile := current_profile():
        settings.enable_profiling = True
        settings.profile_file_prefix = str(profile.folder / "graph")
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    if profile:
        profile.sessions.append((session, model))
    return session


@cache
def _share_memory() -> None:
    """Let all sessions take from one store of memory what they need while they run; each would keep one of its own."""
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(0, -1, -1, -1))  # which grows as it likes


def _outputs(session: onnxruntime.InferenceSession, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    arrays = {name: tensor.contiguous().numpy() for name, tensor in inputs.items()}
    return [torch.from_numpy(output) for output in session.run(None, arrays)]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="frame")


_shared: WeakValueDictionary[bytes, OnnxSession] = WeakValueDictionary()


def shared_session(model: bytes) -> OnnxSession:
    """Return a session of the model: the one that others use, where there is one. Each holds memory of its own."""
    if current_profile():  # which wants to know of each
        return OnnxSession(model)
    session = _shared.get(model)
    if session is None:
        session = _shared[model] = OnnxSession(model)
    return session


def facts_of(model: bytes) -> dict[str, Any]:
    """Return what was stored with an exported model; raises an exception of onnx's or KeyError for anything else."""
    properties = {entry.key: entry.value for entry in onnx.load_from_string(model).metadata_props}
    facts: dict[str, Any] = json.loads(properties[_FACTS])
    return facts


def output_shape(model: bytes) -> tuple[int, ...]:
    """Return the shape of an exported model's first output; -1 where it is not fixed."""
    dimensions = onnx.load_from_string(model).graph.output[0].type.tensor_type.shape.dim
    return tuple(one.dim_value if one.HasField("dim_value") else -1 for one in dimensions)


def exported_model(
    key: str, network: Callable[[], nn.Module], size: tuple[int, int], facts: Callable[[], dict[str, Any]]
) -> bytes | None:
    """Return the network, from `frames` (1, 3, H, W) of `size` = (H, W) to one tensor, as an ONNX model.

    One frame at a time is what is quickest. `key` names it in the cache; `network` and `facts` are called only when
    the cache lacks it. None when onnxruntime's results differ from torch's: the caller then stays with torch.
    """
    path, why_elsewhere = cache_root() / "onnx" / f"{key}-{size[0]}x{size[1]}.onnx", None
    if model := _cached(path):
        return model
    try:
        require_writable(path.parent)
    except StorageError as error:
        with suppress(StorageError):
            path, why_elsewhere = temporary_cache() / "onnx" / path.name, error
            if model := _cached(path):
                return model
    example = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network()(example)
    exported = quickly_traced(network(), example)
    (output,) = exported.graph.output  # the older exporter leaves its shape out
    output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, expected.shape))
    exported.metadata_props.add(key=_FACTS, value=json.dumps(facts()))
    model = bytes(exported.SerializeToString())
    if not _agrees(model, example, expected):
        _log.warning("onnxruntime's results differ from torch's for %s: torch is used, which is slower", path.stem)
        return None
    try:
        write_whole(path, model)
    except StorageError as error:
        _log.warning("%s: the network will be exported again next time", error)
    else:
        if why_elsewhere:
            _log.warning("%s: the network is kept in %s", why_elsewhere, path.parent)
    return model


def _cached(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    model = path.read_bytes()
    try:
        facts_of(model)
    # Whatever a damaged file makes the parser raise means the same: export again.
    except Exception as error:
        _log.warning("the cached network %s cannot be used (%s); exporting it again", path, error)
        return None
    return model


def _agrees(model: bytes, example: Tensor, expected: Tensor) -> bool:
    try:
        (found,) = OnnxSession(model)(frames=example)
    # A graph that does not fit its size is refused by onnxruntime with exceptions of many kinds.
    except Exception as error:
        _log.debug("onnxruntime refuses a network: %s", error)
        return False
    difference = float((found - expected).abs().max()) if found.shape == expected.shape else math.inf
    return difference <= RELATIVE_TOLERANCE * float(expected.abs().max())


def quickly_traced(network: nn.Module, frames: Tensor) -> onnx.ModelProto:
    """Return a network as ONNX by torch's older exporter, in half a second; where that fails, as `traced` does.

    It knows neither any number of frames nor all networks, and may be gone in a later torch.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        try:
            with _silence():
                torch.onnx.export(network, (frames,), path, input_names=["frames"], dynamo=False)
            return onnx.load(path)
        # What it does not know it says in exceptions of many kinds, and a torch without it in others.
        except Exception as error:
            _log.debug("torch's older exporter fails: %s", error)
            return traced(network, (frames,), input_names=["frames"])


def traced(network: nn.Module, example: tuple[Tensor, ...], **settings: Any) -> onnx.ModelProto:
    """Return a network as ONNX, from inputs like those of the example; `settings` are those of torch.onnx.export."""
    with _silence():
        program = torch.onnx.export(network, example, dynamo=True, **settings)
    assert program is not None
    return program.model_proto


@contextmanager
def _silence() -> Iterator[None]:
    """Keep back what exporters print of their progress and warn of their internals: nobody could act on it."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
