"""Templates of classes: what they answer, and how faults of matrices are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from command import salign
from salign.errors import SalignError
from salign.graphs.matrices import read_matrices, read_subjects, regions, square
from salign.graphs.template import centredness, class_scores, follow_up, medoid, nearest_scores


def made_up(folder: Path) -> np.ndarray:
    """Two classes of 20 subjects with 6 regions; the classes differ in one connection."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    triangles = 0.1 * rng.standard_normal((40, 15)).astype(np.float32)
    triangles[:, 3] += 0.6 * labels
    table = pd.DataFrame({"split": ["train"] * 24 + ["test"] * 16, "diagnosis": np.array(["healthy", "ill"])[labels]})
    table.to_csv(folder / "subjects.csv", index=False)
    np.savez(folder / "m.npz", correlation=triangles)
    return triangles


def test_triangles_and_squares() -> None:
    assert [regions(length) for length in (1, 3, 6, 7, 6670)] == [2, 3, 4, 0, 116]
    assert square(np.array([1, 2, 3])).tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]


def test_matrices_become_triangles(tmp_path: Path) -> None:
    triangles = made_up(tmp_path)
    subjects = read_subjects(tmp_path / "subjects.csv", "diagnosis")
    assert (len(subjects.train), len(subjects.test), subjects.classes) == (24, 16, ("healthy", "ill"))
    np.save(tmp_path / "m.npy", square(triangles))
    for name in ("m.npz", "m.npy"):
        np.testing.assert_allclose(read_matrices(tmp_path / name, subjects)[:, 0], triangles)
    z = read_matrices(tmp_path / "m.npz", subjects, fisher=True)
    np.testing.assert_allclose(z[:, 0], 0.5 * np.log((1 + triangles) / (1 - triangles)), rtol=1e-4, atol=1e-6)
    np.savez(tmp_path / "two.npz", a=triangles, b=2 * triangles)
    np.testing.assert_allclose(read_matrices(tmp_path / "two.npz", subjects, ["b", "a"])[:, 0], 2 * triangles)


def broken(change) -> np.ndarray:
    matrices = np.zeros((40, 4, 4), np.float32)
    change(matrices)
    return matrices


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (broken(lambda m: m.__setitem__((2, 0, 1), np.nan)), "row 4 hold NaN or infinity"),
        (broken(lambda m: m.__setitem__((slice(3, 5), 0, 1), 1)), "row 5, 6 are not symmetric"),
        (np.zeros((39, 6)), r"for the 40 rows of .*, got float64 \(39, 6\)"),
        (np.zeros((40, 7)), "7 numbers are no upper triangle"),
        (np.zeros((40, 0)), "0 numbers are no upper triangle"),
        (np.zeros((40, 3, 4)), "expected square matrices"),
        (np.zeros((40, 1, 1)), "of two regions or more"),
        (np.full((40, 6), 1.5), "row 2, 3, .* and 30 more leave"),
    ],
)
def test_faults_of_matrices_are_told_with_the_row(array: np.ndarray, message: str, tmp_path: Path) -> None:
    made_up(tmp_path)
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(SalignError, match=message):
        read_matrices(tmp_path / "bad.npy", read_subjects(tmp_path / "subjects.csv", "diagnosis"), fisher=True)


def test_faults_of_subjects_and_files_are_told(tmp_path: Path) -> None:
    triangles = made_up(tmp_path)
    subjects = read_subjects(tmp_path / "subjects.csv", "diagnosis")
    np.savez(tmp_path / "two.npz", a=triangles, b=triangles)
    with pytest.raises(SalignError, match="holds the arrays a, b; name one by --array"):
        read_matrices(tmp_path / "two.npz", subjects)
    with pytest.raises(SalignError, match="--array: expected a or b, got 'c'"):
        read_matrices(tmp_path / "two.npz", subjects, ["c"])
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(SalignError, match="cannot be read as NumPy arrays"):
        read_matrices(tmp_path / "text.npy", subjects)
    (tmp_path / "s.csv").write_text("split,diagnosis\ntrain,a\ntrain,\ntest,a\n")
    with pytest.raises(SalignError, match="row 3, diagnosis: the cell is empty"):
        read_subjects(tmp_path / "s.csv", "diagnosis")
    (tmp_path / "s.csv").write_text("split,diagnosis\ntrain,a\ntrain,b\ntest,a\n")
    with pytest.raises(SalignError, match="no subject with another split, to be measured on, has diagnosis b"):
        read_subjects(tmp_path / "s.csv", "diagnosis")


