"""The one training loop, from draws by (seed, epoch) only: one that was resumed ends as if nothing had happened."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from adkit.errors import TrainingError, is_out_of_memory
from adkit.interfaces import Progress
from adkit.nn.devices import pick_precision
from adkit.nn.options import TrainingOptions
from adkit.nn.training.checkpoints import Checkpoint, Checkpoints, optimizer_tensors, restore_optimizer

LEAST_ROWS = 128  # an epoch shows at least this many rows: with fewer there are, each comes several times


class RowSource(Protocol):
    """N inputs; `rows[indices]` gives some of them as one tensor. A tensor is such, and so is a FrameStore."""

    def __len__(self) -> int:
        """Return N."""

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """Return the rows (B, ...) at int64 (B,)."""


class Objective(nn.Module, ABC):
    """A network and what it is trained for."""

    @abstractmethod
    def forward(self, batch: Tensor, draw: int) -> Tensor:
        """Return the losses (B,) of the rows (B, ...); `draw` seeds whatever is random in them."""

    @abstractmethod
    def scores(self, batch: Tensor) -> Tensor:
        """Return how anomalous the rows (B, ...) are, (B,). Tells how well corrupted rows stand out, and no more."""


@dataclass(frozen=True)
class TrainingRows:
    """What is learned from, what tells how well, and corrupted versions of the latter where there are any."""

    training: RowSource
    held_out: RowSource
    corrupted: RowSource | None = None


class Training:
    """A training under way, and how it went; at its end the objective holds the weights of the best epoch, from 1.

    `curves` has for each epoch the loss, held_out_loss, learning_rate and separation, the AUROC of corrupted rows.
    """

    def __init__(
        self, objective: Objective, data: TrainingRows, options: TrainingOptions, seed: int, device: str
    ) -> None:
        self.objective = objective.to(device)
        self.data, self.options, self.seed = data, options, seed
        self.device = torch.device(device)
        self.precision = pick_precision(device, options.precision)
        rate, decay = options.learning_rate, options.weight_decay
        self.optimizer = torch.optim.Adam(objective.parameters(), lr=rate, weight_decay=decay)
        self.schedule = ReduceLROnPlateau(self.optimizer, factor=0.5, patience=max(1, options.patience // 3))
        # Small gradients would become zero in float16; with other precisions it does nothing.
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision is torch.float16)
        self.curves: dict[str, list[float]] = {}
        self.best: Mapping[str, Tensor] = {}
        self.best_epoch = 0
        self.ended = ""  # why, in words

    def resume(self, found: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.objective.load_state_dict(dict(found.tensors["network"]))
        self.best = found.tensors.get("best", {})
        numbers = found.numbers
        self.curves, self.best_epoch, self.ended = numbers["curves"], numbers["best_epoch"], numbers["ended"]
        self.schedule.load_state_dict(numbers["schedule"])
        restore_optimizer(self.optimizer, found.tensors.get("optimizer", {}), numbers["learning_rate"])
        if self.scaler.is_enabled() and numbers.get("scaler"):
            self.scaler.load_state_dict(numbers["scaler"])

    def checkpoint(self) -> Checkpoint:
        """Return all that `resume` needs."""
        schedule = self.schedule.state_dict()
        numbers = {
            "curves": self.curves,
            "best_epoch": self.best_epoch,
            "ended": self.ended,
            "learning_rate": self.rate,
            "scaler": self.scaler.state_dict(),
            "schedule": {name: schedule[name] for name in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")},
        }
        optimizer = optimizer_tensors(self.optimizer)
        return Checkpoint({"network": self.objective.state_dict(), "best": self.best, "optimizer": optimizer}, numbers)

    def facts(self) -> dict[str, str | int | float | bool]:
        """Return what the run keeps of it."""
        facts: dict[str, str | int | float | bool] = {"epochs": self.epochs, "best_epoch": self.best_epoch}
        facts["training_ended"] = self.ended
        if "separation" in self.curves:
            facts["separation_of_corrupted"] = round(self.curves["separation"][self.best_epoch - 1], 4)
        return facts

    def pass_epoch(self) -> bool:
        """Learn for one epoch; False when its loss was not finite, so that it does not count."""
        epoch = self.epochs + 1
        found = {"loss": self._learn(epoch), "held_out_loss": self._held_out_loss(), "learning_rate": self.rate}
        wrong = next((value for value in found.values() if not math.isfinite(value)), None)
        if wrong is not None:
            if not self.best_epoch:
                hint = f"lower the learning rate (it was {self.rate:g}): --set learning_rate=…"
                raise TrainingError(f"the loss became {wrong} in epoch {epoch}, before any epoch was good", hint=hint)
            self.ended = f"the loss was not finite in epoch {epoch}; epoch {self.best_epoch} is kept"
            return False
        if self.data.corrupted is not None:
            found["separation"] = auroc(self._scores(self.data.held_out), self._scores(self.data.corrupted))
        for name, value in found.items():
            self.curves.setdefault(name, []).append(value)
        held_out = self.curves["held_out_loss"]
        if not self.best_epoch or held_out[-1] < held_out[self.best_epoch - 1]:
            self.best_epoch = epoch
            self.best = copy.deepcopy(self.objective.state_dict())
        elif epoch - self.best_epoch >= self.options.patience:
            self.ended = f"no better epoch since {self.best_epoch}"
        if epoch == self.options.epochs:
            self.ended = self.ended or f"after all {epoch} epochs"
        self.schedule.step(held_out[-1])
        return True

    @property
    def epochs(self) -> int:
        """Say how many there were so far."""
        return len(self.curves.get("loss", ()))

    @property
    def rate(self) -> float:
        """Return the learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def status(self) -> tuple[str, dict[str, float]]:
        """Say how the last epoch went, and return its losses."""
        last = {name: values[-1] for name, values in self.curves.items()}
        loss, held_out, best = last["loss"], last["held_out_loss"], self.curves["held_out_loss"][self.best_epoch - 1]
        text = f"epoch {self.epochs}: loss {loss:.4f}, held out {held_out:.4f} (best {best:.4f})"
        text += f", separation {last['separation']:.3f}" if "separation" in last else ""
        return text, {"loss": loss, "held out": held_out}

    def _learn(self, epoch: int) -> float:
        """Learn from all rows once; the mean loss over them, not finite as soon as one is not."""
        self.objective.train()
        # Layers that draw for themselves, such as dropout, draw from here.
        torch.manual_seed(_draw(self.seed, epoch, 0))
        order = _order(len(self.data.training), self.seed, epoch)
        total = torch.zeros((), device=self.device)
        for step, part in enumerate(torch.split(order, self.options.batch_size)):
            losses = self._losses(self.data.training[part], _draw(self.seed, epoch, step))
            self.optimizer.zero_grad()
            self.scaler.scale(losses.mean()).backward()  # type: ignore[no-untyped-call]
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.objective.parameters(), self.options.clip_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            total += losses.detach().sum()
        return float(total / len(order))

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        """Return the mean loss over the held-out rows, with the same draws in every epoch."""
        self.objective.eval()
        rows, total = self.data.held_out, torch.zeros((), device=self.device)
        for step, part in enumerate(torch.split(torch.arange(len(rows)), self.options.batch_size)):
            total += self._losses(rows[part], _draw(self.seed, 0, step)).sum()
        return float(total / len(rows))

    def _losses(self, rows: Tensor, draw: int) -> Tensor:
        """Return the losses (B,) of some rows, float32. Inputs stay whole: casts happen inside the network only."""
        mixed: AbstractContextManager[object] = nullcontext()
        if self.precision is not torch.float32:
            mixed = torch.autocast(self.device.type, dtype=self.precision)
        with mixed:
            losses: Tensor = self.objective(rows.to(self.device), draw)
        return losses.float()

    @torch.no_grad()
    def _scores(self, rows: RowSource) -> Tensor:
        self.objective.eval()
        parts = torch.split(torch.arange(len(rows)), self.options.batch_size)
        return torch.cat([self.objective.scores(rows[part].to(self.device)).float().cpu() for part in parts])


