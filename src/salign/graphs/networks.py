"""Small networks of nodes: an encoder of words, and heads that average over neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from salign.checks import choice, number
from salign.errors import SalignError
from salign.graphs.neighbours import Neighbours, neighbour_mean, symmetric_mean

Head = Literal["gcn", "mean"]
"""`gcn`: graph convolutions (Kipf and Welling, arXiv 1609.02907); `mean`: layers that combine a node with the mean of
its neighbours (Hamilton et al., GraphSAGE, arXiv 1706.02216)."""


def weigh_words(texts: Sequence[str], kind: Literal["tfidf", "hashed"] = "tfidf", *, words: int = 3000) -> csr_matrix:
    """Count and weigh the words of texts: `(N, V)` float32.

    Each row has length 1, or is all zeros if no word of the text is known.

    Args:
        texts: `N` texts; they are put in small letters and split into words at white space.
        kind: `tfidf` takes the `words` most frequent words and gives rare words more weight. With more than 100 texts,
            it leaves out words that only one text has. `hashed` takes all words and finds the column of each by a hash,
            so that memory does not grow with the vocabulary.
        words: the number of columns, `V`; for `tfidf`, the largest number.

    Raises:
        SalignError: `tfidf` has no word to count, for instance because all texts are empty.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

    choice("kind", kind, ("tfidf", "hashed"))
    number("words", words, "[1, inf)", whole=True)
    common: dict[str, Any] = {"token_pattern": r"\S+", "dtype": np.float32}
    if kind == "hashed":
        return HashingVectorizer(n_features=words, alternate_sign=False, **common).transform(texts)
    rare = 2 if len(texts) > 100 else 1
    try:
        return TfidfVectorizer(max_features=words, min_df=rare, sublinear_tf=True, **common).fit_transform(texts)
    except ValueError as error:
        several = " that stands in two of them" if rare > 1 else ""
        raise SalignError(f"texts: the {len(texts)} texts have no word{several}.") from error


class WordEncoder(nn.Module):
    """An encoder of nodes, `rows (B,) int64 -> (B, width)`: a linear layer over their weighted words, then ReLU.

    Args:
        words: `(N, V)` from `weigh_words`; the sparse rows are read in place and never copied to dense rows.
        width: number of outputs.
    """

    starts: Tensor
    columns: Tensor
    weights: Tensor

    def __init__(self, words: csr_matrix, width: int = 64) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(words.shape[1], width, mode="sum", include_last_offset=True)
        nn.init.normal_(self.bag.weight, std=width**-0.5)
        self.bias = nn.Parameter(torch.zeros(width))
        for name, values in (("starts", words.indptr), ("columns", words.indices), ("weights", words.data)):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Encode the nodes at these positions."""
        starts = self.starts.long()
        lengths = starts[rows + 1] - starts[rows]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        # The position of each word of the batch in the matrix: its position in the batch, moved to its row's start.
        places = torch.arange(int(offsets[-1])) + (starts[rows] - offsets[:-1]).repeat_interleave(lengths)
        summed: Tensor = self.bag(self.columns[places].long(), offsets, self.weights[places])
        return (summed + self.bias).relu()


class GraphHead(nn.Module):
    """A head that answers for every node, `(N, width) -> (N, classes)`.

    It has two convolutions over the neighbours of each node, with ReLU between them and dropout before each.

    Args:
        width: number of inputs.
        classes: number of outputs, which are logits.
        kind: see `Head`.
        hidden: number of outputs of the first convolution.
        dropout: share of the inputs of each convolution that training leaves out.
    """

    def __init__(self, width: int, classes: int, kind: Head = "gcn", *, hidden: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        choice("kind", kind, Head)
        self.kind, self.dropout = kind, nn.Dropout(dropout)
        self.layers = nn.ModuleList([nn.Linear(width, hidden), nn.Linear(hidden, classes)])
        own = [nn.Linear(width, hidden, bias=False), nn.Linear(hidden, classes, bias=False)] if kind == "mean" else []
        self.own = nn.ModuleList(own)

    def forward(self, features: Tensor, neighbours: Neighbours) -> Tensor:
        """Return the logits of every node of the graph."""
        for k, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            features = self.dropout(features if k == 0 else features.relu())
            # A linear layer and a mean may be swapped. The mean is taken where there are fewer columns.
            narrow = layer.out_features < features.shape[1]
            averaged = nn.functional.linear(features, layer.weight) if narrow else features
            averaged = (symmetric_mean if self.kind == "gcn" else neighbour_mean)(averaged, neighbours)
            mixed = averaged if narrow else nn.functional.linear(averaged, layer.weight)
            features = mixed + layer.bias + (self.own[k](features) if self.own else 0)
        return features
