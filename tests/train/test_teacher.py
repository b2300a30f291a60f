"""A finished run becomes a function from images to logits, and counts by its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from salign.errors import SalignError
from salign.models import Classifier
from salign.train.recipe import Recipe
from salign.train.teacher import load_teacher

CLASSES = ("cat", "dog")
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def saved(folder: Path, seed: int = 0) -> Path:
    return Classifier("test_resnet", CLASSES, image_size=32, seed=seed).save(folder)


def test_its_logits_are_those_of_the_run_without_a_graph(tmp_path: Path) -> None:
    teacher = load_teacher(saved(tmp_path / "run"), CLASSES)
    model = Classifier.load(tmp_path / "run")
    got = teacher(IMAGES.requires_grad_())
    assert not got.requires_grad
    assert torch.equal(got, model(IMAGES.detach()).logits.detach())
    large = torch.rand(1, 3, 48, 48)
    assert torch.equal(teacher(large), model(F.resize_image(large, [32, 32], antialias=True)).logits.detach())


@pytest.mark.parametrize("classes", [("dog", "cat"), ("cat", "dog", "owl")])
def test_other_classes_or_another_order_are_refused(tmp_path: Path, classes: tuple[str, ...]) -> None:
    with pytest.raises(SalignError, match=rf"answers cat, dog; expected {', '.join(classes)}, in this order"):
        load_teacher(saved(tmp_path), classes)
    with pytest.raises(SalignError, match=r"answers cat, dog; expected cat, dog \(several labels per image\)"):
        load_teacher(tmp_path, CLASSES, multi_label=True)


def test_a_run_that_has_not_finished_teaches_nobody(tmp_path: Path) -> None:
    (saved(tmp_path) / "recipe.yaml").write_text("name: x\n")
    with pytest.raises(SalignError, match="has not finished"):
        load_teacher(tmp_path, CLASSES)
    (tmp_path / "done").touch()
    load_teacher(tmp_path, CLASSES)


def test_the_weights_count_and_not_where_they_lie(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,path,label,split\n")
    prints = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        loss = {"name": "ce", "also": {"distill": {}}, "teacher": str(saved(tmp_path / name, seed))}
        recipe = Recipe.build({"name": "n", "data": {"manifest": str(tmp_path / "m.csv")}, "loss": loss})
        prints.append(recipe.fingerprint())
    assert prints[0] == prints[1] != prints[2]


def test_a_relative_folder_is_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("id,path,label,split\n")
    path = tmp_path / "r.yaml"
    path.write_text("name: n\ndata: {manifest: m.csv}\nloss: {name: distill, teacher: runs/t}\n")
    with pytest.raises(SalignError, match=r"runs/t is no folder of a finished run: there is no model.json"):
        Recipe.read(path, files=True)
    saved(tmp_path / "runs" / "t")
    assert Recipe.read(path, files=True).loss.teacher == str(tmp_path / "runs" / "t")
    assert Recipe.read(path, ["loss.teacher=stage:first", "stages.first={}"]).loss.teacher == "stage:first"
