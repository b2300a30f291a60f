"""What an export reads of a study's images and maps: a file that cannot be read is noted, and the export goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from salign.annotate.answers import Answer, map_of
from salign.annotate.broken import Unshown
from salign.annotate.catalog import Picture
from salign.annotate.collection import Collection
from salign.data.reading.image import image_size, shape_mismatch

Made = TypeVar("Made")


class Reading:
    """Files of a study as they are now."""

    def __init__(self, collection: Collection) -> None:
        """Note nothing yet."""
        self._collection = collection
        self.unreadable: dict[str, tuple[str, str]] = {}
        """The image's id and why, by path of the file."""

    def size(self, picture: Picture, marking: Sequence[Answer]) -> tuple[int, int] | None:
        """(H, W) of an image; None where it cannot be read, or has another shape than when it was marked."""
        if (size := self._made(picture, picture.path, image_size)) is None:
            return None
        for answer in marking:
            if (then := answer.size(picture.id)) is not None and shape_mismatch(then, size):
                why = f"marked at {then[1]} x {then[0]} pixels, and the image has {size[1]} x {size[0]} now"
                self.unreadable[picture.path] = picture.id, why
                return None
        return size

    def map(self, answer: Answer, picture: Picture, size: tuple[int, int]) -> np.ndarray | None:
        """The map of one annotator as it was drawn, `(H, W)` float32 in [0, 1]; None where its file cannot be read."""

        def drawn(file: Path | None = None) -> np.ndarray:
            return map_of(answer, picture.id, size, file=file).astype(np.float32)

        column = answer.map_column()
        return drawn() if column is None else self._made(picture, picture.cells[column], drawn)

    def cell(self, picture: Picture, column: str) -> str | None:
        """The path of a map that an image came with; None where it cannot be read."""
        path = picture.cells[column]
        return None if self._made(picture, path, image_size) is None else path

    def _made(self, picture: Picture, path: str, make: Callable[[Path], Made]) -> Made | None:
        try:
            return self._collection.broken.show(path, make)
        except Unshown as error:
            self.unreadable[path] = picture.id, error.reason
            return None
