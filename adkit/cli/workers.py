"""Scoring by the workers of a cluster: each opens the run once, and is given some inputs of any kind."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from adkit import registry
from adkit.cli.terminal import terminal_progress
from adkit.errors import AdkitError
from adkit.runs.store import open_run
from adkit.workflows.engine import each
from adkit.workflows.score import FittedModel, open_model

Input = TypeVar("Input")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Elsewhere:
    """Which workers score, as `adkit.workflows.engine` takes them, and how each of them opens the run."""

    engine: str
    run: Path
    scorer: str | None
    device: str

    def each(
        self,
        work: Callable[[FittedModel, list[Input]], Result],
        inputs: Sequence[Input],
        most: int,
        stop: threading.Event | None = None,
    ) -> Iterator[Result]:
        """Yield what `work` makes of the inputs, `most` at a time, in order, until `stop` is set. Raises AdkitError."""
        shards = [list(inputs[first : first + most]) for first in range(0, len(inputs), most)]
        coming = each(self.engine, partial(_done, self, work), shards, gpu=self.device.startswith("cuda"), stop=stop)
        with terminal_progress().task("scoring", len(inputs)) as advance:
            for shard, found in zip(shards, coming, strict=False):  # fewer come where it was stopped
                if isinstance(found, AdkitError):
                    raise found
                yield found
                advance(len(shard))


def _done(elsewhere: Elsewhere, work: Callable[[FittedModel, list[Input]], Result], inputs: list[Input]) -> Result:
    return work(_opened(elsewhere), inputs)


@cache
def _opened(elsewhere: Elsewhere) -> FittedModel:
    run = open_run(elsewhere.run)
    return open_model(run, registry.load_registry(), scorer=elsewhere.scorer, device=elsewhere.device)
