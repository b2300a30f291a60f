"""The images that a run answers wrong, and a training that shows them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from salign.errors import SalignError
from salign.machine.errors import wrong_answers
from salign.runs.run import Run
from salign.train.prepare import prepare
from salign.train.recipe import DataRecipe


def test_an_answer_is_wrong_where_the_table_of_predictions_says_so(trained: Path) -> None:
    run = Run(trained)
    answers = run.predictions("test_ood")
    expected = (answers["label"] != answers["predicted"]).to_numpy()
    assert 0 < expected.sum() < len(expected)
    assert wrong_answers(run.data("test_ood").manifest, trained).tolist() == expected.tolist()


def test_what_is_wrong_is_shown_several_times_and_all_else_once(trained: Path, digits: Path) -> None:
    data = DataRecipe(manifest=str(digits), test=[], classes=["1", "7"], image_size=64, label_noise=0.3, augment="none")
    once = prepare(data).train
    wrong = wrong_answers(once.manifest, trained)
    assert 0 < wrong.sum() < len(wrong)
    repeats = DataRecipe.model_validate(data.model_dump() | {"repeat_errors": {"of": str(trained), "times": 3}})
    several = prepare(repeats).train
    expected = [
        name for name, bad in zip(once.manifest.table["id"], wrong, strict=True) for _ in range(3 if bad else 1)
    ]
    assert several.manifest.table["id"].tolist() == expected
    assert len(several) == len(once) + 2 * wrong.sum()
    assert np.array_equal(several.labels[:1], once.labels[:1])


def test_what_is_no_classifier_or_knows_other_classes_is_told(trained: Path, digits: Path, tmp_path: Path) -> None:
    rows = Run(trained).data("val").manifest
    with pytest.raises(SalignError, match="device: expected auto, cpu, cuda or mps, got 'gpu'"):
        wrong_answers(rows, trained, device="gpu")
    with pytest.raises(SalignError, match=r"model\.json"):
        wrong_answers(rows, tmp_path)
    others = prepare(DataRecipe(manifest=str(digits), test=[], classes=["2", "3"])).val.manifest
    with pytest.raises(SalignError, match="unknown class '2'; expected one of 1, 7"):
        wrong_answers(others, trained)
