"""A run learns further images: a new run comes of it, the one before stays, and the way back is open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from adkit.interfaces import Batches, Progress, Workspace
from adkit.runs.store import find_run, list_runs
from adkit.stats.calibration import threshold_from
from adkit.types import Batch, FitReport, Prediction
from tests.cli.invoking import commands_that_find, ok, refused
from tests.greys import METHODS, SPREAD, USUAL, GreyWithoutOne, bytes_below, paint, usual_levels, with_methods


class GreyUpdated(GreyWithoutOne):
    """Goes on learning: its mean is of all images but those that were taken out."""

    def fit(self, batches: Batches, progress: Progress, workspace: Workspace | None = None) -> None:
        super().fit(batches, progress)
        self.sources = torch.arange(len(self.known))

    def update(self, batches: Batches, progress: Progress, *, first: int, removed: Sequence[int]) -> FitReport:
        new = torch.cat([self.brightness(batch) for batch in batches])
        stays = ~torch.isin(self.sources, torch.tensor(removed, dtype=torch.int64))
        self.sources = torch.cat([self.sources[stays], first + torch.arange(len(new))])
        self.known = torch.cat([self.known[stays], new])
        self.mean, self.new = self.known.mean(), len(new)
        return FitReport({"bank": len(self.known)})

    def calibration(self) -> Prediction | None:
        prediction = super().calibration()
        assert prediction is not None
        assert prediction.scores is not None
        return Prediction(scores=prediction.scores[-getattr(self, "new", len(self.known)) :])

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "known": self.known, "sources": self.sources}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        super().load_state(state)
        self.known, self.sources = state["known"], state["sources"]

    def predict(self, batch: Batch) -> Prediction:
        return Prediction(scores=self.brightness(batch) - self.mean)


@pytest.fixture(scope="module", autouse=True)
def _with_greys() -> Iterator[None]:
    old = type("Old", (GreyWithoutOne,), {"fit": lambda self, batches, progress: None})
    with commands_that_find(with_methods({**METHODS, "grey_updated": GreyUpdated, "old": old})):
        yield


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with a run on brightness, of 60 images."""
    paint(tmp_path / "train" / "good", usual_levels(60, 1))
    ok("fit", "-m", "grey_updated", "-d", f"folder:{tmp_path}", "--runs", tmp_path / "runs", "--name", "bracket")
    return tmp_path / "runs"


def update(runs: Path, more: Path, *arguments: str | Path | float) -> str:
    return ok("update", "bracket", "--normal", more, "--runs", runs, *arguments).output


def test_who_takes_a_name_over_says_from_whom(runs: Path, tmp_path: Path) -> None:
    old = find_run(runs, "bracket")
    arguments = ("fit", "-m", "grey_updated", "-d", f"folder:{tmp_path}", "--runs", runs, "--name", "bracket")
    assert f"--run bracket means this one by now, and no longer {old.record.id}" in ok(*arguments).stdout
    assert find_run(runs, "bracket").record.id != old.record.id


def test_a_new_run_has_learned_all_and_its_threshold_is_of_all(runs: Path, tmp_path: Path) -> None:
    old = find_run(runs, "bracket")
    files = bytes_below(old.folder)
    paint(tmp_path / "more", usual_levels(50, 2), seed=2)
    output = update(runs, tmp_path / "more")
    new = find_run(runs, "bracket")
    assert new.record.id != old.record.id
    assert f"run {new.record.id}: {old.record.id}, and 50 further normal images" in output
    assert bytes_below(old.folder) == files
    state = new.state()
    assert len(state["known"]) == 110
    assert new.record.train_count == 110
    levels = state["known"].double()
    left_out = (levels - (levels.sum() - levels) / 109)[60:]
    assert new.calibration().scores is not None
    scores = torch.cat([left_out, torch.from_numpy(old.calibration().scores).double()])  # type: ignore[arg-type]
    expected = threshold_from(scores.numpy(), old.record.calibration.rule).value
    assert new.record.threshold.value == pytest.approx(expected, abs=1e-3)
    assert new.record.threshold.count == 110
    (last,) = new.record.updates
    assert (last.of, last.images, last.removed) == (old.record.id, 50, [])
    assert len(new.seen().training) == 110


