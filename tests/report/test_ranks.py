from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from adkit.report.ranks import critical_difference_chart, joined


def test_bars_join_what_is_not_told_apart() -> None:
    assert joined([1.0, 2.0, 3.0], 1.5) == [(0, 1), (1, 2)]
    assert joined([1.0, 2.0, 3.0], 2.5) == [(0, 2)]
    assert joined([1.0, 2.0, 3.0], 0.5) == []
    assert joined([2.0, 2.0], 0.1) == [(0, 1)]


@given(st.lists(st.floats(1, 9), min_size=1, max_size=9).map(sorted), st.floats(0.01, 5))
def test_two_share_a_bar_exactly_when_they_lie_within_the_difference(ranks: list[float], difference: float) -> None:
    bars = joined(ranks, difference)
    for first in range(len(ranks)):
        for last in range(first + 1, len(ranks)):
            together = any(start <= first and last <= end for start, end in bars)
            assert together == (ranks[last] - ranks[first] < difference)


def test_the_chart_names_every_candidate_and_its_rank() -> None:
    chart = critical_difference_chart("d", "a label", ["one", "a <two>", "three"], [1.25, 1.75, 3.0], 1.0, 600)
    texts = " ".join(ElementTree.fromstring(chart).itertext())
    for words in ("one  1.25", "a <two>  1.75", "three  3.00", "critical difference 1.00"):
        assert words in texts
