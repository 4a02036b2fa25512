"""Run folders: everything that was learned and how, as JSON and safetensors, written whole or not at all.

    runs/20261121-233012-patchknn-bottle/
        run.json                  what was fitted on what, with which options, threshold and promise
        model.safetensors         the method's state
        calibration.safetensors   out-of-sample results on normal data
        data.json                 checksums of the images that were learned from and calibrated with
        evaluation/               results on the test split and metrics (after `adkit eval`)
        pictures/                 the clearest and the worst of them
        report.html               after `adkit report`
        feedback/                 images of good parts, after `adkit feedback`

A later calibration has files of its own with a number (calibration-2.safetensors); those of earlier ones stay, so that
it can be undone.
Checksums of the files stand in run.json, and run.json carries its own: a truncated or edited run is refused.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from adkit.errors import OptionError, RunError, said
from adkit.files.atomic import checksum, is_folder, plain_name, storage_faults, whole_folder, write_whole
from adkit.files.documents import read_json, signed, take_signature
from adkit.runs.predictions import Predictions
from adkit.runs.record import FORMAT, LATEST, UNTRUSTED, CalibrationRecord, FileRecord, FitSettings, RunRecord, SeenData

if TYPE_CHECKING:
    from torch import Tensor

RECORD = "run.json"
EXPORTED = "model.json"  # in the place of a run's record, in what `adkit export` wrote
MODEL = "model.safetensors"
CALIBRATION = "calibration.safetensors"
DATA = "data.json"
EVALUATION = "evaluation"
PICTURES = "pictures"
REPORT = "report.html"
HIDDEN = ".undone"  # holds the runs that were put away, beside the others
LONGEST_CATEGORY = 60  # letters of it in a run's name; file systems take 255 bytes


@dataclass(frozen=True, slots=True)
class Run:
    """An opened run whose files were checked."""

    folder: Path
    record: RunRecord

    @property
    def argument(self) -> str:
        """Return what a command takes to mean this run: its id where runs usually are, else the path of its folder."""
        folder = self.folder.resolve()
        return self.record.id if folder == (default_runs_root() / self.record.id).resolve() else str(folder)

    def path_of(self, name: str) -> Path:
        """Return the file that has this name, or this name with the number of the calibration that counts."""
        numbered = _numbered(name, len(self.record.earlier_calibrations) + 1)
        return self.folder / (numbered if numbered in self.record.files else name)

    def state(self) -> dict[str, Tensor]:
        """Return the method's state."""
        from safetensors.torch import load_file

        return load_file(self.folder / MODEL)

    def calibration(self) -> Predictions:
        """Return the out-of-sample results on normal data; raises RunError where another command replaced them."""
        return Predictions.from_file(self._current(CALIBRATION))

    def seen(self) -> SeenData:
        """Return what the run learned from and was calibrated with; raises RunError as `calibration` does."""
        return SeenData(**json.loads(self._current(DATA).read_text(encoding="utf-8")))

    def _current(self, name: str) -> Path:
        path = self.path_of(name)
        if not path.is_file():
            raise RunError(f"{self.folder} was calibrated anew since it was opened", hint="open the run again")
        return path