def test_what_was_updated_and_calibrated_is_undone_step_by_step(runs: Path, tmp_path: Path) -> None:
    first = find_run(runs, "bracket").record.id
    paint(tmp_path / "more", usual_levels(50, 2), seed=2)
    update(runs, tmp_path / "more")
    second = find_run(runs, "bracket")
    ok("calibrate", "bracket", "--max-false-alarms", "5%", "--runs", runs)
    ok("restore", "bracket", "--runs", runs)
    assert find_run(runs, "bracket").record.calibration == second.record.calibration
    assert f"run {second.record.id} was put away" in ok("restore", "bracket", "--runs", runs).output
    assert find_run(runs, "bracket").record.id == find_run(runs).record.id == first
    assert [folder.name for folder, _ in list_runs(runs)] == [first]
    assert refused("restore", "bracket", "--runs", runs)[1] == "there is nothing to undo"


def test_images_that_the_run_before_flags_are_named(runs: Path, tmp_path: Path) -> None:
    paint(tmp_path / "more", [*[USUAL] * 30, USUAL + 12 * SPREAD], seed=2)
    output = update(runs, tmp_path / "more")
    assert "1 of 31 was anomalous to the run before" in output
    assert "030.png" in output


def test_images_that_score_higher_are_told_in_words(runs: Path, tmp_path: Path) -> None:
    paint(tmp_path / "alike", usual_levels(50, 2), seed=2)
    assert "score higher" not in update(runs, tmp_path / "alike")
    assert find_run(runs, "bracket").record.updates[-1].drift is None
    paint(tmp_path / "more", [USUAL + 3 * SPREAD + one % 3 for one in range(50)], seed=3)
    output = update(runs, tmp_path / "more")
    said = "the new images score higher than those that set the threshold so far, p = "
    assert said in output
    assert "if parts or camera changed this is meant" in output
    new = find_run(runs, "bracket")
    assert str(new.record.updates[-1].drift).startswith(said)
    sources = "leave-one-out on 50 further normal images, and 110 scores from before"
    assert new.record.calibration.source == sources  # which the run before says of its own
    assert said in ok("show", new.record.id, "--runs", runs, "--format", "json").output
    (tmp_path / "inbox").mkdir()
    watch = ("watch", tmp_path / "inbox", "--run", "bracket", "--runs", runs, "--once", "--drift", 0.01)
    doubt = "when the run was updated, the new images scored higher than those before, and --drift compares with both"
    assert doubt in ok(*watch).output
    paint(tmp_path / "later", [USUAL + 3 * SPREAD + one % 3 for one in range(50)], seed=4)
    ok("calibrate", "bracket", "--normal", tmp_path / "later", "--runs", runs)
    assert doubt not in ok(*watch).output


def test_an_image_is_taken_out_and_the_new_ones_alone_set_the_threshold(runs: Path, tmp_path: Path) -> None:
    paint(tmp_path / "more", usual_levels(50, 2), seed=2)
    name = next(iter(find_run(runs, "bracket").seen().training))
    update(runs, tmp_path / "more", "--remove", name)
    new = find_run(runs, "bracket")
    assert 0 not in new.state()["sources"].tolist()
    assert new.record.threshold.count == 50
    assert new.record.train_count == 109
    assert new.record.updates[0].removed == [name]
    paint(tmp_path / "later", usual_levels(20, 3), seed=3)
    later = next(name for name in new.seen().training if name.endswith("more/007.png"))
    update(runs, tmp_path / "later", "--remove", later)
    assert 67 not in find_run(runs, "bracket").state()["sources"].tolist()
    message, hint = refused("update", "bracket", "-n", tmp_path / "more", "--runs", runs, "--remove", "004.png")
    assert message == "--remove 004.png: no image of that name was learned from"
    assert "did you mean" in hint


