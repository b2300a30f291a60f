"""`salign init` on folders in folders: which say classes, which splits, and whose masks lie in which."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from command import salign
from salign.data.manifest import Manifest
from salign.data.reading.image import read_saliency

SIDE = 32
SPLITS = ("train", "val", "test")
CLASSES = ("cat", "dog")
EACH = 3


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)


def fill(folder, images, masks=None, *, number="{k}"):
    """Images of every split and class, and masks with as many marked rows as says which image they are of.

    Args:
        folder: where to write.
        images: folder of an image, with `{s}` for its split and `{c}` for its class.
        masks: folder of a mask likewise; None = there are no masks.
        number: name of a file, with `{k}` for its number within split and class, and `{n}` for that among all.

    Returns:
        Path of an image -> marked rows of its mask.
    """
    marked = {}
    for n, (s, c, k) in enumerate((s, c, k) for s in SPLITS for c in CLASSES for k in range(EACH)):
        name = number.format(k=k, n=n)
        image = f"{images.format(s=s, c=c)}/{name}.jpg"
        save(folder / image, noise(n))
        if masks is not None:
            pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
            pixels[: n + 1] = 255
            save(folder / masks.format(s=s, c=c) / f"{name}.png", pixels)
            marked[image] = n + 1
    return marked


def marked_rows(folder):
    """Path of an image -> rows that its map marks, of all rows of the manifest that have a map."""
    table = Manifest.read(folder / "manifest.csv").table.dropna(subset="saliency")
    maps = {row.path: read_saliency(folder / row.saliency).numpy() for row in table.itertuples()}
    return {path: int((values > 0).any(1).sum()) for path, values in maps.items()}


@pytest.mark.parametrize(
    ("images", "masks", "kind"),
    [
        ("images/{s}/{c}", "masks/{s}/{c}", "masks/"),
        ("{s}/images/{c}", "{s}/masks/{c}", "masks/"),
        ("{s}/{c}/images", "{s}/{c}/masks", "masks/"),
        ("{s}/{c}", "{s}_masks/{c}", "*_masks/"),
        ("{s}/{c}", "masks_{s}/{c}", "masks_*/"),
        ("{s}_images/{c}", "{s}_masks/{c}", "*_masks/"),
        ("images/{c}/{s}", "masks/{c}/{s}", "masks/"),
        ("{c}/{s}/images", "{c}/{s}/masks", "masks/"),
    ],
)
def test_masks_of_every_split_go_to_the_image_at_the_same_place(images, masks, kind, tmp_path):
    """Files of one name lie in every folder, so that a mask of another split would be seen."""
    marked = fill(tmp_path, images, masks)
    shown = " ".join(salign("init", tmp_path).out.split())
    assert f"18 masks in {kind}, of 18 images" in shown
    assert marked_rows(tmp_path) == marked
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert Counter(table["label"]) == {"cat": 9, "dog": 9}
    assert Counter(split.partition("_")[0] for split in table["split"]) == {"train": 6, "val": 6, "test": 6}


def test_a_mask_is_not_given_to_an_image_of_another_split(tmp_path):
    marked = fill(tmp_path, "{s}/{c}", "{s}_masks/{c}", number="{n}")
    gone = tmp_path / "val/cat/6.jpg"
    gone.rename(tmp_path / "train/cat/6.jpg")
    shown = " ".join(salign("init", tmp_path).out.split())
    assert "1 pictures in *_masks/ have the name of no image, first val_masks/cat/6.png" in shown
    assert marked_rows(tmp_path) == {path: rows for path, rows in marked.items() if path != "val/cat/6.jpg"}


def test_masks_of_a_challenge_lie_in_folders_that_name_the_year_and_the_split(tmp_path):
    """As ISIC has them: names of folders differ in more than the words for images and masks."""
    names = {"Training": range(12), "Test": range(12, 18)}
    for split, numbers in names.items():
        for n in numbers:
            save(tmp_path / f"ISIC2016_{split}_Data/ISIC_{n:04d}.jpg", noise(n))
            pixels = np.zeros((SIDE, SIDE), dtype=np.uint8)
            pixels[: n + 1] = 255
            save(tmp_path / f"ISIC2016_{split}_GroundTruth/ISIC_{n:04d}_segmentation.png", pixels)
    rows = "".join(f"ISIC_{n:04d},{'benign' if n % 2 else 'malignant'}\n" for n in range(18))
    (tmp_path / "labels.csv").write_text(f"image,class\n{rows}")
    shown = " ".join(salign("init", tmp_path).out.split())
    assert "18 masks in ISIC2016_*_GroundTruth/, of 18 images" in shown
    numbers = {path: int(path[-8:-4]) for path in marked_rows(tmp_path)}
    assert marked_rows(tmp_path) == {path: n + 1 for path, n in numbers.items()}
    assert len(numbers) == 18


def test_other_maps_are_still_asked_about_and_the_kind_with_a_star_can_be_chosen(tmp_path):
    marked = fill(tmp_path, "{s}/{c}", "{s}_masks/{c}")
    for image in marked:
        save((tmp_path / "boxes" / image).with_suffix(".png"), np.full((SIDE, SIDE), 255, dtype=np.uint8))
    asked = " ".join(salign("init", tmp_path, code=2).err.split())
    assert "maps may come from *_masks/, boxes/; say which by --maps NAME" in asked
    salign("init", tmp_path, "--maps", "*_masks/")
    assert marked_rows(tmp_path) == marked


def folders_of(folder, outer):
    for n, (above, label, k) in enumerate((o, c, k) for o in outer for c in CLASSES for k in range(4)):
        save(folder / above / label / f"{k}.png", noise(n))


def test_folders_in_folders_that_no_name_explains_are_asked_about(tmp_path):
    folders_of(tmp_path, ["site a", "site b"])
    asked = " ".join(salign("init", tmp_path, code=2).err.split())
    assert "either may be the classes: site a 8, site b 8, or within them cat 8, dog 8" in asked
    assert "--classes-from outer-folders, or --classes-from inner-folders" in asked
    assert not (tmp_path / "manifest.csv").exists()


def test_a_few_outer_folders_become_a_column_and_are_kept_whole_on_demand(tmp_path):
    sites = ["site a", "site b", "site c", "site d", "site e", "site f"]
    folders_of(tmp_path, sites)
    shown = " ".join(salign("init", tmp_path, "--classes-from", "inner-folders").out.split())
    assert "6 above the classes, in the column folder; --group folder keeps each in one split" in shown
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert Counter(table["label"]) == {"cat": 24, "dog": 24}
    assert (table["folder"] == table["path"].str.partition("/")[0]).all()
    assert table.groupby("folder")["split"].nunique().max() == 3
    (tmp_path / "manifest.csv").unlink()
    (tmp_path / "study.yaml").unlink()
    salign("init", tmp_path, "--classes-from", "inner-folders", "--group", "folder")
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert table.groupby("folder")["split"].nunique().tolist() == [1] * 6


def test_many_outer_folders_are_patients_and_stay_whole(tmp_path):
    folders_of(tmp_path, [f"patient {p}" for p in range(12)])
    shown = " ".join(salign("init", tmp_path, "--classes-from", "inner-folders").out.split())
    assert "12 above the classes, in the column folder; images of one folder stay together" in shown
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert table.groupby("folder")["split"].nunique().tolist() == [1] * 12
    assert set(table["split"]) == {"train", "val", "test"}


def test_outer_folders_may_be_the_classes(tmp_path):
    folders_of(tmp_path, ["session 1", "session 2"])
    shown = " ".join(salign("init", tmp_path, "--classes-from", "outer-folders").out.split())
    assert "session 1 8, session 2 8 (from the outer folders)" in shown
    table = Manifest.read(tmp_path / "manifest.csv").table
    assert (table["label"] == table["path"].str.partition("/")[0]).all()
    assert "folder" not in table
