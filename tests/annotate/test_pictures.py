"""What is sent of an image, and what the cache keeps."""

from __future__ import annotations

import io
import os
import threading

import numpy as np
import pytest
from PIL import ExifTags, Image

from salign.annotate import pictures
from salign.annotate.pictures import PictureCache, default_window, encode_image, rung


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def smooth_photo(height: int, width: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    values = np.stack([rows * 255 / height, columns * 255 / width, np.full((height, width), 90.0)], 2)
    return Image.fromarray(values.astype(np.uint8))


@pytest.mark.parametrize(
    ("asked", "width", "sent"),
    [(1, 4000, 256), (512, 4000, 512), (513, 4000, 1024), (9000, 6000, 4096), (700, 800, 800)],
)
def test_rungs(asked, width, sent):
    assert rung(asked, width) == sent


def test_images_are_upright_and_without_what_the_camera_noted(tmp_path):
    photo, exif = smooth_photo(300, 400), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Artist] = "Jane Doe"
    photo.save(tmp_path / "a.jpg", exif=exif, quality=95)
    content, media_type = encode_image(tmp_path / "a.jpg", 300, None)
    assert media_type == "image/jpeg"
    sent = opened(content)
    assert sent.size == (300, 400)
    assert not sent.getexif()
    assert b"Jane" not in content
    expected = np.asarray(photo.transpose(Image.Transpose.ROTATE_270), dtype=float)
    assert np.abs(np.asarray(sent, dtype=float) - expected).mean() < 2


def test_small_images_lose_nothing(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    content, media_type = encode_image(tmp_path / "a.png", 64, None)
    assert media_type == "image/png"
    assert np.array_equal(np.asarray(opened(content)), values)


def test_a_window_stretches_the_values_between_low_and_high(tmp_path):
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "a.png")
    content, _ = encode_image(tmp_path / "a.png", 16, (50 / 255, 100 / 255))
    shown = np.asarray(opened(content)).ravel()
    assert shown[:51].max() == 0
    assert shown[100:].min() == 255
    assert int(shown[75]) == pytest.approx(127.5, abs=1)
    assert default_window(tmp_path / "a.png") is None


def test_the_cache_notices_a_changed_file_and_makes_each_version_once(tmp_path, monkeypatch):
    smooth_photo(300, 400).save(tmp_path / "a.png")
    made = []
    real = pictures.encode_image
    monkeypatch.setattr(pictures, "encode_image", lambda *given: made.append(given[1:]) or real(*given))
    cache = PictureCache(tmp_path / "cache")
    threads = [threading.Thread(target=cache.image, args=(tmp_path / "a.png", 300)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = cache.image(tmp_path / "a.png", 290)
    assert made == [(400, None)]
    again = PictureCache(tmp_path / "cache").image(tmp_path / "a.png", 300)
    assert again == first
    assert len(made) == 1, "another process finds it on the disk"
    smooth_photo(300, 390).save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", (1, 1))
    assert cache.image(tmp_path / "a.png", 300).tag != first.tag
    assert len(made) == 2


def sent(cache, path, *given):
    return np.asarray(opened(cache.image(path, 256, *given).content)).tolist()


def test_what_is_sent_is_the_file_as_it_is_now_and_the_window_and_size_asked_for(tmp_path):
    """Raw greys: in files of one length only the time tells which they are; where the time is kept, the length does."""
    path, cache = tmp_path / "a.bmp", PictureCache(tmp_path / "cache")
    dark, light = np.full((8, 300), 60, np.uint8), np.full((8, 300), 150, np.uint8)
    Image.fromarray(dark).save(path)
    os.utime(path, ns=(5, 1_000_000_000))
    assert sent(cache, path) == np.full((7, 256), 60).tolist()
    assert sent(cache, path, (0.0, 120 / 255)) == pytest.approx(np.full((7, 256), 127.5), abs=0.5)
    assert np.shape(opened(cache.image(path, 300).content)) == (8, 300)
    Image.fromarray(light).save(path)
    os.utime(path, ns=(5, 1_000_000_001))
    assert sent(cache, path) == np.full((7, 256), 150).tolist()
    Image.fromarray(dark[:, :256]).save(path)
    os.utime(path, ns=(5, 1_000_000_001))
    assert sent(cache, path) == np.full((8, 256), 60).tolist()
    Image.fromarray(dark[:, :256]).save(tmp_path / "b.bmp")
    Image.fromarray(light[:, :256]).save(path)
    for name in ("a.bmp", "b.bmp"):
        os.utime(tmp_path / name, ns=(5, 5))
    assert [sent(cache, tmp_path / name)[0][0] for name in ("a.bmp", "b.bmp", "a.bmp")] == [150, 60, 150]


def test_a_jpeg_is_decoded_large_enough_for_what_is_sent(tmp_path):
    """Lines a pixel apart at the size sent: decoded at half of it they would be gone."""
    lines = np.zeros((512, 2048, 3), np.uint8)
    lines[:, (np.arange(2048) // 4) % 2 == 0] = 255
    Image.fromarray(lines).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    content, _ = encode_image(tmp_path / "a.jpg", 512, None)
    shown = np.asarray(opened(content).convert("L")).astype(int)
    assert shown.shape == (128, 512)
    assert shown[:, 0::2].mean() > 225
    assert shown[:, 1::2].mean() < 30


def test_memory_and_disk_are_bounded(tmp_path):
    random = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(random.integers(0, 256, (100, 100, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    cache = PictureCache(tmp_path / "cache", memory=100_000, disk=150_000)
    for number in range(12):
        cache.image(tmp_path / f"{number}.png", 256)
        assert cache._bytes <= 100_000
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) <= 150_000
    assert len(list((tmp_path / "cache").iterdir())) >= 3


def test_a_file_that_goes_while_the_cache_sweeps_costs_no_picture(tmp_path, monkeypatch):
    """Others write beside and move into place: what was listed may be gone when it is looked at, or be unfinished."""
    for number in range(2):
        smooth_photo(300, 400 + number).save(tmp_path / f"{number}.png")
    cache = PictureCache(tmp_path / "cache", disk=1)
    begun = tmp_path / "cache" / "ab.1-2"
    begun.write_bytes(b"half")
    listed = pictures.Path.iterdir
    gone = tmp_path / "cache" / "gone.jpeg"
    monkeypatch.setattr("pathlib.Path.iterdir", lambda folder: iter([gone, *listed(folder), gone]))
    for number in range(2):
        assert opened(cache.image(tmp_path / f"{number}.png", 512).content).size == (400 + number, 300)
    assert begun.read_bytes() == b"half", "what another thread is writing stays"
    assert PictureCache(tmp_path / "cache", disk=1).image(tmp_path / "0.png", 512).media_type == "image/jpeg"


def test_a_cache_that_cannot_be_written_still_serves(tmp_path, monkeypatch):
    smooth_photo(300, 400).save(tmp_path / "a.png")
    cache = PictureCache(tmp_path / "cache")
    monkeypatch.setattr("pathlib.Path.write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    assert cache.image(tmp_path / "a.png", 300).media_type == "image/jpeg"
