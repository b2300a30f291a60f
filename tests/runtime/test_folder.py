from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command import salign
from salign import runtime
from salign.errors import SalignError
from salign.runtime.folder import predict_folder


@pytest.fixture
def by_torch(trained, pictures, tmp_path):
    folder = tmp_path / "torch"
    salign("predict", trained, pictures, "--out", folder / "p.csv", "--maps", folder / "maps", "--workers", 0)
    return folder


def test_the_command_writes_what_the_run_itself_would(exported, pictures, by_torch, tmp_path):
    folder = tmp_path / "onnx"
    ended = salign(
        "predict", exported, pictures, "--out", folder / "p.csv", "--maps", folder / "maps", "--overlays",
        folder / "overlays", "--batch-size", 4,
    )  # fmt: skip
    assert f"wrote {folder / 'p.csv'} (6 images, maps in {folder / 'maps'}, overlays in" in ended.out
    ours, theirs = (pd.read_csv(place / "p.csv") for place in (folder, by_torch))
    numbers = [name for name in theirs if name.startswith(("prob_", "logit_"))]
    np.testing.assert_allclose(ours[numbers], theirs[numbers], atol=1e-5)
    pd.testing.assert_frame_equal(ours.drop(columns=numbers), theirs.drop(columns=numbers))
    names = sorted(path.relative_to(by_torch) for path in (by_torch / "maps").rglob("*.png"))
    assert len(names) == 6
    for name in names:
        a, b = (np.array(Image.open(place / name)).astype(int) for place in (folder, by_torch))
        assert np.abs(a - b).max() <= 1
    assert len(list((folder / "overlays").rglob("*.png"))) == 6


def test_another_threshold_calls_others(exported, trained, pictures, tmp_path):
    for model in (exported, trained):
        ended = salign("predict", model, pictures, "--out", tmp_path / "p.csv", "--threshold", 0, "--workers", 0)
        assert "called 7 from a probability of 0 on (as asked for)" in ended.out
        assert set(pd.read_csv(tmp_path / "p.csv")["predicted_at_threshold"]) == {7}


def test_faulty_images_are_named_or_left_out_by_request(exported, pictures, tmp_path):
    (pictures / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    model = runtime.load(exported)
    with pytest.raises(SalignError, match=r"bad.png: .*--leave-out-faulty goes on"):
        predict_folder(model, pictures, tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()
    count, faults = predict_folder(model, pictures, tmp_path / "p.csv", leave_out=True)
    assert (count, len(faults)) == (6, 1)
    assert "bad.png" in faults[0]
