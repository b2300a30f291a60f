"""Names of images as annotation tools say them -> the images below a folder; never one outside of it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from salign.data.manifest.image_files import image_files, no_image, same_name, stem
from salign.errors import SalignError

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an uploaded file."""


IMAGE_FOLDERS = frozenset({
    "data", "image", "images", "img", "imgs", "jpegimages", "photos", "pictures", "upload", "uploads",
})  # fmt: skip
"""Folders that say that images lie in them."""
_NEUTRAL = IMAGE_FOLDERS | {
    "annotation", "annotations", "label", "labels", "map", "maps", "mask", "masks", "segmentation", "segmentations",
    "saliency", "heatmap", "heatmaps", "gt", "groundtruth", "roi", "rois",
}  # fmt: skip
"""Folders that say what lies in them, not which images: `labels/train/a` is of `images/train/a.png`."""


class Images:
    """Images by their relative paths, found again by paths, names or stems.

    The path that a tool gives may be absolute, of another machine or relative to elsewhere: it is only compared, from
    its end, with the paths there are. Of several images with the name, the one that shares most folders is meant. One
    in another folder is not: `test/a.png` is never `train/a.png`, even where that is the only `a.png`. Names that
    differ by Unicode's form alone (`é` in one code point or in two) are equal, and folders that differ by case alone.
    """

    def __init__(self, paths: Iterable[str], *, by_name: bool = False) -> None:
        """Take the paths of the images; with `by_name`, what a tool says of folders counts for nothing."""
        self.paths = sorted(set(paths))
        """Relative, with `/`."""
        self.by_name = by_name
        self._named: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for path in self.paths:
            name = same_name(path.rpartition("/")[2])
            self._named.setdefault(name, []).append(path)
            self._stems.setdefault(stem(name), []).append(path)

    @classmethod
    def below(cls, folder: Path, skip: Iterable[Path] = (), *, by_name: bool = False) -> Images:
        """Every image file of a folder and the folders below, as `image_files` finds them.

        Args:
            folder: where to look.
            skip: folders not to look into.
            by_name: as for `Images`.

        Raises:
            SalignError: no such folder, or no image in it.
        """
        if not folder.is_dir():
            raise SalignError(f"no such folder: {folder}")
        paths = list(image_files(folder, skip=skip))
        if not paths:
            raise no_image(folder)
        return cls(paths, by_name=by_name)

    def find(self, name: str) -> str:
        """The relative path of the image that a tool calls `name`.

        Raises:
            SalignError: there is none, several could be meant, or all lie in other folders; the message tells which.
        """
        *folders, last = _parts(name) or [""]
        if not last:
            raise SalignError("expected the name of an image")
        uploaded = _UPLOADED.sub("", last)
        elsewhere: list[str] = []
        for name_part, folders_there in [(last, folders), (uploaded, [])][: 1 if uploaded == last else 2]:
            for group in (self._named.get(name_part), self._stems.get(name_part), self._stems.get(stem(name_part))):
                fitting = [
                    path for path in group or [] if self.by_name or not _contradicts(_parts(path)[:-1], folders_there)
                ]
                if elsewhere:  # the whole name is there, in another folder: another ending needs the same folder
                    fitting = [path for path in fitting if _shared(_parts(path)[:-1], folders_there)]
                if fitting:
                    return _nearest(fitting, folders_there)
                elsewhere = elsewhere or group or []
        if elsewhere:
            raise SalignError(
                f"no image of this name in this folder, but {elsewhere[0]}; if folders say nothing here, match by name "
                "alone (--by-name)"
            )
        alike = next((there for there in self._named if there.casefold() == last.casefold()), None)
        hint = f", but {self._named[alike][0]}: is it that one? Then rename one of the two" if alike else ""
        raise SalignError(f"no image of this name{hint}")


def _parts(path: str) -> list[str]:
    return [part for part in same_name(path).replace("\\", "/").split("/") if part not in ("", ".", "..")]


def _contradicts(ours: list[str], theirs: list[str]) -> bool:
    """Whether two lists of folders, compared from their ends, name different ones."""
    differing = next((pair for pair in _pairs(ours, theirs) if pair[0] != pair[1]), None)
    return differing is not None and not _NEUTRAL & set(differing)


def _nearest(paths: list[str], folders: list[str]) -> str:
    """The one that shares most folders with those given, and of equals the one that has no others."""
    shared = [_shared(_parts(path)[:-1], folders) for path in paths]
    best = [path for path, count in zip(paths, shared, strict=True) if count == max(shared)]
    exact = [path for path in best if _parts(path)[:-1] == folders]
    if len(exact or best) > 1:
        raise SalignError(f"{len(best)} images could be meant: {', '.join(best[:3])}{', ...' * (len(best) > 3)}")
    return (exact or best)[0]


def _shared(ours: list[str], theirs: list[str]) -> int:
    """How many folders two paths share, counted from their ends."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], _pairs(ours, theirs)))


def _pairs(ours: list[str], theirs: list[str]) -> Iterator[tuple[str, str]]:
    """Folders of both, from the last on, without case."""
    return ((own.casefold(), other.casefold()) for own, other in zip(reversed(ours), reversed(theirs), strict=False))
