"""Where a training stands, on disk: a checksum, then tensors and JSON in the form of safetensors, without pickle."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from adkit.errors import RunError
from adkit.files.atomic import checksum, write_whole

FILE = "training.checkpoint"
EVERY_S = 10.0  # between two checkpoints at least: what a kill may cost, besides the epoch that runs

_NUMBERS = "numbers"
_ANEW = "fit anew, without --resume"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after an epoch: tensors by group ("network", "best", "optimizer") and numbers."""

    tensors: Mapping[str, Mapping[str, Tensor]]
    numbers: Mapping[str, Any]  # what JSON can say


class Checkpoints:
    """The one file in `folder` that always holds a whole checkpoint; None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE
        self._written = time.monotonic()

    @property
    def due(self) -> bool:
        """Say whether it is time for the next one."""
        return self._path is not None and time.monotonic() - self._written >= EVERY_S

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the one before."""
        if self._path is None:
            return
        flat = {
            f"{group}/{name}": tensor.detach().cpu().contiguous()
            for group, tensors in checkpoint.tensors.items()
            for name, tensor in tensors.items()
        }
        numbers = torch.frombuffer(bytearray(json.dumps(checkpoint.numbers).encode()), dtype=torch.uint8)
        content = save({**flat, _NUMBERS: numbers})
        write_whole(self._path, checksum(content).encode() + content)
        self._written = time.monotonic()

    def read(self) -> Checkpoint | None:
        """Return the last one, None where there is none; raises RunError for one that is damaged."""
        if self._path is None or not self._path.exists():
            return None
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise RunError(f"cannot read {self._path}: {error}", hint=_ANEW) from None
        length = len(checksum(b""))
        if data[:length] != checksum(data[length:]).encode():
            raise RunError(f"cannot read {self._path}: it is damaged, its checksum does not fit", hint=_ANEW)
        flat = load(data[length:])
        numbers = json.loads(bytes(flat.pop(_NUMBERS).tolist()))
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in flat.items():
            group, _, rest = name.partition("/")
            groups.setdefault(group, {})[rest] = tensor
        return Checkpoint(groups, numbers)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what an optimizer remembers of each parameter, as tensors named "3.exp_avg"."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": torch.as_tensor(one) for index, of in state.items() for name, one in of.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], learning_rate: float) -> None:
    """Put back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    for group in groups:
        group["lr"] = learning_rate
    optimizer.load_state_dict({"state": state, "param_groups": groups})
