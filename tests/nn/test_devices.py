from __future__ import annotations

import pytest
import torch

from adkit.errors import OptionError
from adkit.nn.devices import pick_device, pick_precision


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    present = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in present)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 if "cuda" in present else 0)
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


@pytest.mark.parametrize("only", [("cuda",)], indirect=True)
@pytest.mark.usefixtures("only")
def test_cuda_computes_convolutions_as_exactly_as_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    pick_device("cpu")
    assert torch.backends.cudnn.allow_tf32
    pick_device()
    assert not torch.backends.cudnn.allow_tf32


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


@pytest.mark.parametrize("only", [("cuda", "mps")], indirect=True)
@pytest.mark.usefixtures("only")
@pytest.mark.parametrize(("name", "expected"), [("cpu:0", "cpu"), ("mps:0", "mps")])
def test_what_there_is_only_one_of_has_no_number(name: str, expected: str) -> None:
    assert pick_device(name) == expected


@pytest.mark.parametrize("only", [("cuda", "mps")], indirect=True)
@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("name", ["cpu:1", "cpu:7", "cuda:2", "cuda:9", "mps:1"])
def test_a_number_beyond_the_last_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"there is no device '{name}': this machine offers") as caught:
        pick_device(name)
    assert f"--device {name.partition(':')[0]}" in caught.value.hint


@pytest.mark.parametrize("only", [("cuda", "mps")], indirect=True)
@pytest.mark.usefixtures("only")
@pytest.mark.parametrize("name", ["cpu:x", "cpu:", "cuda:x", "cuda:-1", "cuda:0:1", "mps:x"])
def test_a_number_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"'{name}' is not a device"):
        pick_device(name)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_a_cpu_learns_in_bf16_where_it_multiplies_it(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert pick_precision("cpu") == expected


def test_an_older_torch_that_cannot_tell_means_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert pick_precision("cpu") == torch.float32


@pytest.mark.parametrize(("supported", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_an_older_gpu_learns_in_float16(
    supported: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert pick_precision("cuda:1") == expected


def test_the_precision_may_be_given() -> None:
    assert pick_precision("mps") == torch.float32
    assert pick_precision("cuda", "32") == torch.float32
    assert pick_precision("cpu", "bf16") == torch.bfloat16
