from __future__ import annotations

import math
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from command import small, stopped_after
from salign.errors import SalignError
from salign.losses import CrossEntropy, Cyborg
from salign.models import Classifier, SaliencyNet, load
from salign.runs import fit as module
from salign.runs.explain import explain_run
from salign.runs.fit import fit
from salign.runs.folder import RunFolder
from salign.runs.posthoc import make_run
from salign.train.prepare import prepare
from salign.train.recipe import LossRecipe, Recipe, resolved
from salign.train.speed import SETTINGS
from salign.train.tasks.classification import build_loss


def quick(digits, **changes):
    changes["train"] = {"epochs": 1, **changes.get("train", {})}
    return Recipe.build(small(digits, **{"data": {"test": ["test_iid"]}, **changes}))


def run(recipe, out, **options):
    said = []
    return fit(recipe, out, progress=False, say=said.append, **options), "\n".join(said)


def test_a_finished_folder_holds_what_it_promises(trained, digits):
    folder = RunFolder.open(trained)
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    wanted = {"recipe.yaml", "environment.json", "metrics.csv", "model.json", "weights.safetensors", "evaluation.csv"}
    wanted |= {"history.parquet", "curves.html", "README.md", "data-card.md"}
    wanted |= {"done", "predictions/val.csv", "predictions/test_iid.csv", "predictions/test_ood.csv"}
    assert wanted == {name for name in names if not name.startswith("tensorboard")}
    recipe = Recipe.read(folder.recipe_file)
    assert recipe == Recipe.build(small(digits))
    assert folder.path.name == f"small-{recipe.fingerprint()}"
    metrics = pd.read_csv(folder.metrics)
    assert metrics["epoch"].tolist() == [0, 1]
    assert {"lr", "train/loss", "train/ce", "train/saliency", "val/auroc", "val/accuracy", "val/loss"} <= set(metrics)
    assert load(trained).classes == ("1", "7")


@pytest.mark.parametrize(
    ("sampling", "weights", "odds"),
    [
        ("natural", "none", (3, 1)),
        ("balanced", "none", (1, 1)),
        ("natural", "balanced", (1, 1)),
        ("balanced", "balanced", (1, 3)),  # the rare class is drawn as often, and weighs three times as much
        ("natural", [1.0, 2.0], (3, 2)),
    ],
)
def test_chance_is_that_of_images_as_they_are_drawn_and_weighed(digits, tmp_path, monkeypatch, sampling, weights, odds):
    table = pd.read_csv(digits, dtype=str)
    ones, sevens = (table.index[(table["label"] == name) & (table["split"] == "train")] for name in "17")
    table.drop(index=[*ones[18:], *sevens[6:]]).to_csv(tmp_path / "uneven.csv", index=False)  # three to one
    data = {"root": str(digits.parent), "sampling": sampling}
    recipe = quick(tmp_path / "uneven.csv", data=data, loss={"class_weights": weights}, train={"collapse_patience": 3})
    told = []

    def stop(*_, chance):
        told.append(chance)
        raise SalignError("asked")

    monkeypatch.setattr("salign.runs.learn.StopCollapsed", stop)
    with pytest.raises(SalignError, match="asked"):
        run(recipe, tmp_path)
    share = odds[0] / sum(odds)
    assert told == [pytest.approx(-share * math.log(share) - (1 - share) * math.log(1 - share))]


def test_predictions_are_those_of_the_saved_weights(trained, digits):
    """The best epoch's, not the last's: validation accuracy of the table is the one that chose."""
    metrics, table = pd.read_csv(trained / "metrics.csv"), pd.read_csv(trained / "predictions" / "val.csv")
    best = metrics["val/auroc"].max()
    chosen = metrics[metrics["val/auroc"] == best].iloc[-1]
    assert (table["label"] == table["predicted"]).mean() == pytest.approx(chosen["val/accuracy"], abs=1e-6)


def test_a_run_that_is_done_is_not_repeated(trained, digits):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    done, said = run(Recipe.build(small(digits)), trained.parent)
    assert done.path == trained
    assert "already done" in said
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before


