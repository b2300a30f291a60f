"""That a backbone answers as timm does, and that its class activation map means what it says: figures, not shapes."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from references.cam import head_gradient_cam
from salign.errors import SalignError
from salign.models import Backbone
from salign.models.backbone import Cam
from salign.types import Output

K = 5
AVERAGE = {"global_pool": "avg"}

LINEAR = [
    ("test_resnet", 64, {}),
    ("resnet10t", 96, {}),
    ("test_efficientnet", 64, {}),
    ("reactnet_025", 64, {}),
    *(
        pytest.param(name, size, {}, marks=pytest.mark.slow)
        for name, size in (
            ("densenet121", 224),
            ("resnet50", 224),
            ("inception_v3", 299),
            ("legacy_xception", 299),
            ("tf_efficientnet_lite0", 224),
            ("swin_tiny_patch4_window7_224", 224),
            ("mixer_s32_224", 224),
        )
    ),
]
HEAD_GRADIENT = [
    ("test_convnext", 64, {}),
    ("test_vit", 160, {"args": AVERAGE}),
    ("test_vit2", 64, {"args": AVERAGE}),
    ("mobilenetv3_small_050", 96, {}),
    *(
        pytest.param(name, size, options, marks=pytest.mark.slow)
        for name, size, options in (
            ("convnext_tiny", 96, {}),
            ("mobilenetv3_large_100", 96, {}),
            ("vgg11_bn", 96, {"args": {"mlp_ratio": 0.125}}),
            ("vit_tiny_patch16_224", 224, {"args": AVERAGE}),
        )
    ),
]


def build(name: str, size: int | tuple[int, int], options: dict[str, Any]) -> tuple[Backbone, Tensor]:
    """A network with random weights on every layer, classifier included, and images to feed it."""
    height, width = (size, size) if isinstance(size, int) else size
    torch.manual_seed(0)
    backbone = Backbone(name, K, image_size=(height, width), **options)
    images = torch.randn(2, 3, height, width)
    with torch.no_grad():
        for module in backbone.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.weight.uniform_(0.5, 1.5)  # timm starts the last of a residual branch at zero
                module.momentum = None  # one pass sets the statistics, so that signals neither vanish nor explode
        backbone.train()(images)
        for parameter in classifier_parameters(backbone):
            parameter.normal_()
    return backbone.eval(), images


def classifier_parameters(backbone: Backbone) -> list[nn.Parameter]:
    return list(backbone.net.get_classifier().parameters())


def every_class(output: Output) -> Tensor:
    """`(B, K, h, w)`."""
    return output.cam(torch.arange(K).expand(len(output.logits), -1))


def relative(error: Tensor, scale: Tensor) -> float:
    """Largest error over largest value."""
    assert scale.abs().max() > 1e-3
    return (error.abs().max() / scale.abs().max()).item()


@pytest.mark.parametrize(("name", "size", "options"), [*LINEAR, *HEAD_GRADIENT])
def test_one_pass_gives_the_logits_of_timm(name: str, size: int, options: dict[str, Any]) -> None:
    backbone, images = build(name, size, options)
    with torch.inference_mode():
        assert relative(backbone(images).logits - backbone.net(images), backbone.net(images)) < 1e-6


@pytest.mark.parametrize(("name", "size", "options"), LINEAR)
def test_mean_of_the_map_plus_bias_is_the_logit(name: str, size: int, options: dict[str, Any]) -> None:
    backbone, images = build(name, size, options)
    assert backbone.cam_kind == "linear"
    with torch.inference_mode():
        output = backbone(images)
        maps = every_class(output)
        answer = backbone.net(images)
    bias = backbone.net.get_classifier().bias
    assert bias.abs().max() > 0.1
    assert relative(maps.mean((2, 3)) + bias - answer, maps.mean((2, 3))) < 1e-4
    assert relative(maps - maps.mean((2, 3), keepdim=True), maps) > 0.1  # a map, not one number in every cell


@pytest.mark.parametrize(("name", "size", "options"), LINEAR)
def test_head_gradient_map_of_a_linear_head_is_the_linear_map(name: str, size: int, options: dict[str, Any]) -> None:
    backbone, images = build(name, size, options)
    output = backbone(images)
    gradient = Output(output.logits, output.features, output.head, weight=None)
    asked = torch.tensor([1, 4])
    assert relative(gradient.cam(asked) - output.cam(asked), output.cam(asked)) < 1e-4


@pytest.mark.parametrize(("name", "size", "options"), HEAD_GRADIENT)
def test_head_gradient_map_equals_a_backward_pass_per_image_and_class(
    name: str, size: int, options: dict[str, Any]
) -> None:
    backbone, images = build(name, size, options)
    assert backbone.cam_kind == "head_gradient"
    output = backbone(images)
    raw = backbone.net.forward_features(images).detach()
    for wanted in ([0, 3], [4, 4]):
        expected = head_gradient_cam(backbone.net.forward_head, raw, wanted)
        if expected.dim() == 2:  # tokens, row by row, after those that stand for no place
            expected = expected[:, backbone.prefix :].reshape(2, *backbone.grid)
        expected = expected * backbone.grid[0] * backbone.grid[1]
        got = output.cam(torch.tensor(wanted))
        assert relative(got - expected, expected) < 1e-4


def test_tokens_of_an_oblong_image_lie_row_by_row() -> None:
    args = {**AVERAGE, "img_size": (64, 128)}
    backbone, images = build("test_vit", (64, 128), {"args": args})
    assert backbone.grid == (4, 8)
    raw = backbone.net.forward_features(images).detach()
    tokens = raw[:, backbone.prefix :]
    features = backbone(images).features
    for row, column in ((0, 5), (3, 2)):
        assert torch.allclose(features[:, :, row, column], tokens[:, row * 8 + column], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [("test_resnet", 64, {}), ("test_convnext", 64, {}), ("test_vit", 160, {"args": AVERAGE})],
)
def test_training_on_the_map_reaches_every_layer_and_the_head(name: str, size: int, options: dict[str, Any]) -> None:
    backbone, images = build(name, size, options)
    backbone.train()
    backbone(images).cam(torch.tensor([0, 3])).square().mean().backward()
    (head, *_) = classifier_parameters(backbone)
    first = next(backbone.net.parameters())
    for parameter in (head, first):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [("test_resnet", 64, {}), ("test_convnext", 64, {}), ("test_vit", 160, {"args": AVERAGE})],
)
def test_bfloat16_autocast_gives_a_float32_map_near_the_float32_one(
    name: str, size: int, options: dict[str, Any]
) -> None:
    backbone, images = build(name, size, options)
    asked = torch.tensor([0, 3])
    with torch.inference_mode():
        exact = backbone(images).cam(asked)
        with torch.autocast("cpu", torch.bfloat16):
            rough = backbone(images).cam(asked)
    assert rough.dtype == torch.float32
    assert 0 < relative(rough - exact, exact) < 0.1


def test_the_network_is_left_as_timm_made_it() -> None:
    torch.manual_seed(3)
    expected = timm.create_model("test_resnet", num_classes=K)
    after = torch.rand(1)
    torch.manual_seed(3)
    backbone = Backbone("test_resnet", K, image_size=(64, 64))
    assert torch.equal(torch.rand(1), after)
    assert backbone.training
    assert backbone.net.training
    got = backbone.net.state_dict()
    assert all(torch.equal(value, got[key]) for key, value in expected.state_dict().items())


def test_one_training_step_updates_batch_statistics_once() -> None:
    backbone, images = build("resnet10t", 96, {})
    before = [m.num_batches_tracked.item() for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    backbone.train()(images).cam(torch.tensor([0, 1])).sum().backward()
    after = [m.num_batches_tracked.item() for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert after == [count + 1 for count in before]
    assert len(before) > 5


def test_the_proof_does_not_believe_a_network_whose_map_is_no_evidence() -> None:
    """The last convolution, which the published code taps before norm and residual, gives no CAM of a ResNet."""
    backbone, images = build("resnet10t", 96, {})
    tapped: list[Tensor] = []
    hook = backbone.net.layer4[-1].conv2.register_forward_hook(lambda module, args, result: tapped.append(result))
    with torch.inference_mode():
        output = backbone(images)
        hook.remove()
        wrong = every_class(Output(output.logits, tapped[0], output.head, output.weight)).mean((2, 3))
    answer = output.logits - backbone.net.get_classifier().bias
    assert relative(wrong - answer, answer) > 0.2


def test_a_class_token_is_refused_with_the_remedy() -> None:
    with pytest.raises(SalignError, match=r"class token.*global_pool: avg"):
        Backbone("test_vit", K, image_size=(160, 160))


def test_a_class_token_is_taken_where_no_map_is_asked_for() -> None:
    backbone = Backbone("test_vit", K, image_size=(160, 160), cam="none").eval()
    images = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = backbone(images)
        assert torch.equal(output.logits, backbone.net(images))
        patches = backbone.net.forward_features(images)[:, backbone.prefix :]
        assert torch.equal(output.features.flatten(2).transpose(1, 2), patches)
    assert (backbone.cam_kind, backbone.grid) == ("none", (10, 10))
    for ask in (output.cam, output.grad_cam):
        with pytest.raises(SalignError, match=r"test_vit was built with cam = none.*rollout.*global_pool: avg"):
            ask(torch.tensor([0, 1]))


MAPS_INSTEAD = r"Take a network that gives feature maps, such as a resnet, convnext or swin, or a vit_\*"
POOL = r"Pool the patch tokens instead: model\.args = \{global_pool: avg\}\. Or do without maps"


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "pit_ti_224",
            224,
            rf"pit_ti_224: timm gives its class token alone, not the features of places.*{MAPS_INSTEAD}",
        ),
        ("pit_ti_distilled_224", 224, rf"gives its class token alone.*{MAPS_INSTEAD}.*model\.cam = none"),
        ("deit_tiny_distilled_patch16_224", 224, rf"read from a class token.*explains it\. {MAPS_INSTEAD}"),
        ("coat_tiny", 224, rf"expected one tensor of feature maps or tokens, got several in a list\. {MAPS_INSTEAD}"),
        *(
            pytest.param(name, size, message, marks=pytest.mark.slow)
            for name, size, message in (
                ("crossvit_tiny_240", 240, rf"got several in a list\. {MAPS_INSTEAD}"),
                ("efficientvim_m1", 224, rf"got several in a list\. {MAPS_INSTEAD}"),
                ("volo_d1_224", 224, rf"read from a class token.*explains it\. {MAPS_INSTEAD}"),
                ("coat_lite_tiny", 224, rf"read from a class token.*{POOL}"),
                ("xcit_nano_12_p16_224", 224, rf"read from a class token.*{POOL}"),
                ("cait_xxs24_224", 224, rf"read from a class token.*{POOL}"),
                ("qwen3_vit_88m_enc", 224, rf"is an encoder without a classifier\. {MAPS_INSTEAD}"),
            )
        ),
    ],
)
def test_a_network_without_a_map_is_refused_with_a_remedy_that_helps(name: str, size: int, message: str) -> None:
    with pytest.raises(SalignError, match=message):
        Backbone(name, K, image_size=(size, size))


@pytest.mark.parametrize("name", ["pit_ti_224", "pit_ti_distilled_224"])
def test_a_class_token_alone_is_taken_where_no_map_is_asked_for(name: str) -> None:
    backbone = Backbone(name, K, image_size=(224, 224), cam="none").eval()
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = backbone(images)
        assert torch.equal(output.logits, backbone.net(images))
        assert torch.equal(output.features[:, :, 0, 0], backbone.net.forward_features(images)[:, -1])
    assert (backbone.cam_kind, backbone.grid) == ("none", (1, 1))


def test_one_patch_is_a_place_however_small_the_grid() -> None:
    """An image as large as a patch has one place, and no token else."""
    backbone = Backbone("test_vit2", K, image_size=(16, 16), args={**AVERAGE, "img_size": 16})
    assert (backbone.grid, backbone.prefix, backbone.cam_kind) == ((1, 1), 1, "head_gradient")


@pytest.mark.slow
def test_a_class_token_that_timm_does_not_declare_is_no_place() -> None:
    backbone = Backbone("coat_lite_tiny", K, image_size=(224, 224), args=AVERAGE).eval()
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        output = backbone(images)
        tokens = backbone.net.forward_features(images)
        assert relative(output.logits - backbone.net(images), output.logits) < 1e-5
    assert backbone.grid == (7, 7)
    assert tokens.shape[1] == 50
    for row, column in ((0, 5), (3, 2)):
        assert torch.equal(output.features[0, :, row, column], tokens[0, 1 + 7 * row + column])


@pytest.mark.parametrize(
    ("name", "size", "args", "message"),
    [
        ("test_resnet", 64, {"global_pool": ""}, r"its head does not take its features: .*Leave global_pool out"),
        (
            "test_vit",
            160,
            {"global_pool": ""},
            r"expected 5 logits of each image.* got \(2, 101, 5\)\. Leave global_pool",
        ),
        ("test_convnext", 64, {"global_pool": ""}, r"expected 5 logits.* got \(2, 5, 2, 2\)\. Leave global_pool out"),
        ("test_resnet", 64, {"in_chans": 1}, r"model\.args: in_chans = 1, but images have three channels"),
        (
            "test_resnet",
            64,
            {"drop_rate": 2.0},
            r"\{'drop_rate': 2\.0\}: its head does not.*Look at model\.args: drop_rate\.",
        ),
        ("test_resnet", 64, {"layers": [0, 0, 0, 0]}, r"its head does not take its features.*model\.args: layers\."),
        (
            "test_resnet",
            64,
            {"channels": [1]},
            r"with model\.args = \{'channels': \[1\]\} does not accept images of 64 x 64",
        ),
    ],
)
@pytest.mark.parametrize("cam", ["proved", "none"])
def test_a_keyword_that_breaks_the_network_is_named(
    name: str, size: int, args: dict[str, Any], message: str, cam: Cam
) -> None:
    with pytest.raises(SalignError, match=message):
        Backbone(name, K, image_size=(size, size), args=args, cam=cam)


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax", "catavgmax"])
def test_any_pooling_that_gives_an_answer_is_taken(pool: str) -> None:
    backbone, images = build("test_resnet", 64, {"args": {"global_pool": pool}})
    assert backbone.cam_kind == ("linear" if pool == "avg" else "head_gradient")
    with torch.inference_mode():
        assert relative(backbone(images).logits - backbone.net(images), backbone.net(images)) < 1e-6


@pytest.mark.parametrize(("name", "near"), [("resnet5000", "resnet50"), ("densenet_121", "densenet121")])
def test_an_unknown_name_lists_the_nearest(name: str, near: str) -> None:
    with pytest.raises(SalignError, match=rf"unknown backbone '{name}'.*Nearest:.*\b{near}\b"):
        Backbone(name, K, image_size=(64, 64))


def test_a_refused_keyword_is_named() -> None:
    with pytest.raises(SalignError, match=r"refuses to build test_resnet.*no_such_thing"):
        Backbone("test_resnet", K, image_size=(64, 64), args={"no_such_thing": 1})


@pytest.mark.parametrize("name", ["pretrained", "checkpoint_path", "num_classes", "features_only"])
def test_a_keyword_that_salign_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(SalignError, match=rf"model\.args: {name} is not for args.*model\.weights"):
        Backbone("test_resnet", K, image_size=(64, 64), args={name: 1})


def test_an_image_size_the_network_cannot_take_is_named() -> None:
    with pytest.raises(
        SalignError, match=r"vit_tiny_patch16_224 with .* does not accept images of 64 x 96: Input height"
    ):
        Backbone("vit_tiny_patch16_224", K, image_size=(64, 96), args=AVERAGE)


@pytest.mark.parametrize(
    ("name", "size", "stride", "kind"),
    [("test_resnet", 64, 16, "linear"), ("resnet10t", 96, 8, "linear"), ("test_convnext", 64, 16, "head_gradient")],
)
def test_output_stride_gives_a_finer_map_that_still_means_the_logit(
    name: str, size: int, stride: int, kind: str
) -> None:
    coarse, _ = build(name, size, {})
    backbone, images = build(name, size, {"output_stride": stride})
    assert coarse.grid == (size // 32, size // 32)
    assert backbone.grid == (size // stride, size // stride)
    assert backbone.cam_kind == kind
    with torch.inference_mode():
        output = backbone(images)
        maps = every_class(output)
    assert maps.shape[2:] == backbone.grid
    if kind == "linear":
        answer = output.logits - backbone.net.get_classifier().bias
        assert relative(maps.mean((2, 3)) - answer, answer) < 1e-4


@pytest.mark.parametrize(("name", "options"), [("densenet121", {}), ("vgg11", {}), ("test_vit", {"args": AVERAGE})])
def test_output_stride_is_refused_where_timm_has_none(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(SalignError, match=rf"{name} cannot change its output stride.*raise image_size"):
        Backbone(name, K, image_size=(160, 160), output_stride=16, **options)
