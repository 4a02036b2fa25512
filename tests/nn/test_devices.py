from __future__ import annotations

import pytest
import torch

from adkit.errors import OptionError
from adkit.nn.devices import pick_device, synchronize


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    present = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in present)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in present)


@pytest.mark.parametrize(
    ("only", "expected"),
    [((), "cpu"), (("mps",), "mps"), (("cuda",), "cuda"), (("cuda", "mps"), "cuda")],
    indirect=["only"],
)
@pytest.mark.usefixtures("only")
def test_auto_takes_the_fastest_there_is(expected: str) -> None:
    assert pick_device() == pick_device("auto") == expected


@pytest.mark.parametrize("only", [("cuda", "mps")], indirect=True)
@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:1", "mps"])
def test_a_named_device_is_kept(name: str) -> None:
    assert pick_device(name) == name


@pytest.mark.parametrize("only", [()], indirect=True)
@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"this machine offers torch no {name.partition(':')[0]} device") as caught:
        pick_device(name)
    assert "--device auto" in caught.value.hint


def test_an_unknown_device_is_told_with_the_nearest() -> None:
    with pytest.raises(OptionError, match="there is no device 'cudda'") as caught:
        pick_device("cudda")
    assert "did you mean cuda?" in caught.value.hint


def test_synchronize_waits_for_the_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))
    for device in ("cpu", "cuda:1", "mps"):
        synchronize(device)
    assert waited == ["cuda", "mps"]
