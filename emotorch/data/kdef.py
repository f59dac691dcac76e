"""KDEF: 4,900 pictures of 70 persons from five sides, whose file names tell person and expression.

Source: Lundqvist, Flykt and Öhman, "The Karolinska Directed Emotional Faces" (CD ROM, Karolinska Institutet, 1998).
"""

from collections.abc import Iterator

from emotorch.data import file_names
from emotorch.data.layouts import Finding, Folder
from emotorch.data.sources import Reading
from emotorch.datasets import KDEF


def recognise(folder: Folder) -> Iterator[Finding]:
    """KDEF in its folders by person, in one folder, or in class folders.

    `AF01ANS.JPG` is session A or B, sex F or M, number 01-35, expression, angle; the person is sex and number.
    """
    return file_names.recognise(folder, KDEF, Reading.SCENE)
