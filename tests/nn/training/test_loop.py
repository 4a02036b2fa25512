from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from adkit.errors import RunError, TrainingError
from adkit.interfaces import Advance, Progress, Silent
from adkit.nn.options import TrainingOptions
from adkit.nn.training import loop as training
from adkit.nn.training.checkpoints import FILE
from adkit.nn.training.loop import Objective, Training, TrainingRows, auroc, train

OPTIONS: dict[str, Any] = {"epochs": 12, "batch_size": 16, "learning_rate": 0.05, "precision": "32"}


class Line(Objective):
    """Learns y = a x + b from rows (x, y); draws a little noise for each step."""

    def __init__(self, noise: float = 0.01) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.noise = noise
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, batch: Tensor, draw: int) -> Tensor:
        noise = torch.randn(len(batch), generator=torch.Generator().manual_seed(draw)).to(batch.device)
        found: Tensor = self.layer(batch[:, :1])[:, 0]
        return (found - batch[:, 1] + self.noise * noise).square()

    def scores(self, batch: Tensor) -> Tensor:
        found: Tensor = self.layer(batch[:, :1])[:, 0]
        return (found - batch[:, 1]).abs()


class Faulty(Line):
    """Its loss is not finite any more from this step on."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, batch: Tensor, draw: int) -> Tensor:
        if self.training:
            self.steps -= 1
        return super().forward(batch, draw) * (math.nan if self.steps < 0 else 1)


class Told(Progress):
    """Remembers what it is told, and may break off after some epochs, as Ctrl-C does."""

    def __init__(self, most: int = 10**9) -> None:
        self.done: list[int] = []
        self.texts: list[str] = []
        self.most = most

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Advance]:
        def advance(steps: int) -> None:
            self.done.append(steps)
            if sum(self.done) >= self.most:
                raise KeyboardInterrupt

        yield advance

    def status(self, text: str, figures: Mapping[str, float] | None = None) -> None:
        self.texts.append(text)
        self.figures = dict(figures or {})


def rows(count: int, seed: int = 0) -> Tensor:
    x = torch.rand(count, 1, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.cat([x, 3 * x + 0.5], dim=1)


def data(count: int = 64) -> TrainingRows:
    held_out = rows(20, seed=1)
    return TrainingRows(rows(count), held_out, held_out + torch.tensor([0.0, 2.0]))


def trained(
    objective: Objective,
    folder: Path | None = None,
    progress: Progress | None = None,
    what: TrainingRows | None = None,
    **options: Any,
) -> Training:
    parsed = TrainingOptions(**(OPTIONS | options))
    return train(objective, what or data(), parsed, seed=5, device="cpu", progress=progress or Silent(), folder=folder)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every epoch."""
    monkeypatch.setattr("adkit.nn.training.checkpoints.Checkpoints.due", True)


def test_it_learns_and_tells_how_it_goes() -> None:
    objective, told = Line(), Told()
    result = trained(objective, progress=told, epochs=40)
    assert float(objective.layer.weight.detach()) == pytest.approx(3, abs=0.05)
    assert float(objective.layer.bias.detach()) == pytest.approx(0.5, abs=0.05)
    assert sum(told.done) == len(result.curves["loss"]) == 40
    assert result.curves["loss"][-1] < result.curves["loss"][0] / 100
    assert result.curves["separation"][-1] == 1.0
    assert "epoch 40: loss 0.0" in told.texts[-1]
    assert "separation 1.000" in told.texts[-1]
    assert told.figures == {"loss": result.curves["loss"][-1], "held out": result.curves["held_out_loss"][-1]}
    assert not objective.training


def test_the_objective_holds_the_weights_of_the_best_epoch() -> None:
    objective = Line()
    result = trained(objective, learning_rate=0.9, epochs=8, clip_norm=1e9, patience=50)  # so fast that it swings
    curves = result.curves
    assert result.best_epoch == 1 + min(range(8), key=lambda epoch: curves["held_out_loss"][epoch])
    assert result.best_epoch < 8
    held_out = data().held_out[torch.arange(20)]
    with torch.no_grad():
        again = (objective(held_out[:16], training._draw(5, 0, 0)), objective(held_out[16:], training._draw(5, 0, 1)))
    assert float(torch.cat(again).mean()) == pytest.approx(min(curves["held_out_loss"]))


def test_the_same_seed_gives_the_same_weights() -> None:
    one, other = Line(), Line()
    assert trained(one).curves == trained(other).curves
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_it_stops_when_held_out_rows_get_no_better() -> None:
    upside_down = TrainingRows(rows(64), rows(20, seed=1) * torch.tensor([1.0, -1.0]))
    objective = Line(noise=0)
    result = trained(objective, what=upside_down, epochs=100, patience=5)
    assert len(result.curves["loss"]) == result.best_epoch + 5
    assert result.ended == f"no better epoch since {result.best_epoch}"
    assert "separation" not in result.curves


