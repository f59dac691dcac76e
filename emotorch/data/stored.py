"""Images that lie where many processes map them, and are copied only as they are used."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Array = TypeVar("Array")


@dataclass(frozen=True)
class Stored(Generic[Array]):
    """Some images of a store, in an order: indexed like the array that they would make, without making it.

    Attributes:
        store: (M, …) images, as a NumPy array or a tensor.
        positions: (N,) where in the store each image is; of the same kind.
    """

    store: Any
    positions: Any

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, chosen: Any) -> Array:
        """A copy of the chosen images."""
        images: Array = self.store[self.positions[chosen]]
        return images
