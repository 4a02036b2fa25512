"""How far a job is, read from what its process writes."""

from __future__ import annotations

import json
from pathlib import Path

from adkit.ui.jobs import read_steps


def test_curves_are_of_figures_and_of_no_text(tmp_path: Path) -> None:
    lines = [
        {"status": f"epoch {epoch}: loss 9.9", "figures": {"loss": 1 / epoch, "held out": 2.0}} for epoch in (1, 2, 3)
    ]
    lines += [{"status": "loss 0.7"}, {"figures": {"once": 1.0}}]
    (tmp_path / "stderr").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert read_steps(tmp_path / "stderr").curves == {"loss": [1, 1 / 2, 1 / 3], "held out": [2, 2, 2]}


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