def test_the_learning_rate_falls_when_nothing_improves() -> None:
    upside_down = TrainingRows(rows(64), rows(20, seed=1) * torch.tensor([1.0, -1.0]))
    rates = trained(Line(noise=0), what=upside_down, epochs=100, patience=9).curves["learning_rate"]
    assert rates[0] == 0.05
    assert set(rates) == {0.05, 0.025, 0.0125}
    assert rates == sorted(rates, reverse=True)


def test_a_loss_that_is_not_finite_ends_it_and_keeps_the_best_epoch() -> None:
    objective = Faulty(steps=8 * 3)  # 128 rows an epoch in steps of 16
    result = trained(objective)
    assert len(result.curves["loss"]) == 3
    assert result.ended == f"the loss was not finite in epoch 4; epoch {result.best_epoch} is kept"
    assert all(bool(torch.isfinite(parameter).all()) for parameter in objective.parameters())


def test_a_loss_that_was_never_finite_is_an_error() -> None:
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1") as caught:
        trained(Faulty(steps=0))
    assert "--set learning_rate" in caught.value.hint


@pytest.mark.parametrize(
    "fault",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_too_little_memory_is_an_error_that_names_the_option(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hungry(Line):
        def forward(self, batch: Tensor, draw: int) -> Tensor:
            raise fault

    with pytest.raises(TrainingError, match="out of memory while training on cpu with batch_size=16") as caught:
        trained(Hungry())
    assert "batch_size" in caught.value.hint


def test_another_runtime_error_keeps_its_traceback() -> None:
    class Buggy(Line):
        def forward(self, batch: Tensor, draw: int) -> Tensor:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        trained(Buggy())


def test_few_rows_come_several_times_in_an_epoch() -> None:
    order = training._order(5, seed=0, epoch=1)
    assert len(order) == 130
    assert order.bincount().tolist() == [26] * 5
    assert not torch.equal(order, training._order(5, seed=0, epoch=2))


def test_fewer_rows_than_a_batch_are_enough() -> None:
    assert trained(Line(), what=TrainingRows(rows(3), rows(1)), batch_size=1000).curves["loss"][-1] < 4


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("most", [1, 4, 11])
def test_a_training_that_was_broken_off_ends_as_if_it_had_not_been(tmp_path: Path, most: int) -> None:
    whole, broken, resumed = Line(), Line(), Line()
    expected = trained(whole, learning_rate=0.9, patience=9)
    with pytest.raises(KeyboardInterrupt):
        trained(broken, tmp_path, Told(most), learning_rate=0.9, patience=9)
    told = Told()
    found = trained(resumed, tmp_path, told, learning_rate=0.9, patience=9)
    assert (found.curves, found.best_epoch, found.ended) == (expected.curves, expected.best_epoch, expected.ended)
    assert told.done[0] == most - 1  # the last epoch's checkpoint was not written yet
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


@pytest.mark.usefixtures("often")
def test_a_training_that_had_ended_is_not_repeated(tmp_path: Path) -> None:
    objective = Line()
    expected = trained(Line(), tmp_path)
    told = Told()
    again = trained(objective, tmp_path, told)
    assert (again.curves, again.ended) == (expected.curves, expected.ended)
    assert told.done == [12]


def test_a_damaged_checkpoint_is_an_error(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"cannot read .*training\.checkpoint: it is damaged"):
        trained(Line(), tmp_path)


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trained(Line())
    assert list(tmp_path.iterdir()) == []


def test_auroc_counts_ties_half() -> None:
    assert auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])) == pytest.approx(0.875)


def test_inputs_stay_whole_in_half_precision() -> None:
    class Watched(Line):
        def forward(self, batch: Tensor, draw: int) -> Tensor:
            assert batch.dtype == torch.float32
            assert self.layer(batch[:, :1]).dtype == torch.bfloat16
            return super().forward(batch, draw)

    assert trained(Watched(), precision="bf16").curves["loss"][-1] < 1


@pytest.mark.usefixtures("often")
def test_the_optimizer_goes_on_where_the_parameters_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is restored before the parameters are moved to the GPU would stay behind."""
    with pytest.raises(KeyboardInterrupt):
        trained(Line(), tmp_path, Told(4))
    order: list[str] = []
    restore, move = training.restore_optimizer, Line.to

    def restored(*arguments: Any) -> None:
        order.append("restored")
        restore(*arguments)

    def moved(self: Line, *arguments: Any) -> Line:
        order.append("moved")
        return move(self, *arguments)

    monkeypatch.setattr(training, "restore_optimizer", restored)
    monkeypatch.setattr(Line, "to", moved)
    trained(Line(), tmp_path)
    assert order == ["moved", "restored"]
