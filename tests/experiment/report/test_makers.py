"""The section on maps of people and of machines: its counts, its agreement, its pictures, and when it is not there."""

from __future__ import annotations

import base64
import io
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from made_study import QUALITY, made, study
from salign.data.manifest import Manifest
from salign.data.reading.image import read_image, read_saliency
from salign.experiment.report import write_report
from salign.maps import min_max
from salign.maps.render import overlay, thumbnail

ARMS = ["ce", "cyborg", "shuffled", "maps:net", "maps:mixed", "maps:mask", "mixed_shuffled"]
OWN = {"mixed_shuffled": {"loss": {"name": "cyborg"}, "data": {"map_column": "mixed", "maps": "shuffled"}}}
TITLE = "Maps of people and of machines"


@pytest.fixture(scope="module")
def marked(digits, tmp_path_factory):
    """Digits whose training images have, besides people's maps, those of a net: the same, moved by 3 and 2 pixels.

    `net` is the net's for all, `mixed` people's for every fourth and the net's for the rest, `mask` of unknown origin.
    """
    place = shutil.copytree(digits.parent, tmp_path_factory.mktemp("marked") / "set")
    table = Manifest.read(place / digits.name).table.drop(columns="row").astype(object)
    train = (table["split"] == "train").to_numpy(dtype=bool)
    (place / "net").mkdir()
    for i in np.flatnonzero(train):
        values = np.asarray(Image.open(place / table["saliency"][i]))
        Image.fromarray(np.roll(values, (3, 2), (0, 1))).save(place / "net" / f"{i}.png")
        table.loc[i, "net"], table.loc[i, "net_provenance"] = f"net/{i}.png", "model:net@1a2b3c4d"
        kept = i % 4 == 0
        table.loc[i, "mixed"] = table["saliency"][i] if kept else f"net/{i}.png"
        table.loc[i, "mixed_provenance"] = "human:people" if kept else "model:net@1a2b3c4d"
        table.loc[i, "mask"] = table["saliency"][i]
    return Manifest.of(table, place).write(place / "marked.csv")


def written(manifest, out, arms=ARMS):
    plan = study(manifest, arms=OWN, grids=[{"arms": arms, "seeds": 2}])
    results = made(out, manifest, plan, {**dict.fromkeys(arms, 0.6), **QUALITY})
    return write_report(plan, results.figures, results.runs, out / "report").page.read_text("utf-8")


@pytest.fixture(scope="module")
def page(marked, tmp_path_factory):
    return written(marked, tmp_path_factory.mktemp("made"))


def section(page):
    (found,) = re.findall(rf"<h2>{TITLE}</h2>.*?</section>", page, re.S)
    return found


def training(manifest):
    """Positions of the training images of the study's classes."""
    table = Manifest.read(manifest).table
    return np.flatnonzero(((table["split"] == "train") & table["label"].isin(["1", "7"])).to_numpy(dtype=bool))


def test_every_arm_with_maps_says_whose_they_are_and_how_they_agree(page, marked):
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>.*?</tr>", section(page), re.S)[1:]]
    read, positions = Manifest.read(marked), training(marked)
    people = [np.asarray(Image.open(read.root / read.table["saliency"][i]), dtype=float) for i in positions]
    moved = [np.roll(one, (3, 2), (0, 1)) for one in people]
    cc = np.array([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(people, moved, strict=True)])
    areas = [(a >= a.max() / 2, b >= b.max() / 2) for a, b in zip(people, moved, strict=True)]
    iou = np.array([(a & b).sum() / (a | b).sum() for a, b in areas])
    n, kept = len(positions), int((positions % 4 == 0).sum())
    assert 20 < n < 200
    rest = positions % 4 != 0
    figures = [[f"{cc[some].mean():.2f}", f"{iou[some].mean():.2f}"] for some in (rest > -1, rest)]
    nothing = ["–"] * 3
    assert re.findall(r"<th [^>]*>(.*?)</th>", section(page)) == [
        "arm", "maps", "training images", "by people", "by machines", "unknown", "compared", "CC", "IoU",
    ]  # fmt: skip
    assert {row[0]: row[1:] for row in rows} == {
        "cyborg": ["saliency", f"{n}", f"{n}", "0", "0", *nothing],
        "shuffled": ["saliency, shuffled", f"{n}", f"{n}", "0", "0", *nothing],
        "maps:mask": ["mask", f"{n}", "0", "0", f"{n}", *nothing],
        "maps:mixed": ["mixed", f"{n}", f"{kept}", f"{n - kept}", "0", f"{n - kept}", *figures[1]],
        "maps:net": ["net", f"{n}", "0", f"{n}", "0", f"{n}", *figures[0]],
        "mixed_shuffled": ["mixed, shuffled", f"{n}", f"{kept}", f"{n - kept}", "0", *nothing],
    }