def test_stopped_it_asks_for_resume_and_then_ends_the_same(trained, digits, tmp_path, monkeypatch):
    recipe = Recipe.build(small(digits))
    go_on = stopped_after(monkeypatch, 1)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path)
    assert signal.getsignal(signal.SIGINT) == before
    go_on()
    cut_off = RunFolder.of(recipe, tmp_path)
    assert cut_off.resume.exists()
    assert not cut_off.done
    with pytest.raises(SalignError, match=r"holds a run that was cut off\. Go on with --resume"):
        run(recipe, tmp_path)
    notes = cut_off.inputs.read_text()
    cut_off.inputs.write_text(notes.replace("\n", "\nno longer there.png,1,1,00\n", 1))
    with pytest.raises(SalignError, match=r"1 images or maps .*: no longer there\.png is gone"):
        run(recipe, tmp_path, resume=True)
    cut_off.inputs.write_text(notes)
    finished, _ = run(recipe, tmp_path, resume=True)
    for name in ("weights.safetensors", "metrics.csv", "evaluation.csv", "predictions/test_ood.csv"):
        assert (finished.path / name).read_bytes() == (trained / name).read_bytes()
    assert not finished.resume.exists()
    assert not finished.inputs.exists()


def test_the_shares_of_groups_are_kept_where_a_training_is_cut_off(digits, tmp_path, monkeypatch):
    recipe = Recipe.build(small(digits, loss={"name": "group_dro", "step_size": 1.0}, data={"sampling": "groups"}))
    whole, _ = run(recipe, tmp_path / "whole")
    go_on = stopped_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "cut")
    go_on()
    kept = torch.load(RunFolder.of(recipe, tmp_path / "cut").resume, weights_only=False)["state_dict"]
    shares = kept["task.loss.shares"]
    assert shares.sum().item() == pytest.approx(1)
    assert abs(shares[0] - shares[1]) > 1e-5
    finished, _ = run(recipe, tmp_path / "cut", resume=True)
    for name in ("weights.safetensors", "metrics.csv"):
        assert (finished.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_resuming_keeps_the_number_format_it_began_with(digits, tmp_path, monkeypatch):
    """On another machine, or a busy one, `auto` may choose otherwise."""
    recipe = quick(digits, train={"epochs": 2, "precision": "auto", "memory_format": "auto"})
    order = list(SETTINGS)
    monkeypatch.setattr(module, "fastest", lambda *_: dict.fromkeys(order, 0.001))
    go_on = stopped_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path)
    go_on()
    order.reverse()
    finished, said = run(recipe, tmp_path, resume=True)
    resolved = Recipe.read(finished.recipe_file).train
    assert (resolved.precision, resolved.memory_format) == SETTINGS[0]
    assert "measured" not in said
    assert finished.path == RunFolder.of(recipe, tmp_path).path


@pytest.mark.parametrize("asked", ["auto", "float32"])
def test_auto_takes_the_fastest_of_what_is_allowed_and_says_so(digits, tmp_path, monkeypatch, asked):
    offered = []

    def measured(task, batch, settings):
        offered.extend(settings)
        return {setting: 0.001 * (k + 1) for k, setting in enumerate(reversed(offered))}

    monkeypatch.setattr(module, "fastest", measured)
    finished, said = run(quick(digits, train={"precision": asked, "memory_format": "auto"}), tmp_path)
    assert offered == [setting for setting in SETTINGS if asked in ("auto", setting.precision)]
    resolved = Recipe.read(finished.recipe_file).train
    assert (resolved.precision, resolved.memory_format) == offered[-1]
    assert f"{offered[-1]} 1 ms" in said


def test_bfloat16_is_used_and_learns_the_same_to_its_precision(trained, digits, tmp_path):
    half, _ = run(Recipe.build(small(digits, train={"precision": "bfloat16"})), tmp_path)
    first, second = (pd.read_csv(path / "metrics.csv") for path in (trained, half.path))
    assert (first["train/loss"] != second["train/loss"]).all()
    np.testing.assert_allclose(first["train/loss"], second["train/loss"], rtol=0.1)
    assert all(value.dtype == torch.float32 for value in load(half.path).parameters())


