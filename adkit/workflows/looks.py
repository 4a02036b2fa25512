"""How alike the images of a dataset look, at a glance: which are odd, and whether they are of two sorts."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from adkit.data.images import resize
from adkit.stats.formatting import counted, listed

_SIDE_PX = 16
_MOST = 500
"""So many images are compared with each other at most, taken evenly from all."""
_LEAST = 8
_NEIGHBOURS = 3
_LEAST_OF_A_GROUP = 0.05
_APART = 8.0
"""So many standard deviations of a group lie between two middles: evenly spread values have 3.5, turned screws 5.7."""
_SILHOUETTE = 0.4
"""How much nearer each is to its own: noise in many dimensions has 0, turned screws 0.3, two sorts of parts 0.8."""
_DARKER = 20.0
"""Grey levels between two groups of clips, from which one of them is called darker."""
_CLEARLY = 3.0
"""So many times wider is the step between few dark and few bright images than all steps within either of them."""
_SAME = 2
"""Grey levels of a thumbnail: a video's compression alone makes such differences."""
_PIECE = re.compile(r" [\d:]+:\d\d\.\d$")  # ends the name of a piece of a clip: when it begins
_NAMED = 6


@dataclass
class Glances:
    """Images as small as a thumbnail, by name."""

    names: list[str] = field(default_factory=list)
    _glances: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, name: str, image: NDArray[np.uint8]) -> None:
        """Look at an image, RGB (H, W, 3)."""
        self.names.append(name)
        self._glances.append(resize(image, (_SIDE_PX, _SIDE_PX)).astype(np.float32).ravel())

    def differs(self, name: str, image: NDArray[np.uint8]) -> bool:
        """Say whether an image, RGB (H, W, 3), looks otherwise than that of this name."""
        now = resize(image, (_SIDE_PX, _SIDE_PX)).astype(np.float32).ravel()
        return bool(np.abs(now - self._glances[self.names.index(name)]).max() > _SAME)

    def brightness(self, names: Sequence[str]) -> float:
        """Return the mean grey level of these images."""
        return float(np.mean([self._glances[self.names.index(name)].mean() for name in names]))

    def oddest(self, count: int) -> list[str]:
        """Name those least like their nearest neighbours, the oddest first; none where there are too few to tell."""
        positions, distances = self._compared()
        if len(positions) < max(_LEAST, count + _NEIGHBOURS):
            return []
        nearest = np.sort(distances, axis=1)[:, 1 : 1 + _NEIGHBOURS].mean(axis=1)
        order = np.argsort(-nearest, kind="stable")[:count]
        return [self.names[positions[one]] for one in order]

    def two_groups(self) -> tuple[list[str], list[str]] | None:
        """Name the images of the larger and the smaller group, where they are of two sorts; None where not."""
        positions, distances = self._compared()
        if len(positions) < _LEAST:
            return None
        glances = np.stack(self._glances)
        in_second = _halves(glances[positions])
        if not _are_apart(glances[positions], distances, in_second):
            return None
        middles = _middles(glances[positions], in_second)
        nearer = np.linalg.norm(glances[:, None] - middles, axis=2).argmin(axis=1)
        groups = [[name for name, one in zip(self.names, nearer, strict=True) if one == side] for side in (0, 1)]
        groups.sort(key=len, reverse=True)
        return groups[0], groups[1]

    def two_lights(self) -> tuple[list[str], list[str]] | None:
        """Name the larger and the smaller group of few images, where some are much darker than the others."""
        levels = {name: self.brightness([name]) for name in self.names}
        order = sorted((name for name in levels if levels[name] > _SAME), key=levels.__getitem__)  # black is no night
        if len(order) < 2 or len(levels) >= _LEAST:
            return None
        steps = np.diff([levels[name] for name in order])
        last = int(steps.argmax())
        if steps[last] < max(_DARKER, _CLEARLY * steps[:last].sum(), _CLEARLY * steps[last + 1 :].sum()):
            return None
        darker, brighter = sorted(order[: last + 1]), sorted(order[last + 1 :])
        return (brighter, darker) if len(brighter) >= len(darker) else (darker, brighter)

    def _compared(self) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return the positions (N,) of images taken evenly, and how far each is from each, (N, N)."""
        count = len(self.names)
        positions = np.unique(np.linspace(0, count - 1, min(count, _MOST)).astype(np.intp)) if count else np.arange(0)
        if not count:
            return positions, np.zeros((0, 0), np.float32)
        glances = np.stack([self._glances[one] for one in positions])
        squares = (glances**2).sum(axis=1)
        return positions, np.sqrt(np.maximum(squares[:, None] + squares - 2 * glances @ glances.T, 0))


@dataclass
class ClipLooks:
    """What clips look like, by the first frame of each, and whether any later one differs from it."""

    firsts: Glances = field(default_factory=Glances)
    frames: Counter[str] = field(default_factory=Counter)  # clip -> how many were looked at
    changing: set[str] = field(default_factory=set)

    def add(self, clip: str, image: NDArray[np.uint8]) -> None:
        """Look at the next frame of a clip, RGB (H, W, 3)."""
        self.frames[clip] += 1
        if self.frames[clip] == 1:
            self.firsts.add(clip, image)
        elif clip not in self.changing and self.firsts.differs(clip, image):
            self.changing.add(clip)

    def findings(self) -> list[str]:
        """Say in sentences which clips stand still, and which look otherwise than the others."""
        found = []
        still = [clip for clip, count in self.frames.items() if count > 1 and clip not in self.changing]
        if still:
            found.append(
                f"in {of_clips(still, len(self.frames))} nothing changes from the first frame to the last, "
                f"as if the camera had stopped: {named(still)}"
            )
        if groups := self.firsts.two_groups() or self.firsts.two_lights():
            more, fewer = groups
            levels = self.firsts.brightness(fewer) - self.firsts.brightness(more)
            light = "much darker" if levels < 0 else "much brighter"
            verbs = (f"is {light}", f"are {light}") if abs(levels) > _DARKER else ("looks otherwise", "look otherwise")
            found.append(
                f"{of_clips(fewer, len(self.frames), *verbs)}: {named(fewer)}; "
                "one run for each group finds more, or leave them out with --leave-out"
            )
        return found


def of_clips(names: Sequence[str], count: int, one: str = "", more: str = "") -> str:
    """Say how many of all the clips, or pieces of clips, these are, with the verb for a single one or for more."""
    thing = "piece" if any(map(_PIECE.search, names)) else "clip"
    return f"{len(names)} of {counted(count, thing)} {one if len(names) == 1 else more}".rstrip()


def named(names: Sequence[str]) -> str:
    """List the first of these names, and say how many more there are."""
    return listed(names, _NAMED)


def _halves(glances: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Part (N, D) values in two by 2-means, begun along their first principal axis; (N,), True for the second."""
    from sklearn.cluster import KMeans  # takes a second to import

    centred = glances - glances.mean(axis=0)
    second = centred @ np.linalg.svd(centred, full_matrices=False)[2][0] > 0
    if second.all() or not second.any():  # all are the same
        return np.asarray(second)
    return np.asarray(KMeans(2, init=_middles(glances, second), n_init=1, max_iter=20).fit(glances).labels_ == 1)


def _middles(glances: NDArray[np.float32], second: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the mean (2, D) of the first and of the second of two groups of glances (N, D)."""
    return np.stack([glances[second == side].mean(axis=0) for side in (False, True)])


def _are_apart(glances: NDArray[np.float32], distances: NDArray[np.float32], second: NDArray[np.bool_]) -> bool:
    """Say whether two groups are groups: the gap between them is wide, and each is nearer to its own."""
    from sklearn.metrics import silhouette_score

    if min(second.sum(), (~second).sum()) < max(3, _LEAST_OF_A_GROUP * len(second)):
        return False
    line = np.subtract(*_middles(glances, second)[::-1])
    length = float(np.linalg.norm(line))
    if not length:
        return False
    along = glances @ (line / length)
    spread = float(np.sqrt(np.mean([along[second == side].var() for side in (False, True)])))
    np.fill_diagonal(distances, 0)  # but for rounding it is
    return length > _APART * spread and silhouette_score(distances, second, metric="precomputed") > _SILHOUETTE
