from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from adkit.types import Batch, FitReport, FrameRef, Prediction, Sample


def test_a_frame_is_named_by_its_path_and_number() -> None:
    assert str(FrameRef(Path("a/b.png"))) == str(Path("a/b.png"))
    assert str(FrameRef(Path("a.mp4"), 0)) == "a.mp4#0"


def test_a_still_image_is_a_clip_of_its_own() -> None:
    sample = Sample.still("test/crack/003", Path("003.png"), anomalous=True, kind="crack", mask=Path("003_mask.png"))
    assert (sample.clip, sample.index) == ("test/crack/003", 0)
    assert sample.frame == FrameRef(Path("003.png"))
    assert sample.mask == FrameRef(Path("003_mask.png"))
    assert Sample.still("a", Path("a.png")).mask is None


def test_values_do_not_change() -> None:
    sample = Sample.still("a", Path("a.png"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.anomalous = True  # type: ignore[misc]


def test_a_batch_has_no_room_for_the_truth() -> None:
    assert {field.name for field in dataclasses.fields(Batch)} == {"frames", "ids", "clips", "spans_s"}


def test_a_batch_knows_its_length() -> None:
    assert len(Batch(torch.zeros(2, 1, 3, 4, 5), ("a", "b"), ("a", "b"))) == 2


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 1, 1, 4, 5), (2, 1, 3, 4, 5, 1)])
def test_a_batch_states_expected_and_actual_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(B, T, 3, H, W\), got ") as caught:
        Batch(torch.zeros(shape), ("a", "b"), ("a", "b"))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize(("ids", "clips"), [(("a",), ("a", "b")), (("a", "b"), ("a",)), ((), ())])
def test_a_batch_has_one_id_and_one_clip_per_frame(ids: tuple[str, ...], clips: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"2 frames but {len(ids)} ids and {len(clips)} clips"):
        Batch(torch.zeros(2, 1, 3, 4, 5), ids, clips)


@pytest.mark.parametrize(
    ("maps", "scores"), [(torch.zeros(3, 4, 5), None), (None, torch.zeros(3)), (torch.zeros(3, 4, 5), torch.zeros(3))]
)
def test_a_prediction_has_maps_scores_or_both(maps: Tensor | None, scores: Tensor | None) -> None:
    assert len(Prediction(maps, scores)) == 3


def test_a_prediction_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="needs maps, scores or both"):
        Prediction(images=torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"maps": torch.zeros(2, 1, 4, 4)}, r"maps must be \(B, h, w\), got \(2, 1, 4, 4\)"),
        ({"scores": torch.zeros(2, 1)}, r"scores must be \(B,\), got \(2, 1\)"),
        ({"scores": torch.tensor(1.0)}, r"scores must be \(B,\), got \(\)"),
        ({"scores": torch.zeros(2), "images": torch.zeros(2, 4, 4)}, r"images must be \(B, 3, H, W\)"),
        ({"scores": torch.zeros(2, dtype=torch.float64)}, "scores must be a float32 tensor, got Tensor torch.float64"),
        ({"maps": np.zeros((2, 4, 4), np.float32)}, "maps must be a float32 tensor, got ndarray float32"),
        ({"scores": [0.5, 0.7]}, "scores must be a float32 tensor, got list"),
        ({"maps": torch.zeros(2, 0, 4)}, r"maps must be \(B, h, w\), got \(2, 0, 4\)"),
        (
            {"maps": torch.zeros(2, 4, 4, dtype=torch.float16)},
            "maps must be a float32 tensor, got Tensor torch.float16",
        ),
        ({"maps": torch.zeros(2, 4, 4), "scores": torch.zeros(3)}, "differ in length"),
    ],
)
def test_a_wrong_part_is_named(parts: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Prediction(**parts)


def test_a_report_keeps_numbers_and_names_what_is_none() -> None:
    report = FitReport({"rows": np.int64(3), "loss": torch.tensor(0.5), "how": "off"}, {"loss": np.ones(2, np.float32)})
    assert report == FitReport({"rows": 3.0, "loss": 0.5, "how": "off"}, {"loss": [1.0, 1.0]})
    for facts, curves, told in (
        ({"mean": torch.ones(3)}, {}, "'mean' is of type Tensor; a number, or of facts a text, was expected"),
        ({"mean": None}, {}, "'mean' is of type NoneType"),
        ({}, {"loss": ["high"]}, "'loss' is of type str"),
    ):
        with pytest.raises(TypeError, match=told):
            FitReport(facts, curves)
