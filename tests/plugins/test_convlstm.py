from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from adkit_convlstm.method import ConvLstmMethod, ConvLstmOptions
from adkit_convlstm.network import ConvLstm, FeatureNetwork, PixelNetwork
from adkit_convlstm.objective import Rebuild, WarmUp
from adkit_convlstm.sequences import BLOCK, Recording, Sequences, beginnings, in_pieces, record
from adkit_convlstm.spaces import FeatureSpace, PixelSpace
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from adkit.errors import BackboneError, OptionError
from adkit.interfaces import Silent
from adkit.nn.features.patches import PatchFeatures
from adkit.options import parse_options
from adkit.registry import Registry
from adkit.testing.conformance import check_no_leak
from adkit.testing.synthetic import CLIP_FRAMES, PartBatches, moving_frames
from adkit.types import Batch
from tests.conforming import check_method

SMALL: dict[str, Any] = {"size": 64, "epochs": 1, "directions": 8, "code": 4, "hidden": 4, "sequence": 4}
PIXELS: dict[str, Any] = SMALL | {"space": "pixels", "size": 32, "width": 4}


def made(**options: object) -> ConvLstmMethod:
    return ConvLstmMethod(parse_options(ConvLstmOptions, SMALL | options, "convlstm"), seed=1)


@pytest.fixture(scope="module")
def clips() -> PartBatches:
    return moving_frames((64, 64))


@pytest.fixture(scope="module")
def method(clips: PartBatches) -> ConvLstmMethod:
    fitted = made(epochs=12, batch_size=4, code=8, hidden=16)
    fitted.fit(clips, Silent())
    return fitted


def top5(maps: Tensor) -> Tensor:
    """(N, h, w) -> (N,)."""
    values = maps.flatten(1)
    return values.topk(max(1, round(values.shape[1] / 20)), dim=1).values.mean(dim=1)


def streamed(method: ConvLstmMethod, frames: Tensor) -> Tensor:
    """Maps of the frames (n, 1, 3, H, W) of one clip."""
    names = tuple(map(str, range(len(frames))))
    maps = method.stream()(Batch(frames, names, ("clip",) * len(names))).maps
    assert maps is not None
    return maps


def test_it_conforms_when_it_predicts() -> None:
    check_method(ConvLstmMethod, SMALL | {"task": "predict"})


@pytest.mark.parametrize("task", ["reconstruct", "predict"])
def test_it_conforms_in_pixels(task: str) -> None:
    check_method(ConvLstmMethod, PIXELS | {"task": task, "pseudo": "skip", "position_normalisation": "on"})


def test_the_test_split_stays_unseen(registry: Registry, tmp_path: Path) -> None:
    check_no_leak("convlstm", registry, PIXELS | {"hidden": 2, "code": 2})


def test_what_appears_out_of_nothing_stands_out_where_it_is(clips: PartBatches, method: ConvLstmMethod) -> None:
    frames = clips.frames[:CLIP_FRAMES].clone()
    plain = streamed(method, frames)
    frames[6:, :, :, 0:24, 0:24] = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1)
    marked = streamed(method, frames)
    torch.testing.assert_close(marked[:6], plain[:6])
    assert float(top5(marked)[6:].min()) > float(top5(plain).max())
    assert (marked - plain)[6].argmax() in (0, 1, 4, 5)  # of 4 × 4 positions


def test_training_tells_how_well_a_wrong_speed_stands_out(clips: PartBatches) -> None:
    method = made(epochs=2)
    report = method.fit(clips, Silent())
    assert len(report.curves["separation"]) == report.facts["epochs"]
    assert report.facts["frames_learned_from"] == 5 * CLIP_FRAMES
    assert report.facts["first_frame_error"] == round(float(method.state()["warm_up"][0]), 4)


def test_it_goes_on_where_it_was_broken_off(clips: PartBatches, tmp_path: Path) -> None:
    whole, part, rest = made(epochs=3), made(epochs=1), made(epochs=3)
    expected = whole.fit(clips, Silent()).curves["loss"]
    part.fit(clips, Silent(), lambda: tmp_path)
    # The checkpoint says that it ended: what a kill in the second epoch leaves does not.
    from adkit.nn.training.checkpoints import Checkpoint, Checkpoints

    found = Checkpoints(tmp_path).read()
    assert found is not None
    Checkpoints(tmp_path).write(Checkpoint(found.tensors, {**found.numbers, "ended": ""}))
    found_again = rest.fit(clips, Silent(), lambda: tmp_path).curves["loss"]
    assert found_again == pytest.approx(expected, rel=1e-4)


