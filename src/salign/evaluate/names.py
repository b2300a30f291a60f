"""Which figures are shown for which task, and their names in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TWO_CLASSES = (
    "auroc", "sensitivity", "specificity", "ppv", "npv", "f1", "accuracy_at_threshold", "accuracy",
    "balanced_accuracy", "worst_class_accuracy", "ap", "brier", "ece", "forgotten",
)  # fmt: skip
ATTACKS = (
    "auroc", "apcer", "bpcer", "acer", "bpcer_at_apcer5", "eer", "accuracy_at_threshold", "accuracy",
    "balanced_accuracy", "worst_class_accuracy", "ap", "brier", "ece", "forgotten",
)  # fmt: skip
"""Figures shown for presentation attack detection (ISO/IEC 30107-3)."""
SEVERAL_CLASSES = (
    "auroc_macro", "accuracy", "balanced_accuracy", "worst_class_accuracy", "ppv_macro", "f1_macro", "ap_macro",
    "brier_macro", "ece", "forgotten",
)  # fmt: skip
SEVERAL_LABELS = (
    "auroc_macro", "ap_macro", "accuracy", "accuracy_macro", "sensitivity_macro", "specificity_macro", "ppv_macro",
    "f1_macro", "brier_macro", "forgotten",
)  # fmt: skip
OF_A_CLASS = ("auroc", "sensitivity", "specificity", "ppv", "npv", "f1", "ap")
"""Figures of one class against the rest, named `auroc[CLASS]` in the table."""
NAMES: Mapping[str, str] = {
    "auroc": "AUROC",
    "sensitivity": "sensitivity (recall)",
    "specificity": "specificity",
    "ppv": "PPV (precision)",
    "npv": "NPV",
    "f1": "F1",
    "accuracy_at_threshold": "accuracy at the threshold",
    "accuracy": "accuracy",
    "accuracy_macro": "accuracy, mean over classes",
    "balanced_accuracy": "balanced accuracy",
    "worst_class_accuracy": "accuracy of the worst class",
    "ap": "average precision",
    "apcer": "APCER",
    "bpcer": "BPCER",
    "acer": "ACER",
    "bpcer_at_apcer5": "BPCER at APCER 5 %",
    "eer": "equal error rate",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "forgotten": "forgotten in training",
}
LOWER_IS_BETTER = frozenset(
    {"apcer", "bpcer", "acer", "bpcer_at_apcer5", "eer", "brier", "brier_macro", "ece", "forgotten"}
)


def name_of(metric: str) -> str:
    """Return the name of a metric in words, such as `AUROC, macro` for `auroc_macro`."""
    if metric in NAMES:
        return NAMES[metric]
    base = metric.removesuffix("_macro")
    return f"{NAMES.get(base, base)}{', macro' if base != metric else ''}"


def main_figures(metrics: Iterable[str], *, attacks: bool = False) -> tuple[str, ...]:
    """Return the main metrics of a table of figures, in the order in which they are shown.

    Args:
        metrics: the column `metric` of the table. Its metrics tell whether there are two classes, more classes, or
            several labels per image.
        attacks: whether the positive class is a presentation attack.
    """
    present = set(metrics)
    usual: tuple[str, ...]
    if "auroc" in present:
        usual = ATTACKS if attacks else TWO_CLASSES
    else:
        usual = SEVERAL_LABELS if "accuracy_macro" in present else SEVERAL_CLASSES
    return tuple(metric for metric in usual if metric in present)
