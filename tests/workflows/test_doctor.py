"""What `adkit doctor` says of a computer."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from adkit.errors import TrainingError
from adkit.interfaces import Silent
from adkit.registry import Plugin, Registry
from adkit.workflows import doctor
from adkit.workflows.doctor import Finding, examine
from tests.cli.invoking import ok, run


def found(runs: Path, registry: Registry, *, self_test: bool = False) -> dict[str, Finding]:
    return {one.what: one for one in examine(runs, registry, Silent(), self_test=self_test)}


def test_a_computer_where_all_is_well(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "METHOD", "subspace")  # quicker, and not as good
    monkeypatch.setattr(doctor, "SIZE", 64)
    findings = found(tmp_path, registry, self_test=True)
    assert not [one for one in findings.values() if one.problem and one.what != "self-test"]
    assert findings["self-test"].found.endswith("of 3 clear defects score above all good parts (most must)")
    assert "efficientnet_lite0" in findings["weights"].found


def test_what_is_wrong_is_said_and_the_rest_is_looked_at_all_the_same(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == "timm":
            raise PackageNotFoundError(name)
        return "1"

    def fit(*_: object, **__: object) -> None:
        raise TrainingError("no memory", hint="more of it")

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(doctor, "fit", fit)
    monkeypatch.setattr(doctor, "LEAST_FREE_GB", 1e9)
    monkeypatch.setenv("ADKIT_DATA", str(tmp_path / "nowhere"))
    (tmp_path / "runs" / "damaged").mkdir(parents=True)
    (tmp_path / "runs" / "damaged" / "run.json").write_text("nothing")
    gone = Plugin("broken", "broken", "a", "1", problem="ImportError: gone")
    broken = replace(registry, plugins=[*registry.plugins, gone])
    findings = found(tmp_path / "runs", broken, self_test=True)
    assert findings["timm"].problem == "pip install timm"
    assert "ImportError: gone" in findings["plugins"].problem
    assert "ADKIT_DATA" in findings["data"].problem
    assert "run.json cannot be read" in findings["runs"].problem
    assert "free some space" in findings["disk of the runs"].problem
    assert findings["self-test"].problem == "TrainingError: no memory"


def test_the_command_ends_as_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = json.loads(ok("doctor", "--no-self-test", "--runs", tmp_path, "--format", "json").stdout)
    assert {"adkit", "torch", "device", "plugins", "weights", "data", "runs"} <= {row["what"] for row in rows}
    monkeypatch.setattr(doctor, "LEAST_FREE_GB", 1e9)
    result = run("doctor", "--no-self-test", "--runs", tmp_path)
    assert result.exit_code == 2
    assert "free some space" in result.stdout
