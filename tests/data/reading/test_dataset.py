from __future__ import annotations

from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from half_maps import SIZE, half, manifest_of
from salign.data.manifest import COLUMNS, Manifest, ManifestError
from salign.data.reading import dataset
from salign.data.reading.dataset import SaliencyDataset, SeededSampler
from salign.data.reading.image import ImageError, read_image
from salign.data.reading.transforms import build_transform
from salign.errors import SalignError


def test_samples_carry_label_map_and_row_and_keep_blank_apart_from_missing(tmp_path):
    manifest = manifest_of(tmp_path, [half(24, 32), np.zeros((24, 32), np.uint8), None])
    dataset = SaliencyDataset(manifest, ("b", "a"), build_transform(SIZE))
    assert len(dataset) == 3
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.annotated.tolist() == [True, True, False]
    samples = [dataset[i] for i in range(3)]
    assert [int(sample.labels) for sample in samples] == [1, 0, 1]
    assert [bool(sample.annotated) for sample in samples] == [True, True, False]
    assert [int(sample.index) for sample in samples] == [0, 1, 2]
    assert [float(sample.saliency.mean()) for sample in samples] == [0.5, 0, 0]
    assert all(s.images.dtype == s.saliency.dtype == torch.float32 for s in samples)
    assert all(s.images.shape == (3, SIZE, SIZE) and s.saliency.shape == (1, SIZE, SIZE) for s in samples)


def test_a_change_of_maps_is_asked_for_each_map_by_the_name_of_its_image(tmp_path):
    manifest = manifest_of(tmp_path, [half(24, 32), None, half(48, 64)])
    asked = []

    def change(values, name):
        asked.append((name, tuple(values.shape), float(values.mean())))
        return 1 - values

    dataset = SaliencyDataset(manifest, ("a", "b"), build_transform(SIZE), map_change=change)
    samples = [dataset[i] for i in range(3)]
    assert asked == [("0", (24, 32), 0.5), ("2", (24, 32), 0.5)]
    assert [bool(sample.annotated) for sample in samples] == [True, False, True]
    own = SaliencyDataset(manifest, ("a", "b"), build_transform(SIZE))[2]
    torch.testing.assert_close(samples[2].saliency, 1 - own.saliency)
    assert torch.equal(samples[2].images, own.images)
    assert not samples[1].saliency.any()


@pytest.mark.parametrize("size", [(24, 32), (48, 64), (6, 8), (12, 16)])
def test_a_map_of_the_same_shape_in_another_size_is_resized(tmp_path, size):
    dataset = SaliencyDataset(manifest_of(tmp_path, [half(*size)]), ("a",), build_transform(SIZE))
    saliency = dataset[0].saliency
    assert saliency.mean() == pytest.approx(0.5, abs=0.01)
    assert saliency[0, :, 0].min() == 1
    assert saliency[0, :, -1].max() == 0


@pytest.mark.parametrize("size", [(32, 24), (24, 34), (2, 2)])
def test_a_map_of_another_shape_is_refused_with_both_sizes_and_the_row(tmp_path, size):
    dataset = SaliencyDataset(manifest_of(tmp_path, [None, half(*size)]), ("a", "b"), build_transform(SIZE))
    with pytest.raises(
        ImageError, match=rf"m\.csv row 3 \(1_map\.png\): the map is {size[1]} x {size[0]} .* 32 x 24: not the same"
    ):
        dataset[1]