def test_it_learns_from_one_clip_cut_into_pieces() -> None:
    clips = moving_frames((64, 64))
    one = PartBatches(clips.frames, 5, ["video"] * len(clips))
    method = made()
    method.fit(one, Silent())
    assert method._facts["frames_learned_from"] < len(one)


def test_other_weights_of_the_backbone_are_refused(method: ConvLstmMethod) -> None:
    state = method.state()
    state["backbone_fingerprint"] = torch.zeros_like(state["backbone_fingerprint"])
    with pytest.raises(BackboneError, match="changed since fitting"):
        made(epochs=12, code=8, hidden=16).load_state(state)


def test_pixels_need_a_size_that_can_be_halved() -> None:
    with pytest.raises(OptionError, match="multiples of 16") as caught:
        made(space="pixels", size="100x64")
    assert "size=96x64" in caught.value.hint
    made(size="100x64")


def test_only_pixels_come_with_a_picture(method: ConvLstmMethod) -> None:
    assert ConvLstmMethod.reconstructs
    assert not method.reconstructs
    assert made(space="pixels").reconstructs


def test_a_layer_by_hand() -> None:
    layer = ConvLstm(1, 1)
    for parameter in layer.parameters():
        parameter.data.zero_()
    assert layer.given.bias is not None
    assert layer.given.weight.shape == (4, 1, 3, 3)
    layer.given.weight.data[3, 0, 1, 1] = 1.0  # news: the frame itself
    layer.given.bias.data[0] = 50.0  # all of it enters
    layer.given.bias.data[1] = 50.0  # all is kept
    layer.given.bias.data[2] = 50.0  # all is told
    frames = torch.tensor([0.5, -1.0]).reshape(1, 2, 1, 1, 1)
    with torch.no_grad():
        told, (_, cell) = layer(frames, None)
    first = torch.tanh(torch.tensor(0.5))
    second = first + torch.tanh(torch.tensor(-1.0))
    assert told.flatten().tolist() == pytest.approx([float(torch.tanh(first)), float(torch.tanh(second))])
    assert float(cell) == pytest.approx(float(second))


@pytest.mark.parametrize("layers", [1, 2])
def test_frames_in_parts_give_what_they_give_at_once(layers: int) -> None:
    network = FeatureNetwork(5, 3, 4, layers).eval()
    frames = torch.rand(2, 7, 5, 6, 8)
    whole, memory = network(frames)
    first, between = network(frames[:, :3])
    second, after = network(frames[:, 3:], between)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(after, memory)


def test_directions_that_are_not_rebuilt_are_not_seen_and_given_as_their_mean() -> None:
    network = FeatureNetwork(3, 2, 4, 1).eval()
    frames = torch.rand(1, 4, 5, 6, 8)
    told, _ = network(frames)
    assert told.shape == frames.shape
    assert told[:, :, :3].abs().min() > 0
    assert told[:, :, 3:].abs().max() == 0
    frames[:, :, 3:] = 9
    torch.testing.assert_close(network(frames)[0], told)
    # And they count in no loss: nobody can mend it.
    objective = Rebuild(network, "reconstruct", "none").eval()
    torch.testing.assert_close(objective(frames, 0), (told - frames)[:, :, :3].square().mean().reshape(1))
    before = objective.scores(frames)
    frames[:, :, 3:] = -5
    torch.testing.assert_close(objective.scores(frames), before)


def test_the_pixel_network_of_usual_size_has_about_three_million_parameters() -> None:
    network = PixelNetwork((32, 48), 32, 128, 128, 2)
    assert 2.5e6 < sum(parameter.numel() for parameter in network.parameters()) < 3.5e6
    with torch.no_grad():
        pictures, _ = network(torch.rand(1, 2, 3, 32, 48))
    assert pictures.shape == (1, 2, 3, 32, 48)


def test_pixels_are_seen_against_the_background() -> None:
    scene = torch.rand(3, 32, 48)
    network = PixelNetwork((32, 48), 4, 4, 4, 1).eval()
    network.learn_background(torch.stack([scene - 0.1, scene + 0.1]))
    torch.testing.assert_close(network.background, scene)
    assert float(network.spread) == pytest.approx(0.1)
    with torch.no_grad():
        still, _ = network(scene[None, None])
        darker = PixelNetwork((32, 48), 4, 4, 4, 1).eval()
        darker.load_state_dict(network.state_dict())
        darker.background *= 0.5
        half, _ = darker(scene[None, None] * 0.5)
    torch.testing.assert_close(still - scene, half - 0.5 * scene)


