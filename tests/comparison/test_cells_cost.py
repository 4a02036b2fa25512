"""What a cell costs: memory at its highest, and time an image."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from adkit.comparison import cells
from adkit.comparison.cells import TIMED_IMAGES, PeakMemory, time_images
from adkit.data.frame_source import Frame
from adkit.data.view import View
from adkit.interfaces import Dataset
from adkit.types import Batch, Prediction, Sample
from tests.comparison.fakes import FakeOptions, Level

TOUCHED = 200_000_000


def test_memory_that_was_given_back_is_seen() -> None:
    before = psutil.Process().memory_info().rss
    with PeakMemory() as memory:
        block = np.ones(TOUCHED, np.uint8)
        time.sleep(0.3)
        assert block[-1] == 1
        del block
    assert memory.bytes - before > TOUCHED * 0.8


def test_a_block_that_takes_no_time_is_measured_too() -> None:
    with PeakMemory() as memory:
        pass
    assert memory.bytes > 10e6


def test_nobody_watches_the_memory_any_more_when_the_block_has_ended() -> None:
    before = set(threading.enumerate())
    with PeakMemory() as memory:
        assert len(set(threading.enumerate()) - before) == 1
    assert set(threading.enumerate()) <= before
    seen = memory.bytes
    time.sleep(0.12)
    assert memory.bytes == seen


@pytest.mark.parametrize("fault", [ValueError("a bug"), KeyboardInterrupt()], ids=repr)
def test_nobody_watches_the_memory_any_more_after_a_fault(fault: BaseException) -> None:
    before = set(threading.enumerate())
    with pytest.raises(type(fault)), PeakMemory() as memory:
        raise fault
    assert set(threading.enumerate()) <= before
    assert memory.bytes > 0


class Clock:
    """A clock that runs only when something takes time."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


class SlowMethod:
    """Predicts in ten times the milliseconds that the sample's name tells; the first time in an hour."""

    window, frame_size = 1, (4, 4)

    def __init__(self, clock: Clock) -> None:
        self.clock, self.asked = clock, list[str]()
        self.decoded = ""  # the name of the sample that was decoded last

    def stream(self) -> Callable[[Batch], Prediction]:
        return self.predict

    def predict(self, batch: Batch) -> Prediction:
        self.clock.now += 3600 if not self.asked else float(self.decoded) / 100
        self.asked.append(self.decoded)
        return Prediction(scores=torch.zeros(1))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([7], (7.0, 70.0)),
        ([1, 2, 90], (2.0, 20.0)),
        ([5, 1, 2, 90], (3.5, 35.0)),
        ([*range(1, TIMED_IMAGES + 1), 10_000, 10_000], ((TIMED_IMAGES + 1) / 2, (TIMED_IMAGES + 1) * 5)),
    ],
)
def test_times_are_medians_over_single_images_and_the_first_only_warms_up(
    names: list[int], expected: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()

    def decoded(samples: Sequence[Sample], view: View) -> Iterator[Frame]:
        """Frames, each in the milliseconds that the sample's name tells."""
        assert view.frame == (4, 4)
        for sample in samples:
            clock.now += float(sample.id) / 1000
            method.decoded = sample.id
            yield Frame(sample.id, sample.clip, 0, 0.0, (4, 4), np.zeros((4, 4, 3), np.uint8))

    monkeypatch.setattr(cells, "time", clock)
    monkeypatch.setattr(cells, "frames_of", decoded)
    method = SlowMethod(clock)
    model: Any = SimpleNamespace(method=method, view=View(frame=method.frame_size))
    samples = [SimpleNamespace(id=str(name), clip=str(number)) for number, name in enumerate(names)]
    found = time_images(model, samples)  # type: ignore[arg-type]
    assert found == pytest.approx(expected)
    assert method.asked == [str(name) for name in [names[0], *names[:TIMED_IMAGES]]]


def test_real_images_are_timed(datasets: Sequence[Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    method = Level(FakeOptions())
    model: Any = SimpleNamespace(method=method, view=View(frame=method.frame_size))
    predict = method.predict

    def slowly(batch: Batch) -> Prediction:
        time.sleep(0.02)
        return predict(batch)

    monkeypatch.setattr(method, "predict", slowly)
    decode_ms, predict_ms = time_images(model, datasets[0].samples("test")[:3])
    assert decode_ms > 0
    assert predict_ms >= 20


def test_a_frame_of_a_clip_is_timed_with_the_window_of_its_method(datasets: Sequence[Dataset]) -> None:
    method = Level(FakeOptions())
    method.window = 3
    model: Any = SimpleNamespace(method=method, view=View(frame=method.frame_size))
    assert min(time_images(model, datasets[0].samples("test")[:2])) > 0
