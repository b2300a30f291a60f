"""A net trained on people's maps predicts those of images it never saw; what it learned starts a classifier."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from command import salign, small, stopped_after, written
from salign.data.manifest import Manifest
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.image import read_saliency
from salign.errors import SalignError
from salign.evaluate.agreement import pearson
from salign.maps import min_max
from salign.maps.files import write_map
from salign.models import Classifier, SaliencyNet
from salign.runs.fit import fit
from salign.runs.saliency_report import (
    centre_prior,
    mean_training_map,
    predict_folder_maps,
    share_of_ceiling,
    summarise_agreement,
)
from salign.train.prepare import prepare
from salign.train.recipe import MapsRecipe
from salign.train.tasks.map_drawing import MapDrawing


def content(manifest, **changes):
    made = {
        "name": "maps",
        "data": {"manifest": str(manifest), "test": ["test_ood"], "image_size": 64, "augment": "none", "workers": 0},
        "model": {"backbone": "test_resnet", "weights": None, "width": 16},
        "train": {"epochs": 3, "batch_size": 10, "lr": 0.003, "device": "cpu"},
    }
    for section, values in changes.items():
        made[section] = made.get(section, {}) | values if isinstance(values, dict) else values
    return made


def build(manifest, **changes):
    return MapsRecipe.build(content(manifest, **changes))


@pytest.fixture(scope="module")
def few(digits, tmp_path_factory):
    """What a recipe's `data` says of twenty digits of each split, at half their size."""
    table = Manifest.read(digits).table.drop(columns="row")
    path = tmp_path_factory.mktemp("few") / "few.csv"
    Manifest.of(table.groupby("split", observed=True).head(20), digits.parent).write(path)
    return {"manifest": str(path), "root": str(digits.parent), "image_size": 32}


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nets")
    done = salign("saliency", "train", written(folder / "maps.yaml", content(digits)), "--out", folder, "--quiet")
    assert "training: 200 images with a map\nvalidation: 100 images with a map\n" in done.out
    (path,) = (one for one in folder.iterdir() if one.is_dir())
    assert done.last.startswith(f"wrote {path}. Next: salign saliency predict")
    assert done.last.endswith(f"salign autoannotate {digits} {path}")
    return path


@pytest.fixture(scope="module")
def agreement(run):
    return pd.read_csv(run / "agreement.csv")


def test_it_finds_the_digit_where_the_decoy_misleads(agreement):
    told = summarise_agreement(agreement, "cc").set_index(["set", "prior"])
    for prior in ("centre", "mean_map"):
        assert told.loc[("test_ood", prior), "images"] == 100
        assert told.loc[("test_ood", prior), "net"] > 0.8
        assert told.loc[("test_ood", prior), "low"] > 0.3


def test_the_table_is_what_the_metrics_say_of_the_net_and_the_priors(run, digits, agreement):
    data = prepare(build(digits).data)
    net, sample = SaliencyNet.load(run), data.tests["test_ood"][7]
    people, one = sample.saliency, data.tests["test_ood"].manifest.image_id(7)
    rows = agreement[(agreement["set"] == "test_ood") & (agreement["id"] == one)].set_index("predictor")["cc"]
    predicted = net.predict(sample.images[None])
    training = torch.stack([min_max(data.train[i].saliency[0]) for i in range(len(data.train))])
    assert rows["net"] == pytest.approx(float(pearson(predicted, people)), abs=1e-5)
    assert rows["mean_map"] == pytest.approx(float(pearson(training.mean(0)[None], people)), abs=1e-5)
    assert rows["centre"] == pytest.approx(float(pearson(centre_prior((64, 64))[None], people)), abs=1e-5)
    torch.testing.assert_close(mean_training_map(data.train, (64, 64)), training.mean(0))
    mirrored = prepare(build(digits, data={"augment": "flip"}).data).train
    torch.testing.assert_close(mean_training_map(mirrored, (64, 64)), training.mean(0))


def test_the_centre_prior_is_a_gaussian_of_a_quarter_of_each_side():
    prior = centre_prior((33, 65))
    assert prior[16, 32] == 1
    assert prior[0, 32] == pytest.approx(np.exp(-2))
    assert prior[16, 0] == pytest.approx(np.exp(-2))
    torch.testing.assert_close(prior, prior.flip(0, 1))


