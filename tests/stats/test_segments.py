from __future__ import annotations

from adkit.stats.formatting import Unit
from adkit.stats.segments import clip_numbers, grouped


def test_items_of_a_clip_stay_together_in_the_order_in_which_clips_begin() -> None:
    found = grouped(range(5), "babbc".__getitem__)
    assert found == {"b": [0, 2, 3], "a": [1], "c": [4]}
    assert list(found) == ["b", "a", "c"]
    assert clip_numbers("babbc").tolist() == [0, 1, 0, 0, 2]
    assert clip_numbers("").tolist() == []


def test_a_unit_brings_its_words() -> None:
    images, clips = Unit.of("image", 30.0), Unit.of("clip")
    assert (images.name, images.sample, images.good, images.defect) == ("image", "image", "good part", "defect")
    assert (clips.name, clips.sample, clips.good, clips.defect) == ("clip", "frame", "normal clip", "event")
    assert (images.of_clips, clips.of_clips) == (False, True)
    assert Unit.of("clip", 29.7).good == "normal 30 s piece"
