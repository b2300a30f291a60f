"""What public functions refuse at their boundary: each row is a call that is right, changed in one argument."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from salign.checks import choice, images, number, tensors, values
from salign.errors import SalignError
from salign.evaluate import (
    accuracy,
    apcer,
    auroc,
    brier,
    compare,
    delong,
    ece,
    holm,
    one_vs_rest,
    percentile_interval,
    seeds_needed,
)
from salign.evaluate.agreement import marked, pearson, pointing
from salign.evaluate.attack import allowed_region, perturbation_effect, pgd, random_start
from salign.evaluate.reliance import compose
from salign.explain import cam, grad_cam_of, rise
from salign.losses import (
    LOSSES,
    cell_cross_entropy,
    cross_entropy,
    cyborg,
    decompose,
    energy_outside,
    erase,
    evidence_outside,
    gradient_outside,
    harmonization,
    jensen_shannon,
    saliency_distance,
    saliency_triplet,
    timed_cross_entropy,
)
from salign.losses.map_losses import MAP_LOSSES
from salign.maps import min_max, resize, sum_to_one
from salign.maps.aggregate import aggregate, staple
from salign.maps.blend import blend, blurred
from salign.maps.files import write_map
from salign.maps.outline import outlines
from salign.maps.region import region, surroundings
from salign.maps.render import heat, to_picture
from salign.maps.smooth import smooth
from salign.models import Classifier, wrap
from salign.models.two_stage import crop, uncrop, windows
from salign.train.module import learning_rate
from salign.types import Output

B, K = 3, 2
DRAW = torch.Generator().manual_seed(0)
LOGITS, LABELS = torch.randn(B, K, generator=DRAW), torch.tensor([0, 1, 1])
CAM, MAPS = torch.randn(B, 4, 5, generator=DRAW), torch.rand(B, 1, 8, 10, generator=DRAW)
SCORES, TRUTH = np.array([0.1, 0.8, 0.6]), np.array([0, 1, 1])
PICTURES, CAMS = torch.rand(B, 3, 16, 16, generator=DRAW), CAM[:, None].repeat(1, K, 1, 1)
OUTPUT = Output(LOGITS, torch.randn(B, 4, 4, 5, generator=DRAW), lambda maps: maps.mean((2, 3)), torch.randn(K, 4))
LOSS = {"cam": CAM, "saliency": MAPS, "annotated": torch.ones(B, dtype=torch.bool)}
WHOLE = {"logits": LOGITS, "labels": LABELS, **LOSS}
ATTACK = {"loss": lambda x: x.flatten(1).sum(1), "images": PICTURES, "epsilon": 8.0, "steps": 1}
GRADIENT = {"gradient": torch.randn(B, 3, 8, 10, generator=DRAW), "saliency": MAPS}

TRIPLET = {"anchor": LOGITS, "positive": LOGITS, "negative": LOGITS, "counts": LABELS.bool(), "margin": 0.2}


class Net(nn.Module):
    """A network of three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, K)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(images).mean((2, 3)))


def wrapped() -> nn.Module:
    return wrap(Net(), features="body", head="head", image_size=16)


def seen(**arguments: Any) -> Any:
    return wrapped()(**arguments)


def to_logits(images: torch.Tensor) -> torch.Tensor:
    return images.mean((2, 3))


BOXES = torch.tensor([[0.0, 0.0, 0.5]] * B)
GENERATOR, MAPS16, TABLE = np.random.default_rng(0), torch.rand(B, 16, 16, generator=DRAW), np.eye(3)
RISE = {"model": wrapped(), "images": PICTURES, "classes": LABELS, "masks": 2, "generator": DRAW}

