"""What machines mark: where maps go, what is said of them, and that people's maps stay as they are."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, strategies as st
from PIL import Image

from command import salign, small
from salign.data.manifest import Manifest
from salign.data.reading.image import read_image, read_saliency, shape_mismatch
from salign.errors import SalignError
from salign.machine.annotate import auto_annotate, shape_for
from salign.machine.makers import NetMaker, maker_of
from salign.models import Classifier, SaliencyNet, load
from salign.runs.fit import fit
from salign.train.recipe import Recipe


@pytest.fixture
def manifest(digits, tmp_path):
    """Digits of which every fifth training image has a person's map, some of them known by name."""
    shutil.copytree(digits.parent, tmp_path / "set")
    table = Manifest.read(digits).table.drop(columns="row")
    training = (table["split"] == "train").to_numpy(dtype=bool)
    kept = ~training | (training.cumsum() % 5 == 0)
    provenance = np.where(training & kept, "human:ann", "")
    table = table.assign(saliency=table["saliency"].where(kept), provenance=provenance)
    return Manifest.of(table, tmp_path / "set", "few.csv")


def net(seed=0):
    return SaliencyNet("test_resnet", image_size=64, width=16, seed=seed)


def test_empty_cells_are_filled_and_peoples_maps_stay(manifest):
    before = {path: path.read_bytes() for path in manifest.root.rglob("*.png")}
    one = net()
    done = auto_annotate(manifest, NetMaker(one, "model:net@1"), manifest.root / "machine", splits=["train"])
    assert (done.count, done.drafts) == (160, None)
    old, new = manifest.table, done.manifest.table
    human = old["saliency"].notna()
    pd.testing.assert_frame_equal(new[human][list(old.columns)], old[human])
    assert new["saliency"].notna().all()
    assert set(new["provenance"][~human]) == {"model:net@1"}
    assert np.array_equal(done.manifest.machine_made, ~human.to_numpy(dtype=bool))
    assert all(path.read_bytes() == content for path, content in before.items())
    k = int(np.flatnonzero(~human)[11])
    expected = one.predict(read_image(manifest.image_path(k))[None].float() / 255)[0]
    torch.testing.assert_close(read_saliency(done.manifest.saliency_path(k)), expected, atol=1e-4, rtol=0)
    sure = float(expected.square().sum() / expected.sum())
    assert float(new["confidence"].iloc[k]) == pytest.approx(sure, abs=1e-3)
    again = Manifest.read(done.manifest.write(manifest.root / "machine.csv"))
    assert int(again.machine_made.sum()) == 160


def test_less_sure_maps_go_to_people_least_sure_first(manifest):
    maker = NetMaker(net(), "model:net@1")
    whole = auto_annotate(manifest, maker, manifest.root / "all", splits=["train"])
    sure = whole.manifest.table["confidence"].dropna().astype(float)
    middle = float(sure.median())
    done = auto_annotate(manifest, maker, manifest.root / "some", splits=["train"], below=middle)
    assert done.drafts is not None
    drafts = done.drafts.table
    assert drafts["confidence"].astype(float).is_monotonic_increasing
    assert len(drafts) == int((sure < middle).sum())
    held = set(drafts["id"])
    empty = done.manifest.table.set_index("id").loc[sorted(held)]
    assert empty["saliency"].isna().all()
    assert empty["provenance"].isna().all()
    assert int(done.manifest.machine_made.sum()) == 160 - len(held)


@given(st.tuples(st.integers(2, 6000), st.integers(2, 6000)), st.sampled_from([64, 224, 512]))
def test_a_map_has_the_shape_of_its_image_and_the_grain_of_what_its_maker_saw(size, longest):
    height, width = shape_for(size, longest)
    assert shape_mismatch((height, width), size) is None
    assert longest <= max(height, width) < 2 * longest or (height, width) == size


def test_the_size_of_a_map():
    assert shape_for((375, 500), 224) == (168, 224)
    assert shape_for((100, 300), 64) == (22, 66), "64 would be 21.3 rows: 1.6 % off"
    assert shape_for((50, 60), 64) == (50, 60)


def test_maps_of_pictures_that_are_not_square_fit_them(manifest):
    path = manifest.image_path(0)
    Image.effect_noise((300, 100), 50).convert("RGB").save(path)
    done = auto_annotate(manifest.take([0]), NetMaker(net(), "model:n"), manifest.root / "machine")
    assert tuple(read_saliency(done.manifest.saliency_path(0)).shape) == (22, 66)