def test_a_large_jpeg_is_read_reduced_and_still_matches_its_map(tmp_path):
    y, x = np.mgrid[0:800, 0:1200]
    Image.fromarray(((np.sin(x / 90) + np.cos(y / 70) + 2) * 60).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(half(800, 1200)).save(tmp_path / "a.png")
    table = pd.DataFrame([("1", "a.jpg", "a", "train", "a.png")], columns=list(COLUMNS))
    manifest = Manifest.of(table, tmp_path)
    transform = build_transform(64)
    reduced = SaliencyDataset(manifest, ("a",), transform)[0]
    full = SaliencyDataset(manifest, ("a",), lambda image, saliency: transform(image, saliency))[0]
    assert (reduced.images - full.images).abs().mean() < 1 / 255
    assert (reduced.images - full.images).abs().max() < 5 / 255
    torch.testing.assert_close(reduced.saliency, full.saliency, rtol=0, atol=1e-6)


def test_a_large_jpeg_is_read_at_twice_the_size_that_is_wanted(tmp_path, monkeypatch):
    """Black and white blocks of one pixel after the resize: read at half of that they would run together."""
    blocks = np.kron(np.random.default_rng(0).integers(0, 2, (64, 64)), np.ones((8, 8))) * 200 + 20
    Image.fromarray(blocks.astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    manifest = Manifest.of(pd.DataFrame([("1", "a.jpg", "a", "train", "")], columns=list(COLUMNS)), tmp_path)
    transform, read = build_transform(64), []
    monkeypatch.setattr(dataset, "read_image", lambda *given, **how: read.append(read_image(*given, **how)) or read[-1])
    reduced = SaliencyDataset(manifest, ("a",), transform)[0]
    full = SaliencyDataset(manifest, ("a",), lambda image, saliency: transform(image, saliency))[0]
    assert (reduced.images - full.images).abs().mean() < 1 / 255
    assert [tuple(one.shape) for one in read] == [(3, 128, 128), (3, 512, 512)]


@pytest.mark.parametrize("column", ["path", "saliency"])
def test_a_file_that_broke_after_the_check_is_named_with_its_row(tmp_path, column):
    manifest = manifest_of(tmp_path, [None, half(24, 32)])
    name = manifest.table[column].iat[1]
    dataset = SaliencyDataset(manifest, ("a", "b"), build_transform(SIZE))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:60])
    with pytest.raises(ImageError, match=rf"^m\.csv row 3 \({name}\)"):
        dataset[1]
    (tmp_path / name).unlink()
    with pytest.raises(ImageError, match=rf"^m\.csv row 3 \({name}\): no such file"):
        dataset[1]


def test_unknown_classes_are_listed_with_their_rows(tmp_path):
    manifest = manifest_of(tmp_path, [None] * 4, labels=["a", "x", "a", "y"])
    with pytest.raises(ManifestError) as caught:
        SaliencyDataset(manifest, ("a", "b"), build_transform(SIZE))
    assert [(f.row, f.column) for f in caught.value.faults] == [(3, "label"), (5, "label")]
    assert "row 3, label: unknown class 'x'; expected one of a, b" in str(caught.value)


def test_without_labels_the_number_is_minus_one(tmp_path):
    manifest = manifest_of(tmp_path, [None])
    unlabelled = Manifest(manifest.table.assign(label=pd.array([pd.NA], dtype="string")), manifest.root, "folder")
    dataset = SaliencyDataset(unlabelled, ("a", "b"), build_transform(SIZE))
    assert dataset.labels.tolist() == [-1]
    assert int(dataset[0].labels) == -1


def test_seconds_come_from_a_column_and_are_nan_where_nobody_took_them(tmp_path):
    manifest = manifest_of(tmp_path, [half(24, 32), None, half(24, 32)])
    timed = Manifest.of(manifest.table.assign(took=["2.5", "", "0"]), tmp_path, "m.csv")
    dataset = SaliencyDataset(timed, ("a", "b"), build_transform(SIZE), seconds_column="took")
    assert torch.equal(torch.stack([dataset[i].seconds for i in (0, 2)]), torch.tensor([2.5, 0.0]))
    assert dataset[1].seconds.isnan()
    assert dataset.take([2, 0])[1].seconds == 2.5
    assert SaliencyDataset(timed, ("a", "b"), build_transform(SIZE))[0].seconds.isnan()


