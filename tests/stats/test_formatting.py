from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adkit.stats import formatting
from adkit.stats.formatting import bound_text, clock, counted, duration_text, listed, rate_text


def test_names_are_listed_so_that_none_steers_the_terminal() -> None:
    names = ["a b.png", "良品.png", "a\x1b[31m\nb\udcff.png", "c", "d"]
    assert listed(names) == "a b.png, 良品.png, a\\x1b[31m\\nb\\udcff.png and 2 more"


def test_one_is_no_plural() -> None:
    found = [counted(number, "image") for number in (0, 1, 2, 1200)]
    assert found == ["0 images", "1 image", "2 images", "1,200 images"]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.0235, "2.4%"),
        (0.000123, "0.013%"),
        (0.02, "2.0%"),
        (0.07, "7.0%"),  # 100 times it is a little more than 7
        (0.632, "64%"),
        (0.9999, "100%"),
        (1.0, "100%"),
        (1e-7, "0.000010%"),
    ],
)
def test_a_bound_is_rounded_up_to_two_digits(rate: float, expected: str) -> None:
    assert bound_text(rate) == expected


@settings(deadline=None)
@given(st.floats(1e-9, 1))
def test_a_bound_never_says_less_than_it_is(rate: float) -> None:
    said = float(bound_text(rate).removesuffix("%")) / 100
    assert rate * (1 - 1e-9) <= said <= rate * 1.1 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(0.0093, "0.93%"), (0.0106, "1.06%"), (0.25, "25.00%"), (0.00093, "0.093%"), (0.000123, "0.012%"), (0.0, "0.00%")],
)
def test_an_expected_rate_has_two_digits_at_least(rate: float, expected: str) -> None:
    assert rate_text(rate) == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0.4 s"),
        (3, "3 s"),
        (12.3, "12 s"),
        (89.4, "89 s"),
        (90, "1.5 min"),
        (594, "9.9 min"),
        (600, "10 min"),
        (5400, "1.5 h"),
        (7200, "2 h"),
        (36000, "10 h"),
    ],
)
def test_a_length_of_time_in_words(seconds: float, words: str) -> None:
    assert duration_text(seconds) == words


@pytest.mark.parametrize(
    ("time_s", "text"), [(0, "0:00.0"), (7.26, "0:07.3"), (59.96, "1:00.0"), (720, "12:00.0"), (3723.5, "1:02:03.5")]
)
def test_times_are_shown_as_on_a_clock(time_s: float, text: str) -> None:
    assert clock(time_s) == text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (formatting.often_text(0.0106), "1 in 94"),
        (formatting.often_text(0.4118), "41 of 100"),
        (formatting.often_text(0.5), "1 in 2"),
        (formatting.p_value_in_words(1 / 94, 93, "good part"), "higher than all 93 good parts (p ≤ 0.0106)"),
        (formatting.p_value_in_words(2 / 94, 93, "good part"), "about 2.1% of good parts score as high (p 0.0213)"),
        (formatting.often_text(0.6), "60 of 100"),
        (formatting.percent_text(0.0093), "0.9%"),
        (formatting.percent_text(0.0093, 0), "1%"),
        (formatting.score_text(0.5), "0.5000"),
        (formatting.score_text(1234.6), "1235"),
        (formatting.metric_text(0.97314), "0.9731"),
        (formatting.p_value_text(0.00124), "0.0012"),
        (formatting.p_value_text(3.14e-7), "3.1e-07"),
        (formatting.size_text(812), "812 bytes"),
        (formatting.size_text(1_800_000), "1.8 MB"),
        (formatting.moment_text(datetime(2026, 11, 22, 2, 45, tzinfo=UTC)), "2026-11-22 02:45 UTC"),
    ],
)
def test_a_number_as_people_read_it(written: str, expected: str) -> None:
    assert written == expected


def test_a_dash_stands_where_there_is_no_number() -> None:
    found = {formatting.percent_text(None), formatting.score_text(None), formatting.metric_text(None)}
    assert found == {formatting.NOTHING}