def test_what_cannot_be_done_is_refused(manifest, tmp_path):
    maker = NetMaker(net(), "model:net@1")
    with pytest.raises(SalignError, match=r"lie inside of its root"):
        auto_annotate(manifest, maker, tmp_path / "set-machine")  # beside the root, by a name that begins alike
    with pytest.raises(SalignError, match="is not empty"):
        auto_annotate(manifest, maker, manifest.root)
    with pytest.raises(SalignError, match="every image asked for has a map already"):
        auto_annotate(manifest, maker, manifest.root / "m", splits=["val"])
    with pytest.raises(SalignError, match="no row has split 'trian'"):
        auto_annotate(manifest, maker, manifest.root / "m", splits=["trian"])
    for option, value in (("device", "cuda:7"), ("device", "gpu"), ("below", 1.5), ("batch_size", 0)):
        with pytest.raises(SalignError, match=f"^{option}: expected"):
            auto_annotate(manifest, maker, manifest.root / "m", **{option: value})
    assert not (manifest.root / "m").exists()


def test_a_teacher_that_knows_no_class_of_the_images_is_refused_and_of_some_it_is_said(manifest, tmp_path):
    for name, classes in (("other", ["cat", "dog"]), ("some", ["1", "cat"])):
        Classifier("test_resnet", classes, image_size=64, seed=0).save(tmp_path / name)
    few = manifest.take(np.flatnonzero(manifest.table["label"].isin(["1", "7"]))).write(manifest.root / "ones.csv")
    out = manifest.root / "taught"
    told = salign("autoannotate", few, tmp_path / "other", "--out", out, code=2).err
    assert "the images are of 1, 7, and what is to mark them knows cat, dog: it cannot say where" in told
    assert not out.exists()
    assert "images marked" in salign("autoannotate", few, tmp_path / "other", "--out", out, "--of", "predicted").out
    rows = Manifest.read(few)
    sevens = int(
        (rows.table["saliency"].isna() & (rows.table["split"] == "train") & (rows.table["label"] == "7")).sum()
    )
    assert sevens > 0
    note = salign("autoannotate", few, tmp_path / "some", "--out", manifest.root / "again").err
    assert re.search(
        rf"^{sevens} images are of classes that \S+ does not know \(7\): they are marked by the class", note
    )


def test_the_command_marks_and_everything_afterwards_says_so(manifest, tmp_path):
    run = tmp_path / "net"
    net().save(run)
    few = manifest.write(manifest.root / "few.csv")
    done = salign("autoannotate", few, run, "--out", manifest.root / "auto")
    target = manifest.root / "auto.csv"
    assert "160 images marked" in done.out
    sure = Manifest.read(target).table["confidence"].dropna().astype(float)
    assert f"from {sure.min():.2f} to {sure.max():.2f}, half of them less than {sure.median():.2f}" in done.out
    assert f"{target} has 340 maps of people and 160 of machines" in done.out
    checked = salign("data", "check", target, "--quick").out
    assert "340 maps of people and 160 of machines" in checked
    said, table = [], Manifest.read(target).table
    used = (table["split"] == "train") & table["label"].isin(["1", "7"])
    machine = int((used & table["provenance"].str.startswith("model:")).sum())
    recipe = Recipe.build(small(target, train={"epochs": 1}))
    trained = fit(recipe, tmp_path / "runs", progress=False, say=said.append)
    assert any(f"40 with a saliency map ({machine} of them made by a machine)" in line for line in said)
    teacher = salign(
        "autoannotate", few, trained.path, "--out", manifest.root / "taught", "--split", "train", "--below", 1
    )
    assert "drafts" in teacher.out
    drafts = Manifest.read(manifest.root / "taught-drafts.csv")
    assert len(drafts) == 160
    assert set(drafts.table["provenance"]) == {maker_of(trained.path).name}
    assert load(trained.path).classes == ("1", "7")


def test_a_machine_is_never_what_is_measured_against(manifest):
    done = auto_annotate(manifest, NetMaker(net(), "model:n"), manifest.root / "m")
    moved = done.manifest.table.assign(split="val").drop(columns="row")
    path = Manifest.of(moved, manifest.root).write(manifest.root / "val.csv")
    said = salign("data", "check", path, "--quick", code=0).out
    assert "outside of train in val: measure against people alone" in " ".join(said.split())