def test_cells_that_are_no_seconds_are_named_with_their_rows(tmp_path):
    manifest = manifest_of(tmp_path, [half(24, 32)] * 5)
    wrong = Manifest.of(manifest.table.assign(took=["2.5", "long", "-1", "inf", "nan"]), tmp_path, "m.csv")
    with pytest.raises(ManifestError, match="row 3, took: 'long' is no time; expected seconds") as caught:
        SaliencyDataset(wrong, ("a", "b"), build_transform(SIZE), seconds_column="took")
    assert [fault.row for fault in caught.value.faults] == [3, 4, 5, 6]


def test_a_seed_decides_the_sample_and_leaves_the_global_generator_alone(tmp_path):
    dataset = SaliencyDataset(manifest_of(tmp_path, [half(24, 32)]), ("a",), build_transform(SIZE, "standard"))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = dataset[0, 11]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    again, other = dataset[0, 11], dataset[0, 12]
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.saliency, again.saliency)
    assert not torch.equal(first.images, other.images)
    assert not torch.equal(dataset[0].images, dataset[0].images)  # without a seed: the global generator


def test_the_sampler_visits_each_once_and_depends_on_seed_and_epoch_alone():
    sampler = SeededSampler(50, 3, shuffle=True)
    first = list(sampler)
    torch.manual_seed(99)
    assert list(SeededSampler(50, 3, shuffle=True)) == first
    assert sorted(position for position, _ in first) == list(range(50))
    assert len({seed for _, seed in first}) == 50
    sampler.set_epoch(1)
    second = list(sampler)
    assert [p for p, _ in second] != [p for p, _ in first]
    assert not {seed for _, seed in second} & {seed for _, seed in first}
    sampler.set_epoch(0)
    assert list(sampler) == first
    assert list(SeededSampler(50, 4, shuffle=True)) != second  # seed + epoch must not be all that counts


def test_in_order_sampling_still_seeds_each_sample():
    drawn = list(SeededSampler(5, 0, shuffle=False))
    assert [position for position, _ in drawn] == [0, 1, 2, 3, 4]
    assert len({seed for _, seed in drawn}) == 5


@pytest.mark.parametrize(
    ("n", "world", "batch", "sizes"),
    [
        (10, 2, 4, [[2, 2, 1], [2, 2, 1]]),
        (11, 3, 6, [[2, 1], [2, 2], [2, 2]]),
        (11, 3, None, [[3], [4], [4]]),
        (1, 4, None, [[0], [0], [0], [1]]),
        (5, 1, 2, [[2, 2, 1]]),
    ],
)
def test_ranks_share_every_batch_and_no_draw_is_repeated_or_lost(n, world, batch, sizes):
    whole = list(SeededSampler(n, 7, shuffle=True))
    parts = [SeededSampler(n, 7, shuffle=True, rank=rank, world=world, batch=batch) for rank in range(world)]
    drawn = [iter(part) for part in parts]
    assert [len(part) for part in parts] == [sum(each) for each in sizes]
    taken = []
    for of_batch in zip(*sizes, strict=True):
        for part, size in zip(drawn, of_batch, strict=True):
            taken += islice(part, size)
    assert taken == whole


def test_weights_balance_and_zero_is_never_drawn():
    weights = torch.tensor([1.0] * 90 + [9.0] * 10 + [0.0] * 5)
    drawn = []
    sampler = SeededSampler(105, 0, shuffle=True, weights=weights)
    for epoch in range(40):
        sampler.set_epoch(epoch)
        drawn += [position for position, _ in sampler]
    rare = np.mean([position >= 90 for position in drawn])
    assert rare == pytest.approx(0.5, abs=0.04)
    assert max(drawn) < 100


def test_bad_samplers_are_refused():
    with pytest.raises(SalignError, match="no image"):
        SeededSampler(0, 0, shuffle=True)
    with pytest.raises(SalignError, match=r"\(3,\)"):
        SeededSampler(3, 0, shuffle=True, weights=torch.ones(2))


@pytest.mark.parametrize("classes", [(), ("a", "a", "b")])
def test_classes_are_different_names(tmp_path, classes):
    with pytest.raises(SalignError, match="different names"):
        SaliencyDataset(manifest_of(tmp_path, [None]), classes, build_transform(SIZE))
