"""Times and spans as people write them, and the frames in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.data.datasets import open_datasets
from adkit.data.spans import Span, VideoSpans, parse_spans, parse_time
from adkit.errors import DatasetError, OptionError
from adkit.registry import load_registry
from adkit.stats.formatting import clock
from tests.watched import video_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:00", 0), ("2:00", 120), ("1:02:03.5", 3723.5), ("90s", 90), ("90 s", 90), ("7.25", 7.25), ("75:00", 4500)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@given(st.integers(0, 10**6))
def test_what_is_shown_can_be_given_again(tenths: int) -> None:
    assert parse_time(clock(tenths / 10)) == pytest.approx(tenths / 10)


@pytest.mark.parametrize("text", ["", "2", "x-y", "1:00-0:30", "0:00-0:00", "0:00-1:75", "1:60:00-2:00:00", "-5s"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_spans([text])
    assert "0:00-2:00" in caught.value.hint


def test_spans_are_sorted_and_apart() -> None:
    assert parse_spans(["1:00-2:00", "0s-30s"]) == (Span(0, 30), Span(60, 120))
    with pytest.raises(OptionError, match=r"0:00\.0-1:00\.0 and 0:59\.0-1:10\.0 overlap"):
        parse_spans(["0:59-1:10", "0:00-1:00"])


def test_frames_of_spans_are_normal_clips(tmp_path: Path) -> None:
    video = video_of(tmp_path / "a.mp4", 60)
    dataset = VideoSpans(video, parse_spans(["0:01-0:02", "0:04-0:06"]))
    samples = dataset.samples("train")
    assert [sample.frame.number for sample in samples] == [*range(10, 20), *range(40, 60)]
    assert [sample.time_s for sample in samples][:2] == pytest.approx([0, 0.1])
    assert len({sample.clip for sample in samples}) == 2
    assert all(sample.anomalous is False for sample in samples)
    assert dataset.samples("test") == []


@pytest.mark.parametrize("span", ["0:00-0:02", "0:00-0:01.96", "0.04s-1.25s"])
def test_a_run_finds_its_spans_again(tmp_path: Path, span: str) -> None:
    dataset = VideoSpans(video_of(tmp_path / "a.mp4", 30), parse_spans([span]))
    assert parse_spans([dataset.spec.partition("@")[2]]) == dataset.spans
    (again,) = open_datasets(dataset.spec, dataset.root, load_registry())
    assert again.samples("train") == dataset.samples("train")
    with pytest.raises(DatasetError, match="names no span"):
        open_datasets("span:a.mp4", tmp_path, load_registry())


def test_samples_have_the_same_names_wherever_the_user_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit is resumed only on data of the same names."""
    video_of(tmp_path / "line" / "a.mp4", 30)
    names = []
    for place, selection in ((tmp_path, "line/a.mp4@0:00-0:02"), (tmp_path / "line", "a.mp4@0:00-0:02")):
        monkeypatch.chdir(place)
        (dataset,) = VideoSpans.select(selection, None)
        names.append([(sample.id, sample.clip) for sample in dataset.samples("train")])
    assert names[0] == names[1]


def test_spans_beyond_the_video_are_refused(tmp_path: Path) -> None:
    video = video_of(tmp_path / "a.mp4", 30)
    with pytest.raises(DatasetError, match=r"ends at 0:02\.9"):
        VideoSpans(video, [Span(0, 5)]).samples("train")
    with pytest.raises(DatasetError, match="no frame"):
        VideoSpans(video, [Span(1.01, 1.02)]).samples("train")
