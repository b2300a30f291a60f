from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mutations import survive
from salign.annotations.formats import annotation_format
from salign.annotations.formats.fixations import REFLACX, Gaze, read_fixations, read_reflacx
from salign.annotations.resolve import Naming
from salign.annotations.write import Output, write_annotated
from salign.data.manifest import ManifestError
from salign.errors import SalignError
from salign.maps.rasterize import fixation_map
from salign.maps.shapes import Fixation, scaled
from tool_files import (
    marks,
)  # fmt: skip

TABLE = """image,subject,x,y,duration
a.png,anna,10,20,100
b.png,anna,1,2,50
a.png,ben,30.5,40,300
"""
ZOOMED = {"image": "image", "x": "x", "y": "y", "duration": "duration"}


@pytest.fixture
def written(tmp_path):
    def write(text, name="fixations.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_subjects_are_pooled_or_apart(written):
    path = written(TABLE)
    pooled = read_fixations(path)
    assert [(one.image, one.annotator, len(one.shapes)) for one in pooled] == [("a.png", None, 2), ("b.png", None, 1)]
    assert pooled[0].shapes == (Fixation(10, 20, 100), Fixation(30.5, 40, 300))
    apart = read_fixations(path, gaze=Gaze(pooled=False))
    assert [(one.image, one.annotator) for one in apart] == [("a.png", "anna"), ("b.png", "anna"), ("a.png", "ben")]
    assert not any(one.relative for one in apart)


def test_other_names_units_and_weights(written):
    path = written("FPOGX,FPOGY,begin,stop\n3,4,1.5,1.75\n")
    names = {"x": "FPOGX", "y": "FPOGY", "start": "begin", "end": "stop"}
    (one,) = read_fixations(path, columns=names, gaze=Gaze(seconds=True, pooled=False), image="c.png", subject="cy")
    assert one.image == "c.png"
    assert one.annotator == "cy"
    assert one.shapes == (Fixation(3, 4, 250, times=(1500,)),)
    (one,) = read_fixations(path, columns=names, gaze=Gaze(weight="count", sigma=7), image="c.png")
    assert one.shapes == (Fixation(3, 4, 1, times=(1.5,), spread=(7, 7)),)


def test_names_of_columns_may_have_capitals(written):
    assert read_fixations(written(TABLE.replace("x,y,duration", "X,Y,Duration"))) == read_fixations(written(TABLE))


def test_positions_on_a_screen_become_shares_of_the_image(written):
    path = written(TABLE)
    whole = read_fixations(path, gaze=Gaze("screen", (100, 50), sigma=5))
    assert whole[0].relative
    assert whole[0].shapes[0] == Fixation(0.2, 0.2, 100, spread=(0.1, 0.05))
    part = read_fixations(path, gaze=Gaze("screen", shown=(10, 0, 30, 40)))
    assert part[0].shapes[0] == Fixation(0, 0.5, 100)
    assert part[1].shapes[0].x < 0  # beside the image: counts nothing in a map


def test_degrees_are_from_the_centre_of_the_screen(written):
    path = written("image,x,y,duration\na.png,2,-1,100\na.png,0,0,100\n")
    gaze = Gaze("degrees", (100, 200), per_degree=10, sigma_degrees=1)
    (one,) = read_fixations(path, gaze=gaze)
    assert one.shapes[0] == Fixation(0.6, 0.4, 100, spread=(10 / 200, 10 / 100))
    assert one.shapes[1] == Fixation(0.5, 0.5, 100, spread=(10 / 200, 10 / 100))


def test_zoom_maps_the_screen_to_the_image(written):
    """The right half of an image of 400 x 300, shown at twice its size on the screen from (100, 50) on."""
    path = written(
        "image,x,y,duration,image_x0,image_y0,image_x1,image_y1,screen_x0,screen_y0,screen_x1,screen_y1\n"
        "a.png,300,250,100,200,0,400,300,100,50,500,650\n"
    )
    (one,) = read_fixations(path, gaze=Gaze("screen", sigma=10))
    assert one.shapes == (Fixation(300, 100, 100, spread=(5, 5), shown=(200, 0, 400, 300)),)
    assert not one.relative
    (one,) = read_fixations(path, gaze=Gaze("screen", per_degree=40, sigma_degrees=1))
    assert one.shapes[0].spread == (20, 20)


def test_a_map_of_a_zoomed_reading_is_as_its_authors_make_it(written, tmp_path):
    """REFLACX: for each fixation the density of a Gaussian of one degree, cut to what was shown, times its duration."""
    header = list(REFLACX.values())
    rows = [
        (20, 15, 0.2, 0.5, 6, 5, 0, 0, 40, 30, 0, 0, 400, 300),
        (30, 10, 0.6, 1.6, 3, 2.5, 20, 0, 40, 15, 0, 0, 400, 300),
        (5, 25, 2.0, 2.1, 3, 2.5, 0, 15, 20, 30, 0, 0, 400, 300),
    ]
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows)]
    written("\n".join(lines) + "\n", "P102R1/fixations.csv")
    metadata = written(
        "id,image,image_size_x,image_size_y,eye_tracking_data_discarded,split\n"
        "P102R1,files/p10/a.dcm,40,30,False,train\nP102R2,files/p10/b.dcm,40,30,True,train\n",
        "metadata_phase_1.csv",
    )
    (one,) = read_reflacx(metadata)
    assert (one.image, one.size, one.annotator) == ("files/p10/a.dcm", (30, 40), "P102R1")
    expected = np.zeros((30, 40))
    for x, y, start, end, wide, high, x0, y0, x1, y1, *_ in rows:
        for row, column in np.ndindex(30, 40):
            if x0 <= column < x1 and y0 <= row < y1:
                away = ((column + 0.5 - x) / wide) ** 2 + ((row + 0.5 - y) / high) ** 2
                expected[row, column] += (end - start) * np.exp(-away / 2) / (2 * np.pi * wide * high)
    np.testing.assert_allclose(fixation_map(one.shapes, (30, 40)), expected / expected.max(), atol=1e-6)


