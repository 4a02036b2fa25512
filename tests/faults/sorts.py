"""Every sort of fault: what is done, and how it is told whether it was refused, changed nothing, or is a fault."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import psutil
from PIL import Image

from adkit.data.images import is_image
from adkit.errors import AdkitError
from adkit.evaluation.stored import StoredFigures, stored_figures
from adkit.registry import load_registry
from adkit.runs.record import RunRecord
from adkit.runs.store import Run, find_run, list_runs, open_run
from adkit.runs.unfinished import list_unfinished
from adkit.workflows.score import open_model
from tests.faults.ground import CODES, Ground, Tally, command, forked, outcome_of
from tests.faults.plugin import DEEDS, EVIL
from tests.greys import bytes_below

# Corruptions of a run's folder


def _flip(path: Path, chance: Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def _number(path: Path, chance: Random) -> None:
    """Another number in JSON, of which the layout stays; in other files another byte."""
    text = path.read_bytes()
    digits = [place for place, byte in enumerate(text) if 48 <= byte <= 57]
    place = chance.choice(digits)
    other = chance.choice([b"NaN", b"-1", b"1e999", b"7", b"9" * 5000])
    path.write_bytes(text[:place] + other + text[place + 1 :])


def _swap(path: Path, chance: Random) -> None:
    other = chance.choice([one for one in path.parent.iterdir() if one.is_file()])
    mine, its = path.read_bytes(), other.read_bytes()
    path.write_bytes(its)
    other.write_bytes(mine)


def _instead(make: Callable[[Path], object]) -> Callable[[Path, Random], None]:
    def replace(path: Path, _: Random) -> None:
        path.unlink()
        make(path)

    return replace


CORRUPTIONS: dict[str, Callable[[Path, Random], None]] = {
    "a bit": _flip,
    "truncated": lambda path, chance: os.truncate(path, chance.randrange(path.stat().st_size)),
    "longer": lambda path, chance: path.write_bytes(path.read_bytes() + chance.randbytes(1 + chance.randrange(99))),
    "swapped": _swap,
    "a number": _number,
    "nested": lambda path, _: path.write_bytes(b"[" * 200_000) and None,
    "away": _instead(lambda path: None),
    "a pipe": _instead(os.mkfifo),
    "a folder": _instead(Path.mkdir),
    "a link to a device": _instead(lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": _instead(lambda path: path.symlink_to(path)),
    "huge": lambda path, _: os.truncate(path, 1 << 41),
}


def corruptions(ground: Ground, tally: Tally, count: int, seed: int = 0) -> None:
    """Corrupt copies of the run, one file in one way each; what can still be opened says what it said."""
    chance, registry = Random(seed), load_registry()

    def told(folder: Path) -> tuple[Any, ...]:
        run = find_run(folder.parent, folder.name)
        model = open_model(run, registry, device="cpu")
        scores = [(one.score, one.p_value, one.anomalous) for one in model.score([ground.folder / "more"])]
        return run.record, scores, run.seen()

    def figures(folder: Path) -> StoredFigures:
        (record,) = (record for _, record in list_runs(folder.parent))
        return stored_figures(Run(folder, record)) if isinstance(record, RunRecord) else StoredFigures()

    expected, expected_figures = told(ground.run), figures(ground.run)
    names = [str(path.relative_to(ground.run)) for path in sorted(ground.run.rglob("*")) if path.is_file()]
    names = [name for name in names if not name.startswith("pictures")]  # for people: nothing is computed from them
    for number in range(count):
        folder = ground.folder / "corrupted" / ground.run.name
        shutil.copytree(ground.run, folder)
        name, how = chance.choice(names), chance.choice(list(CORRUPTIONS))
        CORRUPTIONS[how](folder / name, chance)
        try:
            found = figures(folder)
            same = found in (expected_figures, StoredFigures()) and told(folder) == expected
            outcome = "identical" if same else "something changed in silence"
        except AdkitError:
            outcome = "refused"
        except Exception as error:
            outcome = repr(error)
        tally.add("corruptions", outcome, f"{number}: {name}, {how}")
        shutil.rmtree(folder)


# Kills


def _whole(ground: Ground, known: dict[str, Any], results: Path) -> str:
    """Whether all that is there is whole after a kill: runs open, tables and images can be read."""
    for folder, record in list_runs(ground.runs):
        if not isinstance(record, RunRecord):
            return f"{folder.name} is half a run: {record}"
        model = open_run(folder).state()["mean"]
        if known.setdefault(record.method, model) != model:
            return f"{folder.name} holds another model"
    for path in results.rglob("*"):
        if is_image(path) and not path.name.startswith("."):
            Image.open(io.BytesIO(path.read_bytes())).load()
        elif path.suffix == ".json" and not path.name.startswith("."):
            json.loads(path.read_bytes())
    return ""


def _rows(results: Path) -> list[dict[str, Any]]:
    return list(json.loads((results / "scores.json").read_bytes())["results"])


def kills(ground: Ground, tally: Tally, count: int, seed: int = 0) -> None:
    """Kill commands at random moments; afterwards all that is there is whole, and what was begun can be done again."""
    chance, results, log = Random(seed), ground.folder / "results", ground.folder / "log"
    base, data = ("--runs", ground.runs), f"folder:{ground.folder / 'parts'}"
    written = ("-o", results / "scores.json", "--heatmaps", results / "maps")
    name = ground.run.name
    commands: dict[str, list[object]] = {
        "fit": ["fit", "-m", "steps", "-d", data, *base],
        "score": ["score", ground.folder / "more", "-r", name, *base, *written],
        "eval": ["eval", "-r", name, *base],
        "calibrate": ["calibrate", name, "-n", ground.folder / "more", "--keep", *base],
        "compare": ["compare", "-m", "steps,nan", "-d", data, "--seeds", 1, "-o", results / "comparison"],
        "report": ["report", name, *base, "-o", results / "report.html"],
    }
    known: dict[str, Any] = {}
    lasts_s: dict[str, float] = {}
    for kind, arguments in commands.items():
        began = time.monotonic()
        forked(arguments, log)
        lasts_s[kind] = time.monotonic() - began
        shutil.rmtree(ground.run / "evaluation", ignore_errors=True)
    for number in range(count):
        kind = list(commands)[number % len(commands)]
        forked(commands[kind], log, kill_after_s=chance.uniform(0, lasts_s[kind]))
        outcome = _whole(ground, known, results)
        if not outcome and kind == "fit" and list_unfinished(ground.runs):
            resumed = command("fit", "--resume", "latest", *base)
            outcome = _whole(ground, known, results) or (resumed.output if resumed.exit_code else "")
        if not outcome and (results / "scores.json.unfinished" / "asked.json").exists():
            resumed = command(*commands["score"], "--resume")
            paths = [] if resumed.exit_code else [row["path"] for row in _rows(results)]
            if len(paths) != len(set(paths)) or len(paths) != len(list((ground.folder / "more").glob("*.png"))):
                outcome = f"{len(paths)} rows after --resume: {resumed.output[-300:]}"
        again = command(*commands[kind]) if kind != "fit" and number % 3 == 0 else None
        if again is not None and again.exit_code not in CODES:
            outcome = outcome_of(again)
        tally.add(f"kill -9 {kind}", outcome or "identical", str(number))
        for folder in list(ground.runs.iterdir()):
            if folder.name != name:
                shutil.rmtree(folder)
    for arguments in commands.values():  # each sweeps where it writes
        command(*arguments)
    left = [*ground.runs.rglob(".adkit-*"), *results.rglob(".adkit-*")]
    tally.add("kill -9, then swept", f"left: {left}" if left else "identical")


# Limits


def _limit(what: int, most: int) -> Callable[[], object]:
    return lambda: resource.setrlimit(what, (most, most))


def limits(ground: Ground, tally: Tally, sizes: tuple[int, ...] = (0, 100, 3000, 20_000)) -> None:
    """Let commands run where no file may be longer than so much, and where memory ends: two lines, and nothing half."""
    base, log, results = ("--runs", ground.runs), ground.folder / "log", ground.folder / "limited"
    commands: list[list[object]] = [
        ["fit", "-m", "steps", "-d", f"folder:{ground.folder / 'parts'}", *base],
        ["score", ground.folder / "more", *base, "-o", results / "scores.csv", "--heatmaps", results / "maps"],
        ["eval", *base],
        ["calibrate", "latest", "-n", ground.folder / "more", *base],
        ["report", "latest", *base],
    ]
    taken = psutil.Process().memory_info().vms
    of_memory = [("memory", resource.RLIMIT_AS, taken + room) for room in (1 << 20, 1 << 24)]
    for (sort, what, most), arguments in product(
        [*(("full disk", resource.RLIMIT_FSIZE, size) for size in sizes), *of_memory], commands
    ):
        before = bytes_below(ground.run)
        code = forked(arguments, log, before=_limit(what, most), longest_s=120)
        if sort == "full disk" and what == resource.RLIMIT_FSIZE and most == 0:
            log.write_text("")  # it could not even say so
        said = log.read_text(errors="replace")
        if "_started.wait" in said:
            continue  # Python's own: it waits for a thread that had too little memory to begin
        outcome = "identical" if code == 0 else "refused"
        if "Traceback" in said or code not in (*CODES, 1) or (code == 1 and most):
            outcome = f"exit code {code}: {said[-600:]}"
        if problem := _whole(ground, {}, results):
            outcome = problem
        tally.add(sort, outcome, f"{arguments[0]} with {most:,} bytes")
        for folder in list(ground.runs.iterdir()):
            if folder.name != ground.run.name:
                shutil.rmtree(folder)
        if bytes_below(ground.run).keys() < before.keys() and arguments[0] not in ("calibrate", "eval", "report"):
            tally.add(sort, "files of the run are gone", str(arguments[0]))


def many_files(ground: Ground, tally: Tally, count: int) -> None:
    """Score many files: memory is flat, and every descriptor is given back."""
    folder = ground.folder / "many"
    folder.mkdir()
    source = sorted((ground.folder / "more").iterdir())
    for number in range(count):
        os.link(source[number % len(source)], folder / f"{number:05d}.png")
    process, model = psutil.Process(), open_model(find_run(ground.runs), load_registry(), device="cpu")
    list(model.score(sorted(folder.iterdir())[:100]))
    descriptors, taken, scored = process.num_fds(), process.memory_info().rss, 0
    for _ in model.score([folder]):
        scored += 1
    grown = process.memory_info().rss - taken
    outcome = "identical"
    if scored != count:
        outcome = f"{scored} were scored"
    if grown > 30_000_000 or process.num_fds() > descriptors:
        outcome = f"memory grew by {grown:,} bytes, {process.num_fds() - descriptors} descriptors are open"
    tally.add("many files", outcome, f"{count:,}")


# Plugins


def plugins(ground: Ground, tally: Tally) -> Iterator[None]:
    """Let methods and metrics do wrong; nothing is written of what cannot be used, and the plugin is named."""
    data = f"folder:{ground.folder / 'parts'}"
    for method in EVIL:
        runs = ground.folder / "evil"
        result = command("fit", "-m", method, "-d", data, "--runs", runs, "-f", "json")
        plain = result.exception is None or isinstance(result.exception, SystemExit)
        if method.startswith("prints"):
            good = result.exit_code == 0 and json.loads(result.stdout)["run"]
        else:
            notes = str(getattr(result.exception, "__notes__", "")) + result.output
            named = "faults" in notes or "memory" in notes
            good = not list_runs(runs) and named and (result.exit_code == 2 if plain else result.exit_code == 1)
        outcome = ("identical" if result.exit_code == 0 else "refused") if good else outcome_of(result, 0)
        tally.add("plugins", outcome, method)
        shutil.rmtree(runs, ignore_errors=True)
        yield
    for deed in DEEDS:
        os.environ["DEED"] = deed
        result = command("eval", "--runs", ground.runs, "-f", "json")
        del os.environ["DEED"]
        good = result.exit_code == 0 and json.loads(result.stdout)["metrics"]["image_auroc"]["value"] == 1.0
        tally.add("plugins", "identical" if good else outcome_of(result, 0) + result.output[-300:], f"metric {deed}")
        yield


def hanging(ground: Ground, tally: Tally) -> None:
    """Interrupt a method that goes on for long: the command ends, and says so."""
    child = os.fork()
    if child == 0:
        from tests.faults.plugin import Steps

        signal.signal(signal.SIGINT, signal.default_int_handler)
        Steps.pause_s = 60.0
        data = f"folder:{ground.folder / 'parts'}"
        os._exit(command("fit", "-m", "steps", "-d", data, "--runs", ground.folder / "hanging").exit_code)
    while not list(ground.folder.glob("hanging/**/training.checkpoint")) and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.1)
    os.kill(child, signal.SIGINT)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    tally.add("plugins", "refused" if code in (130, -signal.SIGINT) else f"exit code {code}", "hangs")
