from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from half_maps import SIZE, half, manifest_of
from salign.data.manifest import COLUMNS, Manifest
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


@pytest.mark.parametrize("augment", ["none", "flip", "standard"])
def test_an_image_alone_in_its_class_or_without_a_map_stays(plain, augment):
    alone = plain.take([1, 2, 2, 4]).with_transform(build_transform(SIZE, augment))  # twice the same one, as repeated
    for i, seed in itertools.product((1, 2, 3), range(5)):
        assert torch.equal(shown(alone, i, seed, [STEPS["swap"]()]), alone[i, seed].images)


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
            others = [j for j in (0, 1, 3, 4) if j != i] if i != 2 else []  # nobody lends to the only b
            if others:
                other, _ = dataset.transform(dataset._read(others[int(torch.randint(len(others), ()))])[0], None)
                image = blend(image, other, saliency)
        assert torch.equal(shown(dataset, i, seed, steps), image)


def scene(folder, ground, thing, label, *, mapped=True):
    """A picture of one colour with a square of another, which its map marks: in the middle of the darkest picture."""
    square = (slice(6, 10),) * 2 if ground == 10 else (slice(1, 5),) * 2
    name = f"{ground}.png"
    pixels = np.full((SIZE, SIZE, 3), ground, np.uint8)
    pixels[square] = thing
    Image.fromarray(pixels).save(folder / name)
    marks = np.zeros((SIZE, SIZE), np.uint8)
    marks[square] = 255
    Image.fromarray(marks).save(folder / f"map_{name}")
    return name, name, label, "train", f"map_{name}" if mapped else None


@pytest.fixture
def scenes(tmp_path):
    """Grounds 10 to 50, of which 40 has no map; things of 200 on the a, of 250 on the b."""
    rows = [scene(tmp_path, ground, 200, "a", mapped=ground != 40) for ground in (10, 20, 40)]
    rows += [scene(tmp_path, ground, 250, "b") for ground in (30, 50)]
    manifest = Manifest.of(pd.DataFrame(rows, columns=list(COLUMNS)), tmp_path, "m.csv")
    return SaliencyDataset(manifest, ("a", "b"), build_transform(SIZE))


@pytest.mark.parametrize(
    ("lender", "grounds"), [("same_class", {20}), ("other_class", {30, 50}), ("any", {20, 30, 50})]
)
def test_a_thing_stands_alone_on_the_painted_ground_of_every_image_that_may_lend_it(scenes, lender, grounds):
    """This is Mixed-Same and Mixed-Rand: nothing of the lender but its ground is left."""
    seen = set()
    for seed in range(30):
        image = (255 * shown(scenes, 0, seed, [STEPS["swap"](lender=lender, paint_over=True)])).round()
        assert (image[:, 6:10, 6:10] == 200).all()
        image[:, 6:10, 6:10] = image[0, 0, 0]
        assert len(image.unique()) == 1
        seen.add(int(image[0, 0, 0]))
    assert seen == grounds


def test_without_paint_the_thing_of_the_lender_comes_along_and_an_image_without_a_map_may_lend(scenes):
    steps, seen = [STEPS["swap"](lender="any")], set()
    for seed in range(40):
        image = (255 * shown(scenes, 0, seed, steps)).round()
        seen.add((int(image[0, 0, 0]), int(image[0, 2, 2])))
    assert seen == {(20, 200), (30, 250), (40, 200), (50, 250)}


def test_an_image_that_no_other_lends_to_stays(scenes):
    rows = scenes.take([0, 2, 3])  # the second a has no map, and the only b is of another class
    for seed in range(5):
        image = shown(rows, 0, seed, [STEPS["swap"](lender="same_class", paint_over=True)])
        assert torch.equal(image, rows[0].images)


def test_a_lender_that_there_is_not():
    with pytest.raises(SalignError, match="lender: expected same_class, other_class or any, got 'next'"):
        STEPS["swap"](lender="next")


def test_a_probability_of_nought_changes_nothing(plain):
    assert torch.equal(shown(plain, 0, 5, [STEPS["swap"](probability=0.0)]), plain[0, 5].images)
