"""One bar over all steps: its share never falls, and each face says the same words."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.workflows import progress
from adkit.workflows.progress import OneBar, Standing


class Kept(OneBar):
    """Keeps all that it is to show."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Standing] = []

    def show(self, standing: Standing, *, advanced: bool) -> None:
        self.told.append(standing)


def test_a_plan_within_a_step_stands_in_its_place() -> None:
    bar = Kept()
    with bar.plan([("checking", 1), ("learning", 8), ("calibrating", 1)]):
        with bar.task("checking", 4) as advance:
            advance(4)
        with bar.task("learning", 1), bar.plan([("features", 3), ("training", 5)]):
            with bar.task("features", 2) as advance:
                advance(1)
            with bar.task("training", 5) as advance:
                advance(5)
        with bar.task("calibrating", 1) as advance:
            advance(1)
    shown = {one.text: one.share for one in bar.told}
    assert list(shown)[:3] == [
        "step 1 of 3 · checking · 0 of 4",
        "step 1 of 3 · checking · 4 of 4",
        "step 2 of 3 · learning",
    ]
    assert shown["step 2 of 4 · features · 1 of 2"] == pytest.approx(0.1 + 0.8 * 3 / 16)
    assert shown["step 3 of 4 · training · 5 of 5"] == pytest.approx(0.9)
    assert shown["step 4 of 4 · calibrating"] == pytest.approx(1.0)


def test_a_step_that_comes_twice_and_one_that_is_left_out() -> None:
    bar = Kept()
    with bar.plan([("features", 4), ("coreset", 4), ("features", 1), ("coreset", 1)]):
        for label in ("features", "features", "coreset"):
            with bar.task(label, 1) as advance:
                advance(1)
    assert [one.share for one in bar.told[1::3]] == pytest.approx([0.4, 0.9, 1.0])
    told = [one.text.rpartition(" · ")[0] for one in bar.told[1::3]]
    assert told == ["step 1 of 4", "step 3 of 4", "step 4 of 4"]


def test_how_long_it_takes_is_said_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    bar = Kept()
    with bar.task("comparison", 12) as outer:
        outer(3)
        with bar.plan([("fit", 3), ("scoring", 1)]), bar.task("fit", 10) as advance:
            now[0] = 1.9
            advance(5)
            assert "in all" not in bar.told[-1].text
            now[0] = 640.0
            advance(0)
    share = (3 + 0.5 * 3 / 4) / 12
    assert 640 / share / 60 == pytest.approx(37.9, abs=0.1)
    text = "comparison 4 of 12 · step 1 of 2 · fit · about 38 min in all · 5 of 10"
    assert text in [one.text for one in bar.told]


@given(
    st.recursive(
        st.lists(st.integers(0, 3), min_size=1, max_size=3),
        lambda inner: st.lists(st.tuples(st.booleans(), inner), min_size=1, max_size=3),
        max_leaves=8,
    )
)
def test_the_share_never_falls_and_stays_within_one(tree: list[object]) -> None:
    bar = Kept()

    def walk(part: object) -> None:
        if isinstance(part, int):
            with bar.task("leaf", part) as advance:
                for _ in range(part):
                    advance(1)
        elif isinstance(part, tuple):
            planned, inner = part
            with bar.plan([("leaf", 1), ("other", 2), ("leaf", 1)]) if planned else bar.task("other", 2):
                walk(inner)
        else:
            assert isinstance(part, list)
            with bar.task("list", len(part)) as advance:
                for one in part:
                    walk(one)
                    advance(1)

    walk(tree)
    shares = [one.share for one in bar.told]
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert shares[-1] == pytest.approx(1.0)
