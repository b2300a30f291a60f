"""The rows and maps that a run trains with: subsets, and control maps that are wrong or worse than people's own."""

from salign.data.controls.rows import (
    BY_SHARE as BY_SHARE,
    CONTROLS as CONTROLS,
    Control as Control,
    find_control as find_control,
    keep_maps as keep_maps,
    noisy_labels as noisy_labels,
    shuffled as shuffled,
    shuffled_across as shuffled_across,
    shuffled_within as shuffled_within,
    subset as subset,
)
