"""How far a job is, read from what its process writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from adkit.ui.steps import figures_of, read_steps


def test_numbers_of_a_status() -> None:
    assert figures_of("epoch 3: loss 0.0123, held out 0.0119 (best 0.0110), separation 0.912") == {
        "epoch": 3,
        "loss": 0.0123,
        "held out": 0.0119,
        "best": 0.0110,
        "separation": 0.912,
    }
    assert figures_of("") == {}


def test_a_stream_that_breaks_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "stderr"
    assert read_steps(path).inner.steps == ()
    outer = '{"steps": ["cells"], "done": 1, "total": 4, "elapsed_s": 10, "status": ""}\n'
    inner = '{"steps": ["cells", "training"], "done": 5, "total": 10, "elapsed_s": 3, "status": "epoch 5: loss 0.1"}\n'
    path.write_text("a warning\n" + outer + inner + '{"steps": ["cel')
    steps = read_steps(path)
    assert steps.inner.steps == ("cells", "training")
    assert steps.share == pytest.approx(1.5 / 4)
    assert steps.left_s == pytest.approx(30)
    assert (steps.inner.done, steps.inner.total) == (5, 10)
