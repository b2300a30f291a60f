"""The mark never touches the human map, says what it was asked to say, and changes nothing else."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from salign.data.manifest import Manifest
from salign.data.shortcuts.marks import MOST_CLASSES, Kind, mark
from salign.data.shortcuts.plant import free_places, plant_shortcut
from salign.errors import SalignError

KINDS = get_args(Kind)
ALWAYS = {"train": 1.0, "test": 1.0}


def make(folder, count=24, classes=("a", "b"), seed=0, empty=False):
    """Grey images of several sizes, each with a blob somewhere as its map."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(count):
        height, width = (int(side) for side in rng.integers(60, 120, 2))
        Image.fromarray(rng.integers(60, 200, (height, width), dtype=np.uint8)).save(folder / f"{k}.png")
        values = np.zeros((height, width))
        if not empty:
            values[rng.integers(height), rng.integers(width)] = 1
            values = ndimage.gaussian_filter(values, height / 12)
            values *= 255 / values.max()
        Image.fromarray(values.astype(np.uint8)).save(folder / f"map{k}.png")
        split = "train" if k < count // 2 else "test"
        rows.append((str(k), f"{k}.png", classes[k % len(classes)], split, "" if k % 5 == 4 else f"map{k}.png"))
    return Manifest.of(pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency"]), folder)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


PATCHES = """
.......... ...####... .......... #........# .......... .##....##. ########## ###....... .......... ...####...
..######.. ...####... ....##.... .##....##. ########## .##....##. ########## ###....... .......... ...####...
.########. ....##.... ...####... .###..###. ########## .##....##. #........# ###....... .......... ...####...
.##....##. ....##.... ..######.. ..##..##.. .......... .##....##. #........# ###....... ########## ...####...
.##....##. ########## .########. ....##.... .......... .##....##. #........# ##........ ########## ...####...
.##....##. ########## .########. ....##.... .......... .##....##. #........# ##........ ########## ...####...
.##....##. ....##.... ..######.. ..##..##.. .......... .##....##. #........# ##........ ########## ...####...
.########. ....##.... ...####... .###..###. ########## .##....##. #........# ##........ .......... ...####...
..######.. ...####... ....##.... .##....##. ########## .##....##. #........# ########## .......... ...####...
.......... ...####... .......... #........# .......... .##....##. ########## ########## .......... ...####...
"""
"""Of the classes 0 to 9; where two pixels tie for the last place of a shape, rounding decides."""


def test_patches_are_these_shapes_of_their_colours():
    colours = [(255, 0, 0), (51, 255, 0), (0, 102, 255), (255, 0, 153), (204, 255, 0),
               (0, 255, 255), (204, 0, 255), (255, 153, 0), (0, 255, 102), (51, 0, 255)]  # fmt: skip
    pictures = zip(*(line.split() for line in PATCHES.split("\n") if line), strict=True)
    for number, (picture, colour) in enumerate(zip(pictures, colours, strict=True)):
        found = mark("patch", number, 10)
        expected = np.array([[letter == "#" for letter in line] for line in picture])
        assert (found.any(-1) != expected).sum() <= 6, number
        assert set(map(tuple, found.reshape(-1, 3).tolist())) == {(0, 0, 0), colour}
        strip = mark("border", number, 8)
        assert strip.shape == ((2, 40, 3) if number % 4 < 2 else (40, 2, 3))
        assert (strip == colour).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_pixel_of_the_human_map_or_its_margin_changes(tmp_path, kind):
    source = make(tmp_path / "in", 40)
    done = plant_shortcut(source, tmp_path / "out", kind=kind, correlation=ALWAYS, seed=1)
    planted = Manifest.read(done.manifest)
    assert len(done.clean) < 10
    changed_rows = 0
    for i in range(len(source)):
        before, after = pixels(source.image_path(i)), pixels(planted.image_path(i))
        changed = (before != after).any(-1)
        changed_rows += changed.any()
        path = source.saliency_path(i)
        if path is not None:
            marked = np.asarray(Image.open(path)) > 0
            near = ndimage.distance_transform_edt(~marked) <= 0.02 * min(marked.shape)
            assert not (changed & near).any()
            assert path.read_bytes() == planted.saliency_path(i).read_bytes()
        else:
            assert planted.saliency_path(i) is None
    assert changed_rows == len(source) - len(done.clean)
    kept = source.table.drop(columns="row")
    pd.testing.assert_frame_equal(planted.table[kept.columns].astype(object), kept.astype(object))


def test_maps_of_single_people_are_copied_too(tmp_path):
    source = make(tmp_path / "in", 4)
    Image.new("L", (70, 70), 9).save(tmp_path / "in" / "0_ann.png")
    table = source.table.drop(columns="row").assign(saliency_ann=["0_ann.png", "", "", ""])
    source = Manifest.of(table, source.root)
    done = plant_shortcut(source, tmp_path / "out", kind="patch", correlation=ALWAYS, seed=1)
    planted = Manifest.read(done.manifest)
    copy = planted.root / planted.table["saliency_ann"][0]
    assert copy.read_bytes() == (tmp_path / "in" / "0_ann.png").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_files_and_others_do_not(tmp_path, kind):
    source = make(tmp_path / "in", 10)
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        plant_shortcut(source, tmp_path / name, kind=kind, correlation=ALWAYS, seed=seed)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    assert any((tmp_path / "one" / name).read_bytes() != (tmp_path / "other" / name).read_bytes() for name in names)


def test_a_row_does_not_depend_on_the_others(tmp_path):
    source = make(tmp_path / "in", 10)
    plant_shortcut(source, tmp_path / "all", kind="patch", correlation=ALWAYS, seed=0)
    part = source.take([7, 6, 1, 0])
    plant_shortcut(part, tmp_path / "part", kind="patch", correlation={"train": 1, "test": 1}, seed=0)
    for i in range(4):
        name = part.table["path"][i]
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "part" / name).read_bytes()


