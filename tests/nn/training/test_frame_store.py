from __future__ import annotations

import tempfile
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adkit.interfaces import Silent
from adkit.nn.training.frame_store import FrameStore, hold_out
from adkit.testing.conformance import PartBatches, synthetic_frames
from adkit.types import Batch

SIZE = (32, 48)


class Clips:
    """Two clips of three frames, in batches of two; the frames before the own one differ."""

    def __init__(self) -> None:
        self.frames = torch.cat([torch.rand(6, 1, 3, *SIZE), synthetic_frames(6, SIZE)], dim=1)

    def __len__(self) -> int:
        return 6

    def __iter__(self):  # type: ignore[no-untyped-def]
        names = ("a", "a", "a", "b", "b", "b")
        for first in (0, 2, 4):
            rows = slice(first, first + 2)
            yield Batch(self.frames[rows], tuple(map(str, range(first, first + 2))), names[rows])


def test_frames_come_back_as_they_were() -> None:
    batches = PartBatches(synthetic_frames(7, SIZE))
    store = FrameStore.collect(batches, Silent())
    assert len(store) == 7
    rows = torch.tensor([6, 0, 3])
    torch.testing.assert_close(store[rows], batches.frames[rows, 0])
    torch.testing.assert_close(store.take(rows)[torch.tensor([1])], batches.frames[:1, 0])


def test_a_store_on_disk_holds_the_same() -> None:
    batches = PartBatches(synthetic_frames(5, SIZE))
    rows = torch.arange(5)
    on_disk = FrameStore.collect(batches, Silent(), most_bytes=0)
    assert torch.equal(on_disk[rows], FrameStore.collect(batches, Silent())[rows])
    assert torch.equal(on_disk.take(rows)[rows], on_disk[rows])


def test_what_is_made_of_a_store_on_disk_lies_on_disk_too(monkeypatch: pytest.MonkeyPatch) -> None:
    files: list[Any] = []
    new_file = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **named: files.append(new_file(**named)) or files[-1])
    store = FrameStore.collect(PartBatches(synthetic_frames(5, SIZE)), Silent(), most_bytes=0)
    rows = torch.tensor([4, 1])
    darker = store.take(rows).changed(lambda frames, _: frames[..., :16] / 2, at_once=1)
    assert len(files) == 2
    assert darker.clips.tolist() == rows.tolist()
    torch.testing.assert_close(darker[torch.arange(2)], store[rows][..., :16] / 2, rtol=0, atol=1 / 255)


def test_of_a_window_the_own_frame_is_kept() -> None:
    batches = Clips()
    store = FrameStore.collect(batches, Silent())
    torch.testing.assert_close(store[torch.arange(6)], batches.frames[:, -1])
    assert store.clips.tolist() == [0, 0, 0, 1, 1, 1]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.floats(0.05, 0.95), st.integers(0, 5))
def test_clips_are_held_out_whole(numbers: list[int], share: float, seed: int) -> None:
    clips = torch.tensor(numbers)
    training, held_out = hold_out(clips, share, seed)
    if len(set(numbers)) == 1:
        assert training.tolist() == held_out.tolist() == list(range(len(numbers)))
        return
    assert sorted([*training.tolist(), *held_out.tolist()]) == list(range(len(numbers)))
    learned, kept = set(clips[training].tolist()), set(clips[held_out].tolist())
    assert learned
    assert len(kept) == min(max(1, round(share * len(set(numbers)))), len(set(numbers)) - 1)
    assert not learned & kept
    again = hold_out(clips, share, seed)
    assert torch.equal(training, again[0])
