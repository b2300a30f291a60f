from __future__ import annotations

import io
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from salign.data.reading import image as module
from salign.data.reading.image import ImageError, image_size, read_image, read_saliency
from tool_files import write_dicom

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (6, 5), dtype=np.uint16)
COLOUR = RNG.integers(0, 256, (6, 5, 3), dtype=np.uint8)


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def smooth(height, width):
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (40 + 9 * k) + k) + np.cos(y / (50 - 7 * k)) for k in range(3)]
    return np.stack([np.clip(127 + 50 * wave, 0, 255) for wave in waves], -1).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp"])
def test_colour_is_read_exactly(tmp_path, suffix):
    path = saved(tmp_path / f"a.{suffix}", COLOUR, **({"lossless": True} if suffix == "webp" else {}))
    assert torch.equal(read_image(path), torch.from_numpy(COLOUR).permute(2, 0, 1))
    assert image_size(path) == (6, 5)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_grey_is_read_exactly_into_three_channels(tmp_path, suffix):
    path = saved(tmp_path / f"a.{suffix}", GREY)
    assert torch.equal(read_image(path), torch.from_numpy(GREY).expand(3, -1, -1))
    torch.testing.assert_close(read_saliency(path), torch.from_numpy(GREY / np.float32(255)))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_keep_their_depth(tmp_path, suffix):
    path = saved(tmp_path / f"a.{suffix}", DEEP)
    expected = torch.from_numpy(DEEP.astype(np.float32) / 65535)
    torch.testing.assert_close(read_image(path), expected.expand(3, -1, -1), rtol=0, atol=1e-7)
    torch.testing.assert_close(read_saliency(path), expected, rtol=0, atol=1e-7)


def tiff(path, bits, photometric, data):
    """A TIFF of 2 x 2 grey pixels, which Pillow does not write at 12 bits or with a white 0."""
    tags = [(256, 3, 2), (257, 3, 2), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 122)]
    tags += [(277, 3, 1), (278, 3, 2), (279, 4, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + data)
    return path


@pytest.mark.parametrize(
    ("bits", "photometric", "data", "shares"),
    [
        (12, 1, bytes([0xFF, 0xFF, 0xFF, 0x00, 0x0F, 0xFF]), [[1, 1], [0, 1]]),
        (16, 1, struct.pack("<4H", 0, 65535, 13107, 65535), [[0, 1], [0.2, 1]]),
        (16, 0, struct.pack("<4H", 0, 65535, 13107, 65535), [[1, 0], [0.8, 0]]),
        (8, 0, bytes([0, 255, 51, 255]), [[1, 0], [0.8, 0]]),
    ],
)
def test_a_tiff_says_how_many_bits_it_has_and_which_end_is_white(tmp_path, bits, photometric, data, shares):
    values = read_saliency(tiff(tmp_path / "x.tif", bits, photometric, data))
    torch.testing.assert_close(values, torch.tensor(shares, dtype=torch.float32))


def test_a_dim_map_is_not_stretched(tmp_path):
    values = read_saliency(saved(tmp_path / "a.png", np.full((3, 3), 51, np.uint8)))
    torch.testing.assert_close(values, torch.full((3, 3), 0.2))


def test_black_and_white_and_palette(tmp_path):
    bits = GREY > 127
    Image.fromarray(bits).save(tmp_path / "one_bit.png")
    assert torch.equal(read_saliency(tmp_path / "one_bit.png"), torch.from_numpy(bits).float())
    Image.fromarray(COLOUR).quantize(32).save(tmp_path / "palette.png")
    assert torch.equal(read_image(tmp_path / "palette.png"), torch.from_numpy(COLOUR).permute(2, 0, 1))


def test_transparency_is_composited_on_black(tmp_path):
    rgba = np.dstack([np.full((4, 4, 3), 200, np.uint8), np.full((4, 4), 255, np.uint8)])
    rgba[0, 0, 3], rgba[1, 1, 3] = 0, 128
    pixels = read_image(saved(tmp_path / "a.png", rgba))
    assert pixels[:, 0, 0].tolist() == [0, 0, 0]
    assert pixels[:, 1, 1].float().sub(100).abs().max() <= 1
    assert pixels[:, 2, 2].tolist() == [200, 200, 200]
    palette = Image.fromarray(np.array([[0, 1], [1, 1]], np.uint8), "P")
    palette.putpalette([255, 255, 255, 10, 20, 30])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "p.png")[:, 0].tolist() == [[0, 10], [0, 20], [0, 30]]