def test_a_reading_outside_of_the_folder_is_refused(written):
    metadata = written(
        "id,image,image_size_x,image_size_y,eye_tracking_data_discarded\n../secret,a.dcm,40,30,False\n", "m.csv"
    )
    with pytest.raises(ManifestError, match=r"row 2, id: expected letters and digits, got '\.\./secret'"):
        read_reflacx(metadata)
    metadata = written(
        "id,image,image_size_x,image_size_y,eye_tracking_data_discarded\nP1,a.dcm,40,30,False\n", "m.csv"
    )
    written(TABLE, "readings2/fixations.csv")  # beside, by a name that begins alike
    (metadata.parent / "readings").mkdir()
    (metadata.parent / "readings" / "P1").symlink_to(metadata.parent / "readings2")
    with pytest.raises(SalignError, match="a link that leaves"):
        read_reflacx(metadata, metadata.parent / "readings")


def test_real_gaze_gives_the_maps_of_the_set(shared_data):
    """Its maps weigh each fixation the same; every single one of the hundred is met."""
    folder = shared_data / "osie_gaze_sample"
    names = {"x": "x_800x600", "y": "y_800x600", "duration": "duration_ms"}
    found = read_fixations(
        folder / "fixations.csv", columns=names, gaze=Gaze("screen", (600, 800), sigma=24, weight="count")
    )
    assert len(found) == 100
    for one in found:
        theirs = np.asarray(Image.open((folder / "saliency" / one.image).with_suffix(".png")), dtype=float)
        height, width = theirs.shape
        ours = fixation_map([scaled(shape, width, height) for shape in one.shapes], (height, width))
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] >= 0.99, one.image


def test_all_that_is_wrong_is_said_with_its_row(written):
    path = written("image,x,y,duration\na.png,1,two,100\n,1,22,100\na.png,1,2\na.png,1,22,-3\na.png,inf,2,3\n")
    with pytest.raises(ManifestError) as caught:
        read_fixations(path)
    assert [(fault.row, fault.column) for fault in caught.value.faults] == [
        (2, "y"), (3, "image"), (4, "line"), (5, "duration"), (6, "x"),
    ]  # fmt: skip
    assert "expected a number from -1e+09 to 1e+09, got 'two'" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        (TABLE, {"columns": {"x": "px"}}, "no column 'px' for x; there are image, subject"),
        (TABLE, {"columns": {"durations": "duration"}}, "called 'durations'; did you mean 'duration'"),
        ("x,y,duration\n1,2,3\n", {}, "no column says which image"),
        (TABLE, {"image": "c.png"}, "the column 'image' names each image; do not give 'c.png'"),
        (TABLE, {"subject": "cy"}, "the column 'subject' names each subject; do not give 'cy'"),
        ("image,x,y\na,1,22\n", {}, "expected a column duration"),
        ("image,x,y,start,end\na,1,22,5,4\n", {}, "expected an end after the start"),
        (TABLE, {"gaze": Gaze("screen")}, "positions on the screen need its size"),
        (TABLE, {"gaze": Gaze("degrees", (9, 9))}, "pixels per degree"),
        (TABLE, {"gaze": Gaze("screen", shown=(5, 5, 5, 9))}, "at least 1 x 1 pixels"),
        (TABLE, {"gaze": Gaze(sigma_degrees=1)}, "sigma in degrees needs pixels per degree"),
        (TABLE, {"gaze": Gaze(sigma=1, sigma_degrees=1)}, "got both"),
        (TABLE, {"gaze": Gaze(sigma=-1)}, "spread"),
        ("image,x,y,duration,image_x0\na,1,22,3,4\n", {}, "all of image_x0, image_y0"),
        (
            "image,x,y,duration,image_x0,image_y0,image_x1,image_y1\na,1,22,3,4,4,4,5\n",
            {},
            "row 2, image_x0: expected x0 < x1",
        ),
        ("image,x,y,duration\n", {}, "no row"),
        ("", {}, "header"),
    ],
)
def test_mistakes_are_explained(written, text, options, complaint):
    with pytest.raises(SalignError, match=complaint):
        read_fixations(written(text), **options)


