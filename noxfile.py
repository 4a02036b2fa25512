"""One door for each chore: `nox` runs all that a change must pass, `nox -s NAME` one of them.

Environments are made with pip (the venv backend) and used again; `nox -r` on a second run is quick.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "types", "docs", "tests", "wheel", "third_party"]

EXAMPLE = "docs/examples/adkit-brightness"


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and simple mistakes."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """Check types strictly, in the environment of the tests: mypy needs the libraries it reads."""
    in_test_environment(session, "-m", "mypy")


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Check that the generated parts of the docs are what the program prints today."""
    pages = [str(path) for path in [Path("README.md"), *Path("docs").glob("*.md")]]
    in_test_environment(session, "-m", "cogapp", "--check", "--diff", "-P", *pages)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the test suite; the tests on real data run where $ADKIT_DATA names them."""
    # Of three processes on two cores, one may wait; who is done helps the others.
    in_test_environment(session, "-m", "pytest", "-n", "3", "--dist", "worksteal", *session.posargs)


@nox.session(venv_backend="none")
def browser(session: nox.Session) -> None:
    """Test the page end to end in a real browser, one after the other: it needs Chromium, and takes some minutes."""
    in_test_environment(session, "-m", "pytest", "-m", "browser", "tests/ui", *session.posargs)


@nox.session(venv_backend="none")
def faults(session: nox.Session) -> None:
    """Kill, corrupt and starve adkit, some thousand times, for about an hour; prints one table. `-- 0.1`: a tenth."""
    in_test_environment(session, "-m", "tests.faults", *session.posargs)


@nox.session(venv_backend="none")
def web(session: nox.Session) -> None:
    """Ask the REST interface all that its description allows, and what it does not: schemathesis, some minutes."""
    in_test_environment(session, "-m", "pytest", "-m", "web", "tests/ui", *session.posargs)


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Compare adkit's speed with references, and fail where a ratio fell; or run others: `nox -s bench -- coreset`."""
    if not session.posargs:
        in_test_environment(session, "benchmarks/regressions.py", "--json", "bench.json")
    for name in session.posargs:
        in_test_environment(session, f"benchmarks/{name}.py")


@nox.session
def wheel(session: nox.Session) -> None:
    """Check that the wheel holds the core and every plugin, and nothing else."""
    session.install("build")
    with tempfile.TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--wheel", "--outdir", folder)
        (built,) = Path(folder).glob("*.whl")
        names = session.run("python", "-m", "zipfile", "-l", str(built), silent=True) or ""
        packages = {line.split("/")[0] for line in names.splitlines()[1:]}
        expected = {"adkit", *(path.parent.name for path in Path("plugins").glob("*/__init__.py"))}
        found = {name for name in packages if not name.endswith(".dist-info")}
        if found != expected:
            session.error(f"the wheel holds {sorted(found)}, expected {sorted(expected)}")


@nox.session
def third_party(session: nox.Session) -> None:
    """Try a stranger's plugin on adkit's wheel, in a fresh environment, through every command."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        session.run("python", "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", folder, ".")
        (built,) = work.glob("adkit_vision-*.whl")
        # By force, because the environment is used again: pip would keep an older build of the same version.
        session.install(str(built), "--force-reinstall", "--no-deps")
        session.install(str(built), "pytest")
        session.install("--no-deps", "--force-reinstall", f"./{EXAMPLE}")
        environment = {"ADKIT_RUNS": str(work / "runs"), "ADKIT_CACHE": str(work / "cache")}

        def adkit(*arguments: str) -> str:
            command = ("python", "-P", "-m", "adkit", *arguments)
            # Only stdout is captured: that is what a program reads.
            return session.run(*command, env=environment, silent=True, stderr=None) or ""

        listed = json.loads(adkit("list", "methods", "--format", "json"))
        if "brightness" not in {row["name"] for row in listed}:
            session.error(f"adkit list methods does not know the plugin: {listed}")
        (row,) = [
            row
            for row in json.loads(adkit("list", "plugins", "--format", "json"))
            if row["module"] == "adkit_brightness"
        ]
        if row["problem"]:
            session.error(f"adkit list plugins sets the plugin aside: {row}")
        if "side" not in adkit("show", "brightness"):
            session.error("adkit show does not know the plugin's option")
        sheet = work / "sheet.png"
        inspected = json.loads(adkit("inspect", "--dataset", "demo:washer", "--sheet", str(sheet), "--format", "json"))
        if inspected["findings"] or not sheet.is_file():
            session.error(f"adkit inspect found fault with the synthetic washers: {inspected}")
        fitted = json.loads(
            adkit("fit", "--method", "brightness", "--dataset", "demo:washer", "--set", "side=32", "--format", "json")
        )
        judged = json.loads(adkit("eval", "--run", fitted["run"], "--format", "json"))
        if judged["metrics"]["image_auroc"]["value"] is None:
            session.error(f"adkit eval gave no AUROC: {judged}")
        pictures = sorted(work.glob("cache/demo/*/washer/test/good/*.png"))[:2]
        scored = json.loads(adkit("score", *map(str, pictures), "--method", "brightness", "--format", "json"))
        if len(scored["results"]) != 2:
            session.error(f"adkit score gave {scored}")
        session.run("python", "-P", "-m", "pytest", "-q", f"{EXAMPLE}/test_brightness.py", "-p", "no:cacheprovider")


def in_test_environment(session: nox.Session, *command: str) -> None:
    """Run python in the one heavy environment that types, docs, tests and benchmarks share.

    It is made anew when pyproject.toml changes.
    """
    folder = Path(".nox") / "shared"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = folder / "pyproject.toml"
    wanted = Path("pyproject.toml").read_text(encoding="utf-8")
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != wanted:
        session.run(sys.executable, "-m", "venv", str(folder), external=True)
        session.run(str(python), "-m", "pip", "install", "--quiet", "--editable", ".[dev]", external=True)
        stamp.write_text(wanted, encoding="utf-8")
    session.run(str(python), *command, external=True)