REFUSED: list[tuple[Callable[..., Any], dict[str, Any], dict[str, Any], str]] = [
    (cyborg, WHOLE, {"penalty": "l2"}, "penalty: expected mse or l1, got 'l2'"),
    (cyborg, WHOLE, {"alpha": 1.5}, "alpha: expected a number from 0 to 1, got 1.5"),
    (cyborg, WHOLE, {"alpha": math.nan}, "alpha: .*got nan"),
    (cyborg, WHOLE, {"cam": CAM[:2]}, "cam: expected .* with B = 3 as of logits, got float32"),
    (cyborg, WHOLE, {"labels": torch.tensor([0, 1, 2])}, "labels: expected values from 0 to 1, got 0 to 2"),
    (cyborg, WHOLE, {"labels": torch.tensor([0, 1, -100])}, "labels: expected values from 0 to 1, got -100 to 1"),
    (cyborg, WHOLE, {"labels": LABELS.int()}, r"labels: expected .*int64.*got int32 \(3,\); \.long"),
    (cyborg, WHOLE, {"labels": torch.full((B, K), 0.3)}, "labels: expected .* zeros and ones"),
    (cyborg, WHOLE, {"class_weights": torch.ones(3)}, "class_weights: expected .* with K = 2"),
    (cyborg, WHOLE, {"class_weights": torch.tensor([1.0, -1.0])}, "class_weights: .*-1 to 1"),
    (cross_entropy, {"logits": LOGITS, "labels": LABELS}, {"logits": LOGITS[:, :1]}, "two classes or more"),
    (saliency_distance, LOSS, {"cam": CAM[:, None]}, r"cam: expected .*\(B, h, w\), got float32 \(3, 1, 4, 5\)"),
    (saliency_distance, LOSS, {"cam": CAM.numpy()}, "cam: .*got ndarray .*torch.as_tensor"),
    (saliency_distance, LOSS, {"cam": (CAM * 9).long()}, "cam: .*got int64"),
    (
        saliency_distance,
        LOSS,
        {"saliency": MAPS.repeat(1, 3, 1, 1)},
        r"saliency: expected .*got float32 \(3, 3, 8, 10\)",
    ),
    (saliency_distance, LOSS, {"saliency": MAPS[:1]}, "saliency: expected .* with B = 3 as of cam"),
    (saliency_distance, LOSS, {"saliency": MAPS - 0.5}, "saliency: expected values of 0 or more"),
    (saliency_distance, LOSS, {"saliency": MAPS * math.nan}, "saliency: .*got NaN"),
    (saliency_distance, LOSS, {"annotated": torch.ones(B)}, "annotated: expected .*bool.*got float32"),
    (energy_outside, LOSS, {"annotated": torch.ones(B, dtype=torch.uint8)}, "annotated: expected .*bool"),
    (gradient_outside, GRADIENT, {"form": "l2"}, "form: expected squared, l1 or cosine, got 'l2'"),
    (gradient_outside, GRADIENT, {"gradient": MAPS}, r"gradient: expected .*\(B, 3, H, W\)"),
    (harmonization, GRADIENT, {"colours": "abs"}, "colours: expected mean or absolute, got 'abs'"),
    (cell_cross_entropy, {"grad_cam": CAM, "saliency": MAPS}, {"cells": "some"}, "cells: expected all or marked"),
    (evidence_outside, {"cams": CAMS, "saliency": MAPS}, {"cams": CAM}, r"cams: expected .*\(B, K, h, w\)"),
    *[
        (saliency_triplet, TRIPLET, {name: wrong}, f"{name}: expected .*{said}")
        for name, wrong, said in (
            ("anchor", PICTURES, r"got float32 \(3, 3, 16, 16\)"),
            ("positive", LOGITS[:2], "with B = 3 as of anchor"),
            ("negative", LOGITS[:, :1], "with C = 2 as of anchor"),
            ("counts", torch.ones(B), "bool.*got float32"),
        )
    ],
    (
        jensen_shannon,
        {"first": LOGITS, "second": LOGITS, "counts": TRIPLET["counts"]},
        {"counts": LABELS},
        "counts: expected .*bool.*got int64",
    ),
    (erase, {"images": PICTURES, "maps": CAM}, {"omega": 0.0}, "omega: expected a number above 0, got 0.0"),
    (
        timed_cross_entropy,
        {"logits": LOGITS, "labels": LABELS},
        {"factor": -1},
        "factor: expected a number of 0 or more",
    ),
    *[
        (loss, {"logits": CAM, "maps": CAM.sigmoid()}, {"maps": CAM * 9}, "maps: expected values from 0 to 1")
        for loss in MAP_LOSSES.values()
    ],
    (OUTPUT.cam, {"classes": LABELS}, {"classes": LABELS - 1}, "classes: expected values from 0 to 1, got -1 to 0"),
    (OUTPUT.cam, {"classes": LABELS}, {"classes": LABELS.bool()}, "classes: expected .*int64"),
    (OUTPUT.grad_cam, {"classes": LABELS}, {"classes": LABELS[:1]}, "classes: expected .* with B = 3 as of logits"),
    (seen, {"images": PICTURES}, {"images": (PICTURES * 255).byte()}, "images: .*got uint8.*divide .* by 255"),
    (erase, {"images": PICTURES, "maps": CAM}, {"images": PICTURES.to(torch.complex64)}, "images: .*got complex64"),
    (OUTPUT.cam, {"classes": LABELS}, {"classes": LOGITS.to(torch.complex64)}, "classes: expected .*int64"),
    *[
        (saliency_distance, LOSS, {"saliency": wrong}, f"saliency: expected .*{words}")
        for wrong, words in ((MAPS.to(torch.complex64), "got complex64"), (MAPS.tolist(), "got list"))
    ],
    *[
        (
            cross_entropy,
            {"logits": LOGITS, "labels": LABELS, "targets": torch.full((B, K), 0.5)},
            {"targets": wrong},
            said,
        )
        for wrong, said in (
            (torch.full((B, K), 2.0), "targets: expected values from 0 to 1, got 2 to 2"),
            (torch.full((B, K), math.nan), "targets: .*got NaN"),
        )
    ],
    (
        timed_cross_entropy,
        {"logits": LOGITS, "labels": LABELS, "seconds": torch.tensor([1.0, math.nan, 0.0])},
        {"seconds": torch.tensor([1.0, -2.0, 0.0])},
        "seconds: expected values of 0 or more, got -2 to 1",
    ),
    (
        decompose,
        {"network": to_logits, "images": PICTURES, "region": MAPS16},
        {"network": 3},
        "network: expected a func",
    ),
    *[
        (blend, {"images": PICTURES, "backgrounds": PICTURES, "maps": MAPS16[:, None]}, {name: wrong}, said)
        for name, wrong, said in (
            ("images", PICTURES.numpy(), r"images: expected a tensor .*got ndarray"),
            ("backgrounds", (PICTURES * 255).byte(), "backgrounds: expected floating point .*uint8"),
            ("maps", MAPS16[:2, None], r"maps: expected one for each of the images .*got \(2, 1, 16, 16\)"),
        )
    ],
    (
        blurred,
        {"images": PICTURES, "sigma": 1.0},
        {"images": (PICTURES * 255).byte()},
        "images: expected floating point",
    ),
    (marked, {"human": MAPS[:, 0]}, {"human": -MAPS[:, 0]}, "human: expected values of 0 or more"),
    *[
        (
            cam,
            {"model": wrapped(), "images": PICTURES, "classes": LABELS},
            {"model": wrong},
            "model: expected a function",
        )
        for wrong in (None, 3, "net")
    ],
    (grad_cam_of, {"output": OUTPUT, "classes": LABELS}, {"output": LOGITS}, "output: expected an Output.*got float32"),
    (rise, RISE, {"generator": 3}, "generator: expected a torch.Generator, got 3"),
    *[
        (wrap, {"net": Net(), "features": "body", "head": "head", "image_size": 16}, {name: wrong}, said)
        for name, wrong, said in (
            ("net", None, "net: expected a module, got None"),
            ("features", 3, "features: expected the name of a layer, got 3"),
            ("head", 3, "head: expected the name of a layer, got 3"),
            ("image_size", "16", "image_size: expected a whole number .*got '16'"),
            ("image_size", (16, 16, 3), r"image_size: expected \(H, W\), or one number"),
            ("image_size", -16, "image_size: expected a whole number from 1 to"),
            ("image_size", 2, r"the network cannot take images \(2, 3, 2, 2\)"),
            ("mean", None, "mean: expected three numbers"),
            ("mean", (0.0, 0.0, math.nan), "mean: expected a number .*got nan"),
        )
    ],
    *[
        (Classifier, {"backbone": "test_resnet", "classes": ["a", "b"], "image_size": 32}, {name: wrong}, said)
        for name, wrong, said in (
            ("backbone", 3, "backbone: expected a timm name, got 3"),
            ("classes", None, "classes: expected names of classes, got None"),
            ("classes", [0, 1], "classes: expected names, which are text, got 0"),
            ("image_size", 32.0, "image_size: expected a whole number"),
            ("image_size", [32], r"image_size: expected \(H, W\)"),
            ("weights", 3, "weights: expected imagenet, the path of a file, or None, got 3"),
            ("args", "a", "args: expected a dict of keywords, got 'a'"),
            ("seed", -1, "seed: expected a whole number from 0 to"),
        )
    ],
    (
        auroc,
        {"scores": SCORES, "positive": TRUTH},
        {"scores": "high"},
        "score: expected an array of numbers, got 'high'",
    ),
    (auroc, {"scores": SCORES, "positive": TRUTH}, {"scores": 0.5}, r"score: expected an array \(N, ...\), got 0.5"),
    (one_vs_rest, {"figure": auroc, "scores": TABLE, "labels": TRUTH}, {"figure": 3}, "figure: expected a function"),
    (delong, {"labels": TRUTH, "first": SCORES}, {"first": None}, r"score: expected an array"),
    (holm, {"p_values": [0.1, 0.2]}, {"p_values": ["low"]}, "p_values: expected an array of numbers"),
    (
        seeds_needed,
        {"sd_of_differences": 0.1, "half_width": 0.1},
        {"half_width": "x"},
        "half_width: expected a number above 0",
    ),
    (percentile_interval, {"values": SCORES}, {"values": []}, r"values: expected \(R,\) resampled values"),
    *[
        (compare, {"first": SCORES, "second": SCORES, "generator": GENERATOR, "resamples": 5}, {name: wrong}, said)
        for name, wrong, said in (
            ("first", "high", "first: expected an array of numbers"),
            ("generator", 3, "generator: expected a numpy.random.Generator, got 3"),
            ("resamples", 2.5, "resamples: expected a whole number of 1 or more, got 2.5"),
            ("confidence", "sure", "confidence: expected a number above 0 and below 1, got 'sure'"),
        )
    ],
    (resize, {"maps": CAM, "size": (6, 6)}, {"size": None}, r"size: expected \(height, width\).*got None"),
    (outlines, {"values": np.ones((4, 4))}, {"values": "map"}, "values: expected an array of numbers, got 'map'"),
    (seen, {"images": PICTURES}, {"images": PICTURES * 255}, "images: expected values from 0 to 1.*divided by 255"),
    (seen, {"images": PICTURES}, {"images": PICTURES[:, :1]}, r"images: expected .*got float32 \(3, 1, 16, 16\)"),
    (seen, {"images": PICTURES}, {"images": PICTURES * math.nan}, "images: .*got NaN"),
    (wrap, {"net": Net(), "features": "body", "head": "head", "image_size": 16}, {"std": (1, 0, 1)}, "std: .*above 0"),
    (cam, {"model": wrapped(), "images": PICTURES, "classes": LABELS}, {"classes": LABELS + 1}, "classes: .*1 to 2"),
    (
        rise,
        RISE,
        {"fill": 255},
        "fill: expected a number from 0 to 1, got 255",
    ),
    (learning_rate, {"schedule": "step", "epochs": 2}, {"schedule": "cosin"}, "schedule: .*did you mean 'cosine'"),
    (min_max, {"maps": CAM}, {"maps": (CAM * 9).byte()}, "maps: expected .*got torch.uint8"),
    (resize, {"maps": CAM, "size": (2, 2)}, {"size": (0, 2)}, "size: expected .*1 or more"),
    (sum_to_one, {"maps": CAM.abs()}, {"maps": CAM}, "maps: expected values of 0 or more"),
    (aggregate, {"maps": CAM.sigmoid(), "method": "mean"}, {"method": "median"}, "method: expected union, mean"),
    (staple, {"maps": CAM.sigmoid()}, {"iterations": 0}, "iterations: expected a whole number of 1 or more, got 0"),
    (heat, {"values": CAM[0].sigmoid()}, {"values": CAM[0].sigmoid().numpy()}, "values: .*got ndarray"),
    (to_picture, {"image": PICTURES[0]}, {"image": PICTURES[0] * 255}, "image: expected values from 0 to 1"),
    (smooth, {"maps": CAM, "sigma": 1}, {"maps": CAM.numpy()}, "maps .*got ndarray"),
    (outlines, {"values": np.eye(4)}, {"values": -np.eye(4)}, "values: expected a map"),
    (pearson, {"model": CAM, "human": MAPS[:, 0]}, {"model": CAM.numpy()}, "model: .*got ndarray"),
    (pointing, {"model": CAM, "human": MAPS[:, 0]}, {"tolerance": 15}, "tolerance: expected a number from 0 to 1"),
    (region, {"saliency": MAPS}, {"saliency": -MAPS}, "saliency: expected values of 0 or more"),
    (
        surroundings,
        {"images": PICTURES, "regions": torch.ones(B, 1, 16, 16)},
        {"regions": torch.full((B, 1, 16, 16), 255.0)},
        "regions: expected values from 0 to 1",
    ),
    (windows, {"regions": torch.ones(B, 1, 16, 16)}, {"regions": MAPS16}, r"regions: expected .*\(B, 1, H, W\)"),
    (windows, {"regions": torch.ones(B, 1, 16, 16)}, {"margin": -0.1}, "margin: expected a number of 0 or more"),
    (crop, {"images": PICTURES, "boxes": BOXES}, {"boxes": BOXES[:2]}, "boxes: expected .* with B = 3 as of images"),
    (uncrop, {"maps": CAMS, "boxes": BOXES, "size": (16, 16)}, {"maps": CAM}, "maps: expected .*B, n, h, w"),
    (
        compose,
        {"images": PICTURES, "regions": torch.ones(B, 1, 16, 16), "fill": PICTURES, "keep": "inside"},
        {"regions": torch.full((B, 1, 16, 16), 255.0)},
        "regions: expected values from 0 to 1",
    ),
    (pgd, ATTACK, {"images": PICTURES[0]}, r"images: expected .* got float32 \(3, 16, 16\)"),
    (pgd, ATTACK, {"loss": 3}, "loss: expected a function"),
    (pgd, ATTACK, {"norm": "l1"}, "norm: expected linf or l2, got 'l1'"),
    (random_start, {"numbers": PICTURES, "epsilon": 8.0}, {"epsilon": -1.0}, "epsilon: expected a number above 0"),
    (
        allowed_region,
        {"saliency": MAPS, "counts": LABELS.bool(), "where": "inside"},
        {"where": "in"},
        "where: expected all, outside or inside, got 'in'",
    ),
    (
        perturbation_effect,
        {"loss": lambda x: x.flatten(1).sum(1), "images": PICTURES, "attacked": PICTURES},
        {"attacked": PICTURES[:, :, :4]},
        "attacked: expected .* with H = 16 as of images",
    ),
    (accuracy, {"predicted": TRUTH, "labels": TRUTH}, {"predicted": SCORES}, "predicted: .*class numbers, got float64"),
    (accuracy, {"predicted": TRUTH, "labels": TRUTH}, {"labels": TRUTH[:, None]}, r"labels: .*got int64 \(3, 1\)"),
    (auroc, {"scores": SCORES, "positive": TRUTH}, {"positive": [0, 1, 2]}, "positive: expected True and False"),
    (auroc, {"scores": SCORES, "positive": TRUTH}, {"positive": ["0", "1", "1"]}, "positive: expected True and False"),
    (auroc, {"scores": SCORES, "positive": TRUTH}, {"weights": [[1, -1, 1]]}, "weights must be counts of 0 or more"),
    (brier, {"probabilities": SCORES, "positive": TRUTH}, {"probabilities": SCORES * 9}, "probabilities: .*softmax"),
    (ece, {"probabilities": np.eye(3), "labels": TRUTH}, {"bins": 0}, "bins: expected a whole number of 1 or more"),
    (ece, {"probabilities": np.eye(3), "labels": TRUTH}, {"labels": [0, 1, -1]}, "from 0 to 2, got -1 to 1"),
    (one_vs_rest, {"figure": auroc, "scores": np.eye(3), "labels": TRUTH}, {"labels": [0, 1, 3]}, "from 0 to 2, got 0"),
    (apcer, {"scores": SCORES, "attack": TRUTH, "threshold": 0.5}, {"threshold": math.nan}, "threshold: .*got nan"),
    (apcer, {"scores": SCORES, "attack": TRUTH, "threshold": 0.5}, {"species": ["a"]}, r"species: expected \(3,\)"),
]


