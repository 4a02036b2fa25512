"""What names of folders and files say, word by word: "NG-parts" and "not good" are bad, "monday" says nothing.

The words are in words.toml.
"""

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from functools import cache
from importlib.resources import files
from typing import Literal

Verdict = Literal["good", "bad"]

GOOD: Literal["good"] = "good"  # the kind of what is normal
BAD: Literal["bad"] = "bad"
ANOMALY = "anomaly"  # the kind of what is anomalous, and nobody says in which way
NORMAL_NAMES = ("good", "normal", "ok")  # the names that hints propose

_LISTS = {
    name: frozenset(words.split())
    for name, words in tomllib.loads((files("adkit.data") / "words.toml").read_text(encoding="utf-8")).items()
}
_DRAWN, _NEUTRAL, _NOT, _PICTURES = (_LISTS[name] for name in ("drawn", "neutral", "not", "pictures"))
_UNSAID = _LISTS["unsaid"] | _DRAWN
_GOOD_STEMS, _BAD_STEMS, _FLAW_STEMS = (tuple(_LISTS[f"{name}_beginnings"]) for name in ("good", "bad", "flaw"))
_MAP = re.compile(r"(?:anomaly|depth|heat|normals?|score)[ _.-]*maps?(?![a-z])", re.IGNORECASE)
_FALSE_ALARM = re.compile(
    r"false[ _-]?(?:alarm|positive|reject|call)s?(?![a-z])|overkill|(?:pseudo|schein)fehler|fehlalarm|过杀|误判|误报",
    re.IGNORECASE,
)
_DIGITS_OF_DATE = 6
_MASK = (
    r"(?:mask(?:s|en?)?|gts?|ground[ _.-]?truths?|segmentations?|segm?|semantic[ _.-]maps?"
    r"|masques?|máscaras?|mascher[ae]|маск[аи]|掩码|掩膜|マスク)"
)
_BREAK = r"[ _.\-]+"
_MASK_IN_NAME = re.compile(rf"(?:^|{_BREAK}){_MASK}(?={_BREAK}|\d*$)|^segmentation(?:class|object)")
_MASK_ALONE = frozenset({"label", "labels", "annotation", "annotations"})
_OF_LABELS = _MASK_ALONE | {"gt", "truth", "groundtruth", "verdict", "verdicts", "anno", "annos", "bbox", "bboxes"}
_MASK_OF_FILE = re.compile(rf"{_BREAK}(?:{_MASK}|labels?|m|bin|binary|anno|annotations?|truth)$|^{_MASK}{_BREAK}")
_NUMBERED = re.compile(rf"{_BREAK}{_MASK}(?:[ _.\-]*\d+|(?P<copy> ?\([^()]+\)))$")
_NUMBER_AT_END = re.compile(rf"{_BREAK}\d+$")
_OF_PICTURE = re.compile(rf"{_BREAK}(?:{'|'.join(_PICTURES)})(?:{_BREAK}\d+)?$|^(?:{'|'.join(_PICTURES)}){_BREAK}")

_NEW_WORD = re.compile(  # notGood, NG品, 良品图片
    r"(?<=[a-zà-ÿ])(?=[A-Z])|(?<=[A-Za-z])(?=[一-鿿가-힣])|(?<=[一-鿿])(?=(?:图片|图像|照片|样本|样品|画像|零件|产品|製品|部品)(?![一-鿿]))"
)
_IN_ORDER = re.compile(  # "Teil 3 n.i.O.", "Teil3_niO", "nicht in Ordnung"
    r"(?<![^\W_])(n?)[. ]{0,2}(?:i[. ]{0,2}o|in[ _-]?ordnung)(?![^\W_])", re.IGNORECASE
)
_WORDS = re.compile(r"[^\W\d_]+|\d+")


@cache
def says(name: str) -> Verdict | None:
    """Return what a name says of the parts in it: "good", "bad", or None where it says nothing of that."""
    return _verdict(_words(name), _is_bad)


def file_says(stem: str) -> Verdict | None:
    """Return what a file's name says of the part in it: "broken" alone is said of the file, "broken tooth" is not."""
    words = _words(stem)
    of_file = {*filter(str.isalpha, words)} <= _LISTS["broken_files"] | _PICTURES | {"file", "files"}
    return _verdict(words, lambda word: _is_bad(word) and not (of_file and word in _LISTS["broken_files"]))


def doubtful_among(stems: Collection[str]) -> set[str]:
    """Return the names of a folder's files that do not say good where others do, or say bad, or test beside another.

    That is "003_test" beside "003_temp" or "003", if most of those that say test lie beside such a one.
    """
    verdicts = {stem: file_says(stem) for stem in stems}
    wrong = (BAD, None) if GOOD in verdicts.values() else (BAD,)
    tests, others = dict[str, tuple[str, ...]](), set[tuple[str, ...]]()
    for stem in stems:
        words = tuple(_words(stem))
        rests = [(words[1:], words[0]), (words[:-1], words[-1])] if len(words) > 1 else []
        if of_test := [rest for rest, end in rests if end in _LISTS["test"]]:
            tests[stem] = of_test[0]
        else:
            others |= {words, *(rest for rest, end in rests if end.isalpha())}
    beside = {stem for stem, rest in tests.items() if rest in others}
    doubtful = {stem for stem, said in verdicts.items() if said in wrong}
    return doubtful | beside if 2 * len(beside) > len(tests) else doubtful


