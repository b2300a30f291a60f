"""The sheet is read back with the standard library: all that was given is there, escaped, and nothing is fetched."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from salign.pages import page as pages
from salign.pages.sheet import SIDE, Folded, Plots, Section, Table, Text, Tile, Tiles, write_sheet

NASTY = "<script>alert('x')</script> & \"quoted\" ü.png"


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.text += data

    def all(self, tag: str, name: str) -> list[str]:
        return [value for a, b, value in self.attributes if (a, b) == (tag, name)]


def read(path) -> Page:
    return Page(path.read_text("utf-8"))


def test_everything_given_is_escaped(tmp_path):
    blocks = [
        Text([NASTY], NASTY, NASTY),
        Table(NASTY, pd.DataFrame({NASTY: [NASTY]})),
        Tiles(NASTY, [Tile(NASTY, [(NASTY, Image.new("RGB", (4, 4)))], note=NASTY)]),
        Folded(NASTY, NASTY),
    ]
    page = read(write_sheet(tmp_path / "a.html", NASTY, [Section(NASTY, blocks)], intro=NASTY))
    assert "script" not in page.tags
    # title, h1, intro, h2; h3, badge, p; caption, th, td; caption, name, tile's caption and note; summary, text
    assert page.text.count(NASTY) == 16
    assert page.all("img", "alt") == [f"{NASTY}: {NASTY}"]


def test_the_page_needs_no_other_file(tmp_path):
    tile = Tile("c", [("x", Image.new("RGB", (5, 5))), ("y", Image.new("L", (5, 5)))])
    sections = [Section("a", [Tiles("", [tile])]), Section("b", [Text(["p"])]), Section("nothing", [])]
    page = read(write_sheet(tmp_path / "a.html", "t", sections))
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert len(page.all("img", "src")) == 2
    assert all(source.startswith("data:image/png;base64,") for source in page.all("img", "src"))
    assert page.all("a", "href") == ["#s1", "#s2"] == [f"#{name}" for name in page.all("section", "id")]
    assert "url(" not in (tmp_path / "a.html").read_text("utf-8")


def test_pictures_arrive_small_and_unchanged(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    tile = Tile("c", [("small", Image.fromarray(pixels)), ("large", Image.new("RGB", (4 * SIDE, SIDE)))])
    page = read(write_sheet(tmp_path / "a.html", "t", [Section("s", [Tiles("", [tile])])]))
    small, large = [Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) for source in page.all("img", "src")]
    assert np.array_equal(np.asarray(small), pixels)
    assert large.size == (SIDE, SIDE // 4)


def test_faults_are_marked_in_words_and_in_the_list(tmp_path):
    tiles = Tiles("", [Tile("sound", []), Tile("broken", [], flagged=True)])
    sections = [Section("Corrupt", [tiles], flagged=True), Section("Fine", [Text(["p"])])]
    page = read(write_sheet(tmp_path / "a.html", "t", sections))
    assert page.all("figure", "class") == ["tile", "tile flagged"]
    assert page.all("a", "class") == ["fault"]
    assert "⚠ Corrupt" in page.text
    assert "⚠ Fine" not in page.text


def test_tables_set_numbers_flush_right(tmp_path):
    frame = pd.DataFrame([{"label": "benign", "of": "a", "images": 3}, {"label": "malignant", "of": "b", "images": 12}])
    page = read(write_sheet(tmp_path / "a.html", "t", [Section("s", [Table("", frame)])]))
    assert page.all("th", "class") == ["first name", "name", ""]
    assert page.all("td", "class") == 2 * ["first name", "name", ""]
    given = read(write_sheet(tmp_path / "a.html", "t", [Section("s", [Table("", frame, names=1)])]))
    assert given.all("th", "class") == ["first name", "", ""]
    assert all(word in page.text for word in ("label", "images", "benign", "malignant", "12"))


@pytest.mark.slow
def test_a_table_wider_than_a_phone_scrolls_and_shows_that_there_is_more(tmp_path, browser):
    frame = pd.DataFrame([{f"column {k}": f"0.{k}00 [0.100, 0.900]" for k in range(9)}])
    page = write_sheet(tmp_path / "a.html", "t", [Section("s", [Table("", frame, names=0)])])
    tab = browser.new_page(viewport={"width": 375, "height": 800})
    tab.goto(page.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 375
    table = tab.locator(".table")
    edges = []
    for side in (0, 10_000):
        table.evaluate(f"table => table.scrollLeft = {side}")
        picture = Image.open(io.BytesIO(table.screenshot())).convert("L")
        edges.append(picture.getpixel((picture.width - 2, 1)))
    assert edges[0] < edges[1] - 30
    assert edges[1] > 240
    tab.close()


def test_plots_stand_as_they_are_drawn(tmp_path):
    svg = '<svg class="plot" role="img" aria-label="a line"></svg>'
    page = write_sheet(tmp_path / "a.html", "t", [Section("s", [Plots("c", [svg, svg])])]).read_text("utf-8")
    assert page.count(svg) == 2


def test_a_failed_write_leaves_the_older_sheet(tmp_path, monkeypatch):
    path = write_sheet(tmp_path / "a.html", "first", [])

    def full(picture):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pages, "png_data_uri", full)
    with pytest.raises(OSError, match="No space"):
        write_sheet(path, "second", [Section("s", [Tiles("", [Tile("c", [("x", Image.new("RGB", (4, 4)))])])])])
    assert "first" in read(path).text
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.html"]


@pytest.mark.parametrize(
    "template", sorted((Path(pages.__file__).parents[1]).rglob("*.html")), ids=lambda path: path.name
)
def test_every_block_of_style_is_closed(template):
    """A lost brace hides all rules after it, at one width only."""
    style = template.read_text("utf-8").partition("<style>")[2] or template.read_text("utf-8")
    rules = re.sub(r"{%.*?%}|{{.*?}}", "", style)
    assert rules.count("{") == rules.count("}")
