from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from command import salign
from salign import runtime
from salign.errors import SalignError
from salign.models import load
from salign.runs import export
from salign.runs.export import Comparison, export_run
from salign.runs.run import Run

DRAWER = Path(__file__).parents[1] / "fixtures" / "earlier" / "runs" / "maps-0858044f"


def test_the_command_writes_a_described_file_and_its_comparison(trained, tmp_path):
    out = tmp_path / "here.onnx"
    ended = salign("export", trained, "--out", out, "--images", 6)
    assert "compared with torch on 6 validation images" in ended.out
    assert f"wrote {out} (" in ended.last
    described = json.loads({pair.key: pair.value for pair in onnx.load(out).metadata_props}["salign"])
    written = json.loads((trained / "model.json").read_text())
    digest = hashlib.sha256((trained / "weights.safetensors").read_bytes()).hexdigest()
    assert described["threshold"] == written["threshold"]
    assert {key: described[key] for key in ("classes", "positive", "image_size", "weights_sha256", "maps")} == {
        "classes": ["1", "7"], "positive": "7", "image_size": [64, 64], "weights_sha256": digest, "maps": "answered",
    }  # fmt: skip
    assert trained.name.endswith(described["recipe_fingerprint"])
    beside = json.loads((tmp_path / "here.onnx.json").read_text())
    compared = beside.pop("compared_with_torch")
    assert beside == described
    assert compared["images"] == compared["same_answer"] == 6
    assert compared["probability"] <= 1e-5
    assert compared["map_correlation"] >= 0.9999


@pytest.mark.parametrize(("same", "warned"), [(94, True), (95, False)])
def test_a_file_that_answers_otherwise_is_warned_of(trained, tmp_path, monkeypatch, same, warned):
    (tmp_path / "a.onnx").write_bytes(b"")
    compared = Comparison(100, 0.9, 5.0, same, 0.2, 0.7, 0.8, 0.7)
    monkeypatch.setattr(export, "export_run", lambda *_, **__: (tmp_path / "a.onnx", compared))
    ended = salign("export", trained, "--precision", "int8", "--out", tmp_path / "b.onnx")
    assert ("warning: to 6 of 100 images the file answers otherwise" in ended.err.replace("\n", " ")) == warned


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "within"), [("float16", 1e-3), ("int8", 0.05)])
def test_fewer_bits_are_measured_and_smaller(trained, exported, tmp_path, precision, within):
    path, compared = export_run(Run.open(trained), tmp_path / "few.onnx", precision=precision, images=4)
    assert path.stat().st_size < 0.6 * exported.stat().st_size
    assert 0 < compared.probability < within
    assert 0.9 < compared.map_correlation < 1
    assert runtime.load(path).description["precision"] == precision


@pytest.mark.slow
def test_the_program_of_torch(trained, tmp_path):
    path, compared = export_run(Run.open(trained), tmp_path / "model.pt2", format="pt2", images=4)
    assert compared.exact
    extra = {"salign.json": ""}
    program = torch.export.load(path, extra_files=extra).module()
    assert json.loads(extra["salign.json"])["classes"] == ["1", "7"]
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    expected = load(trained)(pixels.permute(0, 3, 1, 2).float() / 255).logits.softmax(1)
    torch.testing.assert_close(program(pixels)[0], expected)


def test_a_file_that_departs_is_not_written(trained, tmp_path, monkeypatch):
    far = Comparison(4, 2e-5, 10.0, 4, 1.0, 1.0, 1.0, 1.0)
    monkeypatch.setattr(export, "_compare", lambda *_: far)
    with pytest.raises(SalignError, match=r"was not written: .* by 2e-05 \(allowed: 1e-05\)"):
        export_run(Run.open(trained), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    correlations = {None: True, 1.0: True, 0.9999: True, 0.99: False, 0.0: False}
    assert Comparison(4, 2e-5, 26.0, 4, None, None, 1.0, 1.0).exact  # as far as float32 lies from float64 there
    assert {r: Comparison(4, 1e-5, 1.0, 4, r, r, 1.0, 1.0).exact for r in correlations} == correlations


def test_what_cannot_be_exported_is_refused(trained):
    with pytest.raises(SalignError, match=r"is a net that draws maps; salign\.runs\.export_net\.export_net writes it"):
        export_run(Run.open(DRAWER))
    with pytest.raises(SalignError, match="expected float32 for --format pt2, got int8"):
        export_run(Run.open(trained), format="pt2", precision="int8")
    with pytest.raises(SalignError, match="precision: expected float32, float16 or int8, got 'int4'"):
        export_run(Run.open(trained), precision="int4")


def test_the_comparison_of_maps_is_pearson():
    ours, other = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    assert export.correlation(ours, other) == pytest.approx(np.corrcoef(ours.ravel(), other.ravel())[0, 1])
    assert export.correlation(ours, np.ones_like(ours)) == 0