@pytest.mark.parametrize(
    ("function", "right", "change", "said"),
    REFUSED,
    ids=[f"{row[0].__name__} {next(iter(row[2]))} {number}" for number, row in enumerate(REFUSED)],
)
def test_one_wrong_argument_is_refused_by_name_and_the_right_ones_are_taken(
    function: Callable[..., Any], right: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    function(**right)
    with pytest.raises(SalignError, match=f"^(?s:.*){said}"):
        function(**{**right, **change})


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "ce"])
def test_every_module_refuses_weights_below_zero(name: str) -> None:
    options = {"cyborg": "alpha", "reaction_time": "alpha", "viser": None, "group_dro": "step_size"}
    option = options.get(name, "weight")
    if option is None:
        with pytest.raises(SalignError, match="cam_class: expected true or predicted, got 'best'"):
            LOSSES[name](cam_class="best")
        return
    with pytest.raises(SalignError, match=f"{option}: expected a number .*, got -0.5"):
        LOSSES[name](**{option: -0.5})


@pytest.mark.parametrize(
    ("name", "options", "looked_at"),
    [
        ("cyborg", {"alpha": 1}, False),
        ("cyborg", {"alpha": 0.99}, True),
        ("evidence", {"weight": 0}, False),
        ("swap", {"weight": 0}, False),
        ("sage", {"weight": 0, "consistency": 0.1}, True),
        ("gradia", {"weight": 0}, True),
        ("gain", {}, False),
    ],
)
def test_options_say_whether_human_maps_are_looked_at(name: str, options: dict[str, Any], looked_at: bool) -> None:
    assert LOSSES[name](**options).guided is looked_at


