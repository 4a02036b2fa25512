from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adkit.errors import RunError
from adkit.nn.training.checkpoints import FILE, Checkpoint, Checkpoints

CHECKPOINT = Checkpoint(
    {"network": {"layer.weight": torch.rand(2, 3), "count": torch.tensor(7)}, "best": {"layer.weight": torch.ones(0)}},
    {"curves": {"loss": [0.1, float("inf")]}, "ended": ""},
)


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    Checkpoints(tmp_path).write(CHECKPOINT)
    found = Checkpoints(tmp_path).read()
    assert found is not None
    assert found.numbers == CHECKPOINT.numbers
    assert found.tensors.keys() == CHECKPOINT.tensors.keys()
    for group, tensors in CHECKPOINT.tensors.items():
        assert found.tensors[group].keys() == tensors.keys()
        assert all(torch.equal(found.tensors[group][name], tensor) for name, tensor in tensors.items())


def test_without_a_folder_there_is_none() -> None:
    Checkpoints(None).write(CHECKPOINT)
    assert Checkpoints(None).read() is None


@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_one_flipped_bit_is_noticed(tmp_path: Path, where: float) -> None:
    Checkpoints(tmp_path).write(CHECKPOINT)
    data = bytearray((tmp_path / FILE).read_bytes())
    data[int(where * len(data))] ^= 1
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(RunError, match="it is damaged, its checksum does not fit") as caught:
        Checkpoints(tmp_path).read()
    assert caught.value.hint == "fit anew, without --resume"
