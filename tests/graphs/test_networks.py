"""Encoders and heads against dense products and torch-geometric."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch_geometric.nn import GCNConv, SAGEConv

from salign.errors import SalignError
from salign.graphs import GraphHead, WordEncoder, from_links, weigh_words

LINKS = torch.tensor([[0, 0, 2, 1, 3], [1, 2, 3, 4, 4]])


def test_words_are_weighed() -> None:
    counted = weigh_words(["red sky red", "blue sky", ""]).toarray()
    assert counted.shape == (3, 3)  # blue, red, sky
    blue, red, sky = np.log(4 / 2) + 1, (np.log(4 / 2) + 1) * (1 + np.log(2)), np.log(4 / 3) + 1
    np.testing.assert_allclose(counted[0], np.array([0, red, sky]) / np.hypot(red, sky), rtol=1e-5)
    np.testing.assert_allclose(counted[1], np.array([blue, 0, sky]) / np.hypot(blue, sky), rtol=1e-5)
    assert counted[2].tolist() == [0, 0, 0]
    hashed = weigh_words(["red sky red", "blue", ""], "hashed", words=50).toarray()
    np.testing.assert_allclose(np.sort(hashed[0])[-3:], [0, 1 / 5**0.5, 2 / 5**0.5], rtol=1e-5)


@pytest.mark.parametrize(
    ("texts", "message"),
    [(["", " "], "the 2 texts have no word"), ([f"w{k}" for k in range(101)], "no word that stands in two of them")],
)
def test_texts_without_a_word_to_count_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(SalignError, match=message):
        weigh_words(texts)


def test_the_encoder_is_a_dense_layer() -> None:
    dense = np.array([[0, 1, 2], [0, 0, 0], [3, 0, 0], [1, 1, 0]], dtype=np.float32)
    encoder = WordEncoder(csr_matrix(dense), 4)
    torch.nn.init.normal_(encoder.bias)
    rows = torch.tensor([3, 1, 0, 3])
    expected = (torch.from_numpy(dense)[rows] @ encoder.bag.weight + encoder.bias).relu()
    torch.testing.assert_close(encoder(rows), expected)
    encoder(rows).sum().backward()
    assert float(encoder.bag.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("kind", ["gcn", "mean"])
@pytest.mark.parametrize("hidden", [2, 16])  # fewer columns than features, and more
def test_heads_are_those_of_torch_geometric(kind: str, hidden: int) -> None:
    torch.manual_seed(0)
    head = GraphHead(8, 3, kind, hidden=hidden).eval()
    layers = [(8, hidden), (hidden, 3)]
    oracle = [GCNConv(*sizes) if kind == "gcn" else SAGEConv(*sizes) for sizes in layers]
    for k, layer in enumerate(oracle):
        (layer.lin if kind == "gcn" else layer.lin_l).weight.data = head.layers[k].weight.data
        (layer.bias if kind == "gcn" else layer.lin_l.bias).data = head.layers[k].bias.data
        if kind == "mean":
            layer.lin_r.weight.data = head.own[k].weight.data
    features, both = torch.randn(6, 8), torch.cat([LINKS, LINKS.flip(0)], 1)
    expected = oracle[1](oracle[0](features, both).relu(), both)
    torch.testing.assert_close(head(features, from_links(LINKS, 6)), expected)
