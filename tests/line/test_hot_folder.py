"""A folder is watched: each image is judged once, in order, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Event, Thread

import pytest
from PIL import Image

from adkit.cli.line import drawing
from adkit.errors import DatasetError
from adkit.line import inbox as inbox_module
from adkit.line.drift import DriftAlarm
from adkit.line.hot_folder import watch_folder
from adkit.line.inbox import Arrival, Inbox, is_complete
from adkit.line.journal import Journal
from adkit.registry import Registry
from adkit.runs.store import Run
from adkit.workflows.score import FittedModel, open_model
from tests.greys import METHODS, Greys, fit_greys, paint, usual_levels, with_methods


@pytest.fixture(scope="module")
def registry() -> Registry:
    return with_methods(METHODS)


@pytest.fixture(scope="module")
def run(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    good = paint(tmp_path_factory.mktemp("good"), usual_levels(300, 1))
    return fit_greys(registry, Greys(good), tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def model(run: Run, registry: Registry) -> FittedModel:
    return open_model(run, registry, device="cpu")


def rows_of(model: FittedModel, folder: Path, journal: Path) -> list[dict[str, object]]:
    """What is in the journal when all that is in the folder was judged."""
    with Journal(journal) as kept:
        watch_folder(model, Inbox(folder, 0), kept, Event(), print, once=True)
    return [json.loads(line) for line in journal.read_text().splitlines()]


def test_each_file_is_judged_once_in_the_order_of_its_arrival(model: FittedModel, tmp_path: Path) -> None:
    folder, journal = tmp_path / "inbox", tmp_path / "journal.jsonl"
    files = paint(folder, [118, 180, 120, 121], seed=2)
    for place, file in enumerate(reversed(files)):
        os.utime(file, ns=(place, place))
    (folder / "notes.txt").write_text("no image")
    (folder / "deeper").mkdir()
    rows = rows_of(model, folder, journal)
    assert [Path(str(row["path"])).name for row in rows] == ["003.png", "002.png", "001.png", "000.png"]
    assert [row["decision"] for row in rows] == ["normal", "normal", "anomalous", "normal"]
    assert [row["part"] for row in rows] == [1, 2, 3, 4]
    expected = [result.score for result in model.score(list(reversed(files)))]
    assert [row["score"] for row in rows] == pytest.approx(expected)
    assert len(rows_of(model, folder, journal)) == 4, "another start judges nothing again"
    paint(folder, [170], seed=9)  # another part under an old name
    assert [row["part"] for row in rows_of(model, folder, journal)] == [1, 2, 3, 4, 5]


def test_a_file_that_grows_is_judged_when_it_is_complete(
    model: FittedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "GIVE_UP_S", 1.0)
    (source,) = paint(tmp_path / "source", [180], seed=3)
    content, folder = source.read_bytes(), tmp_path / "inbox"
    folder.mkdir()
    stop = Event()
    with Journal(tmp_path / "journal.jsonl") as journal:
        watching = Thread(target=watch_folder, args=(model, Inbox(folder, 0.05), journal, stop, print))
        watching.start()
        with (folder / "slow.png").open("wb", buffering=0) as file:
            for start in range(0, len(content) - 30, 40):
                file.write(content[start : min(start + 40, len(content) - 30)])
                time.sleep(0.1)
            file.write(content[-30:])  # at once: with a part of these the image can be read already
        (folder / "broken.png").write_bytes(b"nothing")
        end = time.monotonic() + 20
        while len(journal.path.read_text().splitlines()) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        stop.set()
        watching.join()
    rows = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert [(Path(row["path"]).name, row["decision"]) for row in rows] == [
        ("slow.png", "anomalous"),
        ("broken.png", "unreadable"),
    ]


def test_an_image_is_complete_when_it_says_so_and_nobody_writes_it(tmp_path: Path) -> None:
    (source,) = paint(tmp_path / "source", [180], seed=3)
    content = source.read_bytes()
    photo = tmp_path / "photo.jpg"
    Image.open(source).save(photo)
    assert is_complete(source)
    assert is_complete(photo)
    expected = {b"": None, content[:3]: None, content[:-1]: False, content + b".": False, photo.read_bytes()[:-1]: None}
    for part, known in expected.items():
        (tmp_path / "part.png").write_bytes(part)
        assert is_complete(tmp_path / "part.png") is known
    with (tmp_path / "open.png").open("wb", buffering=0) as file:
        file.write(content)
        assert is_complete(tmp_path / "open.png") is False
    assert is_complete(tmp_path / "open.png")
    assert is_complete(tmp_path / "gone.png") is None
    Image.open(source).save(tmp_path / "other.bmp")
    assert is_complete(tmp_path / "other.bmp") is None


def test_what_says_that_it_is_complete_need_not_settle(model: FittedModel, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    (source,) = paint(folder, [120], seed=2)
    Image.open(source).save(folder / "later.bmp")
    box = Inbox(folder, 60)
    assert [one.path.name for one in box.ready(9)] == ["000.png"]
    assert box.waiting
    box = Inbox(folder, 0)
    assert len(box.ready(1)) == 1
    assert len(box.ready(9)) == 2


def test_a_file_that_is_finished_while_it_is_looked_at_is_one_part(
    model: FittedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = paint(tmp_path / "source", [180], seed=3)
    folder, content = tmp_path / "inbox", source.read_bytes()
    folder.mkdir()
    (folder / "part.png").touch()

    def finished(path: Path) -> bool | None:
        if not path.stat().st_size:  # between the look into the folder and the look into the file
            path.write_bytes(content)
        return is_complete(path)

    monkeypatch.setattr(inbox_module, "is_complete", finished)
    (row,) = rows_of(model, folder, tmp_path / "journal.jsonl")
    assert row["identity"] == Arrival.of(folder / "part.png").identity


def test_what_is_left_alone_is_told_once_for_each_sort(tmp_path: Path) -> None:
    said: list[str] = []
    box = Inbox(tmp_path, 0, said.append)
    for name in ("a.txt", "b.txt", ".hidden", "README"):
        (tmp_path / name).write_text("no image")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    os.mkfifo(tmp_path / "pipe.png")
    for _ in range(3):
        assert box.ready(9) == []
        (tmp_path / f"{len(said)}.txt").write_text("another")
    assert len(said) == 5
    assert "pipe.png is left alone, and so are other pipes and devices: files are expected" in said
    assert any(one.startswith("loop.png is a link that leads nowhere: too many levels") for one in said)
    assert "README is left alone, and so are other files without a suffix: no images" in said
    assert any(
        "is left alone, and so are other folders: images are watched in the folder itself" in one for one in said
    )
    assert any(one.endswith(".txt is left alone, and so are other *.txt: no images") for one in said)


def test_images_that_are_not_of_the_run_are_doubted_once(model: FittedModel, tmp_path: Path) -> None:
    said: list[str] = []
    for number in range(3):
        Image.new("L", (80 + number, 8), 120 + number).save(tmp_path / f"{number}.png")
    with Journal(tmp_path / ".adkit" / "journal.jsonl") as kept:
        watch_folder(model, Inbox(tmp_path, 0, said.append), kept, Event(), print, once=True)
    (doubt,) = said
    assert doubt.startswith("0.png: it is of another size than what the run learned from (8×8 px); is ")
    assert doubt.endswith("the run for it?")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no folder"):
        Inbox(tmp_path / "nowhere", 0)
    (tmp_path / "part.png").touch()
    with pytest.raises(DatasetError, match=r"part\.png is a file, and a folder is watched"):
        Inbox(tmp_path / "part.png", 0)
    (tmp_path / "share").mkdir()
    box = Inbox(tmp_path / "share", 0)
    (tmp_path / "share").rmdir()
    with pytest.raises(DatasetError, match="cannot be looked into: no such file"):
        box.ready(9)


def test_what_vanishes_is_no_part_and_what_stays_open_is_one(
    model: FittedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "GIVE_UP_S", 0.2)
    folder = tmp_path / "inbox"
    gone, held, _ = paint(folder, [120, 180, 121], seed=3)
    said: list[str] = []

    class Taken(Inbox):
        def ready(self, most: int) -> list[Arrival]:
            found = super().ready(most)
            gone.unlink(missing_ok=True)
            return found

    with held.open("ab"), Journal(tmp_path / "journal.jsonl") as kept:
        watch_folder(model, Taken(folder, 0, said.append), kept, Event(), print, once=True)
        rows = [(Path(row["path"]).name, row["decision"]) for row in kept.rows()]
    assert rows == [("002.png", "normal"), ("001.png", "anomalous")]
    assert said == [f"{gone} was taken away before it was judged; others are not told of"]


def test_a_clock_that_is_set_back_loses_and_repeats_nothing(model: FittedModel, tmp_path: Path) -> None:
    folder, journal = tmp_path / "inbox", tmp_path / "journal.jsonl"
    for number, hours in enumerate((2, -2, 1)):  # when they were written, by the clock of the moment
        (file,) = paint(folder, [120 + number], seed=3, name=f"part{number}")
        os.utime(file, (time.time() + 3600 * hours,) * 2)
        assert len(rows_of(model, folder, journal)) == number + 1


def test_what_is_anomalous_is_drawn_beside_parts_of_the_same_name(registry: Registry, tmp_path: Path) -> None:
    good = paint(tmp_path / "good", usual_levels(60, 1))
    run = fit_greys(registry, Greys(good), tmp_path / "runs", method="grey_maps")
    mapped, folder = open_model(run, registry, device="cpu"), tmp_path / "maps"
    rows: list[dict[str, object]] = []
    for level in (190, 200, 120):
        paint(tmp_path / "inbox", [level], seed=level)
        with Journal(tmp_path / "journal.jsonl") as kept:
            box = Inbox(tmp_path / "inbox", 0)
            watch_folder(mapped, box, kept, Event(), rows.append, once=True, draw=drawing(mapped, folder))  # type: ignore[arg-type]
    assert [row["decision"] for row in rows] == ["anomalous", "anomalous", "normal"]
    assert sorted(str(row["picture"]) for row in rows[:2]) == sorted(map(str, folder.iterdir()))
    assert "picture" not in rows[2]


def test_drift_is_told_once_and_defects_are_none(model: FittedModel) -> None:
    alarm = DriftAlarm(model.run.record, model.normal_scores, 0.01)
    passing = [score for score in model.normal_scores.tolist() if score <= model.threshold.value]
    for number in range(200):
        assert alarm({"part": number, "score": passing[number * 37 % len(passing)]}) is None
        assert alarm({"part": number, "score": model.threshold.value + 50}) is None
    high = sorted(passing)[-10]
    said = [alarm({"part": number, "score": high}) for number in range(200)]
    (sentence,) = [one for one in said if one]
    assert "have drifted" in sentence


PROGRAM = """
import sys
from pathlib import Path
from threading import Event, Thread
from adkit.line import sinks
from adkit.line.hot_folder import watch_folder
from adkit.line.inbox import Inbox
from adkit.line.journal import Journal
from adkit.runs.store import open_run
from adkit.workflows.score import open_model
from tests.greys import METHODS, with_methods

