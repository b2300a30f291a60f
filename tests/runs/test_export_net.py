from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command import salign
from salign import runtime
from salign.errors import SalignError
from salign.models import SaliencyNet
from salign.runs.export_net import NetComparison, export_net
from salign.runs.run import Run

EARLIER = Path(__file__).parents[1] / "fixtures" / "earlier"


@pytest.fixture(scope="module")
def drawer(tmp_path_factory) -> Path:
    """A run of an earlier version, whose manifest lies beside the runs."""
    whole = shutil.copytree(EARLIER, tmp_path_factory.mktemp("drawer") / "earlier")
    return whole / "runs" / "maps-0858044f"


@pytest.fixture(scope="module")
def exported_net(drawer, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("net") / "net.onnx"
    ended = salign("export", drawer, "--out", out, "--images", 5)
    assert "correlation 1.000000 or more" in ended.out
    assert "salign.runtime.load_net(" in ended.out
    return out


def test_a_net_draws_from_its_file_as_by_torch(drawer, exported_net, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (70, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    file, net = runtime.load_net(exported_net), SaliencyNet.load(drawer)
    prepared = torch.from_numpy(file.prepare(tmp_path / "a.png")).permute(2, 0, 1)[None].float() / 255
    expected = net.predict(prepared)[0].numpy()
    drawn = file(tmp_path / "a.png")
    assert drawn.shape == net.image_size
    assert expected.std() > 0
    np.testing.assert_allclose(drawn, expected, atol=1e-5)
    compared = json.loads(exported_net.with_name("net.onnx.json").read_text())
    assert compared["compared_with_torch"]["difference"] < 1e-5
    assert (compared["task"], compared["image_size"]) == ("maps", list(net.image_size))


def test_a_file_is_opened_as_what_it_is(exported, exported_net):
    with pytest.raises(SalignError, match=r"a net that draws maps and gives no answers; salign\.runtime\.load_net"):
        runtime.load(exported_net)
    with pytest.raises(SalignError, match=r"is a classifier; salign\.runtime\.load opens it"):
        runtime.load_net(exported)


def test_what_a_net_has_not_is_refused(drawer, trained, tmp_path):
    refused = salign("export", drawer, "--maps", "all", "--out", tmp_path / "a.onnx", code=2).err
    assert "leave --format and --maps out" in refused.replace("\n", " ")
    with pytest.raises(SalignError, match="precision: expected float32 or float16, got 'int8'"):
        export_net(Run.open(drawer), precision="int8")
    with pytest.raises(SalignError, match="expected a net that draws maps"):
        export_net(Run.open(trained), tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_what_counts_as_exact():
    assert NetComparison(4, 1e-5, 1.0).exact
    assert NetComparison(4, 1e-5, None).exact
    assert not NetComparison(4, 1e-3, 1.0).exact
    assert not NetComparison(4, 1e-5, 0.99).exact
