"""What the methods share that train a network: which part is held out, the training itself, weights and curves."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from adkit.interfaces import Progress
from adkit.nn.methods import MapMethod
from adkit.nn.normalisation import require_maps
from adkit.nn.options import TrainedMapOptions
from adkit.nn.training.frame_store import STOPPING_SHARE, hold_out
from adkit.nn.training.loop import Objective, TrainingRows, train

TrainedMapOptionsType = TypeVar("TrainedMapOptionsType", bound=TrainedMapOptions)


class TrainedMethod(MapMethod[TrainedMapOptionsType]):
    """A method with maps whose `learn` calls `split`, `train` and `decide`, and which can be resumed."""

    steps: ClassVar[Sequence[tuple[str, float]]] = (("reading", 1), ("training", 20))

    _objective: Objective  # the network and what it is trained for; its weights are what a run keeps

    def split(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows to learn from and those held out, by each one's clip (N,); raises OptionError for too few."""
        training, held_out = hold_out(clips, STOPPING_SHARE, self.seed)
        require_maps(len(held_out), self.options.position_normalisation)
        return training, held_out

    def train(self, data: TrainingRows, progress: Progress) -> None:
        """Train the objective, which is left on the method's device; raises TrainingError."""
        folder = self._workspace() if self._workspace else None
        trained = train(
            self._objective, data, self.options, seed=self.seed, device=self.device, progress=progress, folder=folder
        )
        self._curves = trained.curves
        self._facts["parameters"] = sum(parameter.numel() for parameter in self._objective.parameters())
        self._facts |= trained.facts()

    def learned(self) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(self._objective.state_dict())

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `learned` gave."""
        self._objective.load_state_dict({name: state[name] for name in self._objective.state_dict()})
        self._objective.to(self.device).eval()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make new layers draw their first weights by this seed: they draw from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