model = open_model(open_run(Path(sys.argv[1])), with_methods(METHODS), device="cpu")
journal, stop = Journal(Path(sys.argv[3])), Event()
journal.note("files", journal.noted("files"))  # as the command does before anything is judged
mover = Thread(target=sinks.deliver_all, args=("files", journal, sinks.mover(sys.argv[4]), stop, print))
mover.start()
print("ready", flush=True)
watch_folder(model, Inbox(Path(sys.argv[2]), 0), journal, stop, print, once=sys.argv[5] == "once")
stop.set()
mover.join()
"""


def test_no_kill_loses_or_repeats_a_part(run: Run, tmp_path: Path) -> None:
    folder, journal, moved = tmp_path / "inbox", tmp_path / "journal.jsonl", tmp_path / "moved"
    names = [path.name for path in paint(folder, usual_levels(400, 4), seed=4)]
    command = [sys.executable, "-c", PROGRAM, str(run.folder), str(folder), str(journal), f"{moved}/{{decision}}"]
    for kill in range(3):
        with subprocess.Popen([*command, "on"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.02 + 0.03 * kill)
            process.send_signal(signal.SIGKILL)
    subprocess.run([*command, "once"], check=True, capture_output=True)
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [row["part"] for row in rows] == list(range(1, 401))
    assert Counter(Path(row["path"]).name for row in rows) == Counter(names)
    assert sorted(file.name for file in moved.rglob("*.png")) == sorted(names)
    assert not list(folder.glob("*.png"))
