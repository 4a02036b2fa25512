"""Leaves training images and clips out by their names, with all copies of them."""

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from adkit.data.fingerprints import UNREADABLE
from adkit.errors import OptionError
from adkit.stats.segments import by_clip
from adkit.types import Sample


class LeavingOut:
    """Takes what is named out of samples, and knows in the end which names meant nothing.

    A name is an image's id or a clip's name, as `fit` prints them, with its dataset's spec before it or without; or the
    path of its file. Several may be one word with commas between, where that is no name itself.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = list(words)
        self._specs: dict[str, set[str]] = defaultdict(set)  # by name: of the datasets in which it means something
        self._known: list[str] = []

    def split(self, samples: list[Sample], hashes: Mapping[str, str], spec: str) -> tuple[list[Sample], list[str]]:
        """Return a dataset's samples without what is named, and the names of the clips (a still is one) left out.

        Clips of the same content as one that is named are left out too; `hashes` are those of files, by sample id.
        """
        if not self._words:
            return samples, []
        clips = by_clip([sample.clip for sample in samples], samples)
        self._known += clips
        meaning: dict[str, set[str]] = defaultdict(set)
        for clip, frames in clips.items():
            path = frames[0].frame.path
            of_file = [str(path), str(path.resolve())] if len(frames) == 1 or frames[0].frame.number is not None else []
            for name in (clip, f"{spec} {clip}", *of_file):
                meaning[name].add(clip)
        named: set[str] = set()
        for word in self._words:
            for name in [word] if word in meaning else word.split(","):
                if found := meaning.get(name) or meaning.get(str(Path(name).resolve())):
                    named |= found
                    self._specs[name].add(spec)
        contents = {clip: tuple(hashes[sample.id] for sample in frames) for clip, frames in clips.items()}
        unwanted = {contents[clip] for clip in named if UNREADABLE not in contents[clip]}
        left_out = [clip for clip in clips if clip in named or contents[clip] in unwanted]
        return [sample for sample in samples if sample.clip not in set(left_out)], left_out

    def require_all_found(self) -> None:
        """Raise OptionError for a name that meant nothing in all datasets, or something in several."""
        for word in self._words:
            for name in [word] if word in self._specs else word.split(","):
                specs = sorted(self._specs.get(name, ()))
                if not specs:
                    close = [*difflib.get_close_matches(name, self._known, n=1), *self._known][:1]
                    hint = f"did you mean {close[0]}?" if close else "there is nothing to leave out"
                    raise OptionError(f"--leave-out {name!r} names no training image or clip", hint=hint)
                if len(specs) > 1:
                    raise OptionError(
                        f"--leave-out {name!r} is in several datasets: {', '.join(specs)}",
                        hint=f"say which: --leave-out '{specs[0]} {name}'",
                    )
