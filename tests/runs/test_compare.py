from __future__ import annotations

import json
import os
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mutations import survive
from references.comparison import delong_variance
from salign.errors import SalignError
from salign.runs.compare import compare_aurocs, compare_runs, read_maps
from salign.runs.run import Run


def analysed(path, classes=("a", "b"), **sets):
    """A run folder that holds no more than an analysis: `sets` gives `(ids, maps, predicted)` each."""
    (path / "analysis").mkdir(parents=True)
    config = {"backbone": "test_resnet", "classes": list(classes), "image_size": [8, 8]}
    (path / "model.json").write_text(json.dumps(config))
    arrays = {}
    for name, (ids, maps, predicted) in sets.items():
        answer(path / "predictions" / f"{name}.csv", ids, classes, predicted)
        arrays |= {
            f"{name}/ids": np.array(ids),
            f"{name}/maps": np.asarray(maps, np.float16),
            f"{name}/human": np.zeros((4, 4), np.float32),
            f"{name}/annotated": np.ones(len(ids), bool),
            f"{name}/predicted": np.array(predicted),
        }
    np.savez(path / "analysis" / "maps.npz", **arrays)
    (path / "analysis" / "done").touch()
    return Run(path)


def answer(path, ids, classes, predicted):
    """Predictions that give each image its class with a probability of .9; their labels take turns."""
    path.parent.mkdir(exist_ok=True)
    columns = [
        "id",
        "path",
        "split",
        "label",
        "predicted",
        *(f"{kind}_{c}" for kind in ("logit", "prob") for c in classes),
    ]
    rows = []
    for k, (name, number) in enumerate(zip(ids, predicted, strict=True)):
        sure = [0.9 if one == number else 0.1 for one in range(len(classes))]
        rows.append([name, name, "", classes[k % 2], classes[number], *np.log(sure), *sure])
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)


@pytest.fixture
def maps():
    return np.random.default_rng(0).random((3, 4, 4, 4))


def test_pairs_of_runs_are_averaged(tmp_path, maps):
    ids = ["p", "q", "r", "s"]
    answers = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 0, 1]])
    runs = [
        analysed(tmp_path / str(k), val=(ids, maps[k], answers[k]), only=(ids, maps[k], answers[k])) for k in range(2)
    ]
    runs.append(analysed(tmp_path / "2", val=(ids, maps[2], answers[2])))
    found = compare_runs(runs)
    assert found[["set", "runs", "images"]].to_numpy().tolist() == [["val", 3, 4]]
    pairs = [(0, 1), (0, 2), (1, 2)]
    correlations = [np.corrcoef(maps[a, n].ravel(), maps[b, n].ravel())[0, 1] for a, b in pairs for n in range(4)]
    assert found["maps"][0] == pytest.approx(np.mean(correlations), abs=1e-3)
    assert found["answers"][0] == pytest.approx(np.mean([(answers[a] == answers[b]).mean() for a, b in pairs]))
    assert found["note"].tolist() == [""]
    assert compare_runs(runs[:2])["set"].tolist() == ["val", "only"]


def test_runs_that_agree_as_each_answers_alike_to_everything_are_named(tmp_path, maps):
    answers = {"first": [1, 1, 1, 1], "second": [0, 1, 0, 1], "third": [1, 1, 1, 1]}
    runs = [analysed(tmp_path / name, val=(list("pqrs"), maps[0], one)) for name, one in answers.items()]
    (row,) = compare_runs(runs).itertuples()
    assert row.answers == pytest.approx((0.5 + 1 + 0.5) / 3)
    said = (
        "all 4 images are called b, with probabilities that differ by at most 0: the classifier tells no images apart, "
        "and neither its accuracy nor answers that stay or agree speak for it"
    )
    assert row.note == f"first: {said}; third: {said}"


def test_constant_maps_are_left_out_and_finer_maps_are_shrunk(tmp_path, maps):
    coarse = maps[0].copy()
    coarse[0] = 0
    fine = maps[0].repeat(2, axis=1).repeat(2, axis=2)
    runs = [
        analysed(tmp_path / "coarse", val=(list("pqrs"), coarse, [0] * 4)),
        analysed(tmp_path / "fine", val=(list("pqrs"), fine, [1] * 4)),
    ]
    found = compare_runs(runs)
    assert (found["maps"][0], found["answers"][0]) == (pytest.approx(1, abs=1e-5), 0)


def test_what_cannot_be_compared(tmp_path, maps):
    same = (list("pqrs"), maps[0], [0] * 4)
    run = analysed(tmp_path / "run", val=same)
    with pytest.raises(SalignError, match="at least two runs; got 1"):
        compare_runs([run])
    for other in (
        analysed(tmp_path / "classes", classes=("b", "a"), val=same),
        analysed(tmp_path / "images", val=(list("pqrt"), maps[0], [0] * 4)),
    ):
        with pytest.raises(SalignError, match="not analysed on the same images and classes of val"):
            compare_runs([run, other])
    shutil.rmtree(run.path / "analysis")
    with pytest.raises(SalignError, match="has not been analysed"):
        read_maps(run)


GOOD = {
    "test/ids": np.array(["a", "b"]),
    "test/maps": np.linspace(0, 1, 24).reshape(2, 3, 4).astype(np.float16),
    "test/human": np.eye(3, 4, dtype=np.float32),
    "test/annotated": np.array([True, False]),
    "test/predicted": np.array([1, 0]),
}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "analysis"
    folder.mkdir()
    (folder / "done").write_text("")
    np.savez_compressed(folder / "maps.npz", **GOOD)
    return Run(tmp_path)


