"""Recognises every dataset below FER-Datasets by its files, tables and folders, whatever they are called.

Each dataset's module looks at every folder, from the top down; class folders of the user's own come last. Of several
copies of one dataset the fullest is taken. What nobody recognises is named.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from emotorch.data import own_data, pixel_csv, table_rows, text_tables
from emotorch.data.class_folders import joined_class
from emotorch.data.ferplus import find_votes
from emotorch.data.formats import PICTURE_SUFFIXES, other_content, read_start
from emotorch.data.layouts import Finding, Folder, Incomplete, Recognised
from emotorch.data.names import beside_split, is_nameless, split_of, tells_nothing
from emotorch.data.table_columns import is_emotion, is_path
from emotorch.datasets import CKP, DATASETS, FER, Dataset, find_dataset
from emotorch.files import printable
from emotorch.labels import FERPLUS, LabelScheme
from emotorch.paths import Paths
from emotorch.tables import counted

logger = logging.getLogger(__name__)

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,39}")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9_+]+")
_LONGEST_NAME = 40
_DATA = (".parquet", ".arrow", ".npz", ".npy", ".mat", ".h5", ".hdf5", ".tfrecord", ".tfrecords", ".pkl", ".pickle")
_SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")
# Files that may hold the labels of pictures: of COCO, or of YOLO; and of Pascal VOC or YOLO, one for each picture.
_ANNOTATIONS = re.compile(r".*(annotation|coco|instances|label).*\.json|data\.ya?ml", re.IGNORECASE)
_OF_A_PICTURE = (".txt", ".xml")
_VIDEOS = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm", ".wmv")
_FACE = 100  # numbers in a field: of pixels, not of a date or a box
_TOLD = 4  # things of a folder that nobody recognises


@dataclass(frozen=True)
class Recognition:
    """The content of FER-Datasets.

    Attributes:
        datasets: By the name that they have in stage 2's folders: known ones first, in the order of their records.
        others: Further copies of datasets that are taken from elsewhere.
        passed_over: What is no dataset, and why.
        votes: Files of FER+'s votes on FER-2013's rows.
    """

    datasets: dict[str, Recognised]
    others: list[Recognised]
    passed_over: list[Incomplete]
    votes: list[Path]


def recognise(paths: Paths, scheme: LabelScheme) -> Recognition:
    """Looks through FER-Datasets; the user's own class folders may be called by the scheme's labels."""
    if not paths.raw.is_dir():
        return Recognition({}, [], [], [])
    return recognise_folder(Folder.read(paths.raw), scheme)


def recognise_folder(root: Folder, scheme: LabelScheme) -> Recognition:
    """Looks through any folder; the names of folders above its `raw` count for nothing."""
    found, incomplete = _look_through(root, DATASETS.values(), scheme)
    datasets: dict[str, Recognised] = {}
    others: list[Recognised] = []
    for name in DATASETS:
        copies = _fullest_first([copy for copy in found if copy.dataset == name])
        if copies:
            datasets[name] = copies[0]
        others += copies[1:]
    for own in (finding for finding in found if not finding.dataset):
        name = _own_name(own, root.raw, datasets)
        datasets[name] = replace(own, dataset=name)
    claimed = {path for finding in found for path in finding.covers} | {finding.where for finding in incomplete}
    votes = list(find_votes(root))
    return Recognition(datasets, others, [*incomplete, *_unknown(root, claimed | set(votes))], votes)


def find_copies(paths: Paths, dataset: Dataset) -> list[Recognised]:
    """All copies of one known dataset below FER-Datasets, the fullest first."""
    if not paths.raw.is_dir():
        return []
    return _fullest_first(_look_through(Folder.read(paths.raw), [dataset], None)[0])


def _look_through(
    root: Folder, datasets: Iterable[Dataset], scheme: LabelScheme | None
) -> tuple[list[Recognised], list[Incomplete]]:
    """Looks through a folder and all below it, from the top down; without a scheme the user's own data is left out.

    Of two datasets that claim the same files the first has them.
    """
    found: list[Recognised] = []
    incomplete: list[Incomplete] = []
    covered: set[Path] = set()

    def take(findings: Iterable[Finding]) -> None:
        for finding in findings:
            if isinstance(finding, Incomplete):
                incomplete.append(finding)
            elif finding.where not in covered and not (finding.covers and finding.covers <= covered):
                found.append(finding)
                covered.update(finding.covers)

    def look_at(folder: Folder) -> None:
        pairs = _pairs(folder, scheme)
        for pair in pairs:
            for dataset in datasets:
                take(_of_pairs(dataset.recognise(pair), pair))
            if scheme is not None:
                take(_of_pairs(own_data.recognise(pair, scheme), pair))
        paired = {sub for pair in pairs for sub in pair.folders}  # looked at one by one where a pair is none
        rest = replace(folder, folders=tuple(sub for sub in folder.folders if sub not in paired)) if pairs else folder
        for dataset in datasets:
            take(dataset.recognise(rest))
        if scheme is not None and covered.isdisjoint((folder.path, *(sub.path for sub in rest.folders))):
            take(own_data.recognise(rest, scheme))
        for sub in folder.folders:
            if folder.path not in covered and sub.path not in covered:
                look_at(sub)

    look_at(root)
    # Parts of datasets in a folder where a whole one was found are of no interest.
    # Of several remarks on one folder the first is kept.
    unique = {part.where: part for part in reversed(incomplete)}
    taken = {path for one in found for path in one.covers} | {one.where for one in found}
    left = [part for part in unique.values() if not any(path.is_relative_to(part.where) for path in taken)]
    return found, sorted(left, key=lambda part: part.where)


def _pairs(folder: Folder, scheme: LabelScheme | None) -> list[Folder]:
    """For each dataset a folder with nothing in it but its given splits: `RAF-DB_train`, `RAF-DB_test`.

    Where they are of several, or right in FER-Datasets, where any dataset may lie beside them; and where no table lies
    beside them that has their labels.
    """

    def class_of(name: str) -> str | None:
        return name if is_emotion(name) or (scheme and scheme.knows(name)) else None

    pairs = [
        group
        for of, group in folder.split_groups.items()
        if not all(map(tells_nothing, of.split())) and all(joined_class(sub, class_of) is None for sub in group)
    ]
    if not pairs or (len(pairs) == 1 and folder.path != folder.raw) or table_rows.tables_in(folder):
        return []
    return [replace(folder, files=(), folders=group) for group in pairs]


def _of_pairs(findings: Iterable[Finding], pair: Folder) -> Iterator[Finding]:
    """What was found in a pair of splits, where it is in more than one of them: called by what their names share."""
    for finding in findings:
        if isinstance(finding, Incomplete):
            yield finding
            continue
        read = [sub for sub in pair.folders if sub.path in finding.covers or pair.path in finding.covers]
        if len(read) > 1:
            first, *others = sorted(read, key=lambda sub: split_of(sub.name) != "train")
            notes = (f"with {', '.join(sub.name for sub in others)}", *finding.notes)
            covers = frozenset(sub.path for sub in read) | (finding.covers - {pair.path})
            name = finding.name or beside_split(first.name)
            yield replace(finding, where=first.path, covers=covers, notes=notes, name=name)


def _unknown(folder: Folder, claimed: set[Path]) -> Iterator[Incomplete]:
    """The topmost folders with pictures, tables or archives that nobody claims."""
    if folder.path in claimed:
        return
    inside = list(folder.walk())
    is_claimed_below = any(part.path in claimed or claimed.intersection(part.tables) for part in inside)
    is_mixed = is_claimed_below or folder.path == folder.raw
    if found := _contents([replace(folder, folders=())] if is_mixed else inside, claimed):
        yield Incomplete(folder.path, found)
    for sub in folder.folders if is_mixed else ():
        yield from _unknown(sub, claimed)


def _contents(inside: list[Folder], claimed: set[Path]) -> str:
    """The pictures, videos, tables and archives of some folders, in words; empty where there are none."""
    found = []
    pictures = [path for part in inside for path in part.pictures if path not in claimed]
    others = [path for part in inside for path in part.paths if path not in claimed]
    if pictures:
        said = f"{counted(len(pictures), 'picture')}, and no class folders or names that tell what they show"
        holders = dict.fromkeys(printable(path.parent.name) for path in pictures if path.parent != inside[0].path)
        more = ", …" if len(holders) > _TOLD else ""
        found.append(said + (f" (in folders {', '.join([*holders][:_TOLD])}{more})" if len(holders) > 1 else ""))
        stems = {path.stem for path in pictures}
        labels = [
            path
            for path in others
            if _ANNOTATIONS.fullmatch(path.name) or (path.suffix.lower() in _OF_A_PICTURE and path.stem in stems)
        ]
        if labels:
            more = f" and {len(labels) - 1} more" if labels[1:] else ""
            name = printable(labels[0].name)
            found.append(f"{name}{more} may have the labels, and is not read: write a labels.csv (path,label)")
    if videos := [path for path in others if path.suffix.lower() in _VIDEOS]:
        found.append(f"{counted(len(videos), 'video')} (write frames of them as pictures in class folders)")
    found += (f"{path.name} {said}" for path in others if (said := _said_of(path)))
    return "; ".join(found[:_TOLD]) + (f"; {len(found) - _TOLD} files more" if len(found) > _TOLD else "")


def _said_of(path: Path) -> str:
    """The remark on a file that belongs to no dataset, to follow its name; empty where there is none."""
    suffix = path.suffix.lower()
    if not path.exists():
        return "leads nowhere (a broken link)"
    if suffix in _SPREADSHEETS:
        return "is a spreadsheet (save it as CSV)"
    if content := "" if suffix in PICTURE_SUFFIXES else other_content(read_start(path)):
        return f"is {content}"
    if suffix in text_tables.ENDINGS:
        if table_rows.holds_guesses(path):
            return f"is {table_rows.GUESSES}"
        if table := table_rows.read_table(path):
            return "is a table of labels that is not read here" if table.rows else "is a table of labels without rows"
        header = list(map(printable, text_tables.read_header(path)))
        shown = ", ".join(name[:_LONGEST_NAME] for name in header[:_TOLD])
        numbers = [name for name in header if name.replace(" ", "").isdigit() and name.count(" ") >= _FACE]
        if numbers or any(map(is_path, header)):
            names = ",".join(pixel_csv.HEADER) if numbers else "path,label"
            return f"begins with a row, where its columns' names should stand ({names}): {shown}"
        return f"has no columns that are known here (path and label): {shown or 'none'}"
    return "is of a kind that is not read; write it as pictures in class folders" if suffix in _DATA else ""


def _fullest_first(copies: list[Recognised]) -> list[Recognised]:
    """Copies of one dataset; what belongs to one of them is none of its own."""
    apart = [copy for copy in copies if not any(copy.where in other.covers for other in copies if other is not copy)]
    if len(apart) < 2:
        return apart
    return sorted(apart, key=lambda copy: (-copy.count(), copy.preference, copy.where))


def _own_name(own: Recognised, raw: Path, taken: Iterable[str]) -> str:
    """A plain name for the user's own dataset, after its folder, that no other has."""
    where = own.where
    parts = [
        own.name or where.name,
        *(folder.name for folder in where.parents if folder != raw and folder.is_relative_to(raw)),
    ]
    # A folder with a name that says nothing is called after the one above.
    telling = next((part for part in parts if not is_nameless(part)), parts[0])
    ascii_name = unicodedata.normalize("NFKD", telling).encode("ascii", "ignore").decode()
    plain = _NOT_PLAIN.sub("-", ascii_name).strip("-_+")[:_LONGEST_NAME].rstrip("-_+") or "own"
    if _PLAIN.fullmatch(telling):
        plain = telling
    used = {name.lower() for name in (*taken, *DATASETS)}
    name, number = plain, 1
    while name.lower() in used:
        number += 1
        name = f"{plain[: _LONGEST_NAME - 4]}-{number}"
    return name


