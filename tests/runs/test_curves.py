"""The page of curves holds every epoch's figures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from salign.runs.curves import write_curves
from salign.runs.run import Run


def test_the_page_says_what_was_learned_and_forgotten(tmp_path: Path) -> None:
    metrics = {"epoch": [0, 1], "lr": [0.1, 0.05], "train/loss": [0.9, 0.4], "val/loss": [0.8, 0.5]}
    pd.DataFrame({**metrics, "val/auroc": [0.5, 0.75], "val/accuracy": [0.5, 0.25]}).to_csv(
        tmp_path / "metrics.csv", index=False
    )
    run = Run(tmp_path)
    vars(run)["_described"] = {"multi_label": False}
    page = write_curves(run).read_text()
    assert page.count("<svg") == 2
    assert "forgotten</th>" not in page
    right = [[True, True, False, False], [False, False, True, False]]  # one learned, two forgotten
    sure = np.float16([0.75 if one else 0.25 for epoch in right for one in epoch])
    pd.DataFrame(
        {"epoch": [0] * 4 + [1] * 4, "id": list("abcd") * 2, "label": "x", "prob_x": sure, "prob_y": 1 - sure}
    ).to_parquet(tmp_path / "history.parquet", index=False)
    write_curves(run)
    page = (tmp_path / "curves.html").read_text()
    assert page.count("<svg") == 3
    rows = re.findall(r"<tr>(.*?)</tr>", page.replace("\n", ""))
    assert [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows[1:]] == [
        ["1", "0.1", "0.9", "0.8", "0.5", "0.5", "0.25", "0.5"],
        ["2", "0.05", "0.4", "0.5", "0.75", "0.25", "0.0", "0.0"],
    ]
