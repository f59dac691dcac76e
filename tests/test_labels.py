"""Label schemes: the classes and their order, a user's own file, and which of its faults are named."""

import json
import subprocess
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from conftest import refusal
from layouts import put

from emotorch import emotion_names, labels
from emotorch.data.dataset import create
from emotorch.data.selection import DatasetIndex
from emotorch.datasets import CKP, FER, FER_BOTH_TESTS, FER_USAGES, RAF
from emotorch.emotion_names import emotion_name, without_accents
from emotorch.errors import EmoTorchError, UsageError
from emotorch.labels import SCHEMES, LabelScheme, get_scheme, read_scheme
from emotorch.paths import REPOSITORY, Paths

_AE = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ü": "Ue"})
OWN = """
labels = ["positive", "negative", "scorn"]
without_fer = ["scorn"]

[sources.FER]
happy = "positive"
surprise = "positive"
sad = "negative"

[sources.CKP]
contempt = "scorn"
sadness = "negative"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "valence.toml"
    path.write_text(OWN)
    return path


# Written out here once more: whoever permutes a list of classes permutes what trained networks answer.


def test_the_datasets_own_classes_keep_their_order() -> None:
    assert FER.classes == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert CKP.classes == ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise", "neutral")
    assert RAF.classes == ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    assert FER_USAGES == ("Training", "PublicTest", "PrivateTest")
    assert FER_BOTH_TESTS == "PublicTest+PrivateTest"


def test_the_schemes_keep_their_labels_and_order() -> None:
    assert {name: scheme.labels for name, scheme in SCHEMES.items()} == {
        "emotorch4": ("anger", "fear", "calm", "surprise"),
        "seven": ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
        "mood4": ("happy", "neutral", "sad", "surprise"),
        "ferplus": ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    }
    for scheme in SCHEMES.values():
        assert [scheme.index(label) for label in scheme.labels] == list(range(len(scheme.labels)))


@pytest.mark.parametrize("name", SCHEMES)
def test_a_built_in_scheme_passes_the_checks_of_a_users_own(name: str) -> None:
    scheme = get_scheme(name)
    assert scheme.name == name
    assert LabelScheme.from_dict(scheme.as_dict()) == scheme
    # FER-2013 has no contempt, FER+ has.
    assert set(scheme.sources["FER"].values()) == set(scheme.labels) - {"contempt"}


@pytest.mark.parametrize("table", ['[sources.CKP]\nneutral = "b"', '[sources.AffectNet]\nhappy = "b"'])
def test_a_scheme_may_tell_of_classes_and_datasets_that_are_not_there(paths: Paths, table: str) -> None:
    file = paths.root / "mine.toml"
    file.write_text(f'labels = ["a", "b"]\n[sources.FER]\nangry = "a"\nfear = "b"\n{table}\n')
    put(paths.raw / "own", ["angry/1.png", "fear/1.png"])
    create(paths, get_scheme(str(file)), workers=1, force=False)
    assert DatasetIndex.load(paths, get_scheme(str(file))).labels.tolist() == [0, 1]
    file.write_text('labels = ["a", "b"]\n[sources.FER]\nangry = "b"\nfear = "a"\n')
    with refusal(f"{paths.root}/FER-Original-Dataset-mine was made for other classes"):
        DatasetIndex.load(paths, get_scheme(str(file)))


# Names of class folders.


@pytest.mark.parametrize(
    ("name", "emotorch4", "seven", "mood4"),
    [
        ("angry", "anger", "angry", None),
        ("Anger", "anger", "angry", None),
        ("disgust", None, "disgust", None),
        ("FEAR", "fear", "fear", None),
        ("fearful", "fear", "fear", None),
        ("happy", None, "happy", "happy"),
        ("Happiness", None, "happy", "happy"),
        ("sadness", None, "sad", "sad"),
        ("surprised", "surprise", "surprise", "surprise"),
        ("neutral", "calm", "neutral", "neutral"),
        ("contempt", None, None, None),
    ],
)
def test_an_emotion_is_known_however_a_dataset_spells_it(
    name: str, emotorch4: str | None, seven: str | None, mood4: str | None
) -> None:
    for scheme, label in (("emotorch4", emotorch4), ("seven", seven), ("mood4", mood4)):
        assert get_scheme(scheme).label_of(name) == label
        assert get_scheme(scheme).knows(name)


@pytest.mark.parametrize(
    "names",
    [
        ("colère", "dégoût", "peur", "joie", "tristesse", "surprise", "neutre", "mépris"),
        ("Wut", "Ekel", "Angst", "Freude", "Trauer", "Überraschung", "neutral", "Verachtung"),
        ("wütend", "angewidert", "ängstlich", "fröhlich", "traurig", "überrascht", "neutral", "verächtlich"),
        ("enojo", "asco", "miedo", "alegría", "tristeza", "sorpresa", "neutro", "desprecio"),
        ("raiva", "nojo", "medo", "felicidade", "triste", "surpresa", "neutra", "desprezo"),
        ("rabbia", "disgusto", "paura", "felicità", "tristezza", "sorpresa", "neutrale", "disprezzo"),
    ],
)
@pytest.mark.parametrize(
    "write", [str, str.upper, without_accents, partial(unicodedata.normalize, "NFD"), lambda name: name.translate(_AE)]
)
def test_emotions_have_names_in_six_languages(names: tuple[str, ...], write: Callable[[str], str]) -> None:
    expected = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "contempt")
    assert tuple(emotion_name(write(name)) for name in names) == expected
    assert all(get_scheme("emotorch4").knows(write(name)) for name in names)


def test_no_name_is_of_two_emotions() -> None:
    emotions_of: dict[str, set[str]] = {}
    for emotion, names in emotion_names._SPELLINGS.items():
        for name in (*names.split(), emotion):
            emotions_of.setdefault(without_accents(name), set()).add(emotion)
    assert {name: found for name, found in emotions_of.items() if len(found) > 1} == {}
    assert emotion_name("enojado") == "enojado", "angry in Spanish, disgusted in Portuguese"


def test_a_label_is_known_to_its_own_scheme_alone(own: Path) -> None:
    assert get_scheme("emotorch4").label_of("Calm") == "calm"
    assert not get_scheme("seven").knows("calm")
    assert get_scheme(str(own)).label_of("Scorn") == "scorn"
    assert get_scheme(str(own)).label_of("contempt") == "scorn"
    assert not get_scheme("emotorch4").knows("joyful faces")


# A user's own file.


def test_a_users_file_is_read(own: Path) -> None:
    assert get_scheme(str(own)) == LabelScheme(
        "valence",
        ("positive", "negative", "scorn"),
        {
            "FER": {"happy": "positive", "surprise": "positive", "sad": "negative"},
            "CKP": {"contempt": "scorn", "sadness": "negative"},
            "RAF": {},
            # Those that no run's record lists yet take the way of FER-2013's same emotions, and of CK+'s contempt.
            "AffectNet": {"happy": "positive", "surprise": "positive", "sad": "negative", "contempt": "scorn"},
            "JAFFE": {"happiness": "positive", "surprise": "positive", "sadness": "negative"},
            "KDEF": {"happy": "positive", "surprised": "positive", "sad": "negative"},
            "ExpW": {"happy": "positive", "surprise": "positive", "sad": "negative"},
        },
    )


def test_a_scheme_travels_through_json_whole(own: Path) -> None:
    scheme = get_scheme(str(own))
    assert LabelScheme.from_dict(json.loads(json.dumps(scheme.as_dict()))) == scheme


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"positive", "negative", "scorn"]', '"positive"]', "labels: 1 of them, and a scheme has at least 2"),
        ('"negative", "scorn"]', '"negative", "negative", "scorn"]', "labels: 'negative' is there 2 times"),
        ('["positive", ', '["../up", ', "labels: '../up' is not a plain name"),
        ('["positive", ', '["Positive", ', "labels: 'Positive' is not a plain name"),
        ('["positive", ', '["", ', "labels: '' is not a plain name"),
        ('["positive", ', "[3, ", "labels: 3 is not a plain name"),
        ('labels = ["positive", "negative", "scorn"]', "", "labels: missing, or not a list"),
        ('["positive", "negative", "scorn"]', '"positive"', "labels: missing, or not a list"),
        ("labels =", "label =", "label: no such key; did you mean 'labels'?"),
        ("[sources.FER]", "[source.FER]", "source: no such key; did you mean 'sources'?"),
        ("[sources.FER]", "[sources.fer]", "sources.fer: no such dataset; did you mean 'FER'?"),
        ("[sources.CKP]", "[sources.AFFECTNET]", "sources.AFFECTNET: no such dataset; did you mean 'AffectNet'?"),
        ("happy =", "hapy =", "sources.FER.hapy: FER has no such class; did you mean 'happy'?"),
        ("happy =", "happiness =", "sources.FER.happiness: FER has no such class; did you mean 'happy'?"),
        ("sadness =", "sad =", "sources.CKP.sad: CKP has no such class; did you mean 'sadness'?"),
        ("contempt =", "scorn =", "sources.CKP.scorn: CKP has no such class, only anger, contempt, "),
        ('sad = "negative"', 'sad = "negativ"', "sources.FER.sad: 'negativ' is not a label; did you mean 'negative'?"),
        ('sad = "negative"', "sad = 2", "sources.FER.sad: 2 is not a label, only positive, negative, scorn"),
        ('sad = "negative"', 'sad = ["negative"]', "sources.FER.sad: ['negative'] is not a label"),
        ('sad = "negative"', "", "sources.FER: no class gives 'negative'"),
        ('without_fer = ["scorn"]', "", "sources.FER: no class gives 'scorn'; add one, or say that it is meant: with"),
        (
            'without_fer = ["scorn"]',
            'without_fer = ["scron"]',
            "without_fer: 'scron' is not a label; did you mean",
        ),
        ('without_fer = ["scorn"]', "without_fer = true", "without_fer: missing, or not a list of names"),
        ('without_fer = ["scorn"]', 'without_fer = ["scorn", "negative"]', "without_fer: 'negative' is there, but"),
        ("[sources.CKP]", "", "sources.FER.contempt: FER has no such class, only angry, "),
        ("labels =", "labels", "not a TOML file ("),
    ],
)
def test_a_fault_is_named_with_its_key(own: Path, old: str, new: str, message: str) -> None:
    assert old in OWN
    own.write_text(OWN.replace(old, new, 1))
    with refusal(f"{own}: {message}"):
        get_scheme(str(own))


def test_sources_are_tables(own: Path) -> None:
    for sources, message in (("7", "sources: missing"), ("{FER = 7}", "sources.FER: not a table")):
        own.write_text(f'labels = ["a", "b"]\nsources = {sources}\n')
        with refusal(f"{own}: {message}"):
            get_scheme(str(own))


def test_a_file_that_is_no_text_is_named(own: Path) -> None:
    own.write_bytes(b'labels = ["\xff"]')
    with refusal(f"{own}: not a TOML file ("):
        get_scheme(str(own))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Valence.toml", "a scheme is named like its file, and 'Valence' is not a plain name"),
        ("my moods.toml", "a scheme is named like its file"),
        ("seven.toml", "seven is a scheme that comes with the code"),
        ("augmented.toml", "a name that ends in 'augmented' is stage 3's"),
        ("moods-augmented.toml", "a name that ends in 'augmented' is stage 3's"),
    ],
)
def test_a_file_s_name_must_be_a_scheme_s(own: Path, name: str, message: str) -> None:
    path = own.rename(own.with_name(name))
    with pytest.raises(UsageError) as caught:
        get_scheme(str(path))
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_missing_file_and_an_unknown_name_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        get_scheme(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match=r"'eight': choose from emotorch4, seven, mood4, ferplus, or give a \.toml"):
        get_scheme("eight")


def test_a_built_in_scheme_that_was_recorded_before_a_dataset_was_known_is_that_of_today() -> None:
    scheme = get_scheme("seven")
    recorded = scheme.as_dict()
    del recorded["sources"]["RAF"]
    assert LabelScheme.from_dict(recorded) == scheme
    assert LabelScheme.from_dict({**recorded, "name": "valence"}).sources["RAF"] == {}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../up"},
        {"name": None},
        {"labels": ["only"]},
        {"labels": None},
        {"sources": None},
        {"sources": {"X": {}}},
    ],
)
def test_a_damaged_record_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(EmoTorchError):
        LabelScheme.from_dict({**get_scheme("seven").as_dict(), **change})
    with refusal("not a table of name, labels and sources"):
        LabelScheme.from_dict("seven")


# Folders and commands.


def test_folders_of_schemes_never_meet(tmp_path: Path) -> None:
    default = Paths(tmp_path)
    assert default.originals == tmp_path / "FER-Original-Dataset"
    assert default.augmented == tmp_path / "FER-Original-Dataset-Augmented"
    assert default.subsets == tmp_path / "TRAIN-VAL DATA"
    assert default.for_scheme("seven").augmented == tmp_path / "FER-Original-Dataset-seven-Augmented"
    assert default.for_scheme("seven").for_scheme("emotorch4") == default
    folders = [
        folder
        for paths in (default, default.for_scheme("seven"), default.for_scheme("mood4"))
        for folder in (paths.originals, paths.augmented, paths.subsets, paths.cache)
    ]
    assert len({str(folder).lower() for folder in folders}) == 12
    for folder in folders:
        assert not any(other.is_relative_to(folder) for other in folders if other != folder)


def test_git_ignores_every_scheme_s_folders() -> None:
    paths = Paths(REPOSITORY).for_scheme("valence")
    files = [folder / "x.png" for folder in (paths.originals, paths.augmented, paths.subsets, paths.cache)]
    done = subprocess.run(["git", "check-ignore", *files], cwd=REPOSITORY, capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == len(files)


def test_messages_tell_the_scheme_where_it_is_not_the_default() -> None:
    assert labels.command("stage.py", "emotorch4") == "stage.py"
    assert labels.command("stage.py", "seven") == "stage.py --scheme seven"
    assert labels.command("stage.py", "valence") == "stage.py --scheme valence.toml"


def test_a_scheme_of_a_hundred_thousand_labels_or_one_nested_as_deep_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "many.toml"
    path.write_text(f"labels = {[f'l{number}' for number in range(100_000)]}\n[sources.FER]\nhappy = 'l1'\n")
    with refusal(f"{path}: labels: 100,000 of them, and a scheme has at most 1,000"):
        read_scheme(path)
    path.write_text("labels = " + "[" * 100_000 + "]" * 100_000)
    with refusal(f"{path}: nested too deeply"):
        read_scheme(path)
