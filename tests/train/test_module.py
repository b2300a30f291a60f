"""The trainer hides nothing: a plain torch loop with the same data ends with the same weights."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics
from torch.nn import functional

from command import small
from salign.data.reading.datamodule import collate
from salign.data.reading.dataset import SeededSampler
from salign.errors import SalignError
from salign.losses import saliency_distance
from salign.models import Classifier
from salign.runs.fit import fit
from salign.train.module import learning_rate
from salign.train.prepare import prepare
from salign.train.recipe import Recipe


def run(recipe, out):
    return fit(recipe, out, progress=False, say=lambda line: None)


@pytest.fixture(scope="module")
def recipe(digits, tmp_path_factory):
    """Augmentation and stochastic depth, so that every random stream matters; every third image without a map."""
    table = pd.read_csv(digits, dtype=str)
    table.loc[::3, "saliency"] = None
    manifest = tmp_path_factory.mktemp("partly") / "manifest.csv"
    table.to_csv(manifest, index=False)
    content = small(
        manifest,
        name="loop",
        seed=5,
        data={"root": str(digits.parent), "augment": "standard", "test": ["test_iid"]},
        model={"args": {"drop_path_rate": 0.3}},
        loss={"alpha": 0.3, "ramp_epochs": 1},
        train={"epochs": 2, "select": "last", "weight_decay": 0.01, "batch_size": 12},
    )
    return Recipe.build(content)


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    return run(recipe, tmp_path_factory.mktemp("finished"))


def classifier(recipe, classes):
    model = recipe.model
    return Classifier(
        model.backbone, classes, image_size=64, output_stride=model.output_stride, args=model.args, seed=recipe.seed
    )


def batches(dataset, recipe, epoch):
    sampler = SeededSampler(len(dataset), recipe.seed, shuffle=True)
    sampler.set_epoch(epoch)
    keys = list(sampler)
    for start in range(0, len(keys), recipe.train.batch_size):
        yield collate([dataset[key] for key in keys[start : start + recipe.train.batch_size]])


def plain_loop(recipe, dataset, classes, losses):
    """What a user would write; `losses` receives (epoch, size, CE, distance, total) of every batch."""
    model = classifier(recipe, classes).train()
    options, step, steps = recipe.train, 0, recipe.train.epochs * math.ceil(len(dataset) / recipe.train.batch_size)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay
    )
    for epoch in range(options.epochs):
        torch.manual_seed(int(np.random.SeedSequence([recipe.seed, epoch, 0]).generate_state(1)[0]))
        for batch in batches(dataset, recipe, epoch):
            optimizer.param_groups[0]["lr"] = options.lr * ((1 + math.cos(math.pi * step / steps)) / 2)
            output = model(batch.images)
            ce = functional.cross_entropy(output.logits, batch.labels)
            distance = saliency_distance(output.cam(batch.labels), batch.saliency, batch.annotated)
            loss = 0.3 * ce + 0.7 * (0.5, 1.0)[epoch] * distance
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append((epoch, len(batch.labels), ce.item(), distance.item(), loss.item()))
            step += 1
    return model


def test_a_plain_loop_ends_with_the_same_weights_and_figures(recipe, finished):
    data, losses = prepare(recipe.data), []
    assert 0 < int(data.train.annotated.sum()) < len(data.train)
    model = plain_loop(recipe, data.train, data.classes, losses)
    trained = Classifier.load(finished.path).state_dict()
    start = classifier(recipe, data.classes).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(trained[name], value), name
    moved = [name for name in start if not torch.allclose(start[name].float(), trained[name].float(), atol=1e-4)]
    assert len(moved) > 0.9 * len(start)  # there was something to agree on

    figures = pd.read_csv(finished.metrics).set_index("epoch")
    by_batch = pd.DataFrame(losses, columns=["epoch", "n", "ce", "saliency", "loss"])
    for epoch, part in by_batch.groupby("epoch"):
        for name in ("ce", "saliency", "loss"):
            expected = np.average(part[name], weights=part["n"])
            assert figures.loc[epoch, f"train/{name}"] == pytest.approx(expected, rel=1e-5)


def test_validation_figures_are_those_of_scikit_learn_on_the_answers(recipe, finished):
    data = prepare(recipe.data)
    model = Classifier.load(finished.path)
    batch = collate([data.val[i] for i in range(len(data.val))])
    with torch.inference_mode():
        logits = model(batch.images).logits
    labels, probabilities = batch.labels.numpy(), logits.double().softmax(1).numpy()
    last = pd.read_csv(finished.metrics).iloc[-1]
    assert last["val/auroc"] == pytest.approx(metrics.roc_auc_score(labels, probabilities[:, 1]), abs=1e-6)
    assert last["val/accuracy"] == pytest.approx(metrics.accuracy_score(labels, probabilities.argmax(1)), abs=1e-6)
    assert last["val/loss"] == pytest.approx(metrics.log_loss(labels, probabilities), rel=1e-5)


def test_validation_of_many_classes_is_the_mean_one_against_the_rest(digits, tmp_path):
    recipe = Recipe.build(small(digits, data={"classes": None, "test": []}, train={"epochs": 1}))
    done = run(recipe, tmp_path)
    table = pd.read_csv(done.predictions_file("val"), dtype={"label": str, "predicted": str})
    probabilities = table[[f"prob_{k}" for k in range(10)]].to_numpy()
    last = pd.read_csv(done.metrics).iloc[-1]
    expected = metrics.roc_auc_score(table["label"], probabilities, multi_class="ovr", labels=list("0123456789"))
    assert last["val/auroc"] == pytest.approx(expected, abs=1e-5)
    assert last["val/accuracy"] == pytest.approx((table["label"] == table["predicted"]).mean(), abs=1e-6)


def weights(run):
    return (run.path / "weights.safetensors").read_bytes()


def test_the_same_seed_gives_the_same_bytes_whoever_reads_the_images(recipe, finished, tmp_path):
    again = run(recipe.with_values({"data": {"workers": 2}}), tmp_path)
    assert again.path.name == finished.path.name
    assert weights(again) == weights(finished)
    assert again.metrics.read_bytes() == finished.metrics.read_bytes()
    assert again.predictions_file("test_iid").read_bytes() == finished.predictions_file("test_iid").read_bytes()
    assert again.evaluation.read_bytes() == finished.evaluation.read_bytes()


def test_what_was_drawn_before_changes_nothing(recipe, finished, tmp_path):
    """The global generators belong to the caller; a run must not depend on them."""
    torch.manual_seed(123)
    np.random.seed(123)  # noqa: NPY002
    assert weights(run(recipe, tmp_path)) == weights(finished)


def test_another_seed_changes_start_and_order(recipe, finished, tmp_path):
    other = recipe.with_values({"seed": 6})
    data = prepare(recipe.data)
    first, second = (classifier(one, data.classes).state_dict() for one in (recipe, other))
    assert any(not torch.equal(first[name], second[name]) for name in first)
    orders = [torch.cat([batch.index for batch in batches(data.train, one, 0)]).tolist() for one in (recipe, other)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert weights(run(other, tmp_path)) != weights(finished)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"data": {"augment": "none"}}, {"model": {"args": {"drop_path_rate": 0.0}}}, {"loss": {"ramp_epochs": 0}}],
    ids=["augmentation", "stochastic depth", "ramp"],
)
def test_each_source_of_change_reaches_the_weights(recipe, finished, tmp_path, change):
    assert weights(run(recipe.with_values(change), tmp_path)) != weights(finished)


def factors(schedule, epochs=20, **options):
    rate = learning_rate(schedule, epochs=epochs, **options)
    return [rate(step / 100) for step in range(100)]  # 5 steps an epoch


def of_torch(make, per_epoch=1):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    rates = []
    for _ in range(100 // per_epoch):
        rates += [optimizer.param_groups[0]["lr"]] * per_epoch
        optimizer.step()
        scheduler.step()
    return rates


def test_schedules_are_those_of_torch():
    schedulers = torch.optim.lr_scheduler
    assert factors("constant") == [1.0] * 100
    expected = of_torch(lambda optimizer: schedulers.StepLR(optimizer, 3, 0.2), per_epoch=5)
    np.testing.assert_allclose(factors("step", step_epochs=3, step_factor=0.2), expected, rtol=1e-9)
    expected = of_torch(lambda optimizer: schedulers.CosineAnnealingLR(optimizer, 100))
    np.testing.assert_allclose(factors("cosine"), expected, rtol=1e-7)


def test_one_cycle_is_that_of_torch():
    """torch counts its phases to the last step (29 up, 70 down), ours to the share done: compare the curve."""

    def make(optimizer):
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, 1.0, total_steps=1001, pct_start=0.3, div_factor=25, final_div_factor=1e8
        )

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, expected = make(optimizer), []
    for _ in range(1000):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    rate = learning_rate("one_cycle", epochs=3)
    np.testing.assert_allclose([rate(step / 1000) for step in range(1000)], expected, atol=0.006)
    assert rate(0.0) == pytest.approx(0.04)
    assert rate(0.3) == pytest.approx(1.0)
    assert rate(1.0) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("epochs", [3, 7, 50])
@pytest.mark.parametrize("steps", [1, 3, 7, 92])
def test_the_step_schedule_falls_at_the_first_step_of_an_epoch(epochs, steps):
    """The share done is a rounded quotient; it must not put a step into the epoch before."""
    rate = learning_rate("step", epochs=epochs, step_epochs=1, step_factor=0.5)
    for epoch in range(epochs):
        for step in range(steps):
            assert rate((epoch * steps + step) / (epochs * steps)) == pytest.approx(0.5**epoch)


def test_the_rate_of_each_epoch_is_logged(recipe, finished):
    figures = pd.read_csv(finished.metrics)
    expected = [recipe.train.lr * (1 + math.cos(math.pi * done)) / 2 for done in (0.5, 1.0)]
    np.testing.assert_allclose(figures["lr"], expected, atol=1e-12)
    assert figures["epoch"].tolist() == [0, 1]


def test_a_loss_that_cannot_train_the_network_says_so_at_the_first_step(recipe, tmp_path):
    """Hard sigmoids have no second derivative."""
    content = recipe.model_dump() | {"loss": {"name": "rrr"}}
    content["model"] |= {"backbone": "mobilenetv3_small_050", "output_stride": None, "args": {}}
    with pytest.raises(SalignError, match="this network cannot be trained with a loss on the gradient by the image"):
        run(Recipe.build(content), tmp_path)
