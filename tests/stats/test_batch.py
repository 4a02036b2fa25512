"""Decisions over a batch, and the third answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adkit.errors import PromiseError
from adkit.stats.batch import Decisions, called_anomalous
from adkit.stats.calibration import p_values


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=30), st.sampled_from([0.05, 0.1, 0.5]))
def test_the_largest_number_is_called_that_the_share_allows(values: list[float], share: float) -> None:
    called = called_anomalous(values, share)
    ordered = sorted(values)
    allowed = [k for k in range(1, len(values) + 1) if ordered[k - 1] <= share * k / len(values) + 1e-9]
    assert called.sum() == max(allowed, default=0)
    if called.any() and not called.all():
        assert max(np.array(values)[called]) <= min(np.array(values)[~called])


def test_few_of_those_called_anomalous_are_good() -> None:
    random, shares = np.random.default_rng(0), []
    for _ in range(400):
        normal = random.normal(size=200)
        scores = np.concatenate([random.normal(size=80), random.normal(4, 1, size=20)])
        called = called_anomalous(p_values(scores, normal), 0.1)
        shares.append(called[:80].sum() / max(1, called.sum()))
    assert 0.04 < np.mean(shares) < 0.1 * 0.8 + 0.01


def rows(*values: float | None) -> list[dict[str, object]]:
    return [
        {"p_value": value, "decision": "unreadable" if value is None else "anomalous" if value <= 0.01 else "normal"}
        for value in values
    ]


def test_a_third_answer_lies_between() -> None:
    decided = Decisions(look=0.05)(rows(0.01, 0.05, 0.06, None))
    assert [row["decision"] for row in decided] == ["anomalous", "look", "normal", "unreadable"]
    both = Decisions(false_share=0.1, look=0.05)(rows(0.01, 0.04, 0.05, 0.5, None))
    assert [row["decision"] for row in both] == ["anomalous", "anomalous", "anomalous", "normal", "unreadable"]
    alone = list(Decisions(false_share=0.1)(rows(0.01, 0.5)))
    assert [row["decision"] for row in alone] == ["anomalous", "normal"]
    many = list(Decisions(false_share=0.1)(rows(0.01, *[0.5] * 20)))
    assert {row["decision"] for row in many} == {"normal"}


def test_what_cannot_be_promised_is_said() -> None:
    Decisions(look=0.05).require(0.01, 99)
    with pytest.raises(PromiseError, match="no part lies between"):
        Decisions(look=0.01).require(0.01, 99)
    (first, second) = Decisions(false_share=0.1).notes(1000, 99)
    assert "at most 10.00% are expected to be good parts" in first
    assert "only where 100 or more are anomalous at once" in second
    assert len(list(Decisions(false_share=0.1).notes(5, 99))) == 1
