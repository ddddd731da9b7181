"""Pictures that have no file of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["Held"]


class Held(ABC):
    """A picture that lies within another file: a table's cell, a shard's member. Small; can be pickled."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in messages."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of the file that the picture would be."""

    @abstractmethod
    def read(self, most: int | None = None) -> bytes:
        """The file that the picture would be, or so many bytes of its beginning.

        Raises:
            DataError: it cannot be read.
        """

    def __str__(self) -> str:
        return self.name
