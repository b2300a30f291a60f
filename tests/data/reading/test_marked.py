"""Which classes have marks is read from their maps, and no more of them than needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from salign.data.manifest import Manifest
from salign.data.reading.image import ImageError
from salign.data.reading.marked import borrowing_classes, marked_classes


def rows(folder: Path, *lines: tuple[str, str]) -> Manifest:
    """Images `0.png`, ... with these labels and maps."""
    Image.new("L", (4, 4), 255).save(folder / "marked.png")
    Image.new("L", (4, 4), 0).save(folder / "blank.png")
    (folder / "broken.png").write_bytes(b"no picture")
    for k in range(len(lines)):
        Image.new("L", (4, 4)).save(folder / f"{k}.png")
    text = [f"{k},{k}.png,{label},train,{saliency}" for k, (label, saliency) in enumerate(lines)]
    (folder / "m.csv").write_text("\n".join(["id,path,label,split,saliency", *text]) + "\n")
    return Manifest.read(folder / "m.csv")


def test_a_class_counts_if_something_is_marked_on_one_of_its_images(tmp_path: Path) -> None:
    given = rows(tmp_path, ("x", ""), ("y", "blank.png"), ("x", "blank.png"), ("x", "marked.png"), ("z", ""))
    assert marked_classes(given) == ["x"]
    assert marked_classes(rows(tmp_path, ("x", ""))) == []


def test_after_two_classes_no_map_is_read(tmp_path: Path) -> None:
    enough = rows(tmp_path, ("x", "marked.png"), ("x", "broken.png"), ("y", "marked.png"), ("z", "broken.png"))
    assert marked_classes(enough) == ["x", "y"]
    with pytest.raises(ImageError, match=r"m\.csv.*row 3"):
        marked_classes(rows(tmp_path, ("x", "marked.png"), ("y", "broken.png")))


@pytest.mark.parametrize(
    ("marked", "classes", "borrowing"),
    [(["x"], ["x", "y"], ["y"]), (["y"], ["x", "y"], ["x"]), (["x", "y"], ["x", "y"], []), ([], ["x", "y"], []),
     (["x"], ["x", "y", "z"], [])],
)  # fmt: skip
def test_one_of_two_classes_borrows_from_the_other(marked: list[str], classes: list[str], borrowing: list[str]) -> None:
    assert borrowing_classes(marked, classes) == borrowing
