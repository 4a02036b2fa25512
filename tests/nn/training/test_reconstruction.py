from __future__ import annotations

from typing import Any

import pytest
import torch
from adkit_ae.method import Autoencoder
from torch import Tensor, nn

from adkit.errors import OptionError
from adkit.interfaces import Silent
from adkit.nn.normalisation import PositionNormalisation, smooth
from adkit.nn.training.reconstruction import MARGIN, Denoising, ReconstructionOptions
from adkit.nn.training.reconstruction_error import error_map
from adkit.options import parse_options
from adkit.testing.conformance import PartBatches, synthetic_frames
from adkit.types import Batch

SMALL: dict[str, Any] = {"size": 32, "epochs": 2, "width": 4, "registration": "off"}


def made(**options: object) -> Autoencoder:
    return Autoencoder(parse_options(ReconstructionOptions, SMALL | options, "ae"), seed=1)


def predicted(method: Autoencoder, frames: Tensor) -> tuple[Tensor, Tensor]:
    names = tuple(map(str, range(len(frames))))
    prediction = method.predict(Batch(frames, names, names))
    assert prediction.maps is not None
    assert prediction.images is not None
    return prediction.maps, prediction.images


@pytest.fixture(scope="module")
def frames() -> Tensor:
    return synthetic_frames(12, (32, 32))


class Mirror(nn.Module):
    """Gives back what it sees, as logits, and remembers the size."""

    def forward(self, frames: Tensor) -> Tensor:
        self.size = frames.shape[-2:]
        return torch.logit(frames, eps=1e-6)


def test_the_network_sees_a_margin_that_is_cut_off_again(frames: Tensor) -> None:
    network = Mirror()
    repair = Denoising(network, "l1", "l1", ())
    torch.testing.assert_close(repair.reconstruct(frames[:2, 0]), frames[:2, 0], rtol=1e-3, atol=1e-4)
    assert network.size == (32 + 2 * MARGIN, 32 + 2 * MARGIN)


def test_what_is_learned_is_the_clean_image(frames: Tensor) -> None:
    clean = frames[:8, 0]
    copying = Denoising(Mirror(), "l1", "l1", ("stain",))
    assert float(copying(clean, 0).mean()) > 1e-3  # a copy of the spoilt image is not the clean one
    assert float(Denoising(Mirror(), "l1", "l1", ())(clean, 0).mean()) < 1e-4


def test_the_same_draw_spoils_alike(frames: Tensor) -> None:
    repair = Denoising(Mirror(), "l1", "l1", ("stain", "noise"))
    assert torch.equal(repair(frames[:4, 0], 7), repair(frames[:4, 0], 7))
    assert not torch.equal(repair(frames[:4, 0], 7), repair(frames[:4, 0], 8))


def test_maps_are_smoothed_errors_of_the_reconstruction(frames: Tensor) -> None:
    method = made(error="l1", smoothing=3, position_normalisation="off")
    method.fit(PartBatches(frames), Silent())
    maps, images = predicted(method, frames[:3])
    torch.testing.assert_close(maps, smooth(error_map("l1", images, frames[:3, 0]), 3))
    assert 0 <= float(images.min()) <= float(images.max()) <= 1


def test_position_is_normalised_by_held_out_images(frames: Tensor) -> None:
    plain, normalised = made(position_normalisation="off"), made(position_normalisation="on")
    many = synthetic_frames(20, (32, 32))
    for method in (plain, normalised):
        method.fit(PartBatches(many), Silent())
    assert normalised._facts["position_normalised"] is True
    found = PositionNormalisation.from_state(normalised.state())
    assert found is not None
    maps, _ = predicted(plain, frames[:2])
    torch.testing.assert_close(predicted(normalised, frames[:2])[0], found(maps))
    assert "position_mean" not in plain.state()


def test_a_fit_says_how_it_went(frames: Tensor) -> None:
    method = made()
    report = method.fit(PartBatches(frames), Silent())
    assert report.curves.keys() == {"loss", "held_out_loss", "separation", "learning_rate"}
    assert {len(values) for values in report.curves.values()} == {2}
    facts = report.facts
    assert facts["epochs"] == 2
    assert facts["training_ended"] == "after all 2 epochs"
    assert facts["parameters"] == sum(value.numel() for value in method._objective.parameters())


@pytest.mark.parametrize("size", ["40x40", "32x40"])
def test_a_size_that_cannot_be_halved_four_times_is_refused(size: str) -> None:
    with pytest.raises(OptionError, match="needs multiples of 16 px") as caught:
        made(size=size)
    assert "for example --set size=32x" in caught.value.hint


def test_a_similarity_over_scales_needs_large_frames() -> None:
    with pytest.raises(OptionError, match="MS-SSIM needs at least 161 px"):
        made(loss="ms_ssim")
    assert made(loss="l1+ms_ssim", size=176).frame_size == (176, 176)


def test_corruptions_are_written_as_a_list() -> None:
    assert ReconstructionOptions(corruption="noise,stain,noise").corruption == ("noise", "stain")  # type: ignore[arg-type]
    assert ReconstructionOptions(corruption="none").corruption == ()  # type: ignore[arg-type]
    assert ReconstructionOptions(corruption=()).model_dump(mode="json")["corruption"] == "none"


def test_parts_that_lie_any_way_are_cut_out_and_laid_back() -> None:
    method = made(size=64, registration="auto")
    assert method.frame_size == (128, 128)
    bolts = synthetic_frames(14, (128, 128), part="bolt")
    method.fit(PartBatches(bolts), Silent())
    assert method._facts["registered"] is True
    maps, images = predicted(method, bolts[:2])
    assert maps.shape == (2, 128, 128)
    assert images.shape == (2, 3, 128, 128)
    restored = made(size=64, registration="auto")
    restored.load_state(method.state())
    assert torch.equal(predicted(restored, bolts[:2])[0], maps)


def test_aligned_parts_are_seen_whole() -> None:
    method = made(registration="auto")
    method.fit(PartBatches(synthetic_frames(14, (64, 64), part="connector")), Silent())
    assert method._facts["registered"] is False
    assert predicted(method, synthetic_frames(1, (64, 64)))[0].shape == (1, 32, 32)


def test_cut_outs_too_small_for_a_similarity_over_scales_are_refused() -> None:
    method = made(loss="l1+ms_ssim", size=176, registration="auto")
    bolts = synthetic_frames(14, (352, 352), part="bolt")
    with pytest.raises(OptionError, match="parts are cut out of the images: MS-SSIM needs at least 161 px"):
        method.fit(PartBatches(bolts), Silent())


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_images_can_be_learned(value: float) -> None:
    method = made()
    same = torch.full((6, 1, 3, 32, 32), value)
    method.fit(PartBatches(same), Silent())
    assert bool(torch.isfinite(predicted(method, same[:1])[0]).all())
