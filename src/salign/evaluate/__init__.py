"""Figures of a classifier with intervals, from a table of predictions or from arrays, and comparisons of two arms.

Functions that need maps or a model are imported from their own modules: `agreement`, `annotators`, `consistency` and
`reliance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.evaluate.classification import (
        accuracy as accuracy,
        auroc as auroc,
        average_precision as average_precision,
        balanced_accuracy as balanced_accuracy,
        brier as brier,
        brier_macro as brier_macro,
        ece as ece,
        one_vs_rest as one_vs_rest,
        worst_class_accuracy as worst_class_accuracy,
    )
    from salign.evaluate.comparison import (
        Comparison as Comparison,
        compare as compare,
        compare_images as compare_images,
        holm as holm,
        seeds_needed as seeds_needed,
    )
    from salign.evaluate.constant import Constant as Constant, constant_answer as constant_answer
    from salign.evaluate.delong import DeLong as DeLong, delong as delong
    from salign.evaluate.figures import (
        choose_threshold as choose_threshold,
        evaluate_predictions as evaluate_predictions,
    )
    from salign.evaluate.multi_label import evaluate_multi_label as evaluate_multi_label
    from salign.evaluate.pad import (
        acer as acer,
        apcer as apcer,
        apcer_per_species as apcer_per_species,
        bpcer as bpcer,
        bpcer_at_apcer as bpcer_at_apcer,
        eer as eer,
        reached_apcer as reached_apcer,
        threshold_at_apcer as threshold_at_apcer,
        threshold_at_eer as threshold_at_eer,
    )
    from salign.evaluate.predictions import (
        PredictionsWriter as PredictionsWriter,
        columns_for as columns_for,
        read_predictions as read_predictions,
        validate as validate,
    )
    from salign.evaluate.statistics import (
        bootstrap_counts as bootstrap_counts,
        percentile_interval as percentile_interval,
    )

lazy_index(__name__)