class Copies(torch.nn.Module):
    """A network that gives what it saw."""

    rebuilt_channels = None

    def forward(self, frames: Tensor, memory: Any = None) -> tuple[Tensor, Any]:
        return frames, ()


def test_predicting_compares_with_what_was_told_before() -> None:
    frames = torch.arange(5.0).reshape(1, 5, 1, 1, 1)
    copies: Any = Copies()
    assert Rebuild(copies, "reconstruct", "none").rebuild(frames)[0].flatten().tolist() == [0, 1, 2, 3, 4]
    predicted, past = Rebuild(copies, "predict", "none").rebuild(frames)
    assert predicted.flatten().tolist() == [0, 0, 1, 2, 3]  # nothing foretold the first frame
    assert Rebuild(copies, "predict", "none").rebuild(frames + 5, past)[0].flatten().tolist() == [4, 5, 6, 7, 8]


def test_skipping_asks_for_the_normal_speed() -> None:
    class SeesStep(Copies):
        """Gives one frame of normal speed after what it saw."""

        def forward(self, frames: Tensor, memory: Any = None) -> tuple[Tensor, Any]:
            return frames + 1, ()

    network: Any = SeesStep()
    sequences = torch.arange(16.0).reshape(1, 16, 1, 1, 1).repeat(64, 1, 1, 1, 1)
    plain = Rebuild(network, "predict", "none")(sequences, 3)
    skipping = Rebuild(network, "predict", "skip")(sequences, 3)
    assert set(plain.tolist()) == {1 / 16}  # only the first frame, which is expected to be followed by another
    assert set(skipping.tolist()) == {0.0, 1 / 16}
    assert 4 <= int((skipping == 0).sum()) <= 28


def test_the_first_frames_are_judged_as_if_the_memory_were_full() -> None:
    errors = torch.tensor([4.0, 2.0, 1.0, 1.0])[:, None, None].expand(4, 5, 5)
    warm_up = WarmUp.learn([errors, errors])
    assert warm_up.factors.tolist() == [4.0, 2.0]
    assert warm_up(errors, torch.arange(4)).unique().tolist() == [1.0]
    assert torch.equal(warm_up(errors, torch.arange(7, 11)), errors)
    assert torch.equal(WarmUp()(errors, torch.arange(4)), errors)


def recording(*lengths: int) -> Recording:
    runs = [number for number, length in enumerate(lengths) for _ in range(length)]
    frames = torch.arange(len(runs), dtype=torch.float16).reshape(-1, 1, 1, 1)
    return Recording(frames, torch.arange(len(runs)), torch.tensor(runs))


def frames_of(sequences: Sequences) -> list[list[int]]:
    return [rows.flatten().int().tolist() for rows in sequences[torch.arange(len(sequences))]]


def test_sequences_lie_within_their_clips() -> None:
    assert frames_of(Sequences(recording(6, 3), 3, 2)) == [[0, 1, 2], [2, 3, 4], [6, 7, 8]]


def test_sequences_may_skip_frames() -> None:
    assert frames_of(Sequences(recording(6), 3, 1, step=2)) == [[0, 2, 4], [1, 3, 5]]


def test_a_short_clip_gives_one_sequence_whose_first_frame_stands_still() -> None:
    assert frames_of(Sequences(recording(2, 4), 4, 2)) == [[0, 0, 0, 1], [2, 3, 4, 5]]


def test_few_clips_are_cut_into_pieces_that_hold_a_sequence() -> None:
    assert in_pieces(recording(20), 4).lengths() == [4, 4, 4, 4, 4]
    assert in_pieces(recording(20, 20), 4).lengths() == [7, 7, 6, 7, 7, 6]
    assert in_pieces(recording(9), 4).lengths() == [5, 4]
    assert in_pieces(recording(3), 4).lengths() == [3]
    assert in_pieces(recording(8, 8, 8, 8, 8), 4).lengths() == [8, 8, 8, 8, 8]


def test_beginnings_take_the_same_number_of_each_run() -> None:
    assert beginnings(recording(6, 2, 6), 9).places.tolist() == [0, 1, 2, 6, 7, 8, 9, 10]


