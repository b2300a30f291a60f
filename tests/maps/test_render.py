"""The colour map against matplotlib's, the overlay against its formula, pixel by pixel."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image

from salign.errors import SalignError
from salign.maps.render import heat, overlay, png_data_uri, thumbnail, to_picture


def test_heat_stays_within_six_levels_of_plasma():
    ours = heat(torch.linspace(0, 1, 256)[None]).numpy()[0].astype(int)
    theirs = (colormaps["plasma"](np.arange(256))[:, :3] * 255).round().astype(int)
    assert np.abs(ours - theirs).max() <= 6


def test_heat_grows_ever_lighter():
    colours = heat(torch.linspace(0, 1, 256)[None])[0].double() / 255
    linear = torch.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance = linear @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
    assert (luminance[8:] - luminance[:-8]).min() > 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1, 2.0])
def test_heat_refuses_what_is_not_in_the_unit_range(bad):
    with pytest.raises(SalignError, match=r"values from 0 to 1, got .*; scale the map first"):
        heat(torch.tensor([[0.5, bad]]))


def test_heat_refuses_a_stack_and_an_integer_map():
    with pytest.raises(SalignError, match=r"\(2, 3, 3\)"):
        heat(torch.zeros(2, 3, 3))
    with pytest.raises(SalignError, match="uint8"):
        heat(torch.zeros(3, 3, dtype=torch.uint8))


def test_overlay_mixes_image_and_colour_by_the_value():
    image = torch.randint(0, 256, (3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    values = torch.full((6, 5), 0.4)
    got = np.asarray(overlay(image, values)).astype(float)
    share = 0.55 * 0.4
    expected = (1 - share) * image.permute(1, 2, 0).numpy() + share * heat(values).numpy()
    assert np.abs(got - expected).max() <= 0.5 + 1e-3


def test_overlay_of_a_blank_map_is_the_image():
    image = torch.rand(3, 9, 7, generator=torch.Generator().manual_seed(1))
    assert np.array_equal(np.asarray(overlay(image, torch.zeros(3, 2))), np.asarray(to_picture(image)))


def test_overlay_changes_nothing_away_from_the_mark_and_outlines_it():
    image = torch.full((3, 20, 20), 0.5)
    values = torch.zeros(20, 20)
    values[8:12, 8:12] = 1
    changed = (np.asarray(overlay(image, values)) != np.asarray(to_picture(image))).any(-1)
    expected = np.zeros((20, 20), dtype=bool)
    expected[7:13, 8:12] = True
    expected[8:12, 7:13] = True
    assert np.array_equal(changed, expected)


def test_overlay_fits_a_coarse_map_to_the_image():
    picture = overlay(torch.zeros(3, 28, 21), torch.tensor([[0.0, 1.0]]))
    assert picture.size == (21, 28)
    left, right = np.asarray(picture)[:, 0].sum(), np.asarray(picture)[:, -1].sum()
    assert left == 0 < right


def test_overlay_refuses_a_grey_image():
    with pytest.raises(SalignError, match=r"\(3, H, W\)"):
        overlay(torch.zeros(8, 8), torch.zeros(8, 8))


def test_png_data_uri_gives_the_pixels_back():
    pixels = np.random.default_rng(0).integers(0, 256, (11, 13, 3), dtype=np.uint8)
    head, body = png_data_uri(Image.fromarray(pixels)).split(",")
    assert head == "data:image/png;base64"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))), pixels)


def test_thumbnail_keeps_the_shape_and_never_enlarges():
    assert thumbnail(Image.new("RGB", (400, 100)), 200).size == (200, 50)
    assert thumbnail(Image.new("RGB", (1000, 1)), 100).size == (100, 1)
    assert thumbnail(Image.new("RGB", (40, 10)), 200).size == (40, 10)
