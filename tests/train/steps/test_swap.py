from __future__ import annotations

import itertools

import pytest
import torch

from half_maps import SIZE, half, manifest_of
from salign.data.reading.datamodule import collate
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.maps.blend import blend, blurred
from salign.train.steps import STEPS, for_steps


@pytest.fixture
def plain(tmp_path):
    """Five images of two classes, of which the last has no map."""
    manifest = manifest_of(tmp_path, [half(24, 32)] * 4 + [None], labels=list("aabaa"))
    return SaliencyDataset(manifest, ("a", "b"), build_transform(SIZE))


def shown(plain, i, seed, steps):
    """A training sample after the steps."""
    batch = collate([for_steps(plain, steps)[i, seed]])
    for step in steps:
        batch = step(batch, None, 0)
    return batch.images[0]


def test_surroundings_come_from_every_other_image_of_the_class(plain):
    pictures = [plain[i].images for i in range(5)]
    right, seen = slice(SIZE // 2 + 1, None), set()
    for seed in range(40):
        image = shown(plain, 0, seed, [STEPS["swap"]()])
        assert torch.equal(image[..., : SIZE // 2 - 1], pictures[0][..., : SIZE // 2 - 1])
        (source,) = [i for i in range(5) if torch.equal(image[..., right], pictures[i][..., right])]
        seen.add(source)
    assert seen == {1, 3, 4}


def test_an_image_alone_in_its_class_or_without_a_map_stays(plain):
    for i in (2, 4):
        assert all(torch.equal(shown(plain, i, seed, [STEPS["swap"]()]), plain[i].images) for seed in range(5))


def test_the_share_is_the_one_asked_for_and_a_seed_gives_it_again(plain):
    step = STEPS["swap"](probability=0.3)
    changed = [not torch.equal(shown(plain, 1, seed, [step]), plain[1].images) for seed in range(300)]
    assert sum(changed) / 300 == pytest.approx(0.3, abs=0.08)
    assert torch.equal(shown(plain, 1, 7, [step]), shown(plain, 1, 7, [step]))
    with pytest.raises(SalignError, match="probability: expected a number from 0 to 1, got 2"):
        STEPS["swap"](probability=2)


@pytest.mark.parametrize("augment", ["none", "standard"])
@pytest.mark.parametrize("sigmas", [[], [1.0, 2.0], [1.0, 2.0, 4.0]])
@pytest.mark.parametrize("probability", [0.0, 0.5])
def test_what_steps_show_is_to_the_last_bit_what_reading_showed_before_there_were_any(
    plain, augment, sigmas, probability
):
    """A sample drew its augmentation, its blur, whether it is swapped, the partner and its augmentation."""
    dataset = plain.with_transform(build_transform(SIZE, augment))
    steps = [STEPS["blur"](sigmas=sigmas)] if sigmas else []
    steps += [STEPS["swap"](probability=probability)] if probability else []
    for i, seed in itertools.product(range(5), range(12)):
        torch.manual_seed(seed)
        image, saliency = dataset.transform(*dataset._read(i))
        if sigmas and (drawn := int(torch.randint(len(sigmas) + 1, ()))) and saliency is not None:
            image = blend(image, blurred(image, sigmas[drawn - 1]), saliency)
        if probability and saliency is not None and float(torch.rand(())) < probability:
            others = [j for j in (0, 1, 3, 4) if j != i] if i != 2 else [2]
            other, _ = dataset.transform(dataset._read(others[int(torch.randint(len(others), ()))])[0], None)
            image = blend(image, other, saliency)
        assert torch.equal(shown(dataset, i, seed, steps), image)


def test_a_probability_of_nought_changes_nothing(plain):
    assert torch.equal(shown(plain, 0, 5, [STEPS["swap"](probability=0.0)]), plain[0, 5].images)