def test_they_come_back(run):
    (maps,) = read_maps(run).values()
    for field, values in maps._asdict().items():
        np.testing.assert_array_equal(values, GOOD[f"test/{field}"])


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("annotated", np.array([True]), r"annotated: unexpected bool of shape \(1,\)"),
        ("human", np.zeros(3, np.float32), r"human: unexpected float32 of shape \(3,\)"),
        ("ids", np.array([1, 2]), "ids: unexpected int64"),
        ("maps", np.zeros(2, np.float16), "not enough values"),
        ("maps", np.float16(1), "not enough values"),
        ("predicted", np.array([object(), 1]), "allow_pickle"),
    ],
)
def test_what_does_not_fit_together_is_refused(run, field, value, complaint):
    np.savez_compressed(run.path / "analysis/maps.npz", **{**GOOD, f"test/{field}": value})
    with pytest.raises(SalignError, match=rf"maps\.npz is damaged \(.*{complaint}.*run salign analyse .* again"):
        read_maps(run)


def test_a_part_that_is_missing_a_cut_file_and_a_pipe(run):
    path = run.path / "analysis/maps.npz"
    whole = path.read_bytes()
    np.savez(path, **{key: value for key, value in GOOD.items() if key != "test/human"})
    with pytest.raises(SalignError, match=r"maps\.npz is damaged \(.*test/human"):
        read_maps(run)
    path.write_bytes(whole[:-30])
    with pytest.raises(SalignError, match=r"maps\.npz is damaged"):
        read_maps(run)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SalignError, match=r"maps\.npz is a named pipe"):
        read_maps(run)


def test_maps_that_unpack_to_more_than_the_memory_are_not_unpacked(run):
    path = run.path / "analysis/maps.npz"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.npy", b"")
        archive.infolist()[-1].file_size = 5_000_000_000
    with pytest.raises(SalignError, match="more than 4,000,000,000 bytes when unpacked"):
        read_maps(run)


def test_mutated_files(run):
    path = run.path / "analysis/maps.npz"
    survive(path, [path.read_bytes()], lambda _: list(read_maps(run).values()), lambda found: None)


def scored(path, recipe, labels, scores, order=slice(None)):
    """A run whose sets are alike: label and probability of class b of each image; an empty label is unknown."""
    table = pd.DataFrame({"id": [f"i{k}" for k in range(len(labels))], "path": "p", "split": "test", "label": labels})
    table["predicted"] = np.where(np.array(scores) >= 0.5, "b", "a")
    table = table.assign(logit_a=0.0, logit_b=0.0, prob_a=1 - np.array(scores), prob_b=scores)
    (path / "predictions").mkdir(parents=True)
    for name in ("val", "test"):
        table.iloc[order].to_csv(path / "predictions" / f"{name}.csv", index=False)
    (path / "model.json").write_text(
        json.dumps({"backbone": "test_resnet", "classes": ["a", "b"], "image_size": [8, 8]})
    )
    (path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return Run(path)


@pytest.mark.parametrize("positive", ["a", "b", None])
def test_two_areas_on_one_test_set_are_compared_by_delong(tmp_path, positive):
    labels = ["a", "b", "", "b", "a", "a", "b", "b", "a"]
    first, second = [0.1, 0.9, 0.5, 0.4, 0.3, 0.45, 0.8, 0.3, 0.2], [0.6, 0.55, 0.1, 0.4, 0.3, 0.7, 0.65, 0.2, 0.2]
    recipe = {"name": "x", "data": {"manifest": "m.csv", "positive": positive}}
    one = scored(tmp_path / "one", recipe, labels, first)
    two = scored(tmp_path / "two", recipe, labels, second, order=slice(None, None, -1))
    found = compare_aurocs([one, two])
    assert found[["set", "run", "reference", "images"]].to_numpy().tolist() == [
        ["val", "two", "one", 8],
        ["test", "two", "one", 8],
    ]
    known = [k for k, label in enumerate(labels) if label]
    truth = [labels[k] == (positive or "b") for k in known]
    sign = -1 if positive == "a" else 1
    new, old = ([sign * scores[k] for k in known] for scores in (second, first))
    areas = roc_auc_score(truth, new), roc_auc_score(truth, old)
    error = delong_variance(truth, new, old) ** 0.5
    row = found.iloc[1]
    assert (row["auc_first"], row["auc_second"]) == pytest.approx(areas)
    assert row["difference"] == pytest.approx(areas[0] - areas[1])
    assert (row["low"], row["high"]) == pytest.approx(
        tuple(areas[0] - areas[1] + k * 1.959964 * error for k in (-1, 1))
    )
    assert row["p"] == pytest.approx(2 * norm.sf(abs(areas[0] - areas[1]) / error))


def test_areas_on_other_images_are_not_compared(tmp_path):
    recipe = {"name": "x", "data": {"manifest": "m.csv"}}
    one = scored(tmp_path / "one", recipe, ["a", "b", "b"], [0.1, 0.9, 0.2])
    two = scored(tmp_path / "two", recipe, ["a", "a", "b"], [0.1, 0.9, 0.2])
    with pytest.raises(SalignError, match="did not answer the same images of val"):
        compare_aurocs([one, two])
