from __future__ import annotations

import errno
import logging
import os

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from salign.data.manifest import COLUMNS, Manifest
from salign.data.reading import dataset as dataset_module
from salign.data.reading.cache import PixelCache
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import ImageError
from salign.data.reading.transforms import build_transform

SIDE = 32


def pictures(folder) -> Manifest:
    """A photograph that is decoded at half its size, grey, 16 bits, transparent, two that fit; two have maps."""
    draw = np.random.default_rng(0)
    colour = draw.integers(0, 256, (150, 200, 3), dtype=np.uint8)
    Image.fromarray(colour).save(folder / "photo.jpg")
    Image.fromarray(colour[..., 0]).save(folder / "grey.png")
    Image.fromarray(draw.integers(0, 65536, (40, 50), dtype=np.uint16)).save(folder / "deep.png")
    Image.fromarray(draw.integers(0, 256, (40, 50, 4), dtype=np.uint8)).save(folder / "clear.png")
    Image.fromarray(colour[:SIDE, :SIDE]).save(folder / "fits.png")
    Image.fromarray(colour[:SIDE, :SIDE, 0]).save(folder / "grey_fits.png")
    Image.fromarray(colour[..., 1]).save(folder / "photo_map.png")
    Image.fromarray(draw.integers(0, 256, (20, 25), dtype=np.uint8)).save(folder / "deep_map.png")
    names = ["photo.jpg", "grey.png", "deep.png", "clear.png", "fits.png", "grey_fits.png"]
    maps = ["photo_map.png", None, "deep_map.png", None, None, None]
    rows = [(str(i), name, "ab"[i % 2], "train", maps[i]) for i, name in enumerate(names)]
    return Manifest.of(pd.DataFrame(rows, columns=list(COLUMNS)), folder, "m.csv")


def samples(manifest, cache, augment="standard", **options):
    data = SaliencyDataset(manifest, ("a", "b"), build_transform(SIDE, augment), cache=cache, **options)
    return [data[i, 100 + i] for i in range(len(data))]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.saliency, other.saliency)
        assert one.images.stride() == other.images.stride()  # later operations round by the layout


@pytest.fixture
def no_reading(monkeypatch):
    """Call it, and nothing is decoded any more."""

    def fail(*_, **__):
        raise AssertionError("decoded again")

    def stop():
        monkeypatch.setattr(dataset_module, "read_image", fail)
        monkeypatch.setattr(dataset_module, "read_saliency", fail)

    return stop


@pytest.mark.parametrize("augment", ["none", "standard"])
def test_samples_are_the_same_to_the_bit_and_nothing_is_decoded_twice(tmp_path, no_reading, augment):
    manifest, cache = pictures(tmp_path), PixelCache(tmp_path / "cache")
    plain = samples(manifest, None, augment)
    assert_same(samples(manifest, cache, augment), plain)
    assert len(list(cache.folder.glob("*/*"))) == 8  # six pictures, two maps
    no_reading()
    assert_same(samples(manifest, PixelCache(tmp_path / "cache"), augment), plain)


def test_a_changed_picture_or_map_is_read_again(tmp_path):
    manifest, cache = pictures(tmp_path), PixelCache(tmp_path / "cache")
    old = samples(manifest, cache)
    Image.fromarray(np.full((150, 200, 3), 9, np.uint8)).save(tmp_path / "photo.jpg")
    Image.fromarray(np.full((20, 25), 51, np.uint8)).save(tmp_path / "deep_map.png")
    new = samples(manifest, cache, "none")
    assert float(new[0].images.mean()) == pytest.approx(9 / 255, abs=0.01)
    assert float(new[2].saliency.max()) == pytest.approx(0.2)
    assert not torch.equal(old[0].images, new[0].images)
    assert_same(new, samples(manifest, None, "none"))


def test_a_picture_that_was_removed_or_damaged_is_told_as_without_a_cache(tmp_path):
    manifest, cache = pictures(tmp_path), PixelCache(tmp_path / "cache")
    samples(manifest, cache)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(ImageError, match=r"^m\.csv row 2 \(photo\.jpg\): "):
        samples(manifest, cache)
    (tmp_path / "photo.jpg").unlink()
    with pytest.raises(ImageError, match=r"^m\.csv row 2 \(photo\.jpg\): "):
        samples(manifest, cache)


@pytest.mark.parametrize("damage", [b"", b"\0" * 5000, None])
def test_half_of_an_entry_is_made_again(tmp_path, damage, no_reading):
    manifest, cache = pictures(tmp_path), PixelCache(tmp_path / "cache")
    plain = samples(manifest, cache)
    for entry in cache.folder.glob("*/*"):
        entry.write_bytes(entry.read_bytes()[:-3] + b"abc" if damage is None else damage)
    assert_same(samples(manifest, cache), plain)
    no_reading()
    assert_same(samples(manifest, cache), plain)


def test_a_full_disk_is_told_once_and_training_goes_on(tmp_path, monkeypatch, caplog):
    manifest, cache = pictures(tmp_path), PixelCache(tmp_path / "cache")
    plain, replace = samples(manifest, None), os.replace
    written = []

    def full(source, target):
        written.append(target)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr("pathlib.Path.replace", full)
    with caplog.at_level(logging.WARNING, "salign.data"):
        assert_same(samples(manifest, cache), plain)
    assert len(written) == 3
    (message,) = caplog.messages
    assert message.startswith(f"{tmp_path / 'cache'}: No space left on device; images are read without a cache")
    assert len(list(cache.folder.glob("*/*"))) == 2
    assert not list(cache.folder.glob("*/.*"))


def test_another_size_and_a_changed_map_have_nothing_of_an_entry(tmp_path):
    manifest, cache = pictures(tmp_path), PixelCache(tmp_path / "cache")
    samples(manifest, cache)
    larger = SaliencyDataset(manifest, ("a", "b"), build_transform((48, 40)), cache=cache)
    assert torch.equal(larger[0].images, SaliencyDataset(manifest, ("a", "b"), build_transform((48, 40)))[0].images)
    inverted = {"map_change": lambda values, _: 1 - values}
    assert_same(samples(manifest, cache, **inverted), samples(manifest, None, **inverted))


def test_a_map_of_another_shape_that_was_stretched_is_refused_where_it_is_not(tmp_path):
    manifest, cache = pictures(tmp_path), PixelCache(tmp_path / "cache")
    Image.fromarray(np.zeros((30, 20), np.uint8)).save(tmp_path / "deep_map.png")
    assert_same(samples(manifest, cache, stretch_maps=True), samples(manifest, None, stretch_maps=True))
    with pytest.raises(ImageError, match=r"row 4 \(deep_map\.png\): the map is 20 x 30 pixels and the image 50 x 40"):
        samples(manifest, cache)
