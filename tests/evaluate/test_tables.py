"""Tables of figures are read as they were computed, whatever an image is called."""

from __future__ import annotations

import numpy as np

from salign.evaluate.tables import read_figures


def test_text_stays_text_and_an_empty_number_is_missing(tmp_path) -> None:
    path = tmp_path / "figures.csv"
    path.write_text("id,set,value\nNA,001,0.5\nnan,,\nnull,1e3,3\n")
    table = read_figures(path, ["id", "set", "not there"])
    assert table["id"].tolist() == ["NA", "nan", "null"]
    assert table["set"].tolist() == ["001", "", "1e3"]
    np.testing.assert_array_equal(table["value"], [0.5, np.nan, 3.0])
