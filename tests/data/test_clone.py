"""Clones have the moments of their class, and no more; what is not cloned stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import salign
from salign.data import clone
from salign.data.clone import RIDGE, clone_set, draw_clones
from salign.data.manifest import Manifest
from salign.errors import SalignError

PIXELS = (np.random.default_rng(0).normal(size=(40, 3)) @ [[30, 20, 0, 5], [0, 9, 12, 0], [0, 0, 4, 3]] + 120).astype(
    np.uint8
)


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng([7, i]) for i in range(count)]


def test_order_2_has_mean_and_covariance_of_numpy() -> None:
    drawn = draw_clones(PIXELS, 2, [np.random.default_rng(7)] * 40_000).astype(float)
    expected = np.cov(PIXELS / 255, rowvar=False) + RIDGE * np.eye(4)
    np.testing.assert_allclose(drawn.mean(0), (PIXELS / 255).mean(0), atol=4 * np.sqrt(expected.max() / 40_000))
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), expected, atol=4 * expected.max() * np.sqrt(2 / 40_000))
    assert abs(expected[0, 1]) > 8 * expected.max() * np.sqrt(2 / 40_000)  # so that the check sees what is off diagonal


def test_order_1_has_the_mean_and_the_mean_variance_in_every_direction() -> None:
    drawn = draw_clones(PIXELS, 1, [np.random.default_rng(7)] * 40_000).astype(float)
    variance = (PIXELS / 255).var(axis=0, ddof=1).mean()
    np.testing.assert_allclose(drawn.mean(0), (PIXELS / 255).mean(0), atol=4 * np.sqrt(variance / 40_000))
    bound = 4 * variance * np.sqrt(2 / 40_000)
    np.testing.assert_allclose(np.cov(drawn, rowvar=False), variance * np.eye(4), atol=bound)


def test_arguments_are_checked() -> None:
    with pytest.raises(SalignError, match="order: expected 1 or 2, got 3"):
        draw_clones(PIXELS, 3, generators(1))  # type: ignore[arg-type]
    with pytest.raises(SalignError, match=r"two or more images \(n, D\), got \(1, 4\)"):
        draw_clones(PIXELS[:1], 1, generators(1))


@pytest.mark.parametrize("order", [1, 2])
def test_blocks_change_nothing(order: clone.Order, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw_clones(PIXELS, order, generators(5))
    monkeypatch.setattr(clone, "_BLOCK", 4 * 7)  # seven images at a time
    np.testing.assert_allclose(draw_clones(PIXELS, order, generators(5)), whole, atol=1e-6)
    np.testing.assert_allclose(draw_clones(PIXELS, order, generators(3)), whole[:3], atol=1e-6)


def made(folder: Path, *, grey: bool = False, blank: int = 0) -> Manifest:
    """Nine images of 6 x 4 in two classes, with maps that mark the left half, and one of validation."""
    rng, rows = np.random.default_rng(1), []
    folder.mkdir()
    for i in range(10):
        pixels = rng.integers(0, 256, (6, 4) if grey else (6, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        marks = np.zeros((6, 4), np.uint8)
        marks[:, :2] = 255 if i >= blank else 0
        Image.fromarray(marks).save(folder / f"map{i}.png")
        rows.append((f"i{i}", f"{i}.png", "ab"[i % 3 == 0], "val" if i == 9 else "train", f"map{i}.png", f"s{i}"))
    return Manifest.of(pd.DataFrame(rows, columns=["id", "path", "label", "split", "saliency", "site"]), folder)


def pixels_of(manifest: Manifest) -> list[np.ndarray]:
    return [np.asarray(Image.open(manifest.image_path(i))) for i in range(len(manifest))]


@pytest.mark.parametrize("grey", [True, False])
def test_the_clones_take_the_place_of_the_split(grey: bool, tmp_path: Path) -> None:
    manifest = made(tmp_path / "set", grey=grey)
    done = clone_set(manifest, tmp_path / "out", order=2, seed=3)
    written = Manifest.read(done.manifest)
    assert (done.images, done.unmarked) == (9, 0)
    clones, rest = written.select(["train"]), written.select(["val"])
    assert clones.table["label"].tolist() == ["a"] * 5 + ["b"] * 4
    assert clones.table["saliency"].isna().all()
    assert rest.table[["id", "site"]].values.tolist() == [["i9", "s9"]]
    assert rest.image_path(0).read_bytes() == (tmp_path / "set" / "9.png").read_bytes()
    images = pixels_of(clones)
    assert {image.shape for image in images} == {(6, 4) if grey else (6, 4, 3)}
    members = [np.asarray(Image.open(tmp_path / "set" / f"{i}.png")) for i in range(9) if i % 3]  # of class a
    flat = np.stack(members).reshape(6, -1)
    drawn = draw_clones(flat, 2, [np.random.default_rng([3, 0, i]) for i in range(5)])
    expected = np.rint(np.clip(drawn, 0, 1) * 255).astype(np.uint8)
    assert np.array_equal(np.stack(images[:5]).reshape(5, -1), expected)


def test_equal_seeds_give_equal_files_and_other_seeds_others(tmp_path: Path) -> None:
    manifest = made(tmp_path / "set")
    first, same, other = (
        [
            path.read_bytes()
            for path in sorted(
                (clone_set(manifest, tmp_path / name, order=1, seed=seed).manifest.parent / "images").iterdir()
            )
        ]
        for name, seed in (("one", 3), ("two", 3), ("three", 4))
    )
    assert first == same
    assert all(one != two for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize("region", ["inside", "outside"])
def test_a_part_is_cloned_and_the_rest_is_the_image(region: clone.Region, tmp_path: Path) -> None:
    manifest = made(tmp_path / "set", blank=2)
    table = manifest.table.drop(columns="row")
    manifest = Manifest.of(table.assign(saliency_ann=table["saliency"]), manifest.root)
    done = clone_set(manifest, tmp_path / "out", order=2, seed=3, region=region)
    assert (done.images, done.unmarked) == (7, 2)
    clones = Manifest.read(done.manifest).select(["train"])
    assert set(clones.table["saliency_ann"]) == {f"set/map{i}.png" for i in range(9)}
    table = clones.table.set_index("id")
    columns = ["label", "site"]
    assert table[columns].sort_index().equals(manifest.select(["train"]).table.set_index("id")[columns].sort_index())
    for i, image in enumerate(pixels_of(clones)):
        number = int(clones.image_id(i).removeprefix("i"))
        real = np.asarray(Image.open(tmp_path / "set" / f"{number}.png"))
        source = clones.saliency_path(i)
        assert source is not None
        assert source.resolve() == (tmp_path / "set" / f"map{number}.png").resolve()
        same, other = (slice(2, 4), slice(0, 2)) if region == "inside" else (slice(0, 2), slice(2, 4))
        assert np.array_equal(image[:, same], real[:, same])
        assert np.array_equal(image[:, other], real[:, other]) == (number < 2)


def test_images_and_maps_are_brought_to_a_size(tmp_path: Path) -> None:
    manifest = made(tmp_path / "set")
    table = manifest.table.drop(columns="row")
    manifest = Manifest.of(table.assign(saliency_ann=table["saliency"]), manifest.root)
    Image.new("RGB", (8, 8)).save(tmp_path / "set" / "1.png")
    Image.new("L", (8, 8), 255).save(tmp_path / "set" / "map1.png")
    with pytest.raises(SalignError, match=r"6 x 4 pixels, and the first image has 8 x 8; give the size .*--size 8"):
        clone_set(manifest, tmp_path / "out", order=1, seed=0)
    done = clone_set(manifest, tmp_path / "sized", order=1, seed=0, size=5, region="outside")
    clones = Manifest.read(done.manifest).select(["train"])
    assert {image.shape for image in pixels_of(clones)} == {(5, 5, 3)}
    for column in ("saliency", "saliency_ann"):
        maps = [Image.open(clones.root / cell) for cell in clones.table[column]]
        assert [picture.size for picture in maps] == [(5, 5)] * 9


def test_what_cannot_be_cloned_is_told_before_an_image_is_read(tmp_path: Path) -> None:
    manifest = made(tmp_path / "set")
    table = manifest.table.drop(columns="row")
    alone = Manifest.of(table.assign(label=["c", *table["label"][1:]]), manifest.root)
    with pytest.raises(SalignError, match=r"two images of each class .* too few of c \(1\)"):
        clone_set(alone, tmp_path / "out", order=1, seed=0)
    with pytest.raises(SalignError, match="split train: no image has a map, which says what is inside of it"):
        clone_set(
            Manifest.of(table.assign(saliency=""), manifest.root), tmp_path / "o", order=1, seed=0, region="inside"
        )
    with pytest.raises(SalignError, match="'a;b' joins several labels"):
        clone_set(Manifest.of(table.assign(label="a;b"), manifest.root), tmp_path / "out", order=1, seed=0)
    with pytest.raises(SalignError, match="split: expected train or val"):
        clone_set(manifest, tmp_path / "out", order=1, seed=0, split="test")
    with pytest.raises(SalignError, match="set is not an empty folder"):
        clone_set(manifest, tmp_path / "set", order=1, seed=0)


def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    manifest = made(tmp_path / "set", blank=1).write(tmp_path / "set" / "manifest.csv")
    done = salign("data", "clone", manifest, tmp_path / "out", "--order", 1, "--region", "inside")
    assert "1 images have no map, or a blank one, and stay as they are" in done.out
    written = tmp_path / "out" / "manifest.csv"
    assert done.last == f"wrote 8 clones and {written}: train on it with data.manifest: {written}"
