from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.errors import OptionError
from adkit.nn.options import EMBEDDED, MOST_OVER, FeatureOptions, PatchMapOptions, TrainingOptions, laid_out
from adkit.options import option_rows, parse_options


def parsed(**values: object) -> FeatureOptions:
    return parse_options(FeatureOptions, values, "a method")


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("384", 384),
        (384, 384),
        ("256x512", (256, 512)),
        ("256X512", (256, 512)),
        ("256×512", (256, 512)),
        ((64, 96), (64, 96)),
        ([64, 96], (64, 96)),
    ],
)
def test_size_is_height_by_width_or_as_many_pixels_as_a_square_has(written: object, size: object) -> None:
    assert parsed(size=written).size == size


@pytest.mark.parametrize(
    ("budget", "shape", "multiple", "frame"),
    [
        (384, (900, 900), 16, (384, 384)),
        (384, (480, 1280), 16, (240, 640)),
        (384, (1250, 500), 16, (608, 240)),
        (320, (240, 360), 16, (256, 384)),
        (64, (64, 6400), 16, (32, 3200)),
        (33, (100, 100), 64, (64, 64)),
    ],
)
def test_a_budget_is_laid_out_in_the_shape_of_the_images(
    budget: int, shape: tuple[int, int], multiple: int, frame: tuple[int, int]
) -> None:
    assert laid_out(budget, shape, multiple) == frame


@given(st.integers(256, 1024), st.floats(1 / 5, 5), st.sampled_from([1, 8, 16, 32]))
def test_a_frame_keeps_number_of_pixels_and_shape(budget: int, aspect: float, multiple: int) -> None:
    height, width = laid_out(budget, (round(1000 * aspect**0.5), round(1000 / aspect**0.5)), multiple)
    assert height % multiple == width % multiple == 0
    assert 0.6 * budget**2 <= height * width <= MOST_OVER * budget**2
    # A side that is rounded to the nearest multiple is off by half of one at most.
    assert abs(math.log(height / width / aspect)) <= 1.2 * multiple / min(height, width) + 0.01


def test_only_a_budget_follows_the_images() -> None:
    exact = parsed(size="256x512")
    assert exact.sized((100, 900)) is exact
    assert exact.frame == (256, 512)
    assert parsed(size=384).frame == (384, 384)
    assert parsed(size=384).sized((480, 1280)).size == (240, 640)
    assert parsed(size=384, levels="8,32").sized((480, 1280)).frame == (224, 608)


def test_the_finest_that_is_seen_is_a_stride_or_what_smoothing_leaves() -> None:
    assert parsed(levels="8,16").finest_px == 8
    assert parse_options(PatchMapOptions, {"levels": "4,8", "smoothing": "6"}, "it").finest_px == 12


@pytest.mark.parametrize("written", ["31", "5000", "0", "-64", "64x", "x64", "64x64x64", "big", "", 31, "64.5"])
def test_a_size_that_makes_no_sense_is_refused(written: object) -> None:
    with pytest.raises(OptionError, match="a method: size=") as caught:
        parsed(size=written)
    assert caught.value.hint.startswith("size: px: N ")


@pytest.mark.parametrize(
    ("written", "levels"), [("8,16", (8, 16)), ("8, 16", (8, 16)), ("4", (4,)), (8, (8,)), ((8, 32), (8, 32))]
)
def test_levels_are_a_list(written: object, levels: tuple[int, ...]) -> None:
    assert parsed(levels=written).levels == levels


@pytest.mark.parametrize("written", ["", "8,", "0", "128", "8;16", ()])
def test_levels_that_make_no_sense_are_refused(written: object) -> None:
    with pytest.raises(OptionError, match="a method: levels="):
        parsed(levels=written)


def test_defaults() -> None:
    options = parsed()
    assert (options.size, options.backbone, options.weights, options.levels) == (384, EMBEDDED, None, (8, 16))


def test_weights_are_a_path() -> None:
    assert parsed(weights="some/file.pth").weights == Path("some/file.pth").resolve()
    assert parsed(weights="none").weights is parsed(weights="").weights is None


@pytest.mark.parametrize("levels", ["16,8", "8,8"])
def test_levels_must_increase(levels: str) -> None:
    with pytest.raises(OptionError, match="strides must increase"):
        parsed(levels=levels)


def test_what_was_dumped_can_be_parsed() -> None:
    options = parsed(size="64x96", levels="8", weights="some/file.pth")
    dumped = options.model_dump(mode="json")
    assert dumped["size"] == "64x96"
    assert parsed(**dumped) == options


def test_the_help_table_shows_values_as_they_are_written() -> None:
    rows = {row.name: row for row in option_rows(FeatureOptions)}
    assert rows["levels"].default == "8,16"
    assert rows["size"].default == "384"
    assert rows["size"].type == "text"
    assert all(row.description for row in rows.values())


def test_unknown_options_are_refused_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="a method has no option 'level'") as caught:
        parsed(level="8")
    assert "did you mean levels?" in caught.value.hint


@pytest.mark.parametrize("option", ["learning_rate", "weight_decay", "clip_norm", "epochs", "batch_size", "patience"])
def test_numbers_too_large_to_learn_with_are_refused(option: str) -> None:
    for value in ("1" + 300 * "0", "inf"):
        with pytest.raises(OptionError, match=f"a method: {option}=") as caught:
            parse_options(TrainingOptions, {option: value}, "a method")
        assert "≤" in caught.value.hint
