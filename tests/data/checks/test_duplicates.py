"""Hand-made copies are found, strangers are not, and the search misses nothing that all-with-all finds."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from scipy import ndimage

from references import duplicates as slow
from salign.data.checks.duplicates import Fingerprint, exact_groups, fingerprint, near_pairs


@cache
def scene(seed: int, height: int = 120, width: int = 150) -> Image.Image:
    """A smooth random picture with texture, like a photograph in its spectrum."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    values = sum(ndimage.gaussian_filter(noise, (s, s, 0)) * s**1.2 for s in (1.5, 5, 15))
    low, high = values.min(), values.max()
    return Image.fromarray(((values - low) / (high - low) * 255).astype(np.uint8))


def tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)


def jpeg(picture: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=25)
    return Image.open(stream)


def cropped(picture: Image.Image, share: float) -> Image.Image:
    width, height = picture.size
    return picture.crop((int(width * share), int(height * share), int(width * (1 - share)), int(height * (1 - share))))


COPIES = {
    "jpeg": jpeg,
    "half": lambda p: p.resize((p.width // 2, p.height // 2)),
    "stretched": lambda p: p.resize((p.width, p.width)),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(1.2),
    "darker": lambda p: ImageEnhance.Brightness(p).enhance(0.6),
    "flatter": lambda p: ImageEnhance.Contrast(p).enhance(0.6),
    "grey": lambda p: p.convert("L"),
    "crop 2 %": lambda p: cropped(p, 0.02),
    "crop 3 % and back": lambda p: cropped(p, 0.03).resize(p.size),
    "16 bit": None,
}


def test_a_fingerprint_is_cosine_signs_and_standardised_block_means_of_the_luma():
    """By hand, of pictures of 32 x 32, which are not resized; the middle is compared by the search alone."""
    generator = torch.Generator().manual_seed(0)
    for image in (torch.rand(3, 32, 32, generator=generator) ** 3, tensor(scene(5, 32, 32))):
        pixels = image.numpy().astype(np.float64) / (1 if image.is_floating_point() else 255)
        luma = 0.299 * pixels[0] + 0.587 * pixels[1] + 0.114 * pixels[2]
        waves = [[np.cos(np.pi * f * (2 * i + 1) / 64) for i in range(32)] for f in range(9)]
        signs = [np.sum(luma * np.outer(waves[v], waves[u])) > 0 for v in range(8) for u in range(9)][1:65]
        small = np.array([[luma[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() for x in range(16)] for y in range(16)])
        scaled = 31 * (small - small.mean()) / small.std()
        found = fingerprint(image)
        assert f"{found.codes[0]:064b}" == "".join(str(int(sign)) for sign in signs)
        thumbnail = np.frombuffer(found.thumbnails, np.int8)[:256]
        assert np.abs(thumbnail - np.clip(scaled, -127, 127).ravel()).max() < 0.51
        assert len(found.thumbnails) == 512


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found_and_strangers_are_not(kind):
    originals = [scene(seed) for seed in range(20)]
    images = [tensor(picture) for picture in originals]
    make = COPIES[kind]
    copies = [image.float() / 255 for image in images] if make is None else [tensor(make(p)) for p in originals]
    prints = [fingerprint(image) for image in images + copies]
    found = {(pair.first, pair.second) for pair in near_pairs(prints)}
    expected = {(k, k + 20) for k in range(20)}
    assert found <= expected
    assert len(found) >= 19


def test_the_search_finds_what_all_with_all_finds():
    rng = np.random.default_rng(0)
    prints = []
    for _ in range(60):
        code, other = (int(word) for word in rng.integers(0, 2**63, 2))
        thumbnail = rng.integers(-127, 128, 512)
        for _ in range(5):
            flips = [sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 9), replace=False)) for _ in range(2)]
            noisy = np.clip(thumbnail + rng.normal(0, rng.uniform(0, 30), 512), -127, 127).astype(np.int8)
            prints.append(Fingerprint(rng.bytes(16), (code ^ flips[0], other ^ flips[1]), noisy.tobytes()))
    got = near_pairs(prints)
    expected = slow.near_pairs(prints)
    assert len(expected) > 100
    assert {(pair.first, pair.second) for pair in got} == expected
    assert len(got) == len(expected)
    assert [pair.similarity for pair in got] == sorted((pair.similarity for pair in got), reverse=True)


def test_the_limit_keeps_the_most_similar():
    prints = [fingerprint(tensor(scene(k % 6).rotate(k / 20))) for k in range(30)]
    everything = near_pairs(prints)
    assert len(everything) > 12
    assert [pair.similarity for pair in near_pairs(prints, limit=10)] == [pair.similarity for pair in everything[:10]]


def test_plain_pictures_are_never_near_each_other():
    generator = torch.Generator().manual_seed(0)
    plain = [torch.rand(3, 64, 64, generator=generator) * 0.02 + level for level in torch.linspace(0, 0.9, 50)]
    prints = [fingerprint(image) for image in plain]
    assert all(one.codes is None for one in prints)
    assert near_pairs(prints) == []


def test_equal_pictures_are_grouped_and_are_no_near_pair():
    a, b = tensor(scene(0)), tensor(scene(1))
    prints = [fingerprint(a), None, fingerprint(b), fingerprint(a.clone()), fingerprint(b[:, :, :-1]), fingerprint(a)]
    assert exact_groups(prints) == [(0, 3, 5)]
    assert {(pair.first, pair.second) for pair in near_pairs(prints)} == {(2, 4)}


def test_a_single_changed_pixel_changes_the_digest_only():
    image = tensor(scene(3))
    other = image.clone()
    other[1, 5, 5] ^= 1
    one, two = fingerprint(image), fingerprint(other)
    assert one.digest != two.digest
    assert one.codes == two.codes


def test_a_grey_picture_stored_once_or_thrice_is_the_same():
    grey = torch.from_numpy(np.asarray(scene(4).convert("L")).copy())
    prints = [fingerprint(grey.expand(3, -1, -1)), fingerprint(grey.repeat(3, 1, 1))]
    assert prints[0].digest == prints[1].digest


def test_tiny_pictures_have_a_fingerprint():
    assert fingerprint(torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8).expand(3, 2, 2)).codes is not None


@pytest.mark.slow
def test_real_near_duplicates_are_found(shared_data):
    """Recall on 135 pairs that the keeper of the set grouped; few pairs come on top, and they look alike by eye."""
    import pandas as pd

    from salign.data.reading.image import read_image

    folder = shared_data / "busi_ultrasound"
    table = pd.read_csv(folder / "index.csv")
    prints = [fingerprint(read_image(folder / path)) for path in table["path"]]
    found = {(pair.first, pair.second) for pair in near_pairs(prints)}
    found |= {(a, b) for group in exact_groups(prints) for a in group for b in group if a < b}
    groups = table["group"].tolist()
    wanted = {(a, b) for b in range(len(groups)) for a in range(b) if groups[a] == groups[b]}
    assert len(wanted) == 135
    assert len(wanted & found) >= 132
    assert len(found) <= 220
