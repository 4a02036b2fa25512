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

    _of: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def add(self, name: str, image: NDArray[np.uint8]) -> None:
        """Look at an image, RGB (H, W, 3)."""
        self._of[name] = _glance(image)

    def differs(self, name: str, image: NDArray[np.uint8]) -> bool:
        """Say whether an image, RGB (H, W, 3), looks otherwise than that of this name."""
        return bool(np.abs(_glance(image) - self._of[name]).max() > _SAME)

    def brightness(self, names: Sequence[str]) -> float:
        """Return the mean grey level of these images."""
        return float(np.mean([self._of[name].mean() for name in names]))

    def oddest(self, count: int) -> list[str]:
        """Name those least like their nearest neighbours, the oddest first; none where there are too few to tell."""
        if len(self._of) < max(_LEAST, count + _NEIGHBOURS):
            return []
        names, _, distances = self._compared()
        nearest = np.sort(distances, axis=1)[:, 1 : 1 + _NEIGHBOURS].mean(axis=1)
        return [names[one] for one in np.argsort(-nearest, kind="stable")[:count]]

    def two_groups(self) -> tuple[list[str], list[str]] | None:
        """Name the images of the larger and the smaller group, where they are of two sorts; None where not."""
        if len(self._of) < _LEAST:
            return None
        _, glances, distances = self._compared()
        in_second = _halves(glances)
        if not _are_apart(glances, distances, in_second):
            return None
        middles = _middles(glances, in_second)
        groups: list[list[str]] = [[], []]
        for name, glance in self._of.items():
            groups[int(np.linalg.norm(glance - middles, axis=1).argmin())].append(name)
        more, fewer = sorted(groups, key=len, reverse=True)
        return more, fewer

    def two_lights(self) -> tuple[list[str], list[str]] | None:
        """Name the larger and the smaller group of few images, where some are much darker than the others."""
        levels = {name: self.brightness([name]) for name in self._of}
        order = sorted((name for name in levels if levels[name] > _SAME), key=levels.__getitem__)  # black is no night
        if len(order) < 2 or len(levels) >= _LEAST:
            return None
        steps = np.diff([levels[name] for name in order])
        last = int(steps.argmax())
        if steps[last] < max(_DARKER, _CLEARLY * steps[:last].sum(), _CLEARLY * steps[last + 1 :].sum()):
            return None
        darker, brighter = sorted(order[: last + 1]), sorted(order[last + 1 :])
        return (brighter, darker) if len(brighter) >= len(darker) else (darker, brighter)

    def _compared(self) -> tuple[list[str], NDArray[np.float32], NDArray[np.float64]]:
        """Return the names of images taken evenly, their glances (N, D), and how far each is from each, (N, N)."""
        from scipy.spatial.distance import cdist  # takes a second to import

        names, count = list(self._of), len(self._of)
        names = [names[int(place)] for place in np.linspace(0, count - 1, min(count, _MOST))]
        glances = np.stack([self._of[name] for name in names])
        return names, glances, cdist(glances, glances)


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


def _glance(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return an image as a row (D,) of grey levels, few enough to compare many."""
    return resize(image, (_SIDE_PX, _SIDE_PX)).astype(np.float32).ravel()


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


def _are_apart(glances: NDArray[np.float32], distances: NDArray[np.float64], second: NDArray[np.bool_]) -> bool:
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
    return length > _APART * spread and silhouette_score(distances, second, metric="precomputed") > _SILHOUETTE
