from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command import salign
from salign import runtime
from salign.errors import SalignError
from salign.models import SaliencyNet
from salign.runs.export_net import MOST_DIFFERENT_MAP, NetComparison, export_net
from salign.runs.run import Run
from salign.runtime.folder import draw_folder

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
    assert f"Next: salign saliency predict {out} IMAGES" in ended.out
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


def test_a_command_for_the_other_kind_of_file_names_the_right_one(exported, exported_net, pictures, tmp_path):
    refused = salign("predict", exported_net, pictures, "--out", tmp_path / "p.csv", code=2).err
    assert "and salign saliency predict draws with it." in refused
    refused = salign("saliency", "predict", exported, pictures, "--out", tmp_path / "maps", code=2).err
    assert "and salign predict answers with it." in refused
    assert sorted(tmp_path.iterdir()) == [pictures]


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Seven pictures larger than the net takes them, in two folders, two of one stem."""
    rng = np.random.default_rng(3)
    for name in ("a.png", "b.jpg", "c.png", "c.jpg", "below/d.png", "below/e.png", "below/f.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (90, 150, 3), dtype=np.uint8)).save(path)
    return tmp_path / "in"


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_command_draws_from_the_file_what_it_draws_of_the_run(drawer, exported_net, pictures, tmp_path):
    ours, theirs = tmp_path / "onnx", tmp_path / "torch"
    salign("saliency", "predict", drawer, pictures, "--out", theirs, "--workers", 0)
    ended = salign("saliency", "predict", exported_net, pictures, "--out", ours, "--batch-size", 3)
    assert f"wrote 7 maps into {ours}. Next: look at them." in ended.out
    assert f"salign autoannotate MANIFEST {drawer.name}," in ended.out
    assert files_below(ours) == files_below(theirs)
    assert len(files_below(ours)) == 7
    for name in files_below(ours):
        a, b = (np.array(Image.open(folder / name)).astype(int) for folder in (ours, theirs))
        assert b.std() > 0
        assert np.abs(a - b).max() <= MOST_DIFFERENT_MAP * 65535 + 1
    one = tmp_path / "one"
    salign("saliency", "predict", exported_net, pictures / "below" / "d.png", "--out", one, "--workers", 0)
    assert (one / "d.png").read_bytes() == (ours / "below" / "d.png").read_bytes()


def test_a_faulty_picture_is_named(exported_net, pictures, tmp_path):
    (pictures / "below" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(SalignError, match=r"below/bad\.png: "):
        draw_folder(runtime.load_net(exported_net), pictures, tmp_path / "maps")
    with pytest.raises(SalignError, match="would lie among the images"):
        draw_folder(runtime.load_net(exported_net), pictures, pictures / "maps")


def test_the_command_draws_where_torch_is_not_installed(exported_net, pictures, tmp_path):
    program = (
        "import sys; sys.modules.update(torch=None, torchvision=None, timm=None, lightning=None); "
        "from salign.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "saliency", "predict", exported_net, pictures, "--out", tmp_path / "maps"]
    assert "wrote 7 maps" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(files_below(tmp_path / "maps")) == 7


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
