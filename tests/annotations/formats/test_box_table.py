"""Tables of boxes, as NIH and RSNA publish them: read as they were meant, or refused with the row."""

from __future__ import annotations

import pytest

from salign.annotations.formats import annotation_format
from salign.errors import SalignError
from salign.maps.shapes import Box
from tool_files import (
    marks,
)  # fmt: skip


def test_tables_of_boxes(read_sample, tmp_path):
    assert [(one.label, one.shapes) for one in read_sample("boxes nih")] == [("lesion", (Box(8.5, 5.25, 20.5, 15.25),))]
    assert [(one.image, one.label, one.shapes) for one in read_sample("boxes rsna")] == [
        ("lesion", "1", (Box(8, 5, 20, 15),)),
        ("lesion", "1", (Box(30, 20, 35, 25),)),
        ("clear", "0", ()),
    ]
    path = tmp_path / "vindr.csv"
    path.write_text("image_id,class_name,rad_id,x_min,y_min,x_max,y_max\na,mass,R1,1,2,3,4\na,No finding,R2,,,,\n")
    assert [(one.label, one.annotator, one.shapes) for one in annotation_format("boxes").read(path)] == [
        ("mass", "R1", (Box(1, 2, 3, 4),)),
        ("No finding", "R2", ()),
    ]
    path.write_text("filename,width,height,class,xmin,ymin,xmax,ymax\na.png,60,40,mass,1,2,3,4\n")
    assert [one.size for one in annotation_format("boxes").read(path)] == [(40, 60)]


TABLES = {
    "semicolons": ("image;label;x;y;width;height\na;cat;1;2;3;4\n", "separated by semicolons; save it with commas"),
    "tabs": ("image\tlabel\tx\ty\twidth\theight\na\tcat\t1\t2\t3\t4\n", "separated by tabs; save it with commas"),
    "no column for the image": ("label,x,y,width,height\ncat,1,2,3,4\n", "expected a column for the image"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_boxes_that_are_refused(name, read):
    content, message = TABLES[name]
    with pytest.raises(SalignError, match=message):
        read("boxes", {"b.csv": content}, "b.csv")


def test_tables_of_boxes_leave_out_rows_with_their_number(read):
    rows = [
        "image,label,x,y,width,height",
        "a,cat,10,20,30,40",
        "a,cat,1",
        'a,cat,"1,5",2,3,4',
        "b,cat,5,5,-2,4",
        "c,,,,,",
    ]
    found, faults = read("boxes", {"b.csv": "\r\n".join(rows)}, "b.csv")
    assert marks(found) == [("a", "cat", (Box(10, 20, 40, 60),)), ("c", None, ())]
    assert [fault.split(": ")[1] for fault in faults] == ["row 3", "row 4", "row 5"]