def test_no_table_and_too_large_a_table(tmp_path):
    with pytest.raises(SalignError, match="there is none"):
        read_fixations(tmp_path / "gone.csv")
    with pytest.raises(SalignError, match="expected a table"):
        read_fixations(tmp_path)
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(60_000_000)
    with pytest.raises(SalignError, match="60 MB"):
        read_fixations(tmp_path / "large.csv")
    (tmp_path / "long.csv").write_bytes(b"image,x,y,duration\n" + b"\n" * 1_000_001)
    with pytest.raises(SalignError, match="more than 1,000,000 rows"):
        read_fixations(tmp_path / "long.csv")


def test_damaged_tables(tmp_path):
    zoomed = "image,x,y,start,end,image_x0,image_y0,image_x1,image_y1,screen_x0,screen_y0,screen_x1,screen_y1\n" + (
        "a.png,300,250,1,2,200,0,400,300,100,50,500,650\n" * 3
    )

    def check(found):
        for one in found:
            assert one.image
            fixation_map([scaled(shape, 20, 20) if one.relative else shape for shape in one.shapes], (20, 20), 3)

    gaze = Gaze("screen", (100, 100), sigma=5)
    valid = survive(
        tmp_path / "f.csv", [TABLE.encode(), zoomed.encode()], lambda path: read_fixations(path, gaze=gaze), check
    )
    assert valid > 0


def test_gaze_that_was_lost_is_told_by_row_and_the_rest_kept(read):
    rows = [
        "image,x,y,duration",
        "a.png,20,10,100",
        "a.png,NaN,10,100",
        "a.png,,,",
        "a.png,-1,-1,80",
        "b.png,nan,nan,9",
    ]
    found, faults = read("fixations", {"f.csv": "\n".join(rows)}, "f.csv")
    assert marks(found) == [("a.png", None, (Fixation(20, 10, 100), Fixation(-1, -1, 80)))]  # beside it: no weight
    assert sorted({fault.split(",")[0] for fault in faults}) == ["row 3", "row 4", "row 6"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.png,-1,-1,100\na.png,90,5,100", "none of 2 fixations is on the image for any time"),
        ("a.png,20,10,0", "none of 1 fixations is on the image for any time"),
    ],
)
def test_gaze_that_never_meets_the_image_is_a_fault_and_no_blank_map(rows, message, read, tmp_path):
    found, _ = read("fixations", {"f.csv": f"image,x,y,duration\n{rows}\nb.png,20,10,50"}, "f.csv")
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((40, 60), np.uint8)).save(images / name)
    naming = Naming(default="photo")
    with pytest.raises(ManifestError, match=message):
        write_annotated(found, images, Output(sigma=3), naming=naming)
    brought = write_annotated(found, images, Output(sigma=3, leave_out=True), naming=naming)
    assert (brought.manifest.table["path"].tolist(), brought.blank) == (["images/b.png"], 0)


GAZE = {
    "semicolons and decimal commas": ("image;x;y;duration\na.png;20,5;10;100\n", {}, "separated by semicolons"),
    "tabs in a .csv": ("image\tx\ty\tduration\na.png\t20\t10\t100\n", {}, "separated by tabs"),
    "times that run back": (
        "image,x,y,start,end\na.png,20,10,5,4\n",
        {},
        "row 2, end: expected an end after the start",
    ),
    "no time at all": ("image,x,y\na.png,20,10\n", {}, "expected a column duration, or start and end"),
    "a weight that is none": (
        "image,x,y,duration\na.png,20,10,9\n",
        {"weight": "time"},
        "weight: expected duration or",
    ),
    "a position that is none": ("image,x,y,duration\na.png,20,10,9\n", {"position": "px"}, "position: expected"),
    "shares without a screen": ("image,x,y,duration\na.png,.2,.1,9\n", {"position": "shares"}, "need its size"),
    "degrees without a screen": ("image,x,y,duration\na.png,2,1,9\n", {"position": "degrees"}, "size of the screen"),
}


@pytest.mark.parametrize("name", GAZE)
def test_gaze_that_is_refused(name, tmp_path):
    content, gaze, message = GAZE[name]
    (tmp_path / "f.csv").write_text(content)
    with pytest.raises(SalignError, match=message):
        annotation_format("fixations").read(tmp_path / "f.csv", gaze=Gaze(**gaze))


def test_gaze_a_mark_at_the_beginning_and_windows_line_ends(read):
    found, faults = read("fixations", {"f.csv": "\ufeffimage,x,y,duration\r\na.png,20,10,100\r\n"}, "f.csv")
    assert (marks(found), faults) == ([("a.png", None, (Fixation(20, 10, 100),))], [])
