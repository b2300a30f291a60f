from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy import ndimage
from sklearn import metrics

from salign.errors import SalignError
from salign.evaluate.reliance import COLUMNS, FILLS, GROUP, RANDOM, compose, reliance
from salign.maps.region import region
from salign.types import Batch

SIDE = 32
INSIDE = (slice(8, 24), slice(8, 24))
FRAME = (slice(0, 6), slice(0, SIDE))  # clear of the region, also of the widened one
STRIPES = 0.4 * torch.tensor([1.0, -1.0]).repeat(SIDE // 2)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def striped(where, count=40):
    """Plain images of class 0 and, of class 1, images with fine stripes at one place; people marked the middle."""
    labels = torch.arange(count) % 2
    images = 0.5 + 0.05 * torch.randn(count, 3, SIDE, SIDE, generator=seeded())
    images[(labels == 1).nonzero()[:, 0], :, *where] += STRIPES[where[1]]
    saliency = torch.zeros(count, 1, SIDE, SIDE)
    saliency[:, :, *INSIDE] = 1
    return Batch(images.clamp(0, 1), labels, saliency, torch.ones(count, dtype=torch.bool), torch.arange(count))


def reader(where):
    """Says 1 where it finds the stripes at that place, else 0; sees no other pixel."""

    def classify(images):
        found = (images[:, :, *where] * STRIPES[where[1]]).mean((1, 2, 3)) / STRIPES.square().mean()
        return torch.stack([torch.full_like(found, 0.5), found], dim=1)

    return classify


def cut(batch, size):
    return [batch.each(lambda values, k=k: values[k : k + size]) for k in range(0, len(batch.labels), size)]


def measured(where, **options):
    found = reliance(reader(where), cut(striped(where), 16), positive=1, generator=seeded(), **options)
    return {
        (kept, fill, metric): value for kept, fill, metric, value in found[list(COLUMNS[:4])].itertuples(index=False)
    }


def test_a_model_that_reads_the_region_needs_nothing_else():
    figures = measured(INSIDE)
    assert figures["all", "", "accuracy"] == figures["all", "", "auroc"] == 1
    for fill in FILLS:
        assert figures["inside", fill, "flipped"] == 0
        assert figures["inside", fill, "accuracy"] == 1
        assert figures["inside", fill, "margin"] == pytest.approx(figures["all", "", "margin"], abs=1e-6)
        assert figures["outside", fill, "accuracy"] == figures["outside", fill, "flipped"] == 0.5
        assert figures["outside", fill, "margin"] < 0.1 < figures["all", "", "margin"]


def test_a_model_that_reads_the_background_is_caught():
    figures = measured(FRAME)
    assert figures["all", "", "accuracy"] == 1
    for fill in FILLS:
        assert figures["outside", fill, "flipped"] == 0
        assert figures["outside", fill, "accuracy"] == 1
    for fill in ("blur", "noise", "grey"):
        assert figures["inside", fill, "accuracy"] == figures["inside", fill, "flipped"] == 0.5
    # of the other class: every answer turns round, which no other fill could show
    assert figures["inside", "other", "accuracy"] == figures["inside", "other", "auroc"] == 0
    assert figures["inside", "other", "flipped"] == 1


def test_the_figures_are_those_of_one_image_after_the_other():
    """Three classes, a random linear model and one fill that draws nothing, so that it can be written down again."""
    data = Batch(
        torch.rand(45, 3, 8, 8, generator=seeded(1)), torch.arange(45) % 3, torch.zeros(45, 1, 8, 8),
        torch.ones(45, dtype=torch.bool), torch.arange(45),
    )  # fmt: skip
    data.saliency[:, :, 2:5, 3:7] = 0.7
    weight = torch.randn(3, 3 * 64, generator=seeded(2))
    black = {"black": lambda images, regions, generator, labels=None: torch.zeros_like(images)}
    found = reliance(
        lambda images: images.flatten(1) @ weight.T, cut(data, 10), positive=None, generator=seeded(), fills=black
    ).set_index(["kept", "fill", "metric"])["value"]
    mask = torch.zeros(8, 8)
    mask[2:5, 3:7] = 1  # 3 % of 8 pixels is no whole one: not widened
    untouched = None
    for kept, fill, keep in (("all", "", torch.ones(8, 8)), ("inside", "black", mask), ("outside", "black", 1 - mask)):
        logits = np.stack([(weight @ (image * keep).flatten()).double().numpy() for image in data.images])
        odds = np.exp(logits - logits.max(1, keepdims=True))
        labels, answers = data.labels.numpy(), logits.argmax(1)
        untouched = answers if untouched is None else untouched
        area = metrics.roc_auc_score(labels, odds / odds.sum(1, keepdims=True), multi_class="ovr", average="macro")
        gaps = [row[label] - max(np.delete(row, label)) for row, label in zip(logits, labels, strict=True)]
        assert found[kept, fill, "accuracy"] == pytest.approx(np.mean(answers == labels))
        assert found[kept, fill, "auroc"] == pytest.approx(area)
        assert found[kept, fill, "margin"] == pytest.approx(np.mean(gaps), abs=1e-5)
        assert found[kept, fill, "flipped"] == pytest.approx(np.mean(answers != untouched))
    assert found["inside", "black", "flipped"] > 0.2  # the model is one that can be changed at all


def test_several_labels_are_as_many_questions():
    """Class 0: no image has it, and the model says so; class 1 by the stripes; class 2 is the opposite of 1."""
    batch = striped(INSIDE)
    labels = torch.stack([torch.zeros(40), batch.labels, 1 - batch.labels], 1).float()

    def classify(images):
        found = reader(INSIDE)(images)[:, 1] - 0.5
        return torch.stack([torch.full_like(found, -0.25), found, -found], 1)

    found = reliance(classify, cut(batch._replace(labels=labels), 16), positive=None, generator=seeded())
    figures = found.set_index(["kept", "fill", "metric"])["value"]
    one = measured(INSIDE)
    for kept, fill in (("all", ""), ("inside", "other"), ("outside", "other"), ("outside", "grey")):
        assert figures[kept, fill, "auroc"] == pytest.approx(one[kept, fill, "auroc"])
        assert figures[kept, fill, "accuracy"] == pytest.approx(one[kept, fill, "accuracy"])
        assert figures[kept, fill, "flipped"] == pytest.approx(one[kept, fill, "flipped"])
        expected = (0.25 + 2 * one[kept, fill, "margin"]) / 3  # the margin of two classes is that of the logit to 0.5
        assert figures[kept, fill, "margin"] == pytest.approx(expected, abs=1e-6)


def test_only_images_that_somebody_marked_count_and_the_batches_do_not_matter():
    data = striped(INSIDE, 100)
    data.annotated[::5] = False
    data.saliency[1::5] = 0
    used = 100 - 20 - 20
    tables = [
        reliance(reader(INSIDE), cut(data, size), positive=1, generator=seeded(4)) for size in (1, 7, GROUP + 1, 100)
    ]
    assert set(tables[0]["images"]) == {used}
    assert list(tables[0].columns) == list(COLUMNS)
    assert len(tables[0]) == 4 * (1 + 2 * len(FILLS))
    for table in tables[1:]:
        assert table.equals(tables[0])
    kept = torch.tensor([k for k in range(100) if k % 5 > 1])
    alone = reliance(reader(INSIDE), [data.each(lambda values: values[kept])], positive=1, generator=seeded(4))
    assert alone.equals(tables[0])
    again = reliance(reader(INSIDE), cut(data, 7), positive=1, generator=seeded(5))
    assert not again.equals(tables[0])  # the noise is another


def defects(where):
    """As `striped`, but half of the images of class 1 are marked, and none of class 0."""
    data = striped(where, 64)
    data.annotated[:] = data.index % 4 == 1
    return data


def test_images_with_nothing_to_mark_borrow_a_region():
    """Without the other class there is nothing to rank; with it, a reader of the background is wrong of every image."""
    for where, area in ((INSIDE, 1), (FRAME, 0)):
        data = defects(where)
        found = reliance(reader(where), cut(data, 16), positive=1, generator=seeded(), unmarked=[0])
        assert set(found["images"]) == {32 + 16}
        figures = found.set_index(["kept", "fill", "metric"])["value"]
        assert figures["all", "", "auroc"] == 1
        assert figures["inside", "other", "auroc"] == figures["inside", "other", "accuracy"] == area
        assert figures["inside", "other", "flipped"] == 1 - area
        alone = reliance(reader(where), cut(data, 16), positive=1, generator=seeded())
        assert set(alone["images"]) == {16}
        assert alone.loc[alone["metric"] == "auroc", "value"].isna().all()


def test_a_borrowed_region_is_that_of_a_marked_image_of_the_group():
    data = defects(INSIDE)
    data.saliency.zero_()
    for k in range(len(data.labels)):
        data.saliency[k, 0, k % SIDE] = 1  # every image of a group of 32 has a region of its own
    seen = []

    def black(images, regions, generator, labels=None):
        seen.append((labels, regions))
        return torch.zeros_like(images)

    options = {"positive": 1, "unmarked": [0], "fills": {"black": black}}
    reliance(reader(INSIDE), cut(data, 10), generator=seeded(), **options)
    usable = data.each(lambda values: values[(data.labels == 0) | data.annotated])
    own, first = region(usable.saliency), 0
    for labels, regions in seen:
        group = slice(first, first := first + len(labels))
        assert torch.equal(labels, usable.labels[group])
        assert torch.equal(regions[labels == 1], own[group][labels == 1])
        marked = {tuple(each.flatten().tolist()) for each in own[group][labels == 1]}
        borrowed = [tuple(each.flatten().tolist()) for each in regions[labels == 0]]
        assert set(borrowed) <= marked
        assert len(set(borrowed)) > 2
    assert first == 48
    data.annotated[:GROUP] = False  # the first group then has nothing to lend
    data.labels[:GROUP] = 0
    assert set(reliance(reader(INSIDE), cut(data, 10), generator=seeded(), **options)["images"]) == {24}


def test_figures_of_several_draws_are_their_mean_and_what_is_not_drawn_is_drawn_once():
    data = striped(FRAME, GROUP)  # one group, so that three calls draw what one call with three draws does
    weight, other = torch.randn(3 * SIDE * SIDE, 2, generator=seeded(2)), {"other": FILLS["other"]}

    def figures(generator, **options):
        found = reliance(lambda images: images.flatten(1) @ weight, [data], positive=1, generator=generator, **options)
        return found.set_index(["kept", "fill", "metric"])

    generator = seeded(9)
    singles = [figures(generator, fills=other) for _ in range(3)]
    three = figures(seeded(9), fills=other, draws=3)
    for side in ("inside", "outside"):
        values = [each["value"][side, "other", "margin"] for each in singles]
        assert three["value"][side, "other", "margin"] == pytest.approx(np.mean(values))
        assert three["sd"][side, "other", "margin"] == pytest.approx(np.std(values, ddof=1))
        assert np.std(values) > 0
    assert all(each["sd"].isna().all() for each in singles)
    spread = figures(seeded(), draws=2)["sd"].notna()
    assert {fill for _, fill, _ in spread[spread].index} == set(RANDOM)
    with pytest.raises(SalignError, match="draws: expected a whole number of 1 or more, got 0"):
        figures(seeded(), draws=0)


@pytest.mark.parametrize("images", [0, 1])
def test_fewer_than_two_images_give_no_rows(images):
    data = striped(INSIDE, 4)
    data.annotated[images:] = False
    found = reliance(reader(INSIDE), [data], positive=1, generator=seeded())
    assert (len(found), list(found.columns)) == (0, list(COLUMNS))


def test_a_missing_figure_says_why():
    data = striped(INSIDE, 8)
    data.labels[:] = 1
    found = reliance(reader(INSIDE), [data], positive=1, generator=seeded())
    areas = found["metric"] == "auroc"
    assert found.loc[areas, "value"].isna().all()
    assert found.loc[areas, "note"].str.contains("nothing to rank").all()
    assert found.loc[~areas, "value"].notna().all()
    alike = (found["kept"] == "outside") & (found["metric"] == "accuracy")  # class 0 for all, without the region
    assert (found.loc[~areas & ~alike, "note"] == "").all()


def notes(classify, batch, **options):
    """`(kept, metric)` of all rows with a note -> the notes."""
    found = reliance(classify, cut(batch, 16), generator=seeded(), **options)
    noted = found[found["note"] != ""]
    return {place: set(rows["note"]) for place, rows in noted.groupby(["kept", "metric"])}


def test_that_nothing_flips_a_constant_answer_is_said_to_be_no_strength():
    def always(images):
        return torch.tensor([0.2, 0.5]).expand(len(images), 2)

    said = (
        "all 40 images are called dog, with probabilities that differ by at most 0: the classifier tells no images "
        "apart, and neither its accuracy nor answers that stay or agree speak for it"
    )
    places = {(kept, metric) for kept in ("all", "inside", "outside") for metric in ("accuracy", "flipped")}
    batch = striped(INSIDE)
    assert notes(always, batch, positive=1, classes=["cat", "dog"]) == {key: {said} for key in places}
    by_number = notes(always, batch, positive=1)["all", "flipped"]
    assert by_number == {said.replace("dog", "class 1")}
    several = batch._replace(labels=torch.stack([batch.labels, 1 - batch.labels], dim=1))
    assert notes(always, several, positive=None, classes=["cat", "dog"]) == {
        key: {said.replace("called dog", "called cat, dog")} for key in places
    }


def test_answers_that_become_alike_without_the_region_are_said_where_they_are():
    found = notes(reader(INSIDE), striped(INSIDE), positive=1, classes=["cat", "dog"])
    assert set(found) == {("outside", "accuracy")}
    assert all(note.startswith("all 40 images are called cat, with") for note in found["outside", "accuracy"])


def test_images_are_let_go():
    alive: list[weakref.ref] = []

    def batches():
        for _ in range(20):
            data = striped(INSIDE, 40)
            alive.append(weakref.ref(data.images))
            assert sum(one() is not None for one in alive) <= 3
            yield data

    assert len(reliance(reader(INSIDE), batches(), positive=1, generator=seeded())) > 0
    assert len(alive) == 20


# --- Fills ---------------------------------------------------------------------------------------------


@given(st.integers(0, 2**31), st.sampled_from(sorted(FILLS)), st.integers(2, 5), st.integers(1, 9), st.integers(1, 9))
@settings(deadline=None)
def test_a_picture_is_the_image_on_one_side_and_the_fill_on_the_other(seed, name, count, height, width):
    draw = seeded(seed)
    images = torch.rand(count, 3, height, width, generator=draw)
    regions = (torch.rand(count, 1, height, width, generator=draw) < 0.5).float()
    before = images.clone()
    fill = FILLS[name](images, regions, draw)
    assert fill.shape == images.shape
    assert (fill >= -1e-6).all()
    assert (fill <= 1 + 1e-6).all()
    inside = regions.expand_as(images) == 1
    for keep, side in (("inside", inside), ("outside", ~inside)):
        picture = compose(images, regions, fill, keep)
        assert torch.equal(picture[side], images[side])
        assert torch.equal(picture[~side], fill[~side])
    assert torch.equal(images, before)


def test_an_unknown_side():
    with pytest.raises(SalignError, match="keep: expected inside or outside, got 'middle'"):
        compose(torch.zeros(1, 3, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 2, 2), "middle")


def test_the_blur_is_that_of_scipy_renormalised_at_the_edges():
    images = torch.rand(2, 3, 24, 40, generator=seeded())
    sigma = 40 / 8
    weigh = lambda plane: ndimage.gaussian_filter(plane, sigma, mode="constant", truncate=20)  # noqa: E731
    found = FILLS["blur"](images, torch.ones(2, 1, 24, 40), seeded())
    for image, result in zip(images.double().numpy(), found, strict=True):
        for plane, got in zip(image, result, strict=True):
            np.testing.assert_allclose(got, weigh(plane) / weigh(np.ones_like(plane)), atol=1e-5)


def test_noise_has_mean_and_spread_of_its_image_and_grey_is_one_colour_for_all():
    images = 0.5 + 0.1 * torch.randn(4, 3, 64, 64, generator=seeded())
    images[1] = images[1] * 0.3 + 0.2
    made = FILLS["noise"](images, images[:, :1], seeded(1))
    torch.testing.assert_close(made.mean((2, 3)), images.mean((2, 3)), atol=0.01, rtol=0)
    torch.testing.assert_close(made.std((2, 3)), images.std((2, 3)), atol=0.005, rtol=0)
    assert np.corrcoef(made.flatten(), (images - images.mean((2, 3), keepdim=True)).flatten())[0, 1] < 0.05
    plain = FILLS["grey"](images, images[:, :1], seeded())
    torch.testing.assert_close(plain, images.mean((0, 2, 3)).view(1, 3, 1, 1).expand_as(images))


def test_the_background_is_that_of_another_image_of_another_class():
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    images = (torch.arange(6.0) / 10).view(6, 1, 1, 1).expand(6, 3, 8, 8).clone()
    regions = torch.zeros(6, 1, 8, 8)
    regions[:, :, 2:5, 2:5] = 1
    images[:, :, 2:5, 2:5] = 1.0  # an object that must not come along
    seen = {k: set() for k in range(6)}
    for seed in range(60):
        fill = FILLS["other"](images, regions, seeded(seed), labels)
        lenders = (fill[:, 0, 0, 0] * 10).round().int().tolist()
        torch.testing.assert_close(fill, fill[:, :1, :1, :1].expand_as(fill))
        for k, lender in enumerate(lenders):
            seen[k].add(lender)
    assert seen == {0: {3, 4, 5}, 1: {3, 4, 5}, 2: {3, 4, 5}, 3: {0, 1, 2, 4, 5}, 4: {0, 1, 2, 3}, 5: {0, 1, 2, 3}}
    same = FILLS["other"](images[:2], regions[:2], seeded(), labels[:2])  # no other class: the other image
    assert (same[:, 0, 0, 0] * 10).round().tolist() == [1, 0]
    with pytest.raises(SalignError, match="at least two images in the batch; got 1"):
        FILLS["other"](images[:1], regions[:1], seeded())
