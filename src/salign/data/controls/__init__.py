"""Which rows and whose maps a run trains with: subsets, and control maps, wrong or worse than people's own."""

from salign.data.controls.rows import BY_SHARE, CONTROLS, Control, find_control, keep_maps, shuffled, subset

__all__ = ["BY_SHARE", "CONTROLS", "Control", "find_control", "keep_maps", "shuffled", "subset"]