@pytest.mark.parametrize("select", ["auroc", "accuracy", "last"])
def test_the_epoch_kept_is_the_one_asked_for(digits, tmp_path, monkeypatch, select):
    saved = []
    original = Classifier.save

    def save(self, folder):
        saved.append({name: value.clone() for name, value in self.state_dict().items()})
        return original(self, folder)

    monkeypatch.setattr(Classifier, "save", save)
    finished, _ = run(quick(digits, train={"epochs": 3, "select": select}), tmp_path)
    metrics = pd.read_csv(finished.metrics)
    scores = metrics["epoch"] if select == "last" else metrics[f"val/{select}"]
    best, expected = -math.inf, 0
    for score in scores:  # saved again whenever it is at least as good
        if score >= best:
            best, expected = score, expected + 1
    assert len(saved) == expected
    kept = load(finished.path).state_dict()
    assert all(torch.equal(kept[name], value) for name, value in saved[-1].items())


def test_adamw_and_balanced_sampling_reach_the_weights(trained, digits, tmp_path):
    first = (trained / "weights.safetensors").read_bytes()
    for changes in ({"train": {"optimizer": "adamw", "lr": 0.001}}, {"data": {"sampling": "balanced"}}):
        finished, _ = run(Recipe.build(small(digits, **changes)), tmp_path)
        assert (finished.path / "weights.safetensors").read_bytes() != first


def test_two_batches_make_the_step_of_one_twice_as_large(digits, tmp_path):
    """In a network whose images do not see each other: layer norm, and no dropout."""
    common = {
        "data": {"limit": 32, "augment": "none"},
        "model": {"backbone": "test_convnext", "weights": None},
        "loss": {"name": "ce"},
    }
    weights, steps = [], []
    for batch_size, accumulate in ((16, 1), (8, 2), (8, 1)):
        train = {"batch_size": batch_size, "accumulate": accumulate, "epochs": 2, "select": "last"}
        folder, _ = run(quick(digits, train=train, **common), tmp_path)
        weights.append(torch.cat([weight.flatten() for weight in load(folder.path).parameters()]))
        steps.append(len(pd.read_csv(folder.metrics)))
    whole, halves, twice_as_often = weights
    assert (whole - halves).abs().max() < 1e-5
    assert (whole - twice_as_often).abs().max() > 1e-3
    assert steps == [2, 2, 2]


def test_class_weights_come_from_the_training_labels(digits):
    data = prepare(Recipe.build(small(digits)).data)
    one = int((data.train.labels == 0).nonzero()[0])
    sevens = data.train.labels.nonzero().flatten().tolist()
    data = replace(data, train=data.train.take([one, *sevens]))  # validation has as many of both
    assert build_loss(LossRecipe(), data).class_weights is None
    loss = build_loss(LossRecipe(class_weights="balanced", alpha=0.2, penalty="l1"), data)
    counts = torch.bincount(data.train.labels)
    assert counts.tolist() != [len(data.train) / 2] * 2
    assert isinstance(loss, Cyborg)
    assert (loss.alpha, loss.penalty) == (0.2, "l1")
    torch.testing.assert_close(loss.class_weights, len(data.train) / (2.0 * counts))
    given = build_loss(LossRecipe(name="ce", class_weights=[1.0, 3.0]), data)
    assert isinstance(given, CrossEntropy)
    assert given.class_weights.tolist() == [1.0, 3.0]
    with pytest.raises(SalignError, match=r"loss\.class_weights: expected 2 numbers, got 3"):
        build_loss(LossRecipe(class_weights=[1.0, 2.0, 3.0]), data)


def test_a_run_that_diverges_keeps_its_best_weights_and_says_what_to_do(digits, tmp_path):
    recipe = quick(digits, train={"epochs": 3, "lr": 1e30, "schedule": "constant"})
    with pytest.raises(SalignError, match=r"training diverged in epoch \d.*Lower train\.lr"):
        run(recipe, tmp_path)
    assert not RunFolder.of(recipe, tmp_path).done


