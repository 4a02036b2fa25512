"""The one training loop: an objective learns from normal data, and held-out normal data says when it is best.

On Lightning Fabric: device, precision and several processes are its business. Everything that is drawn at random
comes from (seed, epoch), so that a training that was killed and resumed ends as if nothing had happened.
"""

from __future__ import annotations

import copy
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.multiprocessing
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessRaisedException
from torch.optim.lr_scheduler import ReduceLROnPlateau

from adkit.errors import AdkitError, TrainingError
from adkit.interfaces import Progress
from adkit.nn.devices import new_fabric
from adkit.nn.options import TrainingOptions
from adkit.nn.training.checkpoints import Checkpoint, Checkpoints, optimizer_tensors, restore_optimizer

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LEAST_ROWS = 128
"""An epoch shows at least this many rows: with fewer there are, each comes several times."""


class Rows(Protocol):
    """N inputs; `rows[indices]` gives some of them as one tensor. A tensor is such, and so is a FrameStore."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, indices: Tensor, /) -> Tensor:
        """int64 (B,) -> (B, ...)."""


class Objective(nn.Module, ABC):
    """A network and what it is trained for. It must survive pickling, for training in several processes."""

    @abstractmethod
    def forward(self, batch: Tensor, draw: int) -> Tensor:
        """The losses (B,) of the rows (B, ...); `draw` seeds whatever is random in them."""

    @abstractmethod
    def scores(self, batch: Tensor) -> Tensor:
        """How anomalous the rows (B, ...) are: (B,). Tells how well corrupted rows stand out, and no more."""


@dataclass(frozen=True)
class TrainingRows:
    """What is learned from, what tells how well, and corrupted versions of the latter where there are any."""

    training: Rows
    held_out: Rows
    corrupted: Rows | None = None


@dataclass(frozen=True)
class Curves:
    """What each epoch gave, the first first. `separation` is the AUROC of corrupted against clean held-out rows."""

    loss: list[float] = field(default_factory=list)
    held_out_loss: list[float] = field(default_factory=list)
    separation: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)

    def by_name(self) -> dict[str, list[float]]:
        """Those that there are, for the run."""
        return {name: values for name, values in asdict(self).items() if values}


@dataclass(frozen=True)
class Trained:
    """How a training went; the objective holds the weights of the best epoch (counted from 1)."""

    curves: Curves
    best_epoch: int
    ended: str  # why, in words

    def facts(self) -> dict[str, str | int | float | bool]:
        """For the run."""
        found: dict[str, str | int | float | bool] = {
            "epochs": len(self.curves.loss),
            "best_epoch": self.best_epoch,
            "training_ended": self.ended,
        }
        if self.curves.separation:
            found["separation_of_corrupted"] = round(self.curves.separation[self.best_epoch - 1], 4)
        return found


def train(
    objective: Objective,
    data: TrainingRows,
    options: TrainingOptions,
    *,
    seed: int,
    device: str,
    progress: Progress,
    folder: Path | None = None,
) -> Trained:
    """Trains the objective in place: afterwards it holds the weights with the lowest held-out loss.

    `folder` keeps checkpoints; where it holds one, training goes on from there. Raises TrainingError when memory
    runs out, and when the loss is not finite before any epoch was good.
    """
    fabric = new_fabric(device, options.precision, options.processes)
    with progress.task("training", options.epochs) as advance:

        def report(done: int, status: str) -> None:
            progress.status(status)
            advance(done)

        job = _Job(data, options, seed, folder, report)
        try:
            state, trained = (_run if options.processes == 1 else _in_processes)(fabric, objective, job)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            raise _out_of_memory(options, device) from None
    objective.load_state_dict(dict(state))
    objective.eval()
    return trained


def auroc(normal: Tensor, anomalous: Tensor) -> float:
    """The share of pairs in which the anomalous score (M,) is above the normal one (N,); ties count half."""
    ordered = normal.sort().values
    below = torch.searchsorted(ordered, anomalous)
    up_to = torch.searchsorted(ordered, anomalous, right=True)
    return float((below + up_to).double().mean()) / 2 / len(normal)


Report = Callable[[int, str], None]
"""Called after each epoch: with how many are done since the last call, and how it goes."""


class _Job:
    """What each process gets besides the objective. Not a dataclass: Fabric would copy one field by field."""

    def __init__(
        self, data: TrainingRows, options: TrainingOptions, seed: int, folder: Path | None, report: Report
    ) -> None:
        self.data = data
        self.options = options
        self.seed = seed
        self.folder = folder
        self.report = report


def _run(fabric: Fabric, objective: Objective, job: _Job) -> tuple[Mapping[str, Tensor], Trained]:
    """What one process does. The state is that of the best epoch."""
    data, options, seed = job.data, job.options, job.seed
    optimizer = torch.optim.Adam(objective.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=max(1, options.patience // 3))
    progress = _Progress()
    checkpoints = Checkpoints(job.folder if fabric.is_global_zero else None)
    best: Mapping[str, Tensor] = {}
    found = Checkpoints(job.folder).read()
    if found is not None:
        objective.load_state_dict(dict(found.tensors["network"]))
        best = found.tensors.get("best", {})
        progress = _Progress.from_numbers(found.numbers)
        schedule.load_state_dict(progress.schedule)
    wrapped, wrapped_optimizer = fabric.setup(objective, optimizer)
    if found is not None:  # only now: what the optimizer remembers must lie where the parameters are
        restore_optimizer(optimizer, found.tensors["optimizer"], progress.learning_rate)
    if fabric.is_global_zero:
        job.report(len(progress.curves.loss), "")
    while not progress.ended:
        epoch = len(progress.curves.loss) + 1
        loss = _learn(fabric, wrapped, wrapped_optimizer, data.training, options, seed, epoch)
        held_out = _held_out_loss(fabric, wrapped, data.held_out, options, seed)
        if not (math.isfinite(loss) and math.isfinite(held_out)):
            if not progress.best_epoch:
                wrong = held_out if math.isfinite(loss) else loss
                raise TrainingError(
                    f"the loss became {wrong} in epoch {epoch}, before any epoch was good",
                    hint=f"lower the learning rate (it was {progress.rate(optimizer):g}): --set learning_rate=…",
                )
            progress.ended = f"the loss was not finite in epoch {epoch}; epoch {progress.best_epoch} is kept"
            break
        progress.curves.loss.append(loss)
        progress.curves.held_out_loss.append(held_out)
        progress.curves.learning_rate.append(progress.rate(optimizer))
        if data.corrupted is not None:
            progress.curves.separation.append(_separation(fabric, wrapped, data.held_out, data.corrupted, options))
        if not progress.best_epoch or held_out < progress.curves.held_out_loss[progress.best_epoch - 1]:
            progress.best_epoch = epoch
            best = copy.deepcopy(objective.state_dict())
        elif epoch - progress.best_epoch >= options.patience:
            progress.ended = f"no better epoch since {progress.best_epoch}"
        if epoch == options.epochs:
            progress.ended = progress.ended or f"after all {options.epochs} epochs"
        schedule.step(held_out)
        if fabric.is_global_zero:
            job.report(1, progress.text())
            if checkpoints.due or progress.ended:
                checkpoints.write(progress.checkpoint(objective, best, optimizer, schedule))
    state = {name: tensor.detach().cpu() for name, tensor in best.items()}
    return state, Trained(progress.curves, progress.best_epoch, progress.ended)


@dataclass
class _Progress:
    """Where a training stands, besides its tensors."""

    curves: Curves = field(default_factory=Curves)
    best_epoch: int = 0
    ended: str = ""
    learning_rate: float = 0.0
    schedule: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> _Progress:
        return cls(**{**numbers, "curves": Curves(**numbers["curves"])})

    def checkpoint(
        self,
        objective: Objective,
        best: Mapping[str, Tensor],
        optimizer: torch.optim.Optimizer,
        schedule: ReduceLROnPlateau,
    ) -> Checkpoint:
        self.learning_rate = self.rate(optimizer)
        known = {name: value for name, value in schedule.state_dict().items() if isinstance(value, int | float | list)}
        self.schedule = {name: value for name, value in known.items() if name != "mode_worse"}  # infinite, and fixed
        tensors = {"network": objective.state_dict(), "best": best, "optimizer": optimizer_tensors(optimizer)}
        return Checkpoint(tensors, asdict(self))

    @staticmethod
    def rate(optimizer: torch.optim.Optimizer) -> float:
        return float(optimizer.param_groups[0]["lr"])

    def text(self) -> str:
        curves = self.curves
        separation = f", separation {curves.separation[-1]:.3f}" if curves.separation else ""
        return (
            f"epoch {len(curves.loss)}: loss {curves.loss[-1]:.4f}, held out {curves.held_out_loss[-1]:.4f}"
            f" (best {curves.held_out_loss[self.best_epoch - 1]:.4f}){separation}"
        )


def _learn(
    fabric: Fabric,
    objective: Any,
    optimizer: Any,
    rows: Rows,
    options: TrainingOptions,
    seed: int,
    epoch: int,
) -> float:
    """One epoch; the mean loss over its rows, not finite as soon as one is not."""
    objective.train()
    # Layers that draw for themselves, such as dropout, draw from here.
    torch.manual_seed(_draw(seed, epoch, 0, fabric.global_rank))
    order = _order(len(rows), seed, epoch, fabric.world_size)[fabric.global_rank :: fabric.world_size]
    size = max(1, options.batch_size // fabric.world_size)
    total = torch.zeros((), device=fabric.device)
    for step, part in enumerate(torch.split(order, size)):
        losses = objective(rows[part].to(fabric.device), _draw(seed, epoch, step, fabric.global_rank))
        optimizer.zero_grad()
        fabric.backward(losses.mean())
        fabric.clip_gradients(objective, optimizer, max_norm=options.clip_norm, error_if_nonfinite=False)
        optimizer.step()
        total += losses.detach().sum()
    return _mean(fabric, total, len(order))


@torch.no_grad()
def _held_out_loss(fabric: Fabric, objective: Any, rows: Rows, options: TrainingOptions, seed: int) -> float:
    """The mean loss over the held-out rows, with the same draws in every epoch."""
    objective.eval()
    mine = torch.arange(len(rows))[fabric.global_rank :: fabric.world_size]
    total = torch.zeros((), device=fabric.device)
    for step, part in enumerate(torch.split(mine, options.batch_size)):
        total += objective(rows[part].to(fabric.device), _draw(seed, 0, step, fabric.global_rank)).sum()
    return _mean(fabric, total, len(mine))


@torch.no_grad()
def _separation(fabric: Fabric, objective: Any, clean: Rows, corrupted: Rows, options: TrainingOptions) -> float:
    objective.eval()
    plain: Objective = objective.module

    def scores(rows: Rows) -> Tensor:
        parts = torch.split(torch.arange(len(rows)), options.batch_size)
        return torch.cat([plain.scores(rows[part].to(fabric.device)).float().cpu() for part in parts])

    return auroc(scores(clean), scores(corrupted))


def _mean(fabric: Fabric, total: Tensor, count: int) -> float:
    """The mean over the rows of all processes."""
    both = torch.stack([total, torch.tensor(float(count), device=total.device)])
    if fabric.world_size > 1:
        both = fabric.all_reduce(both, reduce_op="sum")  # type: ignore[assignment]
    return float(both[0] / both[1])


def _order(count: int, seed: int, epoch: int, processes: int) -> Tensor:
    """The rows of an epoch, shuffled; as many for each process, because they wait for each other."""
    generator = torch.Generator().manual_seed(_draw(seed, epoch, 0, 0))
    rounds = max(1, math.ceil(LEAST_ROWS / count))
    order = torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])
    lacking = -len(order) % processes
    return torch.cat([order, order[:lacking]])


def _draw(*numbers: int) -> int:
    """A seed that tells (seed, epoch, step, process) apart."""
    value = 0
    for number in numbers:
        value = (value * 1_000_003 + number + 1) % (2**63 - 25)
    return value


@dataclass(frozen=True)
class _Fault:
    """A fault of the user's in another process."""

    sort: type[AdkitError]
    message: str
    hint: str


