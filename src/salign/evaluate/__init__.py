"""Figures with intervals, from a table of predictions or from plain arrays, and how to compare two arms.

What needs maps or a model is imported by its module: `agreement`, `annotators`, `consistency`, `reliance`.
"""

from salign.evaluate.classification import (
    accuracy,
    auroc,
    average_precision,
    balanced_accuracy,
    brier,
    brier_macro,
    ece,
    one_vs_rest,
)
from salign.evaluate.comparison import Comparison, compare, compare_images, holm, seeds_needed
from salign.evaluate.constant import Constant, constant_answer
from salign.evaluate.delong import DeLong, delong
from salign.evaluate.figures import choose_threshold, evaluate_predictions
from salign.evaluate.multi_label import evaluate_multi_label
from salign.evaluate.pad import (
    acer,
    apcer,
    apcer_per_species,
    bpcer,
    bpcer_at_apcer,
    eer,
    reached_apcer,
    threshold_at_apcer,
    threshold_at_eer,
)
from salign.evaluate.predictions import PredictionsWriter, columns_for, read_predictions, validate
from salign.evaluate.statistics import bootstrap_counts, percentile_interval

__all__ = [
    "Comparison",
    "Constant",
    "DeLong",
    "PredictionsWriter",
    "accuracy",
    "acer",
    "apcer",
    "apcer_per_species",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "bootstrap_counts",
    "bpcer",
    "bpcer_at_apcer",
    "brier",
    "brier_macro",
    "choose_threshold",
    "columns_for",
    "compare",
    "compare_images",
    "constant_answer",
    "delong",
    "ece",
    "eer",
    "evaluate_multi_label",
    "evaluate_predictions",
    "holm",
    "one_vs_rest",
    "percentile_interval",
    "reached_apcer",
    "read_predictions",
    "seeds_needed",
    "threshold_at_apcer",
    "threshold_at_eer",
    "validate",
]