def test_the_user_is_told_what_is_trained_on_what(digits, tmp_path):
    _, said = run(quick(digits, model={"output_stride": None}), tmp_path)
    assert "training: 40 images (20 1, 20 7), 40 with a saliency map" in said
    assert "validation: 20 images (10 1, 10 7)" in said
    assert "test_iid: 20 images" in said
    assert "class activation map of 2 x 2 cells" in said
    assert "output_stride" in said
    assert "training images are mirrored at random; where left and right matter, set data.augment: none" in said


@pytest.mark.slow
def test_a_training_that_version_0_1_began_goes_on_to_the_same_weights(digits, tmp_path, monkeypatch):
    """Its point to resume from named the network and the loss without their task."""
    recipe = quick(digits, train={"epochs": 2})
    whole, _ = run(recipe, tmp_path / "whole")
    go_on = stopped_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "cut")
    go_on()
    point = RunFolder.of(recipe, tmp_path / "cut").resume
    content = torch.load(point, weights_only=True)
    old = {"task.network.": "classifier.", "task.loss.": "loss."}
    for new, name in old.items():
        content["state_dict"] = {
            name + key.removeprefix(new) if key.startswith(new) else key: value
            for key, value in content["state_dict"].items()
        }
    assert {key.partition(".")[0] for key in content["state_dict"]} == {"classifier"}
    torch.save(content, point)
    resumed, _ = run(recipe, tmp_path / "cut", resume=True)
    assert (resumed.path / "weights.safetensors").read_bytes() == (whole.path / "weights.safetensors").read_bytes()


def staged(digits, **changes):
    """A net learns a third of the maps and draws the rest; the classifier starts from one that gave back the images."""
    net = {"task": "maps", "model": {"weights": None, "width": 16}, "train": {"epochs": 2, "batch_size": 20}}
    stages = {"net": net | {"data": {"annotated": 0.3}}, "image": net | {"loss": {"target": "image"}}}
    data = {"annotated": 0.3, "drawn": {"by": "stage:net"}, "test": ["test_iid"]}
    model = {"weights": "stage:image", "output_stride": None}
    return small(digits, **{"stages": stages, "data": data, "model": model, "train": {"epochs": 1}, **changes})


@pytest.mark.slow
def test_stages_are_trained_once_go_on_where_they_were_cut_off_and_the_last_learns_from_them(
    digits, tmp_path, monkeypatch
):
    recipe = Recipe.build(staged(digits))
    last, said = run(recipe, tmp_path)
    assert last.path == tmp_path / f"small-{recipe.fingerprint()}"
    net, image = (next(tmp_path.glob(f"{name}-*")) for name in ("net", "image"))
    assert f"stage net: trained in {net}" in said
    assert "training: 40 images (20 1, 20 7), 40 with a saliency map (28 of them made by a machine)" in said
    assert f"tensors from {image / 'encoder.safetensors'}; new classifier" in said
    assert (last.recipe.data.drawn.by, last.recipe.model.weights) == (str(net), str(image))
    assert int(last.training_rows.machine_made.sum()) == 28

    other, said = run(Recipe.build(staged(digits, loss={"name": "ce"})), tmp_path)
    assert other.path != last.path
    assert f"stage net: found in {net}" in said
    assert f"stage image: found in {image}" in said
    assert len(list((net / "maps").glob("*/maps.csv"))) == 1, "the same maps serve both"

    go_on = stopped_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "cut")
    go_on()
    with pytest.raises(SalignError, match=r"net-\w+ holds a run that was cut off\. Go on with --resume"):
        run(recipe, tmp_path / "cut")
    resumed, _ = run(recipe, tmp_path / "cut", resume=True)
    assert (resumed.path / "weights.safetensors").read_bytes() == (last.path / "weights.safetensors").read_bytes()


