"""Maps that pixels give: against the textbook's formulas written out, on planted cues, and in training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.covariance import LedoitWolf

from salign.data.controls import find_control
from salign.data.controls.from_pixels import SIDE, lda_maps, pca_maps
from salign.data.manifest import COLUMNS, Manifest
from salign.data.reading.dataset import SaliencyDataset
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError
from salign.train.guidance import check_maps
from salign.train.prepare import prepare
from salign.train.recipe import DataRecipe, Recipe


def drawn(seed=0, images=30, classes=3):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(images, 2, 3, 4)), np.arange(images) % classes


def test_the_discriminant_is_the_inverse_of_the_shrunk_covariance_times_what_is_special_about_a_class():
    pixels, labels = drawn()
    rows = [image.ravel() for image in pixels]
    means = [np.mean([row for row, label in zip(rows, labels, strict=True) if label == k], axis=0) for k in range(3)]
    inside = np.array([row - means[label] for row, label in zip(rows, labels, strict=True)])
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(inside).covariance_)
    expected = np.zeros((3, 3, 4))
    for k in range(3):
        direction = inverse @ (means[k] - np.mean(rows, axis=0))
        for y, x in np.ndindex(3, 4):
            expected[k, y, x] = np.hypot(*direction.reshape(2, 3, 4)[:, y, x])
    np.testing.assert_allclose(lda_maps(pixels, labels, 3), expected)


def test_the_component_is_the_direction_in_which_no_other_varies_more():
    pixels, _ = drawn(1)
    pixels[:, 0, 1, 2] *= 3
    rows = pixels.reshape(30, -1) - pixels.reshape(30, -1).mean(0)
    _, _, directions = np.linalg.svd(rows)
    expected = np.hypot(*directions[0].reshape(2, 3, 4))
    np.testing.assert_allclose(pca_maps(pixels), expected[None])
    assert np.unravel_index(expected.argmax(), (3, 4)) == (1, 2)


def test_images_that_are_all_alike_and_classes_without_any_say_nothing_about_where():
    assert lda_maps(np.full((4, 1, 2, 2), 0.5), np.array([0, 1, 0, 1]), 2).tolist() == [[[0, 0], [0, 0]]] * 2
    pixels, labels = drawn(classes=2)
    maps = lda_maps(pixels, labels, 3)
    assert (maps[2] == 0).all()
    assert (maps[:2] > 0).all()


@pytest.fixture
def folder(tmp_path):
    """Noise, brighter at the top left for b; a corner below right flickers in both. One in three has a person's map."""
    generator, rows = np.random.default_rng(0), []
    for k in range(60):
        pixels = generator.integers(100, 120, (32, 32, 3))
        pixels[:8, :8] += 60 * (k % 2)
        pixels[24:, 24:] = generator.integers(0, 256)
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / f"{k}.png")
        marks = np.zeros((32, 32), np.uint8)
        marks[:16] = 255
        Image.fromarray(marks).save(tmp_path / f"{k}_map.png")
        split = "train" if k < 40 else "val" if k < 50 else "test"
        rows.append((f"n{k}", f"{k}.png", "ab"[k % 2], split, None if k % 3 else f"{k}_map.png"))
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(tmp_path / "m.csv", index=False)
    return tmp_path


def recipe(folder, **keys):
    return DataRecipe(manifest=str(folder / "m.csv"), image_size=32, augment="none", **keys)


@pytest.mark.parametrize(("name", "place"), [("lda_maps", (slice(0, 8),) * 2), ("pca_maps", (slice(24, 32),) * 2)])
def test_every_training_image_gets_the_map_and_no_other_image_does(folder, name, place):
    """What tells the classes apart is a cue, which people did not mark; what varies most need tell nothing."""
    data = prepare(recipe(folder, maps=name))
    assert data.train.annotated.all()
    for k in range(4):
        saliency = data.train[k].saliency[0]
        assert float(saliency.max()) > 0.9
        assert float(saliency[place].mean()) > 10 * float(saliency.sum() - saliency[place].sum()) / (32 * 32 - 64)
    assert torch.equal(data.train[0].saliency, data.train[2].saliency)
    assert [data.val.annotated.sum(), data.tests["test"].annotated.sum()] == [3, 3]
    again = prepare(recipe(folder, maps=name))
    assert torch.equal(again.train[1].saliency, data.train[1].saliency)


def test_it_takes_nobody_to_guide_by_them(folder):
    table = pd.read_csv(folder / "m.csv").assign(saliency=None)
    table.to_csv(folder / "m.csv", index=False)
    content = {"name": "n", "data": recipe(folder, maps="lda_maps").model_dump(), "loss": {"name": "cyborg"}}
    check_maps([Recipe.build(content)])
    content["data"]["maps"] = "own"
    with pytest.raises(SalignError, match="guides by human maps, and none of the 40 training images has one"):
        check_maps([Recipe.build(content)])


def test_with_several_labels_the_discriminant_is_refused_and_the_component_is_one_for_all(folder):
    with pytest.raises(ValueError, match="multi_label does not go with maps: lda_maps"):
        recipe(folder, maps="lda_maps", multi_label=True)
    rows = Manifest.read(folder / "m.csv", multi_label=True).select(["train"])
    dataset = SaliencyDataset(rows, ("a", "b"), build_transform(SIDE))
    change = find_control("pca_maps")[1].images(dataset)
    assert torch.equal(change(torch.zeros(5, 7), "n0"), change(torch.zeros(5, 7), "n1"))
    assert change(torch.zeros(5, 7), "n0").shape == (5, 7)