def test_the_correlation_is_the_one_asked_for_and_is_measured(tmp_path):
    source = make(tmp_path / "in", 600, classes=("a", "b", "c"), empty=True)
    done = plant_shortcut(source, tmp_path / "out", kind="patch", correlation={"train": 0.9, "test": 0.0}, seed=0)
    table = Manifest.read(done.manifest).table
    train, test = (table[table["split"] == split] for split in ("train", "test"))
    share = (train["shortcut"] == train["label"]).mean()
    assert abs(share - 0.9) < 4 * np.sqrt(0.09 / 300)
    assert not (test["shortcut"] == test["label"]).any()
    assert abs((test["shortcut"][test["label"] == "a"] == "b").mean() - 0.5) < 0.2
    measured = done.measured.set_index("split")["measured"]
    assert measured.to_dict() == {"train": share, "test": 0.0}


def test_the_mark_in_the_image_is_the_one_in_the_column(tmp_path):
    source = make(tmp_path / "in", 20)
    done = plant_shortcut(source, tmp_path / "out", kind="patch", correlation={"train": 0.5, "test": 0.5}, seed=0)
    planted = Manifest.read(done.manifest)
    for i, named in enumerate(planted.table["shortcut"]):
        after = pixels(planted.image_path(i))
        coloured = after[(after.max(-1) - after.min(-1)) > 0]
        expected = mark("patch", ["a", "b"].index(named), 20)
        assert {tuple(one) for one in coloured} == {tuple(map(int, expected[expected.max(-1) > 0][0]))}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [4, 13, 32])
def test_marks_cover_equal_areas_and_differ(kind, side):
    marks = [mark(kind, number, side) for number in range(MOST_CLASSES)]
    assert len({one.shape[0] * one.shape[1] for one in marks}) == 1
    if kind == "patch":
        assert len({int((one.max(-1) > 0).sum()) for one in marks}) == 1
    if side > 4:
        assert len({one.tobytes() for one in marks}) == MOST_CLASSES


