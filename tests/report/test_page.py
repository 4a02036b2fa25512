from __future__ import annotations

import base64
import dataclasses
import errno
import hashlib
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from PIL import Image

from adkit.evaluation.evaluate import evaluate
from adkit.files.atomic import storage_faults
from adkit.registry import Registry
from adkit.report.page import render, render_run, write_report
from adkit.runs.record import FitSettings
from adkit.runs.store import Run, open_run
from adkit.stats.calibration import ThresholdRule
from adkit.stats.formatting import bound_text
from adkit.workflows.calibrate import recalibrate
from adkit.workflows.score import Workplace
from tests.greys import usual_levels
from tests.report.conftest import Fitted, Page

GOOD = usual_levels(12, seed=9)
BRIGHT = [150.0, 160.0, 170.0, 122.0]


def page_of(run: Run, registry: Registry, **settings: Any) -> tuple[Page, str]:
    """The run's page, taken apart and as text."""
    written = write_report(run, Workplace(registry, device="cpu"), **settings)
    text = written.path.read_text(encoding="utf-8")
    return Page(text), text


def steps_of(page: Page) -> list[dict[str, Any]]:
    """What the slider is given."""
    steps: list[dict[str, Any]] = json.loads(page.scripts[1])
    return steps


@pytest.fixture(scope="module")
def washer_page(washers: Run, registry: Registry) -> tuple[Page, str]:
    return page_of(washers, registry)


def test_the_page_needs_no_network(washer_page: tuple[Page, str]) -> None:
    page, text = washer_page
    assert "://" not in text
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:", "#")), f"<{tag} {name}={target}>"
        assert not {name for name in attributes if name.startswith("on")}, f"<{tag}> runs a script"
    for style in (*page.styles, *(attributes.get("style") or "" for _, attributes in page.tags)):
        assert "@import" not in style
        assert re.findall(r"url\((?!#)", style) == []


def test_the_policy_lets_its_own_script_run_and_no_other(washer_page: tuple[Page, str]) -> None:
    page, _ = washer_page
    (policy,) = [tag["content"] or "" for tag in page.all("meta") if tag.get("http-equiv")]
    assert policy.startswith("default-src 'none'; img-src data:;")
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert [tag.get("type") for tag in page.all("script")] == [None, "application/json"]


def test_the_page_is_sound_html(washer_page: tuple[Page, str]) -> None:
    page, text = washer_page
    assert text.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for target in (attributes.get("href") or "", attributes.get("clip-path") or ""):
            if found := re.search(r"#([^)]+)", target):
                assert found[1] in ids, f"nothing has the id {found[1]}"
        for name in ("aria-labelledby", "for"):
            assert attributes.get(name, ids[0]) in ids
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert all(tag.get("alt") for tag in page.pictures())
    assert all(tag.get("aria-label") or tag.get("aria-hidden") for tag in page.all("svg"))


def test_the_numbers_are_those_of_the_evaluation(
    washer_page: tuple[Page, str], washers: Run, registry: Registry
) -> None:
    page, text = washer_page
    found = evaluate(washers, Workplace(registry, device="cpu"))
    for name in found.apt:
        metric = found.metrics[name]
        assert f'<th scope="row">{name}</th><td>{metric.value:.4f}</td>' in text
    for row in found.kinds:
        share = f"{row.called_anomalous / row.count:.1%}"
        numbers = [str(row.count), str(row.called_anomalous), share]
        numbers += [f"{value:.4g}" for value in (row.mean_score, *(row.quantiles[at] for at in (0, 2, 4)))]
        cells = re.search(rf'<th scope="row">{row.kind}</th>(.*?)</tr>', text, re.DOTALL)
        assert cells is not None
        values = re.findall(r"<td>(.*?)</td>", cells[1])
        assert values[:3] == numbers[:3]
        assert [float(value) for value in values[3:7]] == [float(number) for number in numbers[3:]]
        for value, name in zip(values[7:], ("image_auroc", "pixel_iou"), strict=True):
            expected = found.metrics[name].details.get(row.kind)
            assert value == ("–" if expected is None else f"{expected:.4f}")
    rates = found.rates
    for rate in (rates.false_alarms, rates.caught):
        assert f"{rate.count} of {rate.total} {rate.share:.1%}, with 95% certainty {rate.interval.low:.1%}" in page.text
    assert washers.record.threshold.promise() in page.text
    assert str(washers.record.calibration.rule) in page.text
    assert f"{rates.separation_ratio:.2f} times as high" in page.text
    for passing in rates.oracle_passing:
        assert str(passing.passing) in page.text
    for mistake in found.mistakes()[:6]:
        assert found.samples[mistake].id in page.text


