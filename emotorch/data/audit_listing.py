"""The images of whatever lies in a folder or a table, listed for an audit, each with how it is read.

Reading one raises EmoTorchError where it is missing, damaged, or no image: the others are read all the same.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from emotorch.data import fer2013, fer2013_tables, scenes
from emotorch.data.dataset import STORED_HASH
from emotorch.data.formats import is_picture
from emotorch.data.images import GREY_FACE, Pixels, read_face, read_picture, read_stored, undo_enlarging
from emotorch.data.names import split_of
from emotorch.data.sources import MANIFEST, Reading, SourceImage, read_manifest
from emotorch.errors import EmoTorchError
from emotorch.files import printable, visible

_MANIFEST_COLUMNS = ("file", "emotion", "usage", "hash")
_NO_LABEL = "no label"


@dataclass(frozen=True)
class Entry:
    """A file, or a row of a table, by what its folder, its name or a list says of it.

    Attributes:
        file: Below the folder, with forward slashes; of a row the table and its line.
        label: Its class, as the dataset calls it; where there are several, as FER-2013 calls the emotion.
        usage: The given split it is in, or empty.
        dataset: Which dataset it is from, where there are several; else empty.
        hash: Of the file's pixels, where a manifest tells.
        person: Who is shown, where that is told; else empty.
    """

    file: str
    label: str
    usage: str = ""
    dataset: str = ""
    hash: str = ""
    person: str = ""

    @property
    def shown(self) -> str:
        """The file as text; see `printable`."""
        return printable(self.file)

    @property
    def split(self) -> str:
        """The name of its set in reports: `Training`, `FER Training`, `CKP`; empty without splits."""
        return f"{self.dataset} {self.usage}".strip()


@dataclass(frozen=True)
class Picture:
    """An image that was read.

    Attributes:
        pixels: Its own, in grey.
        face: What the baseline would see, of any size; None for all of it.
        size: Height and width of the face, where it is not all of the pixels.
        faces: How many were found, where they are looked for; else 1.
    """

    pixels: Pixels
    face: Pixels | None = None
    size: tuple[int, int] | None = None
    faces: int = 1


# An image, and the function that reads it, which raises EmoTorchError.
Listed = tuple[Entry, Callable[[], Picture]]


def list_stage(folder: Path, stage: str, *, has_sizes: bool = False) -> Iterator[Listed]:
    """The images in the manifest of a stage-1 or stage-2 folder; files are 48×48 grey, or have sizes of their own."""
    for row in read_manifest(folder, _MANIFEST_COLUMNS, stage):
        stored = row.get(STORED_HASH, row["hash"])
        entry = Entry(row["file"], row["emotion"], row["usage"], row.get("dataset", ""), stored, row.get("subject", ""))
        yield entry, partial(_read_as, read_stored if has_sizes else read_face, folder / entry.file)


def list_rows(csvs: Sequence[Path]) -> Iterator[Listed]:
    """The rows of FER-2013's CSV, or of several that are one together, before stage 1 or after."""
    name_of = dict(zip(csvs, fer2013_tables.names_of(csvs), strict=True))
    for csv, line, row in fer2013.read_rows(*csvs):
        file = f"{name_of[csv]}, line {line}"
        if isinstance(row, ValueError):
            yield Entry(file, ""), partial(_refuse, f"{csv}, line {line}: {row}")
        else:
            emotion, pixels, usage = row
            yield Entry(file, emotion, usage), partial(Picture, pixels)


def list_images(images: Iterable[SourceImage], target: Path, faces: str) -> Iterator[Listed]:
    for image in scenes.as_asked(images, faces):
        file = image.path.relative_to(target) if image.path.is_relative_to(target) else image.path
        name = file.as_posix() if image.row is None else f"{image.path.name}, line {image.row + 2}"
        if image.box is not None:
            name += f", face at {image.box.x},{image.box.y}"
        entry = Entry(name, image.emotion, image.usage, hash=image.hash or "", person=image.subject)
        yield entry, partial(_read_image, image)


def list_class_folders(folder: Path, base: Path) -> Iterator[Listed]:
    """Files beside the class folders (a licence, a manifest) are no images and no fault; names are below `base`."""
    subfolders = [path for path in visible(folder) if path.is_dir()]
    split_folders = [path for path in subfolders if split_of(path.name)]
    if split_folders and len(split_folders) < len(subfolders):
        stranger = next(path for path in subfolders if path not in split_folders)
        raise EmoTorchError(f"{stranger}: stands beside {split_folders[0].name}/ but is no split; move it away")
    for parent in split_folders or [folder]:
        usage = split_of(parent.name) if split_folders else ""
        for class_folder in visible(parent):
            if class_folder.is_dir():
                yield from _list_class(base, class_folder, Entry("", class_folder.name, usage))


def list_pictures(folder: Path) -> Iterator[Listed]:
    """The pictures right in a folder, which have no label."""
    for path in visible(folder):
        if path.is_file() and is_picture(path):
            yield Entry(path.name, _NO_LABEL), partial(_read_as, read_picture, path)


def _list_class(base: Path, class_folder: Path, like: Entry) -> Iterator[Listed]:
    for path in visible(class_folder):
        if not path.is_dir():
            entry = replace(like, file=path.relative_to(base).as_posix())
            yield entry, partial(_read_as, read_picture, path)
        elif like.person:
            raise EmoTorchError(
                f"{path}: a folder where images are expected; name a folder of <class>/<image> or "
                f"<split>/<class>/<image>, also with folders of persons ({MANIFEST} is read of the folders of stages 1 "
                "and 2 only)"
            )
        else:
            yield from _list_class(base, path, replace(like, person=path.name))


def _read_as(read_pixels: Callable[[Path], Pixels], path: Path) -> Picture:
    return Picture(read_pixels(path))


def _read_image(image: SourceImage) -> Picture:
    """A face in a given box counts by itself, a scene as the whole picture; one without a face is shown whole."""
    if image.pixels is not None:
        return Picture(image.pixels)
    if image.reading is Reading.FACE:
        return Picture(read_face(image.path))
    if image.box is not None:
        return Picture(image.read_as(GREY_FACE), size=(image.box.height, image.box.width))
    picture = read_picture(image.path)
    if image.reading is Reading.SCENE:
        searched = scenes.search_one(image)
        if searched.largest is None or searched.box is None:
            return Picture(picture, faces=0)
        size = searched.box.height, searched.box.width
        return Picture(picture, searched.largest.read_as(GREY_FACE), size, searched.faces)
    return Picture(picture, undo_enlarging(picture) if image.reading is Reading.ENLARGED else None)


def _refuse(reason: str) -> Picture:
    raise EmoTorchError(reason)
