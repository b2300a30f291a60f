from __future__ import annotations

import base64
import io
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import salign
from salign.data.reading.image import read_image, read_saliency
from salign.maps import resize
from salign.maps.render import overlay, to_picture


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def pictures(page):
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page.read_text("utf-8"))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for text in found]


@pytest.mark.parametrize("method", ["cam", "grad_cam", "rise"])
def test_the_page_holds_image_human_map_and_model_map(run, digits, method):
    ended = salign("explain", run, "--method", method, "--images", 2, "--seed", 3)
    page = run / "explain" / f"test_iid_{method}.html"
    assert f"wrote {page}. Next: open it in a browser" in ended.out
    table = pd.read_csv(run / "predictions" / "test_iid.csv")
    chosen = table.iloc[np.sort(np.random.default_rng(3).permutation(len(table))[:2])]
    shown = pictures(page)
    assert len(shown) >= 6
    for path in chosen["path"]:
        image = resize(read_image(digits.parent / path).float() / 255, (240, 240))
        human = read_saliency(digits.parent / path.replace("images", "maps"))
        for expected in (to_picture(image), overlay(image, human)):
            differences = [np.abs(one.astype(int) - np.asarray(expected)).max() for one in shown]
            assert sum(difference <= 2 for difference in differences) == 1
    text = page.read_text("utf-8")
    assert all(name in text for name in chosen["id"])


def test_the_same_seed_gives_the_same_page(run):
    pages = {}
    for seed in (0, 0, 1):
        salign("explain", run, "--method", "rise", "--images", 1, "--set", "val", "--seed", seed)
        pages.setdefault(seed, []).append((run / "explain" / "val_rise.html").read_bytes())
    assert pages[0][0] == pages[0][1]
    assert pages[1][0] != pages[0][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "train"], "expected val, test_iid or test_ood"),
        (["--method", "lime"], "expected cam, grad_cam or rise"),
        (["--of", "both"], "expected predicted or true"),
    ],
)
def test_mistakes_name_the_choices(run, options, message):
    assert message in salign("explain", run, *options, code=2).err
    assert not (run / "explain").exists()
