"""The page of curves holds every epoch's figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from salign.errors import SalignError
from salign.pages.chart import line_chart
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
    assert page.count("<img") == 2
    assert "forgotten</th>" not in page
    right = [[True, True, False, False], [False, False, True, False]]  # one learned, two forgotten
    sure = np.float16([0.75 if one else 0.25 for epoch in right for one in epoch])
    pd.DataFrame(
        {"epoch": [0] * 4 + [1] * 4, "id": list("abcd") * 2, "label": "x", "prob_x": sure, "prob_y": 1 - sure}
    ).to_parquet(tmp_path / "history.parquet", index=False)
    write_curves(run)
    page = (tmp_path / "curves.html").read_text()
    assert page.count("<img") == 3
    for figure in ("0.25", "0.5", "0.75"):
        assert figure in page


def test_a_line_goes_from_its_first_to_its_last_value() -> None:
    pixels = np.asarray(line_chart({"up": [0.0, 1.0, float("nan"), 3.0, 4.0]}))
    assert pixels.shape == (270, 480, 3)
    blue = np.argwhere((pixels == (31, 119, 180)).all(2))  # the first colour of matplotlib
    blue = blue[(blue[:, 1] > 150) | (blue[:, 0] > 100)]  # beside the legend at the top left
    left, right = blue[blue[:, 1].argmin()], blue[blue[:, 1].argmax()]
    assert left[0] > 190
    assert right[0] < 40
    assert right[1] - left[1] > 350


@pytest.mark.parametrize("lines", [{}, {"a": [float("nan")]}, {str(k): [1.0] for k in range(11)}])
def test_a_chart_of_nothing_or_too_much_is_refused(lines: dict) -> None:
    with pytest.raises(SalignError, match="a chart has 1 to 10 lines"):
        line_chart(lines)