def groups_of_names(stems: Iterable[str]) -> Counter[str]:
    """Count the words that names begin with, or else end with, where these part all of them: "Cr_1" and "In_1"."""
    all_words = [_words(stem) or [""] for stem in stems]
    for end in (0, -1):
        found = Counter(words[end] if words[end].isalpha() else "no word" for words in all_words)
        if len(found) > 1 and min(found.values()) > 1:
            return found
    return Counter()


@cache
def judges(name: str) -> Verdict | None:
    """Return the same for words that judge only: "NG_004" is bad, while "bent pipe" may be what the part is."""
    return _verdict(_words(name), _is_judged_bad)


def split_of(name: str) -> Literal["train", "test", "validation", "private"] | None:
    """Return the split that a folder's name means; "private" for tests whose truth is not published."""
    first, *others = [word for word in _words(name) if not word.isdigit()] or [""]
    if not all(word in _LISTS["of_splits"] | _NEUTRAL or _is_good(word, [word]) for word in others):
        return None
    if first in _LISTS["test"]:
        return "private" if "private" in others else "test"
    return "train" if first in _LISTS["train"] else "validation" if first in _LISTS["validation"] else None


@cache
def is_of_either(name: str) -> bool:
    """Say whether a name means good or bad, and it is not known which: "positive"."""
    return not _LISTS["either"].isdisjoint(_words(name))


def part_good_from_bad(names: Iterable[str]) -> bool:
    """Say whether folders beside each other are of either: "0" and "1", "no" and "yes", "apto" and "no apto".

    So they are where only what they do not share says good: "gear healthy" and "gear worn".
    """
    words = [_words(name) for name in names]
    last = sorted(one[-1] for one in words if one and {*one[:-1]} <= _LISTS["class"])
    joined, shared = {"".join(one) for one in words}, set(words[0]).intersection(*words[1:])
    return (
        (len(words) == 2 and last in (["0", "1"], ["false", "true"], ["no", "yes"]))
        or any(no + one in joined for one in joined - {""} for no in _NOT)
        or any(says(" ".join(word for word in one if word not in shared)) == GOOD for one in words if shared)
    )


@cache
def says_nothing(name: str) -> bool:
    """Say whether a folder's name tells nothing of the parts in it, not even that they are of a kind: "unsorted"."""
    words = {word for word in _words(name) if not word.isdigit()}
    return words <= _NEUTRAL | _UNSAID | _NOT and not words.isdisjoint(_UNSAID)


@cache
def is_drawn(name: str) -> bool:
    """Say whether a folder's name means what a program drew: "results", "anomaly_maps"."""
    words = {word for word in _words(name) if not word.isdigit()}
    return words <= _NEUTRAL | _UNSAID | {"anomaly"} and not words.isdisjoint(_DRAWN)


@cache
def is_other_view(name: str) -> bool:
    """Say whether a folder's name means another view of what a camera in colours sees: "depth", "xyz"."""
    return name.lower() in _LISTS["views"]


def is_of_places(stem: str) -> bool:
    """Say whether a file's name means a mask of where to look in all photos: "roi", "ignore mask"; not "003_mask"."""
    return set() < {*_words(stem)} <= _LISTS["places"]


@cache
def is_of_photos(name: str) -> bool:
    """Say whether a folder's name means photos, and says no more of them: "rgb", "images"."""
    return name.lower() in _PICTURES


def derived_among(stems: Collection[str]) -> set[str]:
    """Return the names of pictures that are named as another, and by a word for what is made of it or another view.

    So are "003_depth" and "overlay 003" beside "003" or "003_rgb"; where only such lie in a folder they are photos.
    """
    found, photos = dict[str, tuple[str, ...]](), set[tuple[str, ...]]()
    for stem in stems:
        words = _words(_MAP.sub(" heatmap ", stem))
        rest = tuple(word for word in words if word not in _PICTURES | {"anomaly"})
        if _DRAWN.isdisjoint(words) and _LISTS["views"].isdisjoint(words):
            photos |= {rest, rest[:-1]} if rest and rest[-1].isdigit() else {rest}  # "003_image_1" is of "003"
        else:
            found[stem] = tuple(word for word in rest if word not in _DRAWN | _LISTS["views"])
    return {stem for stem, rest in found.items() if rest in photos}


def is_false_alarm(name: str) -> bool:
    """Say whether a folder's name means good parts that were called bad: "false rejects", "overkill"."""
    return _FALSE_ALARM.search(name) is not None


@cache
def is_neutral(name: str) -> bool:
    """Say whether a folder's name tells nothing of what is wrong in it: "images", "camera 1", "2026-05-01"."""
    return {*_words(name)} <= _NEUTRAL or says_where_or_when(name)