def tell(recognition: Recognition, paths: Paths) -> None:
    """Says what each folder was taken for and why, which copies are not, and what was passed over."""
    for name, found in recognition.datasets.items():
        title = find_dataset(name).full_title
        logger.info("%s: %s, %s", paths.relative(found.where), title, "; ".join((found.why, *found.notes)))
    for copy in recognition.others:
        taken = recognition.datasets[copy.dataset]
        title = find_dataset(copy.dataset).full_title
        reason = f"{paths.relative(taken.where)} is {'fuller' if taken.count() > copy.count() else 'as full'}"
        logger.info("%s: %s too, %s; not taken: %s", paths.relative(copy.where), title, copy.why, reason)
    for number, path in enumerate(recognition.votes):
        used = "a further copy, not taken" if number else f"of which --scheme {FERPLUS} takes FER-2013's labels"
        logger.info("%s: FER+, the votes on FER-2013's rows, %s", paths.relative(path), used)
    for missing in recognition.passed_over:
        level = logging.WARNING if missing.is_question else logging.INFO
        logger.log(level, "%s: not recognised, passed over: %s", paths.relative(missing.where), missing.found)
    if recognition.datasets and FER.name not in recognition.datasets:
        several = "; name what trains by --train-on" if len(recognition.datasets) > 1 else ""
        logger.info("no FER-2013 in %s: everything runs without it%s", paths.raw, several)
    elif FER.name in recognition.datasets and CKP.name not in recognition.datasets:
        logger.info("no CK+ in %s: everything runs without it", paths.raw)