def test_the_interval_is_that_of_paired_images():
    generator = np.random.default_rng(0)
    one, two = generator.random(60), generator.random(60)
    table = pd.concat(
        pd.DataFrame({"set": "t", "id": range(60), "predictor": name, "cc": values})
        for name, values in (("net", one), ("centre", two), ("mean_map", two - 1))
    )
    row = summarise_agreement(table, "cc").set_index("prior").loc["centre"]
    assert row["difference"] == pytest.approx(float(np.mean(one - two)))
    half = 1.96 * np.std(one - two, ddof=1) / np.sqrt(60)
    assert (row["high"] - row["low"]) / 2 == pytest.approx(half, rel=0.1)


def test_the_share_of_what_people_reach_among_themselves(run, digits, agreement):
    """Three people: two who mark the digit, and one who marks the middle; an image that one marked says nothing."""
    table = Manifest.read(digits).select(["test_ood"]).table.head(9)
    alone = table["path"].tolist().index(table["path"].min())
    middle = digits.parent / "middle.png"
    write_map(middle, centre_prior((64, 64)))
    rows = [
        {**row, "id": f"{row['id']}@{who}", "saliency": "middle.png" if who == 2 else row["saliency"]}
        for k, row in enumerate(table.drop(columns="row").to_dict("records"))
        for who in range(1 if k == alone else 3)
    ]
    people = Manifest.of(pd.DataFrame(rows), digits.parent)
    paths = dict(zip(table["id"], table["path"], strict=True))
    by_path = agreement.assign(id=agreement["id"].map(paths).fillna(agreement["id"]))
    (row,) = share_of_ceiling(by_path, people, run).to_dict("records")
    twice = pd.concat([by_path, by_path.assign(set="all")])  # sets of a run may share images
    assert [{**found, "set": row["set"]} for found in share_of_ceiling(twice, people, run).to_dict("records")] == [
        row
    ] * 2
    assert (row["set"], row["images"], row["people"]) == ("test_ood", 8, 3)
    net, data, found = SaliencyNet.load(run), prepare(build(digits).data).tests["test_ood"], []
    for k in set(range(9)) - {alone}:
        drawn = data[k].saliency[0]
        humans = torch.stack([min_max(drawn), min_max(drawn), min_max(centre_prior((64, 64)))])
        predicted = net.predict(data[k].images[None])
        agreed = [float(pearson(predicted, human[None])) for human in humans]
        left = [humans[[i for i in range(3) if i != j]].mean(0)[None] for j in range(3)]
        ceilings = [float(pearson(one, human[None])) for one, human in zip(left, humans, strict=True)]
        found.append((np.mean(agreed), np.mean(ceilings)))
    net_mean, ceiling_mean = np.mean(found, axis=0)
    assert row["net"] == pytest.approx(net_mean, abs=1e-3)
    assert row["ceiling"] == pytest.approx(ceiling_mean, abs=1e-3)
    assert row["share"] == pytest.approx(net_mean / ceiling_mean, abs=1e-3)
    with pytest.raises(SalignError, match="no held-out image"):
        share_of_ceiling(agreement.head(0), people, run)


def test_maps_of_a_folder_are_those_of_the_net(run, digits, tmp_path):
    manifest = Manifest.read(digits)
    for k in (0, 5, 9):
        (tmp_path / "in" / "deep").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "deep" / f"{k}.png").write_bytes(manifest.image_path(k).read_bytes())
    assert predict_folder_maps(run, tmp_path / "in", tmp_path / "out") == 3
    net, data = SaliencyNet.load(run), prepare(build(digits).data)
    expected = net.predict(data.train[5].images[None])[0]
    assert data.train.manifest.image_id(5) == manifest.image_id(5)
    torch.testing.assert_close(read_saliency(tmp_path / "out" / "deep" / "5.png"), expected, atol=1e-4, rtol=0)
    with pytest.raises(SalignError, match="would lie among the images"):
        predict_folder_maps(run, tmp_path / "in", tmp_path / "in" / "maps")


