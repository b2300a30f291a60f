from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.utils.class_weight import compute_class_weight

from salign.data.controls import shuffled, subset
from salign.data.manifest import Manifest, ManifestError
from salign.train.prepare import balanced_weights, prepare
from salign.train.recipe import DataRecipe
from salign.types import SalignError


@pytest.fixture
def folder(tmp_path):
    """24 images: three classes, splits train, val, test, other; every second has a map; a free column."""
    rng = np.random.default_rng(0)
    rows = []
    for k in range(24):
        for kind in "im":
            Image.fromarray(rng.integers(0, 255, (12, 16), dtype=np.uint8)).save(tmp_path / f"{kind}{k}.png")
        split = ("train", "train", "val", "test", "test", "other")[k // 4]
        rows.append((f"n{k}", f"i{k}.png", "xyz"[k % 3], split, f"m{k}.png" if k % 2 else None, "fm"[k % 2]))
    columns = ["id", "path", "label", "split", "saliency", "sex"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path


def ready(folder, **keys):
    return prepare(DataRecipe(manifest=str(folder / "manifest.csv"), **{"image_size": 16, **keys}))


def ids(dataset):
    return dataset.manifest.table["id"].tolist()


def test_each_role_gets_its_rows_and_classes_in_order(folder):
    data = ready(folder)
    assert (data.classes, data.positive, data.left_out) == (("x", "y", "z"), None, ())
    assert ids(data.train) == [f"n{k}" for k in range(8)]
    assert ids(data.val) == [f"n{k}" for k in range(8, 12)]
    assert {name: ids(test) for name, test in data.tests.items()} == {"test": [f"n{k}" for k in range(12, 20)]}
    assert data.train.labels.tolist() == [k % 3 for k in range(8)]
    assert data.train.annotated.tolist() == [False, True] * 4
    named = ready(folder, test={"far": ["other", "test"], "near": ["test"]})
    assert list(named.tests) == ["far", "near"]
    assert ids(named.tests["far"]) == [f"n{k}" for k in range(12, 24)]
    assert ready(folder, test=[]).tests == {}


def test_chosen_classes_order_the_logits_and_leave_others_out(folder):
    data = ready(folder, classes=["z", "x"])
    assert (data.classes, data.positive) == (("z", "x"), "x")
    assert ids(data.train) == ["n0", "n2", "n3", "n5", "n6"]
    assert data.train.labels.tolist() == [1, 0, 1, 0, 1]
    assert ready(folder, classes=["z", "x"], positive="z").positive == "z"
    with pytest.raises(SalignError, match="'y' is none of the classes z, x"):
        ready(folder, classes=["z", "x"], positive="y")


def test_limit_and_control_maps_touch_training_only(folder):
    plain, changed = ready(folder), ready(folder, limit=6, maps="shuffled", seed=4)
    manifest = Manifest.read(folder / "manifest.csv")
    expected = shuffled(subset(manifest.select(["train"]), 6, 4), 4)
    assert changed.train.manifest.table.equals(expected.table)
    assert changed.val.manifest.table.equals(plain.val.manifest.table)
    assert changed.tests["test"].manifest.table.equals(plain.tests["test"].manifest.table)
    with pytest.raises(SalignError, match=r"data\.maps: unknown 'mine'; there are own, shuffled"):
        ready(folder, maps="mine")


def test_only_training_is_augmented(folder):
    data = ready(folder, augment="standard")
    for dataset, varies in ((data.train, True), (data.val, False), (data.tests["test"], False)):
        first, second = dataset[1, 10].images, dataset[1, 11].images
        assert torch.equal(first, second) != varies


def test_faults_stop_before_training_with_every_row(folder):
    table = pd.read_csv(folder / "manifest.csv")
    table.loc[table["id"] == "n12", "split"] = "val"  # a second of its class in validation
    table.to_csv(folder / "manifest.csv", index=False)
    (folder / "i1.png").write_bytes(b"broken")
    Image.new("L", (1, 1)).save(folder / "i9.png")
    Image.new("L", (16, 16), 9).save(folder / "m13.png")
    (folder / "i23.png").write_bytes(b"broken, but in no split that is used")
    with pytest.raises(ManifestError) as caught:
        ready(folder)
    assert [(fault.row, fault.column) for fault in caught.value.faults] == [(3, "path"), (11, "path"), (15, "saliency")]
    data = ready(folder, faults="leave_out")
    assert [fault.row for fault in data.left_out] == [3, 11, 15]
    assert "n1" not in ids(data.train)
    assert "n9" not in ids(data.val)
    assert "n13" not in ids(data.tests["test"])


def test_leave_out_decodes_so_that_damage_inside_is_found(folder):
    whole = (folder / "i2.png").read_bytes()
    (folder / "i2.png").write_bytes(whole[: len(whole) // 2])
    assert "n2" in ids(ready(folder).train)  # headers are in order; training itself will name the row
    data = ready(folder, faults="leave_out")
    assert [fault.row for fault in data.left_out] == [4]
    assert "n2" not in ids(data.train)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train": ["trian"]}, "no row has split 'trian'; there are other, test, train, val"),
        ({"val": ["vla"]}, "'vla'"),
        ({"test": ["tset"]}, "'tset'"),
        ({"classes": ["x", "w"]}, "no row has label 'w'; there are x, y, z"),
        ({"groups": ["age"]}, r"data\.groups: .*no column 'age'; there are .*sex"),
        ({"species": "kind"}, r"data\.species: .*no column 'kind'"),
        ({"test": {"val": ["test"]}}, r"data\.test: .*'val'"),
        ({"test": ["val"]}, r"data\.test: .*'val'"),
        ({"test": {"a/b": ["test"]}}, r"data\.test: .*'a/b'"),
    ],
)
def test_what_is_not_there_is_named_before_training(folder, keys, message):
    with pytest.raises(SalignError, match=message):
        ready(folder, **keys)


def test_a_column_that_would_stand_twice_in_the_predictions_is_refused(folder):
    path = folder / "manifest.csv"
    path.write_text(path.read_text().replace("saliency,sex", "saliency,prob_x"))
    with pytest.raises(SalignError, match="'prob_x' would stand twice"):
        ready(folder)


def test_training_and_validation_need_every_class(folder):
    table = pd.read_csv(folder / "manifest.csv")
    table.loc[table["split"].eq("val") & table["label"].eq("x"), "split"] = "other"
    table.to_csv(folder / "manifest.csv", index=False)
    with pytest.raises(SalignError, match="the validation set has no image of x"):
        ready(folder)


def test_a_class_that_training_does_not_have_is_named_with_its_row(folder):
    table = pd.read_csv(folder / "manifest.csv")
    table.loc[[12, 15], "label"] = ["w", "x "]
    table.to_csv(folder / "manifest.csv", index=False)
    with pytest.raises(ManifestError, match=r"row 14, label: unknown class 'w'; expected one of x, y, z") as caught:
        ready(folder)
    assert [fault.row for fault in caught.value.faults] == [14, 17]
    assert "n12" not in ids(ready(folder, classes=["x", "y", "z"]).tests["test"])  # as asked for: others are left out


def test_balanced_weights_are_those_of_scikit_learn():
    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 4)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    np.testing.assert_allclose(balanced_weights(labels, 3).numpy(), expected, rtol=1e-6)
