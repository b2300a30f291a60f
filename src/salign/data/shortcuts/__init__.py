"""Shortcuts put into images on purpose, to see which networks fall for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.data.shortcuts.decoy import write_decoy_digits as write_decoy_digits
    from salign.data.shortcuts.plant import Planted as Planted, plant_shortcut as plant_shortcut

lazy_index(__name__)
