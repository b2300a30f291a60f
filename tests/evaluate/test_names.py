from __future__ import annotations

import numpy as np
import pytest

from references.tables import predictions
from salign.evaluate import evaluate_multi_label, evaluate_predictions
from salign.evaluate.names import main_figures, name_of


@pytest.mark.parametrize(
    ("classes", "attacks", "first"),
    [
        (["a", "b"], False, ["AUROC", "sensitivity (recall)", "specificity", "PPV (precision)", "NPV", "F1"]),
        (["a", "b"], True, ["AUROC", "APCER", "BPCER", "ACER", "BPCER at APCER 5 %", "equal error rate"]),
        (
            ["a", "b", "c"],
            False,
            ["AUROC, macro", "accuracy", "balanced accuracy", "accuracy of the worst class", "PPV (precision), macro"],
        ),
    ],
)
def test_figures_have_the_names_of_their_task(classes: list[str], attacks: bool, first: list[str]) -> None:
    table = predictions([classes[k % len(classes)] for k in range(30)], classes)
    found = evaluate_predictions(table, classes, resamples=0, generator=np.random.default_rng(0))
    shown = main_figures(found["metric"], attacks=attacks)
    assert [name_of(metric) for metric in shown][: len(first)] == first
    assert not {"APCER", "BPCER"} & set(map(name_of, shown)) or attacks


def test_several_labels_have_figures_of_their_own() -> None:
    table = predictions(["a", "b", "a", "b"], ["a", "b"]).assign(label=["a;b", "", "a", "b"])
    table["predicted"] = [";".join(name for name in "ab" if row[f"prob_{name}"] > 0.5) for _, row in table.iterrows()]
    found = evaluate_multi_label(table, ["a", "b"], resamples=0, generator=np.random.default_rng(0))
    shown = main_figures(found["metric"])
    assert shown[:4] == ("auroc_macro", "ap_macro", "accuracy", "accuracy_macro")
    assert name_of("accuracy_macro") == "accuracy, mean over classes"
    assert name_of("apcer[print]") == "apcer[print]"  # what has no name keeps its own
