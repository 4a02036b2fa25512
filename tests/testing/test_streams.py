"""What `check_stream` finds: answers that depend on batches, on the clip before, or on how they are asked for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from adkit.interfaces import Batches, Method, Progress, Stream, Workspace
from adkit.options import Options
from adkit.testing.conformance import check_stream
from adkit.testing.synthetic import CLIP_FRAMES, CLIPS, moving_frames
from adkit.types import Batch, Prediction

GENERATOR = torch.Generator().manual_seed(0)
TWO_CLIPS = (torch.rand(6, 3, 8, 8, generator=GENERATOR), torch.rand(3, 3, 8, 8, generator=GENERATOR))


class Change(Method[Options]):
    """How much brighter a frame is than the brightest of its past; remembers that in its stream."""

    frame_size = (8, 8)

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        pass

    def predict(self, batch: Batch) -> Prediction:
        light = batch.frames.mean(dim=(2, 3, 4))
        return Prediction(scores=light[:, -1] - light.amax(dim=1))

    def stream(self) -> Stream:
        clip, most = "", 0.0

        def judge(batch: Batch) -> Prediction:
            nonlocal clip, most
            scores = []
            for name, light in zip(batch.clips, batch.frames[:, -1].mean(dim=(1, 2, 3)).tolist(), strict=True):
                most = light if self.afresh(name, clip) else max(most, light)
                clip = name
                scores.append(light - most)
            return Prediction(scores=torch.tensor(scores))

        return judge

    @staticmethod
    def afresh(name: str, before: str) -> bool:
        return name != before

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        pass


class Still(Change):
    """Looks at each frame alone, and has no stream of its own."""

    stream = Method.stream


class NeverForgets(Change):
    @staticmethod
    def afresh(name: str, before: str) -> bool:
        return not before


class ForgetsBetweenBatches(Change):
    def stream(self) -> Stream:
        return lambda batch: super(ForgetsBetweenBatches, self).stream()(batch)


class PredictsOtherwise(Change):
    def predict(self, batch: Batch) -> Prediction:
        return Prediction(scores=batch.frames.mean(dim=(1, 2, 3, 4)))


@pytest.mark.parametrize("method", [Change, Still])
def test_a_sound_stream_passes(method: type[Change]) -> None:
    check_stream(method(Options()), TWO_CLIPS)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (NeverForgets, "streamed clip after clip differ from scores streamed alone"),
        (ForgetsBetweenBatches, "streamed in fours differ from scores streamed one by one"),
        (PredictsOtherwise, "differ from scores predicted from the clip's start"),
    ],
)
def test_what_is_wrong_is_said(method: type[Change], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_stream(method(Options()), TWO_CLIPS)


def test_clips_move_on_from_frame_to_frame() -> None:
    batches = moving_frames((16, 48))
    assert len(batches) == CLIPS * CLIP_FRAMES
    assert len(set(batches.clips)) == CLIPS
    first, second = batches.frames[0, 0], batches.frames[1, 0]
    torch.testing.assert_close(second, first.roll(4, dims=-1))
    assert [len(batch) for batch in batches] == [3] * (CLIPS * CLIP_FRAMES // 3)
