"""A net decides what a classifier sees: windows, crops and masks pixel by pixel, and a folder that gives it back."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import salign
from salign.errors import SalignError
from salign.maps.region import region
from salign.models import Classifier, Ensemble, SaliencyNet, Threshold, TwoStage, count_cost, load
from salign.models.config import keep_threshold
from salign.models.two_stage import crop, uncrop, windows
from salign.types import Batch

SIDE = 32


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def parts(**options):
    net = SaliencyNet("test_resnet", image_size=SIDE, width=16, seed=1)
    return net, Classifier("test_resnet", ["a", "b", "c"], image_size=SIDE, seed=2, **options)


@pytest.fixture(scope="module", params=["crop", "mask"])
def model(request):
    """Its net was not trained, which draws flat maps: here it marks red in a part of the image."""
    made = TwoStage(*parts(), request.param).eval()
    within = torch.zeros(SIDE, SIDE)
    within[6:16, 10:26] = 1
    made.net.predict = lambda images: within * images[:, 0]
    return made


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, SIDE, SIDE, generator=seeded())


def slow_window(marked, margin):
    """Middle down and right in [-1, 1], and the share of the sides."""
    height, width = marked.shape
    rows, columns = np.flatnonzero(marked.any(1)), np.flatnonzero(marked.any(0))
    if not len(rows):
        return 0.0, 0.0, 1.0
    tall, wide = (rows[-1] + 1 - rows[0]) / height, (columns[-1] + 1 - columns[0]) / width
    share = min(1.0, max(tall, wide) * (1 + 2 * margin))
    down, right = (rows[0] + rows[-1] + 1) / height - 1, (columns[0] + columns[-1] + 1) / width - 1
    return *(min(max(middle, share - 1), 1 - share) for middle in (down, right)), share


def slow_sample(picture, y, x):
    """The value of `(H, W)` at a place in pixels, where pixel i has its middle at i + 0.5; it goes on at the edges."""
    y, x = (min(max(place - 0.5, 0), side - 1) for place, side in zip((y, x), picture.shape, strict=True))
    top, left = int(y), int(x)
    low, far = min(top + 1, picture.shape[0] - 1), min(left + 1, picture.shape[1] - 1)
    above = picture[top, left] * (1 - (x - left)) + picture[top, far] * (x - left)
    below = picture[low, left] * (1 - (x - left)) + picture[low, far] * (x - left)
    return above * (1 - (y - top)) + below * (y - top)


REGIONS = {
    "in the middle": (8, 14, 10, 22),
    "at a corner": (0, 5, 20, 24),
    "a pixel": (3, 4, 3, 4),
    "all": (0, 16, 0, 24),
}


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.6])
def test_a_window_holds_its_region_has_the_shape_of_the_image_and_lies_within_it(margin):
    regions = torch.zeros(len(REGIONS) + 1, 1, 16, 24)
    for row, (top, low, left, right) in zip(regions[:, 0], REGIONS.values(), strict=False):
        row[top:low, left:right] = 1
    expected = [slow_window(row.numpy() > 0, margin) for row in regions[:, 0]]
    found = windows(regions, margin)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))
    assert found[-1].tolist() == [0, 0, 1]  # nothing is marked
    assert (found[:, :2].abs() + found[:, 2:] <= 1 + 1e-6).all()


def test_a_crop_is_what_lies_in_the_window_pixel_by_pixel():
    pictures = torch.rand(2, 3, 6, 8, generator=seeded(1))
    boxes = torch.tensor([[0.25, -0.5, 0.4], [0.0, 0.0, 1.0]])
    seen = crop(pictures, boxes)
    torch.testing.assert_close(seen[1], pictures[1])
    down, right, share = boxes[0].tolist()
    for channel, y, x in np.ndindex(3, 6, 8):
        places = [side / 2 * (1 + middle + share * (2 * (k + 0.5) / side - 1))
                  for k, side, middle in ((y, 6, down), (x, 8, right))]  # fmt: skip
        assert float(seen[0, channel, y, x]) == pytest.approx(
            slow_sample(pictures[0, channel].numpy(), *places), abs=1e-5
        )


def test_a_map_of_a_window_lies_where_the_window_lies():
    maps = torch.rand(1, 2, 4, 4, generator=seeded(2)) + 1
    whole = uncrop(maps, torch.tensor([[0.5, -0.5, 0.5]]), (8, 16))
    assert torch.equal(whole[..., :4, :], torch.zeros(1, 2, 4, 16))
    assert torch.equal(whole[..., 8:], torch.zeros(1, 2, 8, 8))
    torch.testing.assert_close(whole[..., 4:, 0:8:2] + whole[..., 4:, 1:8:2], 2 * maps, rtol=0, atol=0.4)
    torch.testing.assert_close(whole[..., 4:, :8].mean((2, 3)), maps.mean((2, 3)), rtol=1e-4, atol=1e-4)
    gone = uncrop(maps, torch.tensor([[0.0, 0.0, 1.0]]), (4, 4))
    torch.testing.assert_close(gone, maps)


def test_it_answers_what_the_classifier_answers_to_what_the_net_marks(model, images):
    output = model(images)
    regions = region(model.net.predict(images)[:, None])
    assert 0 < float(regions.mean()) < 1
    seen = torch.empty_like(images)
    for image, marked, shown in zip(images, regions, seen, strict=True):
        if model.keep == "crop":
            window = torch.tensor([slow_window(marked[0].numpy() > 0, 0.1)], dtype=torch.float32)
            shown.copy_(crop(image[None], window)[0])
        else:
            shown.copy_(torch.where(marked > 0, image, model.classifier.mean[0]))
    expected = model.classifier(seen)
    torch.testing.assert_close(output.logits, expected.logits)
    torch.testing.assert_close(output.again(images).logits, expected.logits)
    classes = torch.tensor([0, 1, 2, 1])
    for kind in ("cam", "grad_cam"):
        maps, theirs = getattr(output, kind)(classes), getattr(expected, kind)(classes)
        if model.keep == "crop":
            theirs = uncrop(theirs[:, None], windows(regions), (SIDE, SIDE))[:, 0]
        torch.testing.assert_close(maps, theirs)
    several = output.cam(classes[:, None].expand(4, 2))
    torch.testing.assert_close(several[:, 1], output.cam(classes))


def test_the_classifier_learns_from_peoples_regions_and_from_the_nets_where_nobody_looked(model, images):
    saliency = torch.zeros(4, 1, SIDE, SIDE)
    saliency[0, :, 4:12, 16:28], saliency[1, :, 20:28, 2:30] = 1, 0.5
    annotated = torch.tensor([True, True, True, False])  # the third was looked at, and nothing was marked
    batch = Batch(images, torch.tensor([0, 1, 2, 1]), saliency, annotated, torch.arange(4))
    focused = model.focus(batch)
    torch.testing.assert_close(focused.images[2], images[2])
    maps = torch.where(annotated.view(4, 1, 1, 1), saliency, model.net.predict(images)[:, None])
    for k in (0, 1, 3):
        marked = region(maps[k : k + 1])
        if model.keep == "mask":
            torch.testing.assert_close(
                focused.images[k], torch.where(marked[0] > 0, images[k], model.classifier.mean[0])
            )
        else:
            boxes = windows(marked)
            torch.testing.assert_close(focused.images[k], crop(images[k : k + 1], boxes)[0])
            torch.testing.assert_close(focused.saliency[k], crop(saliency[k : k + 1], boxes)[0])
    assert torch.equal(focused.annotated, annotated)


def test_the_net_neither_learns_nor_changes_with_the_batch(model):
    model.train()
    assert model.classifier.training
    assert not any(part.training for part in model.net.modules())
    learns = {name.partition(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}
    assert learns == {"classifier"}
    model.eval()


def test_its_cost_is_that_of_both():
    net, classifier = parts()
    model = TwoStage(*parts(), "crop")
    numbers = sum(weight.numel() for part in (net, classifier) for weight in part.parameters())
    assert count_cost(model).parameters == numbers
    assert count_cost(model).multiply_adds > count_cost(classifier).multiply_adds


def test_images_of_another_size_are_resized_for_the_net():
    net, _ = parts()
    model = TwoStage(net, Classifier("test_resnet", ["a", "b"], image_size=48), "crop").eval()
    image = torch.zeros(1, 3, 48, 48)
    image[..., 24:] = 1
    half = torch.zeros(1, 3, SIDE, SIDE)
    half[..., SIDE // 2 :] = 1
    drawn = model.draw(image)
    assert drawn.shape == (1, 1, 48, 48)
    torch.testing.assert_close(drawn.mean(), net.predict(half).mean(), rtol=0.02, atol=0)


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_a_folder_gives_it_back(several, images, tmp_path):
    net, classifier = parts(multi_label=several)
    model = TwoStage(net, classifier, "mask").eval()
    again = salign.load(model.save(tmp_path))
    assert isinstance(again, TwoStage)
    assert (again.keep, again.classes, again.image_size, again.multi_label) == (
        "mask",
        ("a", "b", "c"),
        (32, 32),
        several,
    )
    assert not again.training
    torch.testing.assert_close(again(images).logits, model(images).logits)
    for kind, words in ((Classifier, "one classifier"), (Ensemble, "an ensemble of fused runs")):
        with pytest.raises(SalignError, match=f"expected {words}, and two_stage.json describes a classifier that sees"):
            kind.load(tmp_path)


def test_a_threshold_is_kept_and_a_damaged_folder_refused(tmp_path):
    net, _ = parts()
    TwoStage(net, Classifier("test_resnet", ["a", "b"], image_size=SIDE), "crop").save(tmp_path)
    chosen = Threshold(positive="b", probability=0.25, rule="eer")
    keep_threshold(tmp_path, chosen)
    assert load(tmp_path).threshold == chosen
    path = tmp_path / "two_stage.json"
    for key, value, words in (("keep", "shrink", "keep"), ("net", {"backbone": "test_resnet"}, "net")):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {key: value}))
        with pytest.raises(SalignError, match=f"two_stage.json is damaged: (?s:.*){words}"):
            load(tmp_path)
        path.write_text(json.dumps(content))


def test_a_net_that_gives_back_images_marks_nothing():
    net = SaliencyNet("test_resnet", image_size=SIDE, width=16, channels=3)
    with pytest.raises(SalignError, match="this gives back images"):
        TwoStage(net, parts()[1], "crop")
