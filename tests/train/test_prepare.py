from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.utils.class_weight import compute_class_weight

from salign.data.controls import BY_SHARE, CONTROLS, keep_maps, shuffled, subset
from salign.data.controls.pixels import inverted
from salign.data.manifest import Manifest, ManifestError, verdict
from salign.data.shards import write_shards
from salign.errors import SalignError
from salign.models import SaliencyNet
from salign.train import prepare as prepare_module
from salign.train.prepare import balanced_weights, check_classes, of_machines, prepare
from salign.train.recipe import DataRecipe, Recipe


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
    return prepare(DataRecipe(manifest=str(folder / "manifest.csv"), **{"image_size": 16, "augment": "none", **keys}))


def ids_of(manifest):
    return manifest.table["id"].tolist()


def ids(dataset):
    return ids_of(dataset.manifest)


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


def test_images_of_a_large_manifest_that_could_be_read_are_not_looked_at_again(folder, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setattr(prepare_module, "MANY", 20)
    monkeypatch.setattr(verdict.time, "time_ns", lambda: int((time.time() + 60) * 1e9))
    looked, look = [], prepare_module.find_faults
    monkeypatch.setattr(prepare_module, "find_faults", lambda *of, **how: [looked.append(1), *look(*of, **how)][1:])
    assert ids(ready(folder).train) == ids(ready(folder, seed=4).train)
    assert len(looked) == 1
    ready(folder, test=["test", "other"])  # images that nobody has looked at
    assert len(looked) == 2
    (folder / "i0.png").unlink()
    (folder / "i0.png").write_bytes(b"damaged")
    with pytest.raises(ManifestError, match=r"row 2, path: .*i0\.png"):
        ready(folder)
    with pytest.raises(ManifestError, match=r"row 2, path: .*i0\.png"):
        ready(folder)


def test_what_lies_in_shards_is_not_looked_at_and_a_map_beside_them_is(folder, tmp_path_factory, monkeypatch):
    shards = write_shards(Manifest.read(folder / "manifest.csv"), tmp_path_factory.mktemp("s") / "shards", 5).parent
    looked, look = [], prepare_module.find_faults
    monkeypatch.setattr(prepare_module, "find_faults", lambda part, **how: [looked.extend(ids_of(part))] and look(part))
    keys = {"image_size": 16, "augment": "none"}
    data = prepare(DataRecipe(manifest=str(shards / "manifest.parquet"), **keys))
    assert (ids(data.train), looked) == ([f"n{k}" for k in range(8)], [])
    table = pd.read_parquet(shards / "manifest.parquet")
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(shards / "new.png")
    (shards / "torn.png").write_bytes(b"no image")
    table.loc[[2, 4], "saliency"] = ["new.png", "torn.png"]
    table.to_parquet(shards / "more.parquet")
    with pytest.raises(ManifestError, match=r"row 6, saliency: torn\.png"):
        prepare(DataRecipe(manifest=str(shards / "more.parquet"), **keys))
    assert looked == ["n2", "n4"]


def test_as_many_training_images_of_every_class_or_group_are_left(folder):
    data = ready(folder, subsample="classes")
    assert torch.bincount(data.train.labels).tolist() == [2, 2, 2]
    groups = ready(folder, subsample="groups", groups=["sex"], limit=6)
    assert groups.groups == ("sex",)
    held = groups.train.manifest.table.groupby(["label", "sex"]).size()
    assert (held == 1).all()
    assert len(held) == len(groups.train)
    assert ids(groups.val) == [f"n{k}" for k in range(8, 12)]


def test_training_alone_is_given_the_seconds(folder):
    table = pd.read_csv(folder / "manifest.csv").assign(took=[k / 2 for k in range(11)] + ["long"] * 13)
    table.to_csv(folder / "manifest.csv", index=False)
    data = ready(folder, seconds_column="took")
    assert [float(data.train[k].seconds) for k in range(8)] == [k / 2 for k in range(8)]
    assert data.val[0].seconds.isnan()
    with pytest.raises(ManifestError, match="row 13, took: 'long' is no time"):
        ready(folder, train=["train", "val"], seconds_column="took")


def test_training_alone_is_given_soft_targets(folder):
    (folder / "soft.csv").write_text("id,z,y,x\nn6,0.5,0.25,0.25\nn1,0,0,1\nn8,1,0,0\n")
    data = ready(folder, targets=str(folder / "soft.csv"), limit=6, seed=4)
    soft = {"n6": [0.25, 0.25, 0.5], "n1": [1, 0, 0]}
    expected = [soft.get(name, [float(k == int(name[1:]) % 3) for k in range(3)]) for name in ids(data.train)]
    assert {"n6", "n1"} & set(ids(data.train))
    assert [data.train[i].targets.tolist() for i in range(6)] == expected
    assert data.train.take([4, 1])[0].targets.tolist() == expected[4]
    assert data.val[0].targets is None
    (folder / "soft.csv").write_text("id,z,y\nn6,0.5,0.5\n")
    with pytest.raises(ManifestError, match="x: the column is missing"):
        ready(folder, targets=str(folder / "soft.csv"))


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


@pytest.mark.parametrize("maps", ["own", "shuffled", "shuffled_within"])
def test_images_that_are_repeated_bring_the_map_that_the_control_gave_them_once(folder, monkeypatch, maps):
    keys = {"train": ["train", "val", "other"], "maps": maps, "seed": 1}
    monkeypatch.setattr("salign.train.prepare.wrong_answers", lambda rows, run, **_: np.arange(len(rows)) % 3 == 0)
    once, repeated = ready(folder, **keys).train, ready(folder, repeat_errors={"of": "run", "times": 4}, **keys).train
    table = once.manifest.table.set_index("id")["saliency"]
    assert ids(repeated) == [name for k, name in enumerate(ids(once)) for _ in range(1 if k % 3 else 4)]
    given = repeated.manifest.table["saliency"]
    assert given.fillna("").tolist() == table[ids(repeated)].fillna("").tolist()
    own = Manifest.read(folder / "manifest.csv").table.set_index("id")["saliency"][ids(repeated)]
    kept = [one == other for one, other in zip(given.dropna(), own.dropna(), strict=True)]
    assert (all(kept), any(kept)) == ((True, True) if maps == "own" else (False, False))


@pytest.fixture
def masked(folder):
    """The same with a column of masks: every image but each fourth has one of its own, dark but for two rows."""
    table = pd.read_csv(folder / "manifest.csv")
    for k in range(24):
        values = np.zeros((12, 16), np.uint8)
        values[[k % 12, (k + 1 + k // 12) % 12]] = 255
        Image.fromarray(values).save(folder / f"k{k}.png")
    table.assign(mask=[f"k{k}.png" if k % 4 else None for k in range(24)]).to_csv(folder / "manifest.csv", index=False)
    return folder


@pytest.mark.parametrize("name", [*sorted(CONTROLS), *(f"{name}@0.5" for name in BY_SHARE)])
def test_each_control_leaves_images_and_counts_and_all_but_training_alone(masked, name):
    keys = {"classes": ["x", "y"], "seed": 3, "train": ["train", "other"], "map_column": "mask"}
    plain, changed = ready(masked, **keys), ready(masked, maps=name, **keys)
    everywhere = name in ("lda_maps", "pca_maps")
    assert torch.equal(plain.train.annotated | everywhere, changed.train.annotated)
    same = 0
    for i in range(len(plain.train)):
        one, other = plain.train[i, 1], changed.train[i, 1]
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
        assert bool(one.saliency.any()) == bool(one.annotated)
        assert bool(other.saliency.any()) == (everywhere or bool(one.annotated))
        same += torch.equal(one.saliency, other.saliency)
    annotated = int(plain.train.annotated.sum())
    kept = {"own": annotated, "boxes": annotated, "shuffled@0.5": annotated // 2}.get(name, 0)  # rows are boxes
    assert same == (0 if everywhere else len(plain.train) - annotated + kept)
    for before, after in ((plain.val, changed.val), (plain.tests["test"], changed.tests["test"])):
        assert before.manifest.table.equals(after.manifest.table)
        assert all(torch.equal(before[i].saliency, after[i].saliency) for i in range(len(before)))


def test_a_map_that_moves_to_an_image_of_another_shape_is_stretched_and_an_own_one_is_refused(masked):
    table = pd.read_csv(masked / "manifest.csv").set_index("id")
    tall = np.zeros((30, 8), np.uint8)
    tall[:15] = 255
    for name in table.loc["n1", ["path", "mask"]]:
        Image.fromarray(tall).save(masked / name)
    train = ready(masked, map_column="mask", maps="shuffled").train
    at = train.manifest.table["saliency"].fillna("").tolist().index(table["mask"]["n1"])
    assert ids(train)[at] != "n1"
    assert float(train[at].saliency.mean()) == pytest.approx(0.5, abs=0.05)
    Image.fromarray(tall).save(masked / table["mask"]["n2"])
    with pytest.raises(SalignError, match=r"k2\.png"):
        ready(masked, map_column="mask").train[2]


def test_masks_are_trained_with_and_people_are_compared_with(masked):
    data, own = ready(masked, map_column="mask"), ready(masked)
    assert data.train.annotated.tolist() == [bool(k % 4) for k in range(8)]
    assert float(data.train[1].saliency.mean()) == pytest.approx(2 / 12, abs=0.01)
    for role in ("val", "test"):
        masks, people = ((one.tests | {"val": one.val})[role].manifest.table for one in (data, own))
        assert masks.equals(people)
    with pytest.raises(SalignError, match="no column 'masks' to take maps from; did you mean 'mask'"):
        ready(masked, map_column="masks")
    with pytest.raises(SalignError, match="no column 'split'"):
        ready(masked, map_column="split")


def test_it_is_said_whose_the_maps_of_another_column_are(masked):
    """Training rows 1, 2, 3 and 5, 6, 7 have one; those of rows 1 to 4 a machine made, all of validation too."""
    assert of_machines(ready(masked, map_column="mask").train) == " (6 of them of unknown origin)"
    assert of_machines(ready(masked).train) == ""
    table = pd.read_csv(masked / "manifest.csv")
    by = ["model:net@1" if k < 5 or k >= 8 else "human:ann" for k in range(24)]
    table.assign(mask_provenance=by, provenance="human:bob").to_csv(masked / "manifest.csv", index=False)
    data = ready(masked, map_column="mask")
    assert of_machines(data.train) == " (3 of them made by a machine)"
    assert of_machines(data.val) == "", "validation keeps people's maps"
    for name in ("shuffled", "shuffled@0.5", "shuffled_within"):  # a map that moves keeps its maker
        rows = ready(masked, map_column="mask", maps=name, seed=4, classes=["x", "y"]).train.manifest.table
        made = dict(zip(table["mask"], by, strict=True))
        mapped = rows[rows["saliency"].notna()]
        assert mapped["provenance"].tolist() == [made[cell] for cell in mapped["saliency"]], name


def test_masks_that_training_uses_are_looked_at_and_no_others(masked):
    for name in (
        "k3",
        "k9",
        "k22",
        "m5",
    ):  # a training mask; masks of validation and of no split; a map not trained with
        (masked / f"{name}.png").write_bytes(b"broken")
    (masked / "m9.png").write_bytes(b"broken")  # a map of validation
    (masked / "i3.png").write_bytes(b"broken")
    with pytest.raises(ManifestError) as caught:
        ready(masked, map_column="mask", test={"again": ["train", "test"]}, train=["train"], classes=["x", "z"])
    assert [(fault.row, fault.column) for fault in caught.value.faults] == [
        (5, "path"),
        (5, "saliency"),
        (7, "saliency"),  # m5, since training images are tested on, too
        (11, "saliency"),
    ]
    with pytest.raises(ManifestError) as caught:
        ready(masked, map_column="mask")
    assert [(fault.row, fault.column) for fault in caught.value.faults] == [
        (5, "path"),
        (5, "saliency"),
        (11, "saliency"),
    ]
    data = ready(masked, map_column="mask", faults="leave_out", val=["val", "test"], test=["test"])
    assert sorted({fault.row for fault in data.left_out}) == [5, 11]
    assert "n3" not in ids(data.train)
    assert "n9" not in ids(data.val)


def test_rows_then_limit_then_annotated_then_control(folder):
    data = ready(folder, train=["train", "other"], limit=9, annotated=0.5, maps="shuffled", seed=4)
    rows = Manifest.read(folder / "manifest.csv").select(["train", "other"])
    expected = shuffled(keep_maps(subset(rows, 9, 4), 0.5, 4), 4)
    assert data.train.manifest.table.equals(expected.table)
    counts = {
        share: int(ready(folder, train=["train", "other"], annotated=share).train.annotated.sum())
        for share in (None, 1, 0.5, 0.01, 0)
    }
    assert counts == {None: 6, 1: 6, 0.5: 3, 0.01: 1, 0: 0}
    few = ready(folder, annotated=0.25)
    assert few.val.annotated.tolist() == ready(folder).val.annotated.tolist()
    assert few.tests["test"].annotated.tolist() == ready(folder).tests["test"].annotated.tolist()


def test_maps_that_are_kept_before_the_limit_do_not_depend_on_it(folder):
    rows = Manifest.read(folder / "manifest.csv").select(["train", "other"])
    kept = keep_maps(rows, 0.5, 4)
    data = ready(folder, train=["train", "other"], limit=9, annotated=0.5, annotated_before_limit=True, seed=4)
    assert data.train.manifest.table.equals(subset(kept, 9, 4).table)


def test_validation_keeps_the_share_of_its_maps_that_is_asked_for_and_test_keeps_all(folder):
    data = ready(folder, annotated_val=0.5, seed=4)
    val = Manifest.read(folder / "manifest.csv").select(["val"])
    assert data.val.manifest.table.equals(keep_maps(val, 0.5, 4).table)
    assert int(data.val.annotated.sum()) == 1
    assert data.tests["test"].annotated.tolist() == ready(folder).tests["test"].annotated.tolist()


def test_a_machine_draws_what_people_left_and_controls_take_its_maps_too(folder, tmp_path):
    SaliencyNet("test_resnet", image_size=32, width=16).save(tmp_path / "net")
    keys = {"annotated": 0.5, "seed": 4, "drawn": {"by": str(tmp_path / "net")}}
    people, drawn = ready(folder, annotated=0.5, seed=4).train, ready(folder, **keys).train
    own = people.annotated.numpy()
    assert 0 < own.sum() < len(own) == int(drawn.annotated.sum())
    assert np.array_equal(drawn.manifest.machine_made, ~own)
    shuffled_all = ready(folder, **keys, maps="shuffled").train.manifest
    assert shuffled_all.table.equals(shuffled(drawn.manifest, 4).table)
    assert int(ready(folder, **keys).val.annotated.sum()) == 2
    with pytest.raises(SalignError, match=r"neither saliency[.]json nor model[.]json there"):
        ready(folder, drawn={"by": str(tmp_path / "gone")})


def test_the_seed_of_the_data_decides_blobs_and_a_control_map_fits_its_image(folder):
    first, again, other = (ready(folder, maps="blobs", seed=seed).train[1].saliency for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    own = ready(folder).train[1].saliency
    expected = inverted(0, own[0], "n1")[None]
    # the two differ by a constant, since the extremes are those before the resize
    assert np.corrcoef(ready(folder, maps="inverted").train[1].saliency.flatten(), expected.flatten())[0, 1] > 0.999


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
        ({"seconds_column": "took"}, r"data\.seconds_column: .*no column 'took'"),
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

    def checked(**data):
        content = {"manifest": str(folder / "manifest.csv"), **data}
        check_classes([Recipe.build({"name": "r", "data": content}), Recipe.build({"name": "s", "data": content})])

    with pytest.raises(SalignError, match=r"the validation set has no image of x; it needs one\. Move one there"):
        checked()
    checked(classes=["y", "z"])
    checked(val=["test"])
    with pytest.raises(SalignError, match="the training set has no image of x"):
        checked(train=["val"], classes=["x", "y"], val=["test"])
    checked(train=["gone"])  # which its own run says


def test_a_class_that_training_does_not_have_is_named_with_its_row(folder):
    table = pd.read_csv(folder / "manifest.csv")
    table.loc[[12, 15], "label"] = ["w", "X"]
    table.to_csv(folder / "manifest.csv", index=False)
    with pytest.raises(ManifestError, match=r"row 14, label: unknown class 'w'; expected one of x, y, z") as caught:
        ready(folder)
    assert [fault.row for fault in caught.value.faults] == [14, 17]
    assert "n12" not in ids(ready(folder, classes=["x", "y", "z"]).tests["test"])  # as asked for: others are left out


def test_balanced_weights_are_those_of_scikit_learn():
    labels = torch.tensor([0] * 7 + [1] * 2 + [2] * 4)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    np.testing.assert_allclose(balanced_weights(labels, 3).numpy(), expected, rtol=1e-6)
