"""Where a command's time goes: a thread looks every few milliseconds at what the others do.

What is measured knows nothing of it, and pays nothing where nobody asks. Only what runs inside one graph of onnxruntime
cannot be told apart from outside: there onnxruntime itself writes down how long each operator takes.

A function belongs to the first stage below that names it, its class or its module, and so does all that it calls. On a
GPU, which computes while Python goes on, time is found where its results are waited for.
"""

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

INTERVAL_S = 0.002

STAGES: dict[str, tuple[str, ...]] = {
    "load libraries": ("importlib._bootstrap", "_frozen_importlib"),
    "export network": ("adkit.nn.features.onnx_session.exported_model",),
    "select": ("adkit.nn.features.coreset",),
    "write": ("adkit.runs.store", "adkit.evaluation.pictures", "adkit.cli.output", "adkit.data.video_writer"),
    "check data": ("adkit.data.fingerprints", "adkit.data.images.FrameShapes", "adkit.data.datasets"),
    "decode": ("adkit.data.images.read_image", "adkit.data.images.decoded_pixels", "adkit.data.video"),
    "resize": ("adkit.data.view.View.see",),
    "wait for images": ("adkit.data.frame_source", "adkit.data.prefetch.ahead"),
    "train": ("adkit.nn.training.loop",),
    "search": ("adkit.nn.features.neighbours", "adkit.nn.features.leave_one_out"),
    "backbone": ("adkit.nn.features.patches.PatchFeatures", "adkit.nn.features.backbones"),
    "map": (
        *("adkit.nn.methods", "adkit.nn.blend", "adkit.nn.normalisation", "adkit.nn.composition"),
        *("adkit.data.view", "adkit.drawing", "adkit_scorers"),
    ),
}
"""Those that name a function, a class or a module, by who comes first."""
SHOWN = (
    *("load libraries", "export network", "check data", "decode", "resize", "wait for images", "train"),
    *("backbone", "aggregate", "select", "search", "map", "write", "other"),
)
"""All stages, in the order in which they follow each other."""

_NAMES = [tuple(f"{name}." for name in names) for names in STAGES.values()]
_PROFILE: ContextVar["Profile | None"] = ContextVar("profile", default=None)


@dataclass
class Profile:
    """Seconds of each stage: those that the main thread spent, and those of threads beside it."""

    waited_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SHOWN, 0.0))
    beside_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SHOWN, 0.0))
    folder: Path = Path()
    sessions: list[tuple[Any, bytes]] = field(default_factory=list)  # onnxruntime's, and their models
    _ranks: dict[CodeType, int] = field(default_factory=dict)

    @property
    def total_s(self) -> float:
        """Say how long it was looked at."""
        return float(sum(self.waited_s.values()))

    def look(self, elapsed_s: float, own: int) -> None:
        """Credit the time since the last look to what every thread does now; `own` is the one that looks."""
        main = threading.main_thread().ident
        for thread, frame in sys._current_frames().items():
            stage = self._stage_of(frame)
            if thread == main:
                self.waited_s[stage] += elapsed_s
            elif thread != own and stage != "other":  # those that wait for work
                self.beside_s[stage] += elapsed_s

    def split_graphs(self) -> None:
        """Divide what was spent in graphs with a backbone by what onnxruntime says of their operators."""
        operators: Counter[str] = Counter()
        for session, model in self.sessions:
            of_nodes = graph_stages(model)
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
            if "backbone" in of_nodes.values():
                for event in events:
                    name, kernel, _ = event["name"].partition("_kernel_time")
                    if kernel:
                        added = "backbone" if name.startswith("Reorder") else "search"  # onnxruntime's own, or ours
                        operators[of_nodes.get(name.removesuffix("_nchwc"), added)] += event["dur"]
        for seconds in (self.waited_s, self.beside_s) if operators else ():
            spent, seconds["backbone"] = seconds["backbone"], 0.0
            for stage, share in operators.items():
                seconds[stage] += spent * share / operators.total()

    def _stage_of(self, frame: FrameType | None) -> str:
        rank = len(STAGES)
        while frame is not None:
            code = frame.f_code
            if code not in self._ranks:
                name = f"{frame.f_globals.get('__name__')}.{code.co_qualname}."
                ranks = (rank for rank, names in enumerate(_NAMES) if name.startswith(names))
                self._ranks[code] = next(ranks, len(STAGES))
            rank = min(rank, self._ranks[code])
            frame = frame.f_back
        return [*STAGES, "other"][rank]


def graph_stages(model: bytes) -> dict[str, str]:
    """Return the stage of each operator of an exported network, by its name and its results'; a search's have none."""
    import onnx  # heavy

    stages: dict[str, str] = {}
    for node in onnx.load_from_string(model).graph.node:
        # Torch's older exporter tells where an operator belongs in its name: "/backbone/body/…".
        scopes = next((entry.value for entry in node.metadata_props if entry.key.endswith("name_scopes")), node.name)
        if scopes:
            stage = "backbone" if "backbone" in scopes else "aggregate"
            stages |= dict.fromkeys([node.name, *node.output], stage)
    return stages


def current_profile() -> Profile | None:
    """Return the profile that is being made, None where nobody asked for one."""
    return _PROFILE.get()


@contextmanager
def profiled() -> Iterator[Profile]:
    """Look at what the process does inside the block; afterwards the profile is complete."""
    over = threading.Event()
    with tempfile.TemporaryDirectory(prefix="adkit-profile-") as folder:
        profile = Profile(folder=Path(folder))

        def watch() -> None:
            last = time.perf_counter()
            while not over.wait(INTERVAL_S):
                now = time.perf_counter()
                profile.look(now - last, threading.get_ident())
                last = now

        thread = threading.Thread(target=watch, name="profile", daemon=True)
        token = _PROFILE.set(profile)
        thread.start()
        try:
            yield profile
        finally:
            _PROFILE.reset(token)
            over.set()
            thread.join()
            profile.split_graphs()