def train(
    objective: Objective,
    data: TrainingRows,
    options: TrainingOptions,
    *,
    seed: int,
    device: str,
    progress: Progress,
    folder: Path | None = None,
) -> Training:
    """Train the objective in place: afterwards it holds the weights with the lowest held-out loss.

    `folder` keeps checkpoints, from which it goes on. Raises TrainingError when memory runs out, and when the loss is
    not finite before any epoch was good.
    """
    checkpoints = Checkpoints(folder)
    with progress.task("training", options.epochs) as advance:
        try:
            training = Training(objective, data, options, seed, device)
            if (found := checkpoints.read()) is not None:
                training.resume(found)
            advance(training.epochs)
            while not training.ended and training.pass_epoch():
                progress.status(*training.status())
                advance(1)
                if checkpoints.due or training.ended:
                    checkpoints.write(training.checkpoint())
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            told = f"out of memory while training on {device} with batch_size={options.batch_size}"
            hint = "lower it with --set batch_size=…, then the frame size with --set size=…"
            raise TrainingError(told, hint=hint) from None
    objective.load_state_dict(dict(training.best))
    objective.eval()
    return training


def auroc(normal: Tensor, anomalous: Tensor) -> float:
    """Return the share of pairs in which the anomalous score (M,) is above the normal one (N,); ties count half."""
    ordered = normal.sort().values
    below = torch.searchsorted(ordered, anomalous)
    up_to = torch.searchsorted(ordered, anomalous, right=True)
    return float((below + up_to).double().mean()) / 2 / len(normal)


def _order(count: int, seed: int, epoch: int) -> Tensor:
    generator = torch.Generator().manual_seed(_draw(seed, epoch, 0))
    rounds = max(1, math.ceil(LEAST_ROWS / count))
    return torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])


def _draw(seed: int, epoch: int, step: int) -> int:
    """Return a seed that tells (seed, epoch, step) apart."""
    value = 0
    for number in (seed, epoch, step, 0):  # another last number would give other networks than before
        value = (value * 1_000_003 + number + 1) % (2**63 - 25)
    return value
