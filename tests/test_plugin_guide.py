"""The training example in docs/plugins.md is true."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from adkit.interfaces import Method
from adkit.nn.training.checkpoints import Checkpoint, Checkpoints
from adkit.registry import Plugin, Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import MODEL
from adkit.runs.unfinished import find_unfinished
from adkit.testing import conformance
from adkit.workflows.fit import fit, fit_joint
from tests.conforming import check_method
from tests.greys import Greys, paint, usual_levels, with_methods

GUIDE = Path(__file__).parent.parent / "docs" / "plugins.md"
EXAMPLES = GUIDE.parent / "examples"


def blocks() -> list[str]:
    found = re.findall(r"^( *)```python\n(.*?)^ *```", GUIDE.read_text(encoding="utf-8"), re.S | re.M)
    return [textwrap.dedent(code) for _, code in found]


@pytest.fixture(scope="module")
def method() -> type[Method[Any]]:
    """The method that the guide shows."""
    (block,) = [one for one in blocks() if "train(" in one]
    names: dict[str, Any] = {"__name__": "adkit_oneimage.method"}
    exec(block, names)
    found: type[Method[Any]] = names["OneImageMethod"]
    return found


def test_the_other_blocks_run_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    announcing, checking, *_ = [one for one in blocks() if "train(" not in one]
    names: dict[str, Any] = {}
    exec(announcing, names)
    (entry,) = names["adkit_methods"]()
    monkeypatch.syspath_prepend(EXAMPLES / "adkit-brightness")
    registry = Registry()
    registry.methods.add(entry, Plugin("brightness", "adkit_brightness", "adkit-brightness", "1"))
    monkeypatch.setattr("adkit.registry.load_registry", lambda: registry)
    exec(checking, names)
    monkeypatch.undo()
    monkeypatch.syspath_prepend(EXAMPLES / "adkit-brightness")
    for check in names["CHECKS"]:
        names["test_conforms"](check)


def test_the_dataset_the_scorer_and_the_metric_keep_the_contract(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    for block in blocks():
        if re.search(r"\((Dataset|Scorer\[.*\]|Metric)\):", block):
            exec(block, names)
    paint(tmp_path / "disc" / "train" / "good", usual_levels(3, seed=1))
    paint(tmp_path / "disc" / "test" / "scratched", [200.0])
    conformance.check_dataset(*names["Lines"].select("disc", tmp_path))
    conformance.check_scorer(names["HighestShare"])
    conformance.check_metric(names["Missed"])


def test_the_method_keeps_the_contract(method: type[Method[Any]]) -> None:
    check_method(method, {"epochs": 3, "precision": "32"})


def test_it_learns_and_goes_on(method: type[Method[Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = with_methods({"one_image": method})
    dataset = Greys(paint(tmp_path / "parts", usual_levels(20, seed=1)))
    options = {"epochs": 40, "precision": "32", "learning_rate": 0.01, "batch_size": 64, "patience": 40}

    settings = FitSettings(method="one_image", options=options, device="cpu")
    whole = fit(settings, dataset, tmp_path / "whole", registry)
    held_out = whole.record.curves["held_out_loss"]
    assert whole.record.facts["best_epoch"] == 1 + held_out.index(min(held_out)) > 1
    assert float(whole.state()["image"].mean()) == pytest.approx(120 / 255, abs=0.02)

    write = Checkpoints.write

    def write_and_interrupt(self: Checkpoints, checkpoint: Checkpoint) -> None:
        write(self, checkpoint)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "due", True)
        patch.setattr(Checkpoints, "write", write_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(settings, dataset, tmp_path / "broken", registry)
    begun = find_unfinished(tmp_path / "broken", "latest")
    (again,) = fit_joint(settings, [dataset], tmp_path / "broken", registry, resume=begun)
    assert torch.equal(again.state()["image"], whole.state()["image"])
    assert (again.folder / MODEL).read_bytes() == (whole.folder / MODEL).read_bytes()
    assert again.record.curves == whole.record.curves
