"""The two programs that against_anomalib.py measures, each in a process of its own that answers one line at a time.

python benchmarks/_sides.py adkit|anomalib SETTING.json: each line read is {"do": NAME, ...}, each line written
what came of it. Only the measured part is timed: what is imported or opened before stands in no figure.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


class Adkit:
    """A run of patchknn, by the functions that the command line calls."""

    def __init__(self, setting: Answer) -> None:
        import adkit

        self.setting, self.fitted = setting, adkit.fit
        self.model: Any = None

    def fit(self) -> Answer:
        """Learn, calibrate, prove and write a run."""
        import adkit

        own = self.setting["adkit"]
        started = time.perf_counter()
        run = self.fitted("patchknn", own["dataset"], runs=own["runs"], root=own["root"], options=own["options"])
        taken = time.perf_counter() - started
        self.model = adkit.load(run)
        return {"s": taken, "bank": run.record.facts["bank"], "view": run.record.view.in_words()}

    def files(self, paths: list[str]) -> Answer:
        """Judge files: decoded, scored, their regions outlined."""
        from adkit.data.frame_source import frames_of
        from adkit.types import Sample

        samples = [Sample.still(path, Path(path)) for path in paths]
        started = time.perf_counter()
        scores = [result.raw for result in self.model.stream(frames_of(samples, self.model.view))]
        return {"s": time.perf_counter() - started, "scores": scores}

    def pictures(self, paths: list[str]) -> Answer:
        """Judge images that are decoded and resized already, one at a time."""
        from adkit.data.batches import FrameBatches
        from adkit.types import Sample

        samples = [Sample.still(path, Path(path)) for path in paths]
        batches = list(FrameBatches(samples, self.model.view, batch_size=1))
        started = time.perf_counter()
        for batch in batches:
            self.model.scorer(self.model.method.predict(batch).maps.numpy())
        return {"s": time.perf_counter() - started}

    def coreset(self, matrix: str, count: int) -> Answer:
        """Choose `count` rows."""
        import numpy as np
        import torch

        from adkit.nn.features.coreset import greedy_coreset

        rows = torch.from_numpy(np.load(matrix))
        started = time.perf_counter()
        greedy_coreset(rows, count)
        return {"s": time.perf_counter() - started}


class Anomalib:
    """Its PatchCore: learned by its Engine, asked by its model alone, which is less than its Engine does."""

    def __init__(self, setting: Answer) -> None:
        import torch
        from anomalib.data.utils.image import read_image
        from anomalib.engine import Engine
        from anomalib.models import Patchcore

        self.setting, self.engine, self.read, self.torch = setting, Engine, read_image, torch
        self.patchcore: Any = Patchcore
        self.model: Any = None
        self.transform: Any = None

    def fit(self) -> Answer:
        """Learn: images, features, coreset; without a validation, so without a threshold."""
        from anomalib.data import Folder

        own = self.setting["anomalib"]
        self.model = self._untaught(own)
        data = Folder("good", "good", root=own["root"], test_split_mode="none", val_split_mode="none", **own["data"])
        engine = self.engine(default_root_dir=own["runs"], logger=False, accelerator="cpu", enable_progress_bar=False)
        started = time.perf_counter()
        data.setup()
        engine.fit(model=self.model, train_dataloaders=data.train_dataloader())
        taken = time.perf_counter() - started
        self.model.eval()
        return {"s": taken, "bank": len(self.model.model.memory_bank)}

    def files(self, paths: list[str]) -> Answer:
        """Judge files one at a time, as its TorchInferencer does."""
        started = time.perf_counter()
        scores = [self._score(self._decoded(path)) for path in paths]
        return {"s": time.perf_counter() - started, "scores": scores}

    def pictures(self, paths: list[str]) -> Answer:
        """Judge images that are decoded and resized already, one at a time."""
        decoded = [self._decoded(path) for path in paths]
        started = time.perf_counter()
        for picture in decoded:
            self._score(picture)
        return {"s": time.perf_counter() - started}

    def coreset(self, matrix: str, count: int) -> Answer:
        """Choose `count` rows."""
        import numpy as np
        from anomalib.models.components import KCenterGreedy

        rows = self.torch.from_numpy(np.load(matrix))
        started = time.perf_counter()
        KCenterGreedy(rows, (count + 0.5) / len(rows)).select_coreset_idxs()
        return {"s": time.perf_counter() - started}

    def _untaught(self, own: Answer) -> Any:
        from anomalib.pre_processing import PreProcessor
        from safetensors.torch import load_file
        from torchvision.transforms.v2 import Compose, Normalize, Resize

        self.transform = Compose([Resize(own["size"], antialias=True), Normalize(own["mean"], own["std"])])
        model = self.patchcore(
            backbone=own["backbone"],
            layers=own["layers"],
            pre_trained=False,
            coreset_sampling_ratio=own["ratio"],
            pre_processor=PreProcessor(transform=self.transform),
            visualizer=False,
        )
        network = model.model.feature_extractor.feature_extractor
        if missing := network.load_state_dict(load_file(own["weights"]), strict=False).missing_keys:
            raise SystemExit(f"the weights lack {missing[0]}")
        return model

    def _decoded(self, path: str) -> Any:
        return self.transform(self.read(path, as_tensor=True))[None]

    def _score(self, picture: Any) -> float:
        with self.torch.inference_mode():
            return float(self.model.model(picture).pred_score)


def peak_mb() -> float:
    """Return the most MiB that this process held. What getrusage says may be its parent's, from before it began."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def main() -> None:
    """Answer until the input ends; what libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    side = {"adkit": Adkit, "anomalib": Anomalib}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = getattr(side, asked.pop("do"))(**asked)
        answer["peak_mb"] = peak_mb()
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
