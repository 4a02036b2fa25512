"""How far a job is, read from what its process writes."""

from __future__ import annotations

from pathlib import Path

from adkit.ui.jobs import figures_of, read_steps


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
    assert read_steps(path).now.text == ""
    line = (
        '{"steps": ["training"], "done": 5, "total": 10, "share": 0.4, "text": "step 2 of 3", "status": "loss 0.1"}\n'
    )
    path.write_text("a warning\n" + line + '{"steps": ["cel')
    steps = read_steps(path)
    assert (steps.now.text, steps.now.share, steps.now.status) == ("step 2 of 3", 0.4, "loss 0.1")
    assert steps.notes == ("a warning",)