@cache
def says_where_or_when(name: str) -> bool:
    """Say whether a folder's name tells where or when the pictures in it were taken: "camera 1", "2026-05-01"."""
    words = _words(name)
    letters, digits = {word for word in words if not word.isdigit()}, "".join(filter(str.isdigit, words))
    dated = len(digits) >= _DIGITS_OF_DATE or not letters.isdisjoint(_LISTS["where_or_when"])
    return letters <= _NEUTRAL | _LISTS["where_or_when"] and dated


@cache
def is_mask_folder(name: str) -> bool:
    """Say whether a folder's name means masks: "ground_truth", "mask_dir", "scratch_mask", "SegmentationClass"."""
    words = _words(name)
    alone = bool(_MASK_ALONE & {*words}) and {*words} <= _MASK_ALONE | _NEUTRAL
    return alone or _MASK_IN_NAME.search(name.lower()) is not None


def may_be_labels(stem: str) -> bool:
    """Say whether a file's name means that it tells what images are: "train_labels", "ground_truth", "defects"."""
    return not _OF_LABELS.isdisjoint(_words(stem)) or file_says(stem) == BAD


@cache
def without_mask(name: str) -> str:
    """Return what a folder's name says besides masks, splits and "images", in small letters: often a kind; or ""."""
    rest = _besides_mask(name)
    empty = {*_words(rest)} <= _NEUTRAL | _MASK_ALONE or split_of(rest) is not None
    return "" if empty and not any(letter.isdigit() for letter in rest) else rest


@cache
def split_of_masks(name: str) -> str | None:
    """Return the split that a folder's name means, that of masks too: "test_gt"."""
    return split_of(_besides_mask(name))


def _besides_mask(name: str) -> str:
    return _MASK_IN_NAME.sub("", composed(name)).strip(" _.-")


def composed(name: str) -> str:
    """Return a name in small letters, with "é" as one: some systems keep it as two, and a copy may lie on another."""
    return unicodedata.normalize("NFC", name.lower())


def mask_of(stem: str) -> tuple[str, bool] | None:
    """Return the name of the image that a mask "003_mask", "003-GT" or "mask_003" is of; None for other names.

    With it comes whether the mask is one of several: "003_mask_2". That of "003_mask (copy)" is "003 (copy)".
    """
    name = stem.lower()
    if numbered := _NUMBERED.search(name):
        return name[: numbered.start()] + (numbered["copy"] or ""), not numbered["copy"]
    rest = _MASK_OF_FILE.sub("", name)
    return (rest, False) if rest and rest != name else None


def without_number(stem: str) -> str:
    """Return what stands before the number at the end of a name: "003" of "003_2"."""
    return _NUMBER_AT_END.sub("", stem.lower())


def without_picture(stem: str) -> str:
    """Return what stands beside a word for a picture in a name: "003" of "003_image" and of "img_003"."""
    return _OF_PICTURE.sub("", stem.lower())


def _words(name: str) -> list[str]:
    whole = unicodedata.normalize("NFKC", name)
    if whole.lower() in _LISTS["good"] | _LISTS["good_alone"] | _LISTS["bad"]:  # "niO" is one word
        return [whole.lower()]
    words = _WORDS.findall(_NEW_WORD.sub(" ", _IN_ORDER.sub(r" \1io ", whole)).lower())
    if len(words) > 1 and all(len(word) == 1 and word.isalpha() for word in words):
        return ["".join(words)]  # "n.i.O."
    return words


def _verdict(words: list[str], bad: Callable[[str], bool]) -> Verdict | None:
    found: set[Verdict] = set()
    for place, word in enumerate(words):
        good = _is_good(word, words)
        if not good and not bad(word):
            if verdict := _glued(word, bad):
                found.add(verdict)
            continue
        denied = place > 0 and words[place - 1] in _NOT
        denied |= words[max(0, place - 2) : place] in (["free", "of"], ["free", "from"], ["without", "any"])
        denied |= not good and words[place + 1 : place + 2] == ["free"]
        found.add(GOOD if good != denied else BAD)
    return BAD if BAD in found else GOOD if found else None


def _is_good(word: str, words: list[str]) -> bool:
    return (
        word in _LISTS["good"]
        or word.startswith(_GOOD_STEMS)
        or (
            word in _LISTS["good_alone"]
            and all(one in _NEUTRAL | _NOT or one == word or one.isdigit() for one in words)
        )
    )


def _glued(word: str, bad: Callable[[str], bool]) -> Verdict | None:
    """Judge "notgood", "nondefective", "undamaged"."""
    for start in ("non", "not", "no", "un"):
        if word.startswith(start):
            rest = word.removeprefix(start)
            if len(rest) > 1 and (rest in _LISTS["good"] | _LISTS["good_alone"]):
                return BAD
            if len(rest) > 3 and bad(rest):
                return GOOD
    return None


def _is_judged_bad(word: str) -> bool:
    return word in _LISTS["bad"] or word.startswith(_BAD_STEMS)


def _is_bad(word: str) -> bool:
    return _is_judged_bad(word) or word in _LISTS["flaws"] or word.startswith(_FLAW_STEMS)
