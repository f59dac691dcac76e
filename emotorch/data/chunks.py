"""Working through a stage's chunks: in parallel, recorded one by one, never twice."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from emotorch.files import StageBuild
from emotorch.workers import map_in_order, progress


class Chunk(Protocol):
    """A part of a stage's work; its name says which, the same in every run."""

    @property
    def name(self) -> str: ...


AnyChunk = TypeVar("AnyChunk", bound=Chunk)


def work_through(
    build: StageBuild, chunks: Sequence[AnyChunk], work: Callable[[AnyChunk], object], workers: int, description: str
) -> None:
    """Calls `work` on every chunk that is not done yet, and records what it returns.

    Raises:
        Exception: the first error in the chunks' order; what was done before stays recorded.
    """
    waiting = [chunk for chunk in chunks if not build.is_done(chunk.name)]
    done = map_in_order(work, waiting, workers)
    for chunk, records in progress(done, total=len(waiting), description=description, unit="chunk"):
        build.finish(chunk.name, records)
