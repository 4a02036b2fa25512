"""A run that was exported decides as it did, or nothing is written."""

from __future__ import annotations

import csv
import json
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from adkit.data.boxes import Box
from adkit.data.video import Video
from adkit.errors import DatasetError, OptionError, RunError, StorageError
from adkit.export import export as export_module
from adkit.export.export import GOLDEN, LEAD, SPOILT_SOURCES, export
from adkit.export.graph import to_onnx
from adkit.export.score import Model
from adkit.interfaces import Scorer
from adkit.nn.corruption import SPOILT
from adkit.nn.methods import FrameGraph
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run, find_run
from adkit.workflows.fit import fit
from adkit.workflows.score import Workplace, open_model
from tests.cli.invoking import refused
from tests.greys import Grey, GreyMaps, paint, usual_levels, with_methods
from tests.press import PRESS, GreyMemory, fit_press, press_registry, write_press


class Exportable(GreyMaps):
    """Maps of brightness, also as a graph."""

    def graph(self) -> nn.Module:
        return FrameGraph(self.of_frames)

    def of_frames(self, frames: Tensor) -> Tensor:
        return 255 * frames.mean(dim=1) - self.mean


class ExportableScores(Grey):
    """Scores of brightness, also as a graph."""

    def graph(self) -> nn.Module:
        return FrameGraph(lambda frames: 255 * frames.mean(dim=(1, 2, 3)) - self.mean)


class Lying(Exportable):
    """Its graph says something else than it does."""

    def of_frames(self, frames: Tensor) -> Tensor:
        return super().of_frames(frames) + (frames.amax(dim=(1, 2, 3), keepdim=True)[:, 0] > 0.6)


class WideMaps(Exportable):
    """The same, seen at more pixels."""

    frame_size = (64, 64)  # type: ignore[assignment]


class WideScores(ExportableScores):
    """The same, seen at more pixels."""

    frame_size = (64, 64)  # type: ignore[assignment]


class Fixed(Exportable):
    """Its graph is for as many images as it was traced with."""

    def of_frames(self, frames: Tensor) -> Tensor:
        return super().of_frames(frames) + torch.zeros(len(frames), 1, 1)


