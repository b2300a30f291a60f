"""Several networks that answer as one: probabilities and maps are weighted means, and the folder says all."""

from __future__ import annotations

import json

import pytest
import torch

import salign
from salign.errors import SalignError
from salign.models import Classifier, Ensemble, Threshold, load
from salign.models.config import keep_threshold

WEIGHTS = [0.2, 0.5, 0.3]


def network(seed, **options):
    return Classifier("test_resnet", ["a", "b", "c"], image_size=32, seed=seed, **options).eval()


@pytest.fixture(scope="module", params=[False, True], ids=["one label", "several labels"])
def ensemble(request):
    return Ensemble([network(seed, multi_label=request.param) for seed in range(3)], WEIGHTS).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_probabilities_and_maps_are_the_weighted_means_of_the_members(ensemble, images):
    output = ensemble(images)
    outputs = [member(images) for member in ensemble.members]
    scale = torch.nn.Sigmoid() if ensemble.multi_label else torch.nn.Softmax(1)
    expected = sum(w * scale(one.logits.double()) for w, one in zip(WEIGHTS, outputs, strict=True))
    torch.testing.assert_close(ensemble.probabilities(output.logits.double()), expected, atol=1e-6, rtol=0)
    classes = torch.tensor([0, 1, 2, 1])
    maps = sum(w * one.cam(classes) for w, one in zip(WEIGHTS, outputs, strict=True))
    torch.testing.assert_close(output.cam(classes), maps)
    torch.testing.assert_close(output.head(output.features), output.logits)


def test_probabilities_near_0_and_1_stay_finite():
    members = [network(seed) for seed in range(2)]
    for member, bias in zip(members, (300.0, -300.0), strict=True):
        member.backbone.net.get_classifier().bias.data[0] = bias
    logits = Ensemble(members, [0.25, 0.75])(torch.zeros(1, 3, 32, 32)).logits
    torch.testing.assert_close(logits.softmax(1)[0, 0].item(), 0.25, atol=1e-6, rtol=0)


def test_a_folder_gives_the_same_ensemble_back(ensemble, images, tmp_path):
    folder = ensemble.save(tmp_path)
    again = salign.load(folder)
    assert isinstance(again, Ensemble)
    assert not again.training
    assert (again.classes, again.image_size, again.multi_label) == (("a", "b", "c"), (32, 32), ensemble.multi_label)
    torch.testing.assert_close(again.weights, torch.tensor(WEIGHTS))
    torch.testing.assert_close(again(images).logits, ensemble(images).logits)
    assert again.answers(ensemble(images).logits) == ensemble.answers(ensemble(images).logits)


def test_each_kind_refuses_the_folder_of_the_other(ensemble, tmp_path):
    whole, single = ensemble.save(tmp_path / "whole"), network(0).save(tmp_path / "single")
    with pytest.raises(SalignError, match=r"expected one classifier, and ensemble.json describes an ensemble of fused"):
        Classifier.load(whole)
    with pytest.raises(SalignError, match=r"expected an ensemble of fused runs, and \S+ describes one class"):
        Ensemble.load(single)


def test_a_threshold_is_kept_with_it(tmp_path):
    two = Ensemble([Classifier("test_resnet", ["a", "b"], image_size=32, seed=seed) for seed in (0, 1)], [0.5, 0.5])
    two.save(tmp_path)
    chosen = Threshold(positive="b", probability=0.123456789012345, rule="eer")
    keep_threshold(tmp_path, chosen)
    assert load(tmp_path).threshold == chosen
    assert json.loads((tmp_path / "ensemble.json").read_text())["members"] == 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Ensemble([], []), "expected one weight per member, got 0 for 0 members"),
        (lambda: Ensemble([network(0)], [0.5, 0.5]), "expected one weight per member, got 2 for 1 members"),
        (lambda: Ensemble([network(0), network(1)], [0.5, 0.4]), "weights: expected positive numbers that sum to 1"),
        (lambda: Ensemble([network(0), network(1)], [1.0, 0.0]), "weights: expected positive numbers that sum to 1"),
        (lambda: Ensemble([network(0), network(1, output_stride=8)], [0.5, 0.5]), "members that were made alike"),
        (lambda: Ensemble([network(0, cam="none")], [1.0]), "test_resnet: its head is not linear"),
    ],
)
def test_members_that_do_not_fit_are_refused(make, said):
    with pytest.raises(SalignError, match=said):
        make()


def test_a_damaged_description_is_refused(tmp_path):
    Ensemble([network(0)], [1.0]).save(tmp_path)
    path = tmp_path / "ensemble.json"
    path.write_text(path.read_text().replace('"members": 1', '"members": 2'))
    with pytest.raises(SalignError, match=r"weights.safetensors does not fit .*ensemble.json: .*members\.1"):
        load(tmp_path)
