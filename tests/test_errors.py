from __future__ import annotations

import tempfile

import pytest

from adkit import errors
from adkit.errors import AdkitError, nearest

FAULTS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, AdkitError) and value is not AdkitError
]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_what_is_wrong_and_what_to_do(fault: type[AdkitError]) -> None:
    with pytest.raises(AdkitError, match="no such file") as caught:
        raise fault("no such file", hint="check the path")
    assert caught.value.message == "no such file"
    assert caught.value.hint == "check the path"


def test_nearest_proposes_the_likely_word_and_lists_all() -> None:
    assert nearest("patchkn", ["patchknn", "mean"]) == "did you mean patchknn? Known: mean, patchknn"


def test_nearest_only_lists_when_nothing_is_alike() -> None:
    assert nearest("xyz", ["patchknn", "mean"]) == "known: mean, patchknn"


def test_a_library_that_is_left_out_is_no_bug() -> None:
    fault = errors.fault_of_system(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert fault is not None
    assert fault.message == "this needs torch, which is not installed here"
    assert "--run EXPORT" in fault.hint
    assert errors.fault_of_system(ModuleNotFoundError("No module named 'adkit.gone'", name="adkit.gone")) is None


def test_a_library_that_memory_does_not_hold_is_no_bug() -> None:
    fault = errors.fault_of_system(ImportError("onnxruntime.so: failed to map segment from shared object"))
    assert fault is not None
    assert fault.message == "the memory of this machine does not suffice"


def test_where_no_temporary_file_can_be_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._os.open", refused)
    with pytest.raises(FileNotFoundError) as raised:
        tempfile.gettempdir()
    fault = errors.fault_of_system(raised.value)
    assert fault is not None
    assert "TMPDIR=" in fault.hint


def test_nearest_of_nothing() -> None:
    assert nearest("xyz", []) == "known: none"
