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
