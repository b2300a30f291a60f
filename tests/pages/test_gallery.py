"""The gallery says what it shows: mistakes, missing maps, blank maps; and its pictures are the right ones."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from salign.errors import SalignError
from salign.maps.render import overlay
from salign.pages.gallery import Item, write_gallery

IMAGE = torch.randint(0, 256, (3, 250, 300), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MODEL = torch.tensor([[-4.0, 0.0], [2.0, 8.0]])
HUMAN = torch.zeros(250, 300).index_fill(0, torch.arange(50), 1.0)


def item(label: str | None = "cat", predicted: str = "cat", human: torch.Tensor | None = HUMAN, **changed) -> Item:
    given = {"id": "a/1.png", "image": IMAGE, "model_map": MODEL, "probability": 0.914} | changed
    return Item(label=label, predicted=predicted, human_map=human, **given)


def test_sections_and_captions_tell_right_from_wrong(tmp_path: Path) -> None:
    items = [item(), item(predicted="<dog>"), item(label=None), item(id="last")]
    page = write_gallery(tmp_path / "g.html", items, title="T & co", intro="How").read_text("utf-8")
    places = [
        page.index(text) for text in ("Mistakes (1)</h2>", "Right answers (2)</h2>", "True class unknown (1)</h2>")
    ]
    assert places == sorted(places)
    assert page.count("true cat, predicted cat (91%)<span>") == 2
    assert places[0] < page.index("true cat, predicted &lt;dog&gt; (91%)") < places[1]
    assert places[2] < page.index("true class unknown, predicted cat (91%)")
    assert "<dog>" not in page
    assert "T &amp; co" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)


def test_a_missing_map_is_not_a_blank_one(tmp_path: Path) -> None:
    missing = write_gallery(tmp_path / "m.html", [item(human=None)], title="m").read_text("utf-8")
    blank = write_gallery(tmp_path / "b.html", [item(human=torch.zeros(250, 300))], title="b").read_text("utf-8")
    marked = write_gallery(tmp_path / "h.html", [item()], title="h").read_text("utf-8")
    assert "nobody looked" in missing
    assert "marked nothing" not in missing
    assert "marked nothing" in blank
    assert "nobody looked" not in blank
    assert "nobody looked" not in marked
    assert "marked nothing" not in marked
    field = np.asarray(item(human=None).pictures()[1])
    assert (field == np.asarray(item().pictures()[0])).all(-1).mean() < 0.01


def test_a_machines_map_is_not_called_peoples(tmp_path: Path) -> None:
    machine, person, nobody = item(made_by="model:net@1"), item(), item(human=None)
    pages = {
        name: write_gallery(tmp_path / f"{name}.html", items, title="t").read_text("utf-8")
        for name, items in (("machine", [machine]), ("both", [machine, person]), ("people", [person, nobody]))
    }
    said = "no person looked: the map in the middle was made by model:net@1"
    assert {name: page.count(said) for name, page in pages.items()} == {"machine": 1, "both": 1, "people": 0}
    assert "image, machine's map, model map." in pages["machine"].replace("&#39;", "'")
    assert "human map" not in pages["machine"]
    assert "image, human or machine's map, model map." in pages["both"].replace("&#39;", "'")
    assert "image, human map, model map." in pages["people"]


def test_pictures_are_image_human_map_and_scaled_model_map(tmp_path: Path) -> None:
    image, human, model = item().pictures()
    assert (np.asarray(image) == IMAGE.permute(1, 2, 0).numpy()).all()
    assert (np.asarray(human) == np.asarray(overlay(IMAGE, HUMAN))).all()
    assert (np.asarray(model) == np.asarray(overlay(IMAGE, (MODEL + 4) / 12))).all()
    page = write_gallery(tmp_path / "g.html", [item()], title="g").read_text("utf-8")
    stored = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
    assert len(stored) == 3
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in stored]
    assert (shown[0] != shown[1]).any()
    assert (shown[1] != shown[2]).any()


def test_small_images_are_enlarged_and_flat_maps_are_said() -> None:
    small = item(image=torch.rand(3, 30, 60), model_map=torch.ones(3, 3), human=None)
    assert {picture.size for picture in small.pictures()} == {(240, 120)}
    for size, enlarged in (((1, 200), (240, 1)), ((200, 1), (1, 240)), ((240, 9), (9, 240)), ((250, 9), (9, 250))):
        assert {picture.size for picture in item(image=torch.rand(3, *size)).pictures()} == {enlarged}
    assert small.model_note == "the model's map is the same everywhere"
    assert item().model_note == ""


def test_nothing_to_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SalignError, match="at least one image"):
        write_gallery(tmp_path / "g.html", [], title="g")


def test_on_real_pictures(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "busi_ultrasound"
    names = sorted(path.name for path in (folder / "masks").iterdir())[:2]
    items = []
    for name in names:
        image = torch.from_numpy(
            np.array(Image.open((folder / "images" / name).with_suffix(".jpg")).convert("RGB"))
        ).permute(2, 0, 1)
        mask = torch.from_numpy(np.array(Image.open(folder / "masks" / name).convert("L"))).float() / 255
        items.append(item(image=image, human=mask, model_map=torch.rand(8, 8)))
    page = write_gallery(tmp_path / "g.html", items, title="real").read_text("utf-8")
    assert page.count("data:image/png;base64,") == 6