def test_images_are_shown_with_the_maps_of_both(page, marked):
    shown = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)">', section(page))
    assert len(shown) == 6 * 4
    read = Manifest.read(marked)
    by_id = {str(name): i for i, name in enumerate(read.table["id"])}
    names = [alt.partition(": ")[2] for _, alt in shown[:4]]
    assert names == ["image", "people", "maps:mixed: model:net@1a2b3c4d", "maps:net: model:net@1a2b3c4d"]
    chosen = [by_id[alt.partition(",")[0]] for _, alt in shown[::4]]
    assert all(i in training(marked) and i % 4 for i in chosen), "where both arms have a machine's map"
    assert len(set(chosen)) == 6
    assert [read.table["label"][i] for i in chosen] == ["1"] * 3 + ["7"] * 3
    for k, i in enumerate(chosen):
        image = read_image(read.image_path(i))
        for place, column in ((1, "saliency"), (2, "mixed"), (3, "net")):
            values = read_saliency(read.root / read.table[column][i])
            expected = thumbnail(overlay(image, min_max(values)), 160)
            found = Image.open(io.BytesIO(base64.b64decode(shown[4 * k + place][0])))
            assert np.array_equal(np.asarray(found), np.asarray(expected)), (i, column)


def test_a_machine_of_every_kind_is_shown_before_a_second_of_one(marked, tmp_path):
    table = Manifest.read(marked).table.drop(columns="row").astype(object)
    for name, by in (("net2", "model:net@22222222"), ("net3", "model:net@33333333"), ("cam", "model:net-cam@1a2b3c4d")):
        table[name] = table["net"]
        table[f"{name}_provenance"] = table["net"].where(table["net"].isna(), by)
    manifest = Manifest.of(table, marked.parent).write(marked.parent / "kinds.csv")
    found = section(written(manifest, tmp_path, ["ce", "cyborg", "maps:net", "maps:net2", "maps:net3", "maps:cam"]))
    assert set(re.findall(r"maps:\w+: model:[\w-]+", found)) == {
        "maps:net: model:net",
        "maps:cam: model:net-cam",
        "maps:net2: model:net",
    }


def test_equal_results_give_equal_bytes_without_a_path(page, marked, tmp_path):
    assert written(marked, tmp_path) == page
    assert "/tmp" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page)
    assert str(marked.parent) not in page


def test_without_a_machines_map_there_is_no_such_section(marked, digits, tmp_path):
    assert TITLE not in written(marked, tmp_path / "people", ["ce", "cyborg", "shuffled", "maps:mask"])
    assert TITLE not in written(digits, tmp_path / "digits", ["ce", "cyborg"])


def test_machine_maps_in_the_column_saliency_count_too(digits, tmp_path):
    """Every second training image has a machine's map there, and so nobody's to compare it with."""
    place = shutil.copytree(digits.parent, tmp_path / "set")
    table = Manifest.read(place / digits.name).table.drop(columns="row")
    by = np.where(np.arange(len(table)) % 2, "model:cam@9", "human:ann")
    path = Manifest.of(table.assign(provenance=by), place).write(place / "mixed.csv")
    text = written(path, tmp_path, ["ce", "cyborg"])
    n, machine = len(training(path)), int((training(path) % 2).sum())
    cells = re.findall(r"<td[^>]*>(.*?)</td>", section(text))
    assert cells == ["cyborg", "saliency", f"{n}", f"{n - machine}", f"{machine}", "–", "–", "–"]
    shown = re.findall(r'alt="[^"]*?: ([^"]+)"', section(text))
    assert shown == ["image", "cyborg: model:cam@9"] * 6 + ["image", "people"] * 3, "no image has both"
    assert "Here no image has both, and nothing can be compared." in section(text)
    examples = re.findall(r'alt="test_[^"]*: (people|a machine)"', text) or re.findall(r': (people|a machine)">', text)
    assert {"people", "a machine"} <= set(examples), "the images on which arms differ do not call all maps people's"


def test_it_is_said_when_pictures_are_gone(marked, tmp_path):
    place = shutil.copytree(marked.parent, tmp_path / "set")
    assert TITLE in written(place / marked.name, tmp_path, ["ce", "cyborg", "maps:net"])
    read = Manifest.read(place / marked.name)
    for i in training(place / marked.name):
        (read.root / read.table["net"][i]).write_bytes(b"broken")
    text = written(place / marked.name, tmp_path, ["ce", "cyborg", "maps:net"])
    assert "small: images or maps are not where they were any more." in section(text)
    assert str(tmp_path) not in text