def test_cmyk_is_converted(tmp_path):
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp"])
@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_every_orientation_is_undone(tmp_path, suffix, orientation):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = 255  # top left
    undo = {2: "fh", 3: "rr", 4: "fv", 5: "t", 6: "l", 7: "tt", 8: "r"}.get(orientation, "")
    stored = {
        "": lambda a: a,
        "fh": lambda a: a[:, ::-1],
        "rr": lambda a: a[::-1, ::-1],
        "fv": lambda a: a[::-1],
        "t": lambda a: a.transpose(1, 0, 2),
        "tt": lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        "l": lambda a: np.rot90(a, 1),
        "r": lambda a: np.rot90(a, -1),
    }[undo](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / f"a.{suffix}", np.ascontiguousarray(stored), exif=exif)
    pixels = read_image(path)
    assert image_size(path) == tuple(pixels.shape[-2:]) == (32, 48)
    difference = pixels.float() - torch.from_numpy(upright).permute(2, 0, 1)
    assert difference.abs().mean() < 4  # compression


def test_a_reduced_jpeg_is_close_to_the_full_one_and_never_too_small(tmp_path):
    path = saved(tmp_path / "a.jpg", smooth(1200, 1600), quality=95)
    full, reduced = read_image(path), read_image(path, at_least=(300, 400))
    assert tuple(reduced.shape) == (3, 300, 400)
    assert tuple(read_image(path, at_least=(301, 400)).shape) == (3, 600, 800)
    assert tuple(read_image(path, at_least=(5000, 5000)).shape) == (3, 1200, 1600)
    means = full.float().unflatten(1, (300, 4)).unflatten(3, (400, 4)).mean((2, 4))
    assert (reduced.float() - means).abs().mean() < 1
    assert image_size(path) == (1200, 1600)


def test_reducing_knows_about_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.jpg", smooth(400, 1600), exif=exif)
    assert tuple(read_image(path, at_least=(800, 200)).shape) == (3, 800, 200)


def test_float_tiff_in_range_is_read_and_anything_else_refused(tmp_path):
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    path = saved(tmp_path / "a.tif", values)
    assert torch.equal(read_saliency(path), torch.from_numpy(values))
    assert torch.equal(read_image(path), torch.from_numpy(values).expand(3, -1, -1))
    for bad, complaint in ((np.nan, "1 of 12 pixels are NaN"), (np.inf, "NaN or infinite"), (1.5, "0 to 1.5")):
        broken = values.copy()
        broken[0, 0], broken[0, 1] = bad, 0
        saved(path, broken)
        for reader in (read_image, read_saliency):
            with pytest.raises(ImageError, match=rf"m\.csv row 3 \(a\.tif\).*{complaint}"):
                reader(path, where="m.csv row 3 (a.tif)")


def test_a_coloured_map_is_refused_and_grey_in_colour_is_taken(tmp_path):
    with pytest.raises(ImageError, match="in colour"):
        read_saliency(saved(tmp_path / "a.png", COLOUR))
    path = saved(tmp_path / "b.jpg", np.repeat(GREY[..., None], 3, 2), quality=100, subsampling=0)
    torch.testing.assert_close(read_saliency(path), torch.from_numpy(GREY / np.float32(255)), rtol=0, atol=0.03)


def test_integers_without_a_known_white_are_refused(tmp_path):
    with pytest.raises(ImageError, match="no agreed white"):
        read_image(saved(tmp_path / "a.tif", np.array([[0, 70000], [5, 6]], np.int32)))


def test_several_pages_are_refused(tmp_path):
    pages = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ImageError, match="2 pages"):
        read_image(tmp_path / "a.tif")


