"""Reasons to doubt the figures: runs that give all images the same answer, a weak control, and faults of training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from salign.data.checks.map_similarity import ALIKE, sample_mapped, shuffled_correlation
from salign.errors import SalignError
from salign.evaluate.constant import constant_answer
from salign.evaluate.verdicts import Verdict
from salign.experiment.arms import maps_of
from salign.experiment.report.answers import read_answers
from salign.experiment.report.groups import Alike, Group
from salign.experiment.report.tables import decimal
from salign.experiment.study import Study
from salign.pages.sheet import Block, Text
from salign.runs.run import Run
from salign.runs.verdicts import training_verdicts

MOST_MAPS = 500
"""At most this many training maps are correlated with each other, evenly spread over all training maps."""


def alike_answers(group: Group, runs: pd.DataFrame, test_set: str) -> dict[str, Alike]:
    """Find the arms of a group that have runs which give all images of a set the same answer.

    The result is kept in `group.alike`, so that the predictions are only read once. A run whose balanced accuracy is
    known is only read if its value can come from the same answer to all images: 0, or 1 over the number of classes.

    Args:
        group: the group; its arms are looked at under the conditions under which they are reported.
        runs: columns dataset, network, arm, images, annotated, seed, path.
        test_set: name of the set.

    Returns:
        Name of an arm -> its runs that answer alike; arms without such runs are left out.

    Raises:
        SalignError: the predictions of a run are gone or not valid.
    """
    if test_set in group.alike:
        return group.alike[test_set]
    alike = group.alike[test_set] = {}
    for arm in group.arms:
        paths = group.paths(runs, arm)
        noted = group.scores(arm, test_set, "balanced_accuracy")
        paths_to_read = {seed: path for seed, path in paths.items() if seed not in noted or _of_one_answer(noted[seed])}
        constants = []
        for path in paths_to_read.values():
            answers = read_answers([path], test_set)
            constant = constant_answer(answers.probabilities[0], answers.labels)
            constants += [(constant, constant.describe(answers.classes))] if constant else []
        if constants:
            blind = sum(constant.blind for constant, _ in constants)
            alike[arm] = Alike(len(constants), len(paths), blind, constants[0][1])
    return alike


def alike_in_words(by_set: Mapping[str, Mapping[str, Alike]]) -> str:
    """Name the runs that give all images the same answer, by set and arm; the text is empty where there are none."""
    sentences = []
    for test_set, arms in by_set.items():
        runs = "; ".join(f"{alike.share} of {arm} ({alike.first})" for arm, alike in arms.items())
        sentences += [f"Runs that give all images of {test_set} the same answer: {runs}."] if runs else []
    if sentences:
        sentences.append(
            "Their accuracy says how frequent that class is, and that nothing changes them is no strength."
        )
    return " ".join(sentences)


def shuffled_in_words(study: Study, group: Group, runs: pd.DataFrame) -> str:
    """Say how alike the maps of two training images are; the text is empty where no arm is trained with shuffled maps.

    The maps are those of the arm's run with the lowest seed before they were shuffled. `salign data check` correlates
    them in the same way.
    """
    for arm in group.arms:
        maps = maps_of(arm, guided=study.guided, own=study.arms)
        paths = group.paths(runs, arm)
        if not maps.startswith("shuffled") or not paths:
            continue
        try:
            rows = Run(Path(paths[min(paths)])).training_rows
            value = shuffled_correlation(sample_mapped(rows, MOST_MAPS))
        except (SalignError, OSError):
            return "How alike the maps of two images are cannot be said: they are not where they were any more."
        if math.isnan(value):
            return ""
        verdict = (
            "shuffled maps mark nearly the same places and are hardly a control here. Take blobs or inverted."
            if value >= ALIKE
            else "another image's map marks other places."
        )
        return f"Maps of two training images correlate {decimal(value)} on average: {verdict}"
    return ""


def training_doubts(runs: pd.DataFrame) -> list[Block]:
    """Return the doubts about the training of the runs of a study, with the number of runs of each arm they concern.

    Args:
        runs: columns arm and path; runs whose figures of every epoch are gone are passed over.
    """
    arms: dict[str, list[str]] = {}
    first: dict[str, Verdict] = {}
    for arm, path in zip(runs["arm"].astype(str), runs["path"].astype(str), strict=True):
        try:
            verdicts = training_verdicts(Run(Path(path)))
        except (SalignError, OSError):
            continue
        for verdict in verdicts:
            arms.setdefault(verdict.kind, []).append(arm)
            first.setdefault(verdict.kind, verdict)
    blocks: list[Block] = []
    for kind, of in arms.items():
        counted = ", ".join(f"{of.count(arm)} of {arm}" for arm in dict.fromkeys(of))
        sentence = (
            f"{len(of)} of {len(runs)} runs ({counted}); for instance: {first[kind].sentence}. {first[kind].advice}"
        )
        blocks.append(Text([sentence], kind.capitalize()))
    return blocks


def _of_one_answer(balanced_accuracy: float) -> bool:
    classes = 1 / balanced_accuracy if balanced_accuracy > 0 else 2
    return classes > 1.5 and abs(classes - round(classes)) < 0.01