def test_what_lies_in_the_place_of_a_missing_map_is_not_checked() -> None:
    wrong = MAPS.clone()
    wrong[1] = math.nan
    looked = torch.tensor([True, False, True])
    assert saliency_distance(CAM, wrong, looked).item() == saliency_distance(CAM, MAPS, looked).item()


def test_8_bit_maps_are_the_maps_that_they_were_made_from() -> None:
    eighth = (MAPS * 255).round()
    assert saliency_distance(CAM, eighth.byte()).item() == saliency_distance(CAM, eighth).item()


def test_a_map_that_is_not_finite_passes_for_no_constant_one() -> None:
    broken = torch.tensor([[0.0, math.nan]]), torch.tensor([[0.0, math.inf]])
    assert all(bool(min_max(one).isnan().any()) for one in broken)


def test_a_map_that_cannot_be_stored_is_not_written_as_another(tmp_path: Any) -> None:
    with pytest.raises(SalignError, match=r"from 0 to 1, got \(1, 2\) from 0 to 1.5"):
        write_map(tmp_path / "map.png", np.array([[0.0, 1.5]]))
    assert not (tmp_path / "map.png").exists()


def test_a_name_is_no_list_of_classes() -> None:
    with pytest.raises(SalignError, match="at least two different classes, got 'cat'"):
        Classifier("test_resnet", "cat", image_size=32)


