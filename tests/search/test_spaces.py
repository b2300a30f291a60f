"""Spaces: their graphs, their cells, and tables of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from salign.errors import SalignError
from salign.search.spaces import SPACES, Space, read_cells, read_space, values_of


def test_the_graph_of_nasbench201_is_the_line_graph_of_its_cell() -> None:
    space = SPACES["nasbench201"]
    edges = ["01", "02", "12", "03", "13", "23"]
    expected = np.zeros((8, 8))
    for a, first in enumerate(edges):
        for b, second in enumerate(edges):
            if first[1] == second[0]:
                expected[a, b] = expected[b, a] = 1
        if first[0] == "0":
            expected[a, 6] = expected[6, a] = 1  # fed by the input
        if first[1] == "3":
            expected[a, 7] = expected[7, a] = 1  # feeds the output
    assert (space.adjacency() == expected).all()
    assert space.size == 15625
    assert len(space.cells()) == 15625
    assert space.describe([0, 1, 2, 3, 4, 0]) == "none skip_connect nor_conv_1x1 nor_conv_3x3 avg_pool_3x3 none"


def test_the_size_of_a_large_space_is_exact() -> None:
    space = Space("large", (("a", "b"),) * 64, ())
    assert space.size == 2**64
    with pytest.raises(SalignError, match="18,446,744,073,709,551,616 candidates"):
        space.cells()


def test_nasbench_macro_is_a_chain() -> None:
    matrix = SPACES["nasbench_macro"].adjacency()
    assert matrix.sum() == 2 * 9
    assert [int(matrix[layer, layer + 1]) for layer in range(7)] == [1] * 7
    assert (matrix[8, 0], matrix[7, 9]) == (1, 1)


def test_a_space_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "nets.yaml"
    path.write_text("model.backbone: [resnet18, resnet34, resnet50]\ntrain.lr: [0.1, 0.01]\n")
    space = read_space(str(path))
    assert space.cells().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]
    assert space.describe([2, 1]) == "model.backbone=resnet50, train.lr=0.01"
    assert values_of(str(path), [1, 0]) == {"model": {"backbone": "resnet34"}, "train": {"lr": 0.1}}
    for text in ("[a]", "a: 3", "a: [1]", "a: [1, 1]"):
        path.write_text(text)
        with pytest.raises(SalignError, match="expected"):
            read_space(str(path))
    huge = Space("huge", (("a",) * 10,) * 6, ())
    with pytest.raises(SalignError, match="1,000,000 candidates"):
        huge.cells()


def test_a_table_of_cells(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("code,value,note\n01200012,3.5,\n22222222,,x\n")
    _, cells, values = read_cells(path, SPACES["nasbench_macro"], "value")
    assert cells.tolist() == [[0, 1, 2, 0, 0, 0, 1, 2], [2] * 8]
    assert values[0] == 3.5
    assert np.isnan(values[1])
    path.write_text("code,value\n0120001,1\n01200013,1\n22222222,nan!\n22222222,1\n")
    with pytest.raises(SalignError) as told:
        read_cells(path, SPACES["nasbench_macro"], "value")
    assert str(told.value).splitlines()[1:] == [
        "  row 2, code: expected 8 digits, one per slot of nasbench_macro, got '0120001'",
        "  row 3, code: '01200013' has the unknown operation 3 in slot 8; there are 0 identity, 1 mbconv_k3_e3, "
        "2 mbconv_k5_e6",
        "  row 4, value: expected a finite number, got 'nan!'",
        "  row 5, code: this cell comes twice",
    ]