def png_claiming(height, width):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def jpeg():
    buffer = io.BytesIO()
    Image.fromarray(smooth(64, 64)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("reader", [read_image, read_saliency, image_size])
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"no picture at all", "damaged or of another kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "damaged or of another kind"),
        (jpeg()[:20], "damaged|cannot be read"),
        (png_claiming(1, 1), "1 x 1 pixels; expected at least 2 x 2"),
        (png_claiming(50, 1), "1 x 50 pixels"),
        (png_claiming(10_000, 10_000), "decompression bomb"),
        (png_claiming(60_000, 60_000), "decompression bomb"),
    ],
)
def test_damaged_tiny_and_huge_files_give_one_clear_error(tmp_path, reader, content, complaint):
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=rf"^m\.csv row 9 \(x\.png\): .*({complaint})"):
        reader(path, where="m.csv row 9 (x.png)")


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_truncated_jpeg_is_refused(tmp_path, keep):
    data = jpeg()
    path = tmp_path / "x.jpg"
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ImageError, match=r"(?i)row 9 .*(truncated|damaged)"):
        read_image(path, where="m.csv row 9 (x.jpg)")


@pytest.mark.parametrize("reader", [read_image, read_saliency, image_size])
@pytest.mark.parametrize("name", ["gone.png", "gone.dcm"])
def test_a_missing_file_is_named(tmp_path, reader, name):
    with pytest.raises(ImageError, match=f"row 2.*no such file.*{name}"):
        reader(tmp_path / name, where="m.csv row 2")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "bmp", "webp", "dcm"])
