from __future__ import annotations

from typing import Any

import pytest
import torch
from adkit_dfr.method import DeepFeatureReconstruction, DfrOptions, FeatureAutoencoder, _components
from torch import Tensor

from adkit.errors import BackboneError
from adkit.interfaces import Silent
from adkit.options import parse_options
from adkit.testing.conformance import PartBatches, synthetic_frames
from tests.conforming import check_method
from tests.plugins.asking import maps_of

SMALL: dict[str, Any] = {"size": 64, "epochs": 3}


def made(**options: object) -> DeepFeatureReconstruction:
    return DeepFeatureReconstruction(parse_options(DfrOptions, SMALL | options, "dfr"), seed=1)


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return synthetic_frames(10, (64, 64))


@pytest.fixture(scope="module")
def method(frames: Tensor) -> DeepFeatureReconstruction:
    fitted = made(epochs=30, smoothing=0)
    fitted.fit(PartBatches(frames), Silent())
    return fitted


def test_it_conforms_with_a_part_of_the_patches() -> None:
    check_method(DeepFeatureReconstruction, SMALL | {"patch_limit": 1000, "code": 3})


def test_maps_are_errors_in_spreads_of_held_out_images(frames: Tensor, method: DeepFeatureReconstruction) -> None:
    assert method._facts["position_normalised"] is False
    features = method._features(frames[:2, 0])
    state = method.state()
    weighted = (features - state["mean"]) * state["weights"]
    autoencoder = method._objective
    with torch.no_grad():
        residual = autoencoder.decode(autoencoder.encode(weighted)) - weighted
    expected = (residual / state["spread"]).square().mean(dim=-1).sqrt()
    torch.testing.assert_close(maps_of(method, frames[:2]), expected, rtol=1e-4, atol=1e-4)


def test_an_anomaly_stands_out_where_it_is(frames: Tensor, method: DeepFeatureReconstruction) -> None:
    odd = frames[:1].clone()
    odd[..., 40:56, 8:24] = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)
    (plain,), (marked,) = maps_of(method, frames[:1]), maps_of(method, odd)
    assert float(marked.max()) > 2 * float(plain.max())
    row, column = divmod(int((marked - plain).argmax()), 8)
    assert 4 <= row <= 7
    assert 0 <= column <= 3


def test_the_code_is_as_long_as_the_variance_asks_for() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4000, 5, generator=generator)
    patches = hidden @ torch.randn(5, 20, generator=generator) + 0.01 * torch.randn(4000, 20, generator=generator)
    assert _components(patches, torch.ones(20), 0.999) == 5
    assert _components(patches, torch.ones(20), 0.01) == 2  # never less
    assert _components(torch.ones(10, 20), torch.ones(20), 0.9) <= 20


def test_the_code_may_be_given(frames: Tensor) -> None:
    method = made(code=7)
    method.fit(PartBatches(frames), Silent())
    assert method._facts["code"] == 7
    assert method.state()["decode.0.weight"].shape[1] == 7


def test_levels_have_the_same_say(frames: Tensor, method: DeepFeatureReconstruction) -> None:
    state = method.state()
    features = method._features(frames[:, 0]).flatten(0, 2)
    weighted = (features - features.mean(dim=0)) * state["weights"]
    parts = torch.split(weighted.square().mean(dim=0), list(method._features.lengths))
    sums = [float(part.sum()) for part in parts]
    assert sums[0] == pytest.approx(sums[1], rel=0.1)


def test_equal_images_can_be_learned() -> None:
    same = torch.full((6, 1, 3, 64, 64), 0.5)
    method = made()
    method.fit(PartBatches(same), Silent())
    assert bool(torch.isfinite(maps_of(method, same[:1])).all())


def test_other_weights_of_the_backbone_are_refused(method: DeepFeatureReconstruction) -> None:
    state = method.state()
    state["backbone_fingerprint"] = torch.zeros_like(state["backbone_fingerprint"])
    with pytest.raises(BackboneError, match="changed since fitting"):
        made(epochs=30).load_state(state)


def test_one_error_of_all_features_is_their_root_mean_square() -> None:
    autoencoder = FeatureAutoencoder(4, 2)
    for parameter in autoencoder.parameters():
        parameter.data.zero_()  # it then gives zeros, and the error is the input
    found = autoencoder.errors(torch.tensor([[[3.0, 0.0, 0.0, 4.0]]]))
    assert float(found.detach()) == pytest.approx(2.5)
