"""Which pictures of a folder are images, and which are maps of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from salign.annotations.match import IMAGE_FOLDERS, Images
from salign.data.manifest.folder_layout import roles_in, without_split_word
from salign.data.manifest.image_files import stem
from salign.errors import SalignError
from salign.readers import open_file

_WORDS = (
    "masks?|boxes|seg|segm|segmentations?|segmask|annotations?|labels?|gt|ground_?truth|maps?|saliency|heat_?maps?|rois?|"
    "attention"
)
"""Words for maps, as the end of a file name or as the name of a folder (a regular expression)."""
_BESIDE = re.compile(rf"(?P<image>.+?)(?P<word>[ _.-]+(?:{_WORDS}))(?:[ _.-]?\(?\d+\)?)?", re.I)
_FOLDER = re.compile(rf"(?:{_WORDS})(?:[ _.-].*)?|.+[ _.-](?P<ends>{_WORDS})", re.I)
_SAYING = re.compile(rf"(?:^|[ _.-]+)(?:{_WORDS}|{'|'.join(sorted(IMAGE_FOLDERS))})(?![^ _.-])[ _.-]*", re.I)
"""The word in the name of a folder that says what lies in it."""
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
_SAMPLE = 4
MOST_PIXELS = 25_000_000
LEAST = 16 / 255
_COLOURS = 40
"""A picture with more colours than this counts as a photograph and not as a map."""


class Maps(NamedTuple):
    """Pictures of one kind that are maps: all `*_mask` beside their images, or all in folders called `masks/`.

    Folders whose names differ only by the word of a split are of one kind: `train_masks/` and `test_masks/` are
    `*_masks/`.
    """

    kind: str
    """The ending or the folder, such as `*_mask` or `masks/`; of maps that a table names, `named in TABLE`."""
    images: Mapping[str, str]
    """Path of a map -> path of its image; several maps of an image are parts of one map."""
    lonely: Sequence[str]
    """Paths of pictures in the same folders that belong to no image."""
    nonzero: bool
    """Whether the pixels are numbers or colours of classes, so that everything that is not black is marked."""


def sort_pictures(folder: Path, paths: Iterable[str]) -> tuple[list[str], list[Maps]]:
    """Tell maps from images by their names, folders and pixels.

    A picture is a map in two cases. Either it lies beside an image and has its name with an ending such as `_mask` or
    `-seg 2`. Or it lies in a folder such as `masks`, at least half of the pictures in folders of that name have the
    names of images elsewhere, and those that are looked at are grey or have few colours. If the name of the folder only
    ends with such a word, as in `Training_GroundTruth` or the class `with_mask`, they must have few colours, because
    grey photographs are not maps.

    Args:
        folder: folder where the paths begin.
        paths: every picture.

    Returns:
        Paths of the images, sorted; and the maps of each kind.
    """
    within: dict[str, dict[str, str]] = {}
    plain: list[str] = []
    for path in sorted(paths):
        name = next((part for part in PurePosixPath(path).parts[:-1] if _FOLDER.fullmatch(part)), None)
        if name is None:
            plain.append(path)
        else:
            within.setdefault(without_split_word(name), {})[path] = name
    beside: dict[str, dict[str, str]] = {}
    by_stem = {stem(path): path for path in plain}
    for path in plain:
        match = _BESIDE.fullmatch(stem(path))
        if match and match["image"] in by_stem:
            beside.setdefault(f"*{match['word']}", {})[path] = by_stem[match["image"]]
    maps_beside = {path for pairs in beside.values() for path in pairs}
    images = [path for path in plain if path not in maps_beside]
    kinds = [named_maps(folder, kind, pairs) for kind, pairs in sorted(beside.items())]
    pictures = list(images)
    for like, members in sorted(within.items()):
        names = set(members.values())
        pairs = _paired(pictures, members) if pictures else {}
        sure = all(match["ends"] is None for name in names if (match := _FOLDER.fullmatch(name)))
        looks = _looks(folder, list(pairs))
        if 2 * len(pairs) >= len(members) and all(look.few or (sure and look.grey) for look in looks):
            kind = f"{like if len(names) > 1 else next(iter(names))}/"
            kinds.append(named_maps(folder, kind, pairs, [path for path in members if path not in pairs]))
        else:
            images += members
    return sorted(images), kinds


def named_maps(folder: Path, kind: str, pairs: Mapping[str, str], lonely: Sequence[str] = ()) -> Maps:
    """Make `Maps` of pictures whose images are known; the pixels of a few of them decide `nonzero`."""
    return Maps(kind, pairs, lonely, any(look.nonzero for look in _looks(folder, list(pairs))))


def _paired(images: Sequence[str], maps: Mapping[str, str]) -> dict[str, str]:
    """Return map -> image for the maps that have an image.

    The image lies at the same place, but for the words that say what lies in a folder: `train_masks/cat/1.png` belongs
    to `train_images/cat/1.jpg`. If no image lies there, the map is looked for by its name and its other folders, but
    not in another split.

    Args:
        images: paths of all images.
        maps: path of a map -> the folder on that path whose name says that maps lie in it.
    """
    known, pairs = Images(images), {}
    same_place = defaultdict[str, list[str]](list)
    for image in images:
        same_place[_place(stem(image))].append(image)
    for path, folder in maps.items():
        name = stem(path)
        match = _BESIDE.fullmatch(name)
        names = [name, *([match["image"]] if match else [])]
        places = [there for name in names if (there := same_place.get(_place(name)))]
        if places and len(places[0]) == 1:
            pairs[path] = places[0][0]
            continue
        for name in names:
            try:
                image = known.find("/".join(part for part in name.split("/") if part != folder))
            except SalignError:
                continue
            splits, splits_of_image = _splits_of(path), _splits_of(image)
            if not splits or not splits_of_image or splits & splits_of_image:
                pairs[path] = image
            break
    return pairs


def _place(name: str) -> str:
    """A path without the words that say what lies in its folders, in small letters."""
    *folders, last = name.split("/")
    return "/".join([*filter(None, (_SAYING.sub("", part) for part in folders)), last]).casefold()


def _splits_of(path: str) -> set[str]:
    """Which splits the folders of a path name."""
    return {role for part in path.split("/")[:-1] for role in roles_in(part)}


class _Look(NamedTuple):
    """What the pixels of a picture look like."""

    few: bool
    """Whether there are at most `_COLOURS` colours or greys."""
    grey: bool
    nonzero: bool
    """Whether they are numbers of classes, which are nearly black, or a few colours, which stand for classes."""


def _looks(folder: Path, paths: Sequence[str]) -> list[_Look]:
    """Look at the pixels of a few pictures; those that cannot be read are passed over.

    Torch is not loaded, so that mistakes are reported without delay.
    """
    looks = []
    for path in paths[:: max(1, len(paths) // _SAMPLE)]:
        try:
            with open_file(folder / path, limit=None) as file, Image.open(file, formats=_FORMATS) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    continue
                wide = picture.mode.startswith("I") or picture.mode == "F"
                pixels = np.asarray(picture if wide else picture.convert("RGB"))
        except (SalignError, OSError, ValueError, SyntaxError):
            continue  # the code that reads all pictures reports what is wrong
        if wide:
            looks.append(_Look(len(np.unique(pixels)) <= _COLOURS, True, False))
            continue
        grey = not (pixels != pixels[..., :1]).any()
        few = len(np.unique(pixels.reshape(-1, 3), axis=0)) <= _COLOURS
        nonzero = 0 < pixels.max() / 255 < LEAST if grey else few
        looks.append(_Look(few, grey, nonzero))
    return looks
