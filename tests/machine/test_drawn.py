"""Maps that a run draws for another: which rows get one, whose they are, and that they are drawn once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from command import small
from salign.data.manifest import Manifest
from salign.data.reading.image import read_image, read_saliency
from salign.errors import SalignError
from salign.machine import drawn, makers
from salign.machine.drawn import with_drawn_maps
from salign.machine.makers import maker_of
from salign.models import Classifier, SaliencyNet
from salign.train.prepare import prepare
from salign.train.recipe import DataRecipe


@pytest.fixture
def rows(digits):
    """Thirty training rows, of which every third has a person's map."""
    few = Manifest.read(digits).select(["train"]).take(range(30))
    table = few.table.assign(saliency=few.table["saliency"].where(np.arange(30) % 3 == 0))
    return Manifest(table, few.root, few.source)


@pytest.fixture
def net(tmp_path):
    return SaliencyNet("test_resnet", image_size=64, width=16, seed=1).save(tmp_path / "net")


def image(rows, i):
    return read_image(rows.image_path(i))[None].float() / 255


def test_the_rest_is_drawn_and_peoples_maps_stay(rows, net):
    done = with_drawn_maps(rows, [net])
    own = rows.table["saliency"].notna().to_numpy(dtype=bool)
    assert np.array_equal(done.machine_made, ~own)
    assert done.table["saliency"][own].equals(rows.table["saliency"][own])
    assert set(done.table["provenance"][~own]) == {maker_of(net).name}
    expected = SaliencyNet.load(net).predict(image(rows, 7))[0]
    torch.testing.assert_close(read_saliency(done.saliency_path(7)), expected, atol=1e-4, rtol=0)
    assert done.table.drop(columns=["saliency", "provenance"]).equals(rows.table.drop(columns="saliency"))


def test_a_net_draws_on_images_with_several_labels(rows, net):
    table = rows.table.assign(label=np.where(np.arange(30) % 2, "fur;tail", "fur"))
    done = with_drawn_maps(Manifest(table, rows.root, rows.source, multi_label=True), [net])
    one = with_drawn_maps(rows, [net])
    for i in (4, 7):
        drawn_maps = [read_saliency(each.saliency_path(i)) for each in (done, one)]
        assert torch.equal(*drawn_maps)


def test_all_are_drawn_and_nobodys_own_map_stays(rows, net):
    done = with_drawn_maps(rows, [net], images="all")
    assert done.machine_made.all()
    label = rows.table["label"].iat[0]
    some = with_drawn_maps(rows, [net], images="all", label=label).table
    assert (some["saliency"].notna() == (rows.table["label"] == label)).all()
    none = with_drawn_maps(rows, [net], label="no such class")
    assert none.table["saliency"].equals(rows.table["saliency"])


def test_the_same_maps_are_drawn_once_and_what_was_cut_off_again(rows, net, monkeypatch):
    calls, draw = [], drawn.draw_maps

    def counted(rows, maker, out, **options):
        calls.append(len(rows))
        return draw(rows, maker, out, **options)

    monkeypatch.setattr(drawn, "draw_maps", counted)
    first = with_drawn_maps(rows, [net])
    again = with_drawn_maps(rows, [net])
    assert again.table.equals(first.table)
    with_drawn_maps(rows.take(range(12)), [net])
    assert calls == [20, 8]
    (net / "maps" / first.saliency_path(1).parent.name / "maps.csv").unlink()
    assert with_drawn_maps(rows, [net]).table.equals(first.table)
    assert calls == [20, 8, 20]


def test_a_recipe_that_asks_for_the_cpu_has_its_maps_drawn_there(digits, net, monkeypatch):
    devices = []

    def noted(run, **options):
        devices.append(options["device"])
        return maker_of(run, **options | {"device": "cpu"})

    monkeypatch.setattr(makers, "maker_of", noted)
    monkeypatch.setattr(drawn, "draw_maps", lambda *_, **options: devices.append(options["device"]) or 1 / 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for asked in ("auto", "cpu", "mps"):
        data = small(digits, data={"annotated": 0.5, "drawn": {"by": str(net)}})["data"]
        with pytest.raises(ZeroDivisionError):
            prepare(DataRecipe(**data), device=asked)
    assert devices == ["cuda", "cuda", "cpu", "cpu", "cpu", "cpu"]


def test_a_classifier_marks_its_evidence_for_the_true_class_in_the_way_asked_for(rows, tmp_path):
    classes = sorted(set(rows.table["label"]))
    teacher = Classifier("test_resnet", classes, image_size=64, output_stride=8, seed=2)
    teacher.save(tmp_path / "teacher")
    found = {}
    for method, masks, seed in (("cam", 9, 0), ("rise", 9, 0), ("rise", 9, 1), ("rise", 8, 0)):
        done = with_drawn_maps(rows, [tmp_path / "teacher"], method=method, masks=masks, seed=seed)
        found[method, masks, seed] = read_saliency(done.saliency_path(4))
    maker = maker_of(tmp_path / "teacher")
    expected, _ = maker(image(rows, 4), torch.tensor([classes.index(rows.table["label"].iat[4])]))
    small = torch.nn.functional.interpolate(expected[None], (64, 64), mode="bilinear", align_corners=False)[0, 0]
    torch.testing.assert_close(found["cam", 9, 0], small, atol=2e-2, rtol=0)
    kinds = list(found.values())
    assert not any(torch.equal(kinds[i], kinds[j]) for i in range(4) for j in range(i))


def test_an_unknown_device_is_refused(rows, net):
    with pytest.raises(SalignError, match="device: expected auto, cpu, cuda or mps, got 'gpu'"):
        with_drawn_maps(rows, [net], device="gpu")
