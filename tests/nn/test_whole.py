"""How odd an image is as a whole: against plain computations, and through a run's state."""

import numpy as np
import pytest
import torch
from torch import Tensor

from adkit.nn.normal_space import left_out_scores
from adkit.nn.whole import WEIGHT, Whole


def vectors_of(count: int, seed: int) -> Tensor:
    """Make (count, 12) vectors whose features vary together."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(count, 4)) @ rng.normal(size=(4, 12))).float()


NORMAL, SCORES = vectors_of(40, 0), torch.from_numpy(np.random.default_rng(1).gamma(4, size=40)).float()


@pytest.fixture(scope="module")
def learned() -> tuple[Whole, Tensor]:
    return Whole.learn(NORMAL, SCORES, 32)


def test_what_normal_images_add_is_half_a_spread_of_their_scores_for_each_spread_beyond_the_usual(
    learned: tuple[Whole, Tensor],
) -> None:
    distances = left_out_scores(NORMAL, torch.arange(40) % 20, [6, 6], 3)
    spreads = (distances - distances.mean()) / distances.std()
    torch.testing.assert_close(learned[1], WEIGHT * SCORES.std() * spreads.clamp_min(0))


def test_an_odd_image_adds_more_the_odder_it_is_and_a_learned_one_nothing(learned: tuple[Whole, Tensor]) -> None:
    whole, direction = learned[0], torch.from_numpy(np.random.default_rng(2).normal(size=12)).float()
    added = whole(NORMAL[:1] + torch.tensor([[0.0], [5.0], [10.0], [20.0]]) * direction)
    assert added[0] == 0
    assert (added.diff() > 0).all()


def test_a_run_keeps_it_to_the_last_bit(learned: tuple[Whole, Tensor]) -> None:
    restored = Whole.from_state(learned[0].state())
    assert restored is not None
    odd = vectors_of(9, 5) * 3
    assert torch.equal(restored(odd), learned[0](odd))
    assert int(restored.stride) == 32
    assert Whole.from_state({}) is None


def test_further_images_are_normal_from_then_on_and_removed_ones_no_longer(learned: tuple[Whole, Tensor]) -> None:
    odd = vectors_of(3, 7) * 5
    more = learned[0].updated(odd, first=40, removed=())
    assert (learned[0](odd) > 0).all()
    near = odd + 1e-3
    assert (more(near) < learned[0](near)).all()
    back = more.updated(odd[:0], first=43, removed=(40, 41, 42))
    assert torch.equal(back(near), learned[0](near))
    assert torch.equal(back.numbers, torch.arange(40))


def test_images_that_hardly_differ_make_no_small_difference_endless() -> None:
    alike = torch.ones(30, 12) + 1e-6 * vectors_of(30, 3)
    whole, added = Whole.learn(alike, SCORES[:30], 32)
    assert float(added.max()) < 10 * float(SCORES.std())
    assert torch.isfinite(whole(alike + 1)).all()
    still, _ = Whole.learn(alike, torch.ones(30), 32)
    assert float(still(alike + 1).max()) == 0, "scores that do not vary have no unit"
