from __future__ import annotations

import pytest
import torch

from half_maps import SIZE, half, manifest_of
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.swap import swap_outside
from salign.data.reading.transforms import build_transform

PICTURES = torch.rand(2, 3, 8, 10, generator=torch.Generator().manual_seed(0))


def test_the_region_is_the_images_own_the_rest_the_others_and_between_it_is_both():
    saliency = torch.zeros(1, 8, 10)
    saliency[:, 2:5, 3:6], saliency[:, 6, 6] = 0.8, 0.4
    image, other = PICTURES
    got = swap_outside(image, other, saliency)
    assert torch.equal(got[:, 2:5, 3:6], image[:, 2:5, 3:6])
    assert torch.equal(got[:, :2], other[:, :2])
    torch.testing.assert_close(got[:, 6, 6], (image[:, 6, 6] + other[:, 6, 6]) / 2)


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_a_map_without_shape_leaves_the_image(level):
    assert torch.equal(swap_outside(*PICTURES, torch.full((1, 8, 10), level)), PICTURES[0])


@pytest.fixture
def sets(tmp_path):
    """Five images of two classes, of which the last has no map; without and with a swap."""
    manifest = manifest_of(tmp_path, [half(24, 32)] * 4 + [None], labels=list("aabaa"))
    plain = SaliencyDataset(manifest, ("a", "b"), build_transform(SIZE))
    return plain, SaliencyDataset(manifest, ("a", "b"), build_transform(SIZE), swap_outside=1.0)


def test_surroundings_come_from_every_other_image_of_the_class(sets):
    plain, swapped = sets
    pictures = [plain[i].images for i in range(5)]
    right = slice(SIZE // 2 + 1, None)
    seen = set()
    for seed in range(40):
        sample = swapped[0, seed]
        assert torch.equal(sample.images[..., : SIZE // 2 - 1], pictures[0][..., : SIZE // 2 - 1])
        assert torch.equal(sample.saliency, plain[0].saliency)
        (source,) = [i for i in range(5) if torch.equal(sample.images[..., right], pictures[i][..., right])]
        seen.add(source)
    assert seen == {1, 3, 4}


def test_an_image_alone_in_its_class_or_without_a_map_stays(sets):
    plain, swapped = sets
    for i in (2, 4):
        assert all(torch.equal(swapped[i, seed].images, plain[i].images) for seed in range(5))


def test_the_share_is_the_one_asked_for_and_a_seed_gives_it_again(sets):
    plain, swapped = sets
    swapped.swap_outside = 0.3
    changed = [not torch.equal(swapped[1, seed].images, plain[1].images) for seed in range(300)]
    assert sum(changed) / 300 == pytest.approx(0.3, abs=0.08)
    assert torch.equal(swapped[1, 7].images, swapped[1, 7].images)
