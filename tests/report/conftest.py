"""Runs to make pages of: one of patchknn on synthetic washers, and quick ones on small grey images."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from adkit.data.datasets import open_datasets
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import Run
from adkit.types import Batch, Prediction
from adkit.workflows.fit import fit
from tests.greys import SIDE, Grey, GreyMaps, paint, usual_levels, with_methods

TRAINING = 30
VOID = {"br", "img", "input", "link", "meta"}


class GreyRebuilt(GreyMaps):
    """Gives a reconstruction: an image of the mean brightness."""

    reconstructs: ClassVar[bool] = True

    def predict(self, batch: Batch) -> Prediction:
        images = (self.mean / 255).expand(len(batch), 3, SIDE, SIDE).float().contiguous()
        return dataclasses.replace(super().predict(batch), images=images)


class Page(HTMLParser):
    """A page taken apart; tags that do not match raise AssertionError."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        {"script": self.scripts, "style": self.styles}.get(inside, self.texts).append(data)

    @property
    def text(self) -> str:
        """All that is to be read, with single blanks."""
        return " ".join(" ".join(self.texts).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of that name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def pictures(self) -> list[dict[str, str | None]]:
        """The images."""
        return self.all("img")


@pytest.fixture(scope="session")
def greys() -> Registry:
    """The installed plugins and three grey methods: scores only, maps, maps and reconstructions."""
    return with_methods({"grey": Grey, "grey_maps": GreyMaps, "grey_rebuilt": GreyRebuilt})


Fitted = Callable[..., Run]


@pytest.fixture
def fit_grey(greys: Registry, tmp_path: Path) -> Fitted:
    """Fits a grey method on images of a brightness by kind: `fit_grey({"good": [120.0], "bright": [200.0]})`."""

    def fitted(kinds: Mapping[str, Sequence[float]], method: str = "grey_maps", training: int = TRAINING) -> Run:
        part = tmp_path / "mvtec" / "part"
        shutil.rmtree(part, ignore_errors=True)
        paint(part / "train" / "good", usual_levels(training, seed=1), seed=1)
        for number, (kind, levels) in enumerate(kinds.items()):
            paths = paint(part / "test" / kind, levels, seed=2 + number)
            for path in paths if kind != "good" else ():
                mask = np.zeros((SIDE, SIDE), np.uint8)
                mask[2:5, 2:5] = 255
                (part / "ground_truth" / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(part / "ground_truth" / kind / f"{path.stem}_mask.png")
        (dataset,) = open_datasets("mvtec:part", tmp_path, greys)
        return fit(FitSettings(method=method, device="cpu"), dataset, tmp_path / "runs", greys)

    return fitted


@pytest.fixture(scope="session")
def washers(parts_root: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of patchknn on the washers."""
    (dataset,) = open_datasets("mvtec:washer", parts_root, registry)
    settings = FitSettings(method="patchknn", options={"size": "64"}, device="cpu")
    return fit(settings, dataset, tmp_path_factory.mktemp("runs"), registry)
