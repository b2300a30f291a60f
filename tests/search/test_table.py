"""`salign search` with a table, as a user runs it."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from command import salign
from salign.search.predictor import fit_ranks


def test_a_table_in_and_a_table_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("salign.search.rank.fit_ranks", functools.partial(fit_ranks, epochs=3))
    cells = np.unique(np.random.default_rng(0).integers(0, 3, (40, 8)), axis=0)
    values = (cells * [4, 3, 2, 2, 1, 1, 1, 1]).sum(1)
    table = pd.DataFrame(
        {"code": ["".join(map(str, cell)) for cell in cells.tolist()], "accuracy": values.astype(float)}
    )
    table.loc[table.index >= 25, "accuracy"] = np.nan
    table.to_csv(tmp_path / "cells.csv", index=False)
    options = ["--space", "nasbench_macro", "--target", "accuracy", "--predictor", "ridge", "--order", "none"]
    done = salign("search", tmp_path / "cells.csv", *options, "--out", tmp_path / "out")
    taught = f"25 of {len(cells)} cells taught the predictors; they were measured in cross-validation."
    assert taught in done.out
    assert "Kendall's tau: gin" in done.out
    ranking = pd.read_csv(tmp_path / "out" / "cells-accuracy" / "ranking.csv", dtype={"code": str})
    assert list(ranking) == ["rank", "code", "cell", "measured", "predicted", "used"]
    assert ranking["rank"].tolist() == list(range(1, len(cells) + 1))
    unmeasured = ranking[~ranking["used"]]
    assert unmeasured["measured"].isna().all()
    truth = dict(zip(table["code"], values, strict=True))
    order = [truth[code] for code in unmeasured["code"]]
    assert np.corrcoef(order, np.arange(len(order)))[0, 1] < -0.8
    page = (tmp_path / "out" / "cells-accuracy" / "page.html").read_text()
    assert "Predicted and measured" in page