def test_the_checks_themselves() -> None:
    number("a", 0, "[0, 1]")
    number("a", 1.0, "[0, 1]")
    choice("a", "x", {"x": 1})
    values("a", torch.tensor([0.0, 1.0]), "[0, 1]")
    tensors(a=(None, "bool (B,) or None"))
    images(torch.rand(1, 3, 4, 4) * 1.9 - 0.45, object)  # sharpening and noise leave a little outside
    for wrong, interval in (
        (1.0, "[0, 1)"),
        (0.0, "(0, 1]"),
        (True, "[0, 1]"),
        ("0.5", "[0, 1]"),
        (math.inf, "[0, inf)"),
        (10**5000, "[0, inf)"),
        (-(10**400), "(-inf, 1]"),
    ):
        with pytest.raises(SalignError, match="a: expected a number"):
            number("a", wrong, interval)
    with pytest.raises(SalignError, match="a: expected a whole number"):
        number("a", 1.5, "[0, 2]", whole=True)
    with pytest.raises(SalignError, match=r"a: expected a tensor of bool \(B,\), got None"):
        tensors(a=(None, "bool (B,)"))


def test_a_network_is_exported_with_its_checks() -> None:
    net = wrapped().eval()
    exported = torch.export.export(Answer(net), (PICTURES,))
    torch.testing.assert_close(exported.module()(PICTURES), net(PICTURES).logits)


class Answer(nn.Module):
    """The logits alone, as what is exported has no functions in its answer."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images).logits
