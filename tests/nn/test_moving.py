from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from adkit.interfaces import Batches, Method, Progress, Silent, Workspace
from adkit.nn.moving import WithMotion, with_motion
from adkit.options import Options
from adkit.types import Batch, Prediction
from tests.nn.test_motion import SIDE, belt, pairs

FRAMES = 8


class Darkness(Method[Options]):
    """How dark each of 2 x 2 quarters is: nothing of motion."""

    default_scorer = "top1"
    frame_size = (SIDE, SIDE)  # type: ignore[assignment]

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        self.known = torch.cat([self._maps(batch) for batch in batches])

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(maps=self._maps(batch))

    def calibration(self) -> Prediction | None:
        return Prediction(maps=self.known)

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        assert not state

    @staticmethod
    def _maps(batch: Batch) -> Tensor:
        assert batch.frames.shape[1] == 1
        return 1 - torch.nn.functional.avg_pool2d(batch.frames[:, -1].mean(dim=1), SIDE // 2)


class OutOfSampleNever(Darkness):
    calibration = Method.calibration


@dataclass(frozen=True)
class Clips:
    """Clips of a belt at these speeds, as pairs of frames."""

    speeds: tuple[float, ...]

    def __iter__(self):
        for number, speed in enumerate(self.speeds):
            yield batch_of(speed, number)

    def __len__(self) -> int:
        return FRAMES * len(self.speeds)


def batch_of(speed: float, number: int = 9, light: float = 1.0) -> Batch:
    frames = belt(speed, FRAMES, seed=number) * light
    names = tuple(map(str, range(FRAMES)))
    return Batch(pairs(frames, 3), names, (str(number),) * FRAMES, (0.0,) * 3 + (0.12,) * (FRAMES - 3))


def learned(method: type[Darkness] = Darkness) -> WithMotion:
    found = WithMotion(method(Options()))
    report = found.fit(Clips((25.0, 26.0, 24.0)), Silent())
    assert report.facts["motions"] > 0
    assert report.scorer == f"top:percent={100 * float(report.facts['share_of_frame_that_moves']):g}"
    return found


def maps_of(method: Method, batch: Batch) -> Tensor:
    maps = method.predict(batch).maps
    assert maps is not None
    return maps


@pytest.mark.parametrize("method", [Darkness, OutOfSampleNever])
def test_each_of_the_two_finds_what_the_other_does_not_see(method: type[Darkness]) -> None:
    found = learned(method)
    assert found.window == 2
    usual, stopped, dark = (maps_of(found, one) for one in (batch_of(26, 1), batch_of(0, 1), batch_of(26, 1, 0.2)))
    assert float(stopped[3:, 1].min()) > float(usual.max())
    assert float(dark[3:].min()) > float(usual.max())
    assert float(stopped[:3].max()) <= float(usual.max())  # nothing is known of motion yet


def test_training_frames_are_judged_as_if_their_clip_were_new() -> None:
    found = WithMotion(Darkness(Options()))
    found.fit(Clips((25.0, 25.0, 25.0, 70.0)), Silent())
    calibration = found.calibration()
    assert calibration is not None
    assert calibration.maps is not None
    assert float(calibration.maps[3 * FRAMES + 3 :, 1].mean()) > float(calibration.maps[: 3 * FRAMES, 1].mean()) + 1
    never = learned(OutOfSampleNever)
    assert never.calibration() is None


def test_its_state_is_all_of_it_and_it_streams() -> None:
    found = learned()
    restored = WithMotion(Darkness(Options()))
    restored.load_state(found.state())
    batch = batch_of(40)
    torch.testing.assert_close(maps_of(restored, batch), maps_of(found, batch))
    streamed = found.stream()(batch).maps
    assert streamed is not None
    torch.testing.assert_close(streamed, maps_of(found, batch))


def test_a_method_without_maps_stays_as_it_is() -> None:
    class Scores(Darkness):
        default_scorer = None

    method = Scores(Options())
    assert with_motion(method) is method
