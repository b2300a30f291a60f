from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.transforms.v2.functional import _geometry, _utils

from salign.data.reading.transforms import AUGMENTATIONS, MapTensor, build_transform
from salign.errors import SalignError
from salign.maps.tensor_ops import resize


def blob(height=48, width=64, top=10, left=8, size=12):
    """An image whose brightness is its map: wherever the one goes, the other must be found."""
    values = torch.zeros(1, height, width)
    values[:, top : top + size, left : left + size] = 1
    return values.expand(3, -1, -1).contiguous(), values


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_map_and_image_stay_together_under_every_augmentation(name):
    transform = build_transform((40, 56), name)
    torch.manual_seed(0)
    seen = set()
    for _ in range(40):
        image, saliency = transform(*blob())
        assert image.shape == (3, 40, 56)
        assert saliency.shape == (1, 40, 56)
        assert type(image) is type(saliency) is Tensor
        assert float(saliency.min()) >= 0
        assert float(saliency.max()) <= 1
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        bright, marked = image.mean(0) > 0.4, saliency[0] > 0.45
        overlap = (bright & marked).sum() / (bright | marked).sum()
        assert overlap > 0.85
        seen.add(tuple(marked.nonzero().double().mean(0).round().tolist()))
    assert len(seen) == {"none": 1, "flip": 2}.get(name, len(seen))
    assert name != "standard" or len(seen) > 10


OPERATIONS = {
    "horizontal_flip": (v2.RandomHorizontalFlip(1.0), 0.0),
    "affine": (v2.RandomAffine(20, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=5, interpolation=2), 1e-6),
    "rotate": (v2.RandomRotation(40, interpolation=0, expand=True), 1e-6),
    "perspective": (v2.RandomPerspective(0.3, p=1.0, interpolation=0), 1e-6),
    "crop": (v2.RandomCrop((40, 50)), 0.0),
}
"""Operation, and how far a grey image and its own values as a map may be apart after it."""


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_geometric_operation_moves_the_map_as_the_image(name):
    """Those that `AUGMENTATIONS` uses are as soft for the map as for the image; the others go to the nearest pixel."""
    operation, tolerance = OPERATIONS[name]
    torch.manual_seed(3)
    values = torch.zeros(1, 48, 64)
    values[:, 12:36, 14:50] = torch.rand(24, 36)  # off the edge, where an image is blended with what fills it
    moved, saliency = operation(tv_tensors.Image(values.expand(3, -1, -1)), MapTensor(values))
    assert isinstance(saliency, MapTensor)
    torch.testing.assert_close(saliency.as_subclass(Tensor), moved.as_subclass(Tensor)[:1], rtol=0, atol=tolerance)
    assert not torch.equal(saliency.as_subclass(Tensor), values)


def test_no_geometric_operation_of_torchvision_lets_a_map_pass_through():
    geometric = {function for function in _utils._KERNEL_REGISTRY if function.__module__ == _geometry.__name__}
    assert len(geometric) > 10
    for function in geometric - {F.five_crop, F.ten_crop}:
        _utils._get_kernel(function, MapTensor)  # which raises where there is none
    for crops in (v2.FiveCrop((8, 8)), v2.TenCrop((8, 8))):
        with pytest.raises(TypeError, match="not supported"):
            crops(MapTensor(torch.zeros(1, 16, 16)))


def test_colour_operations_leave_the_map_alone():
    image, values = torch.rand(3, 20, 20), torch.rand(1, 20, 20)
    steps = [v2.ColorJitter(0.5, 0.5), v2.GaussianBlur(3), v2.RandomInvert(1.0), v2.ToDtype(torch.float32, scale=True)]
    changed, kept = v2.Compose(steps)(tv_tensors.Image(image), MapTensor(values))
    assert torch.equal(kept.as_subclass(Tensor), values)
    assert not torch.equal(changed.as_subclass(Tensor), image)


def test_the_map_shrinks_by_area_so_that_a_single_pixel_survives():
    values = torch.zeros(1, 224, 224)
    values[0, 101, 57] = 1
    _, small = build_transform(7)(torch.zeros(3, 224, 224), values)
    torch.testing.assert_close(small, resize(values, (7, 7)), rtol=0, atol=0)
    assert small.max() > 0


def test_bytes_become_floats_as_an_antialiased_resize_of_floats_would():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 97, 61), dtype=torch.uint8, generator=generator)
    got, none = build_transform((32, 32))(image, None)
    assert none is None
    expected = torch.nn.functional.interpolate(
        image[None].float() / 255, (32, 32), mode="bilinear", antialias=True, align_corners=False
    )[0]
    assert (got - expected).abs().max() <= 1.01 / 255  # the uint8 path rounds once
    deep, _ = build_transform((32, 32))(image.float() / 255, None)
    torch.testing.assert_close(deep, expected)


def test_a_missing_map_does_not_change_what_happens_to_the_image():
    transform = build_transform(32, "standard")
    image, values = blob()
    torch.manual_seed(5)
    with_map, _ = transform(image, values)
    torch.manual_seed(5)
    without, none = transform(image, None)
    assert none is None
    assert torch.equal(with_map, without)


@pytest.mark.parametrize(("size", "augment", "complaint"), [(1, "none", "at least 2"), (8, "flipp", "none, flip or")])
def test_bad_arguments_are_refused(size, augment, complaint):
    with pytest.raises(SalignError, match=complaint):
        build_transform(size, augment)
