from __future__ import annotations

import os
import subprocess
import sys

import pytest

from adkit.cli import THREAD_LIMITS, limit_threads


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable is set, and what is set is unset again."""
    for name in ("GOMP_SPINCOUNT", *THREAD_LIMITS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize("given", [None, "7"])
def test_threads_do_not_look_on_for_long_unless_the_user_says_so(given: str | None) -> None:
    if given:
        os.environ["GOMP_SPINCOUNT"] = given
    code = "import adkit, os; print(os.environ['GOMP_SPINCOUNT'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == f"{given or 2000}\n"


def test_a_number_holds_for_every_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    limit_threads(3)
    assert {os.environ[name] for name in THREAD_LIMITS} == {"3"}


def test_the_usual_variable_holds_for_all_that_have_none_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("OPENCV_FOR_THREADS_NUM", "5")
    limit_threads(None)
    assert [os.environ[name] for name in THREAD_LIMITS] == ["2", "2", "2", "5"]


def test_threads_of_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    from adkit.nn.features.neighbours import _session

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert _session.__wrapped__()._together.get_session_options().intra_op_num_threads == 1


def test_threads_of_faiss() -> None:
    limit_threads(3)
    code = "import faiss; print(faiss.omp_get_max_threads())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "3\n"
