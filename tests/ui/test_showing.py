"""What the page shows, without a browser: forms, verdicts, galleries, the list of data."""

from __future__ import annotations

import base64
import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adkit.data.images import png_of
from adkit.evaluation.stored import StoredFigures
from adkit.files.atomic import checksum
from adkit.interfaces import Silent
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.stats.rates import Rate
from adkit.ui.markup import piece, render
from adkit.ui.safety import keep_upload
from adkit.ui.scoring import Judges, Upload
from adkit.ui.settings import ServerSettings
from adkit.ui.showing import as_csv, gallery, packed, verdict, viewer
from adkit.ui.train_tab import listed
from tests.greys import paint


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
    assert "1 region outlined: most of the image, 8×8 px at 0, 0" in verdict(ready, findings[1])
    count = run.record.threshold.count
    assert f"higher than all {count} good parts (p ≤ {1 / (count + 1):.4f})" in verdict(ready, findings[1])
    assert "of good parts score as high (p 0." in verdict(ready, findings[0])
    assert run.record.id in verdict(ready, findings[0])
    assert "region" not in verdict(ready, findings[0])
    rows = list(csv.DictReader(io.StringIO(as_csv(ready, findings))))
    assert [row["decision"] for row in rows] == ["normal", "anomalous", "unreadable"]
    assert rows[2]["error"] == "text.png is not an image"
    assert [(row["regions"], row["width"]) for row in rows] == [("0", ""), ("1", "8"), ("0", "")]


def test_an_image_that_went_away_is_told(judges: Judges, run: Run, tmp_path: Path) -> None:
    ready = judges.ready("latest")
    findings = judges.findings(ready, uploads(tmp_path)[:1])
    findings[0].upload.path.unlink()
    assert "there is no file good.png" in viewer(ready, findings[0])


def test_a_map_survives_its_way_to_the_browser() -> None:
    drawn = np.random.default_rng(0).normal(3, 2, (17, 31)).astype(np.float32)
    for values in (drawn, np.full((4, 4), 2.5, np.float32)):
        address, low, high = packed(values)
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))), np.float32)
        levels = pixels[:, :, 0] * 256 + pixels[:, :, 1]
        np.testing.assert_allclose(low + levels / 65535 * (high - low), values, atol=float(np.ptp(values)) / 60_000)


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


def test_a_run_is_told_in_short_and_with_all_that_is_known(run: Run) -> None:
    record = run.record.model_copy(
        update={"options": {"a": "<b>", "c": "1"}, "facts": {"held_out": "2 images"}, "notes": ["1 < 2"]}
    )
    short = render("about.html", title="", record=record)
    assert "<dt>note</dt><dd>1 &lt; 2</dd>" in short
    assert "a score, no map" in short or "where, by a heat map" in short
    assert "options" not in short
    whole = render("about.html", title=record.id, record=record)
    for told in (record.id, "a=&lt;b&gt;, c=1", "<dt>held out</dt><dd>2 images", f"from {record.calibration.source}"):
        assert told in whole
    assert "<dd>none</dd>" in render("about.html", title="x", record=run.record.model_copy(update={"options": {}}))
    assert "promise" not in render("about.html", title="a comparison", record=None)


def test_data_below_the_root_is_listed(settings: ServerSettings, registry: Registry, tmp_path: Path) -> None:
    paint(settings.data_root / "parts" / "normal", [100.0] * 3)
    (settings.data_root / "empty").mkdir()
    for name in ("cap", "seal"):  # each a dataset, and not good parts of one kind
        paint(settings.data_root / "bought" / name / "train" / "good", [100.0] * 2)
        paint(settings.data_root / "bought" / name / "test" / "torn", [100.0])
    keep_upload(settings, "washers", paint(tmp_path / "sent", [100.0]))
    paint(settings.data_root / "done" / "run" / "feedback", [100.0])
    for name in ("run.json", "model.safetensors"):
        (settings.data_root / "done" / "run" / name).touch()
    (settings.data_root / "maps").mkdir()
    (settings.data_root / "maps" / "0.png").write_bytes(png_of(Image.new("L", (8, 8))))
    for name, header in (
        ("parts.csv", "Path;kind"),
        ("measured.csv", "time,height"),
        ("rows.csv", "path,p_value_is_floor"),
        ("latin.csv", "pfäd"),
    ):
        (settings.data_root / name).write_text(header, encoding="latin-1")
    specs = listed(settings, registry)
    assert specs[:3] == ["folder:uploads/washers", "folder:parts", "manifest:parts.csv"]
    assert not any("measured" in spec or "latin" in spec or "rows" in spec for spec in specs)
    assert not {"folder:empty", "folder:bought", "folder:done", "folder:maps"} & set(specs)
    assert "demo:washer" in specs


def test_curves() -> None:
    assert piece("curves", {}) == ""
    flat = piece("curves", {"loss": [1.0, 1.0], "held out": [1.0, 1.0]})
    assert "nan" not in flat.lower()
    assert "held out 1.0000" in flat


def test_the_table_of_runs_tells_what_is_caught_and_flagged(run: Run) -> None:
    figures = StoredFigures("caught 3 of 4 defects", Rate.counted(3, 4), Rate.counted(1, 12), 0.9, None)
    cells = re.findall(r'<td class="ak-number"[^>]*>(.*?)</td>', render_run(run, figures))
    assert cells == ["3 of 4", "1 of 12", f"{run.record.threshold.expected_rate:.2%}", "0.9000", "–"]
    assert "Caught 3 of 4 defects." in render("about.html", title="a", record=run.record, judged=figures)
    cells = re.findall(r'<td class="ak-number"[^>]*>(.*?)</td>', render_run(run, StoredFigures()))
    assert cells[:2] == ["–", "–"]


def render_run(run: Run, figures: StoredFigures) -> str:
    return render("runs.html", runs=[("a", run.record, figures)], comparisons=[], chosen=None)


def test_names_in_the_tables_are_only_text(run: Run) -> None:
    bad = '"><script>'
    record = run.record.model_copy(update={"dataset": bad, "method": bad, "id": bad})
    compared = [(bad, record.created, bad)]
    table = render(
        "runs.html", runs=[(bad, record, StoredFigures()), (bad, None, None)], comparisons=compared, chosen=None
    )
    assert "<script>" not in table
    assert "cannot be read" in table