class _Sender:
    """Reports through a pipe."""

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe

    def __call__(self, done: int, status: str) -> None:
        self.pipe.send((done, status))

    def fault(self, error: AdkitError) -> None:
        self.pipe.send(_Fault(type(error), error.message, error.hint))


def _in_processes(fabric: Fabric, objective: Objective, job: _Job) -> tuple[Mapping[str, Tensor], Trained]:
    """`_run` in several processes; the first one's reports come back through a pipe."""
    receiving, sending = torch.multiprocessing.get_context("spawn").Pipe(duplex=False)

    faults: list[AdkitError] = []

    def relay() -> None:
        # A None ends it: the pipe's other end stays open here, so that nothing is lost when a process dies.
        while (message := receiving.recv()) is not None:
            if isinstance(message, _Fault):
                faults.append(message.sort(message.message, hint=message.hint))
            else:
                job.report(*message)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    run_one: Any = _run_one  # Fabric's annotation knows functions of one argument only
    sent = _Job(job.data, job.options, job.seed, job.folder, _Sender(sending))
    try:
        arrays, numbers = fabric.launch(run_one, objective, sent)
    except ProcessRaisedException:
        _end(thread, sending)
        if faults:
            raise faults[0] from None
        raise
    finally:  # also when a process was killed: the thread would else wait for ever
        _end(thread, sending)
    state = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return state, Trained(**{**numbers, "curves": Curves(**numbers["curves"])})


