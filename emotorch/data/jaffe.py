"""JAFFE: 213 pictures of ten women, whose file names tell person and expression.

Source: Lyons, Akamatsu, Kamachi and Gyoba, "Coding facial expressions with Gabor wavelets" (FG 1998).
"""

from collections.abc import Iterator

from emotorch.data import file_names
from emotorch.data.layouts import Finding, Folder
from emotorch.data.sources import Reading
from emotorch.datasets import JAFFE


def recognise(folder: Folder) -> Iterator[Finding]:
    """JAFFE in one folder, or in class folders.

    `KA.AN1.39.tiff` is person, expression with a number, running number.
    """
    return file_names.recognise(folder, JAFFE, Reading.CROP)