@pytest.mark.slow
def test_a_classifier_sees_what_a_stage_marks_and_is_a_run_like_any_other(digits, tmp_path, monkeypatch):
    """It learns from people's regions, and from the net's for seven of ten images without a map; tests read no map."""
    net = {"task": "maps", "model": {"weights": None, "width": 16}, "train": {"epochs": 2, "batch_size": 20}}
    recipe = Recipe.build(
        small(
            digits,
            stages={"net": net},
            data={"annotated": 0.3, "test": ["test_ood"], "groups": []},
            model={"region": {"by": "stage:net"}},
            loss={"name": "ce"},
        )
    )
    whole, said = run(recipe, tmp_path)
    net_run = next(tmp_path.glob("net-*"))
    assert f"it sees regions alone (crop), in evaluation those that the net {net_run} draws; with that net:" in said
    model = whole.model()
    table, test = whole.predictions("test_ood"), whole.data("test_ood")
    with torch.no_grad():
        logits = model(torch.stack([test[i].images for i in range(len(test))])).logits
    np.testing.assert_allclose(table[["logit_1", "logit_7"]], logits, atol=1e-4)
    drawn = load(whole.path).net.state_dict()
    assert all(torch.equal(value, drawn[name]) for name, value in SaliencyNet.load(net_run).state_dict().items())
    assert explain_run(whole, images=2).exists()
    assert load(whole.path).threshold is not None

    go_on = stopped_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        run(recipe, tmp_path / "cut", stages=tmp_path)
    go_on()
    resumed, _ = run(recipe, tmp_path / "cut", stages=tmp_path, resume=True)
    assert (resumed.path / "weights.safetensors").read_bytes() == (whole.path / "weights.safetensors").read_bytes()
    with pytest.raises(SalignError, match=r"sees regions alone \(model.region\), and posthoc changes"):
        make_run(whole.path, {"name": "rebalance"}, tmp_path, progress=False, say=lambda line: None)


def test_what_is_wrong_with_any_stage_is_told_before_the_first_is_trained(digits, tmp_path):
    wrong = staged(digits)
    wrong["stages"]["image"] = {**wrong["stages"]["image"], "data": {"val": ["nowhere"]}}
    with pytest.raises(SalignError, match=r"^stages\.image: .*nowhere"):
        run(Recipe.build(wrong), tmp_path)
    with pytest.raises(SalignError, match="somewhere"):
        run(Recipe.build(staged(digits, data={"test": ["somewhere"], "drawn": {"by": "stage:net"}})), tmp_path)
    assert not list(tmp_path.rglob("weights.safetensors"))


def test_what_is_wrong_with_the_last_stage_is_told_before_the_first_is_trained(digits, tmp_path):
    stages = {"teacher": {"loss": {"name": "ce"}, "model": {"weights": None}, "train": {"epochs": 1}}}
    loss = {"name": "distill", "teacher": "stage:teacher", "class_weights": [1, 2, 3]}
    with pytest.raises(SalignError, match=r"loss\.class_weights: expected 2 numbers, got 3"):
        run(quick(digits, stages=stages, loss=loss, model={"weights": None}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_net_may_learn_from_maps_that_an_earlier_stage_draws(digits, tmp_path):
    """Nobody's map is needed for it: what it learns from does not exist before the first stage is over."""
    teacher = {"loss": {"name": "ce"}, "model": {"weights": None}, "train": {"epochs": 1}}
    net = {"task": "maps", "model": {"weights": None, "width": 16}, "train": {"epochs": 1}}
    net |= {"data": {"annotated": 0, "drawn": {"by": "stage:teacher", "images": "all"}}}
    recipe = quick(digits, stages={"teacher": teacher, "net": net}, model={"weights": "stage:net"})
    for name, stage in resolved(recipe).items():
        module._check(stage, name)
    assert list(resolved(recipe)) == ["teacher", "net", ""]


def test_a_stage_made_from_a_run_needs_no_weights_of_its_own(digits, tmp_path):
    long = {"loss": {"name": "ce"}, "model": {"weights": None}, "train": {"epochs": 2, "snapshots": {"even": 2}}}
    stages = {"long": long, "fused": {"posthoc": {"name": "fuse", "run": "stage:long"}}}
    loss = {"name": "distill", "teacher": "stage:fused", "weight": 9}
    last, _ = run(quick(digits, stages=stages, loss=loss, model={"weights": None}), tmp_path)
    assert last.done
    assert len(list(tmp_path.glob("*/posthoc.json"))) == 1