def _end(thread: threading.Thread, sending: Any) -> None:
    """Ends the thread that relays reports, after all that were sent before."""
    if thread.is_alive():
        sending.send(None)
        thread.join()


def _run_one(fabric: Fabric, objective: Objective, job: _Job) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        state, trained = _run(fabric, objective, job)
        fabric.barrier()
    except (AdkitError, MemoryError, RuntimeError) as error:
        # What leaves a process is wrapped with its traceback: a fault of the user's goes by the pipe.
        assert isinstance(job.report, _Sender)
        if isinstance(error, AdkitError):
            job.report.fault(error)
        elif _is_out_of_memory(error):
            job.report.fault(_out_of_memory(job.options, str(fabric.device)))
        raise
    finally:
        # Its threads would else still run when the process ends, which now and then aborts it.
        torch.distributed.destroy_process_group()
    # Tensors would be sent as handles of this process's memory, which is gone when they are read. Dataclasses that
    # are frozen are more than Fabric can take apart.
    return {name: tensor.numpy() for name, tensor in state.items()}, asdict(trained)


def _out_of_memory(options: TrainingOptions, device: str) -> TrainingError:
    return TrainingError(
        f"out of memory while training on {device} with batch_size={options.batch_size}",
        hint="lower it with --set batch_size=…, then the frame size with --set size=…",
    )


def _is_out_of_memory(error: Exception) -> bool:
    """Torch says it in a class of its own on CUDA, and only in words on Windows, Linux and MPS."""
    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words)
