"""One representative shot: a template of connectivity for each class, and what can be done with templates alone.

The idea is that of "One Representative-Shot Learning Using a Population-Driven Template with Application to Brain
Connectivity Classification and Evolution Prediction" (arXiv 2110.11238): a classifier, or a predictor of change, sees
only a single matrix per class or time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from salign.checks import tensors
from salign.maps.template import geometric_median, mean_template, median_template

TEMPLATES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": mean_template,
    "median": median_template,
    "geometric_median": geometric_median,
}
"""Functions `(N, T) -> (T,)` that make one template from `N` vectors, by name."""


def medoid(vectors: Tensor) -> Tensor:
    """Return the vector out of `(N, T)` with the least sum of distances to all of them, `(T,)`."""
    tensors(vectors=(vectors, "float (N, T)"))
    return vectors[torch.cdist(vectors, vectors).sum(1).argmin()]


def centredness(template: Tensor, vectors: Tensor) -> Tensor:
    """Return the mean Euclidean distance `()` from a template `(T,)` to vectors `(N, T)`; lower is more central."""
    tensors(template=(template, "float (T,)"), vectors=(vectors, "float (N, T)"))
    return (vectors - template).norm(dim=1).mean()


def nearest_scores(vectors: Tensor, templates: Tensor) -> Tensor:
    """Return minus the squared distance of vectors `(N, T)` to the templates of the classes `(K, T)`, `(N, K)`.

    The class with the highest score, which is that of the nearest template, is the answer. For two classes, the
    difference of the scores is linear in the vector. It orders vectors as a classifier of largest margin does that was
    trained on the two templates alone.
    """
    tensors(vectors=(vectors, "float (N, T)"), templates=(templates, "float (K, T)"))
    return -(torch.cdist(vectors, templates, compute_mode="donot_use_mm_for_euclid_dist") ** 2)


def follow_up(first: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Predict the later matrices of subjects as their first matrices plus the difference of the templates of two times.

    Args:
        first: `(N, T)` matrices at the first time.
        before: `(T,)` template of that time.
        after: `(T,)` template of the later time.

    Returns:
        The predicted matrices, `(N, T)`.
    """
    tensors(first=(first, "float (N, T)"), before=(before, "float (T,)"), after=(after, "float (T,)"))
    return first + (after - before)


def class_scores(
    vectors: np.ndarray, labels: np.ndarray, train: np.ndarray, test: np.ndarray, generator: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Score test subjects by templates, and by the methods that templates are compared with.

    Args:
        vectors: `(N, T)`.
        labels: `(N,)` in [0, K).
        train: positions of the training subjects.
        test: positions of the test subjects.
        generator: draws the random subject.

    Returns:
        Two tables. The first has the scores `(m, K)` of each method, by name: the `TEMPLATES`; `random subject` and
        `medoid`, which are one subject per class; and `all subjects`, a logistic regression with a strong penalty on
        every training subject. The second has each of the `TEMPLATES`, `(K, T)`, by name.
    """
    from sklearn.linear_model import LogisticRegression

    classes = range(int(labels.max()) + 1)
    parts = [torch.from_numpy(vectors[train[labels[train] == k]]) for k in classes]
    tested = torch.from_numpy(vectors[test])
    makers: dict[str, Callable[[Tensor], Tensor]] = {
        **TEMPLATES,
        "random subject": lambda part: part[int(generator.integers(len(part)))],
        "medoid": medoid,
    }
    templates = {name: torch.stack([make(part) for part in parts]) for name, make in makers.items()}
    scores = {name: nearest_scores(tested, template).numpy() for name, template in templates.items()}
    # There are far more connections than subjects: without a strong penalty the regression is at chance.
    model = LogisticRegression(C=1e-4, tol=1e-7, max_iter=2000).fit(vectors[train], labels[train])
    scores["all subjects"] = model.predict_proba(vectors[test])
    return scores, {name: templates[name].numpy() for name in TEMPLATES}


def judge_follow_up(first: np.ndarray, later: np.ndarray, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Return the mean absolute error of predictions of the later matrices of test subjects, by the method's name.

    "no change" predicts the first matrix of the subject. The `TEMPLATES` predict by `follow_up`, with a template of all
    training subjects at each time.

    Args:
        first: `(N, T)` matrices at the first time.
        later: `(N, T)` matrices of the same subjects at the later time.
        train: positions of the training subjects, from whom the templates are made.
        test: positions of the test subjects.
    """
    here, there = torch.from_numpy(first[test]), torch.from_numpy(later[test])
    predicted = {"no change": here}
    for name, make in TEMPLATES.items():
        predicted[name] = follow_up(here, make(torch.from_numpy(first[train])), make(torch.from_numpy(later[train])))
    return {name: float((values - there).abs().mean()) for name, values in predicted.items()}
