"""What the page shows, without a browser: forms, verdicts, galleries, the list of data."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from adkit.data.video import is_video
from adkit.errors import FrameError
from adkit.files.atomic import checksum
from adkit.interfaces import Advance, Progress, Silent
from adkit.options import Options, option_rows, parse_options
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.ui.datasets import listed
from adkit.ui.markup import piece, render
from adkit.ui.options_form import changed, choices_of, input_of, shown
from adkit.ui.safety import keep_upload
from adkit.ui.scoring import Judges, Upload
from adkit.ui.settings import Limits, Settings
from adkit.ui.showing import as_csv, gallery, verdict, viewer
from adkit.ui.steps import figures_of, read_steps
from adkit.ui.videos import panel, watch
from adkit.ui.videos import verdict as verdict_of_video
from tests.greys import paint
from tests.videos import write_greys


class Told(Progress):
    """Counts what is done."""

    done = 0

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        def advance(steps: int) -> None:
            self.done += steps

        yield advance


class Chosen(Options):
    """Every sort of option."""

    epochs: int = Field(default=60, ge=1, description="how long")
    rate: float = Field(default=1e-5, gt=0, description="how fast")
    fast: bool = Field(default=True, description="whether")
    precision: Literal["auto", "32"] = Field(default="auto", description="which")
    backbone: str = Field(default="small", description="what")
    weights: Path | None = Field(default=None, description="where from")


def test_a_form_follows_from_the_options() -> None:
    rows = {row.name: row for row in option_rows(Chosen)}
    assert {name: input_of(row) for name, row in rows.items()} == {
        "epochs": "whole",
        "rate": "number",
        "fast": "switch",
        "precision": "choice",
        "backbone": "text",
        "weights": "text",
    }
    assert choices_of(rows["precision"]) == ["auto", "32"]
    assert choices_of(rows["weights"]) == []
    assert rows["epochs"].description == "how long"
    assert rows["epochs"].bounds == "≥ 1"


def test_only_what_was_changed_is_asked_for() -> None:
    rows = option_rows(Chosen)
    assert changed(rows, [shown(row) for row in rows]) == {}
    assert changed(rows, [None, None, True, None, "", ""]) == {}
    values = changed(rows, [5.0, 0.001, False, "32", "large", "net.pth"])
    assert values == {
        "epochs": "5",
        "rate": "0.001",
        "fast": "false",
        "precision": "32",
        "backbone": "large",
        "weights": "net.pth",
    }
    assert parse_options(Chosen, values, "test").epochs == 5


def test_every_installed_method_has_a_form(registry: Registry) -> None:
    for name in registry.methods.names():
        rows = option_rows(registry.methods.get(name).load().Options or Options)
        assert changed(rows, [shown(row) for row in rows]) == {}, name


def uploads(tmp_path: Path) -> list[Upload]:
    good, bad = paint(tmp_path / "sent", [120.0, 220.0])
    (tmp_path / "sent" / "text.png").write_text("no image")
    names = ["good.png", "<script>bad</script>.png", "text.png"]
    return [Upload(name, path) for name, path in zip(names, [good, bad, tmp_path / "sent" / "text.png"], strict=True)]


def test_findings_are_shown_and_names_are_only_text(judges: Judges, run: Run, tmp_path: Path) -> None:
    ready = judges.ready("latest")
    findings = judges.findings(ready, uploads(tmp_path), Silent())
    assert [one.decision for one in findings] == ["normal", "anomalous", "unreadable"]
    shown_to_people = "".join(
        [
            *(verdict(ready, one) for one in findings),
            *(viewer(ready, one) for one in findings),
            gallery(ready, findings),
        ]
    )
    assert "<script" not in shown_to_people
    assert str(tmp_path) not in shown_to_people
    assert "text.png is not an image" in verdict(ready, findings[2])
    assert viewer(ready, findings[2]) == ""
    assert 'map-low="' in viewer(ready, findings[1])
    assert "1 of 2 images" in gallery(ready, findings)
    assert "1 unreadable" in gallery(ready, findings)
    assert gallery(ready, findings[:1]) == ""
    rows = list(csv.DictReader(io.StringIO(as_csv(ready, findings))))
    assert [row["decision"] for row in rows] == ["normal", "anomalous", "unreadable"]
    assert rows[2]["error"] == "text.png is not an image"


def test_an_image_that_went_away_is_told(judges: Judges, run: Run, tmp_path: Path) -> None:
    ready = judges.ready("latest")
    findings = judges.findings(ready, uploads(tmp_path)[:1])
    findings[0].path.unlink()
    assert "there is no file good.png" in viewer(ready, findings[0])


def test_a_run_is_read_once_until_it_changes(judges: Judges, run: Run) -> None:
    first = judges.ready("latest")
    assert judges.ready(run.record.id) is first
    (run.folder / "run.json").touch()
    assert judges.ready("latest") is not first


def test_a_run_that_is_ready_is_not_hashed_again(judges: Judges, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    judges.ready("latest")
    hashed: list[int] = []
    monkeypatch.setattr("adkit.runs.store.checksum", lambda content: hashed.append(len(content)) or checksum(content))
    for name in ("latest", run.record.id):
        judges.ready(name)
    assert max(hashed, default=0) < (run.folder / "calibration.safetensors").stat().st_size


def test_promises_are_sentences(run: Run) -> None:
    text = piece("promise", run.record.threshold)
    assert "<b>Flags about 1 in 9 normal images (11.11%).</b>With 95% certainty" in text


def test_data_below_the_root_is_listed(settings: Settings, registry: Registry, tmp_path: Path) -> None:
    paint(settings.data_root / "parts" / "normal", [100.0] * 3)
    (settings.data_root / "empty").mkdir()
    keep_upload(settings, "washers", paint(tmp_path / "sent", [100.0]))
    specs = listed(settings, registry)
    assert specs[:2] == ["folder:uploads/washers", "folder:parts"]
    assert "folder:empty" not in specs
    assert "demo:washer" in specs


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
    assert read_steps(path).path == ()
    outer = '{"steps": ["cells"], "done": 1, "total": 4, "elapsed_s": 10, "status": ""}\n'
    inner = '{"steps": ["cells", "training"], "done": 5, "total": 10, "elapsed_s": 3, "status": "epoch 5: loss 0.1"}\n'
    path.write_text("a warning\n" + outer + inner + '{"steps": ["cel')
    steps = read_steps(path)
    assert steps.path == ("cells", "training")
    assert steps.share == pytest.approx(1.5 / 4)
    assert steps.left_s == pytest.approx(30)
    assert (steps.inner_done, steps.inner_total) == (5, 10)


def test_curves() -> None:
    assert piece("curves", {}) == ""
    flat = piece("curves", {"loss": [1.0, 1.0], "held out": [1.0, 1.0]})
    assert "nan" not in flat.lower()
    assert "held out 1.0000" in flat


def test_names_in_the_tables_are_only_text(run: Run) -> None:
    bad = '"><script>'
    record = run.record.model_copy(update={"dataset": bad, "method": bad, "id": bad})
    compared = [(bad, record.created, bad)]
    table = render("runs.html", runs=[(bad, record, None), (bad, None, None)], comparisons=compared, chosen={})
    assert "<script>" not in table
    assert "cannot be read" in table


def test_a_video_has_a_player_a_timeline_and_events(judges: Judges, run: Run, tmp_path: Path) -> None:
    path = write_greys(tmp_path / "line.mp4", [120] * 20 + [220] * 10 + [120] * 20)
    told = Told()
    seen = watch(judges, judges.ready("latest"), Upload("<b>line.mp4", path), tmp_path / "out", told)
    assert told.done == 50
    assert len(seen.scores) == len(seen.times) == 50
    (event,) = seen.events
    assert event.start_s == pytest.approx(2, abs=0.2)
    assert event.end_s == pytest.approx(3, abs=0.2)
    assert seen.annotated is not None
    assert is_video(seen.annotated)
    assert seen.annotated.stat().st_size > 0
    text = panel(seen, "/video") + verdict_of_video(seen)
    assert f'data-seek="{event.start_s:.3f}"' in text
    assert "✕ 1 event" in text
    assert "<b>line" not in text
    still = write_greys(tmp_path / "b.mp4", [120] * 9)
    calm = watch(judges, judges.ready("latest"), Upload("calm.mp4", still), tmp_path)
    assert "Nothing anomalous" in verdict_of_video(calm)
    assert "data-seek" not in panel(calm, "/video")


def test_a_video_that_is_none_or_too_large(judges: Judges, run: Run, tmp_path: Path) -> None:
    ready = judges.ready("latest")
    (tmp_path / "text.mp4").write_text("no video")
    long = write_greys(tmp_path / "long.mp4", [120] * 30)
    for name, limits, told in (
        ("text.mp4", Limits(), "text.mp4"),
        ("long.mp4", Limits(video_s=2), "longer than"),
        ("long.mp4", Limits(video_pixels=1000), "megapixels a frame"),
    ):
        judges.settings = replace(judges.settings, limits=limits)
        with pytest.raises(FrameError, match=told) as caught:
            watch(judges, ready, Upload(name, tmp_path / name), tmp_path)
        assert str(tmp_path) not in caught.value.message
    assert not (tmp_path / "annotated.mp4").exists()
    assert long.exists()


def test_a_video_that_lies_about_its_length(judges: Judges, run: Run, tmp_path: Path) -> None:
    path = write_greys(tmp_path / "line.mp4", [120] * 40)
    judges.settings = replace(judges.settings, limits=Limits(video_s=2))
    # What the header says of its length is made less than it is.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adkit.data.video.Video.expected_frames", 1)
        with pytest.raises(FrameError, match="longer than"):
            watch(judges, judges.ready("latest"), Upload("line.mp4", path), tmp_path)
    assert not (tmp_path / "annotated.mp4").exists()
