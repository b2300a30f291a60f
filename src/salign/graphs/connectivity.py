"""Templates of connectivity, compared on subjects that they were not made from, and the files that report them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from salign.evaluate import auroc, balanced_accuracy
from salign.files import replacing, write_csv
from salign.graphs.dgn import dgn_template
from salign.graphs.matrices import Subjects, square
from salign.graphs.template import centredness, class_scores, judge_follow_up
from salign.maps import min_max
from salign.maps.render import heat
from salign.pages.plots import bars
from salign.pages.sheet import Block, Plots, Section, Table, Text, Tile, Tiles, write_sheet

DGN = "dgn"


@dataclass(frozen=True)
class Compared:
    """The result of `compare_templates`."""

    templates: dict[str, np.ndarray]
    """Name of a template -> its matrices `(K, R, R)`, one per class."""
    figures: pd.DataFrame
    """A row per figure, with the columns figure, name and value.

    `auroc` (only for two classes) and `balanced_accuracy` are those of the test subjects, in [0, 1]. `distance` is the
    mean distance of test subjects to the template of their class, averaged over the classes. `follow-up error`, see
    `judge_follow_up`, is there only if later matrices are known.
    """


def compare_templates(
    subjects: Subjects,
    views: np.ndarray,
    later: np.ndarray | None = None,
    *,
    dgn: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Compared:
    """Make templates from the training subjects of each class, and measure them on the other subjects.

    With several views, the vector of a subject is the mean of its views; only DGN uses each view on its own.

    Args:
        subjects: labels and splits of the subjects.
        views: `(N, V, T)` upper triangles of their matrices.
        later: upper triangles of the same subjects at a later time.
        dgn: whether to train DGN, a network that makes templates, too.
        seed: decides the random subject, and what DGN draws.
        progress: whether to show progress bars.
    """
    vectors, labels, train, test = views.mean(1), subjects.labels, subjects.train, subjects.test
    scores, templates = class_scores(vectors, labels, train, test, np.random.default_rng(seed))
    if dgn:
        templates[DGN] = np.stack(
            [_dgn(views[train[labels[train] == k]], seed, progress) for k in range(len(subjects.classes))]
        )
        scores[DGN] = -((vectors[test][:, None] - templates[DGN]) ** 2).sum(2)
    truth, rows = labels[test], []
    for name, score in scores.items():
        if len(subjects.classes) == 2:
            rows.append(("auroc", name, float(auroc(score[:, 1] - score[:, 0], truth == 1))))
        rows.append(("balanced_accuracy", name, float(balanced_accuracy(score.argmax(1), truth))))
    for name, template in templates.items():
        apart = [
            float(centredness(torch.from_numpy(template[k]), torch.from_numpy(vectors[test[truth == k]])))
            for k in range(len(template))
        ]
        rows.append(("distance", name, float(np.mean(apart))))
    if later is not None:
        errors = judge_follow_up(vectors, later.mean(1), train, test)
        rows += [("follow-up error", name, value) for name, value in errors.items()]
    figures = pd.DataFrame(rows, columns=["figure", "name", "value"])
    return Compared({name: square(template) for name, template in templates.items()}, figures)


def _dgn(views: np.ndarray, seed: int, progress: bool) -> np.ndarray:
    """Return the template of DGN, `(n, V, T) -> (T,)`.

    DGN takes no values below zero. If there are some, all values are shifted up before, and the template is shifted
    back afterwards.
    """
    low = min(0.0, float(views.min()))
    template = dgn_template(torch.from_numpy(square(views - low)), seed=seed, progress=progress).numpy()
    return np.asarray(template[np.triu_indices(len(template), 1)] + low, dtype=np.float32)


def write_templates(folder: Path, subjects: Subjects, compared: Compared) -> list[str]:
    """Write `templates.npz`, `figures.csv` and `page.html`.

    `templates.npz` holds `classes`, and an array `(K, R, R)` for each template.

    Returns:
        The main figure of each template, and of each method it is compared with, as a line of text.
    """
    with replacing(folder / "templates.npz") as partial, partial.open("wb") as file:
        arrays: dict[str, Any] = {"classes": np.array(subjects.classes), **compared.templates}
        np.savez_compressed(file, **arrays)
    with replacing(folder / "figures.csv") as partial:
        write_csv(compared.figures, partial)
    main = "auroc" if len(subjects.classes) == 2 else "balanced_accuracy"
    wide = compared.figures.pivot(index="name", columns="figure", values="value")
    wide = wide.loc[list(dict.fromkeys(compared.figures["name"]))].round(3).reset_index()
    measured = wide.dropna(subset=[main])
    picture = bars(
        [str(name) for name in measured["name"]],
        {main: [100 * float(value) for value in measured[main]]},
        f"{main} of {len(subjects.test)} subjects, in percent",
        title="Answers by one template per class",
        name="templates",
    )
    tiles = [
        Tile(name, [(subjects.classes[k], _picture(template[k])) for k in range(len(template))])
        for name, template in compared.templates.items()
    ]
    note = (
        f"Templates of {len(subjects.train)} training subjects. A random subject and the medoid are one subject per "
        "class; all subjects is a logistic regression on every training subject."
    )
    blocks: list[Block] = [
        Text([note]),
        Plots("The answer is the class of the nearest template.", [picture]),
        Table(
            "All figures; distance is that of test subjects to the template of their class.",
            wide.astype(object).fillna(""),
        ),
        Tiles("Templates, each stretched to the full range of colours, dark blue to yellow.", tiles, cells=True),
    ]
    write_sheet(folder / "page.html", "One matrix for a class", [Section("Templates", blocks)])
    word = "AUROC" if main == "auroc" else "balanced accuracy"
    return [f"{row['name']}: {word} {row[main]:.3f}" for _, row in measured.iterrows()]


def _picture(matrix: np.ndarray) -> Image.Image:
    return Image.fromarray(heat(min_max(torch.from_numpy(matrix).float())).numpy())
