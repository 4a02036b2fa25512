from __future__ import annotations

import pytest
import torch
from torch import Tensor

from adkit.errors import OptionError
from adkit.nn.blend import WEIGHTS, Blend, choose_blend
from adkit.nn.corruption import SPOILT
from adkit.nn.normalisation import LEAST_MAPS, PositionNormalisation
from adkit.nn.options import ScaledMapOptions
from adkit.options import parse_options

COUNT = 60
CLIPS = torch.arange(COUNT)
SOURCES = 12


def options(**values: object) -> ScaledMapOptions:
    return parse_options(ScaledMapOptions, values, "method")


def noise(count: int, side: int, seed: int) -> Tensor:
    return torch.randn(count, side, side, generator=torch.Generator().manual_seed(seed))


def with_spots(maps: Tensor, height: float) -> Tensor:
    """Add a spot of four positions to each map, somewhere else in each."""
    maps = maps.clone()
    for row, one in enumerate(maps):
        y, x = (row * 3) % (one.shape[0] - 1), (row * 5) % (one.shape[1] - 1)
        one[y : y + 2, x : x + 2] += height
    return maps


def test_maps_of_two_scales_by_hand() -> None:
    fine, coarse = torch.tensor([[[0.0, 2.0], [4.0, 6.0]]]), torch.tensor([[[10.0]], [[30.0]]])
    blend = Blend.learn([fine, coarse], (0.75, 0.25), by_position=False)
    # Fine: mean 3, spread 5 ** 0.5; coarse: mean 20, spread 10. A coarse 40 is two spreads above, everywhere.
    found = blend([torch.full((1, 2, 2), 3.0), torch.tensor([[[40.0]]])])
    torch.testing.assert_close(found, torch.full((1, 2, 2), (0.75 * 2**3 + 0.25 * 4**3) ** (1 / 3) - 2))
    found = blend([torch.full((1, 2, 2), 3.0 + 5**0.5), torch.tensor([[[20.0]]])])
    torch.testing.assert_close(found, torch.full((1, 2, 2), (0.75 * 3**3 + 0.25 * 2**3) ** (1 / 3) - 2))


def test_two_scales_that_agree_say_what_each_says() -> None:
    levels = torch.arange(-1.5, 6, 0.5)[:, None, None]
    unit = PositionNormalisation(torch.tensor(0.0), torch.tensor(1.0))
    agreed = Blend(WEIGHTS, (unit, unit))([levels.expand(-1, 4, 4), levels.expand(-1, 2, 2)])
    torch.testing.assert_close(agreed, levels.expand(-1, 4, 4))


@pytest.mark.parametrize("by_position", [False, True])
def test_out_of_sample_in_parts_is_that_of_all_at_once(by_position: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    normal = [noise(COUNT, 8, 0), noise(COUNT, 4, 1)]
    blend = Blend.learn(normal, WEIGHTS, by_position=by_position)
    whole = blend.out_of_sample(normal, CLIPS)
    monkeypatch.setattr("adkit.nn.blend.MAPS", 7)
    torch.testing.assert_close(blend.out_of_sample(normal, CLIPS), whole, rtol=0, atol=0)


@pytest.mark.parametrize("by_position", [False, True])
def test_a_state_gives_the_same_blend(by_position: bool) -> None:
    normal = [noise(COUNT, 8, 0), noise(COUNT, 4, 1)]
    blend = Blend.learn(normal, WEIGHTS, by_position=by_position)
    restored = Blend.from_state(blend.state())
    assert restored.weights == blend.weights
    assert torch.equal(restored(normal), blend(normal))
    plain = Blend.from_state(Blend().state())
    assert torch.equal(plain(normal), normal[0])


def test_positions_are_taken_together_where_telling_them_apart_finds_fewer() -> None:
    # A ridge that lies in the first column as a rule: where it rarely lies, it must not count as odd.
    normal, spoilt = 0.3 * noise(COUNT, 8, 0), 0.3 * noise(SOURCES * len(SPOILT), 8, 2)
    for row, one in enumerate(normal):
        one[:, row // 10 if row % 10 == 0 else 0] += 10
    spoilt[:, :, 0] += 10
    spoilt[:, 3:5, 0] += 4
    blend, facts = choose_blend([normal], CLIPS, [spoilt], options(), apart=True)
    assert facts["spoilt_found_by_position"] < 0.5 < facts["spoilt_found"]
    assert not blend.by_position
    assert facts["position_normalised"] is False


def test_where_both_find_as_many_the_methods_rule_holds() -> None:
    normal = [noise(COUNT, 8, 0), noise(COUNT, 4, 1)]
    spoilt = [noise(SOURCES * len(SPOILT), 8, 2), noise(SOURCES * len(SPOILT), 4, 3)]
    blend, _ = choose_blend(normal, CLIPS, spoilt, options(), apart=True)
    assert blend.weights == WEIGHTS
    assert blend.by_position
    blend, _ = choose_blend(normal, CLIPS, spoilt, options())
    assert not blend.by_position, "without a rule it must find clearly more"


def test_position_matters_where_some_places_always_score_high() -> None:
    pattern = torch.linspace(0, 12, 64).reshape(8, 8)
    normal = [noise(COUNT, 8, 0) + pattern]
    spoilt = [with_spots(noise(SOURCES * len(SPOILT), 8, 2), 6) + pattern]
    blend, facts = choose_blend(normal, CLIPS, spoilt, options())
    assert blend.by_position
    assert facts["position_normalised"] is True
    assert choose_blend(normal, CLIPS, spoilt, options(), apart=True)[0].by_position
    refused, _ = choose_blend(normal, CLIPS, spoilt, options(position_normalisation="off"))
    assert not refused.by_position


def test_few_clips_say_too_little() -> None:
    pattern = torch.linspace(0, 12, 64).reshape(8, 8)
    normal = [noise(COUNT, 8, 0) + pattern]
    spoilt = [with_spots(noise(SOURCES * len(SPOILT), 8, 2), 6) + pattern]
    blend, _ = choose_blend(normal, CLIPS % (LEAST_MAPS - 1), spoilt, options())
    assert not blend.by_position
    with pytest.raises(OptionError, match="needs 3 normal images"):
        choose_blend([normal[0][:2]], CLIPS[:2], spoilt, options(position_normalisation="on"))
