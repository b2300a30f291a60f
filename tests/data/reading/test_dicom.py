"""Damaged and hostile DICOM files: a picture or one clear error, within bounded memory, and no tag is waited for."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from mutations import survive
from salign.data.reading.image import ImageError, image_size, read_image
from tool_files import write_dicom

GREY = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)


def dicom(path, syntax=None, pixels=GREY, photometric="MONOCHROME2", data=None, **tags):
    """The bytes of a picture in some transfer syntax."""
    bits = 12 if pixels.dtype.itemsize == 2 else 8
    return write_dicom(path, pixels, photometric, bits, syntax, data, **tags).read_bytes()


def table():
    """A VOI lookup table."""
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [16, 0, 8], list(range(0, 256, 16))
    item.add_new(0x00283002, "US", [16, 0, 8])
    item.add_new(0x00283006, "US", list(range(0, 256, 16)))
    return Sequence([item])


def encoded(kind):
    stream = io.BytesIO()
    Image.fromarray((GREY // 16).astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def samples(tmp_path):
    """Good files in all the forms that are read: how numbers are written, packed and looked up."""
    path, eight = tmp_path / "good.dcm", (GREY // 16).astype(np.uint8)
    window = {"WindowCenter": 1000, "WindowWidth": 1001, "RescaleSlope": 2, "RescaleIntercept": -1000}
    return [
        dicom(path, **window),
        dicom(path, ImplicitVRLittleEndian, photometric="MONOCHROME1", VOILUTSequence=table()),
        dicom(path, ExplicitVRBigEndian, pixels=GREY.byteswap()),
        dicom(path, DeflatedExplicitVRLittleEndian, **window),
        dicom(path, RLELossless),
        dicom(path, JPEGBaseline8Bit, eight, data=encoded("JPEG")),
        dicom(path, JPEG2000Lossless, eight, data=encoded("JPEG2000")),
        dicom(path, pixels=np.stack([eight] * 3, -1), photometric="RGB"),
        dicom(path, pixels=GREY.astype(np.int16) // 2 - 1000, **window),
    ]


def test_the_samples_are_read(samples, tmp_path):
    """Each is a ramp, so that whatever damage is read afterwards was done to a picture that is one."""
    for number, content in enumerate(samples):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(content)
        values = read_image(path)[0].float().flatten()
        assert image_size(path) == (8, 8)
        assert values[0] != values[-1], number


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("read", [read_image, image_size])
def test_mutated(read, samples, tmp_path):
    def check(found):
        if read is read_image:
            assert found[0].dim() == 3
            assert found[0].shape[0] == 3
            assert bool(found[0].float().isfinite().all())

    valid = survive(tmp_path / "it.dcm", samples, lambda path: [read(path)], check)
    assert valid > 0


def test_a_deflated_bomb_is_not_unpacked(tmp_path):
    """A quarter of a megabyte that becomes 210: pydicom unpacks it in one piece, whatever it becomes."""
    path = tmp_path / "it.dcm"
    whole = dicom(path, DeflatedExplicitVRLittleEndian)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = pydicom.filereader.read_file_meta_info(path).FileMetaInformationGroupLength + 144
    assert zlib.decompress(whole[start:], -zlib.MAX_WBITS)[:2] == b"\x08\x00"
    zeros = bytes(2**22)
    content = b"".join(packer.compress(zeros) for _ in range(50)) + packer.flush()
    assert len(content) < 250_000
    path.write_bytes(whole[:start] + content)
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match=r"it\.dcm: cannot be read: it is deflated, and more than"):
            read(path)


def test_jpeg_2000_with_a_box_of_no_length_is_not_read_for_ever(samples, tmp_path):
    """Before the box with the pixels, where the library looks for the next box without ever going on."""
    path, whole = tmp_path / "it.dcm", samples[6]

    def without_length(name):
        place = whole.index(name) - 4
        path.write_bytes(whole[:place] + bytes(4) + whole[place + 4 :])
        return path

    with pytest.raises(ImageError, match="its JPEG 2000 data are damaged: a box in them has no length"):
        read_image(without_length(b"jp2h"))
    left = read_image(without_length(b"jp2c"))[0]  # the last box may go to the end of the file
    assert left.tolist() == (torch.from_numpy(GREY // 16) / 255).tolist()


@pytest.mark.parametrize(
    ("pixels", "photometric", "samples", "rows", "wrong"),
    [
        (GREY, "MONOCHROME2", 3, 2, r"\(2, 8\), got \(2, 8, 3\)"),
        (np.stack([GREY.astype(np.uint8)] * 3, -1), "RGB", 1, 24, r"\(24, 8, 3\), got \(24, 8\)"),
    ],
)
def test_tags_that_contradict_each_other(pixels, photometric, samples, rows, wrong, tmp_path):
    """Grey with three values a pixel, colour with one, with as many bytes as that takes."""
    tags = {"SamplesPerPixel": samples, "PlanarConfiguration": 0, "Rows": rows}
    dicom(tmp_path / "it.dcm", pixels=pixels, photometric=photometric, **tags)
    with pytest.raises(ImageError, match=rf"its tags contradict each other: expected values of shape {wrong}"):
        read_image(tmp_path / "it.dcm")


def test_sequences_in_sequences_without_an_end(tmp_path):
    path = tmp_path / "it.dcm"
    whole = dicom(path, ImplicitVRLittleEndian)
    start = pydicom.filereader.read_file_meta_info(path).FileMetaInformationGroupLength + 144
    nested = (b"\x08\x00\x40\x11\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 5000
    path.write_bytes(whole[:start] + nested)
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match=r"it\.dcm: cannot be read"):
            read(path)


# ---- medical: pictures in DICOM

FOUR = np.array([[0, 1000], [2000, 4095]], np.uint16)
COLOUR = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
TWELVE = [0, 1000 / 4095, 2000 / 4095, 1]

PICTURES = {
    "D1 twelve of sixteen bits are the full range": (FOUR, {}, TWELVE),
    "D2 of two windows the first counts": (FOUR, {"WindowCenter": [2048, 99], "WindowWidth": [4096, 10]}, TWELVE),
    "D3 a window of one value is a threshold": (FOUR, {"WindowCenter": 1000, "WindowWidth": 1}, [0, 1, 1, 1]),
    "D4 one frame that says it is one": (FOUR, {"NumberOfFrames": 1}, TWELVE),
    "D5 a value for padding is a value": (FOUR, {"PixelPaddingValue": 0}, TWELVE),
    "D6 bits above those that are stored are none of the picture": (FOUR | np.uint16(0x8000), {}, TWELVE),
    "D7 a window by the sigmoid": (
        FOUR, {"WindowCenter": 2048, "WindowWidth": 4096, "VOILUTFunction": "SIGMOID"},
        [1 / (1 + np.exp(-4 * (value - 2048) / 4096)) for value in (0, 1000, 2000, 4095)],
    ),
    "D8 Hounsfield units stored with an offset": (
        np.array([[24, 1024], [1064, 1424]], np.uint16),
        {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400},
        [0, (0 - 39.5) / 399 + 0.5, (40 - 39.5) / 399 + 0.5, 1],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_dicom_is_read_as_a_reader_shows_it(name, tmp_path):
    pixels, tags, expected = PICTURES[name]
    values = read_image(write_dicom(tmp_path / "a.dcm", pixels, bits=12, **tags))
    assert values.numpy()[0].ravel() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(("planar", "expected"), [(0, COLOUR), (1, COLOUR.reshape(3, 2, 2).transpose(1, 2, 0))])
def test_dicom_d9_colour_by_pixel_and_by_plane(planar, expected, tmp_path):
    path = write_dicom(tmp_path / "a.dcm", COLOUR, "RGB", bits=8, PlanarConfiguration=planar)
    assert np.array_equal(read_image(path).numpy(), expected.transpose(2, 0, 1))


def test_dicom_d10_an_ending_that_lies_does_no_harm_one_way_and_is_told_the_other(tmp_path):
    path = write_dicom(tmp_path / "a.png", FOUR, bits=12)
    assert read_image(path).numpy()[0].ravel() == pytest.approx(TWELVE, abs=1e-6)
    Image.new("L", (3, 4), 7).save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.dcm")
    with pytest.raises(ImageError, match=r"b\.dcm: .*it is not a DICOM file, or damaged"):
        read_image(tmp_path / "b.dcm")


NO_PICTURES = {
    "D11 a window without width": ({"WindowCenter": 10, "WindowWidth": 0}, slice(None), "Window Width must be"),
    "D12 without its preamble": ({}, slice(132, None), "it is not a DICOM file, or damaged"),
    "D13 pixels that are cut off": ({}, slice(None, -3), "less than expected"),
    "D14 a palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, slice(None), "PALETTE COLOR is not supported"),
    "D15 no photometric interpretation": ({"PhotometricInterpretation": ""}, slice(None), r"\(none\) is not supported"),
    "D16 several frames": ({"NumberOfFrames": 2}, slice(None), "it holds 2 frames; save the one you mean"),
}


@pytest.mark.parametrize("name", NO_PICTURES)
def test_dicom_without_a_picture_is_refused_with_its_file(name, tmp_path):
    tags, part, message = NO_PICTURES[name]
    path = write_dicom(tmp_path / "a.dcm", FOUR, bits=12, **tags)
    path.write_bytes(path.read_bytes()[part])
    with pytest.raises(ImageError, match=rf"a\.dcm: .*{message}"):
        read_image(path)
