"""What the names of folders and files say: a given split, a class, a model's guesses, or nothing at all."""

import re
from collections.abc import Iterable

from emotorch.emotion_names import without_accents

_WORDS = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NUMBERED = re.compile(r"[\s_(-]*\d+\)?$")  # of several downloads
# Words in the names of folders of given splits, also joined: `trainset`.
_SPLIT_WORD = re.compile(
    r"(?:(train(?:ing)?)|(val|valid|validation|dev)|((?:public|private)?test(?:ing)?))"
    r"(?:s|sets?|data|split|s?daten|im(?:a?ge?)?s?|dir|folder)?"
)
# Names of folders that say nothing of their content.
NAMELESS = {"archive", "data", "dataset", "datasets", "images", "image", "img", "raw", "files", "download", "downloads"}
# Words beside splits that say nothing more: FER-2013's tests are called PublicTest and PrivateTest.
_BESIDE_SPLITS = {*NAMELESS, "set", "faces", "public", "private"}

# Words before the number of a class: `class003`.
_CLASS_WORDS = ("class", "label", "emotion", "expression", "expr", "exp")
_CLASS_NUMBER = re.compile(rf"(?:(?:{'|'.join(_CLASS_WORDS)})[\s_-]*)?0*(\d{{1,3}})")
# Words that say nothing in the name of a class folder.
EMPTY_WORDS = {"face", "faces", "image", "images", "img", "imgs", "people", "person", "photos", "pictures"}
EMPTY_WORDS |= {"", *_CLASS_WORDS}

# Words that no person is called by, also with a number: of downloads and of parts of a dataset,
_PARTS = {
    *("fold", "set", "part", "batch", "version", "run", "copy", "split", "old", "new", "backup", "source", "original"),
    *("orig", "augmented", "aug", "cropped", "aligned", "faces", "gray", "grey", "color", "colour", "rgb", "google"),
    *("bing", "flickr", "youtube", "web", "internet"),
}
# of datasets,
_DATASETS = {"fer", "ck", "raf", "jaffe", "kdef", "affectnet", "expw", "sfew", "mma"}
# and of the views, lights and times in which the same people are taken; the last with a number, and in Oulu-CASIA
# visible light and near infrared.
_TAKES = {
    *("low", "medium", "high", "strong", "weak", "dark", "front", "frontal", "left", "right", "profile", "angle"),
    *("view", "cam", "camera", "webcam", "session"),
}
_TIMES = re.compile(r"(day|take|trial|visit|round|recording|clip|sequence|seq|time)[\s_-]*\d+")
LIGHTS = {"vl", "ni", "nir", "vis"}
# Kinds of people: where all folders beside each other are called so, they are no persons.
KINDS = {
    *("male", "males", "female", "females", "men", "women", "man", "woman", "boys", "girls", "child", "children"),
    *("adult", "adults", "elderly", "young", "old", "asian", "black", "white", "caucasian", "indian", "african"),
    "latino",
}
_SIZE = re.compile(r"\d+\s?[x×]\s?\d+")
_NOTHING = EMPTY_WORDS | KINDS | _PARTS | _TAKES

# Words in the names of what holds a model's predictions, or what a contest wants for its test images; and in others'.
_GUESSES = {
    *("guess", "guesses", "pred", "predict", "predicted", "prediction", "predictions", "preds"),
    *("submission", "submissions"),
}


def words_of(name: str) -> list[str]:
    """The words and numbers in a name, in lower case without accents: `train`, `02`, `angry` of `train02Angry`."""
    return [word.lower() for word in _WORDS.findall(without_accents(name))]


def split_of(name: str) -> str:
    """`train`, `val` or `test` for the name of a folder or file that says so; else empty."""
    matches = map(_SPLIT_WORD.fullmatch, words_of(name))
    splits = {("train", "val", "test")[match.lastindex - 1] for match in matches if match and match.lastindex}
    return splits.pop() if len(splits) == 1 else ""


def first_split(names: Iterable[str]) -> str:
    """The split that the first of some names says which says any; else empty."""
    return next(filter(None, map(split_of, names)), "")


def beside_split(name: str) -> str:
    """What the name of a folder says beside its given split: `affectnet` of `affectnet-training-data`."""
    return " ".join(word for word in words_of(name) if not split_of(word) and word not in _BESIDE_SPLITS)


def plain_class(name: str) -> str:
    """The name of a class folder in lower case, without what says nothing: `angry` of `0_Angry`, `AngryFaces`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip()).lower()
    words = [word for word in re.split(r"[\s._()-]+", apart) if word not in EMPTY_WORDS and not word.isdecimal()]
    return words[0] if len(words) == 1 else name.strip().lower()


def beside_class(name: str) -> str:
    """What a name that joins split and class says beside the class, as written: `Testing` of `Testing-0_angry`."""
    others = {plain_class(beside_split(name)), *EMPTY_WORDS}
    words = _WORDS.findall(without_accents(name))
    return " ".join(word for word in words if word.isalpha() and word.lower() not in others)


def class_number(name: str) -> int | None:
    """The number of a class that is called by one: of `3`, `003`, `class003`."""
    match = _CLASS_NUMBER.fullmatch(name.strip().lower())
    return None if match is None else int(match[1])


def is_nameless(name: str) -> bool:
    """Whether a folder is called as any download may be, also with a number: `archive (2)`."""
    return _NUMBERED.sub("", name.lower()) in NAMELESS


def tells_nothing(word: str) -> bool:
    """Whether a word says nothing of what a folder is: a number, a part or a kind of a dataset, or `images`."""
    return word.isdecimal() or word in _NOTHING


def tells_nobody(name: str) -> bool:
    """Whether a name is that of a download, a part of a dataset or a dataset: `archive (1)`, `fold2`, `48x48`."""
    is_size = _SIZE.fullmatch(name.lower().strip()) is not None
    return is_nameless(name) or is_size or is_take(name) or _letters(name) in _PARTS | _DATASETS


def is_take(name: str) -> bool:
    """Whether a name is that of a view, a light or a time: `left`, `session2`, `day 1`."""
    return _letters(name) in _TAKES or is_time(name)


def is_time(name: str) -> bool:
    return _TIMES.fullmatch(name.lower().strip()) is not None


def is_of_guesses(name: str) -> bool:
    """Whether a folder or a file is called like a model's predictions."""
    return not _GUESSES.isdisjoint(words_of(name))


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]+", "", name.lower())
