from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import salign
from salign.data.reading.image import read_image, read_saliency
from salign.maps import min_max


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


@pytest.mark.parametrize("method", ["cam", "rise"])
def test_the_page_holds_image_human_map_and_model_map(run, digits, method):
    ended = salign("explain", run, "--method", method, "--images", 2, "--seed", 3, "--set", "test_iid")
    page = run / "page" / "index.html"
    assert f"wrote {page}. Next: open it in a browser" in ended.out
    table = pd.read_csv(run / "predictions" / "test_iid.csv")
    chosen = np.sort(np.random.default_rng(3).permutation(len(table))[:2])
    text = page.read_text("utf-8")
    for position, path in zip(chosen, table["path"].iloc[chosen], strict=True):
        files = (page.parent / kind / f"test_iid-{position}.png" for kind in ("images", "maps"))
        image, human = (np.asarray(Image.open(file)) for file in files)
        assert (image == read_image(digits.parent / path).permute(1, 2, 0).numpy()).all()
        expected = min_max(read_saliency(digits.parent / path.replace("images", "maps"))).mul(255).round()
        assert (human == expected.numpy()).all()
        assert f'"images/test_iid-{position}.png"' in text


def test_the_same_seed_gives_the_same_page(run):
    pages = {}
    for seed in (0, 0, 1):
        salign("explain", run, "--method", "rise", "--images", 1, "--set", "val", "--seed", seed)
        pages.setdefault(seed, []).append((run / "page" / "index.html").read_bytes())
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
    assert not (run / "page").exists()