def test_more_frames_than_the_limit_are_left_out_in_blocks() -> None:
    count = 10 * BLOCK
    frames = torch.linspace(0, 1, count).reshape(-1, 1, 1, 1, 1).expand(-1, 1, 3, 1, 1)
    batches = PartBatches(frames, 7, ["a"] * (4 * BLOCK) + ["b"] * (6 * BLOCK))
    found = record(batches, lambda pictures: pictures[:, :1], count // 2, Silent())
    assert len(found) == count // 2
    assert found.lengths() == [BLOCK] * 5
    numbers = (found[torch.arange(len(found))].flatten() * (count - 1)).round().int()
    assert set((numbers // BLOCK).tolist()) == {0, 2, 4, 6, 8}
    whole = record(batches, lambda pictures: pictures[:, :1], count, Silent())
    assert whole.lengths() == [4 * BLOCK, 6 * BLOCK]
    torch.testing.assert_close(whole[torch.arange(count)].flatten(), frames[:, 0, 0, 0, 0])


@given(count=st.integers(1, 60 * BLOCK), limit=st.integers(BLOCK, 60 * BLOCK), size=st.integers(50, 100))
@example(count=49 * BLOCK, limit=BLOCK, size=16)  # for a computer, 49 times 1 / 49 is less than 1
@example(count=2 * BLOCK + 1, limit=BLOCK, size=16)  # or only the frame of the last block
def test_whatever_the_limit_about_as_many_frames_are_kept(count: int, limit: int, size: int) -> None:
    batches = PartBatches(torch.zeros(1, 1, 3, 1, 1).expand(count, -1, -1, -1, -1), size)
    kept = len(record(batches, lambda pictures: pictures[:, :1], limit, Silent()))
    assert min(count, limit) - 2 * BLOCK < kept <= min(count, limit + BLOCK)
    assert kept >= min(count, BLOCK)
    assert kept == count or limit < count


def test_directions_are_whitened_by_the_training_frames_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator)
    kept = torch.einsum("bdhw,de->behw", torch.randn(40, 6, 8, 8, generator=generator), mixing)
    kept[30:] *= 5
    space = FeatureSpace(PatchFeatures(strides=(16,)), 4)
    seen = space.learn(kept.half(), torch.arange(30), 0)
    assert seen.shape == (40, 6, 8, 8)
    patches = seen[:30].float().permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(patches.mean(dim=0), torch.zeros(6), atol=0.01, rtol=0)
    spreads = patches.T.cov()
    torch.testing.assert_close(spreads[:4, :4], torch.eye(4), atol=0.02, rtol=0)
    # Those that are not rebuilt have their spread in common: their lengths stay what they are to each other.
    assert float(spreads[4, 4] + spreads[5, 5]) == pytest.approx(2, abs=0.02)
    assert float(spreads[4, 4]) > 1.05 * float(spreads[5, 5])


def test_errors_are_measured_in_what_is_usual_for_each_direction() -> None:
    space = FeatureSpace(PatchFeatures(strides=(16,)), 2)
    usual = torch.tensor([4.0, 0.25])  # squared
    residual = usual.sqrt()[None, :, None, None].expand(5, 2, 3, 3)
    space.learn_spread([residual, -residual])
    # A tenth of the mean squared error stands beside each one's own.
    expected = (usual / (usual + 0.1 * usual.mean())).mean().sqrt()
    torch.testing.assert_close(space.maps(residual), expected.expand(5, 3, 3))
    torch.testing.assert_close(PixelSpace().maps(residual), torch.full((5, 3, 3), (4 + 0.25) / 2))


def test_what_no_direction_ever_showed_stands_out_without_a_network(clips: PartBatches) -> None:
    method = made(epochs=1, directions=8)
    method.fit(clips, Silent())
    frames = clips.frames[:CLIP_FRAMES].clone()
    plain = streamed(method, frames)
    tinted = streamed(method, frames * torch.tensor([1.0, 0.7, 0.4]).reshape(3, 1, 1))
    assert float(top5(tinted).min()) > float(top5(plain).max())


def test_more_directions_than_channels_are_refused(clips: PartBatches) -> None:
    method = made(directions=113)
    with pytest.raises(OptionError, match="only 112 channels"):
        method.fit(clips, Silent())


def test_bytes_become_images_again() -> None:
    kept = PixelSpace().look(torch.tensor([0.0, 0.2, 1.0]).reshape(1, 3, 1, 1))
    found = Recording(kept, torch.tensor([0]), torch.tensor([0]))[torch.tensor([0])]
    torch.testing.assert_close(found.flatten(), torch.tensor([0.0, 0.2, 1.0]))
