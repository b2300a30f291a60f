"""Figures with intervals, from a table of predictions or from plain arrays."""

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
from salign.evaluate.figures import choose_threshold, evaluate_predictions
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
    "ece",
    "eer",
    "evaluate_predictions",
    "one_vs_rest",
    "percentile_interval",
    "reached_apcer",
    "read_predictions",
    "threshold_at_apcer",
    "threshold_at_eer",
    "validate",
]
