"""How far independent runs of one arm agree, computed from the maps that `salign.runs.analyse` wrote for each run."""

from __future__ import annotations

import dataclasses
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from salign.errors import SalignError
from salign.evaluate.consistency import answer_consistency, map_consistency
from salign.evaluate.constant import constant_note
from salign.evaluate.delong import delong
from salign.evaluate.predictions import PROB, named_in, probabilities_of
from salign.location import quote
from salign.maps import resize
from salign.readers import open_file
from salign.runs.folder import RunFolder
from salign.runs.run import Run

ANALYSIS = "analysis"
"""The folder of the analysis in the run folder. It holds `agreement.csv`, `reliance.csv`, `maps.npz`, and `done`,
which is written last."""


_MOST_BYTES = 4_000_000_000
_BROKEN = (
    OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, OverflowError, MemoryError, RecursionError,
    NotImplementedError, RuntimeError, SyntaxError, struct.error, zlib.error, tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip
"""The exceptions that NumPy and zipfile raise on damaged files."""


class Maps(NamedTuple):
    """The maps of one run for the images drawn from one set, as `maps.npz` holds them."""

    ids: NDArray[Any]
    """`(N,)` text: ids of the images, in the order in which they were drawn."""
    maps: NDArray[Any]
    """`(N, h, w)` float16 in [0, 1]: class activation maps, min-max scaled per image; a constant map is all zeros."""
    human: NDArray[Any]
    """`(h, w)` float32 in [0, 1]: mean of the human maps of the annotated images, each resized and min-max scaled
    before averaging, as the loss does it. NaN if there are none."""
    annotated: NDArray[Any]
    """`(N,)` bool: whether a person looked at the image and marked something."""
    predicted: NDArray[Any]
    """`(N,)` int64 class numbers. Where images may have several labels: text, the names of the classes joined by
    `;`."""


def read_maps(run: RunFolder) -> dict[str, Maps]:
    """Read the maps of every set that was analysed.

    Raises:
        SalignError: the run has not been analysed, or its file of maps is damaged.
    """
    path = run.path / ANALYSIS / "maps.npz"
    if not (path.parent / "done").is_file():
        raise SalignError(f"{run.path} has not been analysed: run salign analyse {quote(run.path)} first.")
    try:
        with open_file(path) as opened, np.load(opened, allow_pickle=False) as file:
            if sum(member.file_size for member in file.zip.infolist()) > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES:,} bytes when unpacked")
            names = dict.fromkeys(key.rpartition("/")[0] for key in file.files)
            maps_of = {name: Maps(*(file[f"{name}/{field}"] for field in Maps._fields)) for name in names}
        for maps in maps_of.values():
            _check(maps)
    except _BROKEN as error:
        raise SalignError(
            f"{path} is damaged ({str(error)[:200]}): delete {path.parent} and run salign analyse {quote(run.path)} "
            "again."
        ) from error
    return maps_of


def _check(maps: Maps) -> None:
    count, _, _ = maps.maps.shape
    for field, dimensions, kinds in (("ids", 1, "U"), ("maps", 3, "f"), ("annotated", 1, "b"), ("predicted", 1, "iU")):
        values = getattr(maps, field)
        if values.ndim != dimensions or len(values) != count or values.dtype.kind not in kinds:
            raise ValueError(f"{field}: unexpected {values.dtype} of shape {values.shape}")
    if maps.human.ndim != 2 or maps.human.dtype.kind != "f":
        raise ValueError(f"human: unexpected {maps.human.dtype} of shape {maps.human.shape}")


def compare_runs(runs: Sequence[Run], *, metric: str = "cc") -> pd.DataFrame:
    """Measure how far analysed runs look at the same places and give the same answers.

    Args:
        runs: at least two runs of one arm of a study, analysed with equal arguments.
        metric: name of a metric of `salign.evaluate.agreement`, which compares two maps.

    Returns:
        A row per set that all runs have, with the columns: set; runs (their number); images; maps (the metric, averaged
        over images and pairs of runs without NaN); answers (share of equal answers, averaged over pairs of runs); note
        (which runs give the same answer to all images).

    Raises:
        SalignError: there are fewer than two runs, their classes or images differ, or a run has no predictions.
    """
    if len(runs) < 2:
        raise SalignError(f"consistency takes at least two runs; got {len(runs)}.")
    read = [read_maps(run) for run in runs]
    rows = []
    for name in [name for name in read[0] if all(name in maps_of for maps_of in read)]:
        several = [maps_of[name] for maps_of in read]
        for run, own in zip(runs, several, strict=True):
            if run.classes != runs[0].classes or list(own.ids) != list(several[0].ids):
                raise SalignError(
                    f"{run.path} and {runs[0].path} were not analysed on the same images and classes of {name}; "
                    "compare runs of one data set, analysed with the same --images and --seed."
                )
        size = tuple(min(own.maps.shape[axis] for own in several) for axis in (1, 2))
        maps = torch.stack([resize(torch.from_numpy(own.maps).float(), (size[0], size[1])) for own in several])
        _, answers = np.unique(np.stack([own.predicted for own in several]), return_inverse=True)
        alike = float(map_consistency(maps, metric=metric).nanmean())
        equal = float(answer_consistency(answers.reshape(len(several), -1)))
        notes = {run.path.name: answers_note(run, name) for run in runs}
        note = "; ".join(f"{run}: {note}" for run, note in notes.items() if note)
        rows.append((name, len(runs), maps.shape[1], alike, equal, note))
    return pd.DataFrame(rows, columns=["set", "runs", "images", "maps", "answers", "note"])


def compare_aurocs(runs: Sequence[Run]) -> pd.DataFrame:
    """Compare each run's area under the ROC curve with the first run's, on the same images, by DeLong's test.

    The test covers the choice of images, not the randomness of training: several seeds are compared in a study. Images
    without a label do not count.

    Args:
        runs: two or more runs with the same two classes. With more classes, or several labels per image, there is no
            single area, and the table is empty.

    Returns:
        A row per set and run after the first, with the columns: set; run and reference (names of the run folders; the
        reference is the first run); images; and the fields of `salign.evaluate.delong.DeLong`, where the difference is
        run - reference.

    Raises:
        SalignError: two runs have different classes, or predicted different images.
    """
    rows: list[dict[str, object]] = []
    reference = runs[0]
    if len(reference.classes) != 2 or reference.multi_label:
        return pd.DataFrame(rows)
    positive = reference.recipe.data.positive or reference.classes[-1]
    for run in runs[1:]:
        for name in [name for name in reference.sets if name in run.sets]:
            first, second = (each.predictions(name).set_index("id").sort_index() for each in (run, reference))
            if run.classes != reference.classes or not first["label"].equals(second["label"]):
                raise SalignError(f"{run.path} and {reference.path} did not answer the same images of {name}.")
            labelled = first["label"] != ""
            new, old = (each.loc[labelled, PROB + positive] for each in (first, second))
            comparison = delong(first.loc[labelled, "label"] == positive, new, old)
            named = {"set": name, "run": run.path.name, "reference": reference.path.name, "images": int(labelled.sum())}
            rows.append(named | dataclasses.asdict(comparison))
    return pd.DataFrame(rows)


def answers_note(run: Run, name: str) -> str:
    """Return a sentence if a run gives the same answer to all images of a set, else "".

    See `salign.evaluate.constant`.

    Raises:
        SalignError: the predictions of that set are missing or damaged.
    """
    table, classes = run.predictions(name), run.classes
    return constant_note(
        probabilities_of(table, classes), named_in(table, "label", classes), classes, multi_label=run.multi_label
    )
