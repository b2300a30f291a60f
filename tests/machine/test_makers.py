"""What draws: a net, a guided teacher, several of them; what they are called, and how sure they are."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
import torch

from salign.errors import SalignError
from salign.explain import cam, grad_cam, rise
from salign.machine.makers import Ensemble, NetMaker, TeacherMaker, maker_of
from salign.maps import min_max
from salign.models import Classifier, SaliencyNet


def net(seed=0):
    return SaliencyNet("test_resnet", image_size=64, width=16, seed=seed)


@pytest.fixture
def images():
    return torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))


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


def test_members_of_an_ensemble_take_one_size(images):
    other = NetMaker(SaliencyNet("test_resnet", image_size=96, width=16), "model:b")
    with pytest.raises(SalignError, match="one image size"):
        Ensemble([NetMaker(net(), "model:net@1"), other])


@pytest.mark.parametrize(
    ("option", "value"),
    [("device", "cuda:7"), ("device", "gpu"), ("method", "gradcam"), ("of", "label"), ("masks", 0), ("seed", -1)],
)
def test_options_that_cannot_be_are_refused(option, value, tmp_path):
    """A method that there is not was taken for `cam`, and a class that there is not for the predicted one."""
    Classifier("test_resnet", ["a", "b"], image_size=64).save(tmp_path)
    with pytest.raises(SalignError, match=f"{option}"):
        maker_of(tmp_path, **{option: value})


def test_grad_cam_takes_the_forward_pass_that_gives_the_answer(images):
    teacher, passes = Classifier("test_resnet", ["1", "7"], image_size=64, seed=2), []
    teacher.register_forward_hook(lambda *_: passes.append(1))
    TeacherMaker(teacher, "model:t", method="grad_cam")(images, torch.zeros(6).long())
    assert len(passes) == 1
