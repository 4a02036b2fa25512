from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest

from adkit.registry import Registry
from adkit.report.contents import training_of
from adkit.report.page import render_run
from adkit.runs.record import RunRecord
from adkit.runs.store import Run
from adkit.workflows.score import Workplace
from tests.report.conftest import Fitted, Page

CURVES = {
    "loss": [1.0, 0.4, 0.1, 0.05],
    "held_out_loss": [1.1, 0.5, 0.2, 0.3],
    "separation": [0.5, 0.7, 0.9, 0.8],
    "learning_rate": [0.001, 0.001, 0.001, 0.0005],
}
FACTS = {"best_epoch": 3, "training_ended": "no better epoch since 3"}


@pytest.fixture
def run(fit_grey: Fitted) -> Run:
    """A run of a method that has no training."""
    return fit_grey({"good": [120.0, 121.0]})


def with_training(run: Run, **changes: Any) -> Run:
    update = {"curves": CURVES, "facts": {**run.record.facts, **FACTS}} | changes
    return dataclasses.replace(run, record=run.record.model_copy(update=update))


def page_of(run: Run, registry: Registry) -> Page:
    return Page(render_run(run, Workplace(registry), None, "it is not there"))


def record_of(run: Run, **changes: Any) -> RunRecord:
    return with_training(run, **changes).record


def labels(page: Page) -> list[str]:
    return [tag["aria-label"] or "" for tag in page.all("svg") if " epoch" in (tag.get("aria-label") or "")]


def test_a_method_without_training_has_no_such_section(run: Run, greys: Registry) -> None:
    page = page_of(run, greys)
    assert training_of(run.record) is None
    assert "Training" not in page.text
    assert not [tag for tag in page.all("a") if tag["href"] == "#training"]


def test_the_page_tells_how_the_training_went(run: Run, greys: Registry) -> None:
    page = page_of(with_training(run), greys)
    assert [tag for tag in page.all("a") if tag["href"] == "#training"]
    assert [tag for tag in page.all("section") if tag.get("id") == "training"]
    assert "learned for 4 epochs; it stopped: no better epoch since 3." in page.text
    assert "The model is that of epoch 3, which had the lowest loss on held-out images." in page.text
    assert "The learning rate began at 0.001 and ended at 0.0005." in page.text
    losses, separation = labels(page)
    assert losses == (
        "Loss over 4 epochs: on training images from 1 to 0.05, 0.1 in epoch 3, whose weights are kept; "
        "on held-out normal images from 1.1 to 0.3, 0.2 in epoch 3, whose weights are kept"
    )
    assert separation.startswith("Separation (AUROC) over 4 epochs: from 0.5 to 0.8, 0.9 in epoch 3")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_scale_is_logarithmic_where_losses_span_a_decade(run: Run) -> None:
    def shown(loss: list[float]) -> list[str]:
        found = training_of(record_of(run, curves={"loss": loss}))
        assert found is not None
        assert found.losses is not None
        assert found.losses.y is not None
        return [text for _, text in found.losses.y.ticks]

    assert {"0.1", "0.2", "0.5", "1"} <= set(shown([1.0, 0.5, 0.09]))
    assert {"0.001", "0.01", "0.1"} <= set(shown([1.0, 0.5, 0.0009]))
    assert not {"0.2", "0.02"} & set(shown([1.0, 0.5, 0.0009]))
    assert {"0.4", "0.6", "0.8"} <= set(shown([1.0, 0.5, 0.3]))
    assert {"-1", "0", "1"} <= {text.replace("−", "-") for text in shown([1.0, 0.5, -1.0])}


def test_the_best_epoch_is_marked_where_there_is_one(run: Run) -> None:
    for facts, expected in [(FACTS, ["best: 3"]), ({}, []), ({"best_epoch": 99}, [])]:
        found = training_of(record_of(run, facts=facts))
        assert found is not None
        assert found.losses is not None
        assert [one.text for one in found.losses.texts] == expected
        assert found.best_epoch == (3 if expected else None)


def test_curves_of_other_methods_are_drawn_too(run: Run, greys: Registry) -> None:
    page = page_of(with_training(run, curves={"<b>reward": [1.0, 2.0]}, facts={}), greys)
    assert "learned for 2 epochs." in page.text
    assert "<b>reward , as the method reports it" in page.text
    assert labels(page) == ["<b>reward over 2 epochs: from 1 to 2"]
    assert not [tag for tag in page.all("span") if "stroke" in (tag.get("class") or "")]


def test_one_epoch_and_numbers_that_are_not_finite_are_drawn(run: Run) -> None:
    for loss in ([0.5], [math.nan], [0.5, math.inf, 0.1], []):
        found = training_of(record_of(run, curves={"loss": loss, "separation": loss}, facts={"best_epoch": 1}))
        assert (found is not None) == bool(loss)
        if found is not None:
            assert found.losses is not None
            marks = [point for dots in found.losses.dots for point in dots.points]
            paths = "".join(stroke.path for stroke in found.losses.strokes)
            assert not re.search("nan|inf", f"{marks} {paths}")
            assert marks == [(0.0, found.losses.y.at(loss[0]))] if math.isfinite(loss[0]) else marks == []
