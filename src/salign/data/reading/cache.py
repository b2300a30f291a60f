"""Decoded and resized pixels in a folder: what the next epoch, or the next run on the same images, need not make again.

An entry is what comes before anything random: a picture or a map at the size that the network takes. It is found by the
state of the file that it was made of, by the sizes, and by the versions of what made it, so that a changed file or
another library leads to another entry. Several processes may share a folder: an entry takes its name when it is whole.
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
"""Our own version of an entry, and the libraries and the kind of processor whose rounding is in it."""
_CHECK = 4
"""Bytes at the beginning of a file that hold the CRC-32 of the rest."""


class PixelCache:
    """A folder of entries; nothing in it is ever deleted, and the folder may be deleted at any time.

    Where it cannot be written to, as on a full disk, that is logged once and reading goes on without new entries.

    Args:
        folder: where the entries are; it is made when the first one is written.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._writable = True

    def image(
        self, path: Path, size: tuple[int, int], read: Callable[[], Tensor], resize: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, tuple[int, int]]:
        """A picture at the size that the network takes.

        Args:
            path: the file.
            size: (H, W) that `resize` makes of it.
            read: reads the file: `(3, H, W)`.
            resize: makes it `(3, *size)`.

        Returns:
            The picture as `resize` gives it, in the same layout of its memory, and (H, W) that `read` gave.
        """

        def make() -> dict[str, Tensor]:
            image = read()
            return _packed(resize(image)) | {"size": torch.tensor(image.shape[-2:])}

        entry = self.get(("image", _state(path), size), make)
        height, width = entry.pop("size").tolist()
        return _unpacked(entry), (height, width)

    def saliency(self, files: tuple[Path, Path], size: tuple[int, int], read: Callable[[], Tensor]) -> Tensor:
        """A map at the size that the network takes.

        Args:
            files: the map, and the picture with whose size it is compared.
            size: (H, W) of what `read` gives.
            read: reads the map and brings it to that size: float32 in [0, 1].
        """
        return self.get(("map", *map(_state, files), size), lambda: {"map": read()})["map"]

    def get(self, key: tuple[object, ...], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of a key: those of its entry, else what `make` gives, which becomes the entry."""
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
    """What changes with the content of a file; None where the file is not there, as reading it will say."""
    try:
        return str(path), *file_state(path)
    except SalignError:
        return None


def _read(file: Path) -> dict[str, Tensor] | None:
    """The tensors of an entry; None where there is none, or a power cut left half of one."""
    try:
        content = memoryview(file.read_bytes())
        if zlib.crc32(content[_CHECK:]) != int.from_bytes(content[:_CHECK], "little"):
            return None
        return load(bytes(content[_CHECK:]))
    except (OSError, SafetensorError):
        return None


def _packed(image: Tensor) -> dict[str, Tensor]:
    """`(3, H, W)` under the name of its layout in memory; a single channel where the three are equal."""
    if image.stride(0) == 0:
        return {"hw": image[0]}
    grey = torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])
    part = image[:1] if grey else image
    return {"chw": part} if image.is_contiguous() else {"hwc": part.permute(1, 2, 0)}


def _unpacked(entry: dict[str, Tensor]) -> Tensor:
    """The picture as it was before `_packed`: operations round by the layout, too."""
    ((layout, pixels),) = entry.items()
    if layout == "hw":
        return pixels.expand(3, -1, -1)
    if layout == "chw":
        return pixels.expand(3, -1, -1).contiguous()
    return pixels.expand(-1, -1, 3).contiguous().permute(2, 0, 1)