def test_every_picture_is_a_jpeg_of_few_px(washer_page: tuple[Page, str]) -> None:
    page, text = washer_page
    assert len(page.pictures()) > 20
    for tag in page.pictures():
        content = base64.b64decode((tag["src"] or "").removeprefix("data:image/jpeg;base64,"), validate=True)
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert picture.format == "JPEG"
            assert (str(picture.width), str(picture.height)) == (tag["width"], tag["height"])
            assert max(picture.size) == 320
    assert len(text) < 4_000_000


def test_the_same_run_gives_the_same_bytes(washers: Run, registry: Registry, tmp_path: Path) -> None:
    shutil.rmtree(washers.folder / "evaluation", ignore_errors=True)  # the first time, the model answers
    pages = [
        write_report(washers, Workplace(registry, device="cpu"), tmp_path / name).path for name in ("a.html", "b.html")
    ]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_the_slider_steps_are_those_that_calibrate_would_set(greys: Registry, fit_grey: Fitted, tmp_path: Path) -> None:
    run = fit_grey({"good": GOOD, "bright": BRIGHT}, training=120)
    page, _ = page_of(run, greys)
    steps = steps_of(page)
    (slider,) = [tag for tag in page.all("input") if tag["type"] == "range"]
    assert slider["max"] == str(len(steps) - 1)
    assert [step["chosen"] for step in steps].index(True) == int(slider["value"] or -1)
    assert slider["aria-valuetext"] == steps[int(slider["value"] or -1)]["spoken"]
    found = evaluate(run, Workplace(greys, device="cpu"))
    for step in steps[:: len(steps) // 4]:
        copy = open_run(shutil.copytree(run.folder, tmp_path / "copies" / step["rank"]))
        command = step["command"].split()
        assert command[:3] == ["adkit", "calibrate", str(run.folder.resolve())]
        rule = ThresholdRule("expected", float(command[-1].rstrip("%")) / 100)
        threshold = recalibrate(copy, Workplace(greys, device="cpu"), rule=rule).run.record.threshold
        assert step["threshold"] == f"{threshold.value:#.4g}"
        assert step["rank"] == f"{threshold.rank} of {threshold.count}"
        assert step["expected"] == f"{threshold.expected_rate:.2%}"
        assert step["certain"] == bound_text(threshold.certain_rate)
        called = found.scores > threshold.value
        assert step["false_alarms"] == f"{(called & ~found.anomalous).sum()} of {len(GOOD)}"
        assert step["caught"] == f"{(called & found.anomalous).sum()} of {len(BRIGHT)}"


def test_without_a_script_there_is_a_table(washer_page: tuple[Page, str]) -> None:
    page, text = washer_page
    static = text[text.index('<div class="unscripted">') :]
    for step in (step for step in steps_of(page) if step["in_table"]):
        assert f"<td>{step['rank']}</td><td>{step['expected']}</td><td>{step['certain']}</td>" in static


def test_names_are_escaped(greys: Registry, fit_grey: Fitted) -> None:
    kinds = ['<script>alert("1")<', "a & b", "$x^2$ & {{ 7 * 7 }}", "検査"]
    run = fit_grey({"good": GOOD} | {kind: [170.0 + number, 180.0] for number, kind in enumerate(kinds)})
    page, text = page_of(run, greys)
    assert len(page.all("script")) == 2
    assert "<script>alert" not in text.replace(page.scripts[1], "")
    assert "<script>" not in page.scripts[1]
    for kind in kinds:
        assert f"Kind: {kind}" in page.text
        assert f"{kind} · 2 of 2 caught" in page.text, "in the chart"
        assert any(f"test/{kind}/000" in (tag["alt"] or "") for tag in page.pictures())


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_a_name_that_is_not_utf_8_is_spelt_out(greys: Registry, fit_grey: Fitted) -> None:
    run = fit_grey({"good": GOOD, os.fsdecode(b"pr\xfcf\n"): BRIGHT})
    page, _ = page_of(run, greys)
    assert "Kind: pr\\udcfcf" in page.text


def test_without_a_test_split_the_page_says_so(greys: Registry, fit_grey: Fitted) -> None:
    run = fit_grey({})
    written = write_report(run, Workplace(greys, device="cpu"))
    page = Page(written.path.read_text(encoding="utf-8"))
    (note,) = written.notes
    assert note.endswith("mvtec:part has no test images of known truth")
    assert "There is no part on a test split: mvtec:part has no test images of known truth." in page.text
    assert run.record.threshold.promise() in page.text
    assert "false_alarms" not in steps_of(page)[0]
    assert len(page.pictures()) == 6, "the oddest normal images"
    for absent in ("oracle", "Metrics", "Curves", "p-value"):
        assert absent not in page.text


def test_a_dataset_that_is_gone_is_no_obstacle(greys: Registry, fit_grey: Fitted, tmp_path: Path) -> None:
    run = fit_grey({"good": GOOD, "bright": BRIGHT})
    shutil.rmtree(tmp_path / "mvtec")
    written = write_report(run, Workplace(greys, device="cpu"))
    (note,) = written.notes
    assert "no category of MVTec was found" in note
    page = Page(written.path.read_text(encoding="utf-8"))
    assert "no category of MVTec was found" in page.text
    assert page.pictures() == []


def test_a_method_that_is_gone_is_no_obstacle(greys: Registry, registry: Registry, fit_grey: Fitted) -> None:
    run = fit_grey({"good": GOOD, "bright": BRIGHT})
    page, _ = page_of(run, registry)
    assert "needs the method grey_maps of" in page.text
    assert len(page.pictures()) == 6


@pytest.mark.parametrize(
    ("kinds", "expected", "absent"),
    [
        ({"good": GOOD}, "It flagged 0 of 12 good parts at the promised 14.29%.", "seen: defects caught"),
        ({"bright": BRIGHT}, "It caught 3 of 4 defects at the promised 14.29%.", "times as high"),
        ({"bright": BRIGHT[:3]}, "It caught 3 of 3 defects at the promised 14.29%.", "times as high"),
        ({"dark": [90.0, 80.0]}, "It caught 0 of 2 defects at the promised 14.29%.", "times as high"),
    ],
)
def test_a_test_split_of_one_sort(
    kinds: dict[str, list[float]], expected: str, absent: str, greys: Registry, fit_grey: Fitted
) -> None:
    page, _ = page_of(fit_grey(kinds), greys)
    assert expected in page.text
    assert absent not in page.text
    assert "Curves need good and defective images" in page.text
    assert re.search(r"Not defined on this data: .*\(the test split has no", page.text)
    assert "none there" in page.text


def test_a_method_of_scores_only_has_no_heat_maps(greys: Registry, fit_grey: Fitted) -> None:
    page, _ = page_of(fit_grey({"good": GOOD, "bright": BRIGHT}, "grey"), greys)
    assert "The method gives scores only" in page.text
    titles = [(tag["alt"] or "").split()[0] for tag in page.pictures()]
    assert set(titles) == {"input", "true"}


def test_a_method_that_reconstructs_shows_it(greys: Registry, fit_grey: Fitted) -> None:
    page, _ = page_of(fit_grey({"good": GOOD, "bright": BRIGHT}, "grey_rebuilt"), greys)
    titles = [(tag["alt"] or "").split()[0] for tag in page.pictures()]
    assert titles.count("what") == titles.count("input") == titles.count("heat") > 5
    rebuilt = next(tag for tag in page.pictures() if (tag["alt"] or "").startswith("what the method makes of"))
    with Image.open(io.BytesIO(base64.b64decode((rebuilt["src"] or "").partition(",")[2]))) as picture:
        pixels = np.asarray(picture)
    assert 110 < pixels.min() <= pixels.max() < 130, "the mean brightness"


def test_a_recalibrated_run_tells_its_history(greys: Registry, fit_grey: Fitted) -> None:
    run = fit_grey({"good": GOOD, "bright": BRIGHT})
    changed = recalibrate(run, Workplace(greys, device="cpu"), rule=ThresholdRule("percentile", 0.5)).run
    page, _ = page_of(changed, greys)
    assert "Earlier calibrations" in page.text
    assert f"The rule was: {changed.record.calibration.rule}." in page.text
    (chosen,) = [step for step in steps_of(page) if step["chosen"]]
    assert chosen["rank"] == f"{changed.record.threshold.rank} of {changed.record.threshold.count}"


@pytest.mark.parametrize(
    ("bright", "good", "expected"),
    [
        (BRIGHT, GOOD, "It caught 3 of 4 defects at the promised 14.29%, flagged 0 of 12 good parts."),
        (BRIGHT[:3], GOOD, "It caught 3 of 3 defects at the promised 14.29%, flagged 0 of 12 good parts."),
        (BRIGHT[3:], [*GOOD, 170.0], "It caught 0 of 1 defect at the promised 14.29%, flagged 1 of 13 good parts."),
    ],
)
def test_the_headline_says_what_happened(
    bright: list[float], good: list[float], expected: str, greys: Registry, fit_grey: Fitted
) -> None:
    page, _ = page_of(fit_grey({"good": good, "bright": bright}), greys)
    assert expected in page.text


def test_false_alarms_beyond_the_promise_are_said(greys: Registry, fit_grey: Fitted) -> None:
    kept, _ = page_of(fit_grey({"good": GOOD}), greys)
    assert "flagged 0 of 12 good parts, which does not speak against the promise." in kept.text
    few, _ = page_of(fit_grey({"good": GOOD[:1]}), greys)
    assert "0 of 1 good part; so few would not speak against the promise even if all were flagged." in few.text
    broken, _ = page_of(fit_grey({"good": [150.0] * 10}), greys)
    assert "flagged 10 of 10 good parts. That is more than the promise allows: if the promise held, " in broken.text
    assert "this many false alarms or more would happen with probability " in broken.text


def test_of_test_images_that_the_run_has_seen_nothing_is_claimed(
    greys: Registry, fit_grey: Fitted, tmp_path: Path
) -> None:
    run = fit_grey({"good": GOOD, "bright": BRIGHT})
    claims = ("speak against the promise", "that the run did not learn from", "only judged: no threshold")
    before, _ = page_of(run, greys)
    assert all(claim in before.text for claim in claims)
    good = tmp_path / "mvtec" / "part" / "test" / "good"
    seen, _ = page_of(recalibrate(run, Workplace(greys, device="cpu"), [str(good)], keep=True).run, greys)
    assert not any(claim in seen.text for claim in claims)
    assert "12 test images are among those that the run learned from or was calibrated with, and flatter" in seen.text
    assert "judged, although the run learned from 12 of them or was calibrated with them" in seen.text


def test_the_command_names_the_run_as_it_is_found(
    greys: Registry, fit_grey: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fit_grey({"good": GOOD})
    for root, name in ((run.folder.parent.parent, str(run.folder.resolve())), (run.folder.parent, run.record.id)):
        monkeypatch.setenv("ADKIT_RUNS", str(root))
        page, _ = page_of(run, greys)
        assert all(step["command"].startswith(f"adkit calibrate {name} --max-false") for step in steps_of(page))
        assert f"adkit calibrate {name} --max-false-alarms RATE" in page.text
        assert f"adkit calibrate {name} --normal DIR --keep" in page.text


def test_a_run_that_cannot_be_written_has_a_page_elsewhere(
    greys: Registry, fit_grey: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fit_grey({"good": GOOD, "bright": BRIGHT})

    def refuse(path: Path, _: bytes) -> None:
        with storage_faults(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("adkit.evaluation.stored.write_whole", refuse)
    written = write_report(run, Workplace(greys, device="cpu"), tmp_path / "page.html")
    (note,) = written.notes
    assert note.startswith("the result is not stored in the run: cannot write ")
    assert "Metrics" in Page(written.path.read_text(encoding="utf-8")).text


def test_to_fit_it_again_names_all_that_was_asked_for(greys: Registry, fit_grey: Fitted) -> None:
    run = fit_grey({})
    asked = FitSettings(method="grey_maps", dataset=("mvtec:part",), scorer="max", max_false_alarms="5%", certain=True)
    again = dataclasses.replace(run, record=run.record.model_copy(update={"settings": asked}))
    page = Page(render_run(again, Workplace(greys), None, "it is not there"))
    command = "adkit fit --method grey_maps --dataset mvtec:part --scorer max --max-false-alarms 5% --certain"
    assert f"To fit it again: {command} " in page.text


def test_one_of_each_is_no_plural(greys: Registry, fit_grey: Fitted) -> None:
    page, _ = page_of(fit_grey({"good": GOOD[:1]}, "grey", training=3), greys)
    assert "mvtec:part: 1 image of known truth" in page.text
    assert "1 normal score is too few" in page.text
    assert "Below is the 1 score of normal images" in page.text
    assert re.search(r"\b1 (images|scores|normal scores|test images|training files|clips)\b", page.text) is None


def test_scores_that_lie_apart_are_named(greys: Registry, fit_grey: Fitted, tmp_path: Path) -> None:
    run = fit_grey({"good": GOOD})
    mixed = tmp_path / "mixed"
    for number, level in enumerate([*range(100, 140), 240, 241, 242]):
        mixed.mkdir(exist_ok=True)
        Image.new("L", (8, 8), level).save(mixed / f"{number:03d}.png")
    page, _ = page_of(recalibrate(run, Workplace(greys, device="cpu"), [str(mixed)]).run, greys)
    assert "3 of 43 scores lie apart from the rest" in page.text
    assert f"{mixed / '042.png'}" in page.text


def test_the_page_goes_where_it_is_asked_to(washers: Run, registry: Registry, tmp_path: Path) -> None:
    written = write_report(washers, Workplace(registry, device="cpu"), tmp_path / "new" / "page.html")
    assert written.path == tmp_path / "new" / "page.html"
    assert written.notes == ()
    written = write_report(washers, Workplace(registry, device="cpu"))
    assert written.path == washers.folder / "report.html"
    open_run(washers.folder)  # a page in its folder does not damage the run


def test_what_is_not_markup_is_escaped_and_nothing_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    templates = {"x": "{{ name }} {{ style | length > 99 }}", "y": "{{ nothing }}"}
    monkeypatch.setattr(jinja2, "PackageLoader", lambda *_: jinja2.DictLoader(templates))
    assert render("x", {"name": "<b>&'"}) == "&lt;b&gt;&amp;&#39; True"
    with pytest.raises(jinja2.UndefinedError):
        render("y", {})


def test_what_is_anomalous_as_a_whole_is_said(washers: Run, registry: Registry) -> None:
    evaluation = evaluate(washers, Workplace(registry, device="cpu"))
    assert "As a whole:" not in render_run(washers, Workplace(registry), evaluation)
    whole = dataclasses.replace(evaluation, whole=evaluation.called)
    page = Page(render_run(washers, Workplace(registry), whole))
    assert "As a whole: no place is anomalous, but something may be missing" in page.text
    assert "anomalous, as a whole" in page.text