@pytest.mark.parametrize("kind", KINDS)
def test_marks_survive_the_training_size(kind):
    """Ten classes at 1024 px, shrunk to 64 px: the nearest mark at 64 px is still the own one."""
    large, small = [mark(kind, k, 102) for k in range(10)], [mark(kind, k, 102).shape for k in range(10)]
    shrunk = [
        np.asarray(Image.fromarray(one).resize((max(2, w // 16), max(2, h // 16)), Image.Resampling.BOX)).astype(float)
        for one, (h, w, _) in zip(large, small, strict=True)
    ]
    for a, one in enumerate(shrunk):
        for b, other in enumerate(shrunk):
            if a != b and one.shape == other.shape:
                assert np.abs(one - other).max() > 60


def test_free_places_against_a_slow_search():
    rng = np.random.default_rng(0)
    for _ in range(20):
        free = rng.random((12, 15)) < 0.93
        h, w = (int(side) for side in rng.integers(1, 6, 2))
        slow = [[bool(free[y : y + h, x : x + w].all()) for x in range(16 - w)] for y in range(13 - h)]
        assert free_places(free, (h, w)).tolist() == slow
    assert free_places(np.ones((3, 3), dtype=bool), (4, 2)).size == 0


def test_an_image_without_room_stays_clean_and_is_named(tmp_path):
    source = make(tmp_path / "in", 10)
    full = np.full(pixels(source.image_path(0)).shape[:2], 255, dtype=np.uint8)
    Image.fromarray(full).save(source.saliency_path(0))
    done = plant_shortcut(source, tmp_path / "out", kind="patch", correlation=ALWAYS, seed=0)
    assert done.clean == ("manifest row 2 (0.png)",)
    planted = Manifest.read(done.manifest)
    assert planted.table["shortcut"].isna().tolist() == [True] + [False] * 9
    assert np.array_equal(pixels(planted.image_path(0)), pixels(source.image_path(0)))
    assert done.measured.set_index("split").loc["train", "clean"] == 1


def test_names_never_collide(tmp_path):
    """An image in two rows, and a map that is called as its JPEG will be."""
    make(tmp_path / "in", 2)
    Image.open(tmp_path / "in" / "1.png").save(tmp_path / "in" / "map0.jpg")
    rows = [
        ("x", "0.png", "a", "train", "map0.png"),
        ("y", "0.png", "a", "train", ""),
        ("z", "map0.jpg", "b", "train", ""),
    ]
    source = Manifest.of(pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency"]), tmp_path / "in")
    done = plant_shortcut(source, tmp_path / "out", kind="patch", correlation={"train": 1.0}, seed=0)
    planted = Manifest.read(done.manifest)
    assert planted.table["path"].tolist() == ["0.png", "0_2.png", "map0_2.png"]
    assert (tmp_path / "out" / "map0.png").read_bytes() == (tmp_path / "in" / "map0.png").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "halo"}, "patch, text or border"),
        ({"correlation": {"train": 1.0}}, "train"),
        ({"correlation": {"train": 1.0, "test": 1.5}}, r"\[0, 1\]"),
        ({"size": 0.5}, "0.2"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(tmp_path, change, message):
    source = make(tmp_path / "in", 4)
    with pytest.raises(SalignError, match=message):
        plant_shortcut(source, tmp_path / "out", **({"kind": "patch", "correlation": ALWAYS, "seed": 0} | change))
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path):
    source = make(tmp_path / "in", 4)
    with pytest.raises(SalignError, match="not an empty folder"):
        plant_shortcut(source, tmp_path / "in", kind="patch", correlation=ALWAYS, seed=0)


def test_a_set_with_no_room_at_all_is_refused(tmp_path):
    source = make(tmp_path / "in", 4)
    for i in range(4):
        size = pixels(source.image_path(i)).shape[:2]
        if source.saliency_path(i) is not None:
            Image.fromarray(np.full(size, 9, dtype=np.uint8)).save(source.saliency_path(i))
    with pytest.raises(SalignError, match="no image has room"):
        plant_shortcut(source, tmp_path / "out", kind="text", correlation=ALWAYS, seed=0)
    assert not (tmp_path / "out" / "manifest.csv").exists()
