"""A network that embeds images is kept whole, and its backbone starts a classifier."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from salign.errors import SalignError
from salign.models import Classifier, Embedder


def test_embeddings_have_length_1_and_come_back_from_its_folder(tmp_path: Path) -> None:
    embedder = Embedder("reactnet_025", image_size=(32, 64), dimensions=7, output_stride=16, seed=3).eval()
    images = torch.rand(2, 3, 32, 64)
    embedded = embedder(images)
    assert embedded.shape == (2, 7)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(2))
    again = Embedder.load(embedder.save(tmp_path))
    assert torch.equal(again(images), embedded)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    features = embedder.encoder.forward_features((images - mean[:, None, None]) / std[:, None, None]).mean((2, 3))
    first, _, last = embedder.projection
    expected = last(first(features).relu())
    torch.testing.assert_close(embedded, expected / expected.norm(dim=1, keepdim=True))


def test_a_classifier_starts_from_its_backbone(tmp_path: Path) -> None:
    embedder = Embedder("test_resnet", image_size=32, seed=3)
    embedder.save(tmp_path)
    net = Classifier("test_resnet", ["a", "b"], image_size=32, weights=str(tmp_path)).backbone.net.state_dict()
    assert all(torch.equal(net[name], value) for name, value in embedder.encoder.state_dict().items())
    with pytest.raises(SalignError, match="was trained with test_resnet, and the recipe asks for resnet18"):
        Classifier("resnet18", ["a", "b"], image_size=32, weights=str(tmp_path))


def test_a_damaged_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(SalignError, match=r"no embedder\.json there"):
        Embedder.load(tmp_path)
    Embedder("test_resnet", image_size=32).save(tmp_path)
    (tmp_path / "embedder.json").write_text('{"backbone": "test_resnet", "image_size": [32, 32], "dimensions": 1}')
    with pytest.raises(SalignError, match="damaged"):
        Embedder.load(tmp_path)