def test_a_classifier_starts_from_every_tensor_of_the_encoder(run, digits, tmp_path):
    recipe = small(digits, model={"output_stride": None}, train={"epochs": 1})
    done = salign("train", written(tmp_path / "r.yaml", recipe), "--init", run, "--out", tmp_path / "o", "--quiet")
    encoder = SaliencyNet.load(run).encoder.state_dict()
    assert (
        f"{len(encoder)} of {len(encoder) + 2} tensors from {run / 'encoder.safetensors'}; new classifier" in done.out
    )
    begun = Classifier("test_resnet", ["1", "7"], image_size=64, weights=str(run)).backbone.net.state_dict()
    assert all(torch.equal(begun[key], value) for key, value in encoder.items())


def test_stopped_and_resumed_it_ends_the_same(digits, few, tmp_path, monkeypatch):
    recipe = build(digits, data=few, train={"epochs": 2})
    whole = fit(recipe, tmp_path / "whole", progress=False)
    go_on = stopped_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path / "cut", progress=False)
    go_on()
    with pytest.raises(SalignError, match="Go on with --resume"):
        fit(recipe, tmp_path / "cut", progress=False)
    resumed = fit(recipe, tmp_path / "cut", resume=True, progress=False)
    for name in ("weights.safetensors", "metrics.csv", "agreement.csv"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_reconstruction_sees_the_images_and_no_map(digits, few, tmp_path):
    recipe = build(digits, data=few, loss={"target": "image"}, train={"epochs": 1})
    run = fit(recipe, tmp_path, progress=False)
    assert SaliencyNet.load(run.path).head.out_channels == 3
    assert not (run.path / "agreement.csv").exists()
    shuffled = recipe.with_values({"data": {"maps": "shuffled"}})
    other = fit(shuffled, tmp_path, progress=False)
    assert other.path != run.path
    assert (other.path / "weights.safetensors").read_bytes() == (run.path / "weights.safetensors").read_bytes()


def test_without_maps_it_says_so(digits, tmp_path):
    bare = Manifest.read(digits).table.assign(saliency=pd.NA).drop(columns="row")
    Manifest.of(bare, digits.parent).write(tmp_path / "bare.csv")
    recipe = build(tmp_path / "bare.csv", data={"root": str(digits.parent)})
    with pytest.raises(SalignError, match="0 images of the training splits have a map, and 0 of the validation"):
        fit(recipe, tmp_path, progress=False)


def test_where_validation_has_no_map_a_fifth_is_held_out_and_it_says_so(digits, tmp_path):
    table = Manifest.read(digits).table
    table = table.assign(saliency=table["saliency"].where(table["split"] != "val")).drop(columns="row")
    Manifest.of(table, digits.parent).write(tmp_path / "few.csv")
    data = {"root": str(digits.parent), "limit": 50, "image_size": 32, "augment": "flip"}
    recipe = build(tmp_path / "few.csv", data=data, train={"epochs": 1})
    said = []
    run = fit(recipe, tmp_path, progress=False, say=said.append)
    assert "no validation image has a map: 10 of 50 annotated training images are held out instead" in said
    measured = pd.read_csv(run.path / "agreement.csv").query("set == 'val'")["id"].unique()
    assert len(measured) == 10
    assert set(measured) <= set(table["id"][table["split"] == "train"])
    assert (run.data("train").transform.augment, run.data("val").transform.augment) == ("flip", "none")


@pytest.mark.parametrize("maps", ["own", "inverted", "centre", "shuffled"])
def test_what_is_held_out_is_measured_against_people_and_no_copy_of_it_is_trained_on(
    digits, tmp_path, monkeypatch, maps
):
    table = Manifest.read(digits).table
    table = table.assign(saliency=table["saliency"].where(table["split"] != "val")).drop(columns="row")
    Manifest.of(table, digits.parent).write(tmp_path / "few.csv")
    monkeypatch.setattr("salign.train.prepare.wrong_answers", lambda rows, run, **_: np.arange(len(rows)) % 2 == 0)
    data = {"root": str(digits.parent), "limit": 50, "image_size": 32, "augment": "flip", "maps": maps}
    recipe = build(tmp_path / "few.csv", data=data | {"repeat_errors": {"of": "run", "times": 3}})
    said = []
    rows = MapDrawing.rows(recipe, prepare(recipe.data), said.append)
    assert said[0] == "no validation image has a map: 10 of 50 annotated training images are held out instead"
    held, trained = (part.manifest.table["id"] for part in (rows.val, rows.train))
    assert (len(held), held.nunique(), trained.nunique()) == (10, 10, 40)
    assert not set(held) & set(trained)
    people = SaliencyDataset(rows.val.manifest, rows.classes, rows.val.transform)
    own = table.set_index("id")["saliency"]
    for k, name in enumerate(held):
        assert str(people.manifest.saliency_path(k)) == str(digits.parent / own[name])
        assert torch.equal(rows.val[k].saliency, people[k].saliency)


def test_a_net_is_measured_against_people_alone(digits, tmp_path):
    """Half of the training images, and all of test_ood, have a machine's map; validation has none."""
    table = Manifest.read(digits).table.drop(columns="row")
    table = table.assign(saliency=table["saliency"].where(table["split"] != "val"))
    half = (table["split"] == "train").astype(bool) & (np.arange(len(table)) % 2 == 1)
    machine = half | (table["split"] == "test_ood").astype(bool)
    mixed = table.assign(provenance=np.where(machine, "model:net@1", "human:ann"))
    Manifest.of(mixed, digits.parent).write(tmp_path / "mixed.csv")
    data = {"root": str(digits.parent), "test": ["test_ood", "test_iid"], "image_size": 32}
    said = []
    run = fit(build(tmp_path / "mixed.csv", data=data, train={"epochs": 1}), tmp_path, progress=False, say=said.append)
    assert "no validation image has a map: 20 of 200 annotated training images are held out instead" in said
    assert "training: 180 images with a map (100 of them made by a machine)" in said
    assert "validation: 20 images with a map" in said
    measured = pd.read_csv(run.path / "agreement.csv").drop_duplicates(["set", "id"])
    assert measured["set"].value_counts().to_dict() == {"test_iid": 100, "val": 20}
    assert not set(measured["id"]) & set(table["id"][machine])
    table.assign(provenance="model:net@1").to_csv(tmp_path / "machine.csv", index=False)
    for split, complaint in (("val", "and 0 of the training images a person's"), ("test_iid", "measured against")):
        recipe = build(tmp_path / "machine.csv", data=data | {"val": [split]})
        with pytest.raises(SalignError, match=complaint):
            fit(recipe, tmp_path, progress=False)


def test_the_mentor_preset_is_the_published_setting(digits):
    recipe = MapsRecipe.build({"name": "m", "preset": "mentor", "data": {"manifest": str(digits)}})
    assert (recipe.model.decoder, recipe.model.weights, recipe.data.image_size) == ("unet++", "imagenet", 256)
    assert (recipe.loss.name, recipe.loss.target) == ("mse", "map")
    train = recipe.train
    assert (train.epochs, train.batch_size, train.lr, train.schedule) == (11, 4, 1e-4, "constant")
    assert (train.optimizer, train.weight_decay, train.select) == ("adamw", 0.0, "loss")
    with pytest.raises(SalignError, match="preset: expected mentor, got 'wacv2023'"):
        MapsRecipe.build({"name": "m", "preset": "wacv2023", "data": {"manifest": str(digits)}})


def test_pretraining_is_the_published_setting_unless_the_recipe_says_otherwise(digits, few, tmp_path):
    recipe = written(tmp_path / "m.yaml", content(digits, train={"epochs": 1}, data=few))
    done = salign("pretrain", recipe, "--out", tmp_path, "--quiet")
    assert "with a unet++ decoder" in done.out
    (run,) = tmp_path.glob("maps-*")
    asked = MapsRecipe.read(run / "recipe.yaml")
    assert (asked.preset, asked.train.epochs, asked.train.weight_decay) == ("mentor", 1, 0.0)
    assert done.last == f"wrote {run}. Next: salign train RECIPE --init {run}"
