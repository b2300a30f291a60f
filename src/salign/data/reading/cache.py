"""A cache of decoded and resized pixels in a folder, for the next epoch, or the next run on the same images.

An entry is a picture or a map at the size that the network takes, before anything random is done to it. It is found by
the state of the file that it was made from, by the sizes, and by the versions of the libraries that made it, so that a
changed file or another library leads to another entry. Several processes may share a folder, because an entry gets its
name only when it is complete.
"""

from __future__ import annotations

import hashlib
import logging
import zlib
from collections.abc import Callable
from pathlib import Path

import PIL
import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from salign.errors import SalignError
from salign.files import replacing
from salign.readers import file_state

log = logging.getLogger("salign.data")

_MADE_BY = (
    f"1 pillow {PIL.__version__} torch {torch.__version__} torchvision {torchvision.__version__} "
    + torch.backends.cpu.get_cpu_capability()
)
"""The version of the entries (1), and the libraries and the kind of processor, whose rounding is in an entry."""
_CHECK = 4
"""Number of bytes at the beginning of a file that hold the CRC-32 of the rest."""


class PixelCache:
    """A folder of entries. Nothing in it is ever deleted, and the folder may be deleted at any time.

    If an entry cannot be written, as on a full disk, this is logged once, and no further entries are written.

    Args:
        folder: where the entries are; it is created when the first entry is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._writable = True

    def image(
        self, path: Path, size: tuple[int, int], read: Callable[[], Tensor], resize: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, tuple[int, int]]:
        """Return a picture at the size that the network takes.

        Args:
            path: the file.
            size: (H, W) after `resize`.
            read: reads the file as `(3, H, W)`.
            resize: brings what was read to `(3, *size)`.

        Returns:
            The picture as `resize` gives it, with the same layout in memory, and the (H, W) that `read` gave.
        """

        def make() -> dict[str, Tensor]:
            image = read()
            return _packed(resize(image)) | {"size": torch.tensor(image.shape[-2:])}

        entry = self.get(("image", _state(path), size), make)
        height, width = entry.pop("size").tolist()
        return _unpacked(entry), (height, width)

    def saliency(self, files: tuple[Path, Path], size: tuple[int, int], read: Callable[[], Tensor]) -> Tensor:
        """Return a map at the size that the network takes.

        Args:
            files: the file of the map, and that of the picture whose size the map is compared with.
            size: (H, W) of the map that `read` gives.
            read: reads the map and brings it to that size: `(H, W)` float32 in [0, 1].
        """
        return self.get(("map", *map(_state, files), size), lambda: {"map": read()})["map"]

    def get(self, key: tuple[object, ...], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the tensors of the entry with this key; without an entry, call `make` and keep what it returns."""
        name = hashlib.sha256(repr((_MADE_BY, key)).encode()).hexdigest()
        file = self.folder / name[:2] / f"{name[2:]}.pixels"
        if (entry := _read(file)) is not None:
            return entry
        entry = make()
        if self._writable:
            self._write(file, save({part: tensor.contiguous() for part, tensor in entry.items()}))
        return entry

    def _write(self, file: Path, content: bytes) -> None:
        try:
            with replacing(file, sync=False) as partial:
                partial.write_bytes(zlib.crc32(content).to_bytes(_CHECK, "little") + content)
        except OSError as error:
            self._writable = False
            log.warning(
                "%s: %s; images are read without a cache from here on. Make room, or name another folder in data.cache",
                self.folder, error.strerror or error,
            )  # fmt: skip


def _state(path: Path) -> tuple[object, ...] | None:
    """Return what changes with the content of a file; None if the file is missing, which reading it will report."""
    try:
        return str(path), *file_state(path)
    except SalignError:
        return None


def _read(file: Path) -> dict[str, Tensor] | None:
    """Return the tensors of an entry; None if there is no entry, or only a part of one, as after a power cut."""
    try:
        content = memoryview(file.read_bytes())
        if zlib.crc32(content[_CHECK:]) != int.from_bytes(content[:_CHECK], "little"):
            return None
        return load(bytes(content[_CHECK:]))
    except (OSError, SafetensorError):
        return None


def _packed(image: Tensor) -> dict[str, Tensor]:
    """Return the tensor to keep of `(3, H, W)`, named by its layout in memory; one channel if all three are equal."""
    if image.stride(0) == 0:
        return {"hw": image[0]}
    grey = torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])
    part = image[:1] if grey else image
    return {"chw": part} if image.is_contiguous() else {"hwc": part.permute(1, 2, 0)}


def _unpacked(entry: dict[str, Tensor]) -> Tensor:
    """Undo `_packed`. The layout in memory is restored, too, because the rounding of operations depends on it."""
    ((layout, pixels),) = entry.items()
    if layout == "hw":
        return pixels.expand(3, -1, -1)
    if layout == "chw":
        return pixels.expand(3, -1, -1).contiguous()
    return pixels.expand(-1, -1, 3).contiguous().permute(2, 0, 1)
