"""What machines mark: where maps go, what is said of them, and that people's maps stay as they are."""

from __future__ import annotations

import hashlib
import itertools
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
from salign.explain import cam, grad_cam, rise
from salign.machine.annotate import Ensemble, NetMaker, TeacherMaker, auto_annotate, maker_of, shape_for
from salign.maps import min_max
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


@pytest.fixture
def images(manifest):
    return torch.stack([read_image(manifest.image_path(k)).float() / 255 for k in range(6)])


def test_empty_cells_are_filled_and_peoples_maps_stay(manifest):
    before = {path: path.read_bytes() for path in manifest.root.rglob("*.png")}
    one = net()
    done = auto_annotate(manifest, NetMaker(one, "model:net@1"), manifest.root / "machine", splits=["train"])
    assert (done.made, done.drafts) == (160, None)
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


@pytest.mark.parametrize("method", ["cam", "grad_cam", "rise"])
def test_a_teacher_explains_the_true_class_or_what_it_takes_for_it(method, images):
    teacher = Classifier("test_resnet", ["1", "7", "8"], image_size=64, output_stride=8, seed=2).eval()
    labels = torch.tensor([2, 0, -1, 1, -1, 2])
    probabilities = teacher(images).logits.softmax(1).detach()
    wanted = torch.where(labels >= 0, labels, probabilities.argmax(1))
    maps, sure = TeacherMaker(teacher, "model:t", method=method, masks=20, seed=3)(images, labels)
    if method == "rise":
        raw = rise(teacher, images, wanted, masks=20, generator=torch.Generator().manual_seed(3))
    else:
        raw = {"cam": cam, "grad_cam": grad_cam}[method](teacher, images, wanted)
    torch.testing.assert_close(maps, min_max(raw), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sure, probabilities.gather(1, wanted[:, None])[:, 0])
    _, told = TeacherMaker(teacher, "model:t", method="cam", of="predicted")(images, labels)
    torch.testing.assert_close(told, probabilities.amax(1))


def test_an_ensemble_is_the_mean_and_as_sure_as_its_members_agree(images):
    members = [net(seed) for seed in range(3)]
    both = Ensemble([NetMaker(one, f"model:{k}@{k}") for k, one in enumerate(members)])
    assert both.name == "model:0@0+1@1+2@2"
    maps, sure = both(images, torch.full((6,), -1))
    each = np.stack([one.eval().predict(images).numpy() for one in members]).astype(np.float64)
    np.testing.assert_allclose(maps, each.mean(0), atol=1e-5)
    pairs = [
        [np.corrcoef(each[a, k].ravel(), each[b, k].ravel())[0, 1] for a, b in itertools.combinations(range(3), 2)]
        for k in range(6)
    ]
    np.testing.assert_allclose(sure, np.clip(np.mean(pairs, axis=1), 0, None), atol=1e-4)
    same = Ensemble([NetMaker(members[0], "model:a"), NetMaker(members[0], "model:b")])
    np.testing.assert_allclose(same(images, torch.zeros(6).long())[1], 1, atol=1e-6)


def test_a_run_says_what_it_is_and_the_hash_of_its_weights(tmp_path):
    net().save(tmp_path / "net")
    Classifier("test_resnet", ["a", "b"], image_size=64).save(tmp_path / "classifier")
    digest = {
        name: hashlib.sha256((tmp_path / name / "weights.safetensors").read_bytes()).hexdigest()[:8]
        for name in ("net", "classifier")
    }
    assert maker_of(tmp_path / "net").name == f"model:test_resnet@{digest['net']}"
    assert maker_of(tmp_path / "classifier", method="rise").name == f"model:test_resnet-rise@{digest['classifier']}"
    with pytest.raises(SalignError, match="expected a run of"):
        maker_of(tmp_path)


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
    other = NetMaker(SaliencyNet("test_resnet", image_size=96, width=16), "model:b")
    with pytest.raises(SalignError, match="one image size"):
        Ensemble([maker, other])


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
