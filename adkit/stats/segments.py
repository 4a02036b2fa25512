"""What belongs to one clip, kept together; a still image is a clip of length one."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return the items of each key, keys in the order in which they first come."""
    members: dict[Key, list[Item]] = {}
    for item in items:
        members.setdefault(key(item), []).append(item)
    return members


def clip_numbers(clips: Sequence[str]) -> NDArray[np.int64]:
    """Return the number (N,) of each item's clip, from 0 in the order in which clips begin."""
    numbers = {clip: number for number, clip in enumerate(dict.fromkeys(clips))}
    return np.array([numbers[clip] for clip in clips], dtype=np.int64)


def length_s(times_s: Sequence[float]) -> float:
    """Return how long a clip with frames at these times lasts: its last one is shown as long as those before it."""
    count = len(times_s)
    return (max(times_s) - min(times_s)) * count / (count - 1) if count > 1 else 0.0
