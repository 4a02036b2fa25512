"""Where a command's time goes is told by stage."""

from __future__ import annotations

import importlib
import time
from threading import Thread

import pytest
import torch

from adkit.data.images import resize
from adkit.nn.features.neighbours import NearestNeighbour
from adkit.nn.features.patches import PatchFeatures
from adkit.nn.profile import INTERVAL_S, SHOWN, STAGES, current_profile, profiled


@pytest.mark.parametrize("name", [name for names in STAGES.values() for name in names if name.startswith("adkit")])
def test_what_a_stage_names_is_there(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, last = name.rpartition(".")
        try:
            assert hasattr(importlib.import_module(module), last)
        except ModuleNotFoundError:
            module, _, owner = module.rpartition(".")
            assert hasattr(getattr(importlib.import_module(module), owner), last)


def test_every_stage_is_shown_once() -> None:
    assert sorted(SHOWN) == sorted({*STAGES, "aggregate", "other"})


def test_time_is_that_of_the_clock_and_of_who_spends_it() -> None:
    bank, queries = NearestNeighbour(torch.rand(500, 64)), torch.rand(4096, 64)
    bank.squared(queries)  # the session is made
    started = time.perf_counter()
    with profiled() as profile:
        until = time.perf_counter() + 0.4
        while time.perf_counter() < until:
            bank.squared(queries)
        time.sleep(0.1)
        taken = time.perf_counter() - started
    assert profile.total_s == pytest.approx(taken, abs=0.1)
    assert profile.waited_s["search"] > 0.2
    assert profile.waited_s["other"] > 0.05
    assert current_profile() is None


def test_work_beside_the_main_thread_is_told_apart() -> None:
    from adkit.data.view import StillImage, View

    picture, view = StillImage(torch.zeros(900, 900, 3, dtype=torch.uint8).numpy()), View(frame=(384, 384))

    def see() -> None:
        until = time.perf_counter() + 0.3
        while time.perf_counter() < until:
            view.see(picture)

    assert resize(picture.image, (384, 384)).shape == (384, 384, 3)
    with profiled() as profile:
        thread = Thread(target=see)
        thread.start()
        thread.join()
    assert profile.beside_s["resize"] > 20 * INTERVAL_S
    assert not profile.waited_s["resize"]


def test_one_graph_is_divided_into_network_and_search() -> None:
    features, frames = PatchFeatures(), torch.rand(1, 3, 96, 96)
    features(frames)  # exported, if it was not yet
    with profiled() as profile:
        bank, until = NearestNeighbour(torch.rand(2000, 152)), time.perf_counter() + 0.4
        features = PatchFeatures()
        while time.perf_counter() < until:
            features.looked_up(frames, bank)
    shares = [profile.waited_s[stage] / profile.total_s for stage in ("backbone", "aggregate", "search")]
    assert min(shares) > 0.005
    assert sum(shares) > 0.3
