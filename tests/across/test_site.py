"""The site builds without a warning, every page is in it and can be searched, and no page shuts anybody out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from browsing import serious_faults

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` builds it: a link or an anchor that leads nowhere ends in an error."""
    folder = tmp_path_factory.mktemp("site")
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    build(load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


def test_every_page_is_in_the_site_and_its_search(site: Path) -> None:
    pages = [path.relative_to(REPOSITORY / "docs") for path in (REPOSITORY / "docs").rglob("*.md")]
    outside = ["index.html", "contributing.html", "benchmarks.html", "tutorials/notebook.html"]
    expected = {*outside, *(page.with_suffix(".html").as_posix() for page in pages)}
    assert len(expected) > 25
    assert {path.relative_to(site).as_posix() for path in site.rglob("*.html")} - {"404.html"} == expected
    entries = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    assert {entry["location"].partition("#")[0] or "index.html" for entry in entries} == expected
    assert any("APCER is the share of attacks" in entry["text"] for entry in entries)


def test_what_is_shown_as_code_bears_no_marks_for_the_tests(site: Path) -> None:
    text = (site / "step-by-step.html").read_text(encoding="utf-8")
    assert "no-run" not in text
    assert '<span class="filename">recipe.yaml</span>' in text


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "fonts.googleapis.com" not in page
    assert 'src="https://' not in page
    assert 'rel="stylesheet" href="https://' not in page


@pytest.mark.long
@pytest.mark.slow
def test_no_page_has_a_serious_fault_of_accessibility(site: Path, browser: Any) -> None:
    page, faults = browser.new_page(), {}
    for path in sorted(set(site.rglob("*.html")) - {site / "404.html"}):  # whose style a file does not find
        page.goto(path.as_uri())
        if found := serious_faults(page):
            faults[path.name] = found
    page.close()
    assert faults == {}