def test_a_file_of_one_array_without_a_name_takes_no_name(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", made_up(tmp_path))
    subjects = [tmp_path / "m.npy", tmp_path / "subjects.csv", "--label", "diagnosis"]
    said = salign("graph", "template", *subjects, "--array", "a", "--out", tmp_path / "out", code=2).err
    assert "holds one array without a name; leave the option out" in " ".join(said.split())


def test_scores_are_minus_squared_distances_and_order_as_a_line_does() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors, templates = torch.randn(9, 4, generator=generator), torch.randn(2, 4, generator=generator)
    scores = nearest_scores(vectors, templates)
    expected = [
        [-sum((a - b) ** 2 for a, b in zip(x, t, strict=True)) for t in templates.tolist()] for x in vectors.tolist()
    ]
    torch.testing.assert_close(scores, torch.tensor(expected))
    line = vectors @ (templates[1] - templates[0])
    assert (scores[:, 1] - scores[:, 0]).argsort().tolist() == line.argsort().tolist()


def test_medoid_centredness_and_follow_up() -> None:
    vectors = torch.tensor([[0.0, 0], [1, 0], [0, 2], [9, 9]])
    assert medoid(vectors).tolist() == [1, 0]  # 1 + 2.2 + 12.0 is below 1 + 2 + 12.7 of the first
    assert float(centredness(torch.zeros(2), vectors[:3])) == pytest.approx(1)
    predicted = follow_up(vectors[:2], torch.tensor([1.0, 1]), torch.tensor([3.0, 0]))
    assert predicted.tolist() == [[2, -1], [3, -1]]


def test_a_clear_difference_is_answered_right(tmp_path: Path) -> None:
    triangles = made_up(tmp_path)
    subjects = read_subjects(tmp_path / "subjects.csv", "diagnosis")
    arguments = subjects.labels, subjects.train, subjects.test, np.random.default_rng(0)
    scores, templates = class_scores(triangles, *arguments)
    assert list(scores) == ["mean", "median", "geometric_median", "random subject", "medoid", "all subjects"]
    truth = subjects.labels[subjects.test]
    for name in ("mean", "median", "geometric_median"):
        assert (scores[name].argmax(1) == truth).all()
    apart = scores["all subjects"][:, 1] - scores["all subjects"][:, 0]
    assert apart[truth == 1].min() > apart[truth == 0].max()
    np.testing.assert_allclose(templates["mean"][1], triangles[:24][subjects.labels[:24] == 1].mean(0), rtol=1e-5)


def test_the_command_writes_templates_figures_and_a_page(tmp_path: Path) -> None:
    triangles = made_up(tmp_path)
    np.save(tmp_path / "later.npy", square(triangles + 0.25))
    options = [
        "--label",
        "diagnosis",
        "--follow-up",
        tmp_path / "later.npy",
        "--dgn",
        "--quiet",
        "--out",
        tmp_path / "out",
    ]
    done = salign("graph", "template", tmp_path / "m.npz", tmp_path / "subjects.csv", *options)
    assert "geometric_median: AUROC 1.000" in done.out
    figures = pd.read_csv(tmp_path / "out" / "figures.csv").set_index(["figure", "name"])["value"]
    assert figures["auroc", "all subjects"] == 1
    assert figures["balanced_accuracy", "mean"] == 1
    # The later matrices are the earlier ones and a quarter.
    assert figures["follow-up error", "no change"] == pytest.approx(0.25, abs=1e-5)
    assert figures["follow-up error", "geometric_median"] == pytest.approx(0, abs=1e-4)
    assert figures["distance", "dgn"] > figures["distance", "geometric_median"] > 0
    with np.load(tmp_path / "out" / "templates.npz") as file:
        assert file["classes"].tolist() == ["healthy", "ill"]
        assert file["mean"].shape == (2, 6, 6)
        np.testing.assert_allclose(file["mean"], file["mean"].transpose(0, 2, 1))
    page = (tmp_path / "out" / "page.html").read_text()
    assert "random subject" in page
    assert "<img" in page