def save_run(root: Path, record: RunRecord, state: Mapping[str, Tensor], results: Predictions, seen: SeenData) -> Run:
    """Write a new run below `root`, with a number where its id is taken; nothing remains where that fails."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    contents = {MODEL: save(tensors), CALIBRATION: results.to_bytes(), DATA: seen.to_bytes()}
    while True:
        named = record.model_copy(update={"files": _described(contents), "id": free_name(root, record.id)})
        folder = root / named.id
        try:
            with whole_folder(folder, replace=False) as temporary:
                for name, content in contents.items():
                    (temporary / name).write_bytes(content)
                (temporary / RECORD).write_bytes(signed(named.model_dump(mode="json")))
        except FileExistsError:
            continue  # another fit took the name in the meantime
        return Run(folder, named)


def save_runs(
    root: Path, state: Mapping[str, Tensor], parts: Sequence[tuple[RunRecord, Predictions, SeenData]]
) -> list[Run]:
    """Write a new run for each part, all of one model, in their order; none remains if one fails."""
    runs: list[Run] = []
    try:
        for record, calibration, seen in parts:
            runs.append(save_run(root, record, state, calibration, seen))
    except BaseException:
        for run in runs:
            shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return runs


def recalibrated(run: Run, calibration: CalibrationRecord, predictions: Predictions, seen: SeenData) -> Run:
    """Return the run with another calibration, in the same folder; the model and stored predictions are not touched.

    New files are written beside the old ones, and run.json, which names them, is replaced last: whenever it is broken
    off, the run is what it was or what it becomes. Pictures and report show the old threshold, and go.
    """
    record = run.record
    number = len(record.earlier_calibrations) + 2
    contents = {_numbered(CALIBRATION, number): predictions.to_bytes(), _numbered(DATA, number): seen.to_bytes()}
    earlier, files = [*record.earlier_calibrations, record.calibration], {**record.files, **_described(contents)}
    changed = record.model_copy(update={"calibration": calibration, "earlier_calibrations": earlier, "files": files})
    return _rewritten(run, changed, contents)


def uncalibrated(run: Run) -> Run:
    """Return the run with the calibration before its last one, in the same folder; raises RunError without one."""
    record = run.record
    gone = {run.path_of(name).name for name in (CALIBRATION, DATA)}
    files = {name: file for name, file in record.files.items() if name not in gone}
    before = record.earlier_calibrations
    if not before:
        raise RunError(f"{record.id} has the calibration that it was fitted with", hint="there is nothing to undo")
    changed = record.model_copy(update={"calibration": before[-1], "earlier_calibrations": before[:-1], "files": files})
    if not {Run(run.folder, changed).path_of(name).name for name in (CALIBRATION, DATA)} <= files.keys():
        hint = "an older adkit did not keep them: fit again"
        raise RunError(f"the scores of {record.id}'s earlier calibration were not kept", hint=hint)
    return _rewritten(run, changed, {})


def put_away(run: Run) -> Run:
    """Hide an updated run, so that the one before is the newest again, and return that; RunError where it is gone."""
    before = open_run(run.folder.parent / run.record.updates[-1].of)
    hidden = run.folder.parent / HIDDEN
    with storage_faults(hidden):
        hidden.mkdir(exist_ok=True)
        run.folder.rename(hidden / free_name(hidden, run.record.id))
    return before


def _rewritten(run: Run, changed: RunRecord, contents: Mapping[str, bytes]) -> Run:
    """Write new files, then the record that names them; what no record names any more goes."""
    folder = run.folder.resolve()
    try:
        for name, content in contents.items():
            write_whole(folder / name, content)
        write_whole(folder / RECORD, signed(changed.model_dump(mode="json")))
    finally:
        used = read_record(folder).files  # of the run as it is now, changed or not
        for name in {*run.record.files, *contents} - used.keys():
            (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    (folder / REPORT).unlink(missing_ok=True)
    return Run(folder, changed)


def _described(contents: Mapping[str, bytes]) -> dict[str, FileRecord]:
    return {name: FileRecord(bytes=len(content), sha256=checksum(content)) for name, content in contents.items()}


def _numbered(name: str, number: int) -> str:
    path = Path(name)
    return name if number == 1 else f"{path.stem}-{number}{path.suffix}"


def new_run_id(root: Path, settings: FitSettings, spec: str, now: datetime | None = None) -> str:
    """Return a name for a run that is free below `root` and sorts by time: "20261121-233012-patchknn-bottle"."""
    now = now or datetime.now(UTC)
    plain = plain_name(settings.name or Path(spec.partition(":")[2]).name).strip("-.")[:LONGEST_CATEGORY]
    return free_name(root, f"{now:%Y%m%d-%H%M%S}-{settings.method}-{plain or 'data'}")


def open_run(folder: Path) -> Run:
    """Open a run folder and check every file; raises RunError naming the first one that is wrong."""
    record = read_record(folder)
    for name, expected in record.files.items():
        path = folder / name
        if not path.is_file():
            raise RunError(f"the run lacks {name}: {folder}", hint=UNTRUSTED)
        size = path.stat().st_size
        if size != expected.bytes:
            raise RunError(f"{path} has {size} bytes, expected {expected.bytes}", hint=UNTRUSTED)
        if checksum(path.read_bytes()) != expected.sha256:
            raise RunError(f"{path} was changed after fitting (its checksum differs)", hint=UNTRUSTED)
    return Run(folder, record)


def list_runs(root: Path) -> list[tuple[Path, RunRecord | RunError]]:
    """Return the run folders below `root`, oldest first, each with its record or with what is wrong with it."""
    found: list[tuple[Path, RunRecord | RunError]] = []
    for folder in sorted(root.iterdir()) if is_folder(root) else ():
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            found.append((folder, read_record(folder)))
        except RunError as error:
            found.append((folder, error))
    far_past = datetime.min.replace(tzinfo=UTC)
    return sorted(found, key=lambda item: item[1].created if isinstance(item[1], RunRecord) else far_past)


def find_run(root: Path, name: str = LATEST, *, method: str | None = None) -> Run:
    """Open the run that `name` means: "latest" (of `method`), an id below `root`, a path, or the newest of that name.

    Raises RunError when there is none, when it is damaged, and when it is not a run of the given method.
    """
    if name != LATEST:
        folders = [folder for folder in (root / name, Path(name)) if is_folder(folder)]
        if not any((folder / RECORD).exists() for folder in folders):
            folders = folders_called(root, name)[-1:] or folders
        if folders:
            # With "." or "" for a name, the first of them is the root itself.
            run = open_run(next((folder for folder in folders if (folder / RECORD).exists()), folders[-1]))
            if method not in (None, run.record.method):
                hint = f"leave --method out, or name a run of {method}"
                raise RunError(f"the run {name} is of {run.record.method}, not of {method}", hint=hint)
            return run
        runs = list_runs(root)
        ids = [folder.name for folder, _ in runs]
        names = [one.settings.name or "" for _, one in runs if isinstance(one, RunRecord)]
        close = difflib.get_close_matches(name, [*ids, *names], n=1)
        hint = f"did you mean {close[0]}?" if close else f"the newest: {', '.join(ids[-3:]) or 'none'}"
        if Path(name).suffix == ".zip" and Path(name).is_file():
            hint = "an exported model is unpacked first: name its folder"
        raise RunError(f"there is no run {name!r} in {root} nor at that path", hint=hint)
    return open_run(newest_folder(root, method))


def folders_called(root: Path, name: str) -> list[Path]:
    """Return the folders of the runs that were given a name, oldest first."""
    return [folder for folder, one in list_runs(root) if isinstance(one, RunRecord) and one.settings.name == name]


def newest_folder(root: Path, method: str | None = None) -> Path:
    """Return the folder of the newest run (of `method`); raises RunError for none, and for a damaged one."""
    runs = list_runs(root)
    fitting = [folder for folder, record in runs if isinstance(record, RunRecord) and method in (None, record.method)]
    # Names begin with the time and tell the method. To take an older run because the newest is damaged would be
    # a silent surprise.
    damaged = [
        error
        for folder, error in runs
        if isinstance(error, RunError)
        and (folder / RECORD).exists()
        and (method is None or f"-{method}-" in folder.name)
        and (not fitting or folder.name > fitting[-1].name)
    ]
    if damaged:
        raise damaged[-1]
    if not fitting:
        wanted = f"a run of {method}" if method else "a run"
        example = f"adkit fit --method {method or 'patchknn'} --dataset folder:good_parts/"
        raise RunError(f"there is no {wanted.removeprefix('a ')} in {root.resolve()}", hint=f"make one: {example}")
    return fitting[-1]


def default_runs_root() -> Path:
    """Say where runs are kept: $ADKIT_RUNS, or ./runs."""
    return Path(os.environ.get("ADKIT_RUNS") or "runs")


def free_name(root: Path, stem: str, suffix: str = "") -> str:
    """Return the stem, with a number where there is something of that name below the root, and the suffix."""
    name, number = f"{stem}{suffix}", 1
    while (root / name).exists():
        number += 1
        name = f"{stem}-{number}{suffix}"
    return name


def read_record(folder: Path) -> RunRecord:
    """Return what a run says of itself, its other files not looked at; raises RunError for what is wrong with it."""
    path = folder / RECORD
    try:
        body = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        hint = "list them: adkit list runs"
        if (folder / EXPORTED).is_file():
            hint = f"adkit score judges by an export; for all else name the run that it came of. {hint.capitalize()}"
        raise RunError(f"{folder} is not a run: it has no {RECORD}", hint=hint) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}", hint=UNTRUSTED) from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        found = body.get("format") if isinstance(body, dict) else type(body).__name__
        asked = {**(body.get("settings") or {}), **body} if isinstance(body, dict) else {}  # before format 7 all in one
        told = {"method", "dataset"} <= asked.keys()
        again = f": adkit fit --method {asked['method']} --dataset {body['dataset']}" if told else " with this adkit"
        raise RunError(f"{path} has format {str(found)[:20]}, expected {FORMAT}", hint=f"fit again{again}")
    if not take_signature(body):
        raise RunError(f"{path} was changed after fitting (its checksum differs)", hint=UNTRUSTED)
    try:
        return RunRecord.model_validate(body)
    except OptionError as error:
        raise RunError(f"{path} is not valid: {error.message}", hint=UNTRUSTED) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RunError(f"{path} is not valid: {where}: {said(first['msg'])}", hint=UNTRUSTED) from None
