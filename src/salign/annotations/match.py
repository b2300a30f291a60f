"""Matching the names that annotation tools give to images with the images below a folder, and never outside it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from salign.data.manifest.image_files import image_files, no_image, same_name, stem
from salign.errors import SalignError

_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""The prefix that Label Studio puts before the name of an uploaded file."""


IMAGE_FOLDERS = frozenset({
    "data", "image", "images", "img", "imgs", "jpegimages", "photos", "pictures", "upload", "uploads",
})  # fmt: skip
"""Common names of folders that hold images."""
_NEUTRAL = IMAGE_FOLDERS | {
    "annotation", "annotations", "label", "labels", "map", "maps", "mask", "masks", "segmentation", "segmentations",
    "saliency", "heatmap", "heatmaps", "gt", "groundtruth", "roi", "rois",
}  # fmt: skip
"""Names of folders that only say which kind of file they hold. They may differ between the name that a tool gives and
the path of the image: `labels/train/a` belongs to `images/train/a.png`."""


class Images:
    """The images of a folder by their relative paths, to be found by a path, a name or a name without its ending.

    The path that a tool gives may be absolute, come from another machine or be relative to another folder. It is only
    compared, from its end, with the known paths. If several images have the name, `find` takes the one that shares most
    folders with the given path. Unless `by_name` is set, an image in a contradicting folder is never taken:
    `test/a.png` does not match `train/a.png`, even if that is the only `a.png`. Names that differ only in their Unicode
    form (`é` as one code point or as two) are equal, and so are folders that differ only in case.
    """

    def __init__(self, paths: Iterable[str], *, by_name: bool = False) -> None:
        """Take the relative paths of the images; with `by_name`, folders never contradict each other."""
        self.paths = sorted(set(paths))
        """The relative paths, with `/`, sorted."""
        self.by_name = by_name
        self._named: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for path in self.paths:
            name = same_name(path.rpartition("/")[2])
            self._named.setdefault(name, []).append(path)
            self._stems.setdefault(stem(name), []).append(path)

    @classmethod
    def below(cls, folder: Path, skip: Iterable[Path] = (), *, by_name: bool = False) -> Images:
        """Find every image file in a folder and the folders below it, as `image_files` does.

        Args:
            folder: the folder to search.
            skip: folders that are not searched.
            by_name: as for `Images`.

        Raises:
            SalignError: there is no such folder, or no image in it.
        """
        if not folder.is_dir():
            raise SalignError(f"no such folder: {folder}")
        paths = list(image_files(folder, skip=skip))
        if not paths:
            raise no_image(folder)
        return cls(paths, by_name=by_name)

    def find(self, name: str) -> str:
        """Return the relative path of the image that a tool calls `name`.

        Raises:
            SalignError: no image has the name, several images could be meant, or all images with the name lie in other
                folders; the message says which case it is.
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
                if elsewhere:  # the full name is only in another folder: with another ending, a folder must be shared
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
    """Return whether two lists of folders contradict each other.

    They do if the first two names that differ, compared from the ends of the lists, are both not in `_NEUTRAL`.
    """
    differing = next((pair for pair in _pairs(ours, theirs) if pair[0] != pair[1]), None)
    return differing is not None and not _NEUTRAL & set(differing)


def _nearest(paths: list[str], folders: list[str]) -> str:
    """Return the path that shares most folders with `folders`; among equals, the one in exactly these folders."""
    shared = [_shared(_parts(path)[:-1], folders) for path in paths]
    best = [path for path, count in zip(paths, shared, strict=True) if count == max(shared)]
    exact = [path for path in best if _parts(path)[:-1] == folders]
    if len(exact or best) > 1:
        raise SalignError(f"{len(best)} images could be meant: {', '.join(best[:3])}{', ...' * (len(best) > 3)}")
    return (exact or best)[0]


def _shared(ours: list[str], theirs: list[str]) -> int:
    """Return how many folders two lists share, counted from their ends."""
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], _pairs(ours, theirs)))


def _pairs(ours: list[str], theirs: list[str]) -> Iterator[tuple[str, str]]:
    """Return pairs of folders of both lists, from the last folder backwards, with case folded."""
    return ((own.casefold(), other.casefold()) for own, other in zip(reversed(ours), reversed(theirs), strict=False))