METHODS = {
    "fixed": Fixed,
    "wide_maps": WideMaps,
    "wide_scores": WideScores,
    "maps": Exportable,
    "scores": ExportableScores,
    "lying": Lying,
    "closed": GreyMaps,
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods(METHODS)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good parts; every fifth is twice as wide as high."""
    folder = tmp_path_factory.mktemp("good")
    for number, path in enumerate(paint(folder, usual_levels(60, 1))):
        if number % 5 == 0:
            picture = np.asarray(Image.open(path))
            Image.fromarray(np.concatenate([picture, picture[:, ::-1]], axis=1)).save(path)
    return folder


def fitted(registry: Registry, good: Path, runs: Path, method: str, **settings: object) -> Run:
    from adkit.data.datasets import open_datasets

    (dataset,) = open_datasets(f"folder:{good}", None, registry)
    asked = FitSettings(method=method, dataset=(dataset.spec,), device="cpu", **settings)
    return fit(asked, dataset, runs, registry)


@pytest.fixture(scope="module")
def run(registry: Registry, good: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fitted(registry, good, tmp_path_factory.mktemp("runs"), "maps")


@pytest.fixture(scope="module")
def exported(run: Run, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "grey.adkit"
    done = export(run, Workplace(registry), folder)
    assert (done.normal, done.spoilt) == (60, SPOILT_SOURCES * len(SPOILT))
    assert done.difference < 1e-5
    return folder


def test_an_export_decides_as_the_run_does(run: Run, registry: Registry, exported: Path, tmp_path: Path) -> None:
    pictures = paint(tmp_path / "new", [100, 118, 121, 130, 150, 180], seed=5)
    wide = tmp_path / "wide.png"
    Image.fromarray(np.random.default_rng(0).integers(90, 190, (40, 64)).astype(np.uint8)).save(wide)
    model, own = Model(exported), open_model(run, registry, device="cpu")
    decisions, doubts = set(), set()
    for path in [*pictures, wide]:
        (expected,) = own.score([path])
        doubts.add(own.doubt(expected))
        score, anomaly_map = model.judge(path)
        assert score == pytest.approx(expected.score, rel=1e-5)
        assert np.allclose(anomaly_map, expected.map, atol=1e-3)
        assert model.p_value(score) == pytest.approx(expected.p_value)
        decisions.add(score > model.threshold)
    assert decisions == {True, False}
    assert {None, *model.doubts} == doubts
    assert len(doubts) == 3


def test_the_script_needs_neither_adkit_nor_torch(exported: Path, tmp_path: Path) -> None:
    dark, bright = paint(tmp_path / "new", [118, 180], seed=6)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['score.py', *{[str(dark), str(bright), str(broken)]!r}]\n"
        "try:\n"
        f"    runpy.run_path({str(exported / 'score.py')!r}, run_name='__main__')\n"
        "finally:\n"
        "    assert not {'torch', 'adkit', 'cv2'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    head, *rows = [line.split(",") for line in done.stdout.splitlines()]
    assert head == ["path", "score", "threshold", "p_value", "decision"]
    assert [row[-1] for row in rows] == ["normal", "anomalous", "unreadable"]
    assert "broken.png" in done.stderr

    def run_script(*arguments: str, python: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *python, str(exported / "score.py"), *arguments]
        ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=ascii_only)

    done = run_script(str(tmp_path))
    assert done.returncode == 3
    assert "a folder; its images are expected: FOLDER/*.png" in done.stderr
    done = run_script("--help")
    assert (done.returncode, "python score.py --check" in done.stdout) == (0, True)
    done = run_script()
    assert (done.returncode, done.stdout) == (2, "")
    assert "python score.py --check" in done.stderr
    done = run_script("x.png", python=["-S"])
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: No module named 'numpy'",
        "hint:  python -m pip install numpy onnxruntime pillow",
    ]
    named = [tmp_path / "[ü].png", tmp_path / "ü.png"]  # the first is no pattern
    named[0].write_bytes(b"P5 99999 99999 255\n")  # of which Pillow raises what is no OSError
    named[1].write_bytes(dark.read_bytes())
    done = run_script(*map(str, named))
    assert done.returncode == 3, done.stderr
    assert [row.rpartition("/")[2].partition(",")[0] for row in done.stdout.splitlines()[1:]] == [
        r"[\xfc].png",
        r"\xfc.png",
    ]


@pytest.mark.parametrize("lost", ["model.onnx", "model.json", "golden"])
def test_the_script_says_in_two_lines_that_its_folder_is_not_whole(
    exported: Path, lost: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(exported, tmp_path / "part")
    shutil.move(folder / lost, tmp_path)
    assert runpy.run_path(str(folder / "score.py"))["main"](["--check"]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith(f"error: {folder} is not all there: ")
    assert hint == "hint:  copy the exported folder again"


def test_adkit_judges_by_an_export_without_torch(exported: Path, tmp_path: Path) -> None:
    dark, bright = paint(tmp_path / "new", [118, 180], seed=6)
    arguments = ["score", str(dark), str(bright), "--run", str(exported), "--format", "jsonl", "--fail-on-anomaly"]
    code = (
        "import sys\n"
        "from adkit.cli import app\n"
        "try:\n"
        f"    app({arguments!r})\n"
        "finally:\n"
        "    assert not {'torch', 'timm'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 5, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["decision"] for row in rows] == ["normal", "anomalous"]
    assert rows[1]["score"] == Model(exported).judge(bright)[0]
    message, _ = refused("score", dark, "--run", exported, "--heatmaps", tmp_path)
    assert message.startswith("--heatmaps needs a run")


def damaged(exported: Path, folder: Path, facts: str) -> Path:
    shutil.copytree(exported, folder)
    (folder / "model.json").write_text(facts)
    return folder


def test_golden_images_tell_whether_another_machine_decides_the_same(run: Run, exported: Path, tmp_path: Path) -> None:
    facts = json.loads((exported / "model.json").read_text())
    assert len(facts["golden"]) == 2 * GOLDEN
    assert Model(exported).facts["promise"].startswith("flags about")
    assert [len(one["files"]) for one in facts["golden"]] == [1] * 6  # a still is a clip of one image
    highest = run.record.threshold.value  # the score of a good image, which rounding shall not flag
    assert highest < Model(exported).threshold < highest + 1e-4 * abs(highest)
    command = [sys.executable, str(exported / "score.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "0 of 6 golden images are judged otherwise"
    facts["golden"][2]["scores"] = [1.01 * facts["golden"][2]["scores"][0]]
    message, _ = refused("score", run.folder, "--run", damaged(exported, tmp_path / "damaged", "{}"))
    assert "is no export that can be read: format None" in message
    other = damaged(exported, tmp_path / "other", json.dumps(facts))
    command = [sys.executable, str(other / "score.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "NOT THE SAME" in done.stdout.splitlines()[2]


def test_the_graph_alone_judges_images_of_the_usual_shape(run: Run, registry: Registry, exported: Path) -> None:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(exported / "model.onnx", settings)
    pixels = np.random.default_rng(0).integers(90, 190, (5, *run.record.view.canvas, 3)).astype(np.uint8)
    maps, scores = session.run(None, {"pixels": pixels})
    own = open_model(run, registry, device="cpu")
    assert scores == pytest.approx([one.score for one in own.score(list(pixels))], rel=1e-5)
    assert maps.shape == (5, 8, 8)


def test_openvino_reads_the_same_file(exported: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed: pip install openvino")
    model = Model(exported)
    pixels = np.random.default_rng(0).integers(90, 190, (5, *model.facts["canvas"], 3)).astype(np.uint8)
    maps, scores = model.session.run(None, {"pixels": pixels})
    read = openvino.Core().compile_model(exported / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = read({"pixels": pixels})  # it takes `rows` and `columns` for constants
    assert found["score"] == pytest.approx(scores, rel=1e-4)
    assert found["map"] == pytest.approx(maps, rel=1e-4)


def test_a_zip_holds_the_same_also_by_a_clock_that_starts_in_1970(
    run: Run, registry: Registry, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = export_module._write

    def written_in_1970(folder: Path, facts: dict[str, object]) -> None:
        write(folder, facts)
        os.utime(folder / "model.json", (10, 10))

    monkeypatch.setattr(export_module, "_write", written_in_1970)
    export(run, Workplace(registry), tmp_path / "grey.zip")
    with pytest.raises(RunError) as caught:
        find_run(tmp_path, str(tmp_path / "grey.zip"))
    assert caught.value.hint == "an exported model is unpacked first: name its folder"
    with zipfile.ZipFile(tmp_path / "grey.zip") as packed:
        packed.extractall(tmp_path / "grey")
    assert (tmp_path / "grey" / "model.onnx").read_bytes() == (exported / "model.onnx").read_bytes()
    assert len(list((tmp_path / "grey" / "golden").iterdir())) == 2 * GOLDEN


def test_scores_without_maps_and_places_that_do_not_count(registry: Registry, good: Path, tmp_path: Path) -> None:
    scores = fitted(registry, good, tmp_path / "runs", "scores")
    export(scores, Workplace(registry), tmp_path / "scores")
    assert Model(tmp_path / "scores").judge(good / "001.png")[1] is None
    narrow = tmp_path / "narrow"
    paint(narrow, usual_levels(40, 2))
    part = fitted(registry, narrow, tmp_path / "runs", "maps", roi="1,1,6,5", ignore_border=2)
    export(part, Workplace(registry), tmp_path / "part")
    model, own = Model(tmp_path / "part"), open_model(part, registry, device="cpu")
    (expected,) = own.score([narrow / "003.png"])
    assert model.judge(narrow / "003.png")[0] == pytest.approx(expected.score, rel=1e-5)
    with pytest.raises(ValueError, match="8×8 px was expected"):
        model.judge(good / "000.png")


@pytest.mark.parametrize("method", ["maps", "scores"])
def test_large_images_are_seen_in_tiles(registry: Registry, tmp_path: Path, method: str) -> None:
    large, random = tmp_path / "large", np.random.default_rng(7)
    large.mkdir()
    for number in range(30):
        pixels = random.normal(120, 4, (100, 150)) + random.normal(0, 5)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(large / f"{number}.png")
    run = fitted(registry, large, tmp_path / "runs", f"wide_{method}", tiles=True)
    assert len(run.record.view.tiles) > 4
    done = export(run, Workplace(registry), tmp_path / "out")
    assert done.difference < 1e-4


class Remembering(GreyMemory):
    """Its graph is a step: the sum and the number of the brightnesses so far go in and come out."""

    default_scorer = "max"

    def graph(self) -> nn.Module:
        return FrameGraph(self.step, states={"total": (), "count": ()})

    def step(self, frames: Tensor, total: Tensor, count: Tensor) -> tuple[Tensor, ...]:
        levels = 255 * frames.mean(dim=(1, 2, 3))
        total, count = total + levels, count + 1
        return (levels - total / count).abs()[:, None, None].expand(-1, 2, 2), total, count


def test_an_export_remembers_a_clip_and_smooths_as_the_run_does(tmp_path: Path) -> None:
    registry = press_registry({"remembering": Remembering})
    folder = write_press(tmp_path / "videos", PRESS)
    run = fit_press(registry, folder, tmp_path / "runs", "remembering", appearance_only=True, max_false_alarms="10%")
    done = export(run, Workplace(registry), tmp_path / "press.adkit")
    assert (done.normal, done.spoilt) == (8 * 12, SPOILT_SOURCES * (LEAD - 1 + len(SPOILT)))
    model, own = Model(tmp_path / "press.adkit"), open_model(run, registry, device="cpu")
    decisions = set()
    for name in PRESS:
        path = folder / "test" / f"{name}.mp4"
        expected = list(own.score([path]))
        played = list(model.play(path))
        assert [number for number, *_ in played] == [one.index for one in expected]
        assert [time_s for _, time_s, _ in played] == pytest.approx([one.time_s for one in expected])
        assert [score for *_, score in played] == pytest.approx([one.score for one in expected], abs=1e-3)
        decisions |= {score > model.threshold for *_, score in played}
    assert decisions == {True, False}
    frames = tmp_path / "frames"
    pictures = [picture.pixels() for picture in Video(folder / "test" / "stopped.mp4")]
    frames.mkdir()
    for number, pixels in enumerate(pictures):  # 25 a second, and numbered as people do
        Image.fromarray(pixels).save(frames / f"{number}.png")
    expected = list(own.score([frames]))
    assert [score for *_, score in model.play(frames)] == pytest.approx([one.score for one in expected], abs=1e-3)
    command = [sys.executable, str(tmp_path / "press.adkit" / "score.py")]
    done_check = subprocess.run([*command, "--check"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert done_check[-1] == f"0 of {LEAD + len(SPOILT) + LEAD - 1 + len(SPOILT)} golden images are judged otherwise"
    still, empty = frames / "0.png", tmp_path / "empty"
    empty.mkdir()
    printed = subprocess.run([*command, frames, still, empty], capture_output=True, text=True, check=False)
    rows = list(csv.DictReader(printed.stdout.splitlines()))
    assert printed.returncode == 3
    assert [row["frame"] for row in rows] == [*(str(one.index) for one in expected), "", ""]
    assert [row["decision"] for row in rows[-2:]] == ["unreadable"] * 2
    assert "a folder of frames or a video was expected" in printed.stderr
    message, hint = refused("score", frames, "--run", tmp_path / "press.adkit")
    assert "judges clips" in message
    assert "score.py" in hint


def test_what_decides_otherwise_is_not_written(registry: Registry, good: Path, tmp_path: Path) -> None:
    run = fitted(registry, good, tmp_path / "runs", "lying")
    with pytest.raises(RunError, match=r"the export decides otherwise: .*\.png has the score"):
        export(run, Workplace(registry), tmp_path / "lying.adkit")
    assert not (tmp_path / "lying.adkit").exists()


def test_what_is_flagged_by_a_hair_stays_so(
    run: Run, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "SLACK", 5.0)
    export(run, Workplace(registry), tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "model.json").read_text())
    own = run.record.threshold.value
    flagged = [score for one in facts["golden"] for score in one["scores"] if score > own]
    assert own < facts["threshold"] < min(flagged)


def test_a_scorer_that_cannot_be_traced_is_told_before_anything_is_traced(run: Run, registry: Registry) -> None:
    class Middle(Scorer[Any]):
        def __call__(self, maps: Any) -> Any:
            return maps.mean(axis=(1, 2))

    model = open_model(run, registry, device="cpu")
    with pytest.raises(OptionError, match="the scorer Middle cannot be exported: it is not written for tensors"):
        to_onnx(replace(model, scorer=Middle(None)))


def test_what_cannot_be_exported_is_refused(run: Run, registry: Registry, good: Path, tmp_path: Path) -> None:
    closed = fitted(registry, good, tmp_path / "runs", "closed")
    with pytest.raises(OptionError, match="closed cannot be exported: it offers no graph") as refused:
        export(closed, Workplace(registry), tmp_path / "closed")
    assert "graph()" in refused.value.hint
    fixed = fitted(registry, good, tmp_path / "runs", "fixed")
    with pytest.raises(OptionError, match="takes one number of images only"):
        export(fixed, Workplace(registry), tmp_path / "fixed")
    with pytest.raises(OptionError, match=r"a folder or a \.zip was expected") as caught:
        export(run, Workplace(registry), tmp_path / "grey.tar")
    assert "grey.zip is packed" in caught.value.hint
    with pytest.raises(OptionError, match="is there already"):
        export(run, Workplace(registry), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*x: a file stands where a folder was expected"):
        export(closed, Workplace(registry), tmp_path / "file" / "x")
    with pytest.raises(StorageError, match="lies in the run"):
        export(run, Workplace(registry), run.folder / "x")
    tiles = run.record.view.model_copy(update={"tiles": (Box(left=0, top=0, width=8, height=8),) * 41})
    tiled = Run(run.folder, run.record.model_copy(update={"view": tiles}))
    with pytest.raises(OptionError, match="in 41 tiles"):
        export(tiled, Workplace(registry), tmp_path / "tiled")
    clips = Run(run.folder, run.record.model_copy(update={"window": 2}))
    with pytest.raises(OptionError, match="compares frames of a clip") as refused:
        export(clips, Workplace(registry), tmp_path / "clips")
    assert "--appearance-only" in refused.value.hint
    lost = Run(run.folder, run.record.model_copy(update={"dataset": "folder:/nowhere"}))
    with pytest.raises(DatasetError):
        export(lost, Workplace(registry), tmp_path / "lost")
    assert torch.is_grad_enabled()
