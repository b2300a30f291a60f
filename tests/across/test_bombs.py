"""Small files that unpack to large pictures: read, drawn or refused, within 500 MB."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

SIDE = 9400
"""Nearly the largest picture there may be."""

WATCHED = """
import resource, sys
from pathlib import Path
from salign.annotations.draw import draw_marks
from salign.annotations.formats import ANNOTATION_FORMATS
from salign.errors import SalignError
readers = {name: one.reader for name, one in ANNOTATION_FORMATS.items()}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        for one in readers[path.name.split("+")[0]](path):
            one.mask.decode() if one.mask is not None else draw_marks([one], (64, 64))
        said = "read"
    except SalignError as error:
        said = str(error).replace("\\n", " ")[-160:]
    print(path.name, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, said, sep="|")
"""


def png(side: int, kind: int, row: bytes) -> str:
    """A PNG of one row again and again (kind: 0 grey, 6 RGBA), packed without ever being held."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    packer, body = zlib.compressobj(9), b""
    for _ in range(side):
        body += packer.compress(b"\0" + row)
    head = side.to_bytes(4, "big") * 2 + bytes([8, kind, 0, 0, 0])
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body + packer.flush()) + chunk(b"IEND", b"")
    return base64.b64encode(content).decode()


def labelme(side: int, picture: str) -> bytes:
    shape = {"label": "x", "shape_type": "mask", "points": [[0, 0], [side - 1, side - 1]], "mask": picture}
    return json.dumps({"imagePath": "a.png", "imageHeight": side, "imageWidth": side, "shapes": [shape]}).encode()


def eyetagger(picture: str) -> bytes:
    return json.dumps([{"annotator": 1, "image": "a", "annotation": f"data:image/png;base64,{picture}"}]).encode()


def brush(side: int) -> list[int]:
    """All painted: runs of 65,536 values, three of four lengths never used."""
    bits = format(4 * side * side, "032b") + format(7, "05b") + "1111" * 4
    left = 4 * side * side
    while left:
        run = min(left, 65536)
        bits += "100" + format(run - 1, "016b") + "11111111"
        left -= run
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


@pytest.mark.slow
def test_bombs_need_little_memory(tmp_path: Path) -> None:
    pixels = SIDE * SIDE
    sides = {"original_width": SIDE, "original_height": SIDE}
    result = {"type": "brush", "value": {"format": "rle", "rle": brush(SIDE)}}
    task = {"data": {"image": "a.png"}, "annotations": [{"result": [result | sides]}]}
    counts = {"size": [SIDE, SIDE], "counts": [0, pixels]}
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "height": SIDE, "width": SIDE}],
        "categories": [{"id": 1, "name": "x"}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": counts} for _ in range(4)],
    }
    mask = f'<mask label="x" rle="0, {pixels}" left="0" top="0" width="{SIDE}" height="{SIDE}"/>'
    cvat = f'<annotations><image name="a.png" width="{SIDE}" height="{SIDE}">{mask * 4}</image></annotations>'
    checks = bytes([0, 255]) * 3150
    files = {
        "labelme+plain.json": labelme(6300, png(6300, 0, bytes([1]) * 6300)),
        "labelme+checks.json": labelme(6300, png(6300, 0, checks)),
        "labelme+bomb.json": labelme(SIDE, png(SIDE, 0, bytes(SIDE))),
        "eyetagger+plain.json": eyetagger(png(6300, 6, bytes([0, 0, 0, 255]) * 6300)),
        "eyetagger+bomb.json": eyetagger(png(SIDE, 6, bytes(4 * SIDE))),
        "label-studio+brush.json": json.dumps([task]).encode(),
        "coco+large.json": json.dumps(coco).encode(),
        "cvat+large.xml": cvat.encode(),
    }
    for name, content in files.items():
        assert len(content) < 1_000_000
        (tmp_path / name).write_bytes(content)
    done = subprocess.run([sys.executable, "-c", WATCHED, tmp_path], capture_output=True, text=True, check=True)
    said = {}
    for line in done.stdout.splitlines():
        name, grown, what = line.split("|", 2)
        said[name] = what
        assert int(grown) < 500, line
    assert {name for name, what in said.items() if what == "read"} == set(files) - {
        "labelme+checks.json", "labelme+bomb.json", "eyetagger+bomb.json"
    }  # fmt: skip
    assert "is noise, not a mark" in said["labelme+checks.json"]
    assert "up to 40,000,000 are read" in said["labelme+bomb.json"]
    assert "up to 40,000,000 are read" in said["eyetagger+bomb.json"]
