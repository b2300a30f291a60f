from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mutations import survive
from salign.annotations.draw import draw_marks
from salign.annotations.formats import annotation_format
from salign.annotations.formats.mask_folder import read_masks
from salign.annotations.formats.notes import Notes
from salign.annotations.formats.stored import MOST_PIXELS, Names
from salign.annotations.resolve import Naming
from salign.annotations.rle import Runs
from salign.annotations.write import Output, write_annotated
from salign.data.manifest import ManifestError
from salign.data.reading.image import read_saliency
from salign.errors import SalignError

MASK = np.zeros((12, 20), dtype=np.uint8)
MASK[3:7, 5:11] = 255
GREY = np.linspace(0, 255, 240).astype(np.uint8).reshape(12, 20)


@pytest.fixture
def save(tmp_path):
    def write(name, values=MASK, **options):
        path = tmp_path / "masks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path, **options)
        return tmp_path / "masks"

    return write


def test_masks_grey_maps_and_blank_ones(save):
    save("a.png")
    save("b.png", GREY)
    save("sub/c.png", (GREY.astype(np.uint16) * 257))
    folder = save("d.png", MASK * 0)
    found = {one.image: one for one in read_masks(folder)}
    assert list(found) == ["a", "b", "d", "sub/c"]
    assert isinstance(found["a"].mask, Runs)
    assert all(one.size == (12, 20) and one.annotator is None for one in found.values())
    np.testing.assert_array_equal(found["a"].mask.decode(), MASK > 0)
    np.testing.assert_allclose(draw_marks([found["b"]], (12, 20)), GREY / 255, atol=1e-6)
    np.testing.assert_allclose(draw_marks([found["sub/c"]], (12, 20)), GREY / 255, atol=1e-6)
    assert found["d"].mask is None


@pytest.mark.parametrize(
    ("pattern", "files", "expected"),
    [
        ("{annotator}/{image}", ["anna/a.png", "ben/x/b.png"], [("a", "anna", None), ("x/b", "ben", None)]),
        ("{image}_{annotator}", ["a_1_anna.png", "x/b_ben.png"], [("a_1", "anna", None), ("x/b", "ben", None)]),
        ("{image}_mask*", ["a (1)_mask.png", "a (1)_mask_1.png"], [("a (1)", None, None)] * 2),
        ("{label}/{image}", ["lesion/a.png"], [("a", None, "lesion")]),
        ("*/{annotator}/{image}.map", ["v1/anna/a.map.png"], [("a", "anna", None)]),
    ],
)
def test_patterns(save, pattern, files, expected):
    for name in files:
        folder = save(name)
    found = read_masks(folder, pattern=pattern)
    assert [(one.image, one.annotator, one.label) for one in found] == expected


