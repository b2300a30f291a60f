"""The gallery says what it shows, keeps images to the pixel, and holds nothing that runs but its own script."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from salign.maps.render import heat
from salign.pages.gallery import PICTURE_SIDE, Answer, Gallery, Item, encode_map, write_human_map, write_picture
from salign.pages.sheet import Section, write_sheet

NASTY = "</script><script>alert('x')</script> & \"quoted\""


def decoded(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_whatever_a_name_holds_stays_text(tmp_path: Path) -> None:
    item = Item(NASTY, NASTY, NASTY, NASTY, 1.0, NASTY, [Answer(NASTY, 0.5, "", note=NASTY)], NASTY, {NASTY: NASTY})
    page = write_sheet(tmp_path / "p.html", "t", [Section("s", [Gallery(NASTY, [item], [NASTY])])]).read_text("utf-8")
    assert NASTY not in page
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)
    content = json.loads(data)
    assert content["runs"] == [NASTY]
    assert content["items"][0]["groups"] == {NASTY: NASTY}
    assert content["items"][0]["answers"][0]["predicted"] == NASTY
    assert page.count("<script>") == 1  # the page's own


def test_a_map_is_scaled_to_the_full_range_and_large_ones_are_averaged() -> None:
    small = decoded(encode_map(torch.tensor([[-4.0, 0.0], [2.0, 8.0]])))
    assert small.tolist() == [[0, 85], [128, 255]]  # (v + 4) / 12
    assert decoded(encode_map(torch.ones(3, 5))).tolist() == np.zeros((3, 5)).tolist()
    large = torch.zeros(112, 56)
    large[:56] = 1
    found = decoded(encode_map(large))
    assert found.shape == (56, 28)
    assert (found[:28] == 255).all()
    assert (found[28:] == 0).all()


def test_pictures_keep_their_own_size(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    small = torch.randint(0, 256, (3, 30, 60), dtype=torch.uint8, generator=generator)
    assert write_picture(tmp_path, "a", small) == "images/a.png"
    assert np.array_equal(np.asarray(Image.open(tmp_path / "images/a.png")), small.permute(1, 2, 0).numpy())
    plain = torch.full((3, 400, 300), 0.5)
    assert write_picture(tmp_path, "b", plain) == "images/b.jpg"
    read = np.asarray(Image.open(tmp_path / "images/b.jpg"))
    assert read.shape == (400, 300, 3)
    assert np.abs(read.astype(int) - 128).max() <= 1
    write_picture(tmp_path, "c", torch.zeros(3, 8, 2 * PICTURE_SIDE, dtype=torch.uint8))
    assert Image.open(tmp_path / "images/c.png").size == (PICTURE_SIDE, 4)
    assert write_human_map(tmp_path, "a", torch.tensor([[0.0, 0.25], [0.5, 0.0]])) == "maps/a.png"
    assert np.asarray(Image.open(tmp_path / "maps/a.png")).tolist() == [[0, 128], [255, 0]]


def test_the_colours_of_the_page_are_those_of_the_library() -> None:
    red, green, blue = ([float(value) for value in channel.split()] for channel in Gallery("", [], []).heat)
    expected = heat(torch.linspace(0, 1, len(red))[None])[0].numpy() / 255
    np.testing.assert_allclose(np.stack([red, green, blue], 1), expected, atol=1e-4)


@pytest.fixture
def shown(tmp_path: Path, browser):
    """A gallery of three images of two runs in Chromium."""
    cell = encode_map(torch.tensor([[0.0, 1.0]]))
    sites = {"a1": {}, "a2": {"site": "a"}, "b3": {"site": "b"}}

    def item(name: str, label: str | None, *answers: tuple[str, float, float | None], human: bool = True) -> Item:
        image = write_picture(tmp_path, name, torch.zeros(3, 20, 30, dtype=torch.uint8))
        marks = write_human_map(tmp_path, name, torch.eye(20)) if human else None
        made = [Answer(predicted, sure, cell, agreed, agreed) for predicted, sure, agreed in answers]
        return Item(name, "test", label, image, 1.5, marks, made, "" if human else "nobody looked", sites[name])

    items = [
        item("a1", "cat", ("cat", 0.6, 0.5), ("dog", 0.7, 0.1)),
        item("a2", "dog", ("cat", 0.9, -0.2), ("dog", 0.8, 0.3)),
        item("b3", None, ("dog", 0.8, None), ("dog", 0.9, None), human=False),
    ]
    page = write_sheet(tmp_path / "p.html", "t", [Section("Images", [Gallery("c", items, ["one", "two"])])])
    tab = browser.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(page.as_uri())
    yield tab
    assert errors == []
    tab.close()


@pytest.mark.slow
def test_images_are_sorted_filtered_and_opened_in_the_page(shown) -> None:
    def names() -> list[str]:
        return [text.split(" · ")[0] for text in shown.locator(".item figcaption span").all_text_contents()]

    def choose(name: str, value: str) -> list[str]:
        shown.locator(f'[name="{name}"]').select_option(value)
        return names()

    assert names() == ["a2", "a1", "b3"]  # mistakes first, the surest first
    assert shown.locator(".count").text_content() == "3 of 3 images"
    assert choose("sort", "least sure first") == ["a1", "b3", "a2"]
    assert choose("sort", "most agreement with people first") == ["a1", "a2", "b3"]  # the unknown comes last
    assert choose("sort", "two gains most") == ["a2", "a1", "b3"]
    assert choose("answer", "the runs differ") == ["a2", "a1"]
    assert choose("answer", "") == ["a2", "a1", "b3"]
    assert choose("human", "nobody looked") == ["b3"]
    assert choose("human", "") == ["a2", "a1", "b3"]
    assert choose("group:site", "a") == ["a2"]
    assert shown.locator('[name="group:site"] option').all_text_contents() == ["all", "a", "b"]
    assert choose("group:site", "") == ["a2", "a1", "b3"]
    assert shown.locator(".item figcaption span").all_text_contents()[:2] == ["a2 · test · site a", "a1 · test"]
    shown.locator('[name="text"]').fill("A1")
    assert names() == ["a1"]
    assert shown.locator(".count").text_content() == "1 of 3 images"
    caption = shown.locator(".item figcaption").text_content()
    assert caption.startswith("true cat\none: predicted cat (60%) · agreement 0.50 · 50% inside\n⚠ two: predicted dog")
    shown.locator('[name="text"]').fill("")
    shown.locator(".item button").first.click()
    assert shown.locator("dialog h3").text_content() == "a2"
    assert shown.evaluate("document.querySelector('dialog .base').naturalWidth") == 30
    shown.keyboard.press("ArrowRight")
    assert shown.locator("dialog h3").text_content() == "a1"
    shown.keyboard.press("Escape")
    assert not shown.locator("dialog").is_visible()