def test_what_calibrated_and_is_then_learned_has_one_say(runs: Path, tmp_path: Path) -> None:
    paint(tmp_path / "more", usual_levels(50, 2), seed=2)
    ok("calibrate", "bracket", "--normal", tmp_path / "more", "--runs", runs)
    update(runs, tmp_path / "more")
    assert find_run(runs, "bracket").record.threshold.count == 50


def test_what_cannot_go_on_learning_is_refused_in_two_lines(runs: Path, tmp_path: Path) -> None:
    paint(tmp_path / "more", usual_levels(50, 2), seed=2)
    ok("fit", "-m", "grey", "-d", f"folder:{tmp_path}", "--runs", runs)
    message, hint = refused("update", "latest", "--normal", tmp_path / "more", "--runs", runs)
    assert message == "grey cannot go on learning (grey_updated, patchknn can)"
    assert hint.startswith("fit again, from the old and the new images together: adkit fit --method grey --dataset")
    assert refused("feedback", "latest", "--good", tmp_path / "more", "--runs", runs) == (message, hint)
    assert not (find_run(runs).folder / "feedback").exists()
    message, _ = refused("update", "bracket", "--normal", tmp_path / "train", "--runs", runs)
    assert message.startswith("the run has seen all 60 images of")
    (tmp_path / "wide").mkdir()
    Image.new("L", (64, 8), 120).save(tmp_path / "wide" / "one.png")
    message, hint = refused("update", "bracket", "--normal", tmp_path / "wide", "--runs", runs)
    assert message.endswith("it is of another size than what the run learned from (8×8 px)")
    assert hint == "fit again for images of another size"
    assert len(list_runs(runs)) == 2


def test_confirmed_images_are_learned_and_have_no_say_in_the_threshold(runs: Path, tmp_path: Path) -> None:
    old = find_run(runs, "bracket")
    flagged = paint(tmp_path / "flagged", [USUAL + 4 * SPREAD, USUAL + 5 * SPREAD], seed=7)
    assert "adkit feedback" in refused("update", "bracket", "--runs", runs, "--feedback")[1]
    output = ok("feedback", "bracket", "--good", flagged[0], "--good", flagged[1], "--runs", runs).output
    assert "kept 2 of 2 images\n" in output
    output = ok("feedback", "bracket", "--good", flagged[0], "--runs", runs).output
    assert f"kept 0 of 1 image; {old.record.id} has learned or kept them already" in output
    assert "next, with 2 images: adkit update " in output
    for path in flagged:
        path.unlink()
    kept = sorted((old.folder / "feedback").iterdir())
    assert sorted(path.name.partition("-")[2] for path in kept) == sorted(path.name for path in flagged)
    odd = kept[0].rename(kept[0].with_name("6789def.png"))  # as earlier releases named them, by checksums alone
    ok("update", "bracket", "--feedback", "--runs", runs)
    odd.rename(kept[0])
    new = find_run(runs, "bracket")
    assert len(new.state()["known"]) == 62
    assert new.record.threshold == old.record.threshold
    assert refused("update", "bracket", "--runs", runs)[0] == "update was given no images to learn"
    learned = ok("feedback", "bracket", "--good", old.folder / "feedback", "--runs", runs).output
    assert learned == f"kept 0 of 2 images; {new.record.id} has learned or kept them already\n"
    fresh, empty = paint(tmp_path / "fresh", [USUAL], seed=77)[0], tmp_path / "fresh" / "empty.jpg"
    empty.touch()
    assert str(empty) in refused("feedback", "bracket", "--good", fresh, "--good", empty, "--runs", runs)[0]
    assert not (new.folder / "feedback").exists()  # not even the one that is sound
    assert "--leave-out" in refused("update", "bracket", "--remove", "a.png", "--runs", runs)[1]
    assert f"run {new.record.id}" in ok("show", "bracket", "--runs", runs).output
    for missing in (
        refused("update", "bracket", "--normal", tmp_path / "nowhere", "--runs", runs),
        refused("feedback", "bracket", "--good", tmp_path / "nowhere", "--runs", runs),
    ):
        assert missing[0] == f"there is no file {tmp_path / 'nowhere'}"
        assert missing[1].startswith("name images of ")