def test_class_numbers_are_marked_on_demand_only(save):
    folder = save("a.png", MASK // 255 * 3)
    with pytest.raises(ManifestError, match=r"1\.18% of the full range, as if they were numbers of classes"):
        read_masks(folder)
    (one,) = read_masks(folder, values="nonzero")
    np.testing.assert_array_equal(one.mask.decode(), MASK > 0)


def test_coloured_masks_are_marked_on_demand_only(save):
    colour = np.zeros((12, 20, 3), dtype=np.uint8)
    colour[2:4, 3:8, 2] = 90
    folder = save("a.png", colour)
    with pytest.raises(ManifestError, match="grey, and this one is in colour"):
        read_masks(folder)
    (one,) = read_masks(folder, values="nonzero")
    np.testing.assert_array_equal(one.mask.decode(), colour.any(2))


def test_two_annotators_become_a_manifest(save, tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.repeat(GREY[..., None], 3, 2)).save(tmp_path / "images" / "a.jpg")
    save("anna/a.png", np.roll(MASK, 3, axis=1))
    folder = save("ben/a.png", GREY)
    brought = write_annotated(
        read_masks(folder, pattern="{annotator}/{image}"), tmp_path / "images", Output(combine="mean"),
        naming=Naming(default="x"),
    )  # fmt: skip
    values = read_saliency(brought.manifest.saliency_path(0)).numpy()
    np.testing.assert_allclose(values, (np.roll(MASK, 3, axis=1) / 255 + GREY / 255) / 2, atol=1e-4)
    assert {"saliency_anna", "saliency_ben"} <= set(brought.manifest.table.columns)


def test_faults_come_together(save, tmp_path):
    save("a_anna.png")
    save("b.png")
    folder = save("c_ben.png")
    (folder / "d_ben.png").write_bytes(b"no picture")
    (folder / "e_ben.png").symlink_to("/etc/hostname")
    with pytest.raises(ManifestError) as caught:
        read_masks(folder, pattern="{image}_{annotator}")
    assert [(fault.column, fault.message[:40]) for fault in caught.value.faults] == [
        ("b.png", "expected a name like {image}_{annotator}"),
        ("d_ben.png", "the file is damaged or of another kind; "),
    ]


def test_a_mask_of_too_many_pixels_is_not_decoded(save):
    side = int(MOST_PIXELS**0.5) + 1
    folder = save("a.png", np.zeros((side, side), dtype=np.uint8), compress_level=1)
    with pytest.raises(ManifestError, match="maps up to 25,000,000 pixels"):
        read_masks(folder)


@pytest.mark.parametrize(
    "pattern", ["", "{annotator}", "{image}{image}", "{image}_{who}", "{image", "*" * 30 + "{image}"]
)
def test_what_is_no_pattern(pattern):
    with pytest.raises(SalignError, match="expected a pattern with"):
        Names(pattern)


def test_other_mistakes(tmp_path):
    with pytest.raises(SalignError, match="no such folder"):
        read_masks(tmp_path / "gone")
    with pytest.raises(SalignError, match="found no image"):
        read_masks(tmp_path)
    with pytest.raises(SalignError, match="grey or nonzero"):
        read_masks(tmp_path, values="all")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_masks(tmp_path):
    good = []
    for values, kind in ((MASK, "PNG"), (GREY.astype(np.uint16) * 257, "PNG"), (GREY, "TIFF"), (GREY, "BMP")):
        stream = io.BytesIO()
        Image.fromarray(values).save(stream, kind)
        good.append(stream.getvalue())
    folder = tmp_path / "masks"
    folder.mkdir()

    def check(found):
        (one,) = found
        values = draw_marks(found, one.size)
        assert 0 <= values.min() <= values.max() <= 1

    assert survive(folder / "a.png", good, lambda _: read_masks(folder), check) > 0


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()

    def save(name, values, **options):
        Image.fromarray(values).save(folder / name, **options)
        return folder

    return save


INSIDE = MASK > 0


def masked(folder, **options):
    notes = Notes()
    found = annotation_format("masks").read(folder, notes, **options)
    return {one.image: None if one.mask is None else np.asarray(one.mask.decode()) for one in found}, notes


def test_a_webp_without_loss_needs_no_threshold_and_one_with_loss_does(masks):
    masks("a.webp", np.stack([INSIDE.astype(np.uint8)] * 3, -1), lossless=True, exact=True)
    found, notes = masked(masks("b.webp", np.stack([MASK] * 3, -1), quality=20), values="nonzero")
    assert np.array_equal(found["a"], INSIDE)  # class number 1
    assert np.array_equal(found["b"], INSIDE)
    assert "1 masks are lossy pictures, first b.webp" in notes.remarks[0]


def test_a_threshold_holds_for_every_mask_at_its_own_depth(masks):
    masks("a.png", np.where(INSIDE, 128, 127).astype(np.uint8))
    deep = np.where(INSIDE, 32896, 32639).astype(np.uint16)
    found, notes = masked(masks("b.png", deep), threshold=128 / 255)
    assert np.array_equal(found["a"], INSIDE)
    assert np.array_equal(found["b"], INSIDE)
    assert notes.remarks == []


@pytest.mark.parametrize("threshold", [0.0, -0.5, 1.5, float("nan")])
def test_a_threshold_is_a_share(threshold, masks):
    with pytest.raises(SalignError, match="expected a threshold above 0 and up to 1"):
        masked(masks("a.png", MASK), threshold=threshold)


def test_a_faulty_mask_is_left_out_and_the_others_are_read(masks):
    folder = masks("a.png", MASK)
    masks("numbers.png", INSIDE.astype(np.uint8))
    masks("red.png", np.stack([MASK, MASK * 0, MASK * 0], -1))
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:60])
    found, notes = masked(folder)
    assert list(found) == ["a"]
    assert sorted(fault.column for fault in notes.faults) == ["cut.png", "numbers.png", "red.png"]
