"""`adkit report` as a user types it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adkit.cli import app


def report(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def data(parts_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Washers of this module's own, to take away."""
    root = tmp_path_factory.mktemp("data")
    shutil.copytree(parts_root / "mvtec" / "washer", root / "mvtec" / "washer")
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A runs folder with one run of patchknn on the washers."""
    folder = tmp_path_factory.mktemp("runs")
    arguments = ["fit", "-m", "patchknn", "-d", "mvtec:washer", "--root", data, "--runs", folder, "--set", "size=64"]
    assert CliRunner().invoke(app, [str(argument) for argument in arguments]).exit_code == 0
    return folder


def test_the_last_line_is_where_the_page_is(runs: Path, tmp_path: Path) -> None:
    (folder,) = runs.iterdir()
    cases: list[tuple[list[str | Path], Path]] = [
        (["latest", "--runs", runs], folder / "report.html"),
        ([folder, "--output", tmp_path / "a.html"], tmp_path / "a.html"),
        ([folder.name, "--runs", runs, "-o", tmp_path / "b.html"], tmp_path / "b.html"),
    ]
    for arguments, path in cases:
        result = report(*arguments)
        assert result.exit_code == 0, result.output
        assert result.stdout.splitlines()[-1] == f"report: {path}"
        assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_an_unknown_run_is_refused(runs: Path, tmp_path: Path) -> None:
    result = report("nothing", "--runs", runs, "-o", tmp_path / "a.html")
    assert result.exit_code == 2
    assert "there is no run 'nothing'" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = report("latest", "--runs", runs, "-o", tmp_path / "file" / "a.html")
    assert result.exit_code == 2
    assert "a file stands where a folder was expected" in result.stderr


def test_a_folder_as_output_is_refused_before_the_work(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (run,) = runs.iterdir()
    before = sorted(run.rglob("*"))
    for place in (".", tmp_path):
        result = report("latest", "--runs", runs, "-o", place)
        assert result.exit_code == 2
        assert f"cannot write {place}: a folder stands where a file was expected" in result.stderr
    assert sorted(run.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_data_that_is_gone_is_said_and_no_obstacle(runs: Path, tmp_path: Path) -> None:
    result = report("latest", "--runs", runs, "--root", tmp_path / "nowhere", "-o", tmp_path / "a.html")
    assert result.exit_code == 0
    assert "the report has no part on a test split: no category of MVTec was found" in result.stderr
    assert (tmp_path / "a.html").is_file()


def test_a_test_image_that_cannot_be_read_stops_it_or_is_skipped(runs: Path, data: Path, tmp_path: Path) -> None:
    bad = data / "mvtec" / "washer" / "test" / "good" / "broken.png"
    bad.write_bytes(b"")
    try:
        result = report("latest", "--runs", runs, "-o", tmp_path / "a.html")
        assert result.exit_code == 2
        assert "broken.png" in result.stderr
        assert list(tmp_path.iterdir()) == []
        result = report("latest", "--runs", runs, "-o", tmp_path / "a.html", "--skip-bad")
        assert result.exit_code == 0
        assert f"unreadable, left out: {bad}" in result.stderr
        assert "broken.png" in (tmp_path / "a.html").read_text(encoding="utf-8")
        again = report("latest", "--runs", runs, "-o", tmp_path / "b.html")  # as it was judged
        assert (again.exit_code, again.stderr) == (0, result.stderr)
        assert (tmp_path / "b.html").read_bytes() == (tmp_path / "a.html").read_bytes()
    finally:
        bad.unlink()


def test_it_explains_itself_with_an_example() -> None:
    result = report("--help")
    assert "Example: adkit report latest" in " ".join(result.stdout.split())


def test_asking_for_help_loads_neither_plots_nor_templates() -> None:
    code = (
        "import sys\nfrom adkit.cli import app\n"
        "try:\n    app(['report', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('loaded:', *(name for name in ('matplotlib', 'jinja2') if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
