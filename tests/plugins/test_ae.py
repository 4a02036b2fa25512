from __future__ import annotations

from typing import Any

import pytest
import torch
from adkit_ae.method import Autoencoder
from adkit_unet.method import UNet, UNetNetwork, UNetOptions

from adkit.nn.training.reconstruction import Reconstruction
from tests.conforming import check_method

SMALL: dict[str, Any] = {"size": 32, "epochs": 2, "width": 4}
BOTH: list[type[Reconstruction[Any]]] = [Autoencoder, UNet]


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize(
    "options", [{"corruption": "none", "loss": "mse", "error": "l2"}, {"corruption": "noise", "error": "l1"}]
)
def test_they_conform(method: type[Reconstruction[Any]], options: dict[str, Any]) -> None:
    check_method(method, SMALL | options)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_autoencoder_narrows_256_px_to_16() -> None:
    network = Autoencoder.network(Autoencoder.Options())
    found = torch.rand(1, 3, 256, 256)
    shapes = []
    with torch.no_grad():
        for layer in network.eval():
            found = layer(found)
            shapes.append(tuple(found.shape[1:]))
    assert (256, 16, 16) in shapes
    assert shapes[-1] == (3, 256, 256)
    assert 1.3e6 < parameters(network) < 1.7e6


def test_the_unet_has_as_many_parameters_as_it_says() -> None:
    assert 1.8e6 < parameters(UNet.network(UNetOptions(skips=True))) < 2.0e6
    assert 1.4e6 < parameters(UNet.network(UNetOptions())) < 1.8e6


def test_without_skips_nothing_goes_past_the_bottleneck() -> None:
    torch.manual_seed(0)
    for skips in (True, False):
        network = UNetNetwork([4, 8, 16, 32], skips=skips).eval()
        for parameter in network.enlarge[-1].parameters():  # the last step up from the bottleneck is cut
            parameter.data.zero_()
        with torch.no_grad():
            one, other = network(torch.rand(1, 3, 32, 32)), network(torch.rand(1, 3, 32, 32))
        assert torch.equal(one, other) is not skips