def test_random_damage_is_read_or_refused_but_never_escapes(tmp_path, suffix):
    rng = np.random.default_rng(7)
    path = tmp_path / f"x.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    if suffix == "dcm":
        write_dicom(path, np.arange(64, dtype=np.uint16).reshape(8, 8))
    else:
        saved(path, smooth(16, 16), **({} if suffix == "bmp" else {"exif": exif}))
    data, refusals = path.read_bytes(), []
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 12)):
            broken[place] = rng.integers(256)
        path.write_bytes(broken[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else broken)
        try:
            pixels = read_image(path)
        except ImageError as error:
            refusals.append(str(error))
        else:
            assert pixels.dtype in (torch.uint8, torch.float32)
    assert len(refusals) > 5
    assert all(refusal.startswith(f"{path}: ") and len(refusal) > len(str(path)) + 5 for refusal in refusals)


RAMP = np.linspace(0, 4095, 12).astype(np.uint16).reshape(3, 4)


def test_dicom_without_a_window_spans_its_stored_bits(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    torch.testing.assert_close(read_image(path)[0], torch.from_numpy(RAMP / np.float32(4095)))
    assert image_size(path) == (3, 4)
    path.rename(tmp_path / "no_suffix")
    assert tuple(read_image(tmp_path / "no_suffix").shape) == (3, 3, 4)


def test_dicom_window_and_rescaling_are_applied(tmp_path):
    path = write_dicom(
        tmp_path / "a.dcm", RAMP, WindowCenter=1000, WindowWidth=1001, RescaleSlope=2, RescaleIntercept=-1000
    )
    values = RAMP * 2.0 - 1000
    expected = np.clip((values - 999.5) / 1000 + 0.5, 0, 1)  # PS3.3 C.11.2.1.2.1
    np.testing.assert_allclose(read_image(path)[1].numpy(), expected, atol=1e-6)
    assert 0 < ((expected > 0) & (expected < 1)).sum() < 12


def test_monochrome1_is_inverted_and_signed_pixels_are_read(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", RAMP, "MONOCHROME1")
    torch.testing.assert_close(read_image(path)[0], 1 - torch.from_numpy(RAMP / np.float32(4095)))
    signed = (RAMP.astype(np.int16) - 2048).astype(np.int16)
    path = write_dicom(tmp_path / "b.dcm", signed)
    torch.testing.assert_close(read_image(path)[0], torch.from_numpy(RAMP / np.float32(4095)))


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": 2},
        {"RescaleIntercept": -1000},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": 2, "RescaleIntercept": None},
        {"WindowWidth": 100},
        {"WindowCenter": None, "WindowWidth": 100},
    ],
    ids=str,
)
def test_a_dicom_tag_without_its_other_half_says_nothing(tmp_path, tags):
    """../shared/cases/dicom_rescale: as pydicom's apply_modality_lut, both or neither."""
    path = write_dicom(tmp_path / "a.dcm", RAMP, **tags)
    torch.testing.assert_close(read_image(path)[0], torch.from_numpy(RAMP / np.float32(4095)))


def test_a_dicom_window_without_rescaling_cuts_the_stored_values(tmp_path):
    expected = np.clip((RAMP - 999.5) / 999 + 0.5, 0, 1)
    for rescale in ({}, {"RescaleSlope": None, "RescaleIntercept": None}, {"RescaleIntercept": -1000}):
        path = write_dicom(tmp_path / "a.dcm", RAMP, WindowCenter=1000, WindowWidth=1000, **rescale)
        np.testing.assert_allclose(read_image(path)[0].numpy(), expected, atol=1e-6)


def test_a_voi_table_without_entries_leaves_the_window(tmp_path):
    from pydicom.dataset import Dataset

    window = {"WindowCenter": 1000, "WindowWidth": 1000}
    path = write_dicom(tmp_path / "a.dcm", RAMP, VOILUTSequence=[Dataset()], **window)
    np.testing.assert_allclose(read_image(path)[0].numpy(), np.clip((RAMP - 999.5) / 999 + 0.5, 0, 1), atol=1e-6)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": -2047, "WindowWidth": 4096}], ids=["plain", "window"])
def test_a_falling_slope_turns_the_picture_once(tmp_path, window):
    path = write_dicom(tmp_path / "a.dcm", RAMP, RescaleSlope=-1, RescaleIntercept=0, **window)
    np.testing.assert_allclose(read_image(path)[0].numpy(), 1 - RAMP / 4095, atol=1e-3)


@pytest.mark.parametrize("slope", [0, float("nan"), float("inf")])
def test_a_dicom_that_gives_no_picture_is_refused_with_its_file(tmp_path, slope):
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    import pydicom

    dataset = pydicom.dcmread(path)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, 0
    dataset.save_as(path)
    with pytest.raises(ImageError, match=r"manifest row 3.*RescaleSlope"):
        read_image(path, where="manifest row 3")


def test_colour_dicom_is_read_and_other_kinds_are_refused(tmp_path):
    colour = RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    path = write_dicom(tmp_path / "a.dcm", colour, "RGB", bits=8)
    assert torch.equal(read_image(path), torch.from_numpy(colour).permute(2, 0, 1))
    with pytest.raises(ImageError, match="PALETTE COLOR"):
        read_image(write_dicom(tmp_path / "b.dcm", RAMP, "PALETTE COLOR"))
    with pytest.raises(ImageError, match="3 frames"):
        read_image(write_dicom(tmp_path / "c.dcm", RAMP, NumberOfFrames=3))
    with pytest.raises(ImageError, match="decompression bomb"):
        read_image(write_dicom(tmp_path / "d.dcm", RAMP, Rows=60000, Columns=60000))
    (tmp_path / "e.dcm").write_bytes(b"nothing of the kind" * 20)
    with pytest.raises(ImageError, match="not a DICOM file"):
        read_image(tmp_path / "e.dcm")


def test_without_pydicom_the_extra_is_named(tmp_path, monkeypatch):
    path = write_dicom(tmp_path / "a.dcm", RAMP)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageError, match=r"row 4.*pip install -e .*dicom"):
        read_image(path, where="m.csv row 4")


def test_real_images_are_read_as_pillow_reads_them(shared_data):
    for name in ("busi_ultrasound", "cxr_pneumonia"):
        for path in sorted((shared_data / name / "images").iterdir())[:10]:
            expected = np.asarray(Image.open(path).convert("RGB"))
            assert torch.equal(read_image(path), torch.from_numpy(expected.copy()).permute(2, 0, 1))
            assert image_size(path) == expected.shape[:2]
    masks = sorted((shared_data / "busi_ultrasound" / "masks").iterdir())[:10]
    assert {float(v) for path in masks for v in read_saliency(path).unique()} == {0.0, 1.0}


def test_the_limit_on_pixels_is_pillows_own():
    assert module.MAX_PIXELS == Image.MAX_IMAGE_PIXELS
